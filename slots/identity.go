package slots

import (
	"context"
	"sync"

	"kugetsu/slots/worktree"
)

// answer is what git knows of names, and what an environment lacks of them.
type answer struct {
	missing []string
	err     error
}

// named asks what an environment lacks for git to know whose name is on commits in a workspace. What it returns waits for the
// answer. Whoever asks waits for it, also where it is not needed any more: the git that is asked holds the slot.
func (r *Runner) named(ctx context.Context, env []string, spec worktree.Spec) (wait func() answer) {
	c := make(chan answer, 1)
	git := &worktree.Git{Env: env, Own: r.git.Own, Files: r.git.Files}
	go func() {
		known, err := git.Named(ctx, spec)
		if err != nil {
			c <- answer{err: err}
			return
		}
		set, err := worktree.ParseIdentity(r.task.Workspace.Identity)
		c <- answer{known.Missing(env, set), err}
	}()
	return sync.OnceValue(func() answer { return <-c })
}

// names waits for the answer that was asked for. If there is none, it is asked again: what was wrong with the worktree may have
// been mended meanwhile. Without one git is left to itself: an agent that does not commit needs none.
func (r *Runner) names(ctx context.Context, env []string, spec worktree.Spec, asked func() answer) []string {
	a := asked()
	if a.err != nil {
		a = r.named(ctx, env, spec)()
	}
	if a.err != nil {
		r.log.say("whose name is on commits is left to git: %v", a.err)
	}
	return a.missing
}
