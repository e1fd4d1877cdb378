package slots

import (
	"context"
	"sync"

	"kugetsu/slots/git"
	"kugetsu/slots/worktree"
)

// answer is the variables that an environment lacks for git to know an author.
type answer struct {
	missing []string
	err     error
}

// named asks git which variables an environment lacks for commits in a workspace to have an author. The function that it returns
// waits for the answer. The caller must wait even if it does not need the answer any more, since this git has inherited the lock of the
// slot. anew says that the configuration may have been changed since the run read it.
func (r *Runner) named(ctx context.Context, env []string, spec worktree.Spec, anew bool) (wait func() answer) {
	c := make(chan answer, 1)
	runs := &worktree.Git{Runner: git.Runner{Env: env, Own: r.git.Own, Files: r.git.Files}}
	if !anew {
		runs.Like = &r.git.Runner
	}
	go func() {
		known, err := runs.Named(ctx, spec)
		if err != nil {
			c <- answer{err: err}
			return
		}
		set, err := git.ParseIdentity(r.task.Workspace.Identity)
		c <- answer{known.Missing(env, set), err}
	}()
	return sync.OnceValue(func() answer { return <-c })
}

// names waits for the answer. After an error it asks again: the worktree may have been repaired meanwhile. After a second error
// it adds nothing: an agent that does not commit needs no author.
func (r *Runner) names(ctx context.Context, env []string, spec worktree.Spec, asked func() answer) []string {
	a := asked()
	if a.err != nil {
		a = r.named(ctx, env, spec, true)()
	}
	if a.err != nil {
		r.log.say("the author of commits is left to git: %v", a.err)
	}
	return a.missing
}
