/* A model that Spin checks in every order of events. It is how one thing that a pull request asks for becomes one item: tell, claim
 * and publish of tick/session. With STANDS it is how a person is told that the item ended, and that the request still asks for the
 * same: stuck.go. It stands beside protocol.pml, since to publish an item needs no tick.lock and touches no other item.
 *
 * A step is one durable write or one read. kill -9 (KILL) may come before each write; before a read it would leave the same.
 *
 * What must hold, in every state that can be reached:
 *
 *	P10  a fingerprint never has two items, wherever a pass dies, and whatever becomes of the item meanwhile
 *	P11  at rest a fingerprint has one item, and its intent says so
 *	P12  no person is told of an item whose agent pushed, if the forge shows a push at the second look after the item's end
 *	P13  at rest a person was told once of an item whose agent pushed nothing, and the record says so
 *
 * Left out is the event of an item, which has one name. Left out of the first part is what the forge says, which is the same for all
 * passes, and an item that a person clears after a pass died and before the next pass has looked for it. Left out of the second part
 * is a person who acts.
 */
#ifndef KILLS
#define KILLS 2
#endif
#define PASSES 2
#define IDS (PASSES + KILLS)
/* UNLOCKED: ask.lock keeps no two passes apart, as when it is deleted while it is locked */
/* STANDS: the item is there, and the passes look whether it helped */
/* MOVES: the item is given another priority, or ends and is filed */

#define ABSENT 0
#define THERE  1        /* at the name that Publish gives it */
#define MOVED  2

byte intent;            /* the file reviews/<session>~<fingerprint>.json names this item, + 1; 0: there is none */
bit  said;              /* and says that it is published */
byte item[IDS];
byte made, kills, used; /* items made, in all; passes killed; ids given out */
bit  lock;

#ifdef UNLOCKED
#define LOCK   skip
#define UNLOCK skip
#else
#define LOCK   atomic { lock == 0 -> lock = 1 }
#define UNLOCK lock = 0
#endif
#define KILL   :: atomic { kills < KILLS -> kills++ } goto killed

#ifdef STANDS

bit ended, pushed;      /* the item has ended; its agent has pushed. Both stay so */
bit late;               /* the forge has shown the old head since the end of the item */
bit stood, needs;       /* the record, reviews/<session>.json */
bit event;              /* needs_human is there */
byte told;              /* how many such events were made */

inline tell() {
	if KILL
	:: atomic { true;
		assert(!pushed); /* P12 */
		if
#ifndef WRONG_NEED_UNNAMED
		:: event
#endif
		:: else -> event = 1; told++; assert(told <= 1) /* P13 */
		fi
	}
	fi
}

inline record(first, person) {
	if KILL
	:: atomic { stood = first; needs = person }
	fi
}

active [PASSES] proctype look()
{
	bit over, old, was;
begin:
	LOCK;
	if
	:: needs -> goto done
	:: else
	fi;
	was = stood;
#ifndef WRONG_END_READ_LATE
	over = ended;
#endif
	atomic { /* the question to the forge */
		if
		:: old = !pushed
		:: pushed && !(ended && late) -> old = 1; late = ended
		fi
	};
#ifdef WRONG_END_READ_LATE
	over = ended;
#endif
	if
	:: !old -> record(0, 0); goto done
	:: old && !over -> record(0, 0)
#ifdef WRONG_ONE_LOOK
	:: old && over -> tell(); record(1, 1)
#else
	:: old && over && !was -> record(1, 0)
#ifdef WRONG_NEED_RECORDED_FIRST
	:: old && over && was -> record(1, 1); tell()
#else
	:: old && over && was -> tell(); record(1, 1)
#endif
#endif
	fi;
	atomic { over = 0; old = 0; was = 0 };
	UNLOCK;
	goto begin; /* the next look */
killed:
	UNLOCK;
	atomic { over = 0; old = 0; was = 0 };
	goto begin;
done:
	UNLOCK
}

active proctype work()
{
	if
	:: pushed = 1
	:: true
	fi;
	ended = 1
}

active proctype rest()
{
	timeout -> assert(pushed || told == 1 && needs) /* P13 */
}

#else

inline publish(id) {
	/* Queue.Publish: link(2) makes no second file of a name */
	if KILL
	:: atomic { true; /* without this, the else below would belong to the outer choice */
		if
		:: item[id] == THERE
		:: else -> item[id] = THERE; made++; assert(made <= 1) /* P10 */
		fi
	}
	fi
}

active [PASSES] proctype pass()
{
	byte mine, new;
	bit seen;
begin:
	LOCK;
	/* intents */
	if
	:: said -> goto done
	:: else
	fi;
	atomic { new = used; used++ }
#ifdef WRONG_PUBLISHED_FIRST
	mine = new;
	publish(mine);
#endif
	/* claim */
	if KILL
	:: atomic { true;
#ifdef WRONG_INTENT_REPLACED
		intent = new + 1;
#else
		if
		:: intent == 0 -> intent = new + 1
		:: else
		fi;
#endif
		mine = intent - 1
	}
	fi;
#ifdef WRONG_SAID_FIRST
	if KILL
	:: said = 1
	fi;
#endif
	/* publish: the item is looked for in all places */
	atomic {
#ifdef WRONG_ONE_PLACE
		seen = item[mine] == THERE
#else
		seen = item[mine] != ABSENT
#endif
	};
#ifndef WRONG_PUBLISHED_FIRST
	if
	:: seen
	:: else -> publish(mine)
	fi;
#endif
	if KILL
	:: said = 1
	fi;
done:
	UNLOCK;
	goto end;
killed:
	UNLOCK; /* the kernel does */
	atomic { mine = 0; new = 0; seen = 0 };
	goto begin; /* the next pass */
end:
	skip
}

#ifdef MOVES
active proctype world()
{
	byte id;
end:
	do
	:: atomic { item[id] == THERE -> item[id] = MOVED }
	:: atomic { id < IDS - 1 -> id++ }
	:: atomic { id > 0 -> id-- }
	od
}
#endif

active proctype rest()
{
	timeout -> assert(made == 1 && said) /* P11 */
}

#endif
