/* The protocol of kugetsu's state folder, as a model that Spin checks in every order of events.
 *
 *	spin -a -DKILLS=2 protocol.pml && cc -O2 -DSAFETY -DCOLLAPSE -DMEMLIM=3000 -o pan pan.c && ./pan -m100000
 *	an error leaves a trail: spin -t -p -g -DKILLS=2 protocol.pml tells what happened, step by step
 *
 * go test ./contrib/model runs it in many configurations and with each seeded fault; -full runs the large ones.
 *
 * A step is one durable write, one lock operation or one read, and names the Go function that does it. kill -9 (KILL) may
 * come before each write, fork and message; before a read or a lock it would leave the same.
 *
 * What must hold, in every state that can be reached:
 *
 *	P1  there are never more agents than slots
 *	P2  there are never two agents in one session, those of a dead runner included
 *	P3  what has ended stays so: a settled item is never overwritten (but by retry, which a person asks for), a run is executed
 *	    once at most, an item that succeeded never again, and a run is never settled while one of its processes lives
 *	P4  no agent runs whose item is not on record as notified with just this run
 *	P5  at rest nothing is stuck: every item is settled and filed (or deleted), every slot empty, every lock free, no
 *	    process left. With pan -l also: every order of events comes to rest
 *	P6  no attempt is counted without an agent that started, or a failed start that the runner recorded; attempts and run
 *	    numbers are bounded
 *	P7  a used run folder is kept while its item is, an intent is never overwritten, and the end of a run can always be
 *	    recorded
 *	P8  an item whose run was cancelled is not retried
 *	P9  an item whose runner a pass ended, since its run was beyond its limit, is not retried
 *
 * At rest means that cron came often enough. A pass begins only when something changed since the last one began (`dirty`),
 * or when a lock that it found locked was unlocked (`missed`), since a pass over an unchanged folder does nothing. So when
 * nothing more can happen in the model (timeout), any number of further passes would change nothing.
 *
 * Left out, and why:
 *
 *	the PM agent's lane                     the same steps with one slot of its own, never counted
 *	slots beyond today's limit              they are reconciled like the others, and not filled
 *	denied, a permanent failure             end as `failed` does, but are an error at once. So are a timeout, and a run
 *	                                        with too much memory, that the runner records. A run that is not verified
 *	                                        ends as `failed`
 *	the free run after a reboot             a lost run that is counted once less
 *	bad files and settings, newer versions  they stop a step, as a kill does. The fault tests try which
 *	an errno while settling                 the slot stays as it is, as after a kill
 *	events, results, session files, git     they decide nothing in the protocol
 *	which of several agents runs            the write that makes an item notified has the agent. Before that
 *	                                        there is none, and settle reads it there
 *	processes that closed their lease       endMarked ends them. Here it may find none to end (P3), except those of a run
 *	                                        whose lease was unlocked
 *	a runner that hangs at its gate         the runner bounds that wait, and nothing was handed out
 *	power cuts                              every write is synced before the next step is taken
 *	commands without tick.lock              edit, cancel, retry, clear and start need it; passes alone do not (NOLOCK)
 *	the new place of an edited item         one more rename in the item's folder; an item is found by its id
 */

/* The size of the world. */
#ifndef PASSES
#define PASSES 1        /* processes that run passes and commands. With tick.lock one shows as much as many */
#endif
#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef ITEMS
#define ITEMS 2
#endif
#ifndef SHARED
#define SHARED ITEMS    /* so many items are of one session; each of the others has its own */
#endif
#ifndef RUNNERS
#define RUNNERS SLOTS   /* processes at once: one more where a run may be settled whose runner is about to exit (UNLOCKS) */
#endif
#ifndef MAX_ATTEMPTS
#define MAX_ATTEMPTS 2
#endif

/* What may happen to the world, and how often. */
#ifndef KILLS
#define KILLS 1         /* kill -9 of a pass, command or runner, between any two steps */
#endif
#ifndef REFUSED
#define REFUSED 0       /* a step of hand fails (no process, no disk), and the pass goes on */
#endif
#ifndef LOOKS
#define LOOKS 0         /* status takes a slot's lock, shared, for an instant */
#endif
#ifndef COMMANDS
#define COMMANDS 0      /* queue edit, queue cancel, queue retry, queue clear, start */
#endif
#ifndef UNLOCKS
#define UNLOCKS 0       /* an agent unlocks a lock that it inherited (flock -u): it is free for all processes that had it */
#endif
#ifndef HANGS
#define HANGS 0         /* a runner does not answer any more: stopped, or caught in a system call */
#endif
#ifndef LOSSES
#define LOSSES 0        /* a slot file is deleted or damaged */
#endif
#ifndef DELETIONS
#define DELETIONS 0     /* an item's file is deleted */
#endif
/* VERIFIES: a run whose agent ended well is verified by a second process */
/* ARRIVE: the items are delegated (or started) at any time, else they are all there at the beginning */
/* NOLOCK: tick.lock excludes no process, as when it is deleted while it is locked */

/* A run number is used up by a counted attempt, or by a fault. */
#ifndef MAX_RUN
#define MAX_RUN (MAX_ATTEMPTS * (1 + COMMANDS) + KILLS + REFUSED + DELETIONS)
#endif

/* queue.State, and two states without a file: not delegated yet, and deleted */
#define ABSENT    0
#define PENDING   1
#define NOTIFIED  2
#define COMPLETED 3
#define ERRORED   4
#define DELETED   5
#define IS_SETTLED(s) ((s) == COMPLETED || (s) == ERRORED)

