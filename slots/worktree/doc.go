// Package worktree is the git side of a session: the clone, the branch, the worktree in which an agent works, and the
// snapshot of the files that the agent left uncommitted.
//
// It runs in the runner of a run, never under the tick's lock, since a clone may take minutes. The caller holds the
// session's lock, so no other process prepares, snapshots or removes *this* worktree. Another runner may work in the same
// repository for another issue. One flock per repository keeps the two apart, because `git worktree add` races with itself
// (measured: 147 of 480 failed at sixteen at once). The agents in the other worktrees take no lock of kugetsu's. So a call
// that may collide with *them* (a ref lock, a fetch) is tried a second time.
//
// The things on disk, the state in which a crash leaves each, and its repair (always by Prepare, under the repository's
// lock):
//
//	repos/<repo>.git.tmp-*     a clone that was killed            removed, cloned anew
//	repos/<repo>.git           complete: renamed into place       -
//	ref and config locks       left by a killed git               removed when a git call failed and they are a minute old
//	an empty commondir         the same: stops every git there    completed
//	branch, no worktree        killed after `git branch`          reused: a branch may hold work, it is never reset
//	worktree "initializing"    killed inside `git worktree add`   removed if every file in it is a copy from the branch
//	files without a .git       killed while git cleaned up        the same
//	registered, folder gone    deleted by hand                    registered anew, the branch and its commits stay
//	branch gone under a HEAD   deleted by hand                    made again at the commit of the last line of the reflog
//	a .git to nowhere          repository or state folder moved   joined to the record that names it, if that is certain
//	record of one inside it    the session's worktree is gone     forgotten by the next Remove or Prepare
//	record <session>.<run>     of a worktree on a node's disk     dropped by Discard, before the next Prepare (see scratch.go)
//	.gone-<session>            a worktree that was being removed  deleted by the next Remove: it was examined before
//	.part-<session>            a file that was being written      overwritten by the next, or deleted by Remove
//	anything else in the way   not kugetsu's                      refused with an error, nothing is touched
//
// The one invariant: nothing is deleted unless it was proved to be a copy of something git keeps.
//
// An agent can write into its worktree and into the repository, and git believes the files there: filters, hooks, helpers
// and remotes are commands that a line of configuration names. So kugetsu's git is run by slots/git, through a
// private git directory. git's records of worktrees are read and made as files (record.go). This holds against an agent whose sandbox opens the worktree and the repository. An agent without a
// sandbox, as the same user, could change any file of kugetsu's directly.
package worktree
