/* A run on a cluster, as a model that Spin checks in every order of events: onSlurm of tick/slurm.go, and slots/cluster.go. It is beside
 * protocol.pml, which has the steps that are the same: there a lock says whether a run lives, and here no lock is believed.
 *
 * A step is one durable write, one read, or one question to Slurm. kill -9 (KILL) may come to a pass before each write and around sbatch,
 * and to a job at any time: its agent dies with it.
 *
 * What Slurm says is a hint. It may say that a job is gone whose processes live (LIES: a node out of reach, a controller that lost its
 * state), may start a job again that it had started (TWICE), may not answer (any time), and sbatch may fail although the job lands, then or
 * later (FAILS).
 *
 * What must hold, in every state that can be reached:
 *
 *	P14  a job's name is submitted once
 *	P15  there are never two agents in one session, a run has an agent once at most, and none but that of a run on record; and a run is
 *	     never settled while its agent lives
 *	P16  an end that a runner recorded is what its item is settled by, and a run that was settled records none
 *	P17  at rest nothing is stuck: the item is settled, its slot is empty, no process is left
 *
 * One thing is assumed, and is what SLURM_FENCE is for: a runner that lives learns that it was fenced, and ends its agent, within that time.
 * So the wait is over here when no runner is left that claimed the run.
 *
 * A pass that leaves a run alone for a while whose job is said to be completed (onSlurm.mayEnd) does here what it does where Slurm does not
 * answer: nothing. When it is over, the run is fenced as any other.
 *
 * Left out: more items and slots, the marks of a person, deleted files (protocol.pml); that a run is fenced whose job came late and waits
 * in the queue (it is ended, and what it does is the same).
 */

#ifndef KILLS
#define KILLS 1
#endif
#ifndef LIES
#define LIES 1
#endif
#ifndef TWICE
#define TWICE 1
#endif
#ifndef FAILS
#define FAILS 1
#endif
#ifndef MAX_ATTEMPTS
#define MAX_ATTEMPTS 2
#endif
#define RUNS (MAX_ATTEMPTS + KILLS + LIES + FAILS)
#define JOBS 2                  /* processes of jobs at once that the model follows; one more waits until one of them is gone */

/* the item */
#define PENDING  0
#define NOTIFIED 1
#define SETTLED  2

/* the marker of a run */
#define NONE      0
#define EXIT      1
#define CLAIMED   2
#define STARTED   3
#define F_EXIT    4
#define F_CLAIMED 5
#define F_STARTED 6
#define FAILED    7
#define OK        8
#define HAS_ENDED(m) ((m) >= FAILED)
#define IS_FENCED(m) ((m) >= F_EXIT && (m) <= F_STARTED)

#define BIT(n) (1 << (n))

/* On disk. */
byte state, runs, attempts, intent;     /* intent: the run that the slot names; 0: it is empty */
byte marker[RUNS + 1];
bit  since[RUNS + 1];                   /* fence.json */

/* In the cluster. */
byte job_run[JOBS];     /* of which run a job is, 0: there is none */
bit  queued[JOBS];      /* it waits; else it is a process */
bit  known[JOBS];       /* Slurm says that it waits or runs */
bit  claims[JOBS];      /* the process has claimed its run */
bit  agent[JOBS];
byte stale[9];   /* jobs of a run that are gone, and that Slurm says are there still */
byte coming;            /* a run whose sbatch failed, and whose job lands later */

/* What happened. */
byte kills, lies, twice, fails;
byte submitted[RUNS + 1];
byte dirty = 1;         /* something changed since a pass began: a pass over what is as it was does nothing */

/* For the properties alone. */
short ran, over;        /* bits of runs: an agent was started; it is settled */
bit   succeeded;

#define CHANGED dirty = 1
#define KILL :: atomic { kills < KILLS -> kills++; CHANGED } goto killed

#define ROOM (job_run[0] == 0 || job_run[1] == 0)

/* a job of a run lands in the queue */
inline land(r)
{
	x = 0;
	do
	:: job_run[x] == 0 -> break
	:: else -> x++; assert(x < JOBS)
	od;
	job_run[x] = r; queued[x] = 1; known[x] = 1; x = 0; CHANGED
}

/* what squeue says of a run's name */
inline look_up(r)
{
	x = 0; there = stale[r] > 0;
	do
	:: x == JOBS -> break
	:: else -> there = there || (known[x] && job_run[x] == r); x++
	od;
	x = 0
}

/* whether a runner that claimed a run may live: SLURM_FENCE is not over, and the mark yielded is not there */
inline look_for_runner(r)
{
	x = 0; lives = 0;
	do
	:: x == JOBS -> break
	:: else -> lives = lives || (claims[x] && job_run[x] == r); x++
	od;
	x = 0
}