/* slots.Phase of a run's marker, and the outcome with which the run ended */
#define NO_FOLDER     0
#define NO_MARKER     1 /* the folder alone */
#define EXIT          2
#define STARTED       3
#define OK            4
#define FAILED        5
#define START_FAILED  6
#define CANCELLED     7
#define OVERDUE       8 /* no marker: the outcome of a run whose runner was ended, since the run was beyond its limit */
#define HAS_ENDED(m) ((m) >= OK)

/* the gate of a runner */
#define SHUT   0
#define TASK   1        /* the task has passed */
#define BROKEN 2        /* closed without a task */

/* The processes that have a lock. A flock belongs to all that have its descriptor, and is free when the last of them is gone. */
#define BIT(n)    (1 << (n))
#define RUNNER(r) BIT(2 + (r))
#define AGENT(r)  BIT(2 + RUNNERS + (r))
#define ONLOOKER  BIT(2 + 2 * RUNNERS)

#define SESSION(i) ((i) < SHARED -> 0 : (i) - SHARED + 1)
#define SESSIONS   (ITEMS - SHARED + 1)
#define RUN(i, n)  ((i) * MAX_RUN + (n) - 1)

/* On disk. */
byte state[ITEMS], runs[ITEMS], attempts[ITEMS];
bit  filed[ITEMS];              /* in finished/, not in items/ */
bit  later[ITEMS];              /* not_before is still to come */
byte slot_item[SLOTS];          /* slots/k.json, */
byte slot_run[SLOTS];           /* 0: there is none */
byte marker[ITEMS * MAX_RUN];
bit  cancel[ITEMS * MAX_RUN];   /* the mark of queue cancel */
bit  overdue[ITEMS * MAX_RUN];  /* the mark of a run whose runner was ended, since the run was beyond its limit */

/* In the kernel. */
bit   tick_lock;
short slot_lock[SLOTS], session_lock[SESSIONS];
bit   runner[RUNNERS], agent[RUNNERS]; /* they live */
bit   hung[RUNNERS];                   /* it lives and does nothing */
bit   ended[ITEMS * MAX_RUN];          /* a pass ended the run's runner (for the properties alone) */
byte  gate[RUNNERS];
bit   offered[RUNNERS];                /* a pass still has the gate open */
byte  r_slot[RUNNERS], r_item[RUNNERS], r_run[RUNNERS];

/* What happened so far. */
byte kills, refused, looks, commands, losses, deletions, unlocks, hangs;
byte dirty = BIT(PASSES) - 1, missed;  /* of each pass */

/* For the properties alone. */
short ran[ITEMS];               /* the runs in which an agent was started */
bit   succeeded[ITEMS];         /* a run of it is recorded as ok */

#define ALL_SLOTS (BIT(SLOTS) - 1)
#define ORPHANS_END (LOSSES + DELETIONS > 0)   /* no pass can know whose they are, so they end by themselves */
#define CHANGED dirty = BIT(PASSES) - 1
#define LET_GO(lock, who) lock = lock & ~(who); dirty = dirty | (missed & ~(who))
#define ME BIT(t)
#define MISSED missed = missed | ME

#define KILL    :: atomic { kills < KILLS -> kills++ } goto killed
#define HANG    :: atomic { hangs < HANGS -> hangs++; hung[r] = 1; how = 0; x = 0; printf("runner %d HANGS\n", r); CHANGED } goto begin
#define REFUSE  :: atomic { refused < REFUSED -> refused++; failed = 1; CHANGED } goto close_gate

#ifdef NOLOCK
#define LOCK_FREE true
#define LOCK      skip
#define UNLOCK    skip
#else
#define LOCK_FREE tick_lock == 0
#define LOCK      tick_lock = 1
#define UNLOCK    tick_lock = 0
#endif

/* The faults that change only an expression. */
#if defined(WRONG_MARKER_FIRST) || defined(WRONG_MARKER_SECOND)
#define SEE(m) skip
#else
#define SEE(m) seen = m
#endif
#ifdef WRONG_CANCEL_FORGOTTEN
#define CANCEL_MARK(item, number) false
#else
#define CANCEL_MARK(item, number) cancel[RUN(item, number)]
#endif
#ifdef WRONG_EMPTY_FIRST
#define UNNAMED next_item
#else
#define UNNAMED settle_unnamed
#endif
#ifdef WRONG_ANY_RUN
#define NEXT_RUN true
#define SAME_RUN true
#else
#define NEXT_RUN in_run == s_runs + 1
#define SAME_RUN in_run == s_runs
#endif

/* slots.TryLockPatiently: waits for a reader, which unlocks in an instant, and for no other process. */
inline lock_slot_patiently()
{
	if
	:: d_step { slot_lock[k] == 0 -> slot_lock[k] = ME; locked = 1 }
	:: d_step { (slot_lock[k] & ~ONLOOKER) != 0 -> MISSED }
	fi
}

/* occupied.occupy: the slot counts as occupied, and so do the item and the session that the intent names */
inline hold()
{
	taken_slots = taken_slots | BIT(k);
	if
	:: in_run > 0 -> taken_items = taken_items | BIT(in_item); taken_sessions = taken_sessions | BIT(SESSION(in_item))
	:: else
	fi
}

/* proc.EndRunner, tick.endLockHolders, tick.endMarked end what is left of a run. With without_runner 0 the run's runner may live, and is
 * ended as well. */
inline end_run(item, number, without_runner)
{
	x = 0;
	do
	:: x == RUNNERS -> break
	:: else ->
		if
		:: (agent[x] || runner[x]) && !(without_runner && runner[x]) && r_item[x] == item && r_run[x] == number ->
			LET_GO(session_lock[SESSION(item)], AGENT(x) | RUNNER(x)); LET_GO(slot_lock[r_slot[x]], AGENT(x) | RUNNER(x));
			agent[x] = 0; runner[x] = 0; hung[x] = 0; gate[x] = SHUT; r_slot[x] = 0; r_item[x] = 0; r_run[x] = 0;
			printf("pass %d: ends what is left of item %d, run %d\n", t, item, number);
			CHANGED
		:: else
		fi;
		x++
	od;
	x = 0
}

