// Package slots gives out the right to run an agent, and runs it.
//
// A slot is occupied while its lock file is locked with flock(2). The tick takes the lock of the slot and that of the issue's
// session, and passes both to the runner that it forks. The runner passes them to the agent and to git. Together the two locks
// are the run's lease. The kernel drops a lease when the last process that inherited it is gone. So "is it alive?" is one
// attempt to lock, and never a guess from a pid. Only one run can have a lock, so the number of slots bounds the agents, even
// if two ticks ran at once.
//
//	slots/k.lock          locked: the slot is occupied. Never deleted
//	slots/k.json          the intent: which run is in the slot, or is about to be. Never overwritten
//	runs/<item>.<n>/      a run: its log, its result, and one empty file, the marker, that is only ever renamed
//	sessions/<s>.json     the record of an issue's workspace; <s>.lock is locked while a process works in the workspace
//	worktrees/<s>/        the workspace itself; .gone-<s>/ while it is being deleted
//
// Three rules make a lease trustworthy:
//
//   - A lease is closed and never unlocked: an explicit unlock would free the child's lease, too. There is one exception: a
//     runner whose run is recorded unlocks it where a process of another user is left that inherited it.
//   - The lease is probed first, the runner second, and the marker third. The runner is asked since an agent may unlock a lease
//     that it inherited. In another order a run that ends between two of these looks lost, and would be run again.
//   - Only the error "would block" means locked, and only a lock that was taken means free. Anything else is unknown, and unknown
//     counts as locked.
//
// Links in place of a run's files and folders are not followed: nothing that is written or deleted for a run leaves the state
// folder. The folders above may be links that the user made.
//
// This package knows runs and sessions, not items: package tick joins the two.
package slots
