package worktree

import (
	"context"
	"slices"
	"strings"
)

// hadMost is how many of the newest commits of a branch are looked through.
const hadMost = "200"

// Had says whether the session's branch has a commit, as its tip or as one of the newest below it. It does not have another person's
// commit, even if that was fetched. Had asks no remote and takes no lock.
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