/* the runner of a run, + 1, as its item names it by pid and birth; 0: it is gone. It is asked for in one step. */
inline runner_of(item, number)
{
	x = 0; lives = 0;
	do
	:: x == RUNNERS -> break
	:: else ->
		if
		:: runner[x] && r_item[x] == item && r_run[x] == number -> lives = x + 1
		:: else
		fi;
		x++
	od;
	x = 0
}

/* tick.watch: a runner that is beyond its limit is ended. The mark comes first, so that a pass that finds the runner gone knows why. */
inline watch(item, number)
{
#ifndef WRONG_HUNG_LEFT
	if
	:: lives > 0 && hung[lives-1] ->
#ifndef WRONG_OVERDUE_UNMARKED
		if
		:: d_step { true -> overdue[RUN(item, number)] = 1; CHANGED }
		KILL
		fi;
#endif
		if
		:: d_step { true -> end_run(item, number, 0); lives = 0; ended[RUN(item, number)] = !HAS_ENDED(marker[RUN(item, number)]) }
		KILL
		fi
	:: else
	fi;
#endif
	skip
}

/* tick.lockAgain, for a lock that another process has: */
inline look_after()
{
#if HANGS > 0
	/* the runner does not answer, */
	d_step {
		lives = 0;
		if
		:: state[in_item] == NOTIFIED && runs[in_item] == in_run -> runner_of(in_item, in_run)
		:: else
		fi
	};
	watch(in_item, in_run);
	lives = 0;
#endif
	/* or the runner is gone, and a process that it started is left (tick.endLockHolders) */
	d_step {
		x = 0;
#ifndef WRONG_ORPHANS_LEFT
		if
		:: state[in_item] == NOTIFIED && runs[in_item] == in_run -> end_run(in_item, in_run, 1)
		:: else
		fi
#endif
	}
}

/* tick.settle, tick.result, queue.Settle: the one write that records how the newest run of an item ended. The caller has
 * made sure that its lease is free, and has read the item. */
inline settle(item)
{
	/* The lease, the runner, the marker: in this order. */
#if UNLOCKS > 0
#ifdef WRONG_MARKER_SECOND
	d_step { seen = marker[RUN(item, s_runs)] };
#endif
#ifndef WRONG_RUNNER_NOT_ASKED
	d_step { runner_of(item, s_runs) };
#endif
#endif
	d_step { SEE(marker[RUN(item, s_runs)]) };
#if UNLOCKS > 0
	if
	:: lives > 0 && !HAS_ENDED(seen) -> watch(item, s_runs)	/* a process of the run unlocked the lease */
	:: else -> lives = 0
	fi;
	if
	:: HAS_ENDED(seen) || lives > 0
	:: d_step { !HAS_ENDED(seen) && lives == 0 -> end_run(item, s_runs, 1) }	/* tick.endMarked */
	fi;
#endif
	if
	:: lives > 0 -> d_step { held = 1; lives = 0; seen = 0 }
	:: else -> record_end(item)
	fi
}

/* The write itself. */
inline record_end(item)
{
	d_step {
		if
		:: !HAS_ENDED(seen) && overdue[RUN(item, s_runs)] -> seen = OVERDUE
		:: else
		fi;
		if
		:: CANCEL_MARK(item, s_runs) && seen != OK -> seen = CANCELLED
		:: else
		fi
	};
#ifdef WRONG_ERROR_FIRST
	if
	:: d_step { (seen == FAILED || seen == STARTED) -> state[item] = ERRORED; CHANGED }
	:: seen != FAILED && seen != STARTED
	KILL
	fi;
#endif
	if
	:: d_step { true ->
		x = 0;
		do
		:: x == RUNNERS -> break
		:: else -> assert(!(agent[x] && r_item[x] == item && r_run[x] == s_runs)); x++	/* P3 */
		od;
		x = 0;
		assert(!IS_SETTLED(state[item]));	/* P3 */
		if
		:: seen == OK -> s_state = COMPLETED; s_attempts++
		:: seen == CANCELLED -> s_state = ERRORED
		:: seen == OVERDUE -> s_state = ERRORED; s_attempts++
		:: seen == STARTED || seen == FAILED || seen == START_FAILED ->
			assert(seen == START_FAILED || (ran[item] & BIT(s_runs)));	/* P6 */
			s_attempts++;
			if
			:: s_attempts >= MAX_ATTEMPTS -> s_state = ERRORED
			:: else -> s_state = PENDING; later[item] = 1
			fi
		:: else ->	/* void: no agent was started */
#ifdef WRONG_VOID_COUNTED
			assert(ran[item] & BIT(s_runs));	/* P6 */
			s_attempts++;
#endif
			s_state = PENDING; later[item] = 1
		fi;
		assert(s_attempts <= MAX_ATTEMPTS);	/* P6 */
		assert(s_state != PENDING || !cancel[RUN(item, s_runs)]);	/* P8 */
		assert(s_state != PENDING || !ended[RUN(item, s_runs)]);	/* P9 */
		state[item] = s_state; runs[item] = s_runs; attempts[item] = s_attempts;
		printf("pass %d: settles item %d, run %d: marker %d, now state %d, attempts %d\n", t, item, s_runs, seen, s_state, s_attempts);
		seen = 0;
		CHANGED }
	KILL
	fi
}

