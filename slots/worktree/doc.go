// Package worktree is the git side of a session: the clone, the branch and the worktree an agent works in, and the
// snapshot that is taken of what it left uncommitted.
//
// It runs in the runner of a run, never under the tick's lock, since a clone may take minutes. The caller holds the
// session's lock, so nobody else prepares, snapshots or removes *this* worktree. Another runner may be at work in the
// same repository for another issue: one flock per repository keeps them apart, because `git worktree add` races with
// itself (measured: 147 of 480 failed at sixteen at once). The agents in the other worktrees take no lock of ours, so
// whatever may collide with *them* (a ref lock, a fetch) is tried a second time instead.
//
// What is on disk, what a crash leaves in each, and who mends it (always Prepare, under the repository's lock):
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
//	.gone-<session>            a worktree that was being removed  deleted by the next Remove: it was looked at before
//	.part-<session>            a file that was being written      overwritten by the next, or deleted by Remove
//	anything else in the way   not ours to judge                  refused with an error, nothing is touched
//
// The one invariant: nothing is deleted unless it was proved to be a copy of something git keeps.
//
// An agent can write into its worktree and into the repository, and git believes what stands there: filters, hooks, helpers
// and remotes are commands that a line of configuration names. So each git of ours looks at the repository through a private
// git directory (private.go) with the configuration that config.go lets through, and what git has on record for worktrees is
// read and made as files (place.go). This holds against an agent whose sandbox opens the worktree and the repository. An
// agent without one, as the same user, could change any file of ours directly.
package worktree
