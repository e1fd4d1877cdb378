/* A model that Spin checks in every order of events. It is how the end of a run comes to a pass that begins after it, though no pass comes by itself:
 * wakeQueue of slots, and the notice of tick. It stands beside protocol.pml, in which a pass may come at any time.
 *
 * A step is one read or one write. What must hold, in every state that can be reached:
 *
 *	P18  at rest each run that ended was seen by a pass, without any other tick
 *
 * Left out is a tick that is killed while it waits: the next one sees the ends that relied on it, as it sees those of a runner that is killed
 * before it starts a tick. contrib/faults kills real ones there.
 */
#ifndef RUNNERS
#define RUNNERS 3
#endif

bit over[RUNNERS];      /* the end is recorded, and the lease is closed */
bit seen[RUNNERS];
bit lock, next;         /* tick.lock and tick.next are locked */

/* slots.Dir.wakeQueue */
inline wake() {
	if
	:: next
	:: !next -> run tick()
	fi
}

proctype runner(byte r) {
#ifdef WRONG_LOOKED_FIRST
	wake();
	over[r] = 1
#else
	over[r] = 1;
	wake()
#endif
}

inline take_back() {
	if
	:: d_step { said -> said = 0; next = 0 }
	:: else
	fi
}

/* tick.Run */
proctype tick() {
	bit said;
	byte r;

	if
	:: d_step { lock == 0 -> lock = 1 }
	:: lock == 1 ->
		if
		:: d_step { next == 0 -> next = 1; said = 1 }
		:: next == 1    /* another tick waits, too */
		fi;
		do
		:: d_step { said -> said = 0; next = 0 }        /* it has waited for half of its time */
		:: d_step { lock == 0 -> lock = 1 } -> break
		od
	fi;
#ifndef WRONG_TAKEN_BACK_LATE
	take_back();
#endif
	do
	:: r < RUNNERS -> seen[r] = seen[r] | over[r]; r++
	:: else -> break
	od;
#ifdef WRONG_TAKEN_BACK_LATE
	take_back();
#endif
	lock = 0
}

init {
	byte r;

	atomic {
		run tick();     /* by whatever */
		do
		:: r < RUNNERS -> run runner(r); r++
		:: else -> break
		od
	};
	_nr_pr == 1;
	d_step {
		r = 0;
		do
		:: r < RUNNERS -> assert(seen[r]); r++ /* P18 */
		:: else -> break
		od
	}
}