/* slots.DropRun */
inline drop_run(item, number)
{
	if
	:: d_step { true -> assert(!(ran[item] & BIT(number)));	/* P7 */
		marker[RUN(item, number)] = NO_MARKER; CHANGED }
	KILL
	fi;
	if
	:: d_step { true -> marker[RUN(item, number)] = NO_FOLDER; printf("pass %d: drops item %d, run %d\n", t, item, number); CHANGED }
	KILL
	fi
}

/* queue.File */
inline file(item)
{
	if
	:: d_step { true -> filed[item] = 1; CHANGED }
	KILL
	fi
}

/* slots.Empty */
inline empty_slot()
{
	if
	:: d_step { true -> slot_item[k] = 0; slot_run[k] = 0; printf("pass %d: empties slot %d\n", t, k+1); CHANGED }
	KILL
	fi
}

/* tick.settleSlot: settle, file, empty, in this order, under the slot's and the session's lock. held says that the slot was left as it is. */
inline settle_slot()
{
	d_step { in_item = slot_item[k]; in_run = slot_run[k]; held = 0 }
	if
	:: in_run == 0
	:: else ->
#if UNLOCKS > 0
		/* Only the slot's lock was unlocked. The session's may be locked by a process that a dead runner left, or by a runner that hangs. */
		if
		:: session_lock[SESSION(in_item)] != 0 -> look_after()
		:: session_lock[SESSION(in_item)] == 0
		fi;
#endif
		if
		:: d_step { session_lock[SESSION(in_item)] != 0 -> MISSED; held = 1 }
		:: d_step { session_lock[SESSION(in_item)] == 0 -> session_lock[SESSION(in_item)] = ME }
		fi;
		if
		:: held
		:: else ->
			d_step { s_state = state[in_item]; s_runs = runs[in_item]; s_attempts = attempts[in_item]; s_filed = filed[in_item] }
#ifdef WRONG_EMPTY_FIRST
			empty_slot();
#endif
			if
			:: s_state == PENDING && !s_filed && NEXT_RUN -> drop_run(in_item, in_run)	/* a pass died while dispatching */
			:: s_state == NOTIFIED && SAME_RUN -> settle(in_item)
			:: else
			fi;
			if
			:: IS_SETTLED(s_state) && !s_filed -> file(in_item)
			:: else
			fi;
#ifndef WRONG_EMPTY_FIRST
			if
			:: held
			:: else -> empty_slot()
			fi;
#endif
			d_step { LET_GO(session_lock[SESSION(in_item)], ME) }
		fi
	fi;
	d_step { s_state = 0; s_runs = 0; s_attempts = 0; s_filed = 0; seen = 0 }
}