/* slots.Dir.Fence: a rename from what was seen; whatever it has become meanwhile is seen instead */
inline fence(r)
{
#ifndef WRONG_NO_FENCE
	atomic {
		if
		:: marker[r] == EXIT || marker[r] == NONE -> marker[r] = F_EXIT; CHANGED
		:: marker[r] == CLAIMED -> marker[r] = F_CLAIMED; CHANGED
		:: marker[r] == STARTED -> marker[r] = F_STARTED; CHANGED
		:: else
		fi;
		seen = marker[r]
	}
#else
	seen = (seen == STARTED -> F_STARTED : F_CLAIMED)
#endif
}

active proctype Pass()
{
	byte n, x, seen;
	bit there, lives, silent;
begin:
end_begin:
	atomic { dirty -> dirty = 0 }
	/* reconcile: the slot */
	if
	:: intent == 0 -> goto fill
	:: intent != 0 && state == PENDING && intent == runs + 1 ->
		if KILL
		:: marker[intent] = NONE; CHANGED
		fi;
		goto clear
	:: intent != 0 && state == NOTIFIED && intent == runs
	:: else -> goto clear
	fi;
	n = runs;
	/* onSlurm.look: Slurm first, then the marker */
	atomic {
		if
		:: silent = 1; CHANGED
		:: silent = 0; look_up(n)
		fi
	};
	seen = marker[n];
	if
	:: HAS_ENDED(seen) -> goto settle
#ifndef WRONG_SILENT_IS_GONE
	:: !HAS_ENDED(seen) && silent -> goto done
#endif
	:: !HAS_ENDED(seen) && !silent && there && IS_FENCED(seen) ->	/* scancel: the process is told to end, sooner or later */
		atomic {
			x = 0;
			do
			:: x == JOBS -> break
			:: else ->
				if
				:: job_run[x] == n && queued[x] -> job_run[x] = 0; queued[x] = 0; known[x] = 0; CHANGED
				:: else
				fi;
				x++
			od;
			x = 0
		};
		goto done
	:: !HAS_ENDED(seen) && !silent && there && !IS_FENCED(seen) -> goto done
	:: else
	fi;
	/* onSlurm.gone */
	if KILL
	:: fence(n)
	fi;
	if
	:: HAS_ENDED(seen) -> goto settle
	:: else
	fi;
	if KILL
	:: since[n] = 1
	fi;
#ifndef WRONG_NO_WAIT
#ifndef WRONG_NOT_LOOKED_FOR
	atomic {
		look_for_runner(n);
		if
		:: lives && seen != F_EXIT -> skip
		:: else -> lives = 0
		fi
	};
#ifndef WRONG_NO_FENCE
	if
	:: lives -> goto done
	:: else
	fi;
#endif
#endif
#endif
settle:
	if KILL
	:: atomic { true;
		assert(!(over & BIT(n))); /* P16 */
		assert(!HAS_ENDED(marker[n]) || seen == marker[n]); /* P16 */
		x = 0;
		do
		:: x == JOBS -> break
		:: else -> assert(!(agent[x] && job_run[x] == n) || HAS_ENDED(seen)); x++ /* P15 */
		od;
		x = 0;
		over = over | BIT(n);
		if
		:: seen == OK -> state = SETTLED; succeeded = 1
		:: seen == FAILED || seen == F_STARTED ->
			attempts++;
			state = (attempts >= MAX_ATTEMPTS -> SETTLED : PENDING)
		:: else -> state = PENDING
		fi;
		CHANGED }
	fi;
clear:
	if KILL
	:: intent = 0; CHANGED
	fi;
fill:
	if
	:: state != PENDING -> goto done
	:: else
	fi;
	n = runs + 1;
	assert(n <= RUNS); /* P17 */
	if KILL
	:: atomic { true; assert(intent == 0); intent = n; CHANGED }	/* a. */
	fi;
	if KILL
	:: atomic { true; assert(marker[n] == NONE); marker[n] = EXIT }	/* b. */
	fi;
	if KILL
	:: atomic { true; state = NOTIFIED; runs = n; CHANGED }	/* d. (c. is a file that decides nothing) */
	fi;
submit:	/* e. sbatch, which is a process of its own: a pass that is killed leaves it to land its job, or not */
	if
	:: atomic { kills < KILLS -> kills++; CHANGED } goto killed
	:: atomic { ROOM -> submitted[n]++; assert(submitted[n] == 1); /* P14 */
		land(n) } goto done
	:: atomic { kills < KILLS -> kills++; submitted[n]++; assert(submitted[n] == 1); /* P14 */
		coming = n; CHANGED } goto killed
	:: atomic { fails < FAILS -> fails++; submitted[n]++; assert(submitted[n] == 1); /* P14 */
		if
		:: ROOM -> land(n)
		:: coming = n
		:: true	/* refused */
		fi }
	fi;
	/* it failed: the job is looked for by its name */
#ifdef WRONG_SUBMITTED_AGAIN
	goto submit;
#endif
	atomic {
		if
		:: silent = 1; CHANGED
		:: silent = 0; look_up(n)
		fi
	};
	if
	:: silent || there -> goto done
	:: else
	fi;
	seen = EXIT;
	if KILL
	:: fence(n)
	fi;
	CHANGED;
done:
	atomic { n = 0; seen = 0; there = 0; lives = 0; silent = 0 };
	goto begin;
killed:
	atomic { n = 0; x = 0; seen = 0; there = 0; lives = 0; silent = 0 };
	goto begin
}

