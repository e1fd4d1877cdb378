package worktree

import (
	"context"
	"slices"
	"strings"
)

// hadMost is how many of the newest commits of a branch are looked through.
const hadMost = "200"

// Had says whether a commit is one that the session's branch has or had on its way: the tip, or one of the newest below it. A
// commit of another person is not, also where it was fetched. It asks no remote and takes no lock.
func (g *Git) Had(ctx context.Context, s Spec, commit string) (bool, error) {
	r, _, err := g.repository(s)
	if err != nil || r == nil {
		return false, err
	}
	defer r.close()
	f, err := r.refs(ctx)
	if err != nil || f.branch.commit == "" || f.branch.commit == commit {
		return err == nil && f.branch.commit != "", err
	}
	// The ids are listed and compared here, since git fails for a commit that it does not have.
	out, err := r.git(ctx, "rev-list", "--first-parent", "--max-count="+hadMost, f.branch.commit)
	return slices.Contains(strings.Fields(out), commit), err
}