/* A process that runs kugetsu tick, or a command that needs tick.lock. */
proctype Pass(byte t)
{
	byte taken_slots, taken_items, taken_sessions; bit unknown;   /* tick.occupied */
	byte k, x;                                                    /* the slot at hand, and a counter */
	byte i, it_state, it_runs, it_attempts, n; bit it_filed;      /* the item at hand, as it was read, and its next run */
	byte in_item, in_run;                                         /* the intent that was read; run 0: there was none */
	byte s_state, s_runs, s_attempts; bit s_filed;                /* the item to settle, as it was read */
	byte seen;                                                    /* a run's marker, as it was read */
	byte lives;                                                   /* the runner of a run, + 1 */
	byte child;                                                   /* the runner whose gate this process holds, + 1 */
	bit locked, held, command, publish, failed;

begin:
#ifdef WRONG_EDIT_STALE
	skip;
	d_step { i = 0; it_state = state[i]; it_runs = runs[i]; it_attempts = attempts[i]; it_filed = filed[i] };
#endif
end_begin:
	if
	:: atomic { LOCK_FREE && (dirty & ME) -> LOCK; dirty = dirty & ~ME; missed = missed & ~ME; printf("pass %d begins\n", t) }
	:: atomic { LOCK_FREE && commands < COMMANDS -> LOCK; commands++; missed = missed & ~ME; command = 1; printf("command %d begins\n", t) }
	fi;

reconcile:	/* tick.reconcile: every slot there is */
	if
	:: k == SLOTS -> goto reconciled
	:: else
	fi;
	/* tick.reconcileSlot: the lease first, the marker second */
#ifdef WRONG_MARKER_FIRST
	d_step { if :: slot_run[k] > 0 -> seen = marker[RUN(slot_item[k], slot_run[k])] :: else fi };
#endif
	if
	:: d_step { slot_lock[k] == 0 && slot_run[k] == 0 -> k++ } goto reconcile	/* empty: locked, read and let go */
	:: d_step { slot_lock[k] == 0 && slot_run[k] != 0 -> slot_lock[k] = ME; locked = 1 }
	:: slot_lock[k] != 0
	fi;
#ifdef WRONG_NO_LEASE
	d_step { LET_GO(slot_lock[k], ME); locked = 1 };
#endif
	if
	:: locked
	:: else ->
		/* tick.lockAgain: only a reader should have it, */
		d_step { in_item = slot_item[k]; in_run = slot_run[k] };
		if
		:: in_run == 0 || HAS_ENDED(marker[RUN(in_item, in_run)]) -> lock_slot_patiently()
		:: else
		fi;
		if
		:: locked || in_run == 0
		:: else ->
			look_after();
			if
			:: d_step { slot_lock[k] == 0 -> slot_lock[k] = ME; locked = 1 }
			:: d_step { slot_lock[k] != 0 -> MISSED }
			fi
		fi
	fi;
	if
	:: locked -> settle_slot()
	:: else -> held = 1
	fi;
	d_step {
		LET_GO(slot_lock[k], ME);
		if
		:: held -> unknown = unknown || in_run == 0; hold()
		:: else
		fi;
		k++; in_item = 0; in_run = 0; locked = 0; held = 0; seen = 0
	};
	goto reconcile;

reconciled:
	k = 0;
	if
	:: command -> goto do_command
	:: else
	fi;

meet:	/* tick.fillLane, tick.loadAndRepair: the items in the order of their names, until the slots are full */
	if
	:: i == ITEMS || taken_slots == ALL_SLOTS -> goto unlock
	:: else
	fi;
	d_step { it_state = state[i]; it_runs = runs[i]; it_attempts = attempts[i]; it_filed = filed[i] };
	if
	:: it_filed || it_state == ABSENT || it_state == DELETED -> goto next_item
	:: else
	fi;
	if
	:: (taken_items & BIT(i)) || (unknown && it_state != PENDING) -> goto next_item
	:: else
	fi;
	if
	:: IS_SETTLED(it_state) -> file(i); goto next_item	/* settled, not filed; or a retry that stopped half-way */
	:: it_state == NOTIFIED -> goto UNNAMED
	:: else
	fi;
	/* tick.eligibility.why */
	if
	:: later[i] || (taken_sessions & BIT(SESSION(i))) -> goto next_item
	:: else -> goto take
	fi;

settle_unnamed:	/* tick.settleUnnamed: a slot file was lost. The session's lock is part of the lease */
	skip;
#ifndef WRONG_UNNAMED_NO_LOCK
	if
	:: d_step { session_lock[SESSION(i)] != 0 -> MISSED } goto next_item
	:: d_step { session_lock[SESSION(i)] == 0 -> session_lock[SESSION(i)] = ME }
	fi;
#endif
	/* What was read before may be out of date: the item is read again under the lock. */
#ifdef WRONG_UNNAMED_STALE
	d_step { s_state = it_state; s_runs = it_runs; s_attempts = it_attempts; s_filed = it_filed };
#else
	d_step { s_state = state[i]; s_runs = runs[i]; s_attempts = attempts[i]; s_filed = filed[i] };
#endif
	if
	:: s_state == NOTIFIED && !s_filed && s_runs == it_runs ->
		settle(i);
		if
		:: IS_SETTLED(s_state) -> file(i)
		:: else
		fi
	:: else
	fi;
	d_step { LET_GO(session_lock[SESSION(i)], ME); s_state = 0; s_runs = 0; s_attempts = 0; s_filed = 0; held = 0 };
	goto next_item;

take:	/* tick.reserve: a free slot, */
	if
	:: taken_slots == ALL_SLOTS -> goto unlock	/* errNoSlot */
	:: else
	fi;
	if
	:: taken_slots & BIT(k) -> k++; goto take
	:: else
	fi;
#ifdef WRONG_NO_SLOT_LOCK
	goto take_session;	/* the pass trusts what reconcile counted */
#endif
	lock_slot_patiently();
	if
	:: locked ->
#ifndef WRONG_INTENT_OVERWRITTEN
		settle_slot();	/* an intent is never overwritten */
#endif
		if
		:: held
		:: else -> in_item = 0; in_run = 0; goto take_session
		fi
	:: else
	fi;
	d_step { LET_GO(slot_lock[k], ME); locked = 0; taken_slots = taken_slots | BIT(k); in_item = 0; in_run = 0; held = 0; k++ };
	goto take;

take_session:	/* tick.reserveSession: and then the session */
#ifndef WRONG_NO_SESSION
	if
	:: d_step { session_lock[SESSION(i)] != 0 -> MISSED; LET_GO(slot_lock[k], ME); locked = 0 } goto next_item
	:: d_step { session_lock[SESSION(i)] == 0 -> session_lock[SESSION(i)] = ME }
	fi;
#endif
	/* tick.dispatch: start publishes its item only now, when it has its reservation */
	if
	:: publish ->
		if
		:: d_step { state[i] == ABSENT -> state[i] = PENDING; CHANGED }
		:: state[i] != ABSENT -> goto close_gate
		KILL
		fi
	:: else
	fi;

	/* tick.hand */
	/* a. the intent (slots.WriteIntent) */
	if
	:: d_step { true ->
		n = it_runs + 1;
		assert(n <= MAX_RUN);	/* P6 */
#ifndef WRONG_NO_SLOT_LOCK
		assert(slot_run[k] == 0);	/* P7 */
#endif
		slot_item[k] = i; slot_run[k] = n;
		in_item = i; in_run = n; hold(); in_item = 0; in_run = 0;
		printf("pass %d: intent in slot %d: item %d, run %d\n", t, k+1, i, n); CHANGED }
	KILL
	REFUSE
	fi;
	/* b. the run folder with its bare marker: one winner per run number, ever (slots.ClaimRun) */
claim:
	if
	:: d_step { marker[RUN(i, n)] == NO_FOLDER -> marker[RUN(i, n)] = NO_MARKER; CHANGED }
	:: marker[RUN(i, n)] != NO_FOLDER -> goto claimed
	KILL
	REFUSE
	fi;
	if
	:: d_step { true -> marker[RUN(i, n)] = EXIT; CHANGED }
	KILL
	REFUSE
	fi;
	/* c. the runner, which has the lease from birth and waits at its gate (slots.Launch) */
	if
	:: d_step { true ->
		do
		:: r_run[x] == 0 && !offered[x] -> break
		:: else -> x++; assert(x < RUNNERS)	/* P1: no more runs than slots */
		od;
		child = x + 1; runner[x] = 1; offered[x] = 1; gate[x] = SHUT; r_slot[x] = k; r_item[x] = i; r_run[x] = n;
		slot_lock[k] = slot_lock[k] | RUNNER(x);
#ifndef WRONG_NO_SESSION
		session_lock[SESSION(i)] = session_lock[SESSION(i)] | RUNNER(x);
#endif
		printf("pass %d: forks runner %d for item %d, run %d, slot %d\n", t, x, i, n, k+1); x = 0 }
	KILL
	REFUSE
	fi;
#ifdef WRONG_GATE_FIRST
	if
	:: d_step { true -> gate[child-1] = TASK; CHANGED }
	KILL
	fi;
#endif
	/* d. the item becomes notified: one write (queue.Notify) */
	if
	:: d_step { true ->
		assert(!IS_SETTLED(state[i]));	/* P3 */
		state[i] = NOTIFIED; runs[i] = n; attempts[i] = it_attempts;
		printf("pass %d: item %d is notified, run %d\n", t, i, n); CHANGED }
	KILL
	REFUSE
	fi;
	/* e. the task, through the gate (Gate.Send) */
	if
	:: d_step { runner[child-1] -> gate[child-1] = TASK }
	:: d_step { !runner[child-1] -> failed = 1 }	/* EPIPE */
	KILL
	REFUSE
	fi;

close_gate:	/* Gate.Close, then reservation.close: the session first */
	skip;
	d_step {
		if
		:: child > 0 ->
			if
			:: runner[child-1] && gate[child-1] == SHUT -> gate[child-1] = BROKEN
			:: else
			fi;
			offered[child-1] = 0; child = 0
		:: else
		fi;
		LET_GO(session_lock[SESSION(i)], ME)
	};
#ifdef WRONG_UNLOCK
	d_step { session_lock[SESSION(i)] = 0; slot_lock[k] = 0 };
#endif
	d_step { LET_GO(slot_lock[k], ME); locked = 0 };
	if
	:: failed -> goto unlock	/* errStop */
	:: else -> goto next_item
	fi;

claimed:	/* tick.resolveClaimConflict: the folder is there already. Has the item moved on? */
	skip;
#ifdef WRONG_NEXT_NUMBER
	d_step { n++; it_runs = n - 1; assert(n <= MAX_RUN);	/* P6 */
		slot_run[k] = n };
	goto claim;
#endif
	d_step {
		seen = marker[RUN(i, n)];
		s_state = (state[i] == PENDING && !filed[i] && runs[i] == it_runs -> 0 : 1)	/* moved on */
	};
	if
	:: s_state == 0 ->
		assert(!HAS_ENDED(seen) && seen != STARTED);	/* P4: it ran, and its item has no such run */
#ifdef WRONG_FOLDER_KEPT
		skip
#else
		drop_run(i, n)
#endif
	:: else
	fi;
	empty_slot();
	d_step { seen = 0; s_state = 0 };
	goto close_gate;

next_item:
	skip;
	d_step { i++; k = 0; n = 0; it_state = 0; it_runs = 0; it_attempts = 0; it_filed = 0 };
	if
	:: command -> goto unlock
	:: else -> goto meet
	fi;

do_command:	/* instead of the fill */
	if
	:: i = 0
#if ITEMS > 1
	:: i = 1
#endif
	fi;
#ifndef WRONG_EDIT_STALE
	d_step { it_state = state[i]; it_runs = runs[i]; it_attempts = attempts[i]; it_filed = filed[i] };
#endif
	if
	:: it_state == PENDING && !it_filed ->	/* tick.Edit: what was read under tick.lock is written again, with another text */
		if
		:: d_step { true ->
			assert(state[i] == PENDING && runs[i] == it_runs);	/* P3 */
			state[i] = it_state; runs[i] = it_runs; attempts[i] = it_attempts; later[i] = 0; printf("item %d is edited\n", i); CHANGED }
		KILL
		fi
	:: it_state == PENDING && !it_filed ->	/* tick.Cancel, of a waiting item */
		if
		:: d_step { true -> state[i] = ERRORED; printf("item %d is cancelled\n", i); CHANGED }
		KILL
		fi;
		file(i)
	:: it_state == NOTIFIED ->	/* tick.Cancel, of a running item */
		if
		:: d_step { true -> cancel[RUN(i, it_runs)] = 1; printf("item %d, run %d is marked as cancelled\n", i, it_runs); CHANGED }
		KILL
		fi
	:: IS_SETTLED(it_state) && it_filed && !(taken_items & BIT(i)) ->	/* tick.Retry: moved first, rewritten second */
#ifdef WRONG_RETRY_WRITTEN_FIRST
		if
		:: d_step { true -> state[i] = PENDING; attempts[i] = 0; succeeded[i] = 0; CHANGED }
		KILL
		fi;
#endif
		if
		:: d_step { true -> filed[i] = 0; CHANGED }
		KILL
		fi;
#ifndef WRONG_RETRY_WRITTEN_FIRST
		if
		:: d_step { true -> state[i] = PENDING; attempts[i] = 0; succeeded[i] = 0; printf("item %d is put back\n", i); CHANGED }
		KILL
		fi
#endif
	:: IS_SETTLED(it_state) && it_filed ->	/* tick.Forget: the runs first */
		if
		:: d_step { true ->
			do
			:: n == MAX_RUN -> break
			:: else -> marker[i * MAX_RUN + n] = NO_FOLDER; cancel[i * MAX_RUN + n] = 0; n++
			od;
			n = 0; CHANGED }
		KILL
		fi;
		if
		:: d_step { true -> state[i] = DELETED; printf("item %d is cleared\n", i); CHANGED }
		KILL
		fi
	:: it_state == ABSENT && taken_slots != ALL_SLOTS && !(taken_sessions & BIT(SESSION(i))) ->	/* tick.Dispatch */
		publish = 1;
		goto take
	:: else
	fi;
	goto unlock;

killed:	/* the kernel closes every descriptor of this process */
	skip;
	d_step {
		k = 0;
		do
		:: k == SLOTS -> break
		:: else -> LET_GO(slot_lock[k], ME); k++
		od;
		x = 0;
		do
		:: x == SESSIONS -> break
		:: else -> LET_GO(session_lock[x], ME); x++
		od;
		if
		:: child > 0 ->
			if
			:: runner[child-1] && gate[child-1] == SHUT -> gate[child-1] = BROKEN
			:: else
			fi;
			offered[child-1] = 0; child = 0
		:: else
		fi;
		printf("pass %d is KILLED\n", t);
		CHANGED
	};
	goto unlock;

unlock:	/* the end of tick.Locked, and of the process */
	skip;
	d_step {
		UNLOCK;
		taken_slots = 0; taken_items = 0; taken_sessions = 0; unknown = 0; k = 0; x = 0;
		i = 0; it_state = 0; it_runs = 0; it_attempts = 0; it_filed = 0; n = 0; in_item = 0; in_run = 0;
		s_state = 0; s_runs = 0; s_attempts = 0; s_filed = 0; seen = 0; lives = 0;
		locked = 0; held = 0; command = 0; publish = 0; failed = 0
	};
	goto begin
}

