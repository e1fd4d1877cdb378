// Package slots gives out the right to run an agent, and runs it.
//
// A slot is taken while its lock file is flocked. The tick takes the lock, and the lock of the session, and
// hands both to the runner that it forks; the runner hands them to the agent and to git. Together they are the run's
// lease: the kernel drops it when the last process that has it is gone, so "is it alive?" is one lock attempt and never
// a guess from a pid. Because a lock can be held only once, the number of slots bounds the agents even if two ticks
// were to run at once.
//
//	slots/k.lock          held: the slot is taken. Never deleted
//	slots/k.json          the intent: which run is in the slot, or is about to be. Never overwritten
//	runs/<item>.<n>/      a run: its log, its result, and one empty file, the marker, only ever renamed
//	sessions/<s>.json     what is known of an issue's workspace; <s>.lock is held by whoever works in it
//	worktrees/<s>/        the workspace itself; .gone-<s>/ while it is being deleted
//
// Three rules make a lease trustworthy. It is only ever closed, never unlocked: an explicit unlock would free the
// child's lease too. (A runner whose run is recorded unlocks it where another user's process is left that inherited it.) The
// lease is probed first, the runner second, since an agent may unlock what it inherited, and the marker third: the other way
// round a run that ends between the two looks lost, and would be run again. And no error but "would block" means held, no success but the lock itself
// means free; anything else is unknown, and unknown counts as held.
//
// What somebody else put in place of a file or a folder of a run is not followed: a link does not lead out of the state
// folder what is written or deleted for a run. The folders above may be links, by their user.
//
// This package knows runs and sessions, not items: package tick joins the two.
package slots