#define R job_run[j]
#define DIES :: atomic { kills < KILLS -> kills++ } goto gone

/* slots.RunJob and the runner */
proctype Job(byte j)
{
	byte x, how;
begin:
end_begin:
	R != 0 && !queued[j];
#ifdef WRONG_NO_CLAIM
	if
	:: atomic { marker[R] == EXIT || marker[R] == CLAIMED || marker[R] == STARTED -> claims[j] = 1; marker[R] = (marker[R] == EXIT -> CLAIMED : marker[R]) }
	:: else -> goto gone
	DIES
	fi;
#else
	if
	:: atomic { marker[R] == EXIT -> marker[R] = CLAIMED; claims[j] = 1 }
	:: else -> goto gone
	DIES
	fi;
#endif
	/* it looks for the fence, and starts the agent */
	if
	:: IS_FENCED(marker[R]) -> goto gone
	:: else
	DIES
	fi;
	if
	:: atomic { true;
		x = 0;
		do
		:: x == JOBS -> break
		:: else -> assert(!agent[x]); x++ /* P15 */
		od;
		x = 0;
		assert(!(ran & BIT(R))); /* P15 */
		assert(state == NOTIFIED && runs == R && !succeeded); /* P15 */
		agent[j] = 1; ran = ran | BIT(R) }
	DIES
	fi;
	if
	:: atomic { marker[R] == CLAIMED -> marker[R] = STARTED }
#ifdef WRONG_NO_CLAIM
	:: marker[R] == STARTED
#endif
	:: atomic { IS_FENCED(marker[R]) -> agent[j] = 0 } goto gone
	DIES
	fi;
	/* the agent ends, or is ended because of the fence */
	if
	:: atomic { agent[j] = 0; how = OK }
	:: atomic { agent[j] = 0; how = FAILED }
#ifndef WRONG_NOT_LOOKED_FOR
	:: atomic { IS_FENCED(marker[R]) -> agent[j] = 0 } goto gone
#endif
	DIES
	fi;
	if
	:: atomic { marker[R] == STARTED -> assert(!(over & BIT(R))); /* P16 */
		marker[R] = how; CHANGED }
	:: IS_FENCED(marker[R])
#ifdef WRONG_NO_CLAIM
	:: HAS_ENDED(marker[R])
#endif
	DIES
	fi;
gone:	/* Slurm says so later, unless it said so before */
	atomic { stale[R] = stale[R] + known[j]; agent[j] = 0; claims[j] = 0; known[j] = 0; R = 0; how = 0; x = 0; CHANGED };
	goto begin
}

#undef R

/* What the cluster does by itself with a job. */
inline job_events(j)
{
	if
	:: atomic { queued[j] -> queued[j] = 0 }	/* it begins */
	:: atomic { lies < LIES && job_run[j] != 0 && known[j] -> lies++; known[j] = 0;	/* it is said to be gone; if it waits, it is */
		if
		:: queued[j] -> job_run[j] = 0; queued[j] = 0
		:: else
		fi;
		CHANGED }
	:: atomic { twice < TWICE && job_run[j] != 0 && !queued[j] && known[j] && ROOM -> twice++; land(job_run[j]) }
	fi
}

inline forget(r)
{
	atomic { stale[r] > 0 -> stale[r]--; CHANGED }
}

proctype World()
{
	byte x;
end_world:
	do
	:: job_events(0)
	:: job_events(1)
	:: forget(1)
	:: forget(2)
#if RUNS > 2
	:: forget(3)
#endif
#if RUNS > 3
	:: forget(4)
#endif
#if RUNS > 4
	:: forget(5)
#endif
#if RUNS > 5
	:: forget(6)
	:: forget(7)
	:: forget(8)
#endif
	:: atomic { coming != 0 && ROOM -> land(coming); coming = 0 }
	:: atomic { coming != 0 -> coming = 0 }	/* it was refused after all */
	od
}

/* P17: nothing can happen any more. */
proctype Rest()
{
	byte x;
end_rest:
	timeout ->
	d_step {
		assert(state == SETTLED && intent == 0); /* P17 */
		do
		:: x == JOBS -> break
		:: else -> assert(job_run[x] == 0 && !agent[x]); x++ /* P17 */
		od
	}
}

init
{
	byte x;
	atomic {
		do
		:: x == JOBS -> break
		:: else -> run Job(x); x++
		od;
		run World();
		run Rest();
		x = 0
	}
}