#define ITEM   r_item[r]
#define MARKER marker[RUN(r_item[r], r_run[r])]
#define MY_SLOT_LOCK    slot_lock[r_slot[r]]
#define MY_SESSION_LOCK session_lock[SESSION(r_item[r])]

inline start_agent()
{
	if
	:: d_step { true ->
		assert((state[ITEM] == NOTIFIED && runs[ITEM] == r_run[r]) || state[ITEM] == DELETED);	/* P4 */
		assert(!(ran[ITEM] & BIT(r_run[r])));	/* P3 */
		assert(!succeeded[ITEM]);	/* P3 */
		agent[r] = 1; ran[ITEM] = ran[ITEM] | BIT(r_run[r]);
#ifndef WRONG_NOT_INHERITED
		MY_SLOT_LOCK = MY_SLOT_LOCK | AGENT(r);
#ifndef WRONG_NO_SESSION
		MY_SESSION_LOCK = MY_SESSION_LOCK | AGENT(r);
#endif
#endif
		do
		:: x == RUNNERS -> break
		:: else ->
			how = how + agent[x];
			assert(x == r || !agent[x] || SESSION(r_item[x]) != SESSION(ITEM));	/* P2 */
			x++
		od;
		assert(how <= SLOTS);	/* P1 */
		printf("runner %d: AGENT of item %d, run %d starts\n", r, ITEM, r_run[r]);
		x = 0; how = 0 }
	:: how = START_FAILED; goto record
	:: cancel[RUN(ITEM, r_run[r])] -> how = CANCELLED; goto record
	KILL
	HANG
	fi
}

