package worktree

import (
	"context"
	"path/filepath"
	"strings"
)

// baseName is the branch that new work begins from and is merged into; empty where that is not known. The first of these
// decides:
//
//	KUGETSU_BASE_BRANCH
//	the default branch of the remote
//	in a local checkout without any remote, the branch that is checked out there
//
// In a checkout with remotes, the branch that is checked out may be its owner's unfinished work, which would go out with the
// session's branch.
func (at location) baseName(remoteHead string, checkedOut func() (string, error)) (string, error) {
	switch {
	case at.base != "":
		return at.base, nil
	case remoteHead != "":
		return remoteHead, nil
	case at.local != "" && len(at.remotes.names) == 0:
		return checkedOut()
	}
	return "", nil
}

// base is that branch and its commit, which is empty where the repository has no such branch. In a local checkout
// KUGETSU_BASE_BRANCH may also name a branch of its own. A commit that is checked out there without a branch is its own name.
func (r *repo) base(ctx context.Context, f refs) (name, commit string, err error) {
	at, here := r.made.at, ""
	name, err = at.baseName(strings.TrimPrefix(f.head.symref, at.tracking()), func() (string, error) {
		out, err := r.git(ctx, "rev-parse", "HEAD^{commit}", "--symbolic-full-name", "HEAD")
		if exitCode(err) > 0 { // it has no commit yet
			return "", nil
		}
		commit, full, _ := strings.Cut(strings.TrimSpace(out), "\n")
		here = commit
		if full == "HEAD" {
			return commit, err
		}
		return strings.TrimPrefix(full, "refs/heads/"), err
	})
	switch {
	case at.base == "" && f.head.commit == "":
		commit = here
	case at.base == "":
		commit = f.head.commit
	case f.base.commit == "" && at.local != "":
		commit = f.localBase.commit
	default:
		commit = f.base.commit
	}
	return name, commit, err
}

// baseInFiles is baseName without a process, where git keeps its references in files.
func (at location) baseInFiles() (string, error) {
	remoteHead, err := branchIn(filepath.Join(at.common, at.tracking(), "HEAD"), at.tracking())
	if err != nil {
		return "", err
	}
	return at.baseName(remoteHead, func() (string, error) { return branchIn(filepath.Join(at.common, "HEAD"), "refs/heads/") })
}