inline mark_started()
{
	if
	:: d_step { true -> assert(MARKER == EXIT); MARKER = STARTED }	/* P7 */
	KILL
	HANG
	fi
}

inline mark_ended()
{
	if
	:: d_step { true ->
		assert(MARKER == EXIT || MARKER == STARTED);	/* P7 */
		MARKER = how;
		if
		:: how == OK -> succeeded[ITEM] = 1
		:: else
		fi;
		printf("runner %d: item %d, run %d is recorded: %d\n", r, ITEM, r_run[r], how);
		CHANGED }
	KILL
	HANG
	fi
}

inline agent_ends()
{
	agent[r] = 0; LET_GO(MY_SESSION_LOCK, AGENT(r)); LET_GO(MY_SLOT_LOCK, AGENT(r))
}

/* Runner.verify: the agent is gone, and a second process of the run begins in the agent's place, with the lease. The marker stays as it is. */
inline start_verifier()
{
	if
	:: d_step { true ->
		agent[r] = 1;
#ifndef WRONG_VERIFIER_NOT_INHERITED
		MY_SLOT_LOCK = MY_SLOT_LOCK | AGENT(r);
		MY_SESSION_LOCK = MY_SESSION_LOCK | AGENT(r);
#endif
#ifndef WRONG_VERIFIED_AFTER_RECORD
		assert(MARKER == STARTED);	/* P7 */
#endif
		do
		:: x == RUNNERS -> break
		:: else ->
			how = how + agent[x];
			assert(x == r || !agent[x] || SESSION(r_item[x]) != SESSION(ITEM));	/* P2 */
			x++
		od;
		assert(how - OK <= SLOTS);	/* P1 */
		printf("runner %d: VERIFIES item %d, run %d\n", r, ITEM, r_run[r]);
		x = 0; how = 0 }
	KILL
	HANG
	fi
}

/* The verifier ends, or is ended because of the mark. */
inline verifier_ends()
{
	if
	:: d_step { true -> agent_ends(); how = OK }
	:: d_step { true -> agent_ends(); how = FAILED }
	:: d_step { cancel[RUN(ITEM, r_run[r])] -> agent_ends(); how = CANCELLED }
	KILL
	HANG
	fi
}

/* A runner and its agent: slots.Run. Each of the two processes has the lease, and they take turns. */
proctype Runner(byte r)
{
	byte how, x;

begin:
end_begin:
	runner[r] && !hung[r];	/* a runner that hangs does so until a pass ends it */
	/* 1. wait at the gate (slots.readTask) */
	if
	:: gate[r] == TASK
	:: gate[r] == BROKEN -> goto gone
	KILL
	fi;
	/* 2. prepare; 3. start the agent, and only then rename the marker (Runner.start) */
#ifdef WRONG_STARTED_FIRST
	mark_started();
	start_agent();
#else
	start_agent();
	mark_started();
#endif
works:
	/* 4. the agent ends, well or badly, or is ended because of the mark (agentRun.wait, endProcesses) */
	if
	:: d_step { true -> agent_ends(); how = OK }
	:: d_step { true -> agent_ends(); how = FAILED }
	:: d_step { cancel[RUN(ITEM, r_run[r])] -> agent_ends(); how = CANCELLED }
#if UNLOCKS > 0
	:: d_step { unlocks < UNLOCKS -> unlocks++; MY_SLOT_LOCK = MY_SLOT_LOCK & ~(RUNNER(r) | AGENT(r));
		CHANGED; printf("runner %d: its agent UNLOCKS the slot\n", r) } goto works
	:: d_step { unlocks < UNLOCKS -> unlocks++; MY_SESSION_LOCK = MY_SESSION_LOCK & ~(RUNNER(r) | AGENT(r));
		CHANGED; printf("runner %d: its agent UNLOCKS the session\n", r) } goto works
#endif
	KILL
	HANG
	fi;
#ifdef VERIFIES
	/* 5. verify a run whose agent ended well (Runner.verify) */
#ifdef WRONG_VERIFIED_AFTER_RECORD
	mark_ended();
	if
	:: how == OK -> LET_GO(MY_SESSION_LOCK, RUNNER(r)); LET_GO(MY_SLOT_LOCK, RUNNER(r)); start_verifier(); verifier_ends()
	:: else
	fi;
	goto gone;
#endif
	if
	:: how == OK -> start_verifier(); verifier_ends()
	:: else
	fi;
#endif
record:	/* 6. rename the marker to end.… */
	skip;
#ifndef WRONG_RECORD_LAST
	mark_ended();
#endif
	/* 7. close the session's lock, then the slot's */
	if
	:: d_step { true -> LET_GO(MY_SESSION_LOCK, RUNNER(r)) }
	KILL
	HANG
	fi;
#ifdef WRONG_RECORD_LAST
	d_step { LET_GO(MY_SLOT_LOCK, RUNNER(r)); CHANGED };
	mark_ended();
#endif
	/* 8. start a tick, or leave it to one that waits: wake.pml. That of cron would come anyway */
	goto gone;

killed:
	if
	:: agent[r] ->
		/* the agent dies with the runner (Pdeathsig), or the agent or a process that it started lives on with the lease */
		if
		:: d_step { true -> agent_ends() }
		:: d_step { true -> runner[r] = 0; gate[r] = SHUT; how = 0; x = 0; LET_GO(MY_SESSION_LOCK, RUNNER(r)); LET_GO(MY_SLOT_LOCK, RUNNER(r)); printf("runner %d is KILLED, its agent lives on\n", r); CHANGED }
			if
			:: !agent[r] -> goto begin	/* a pass ended it */
			:: d_step { agent[r] && ORPHANS_END -> agent_ends(); CHANGED; r_slot[r] = 0; r_item[r] = 0; r_run[r] = 0 } goto begin
			fi
		fi
	:: else
	fi;
gone:	/* the kernel closes every descriptor */
	skip;
	d_step {
		runner[r] = 0; LET_GO(MY_SESSION_LOCK, RUNNER(r)); LET_GO(MY_SLOT_LOCK, RUNNER(r)); CHANGED;
		printf("runner %d is gone\n", r);
		r_slot[r] = 0; r_item[r] = 0; r_run[r] = 0; gate[r] = SHUT; how = 0; x = 0
	};
	goto begin
}

inline item_events(item)
{
	if
	:: d_step { state[item] == ABSENT -> state[item] = PENDING; CHANGED }	/* queue.Publish needs no lock */
	:: d_step { later[item] -> later[item] = 0; CHANGED }	/* not_before has come */
	:: d_step { deletions < DELETIONS && state[item] != ABSENT && state[item] != DELETED && !filed[item] ->
		deletions++; state[item] = DELETED; printf("the file of item %d is deleted\n", item); CHANGED }
	fi
}

inline slot_events(slot)
{
	if
	:: d_step { looks < LOOKS && slot_lock[slot] == 0 -> looks++; slot_lock[slot] = ONLOOKER }	/* slots.Locked */
	:: d_step { slot_lock[slot] & ONLOOKER -> LET_GO(slot_lock[slot], ONLOOKER) }
	:: d_step { losses < LOSSES && slot_run[slot] != 0 ->
		losses++; slot_item[slot] = 0; slot_run[slot] = 0; printf("the file of slot %d is lost\n", slot+1); CHANGED }
	fi
}

/* Events that come by themselves, or by a person's hand. */
proctype World()
{
end_world:
	do
	:: item_events(0)
#if ITEMS > 1
	:: item_events(1)
#endif
#if ITEMS > 2
	:: item_events(2)
#endif
	:: slot_events(0)
#if SLOTS > 1
	:: slot_events(1)
#endif
	od
}

/* P5: nothing can happen any more. */
proctype Rest()
{
	byte x;
end_rest:
	timeout ->
	d_step {
		do
		:: x == ITEMS -> break
		:: else -> assert((IS_SETTLED(state[x]) && filed[x]) || state[x] == DELETED); x++	/* P5 */
		od;
		x = 0;
		do
		:: x == SLOTS -> break
		:: else -> assert(slot_run[x] == 0 && slot_lock[x] == 0); x++	/* P5 */
		od;
		x = 0;
		do
		:: x == SESSIONS -> break
		:: else -> assert(session_lock[x] == 0); x++	/* P5 */
		od;
		x = 0;
		do
		:: x == RUNNERS -> break
		:: else -> assert(!runner[x] && !agent[x]); x++	/* P5 */
		od
	}
}

init
{
	byte x;
	atomic {
#ifndef ARRIVE
		do
		:: x == ITEMS -> break
		:: else -> state[x] = PENDING; x++
		od;
#endif
		x = 0;
		do
		:: x == PASSES -> break
		:: else -> run Pass(x); x++
		od;
		x = 0;
		do
		:: x == RUNNERS -> break
		:: else -> run Runner(x); x++
		od;
		run World();
		run Rest();
		x = 0
	}
}
