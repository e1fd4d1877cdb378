package worktree

import (
	"context"
	"path/filepath"
	"strings"

	"kugetsu/slots/git"
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
func baseName(at git.Location, remoteHead string, checkedOut func() (string, error)) (string, error) {
	switch {
	case at.Base != "":
		return at.Base, nil
	case remoteHead != "":
		return remoteHead, nil
	case at.Local != "" && len(at.Remotes.Names) == 0:
		return checkedOut()
	}
	return "", nil
}

// base is that branch and its commit, which is empty where the repository has no such branch. In a local checkout
// KUGETSU_BASE_BRANCH may also name a branch of its own. A commit that is checked out there without a branch is its own name.
func (r *repo) base(ctx context.Context, f refs) (name, commit string, err error) {
	at, here := r.made.At, ""
	name, err = baseName(at, strings.TrimPrefix(f.head.symref, at.Tracking()), func() (string, error) {
		out, err := r.git(ctx, "rev-parse", "HEAD^{commit}", "--symbolic-full-name", "HEAD")
		if git.ExitCode(err) > 0 { // it has no commit yet
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
	case at.Base == "" && f.head.commit == "":
		commit = here
	case at.Base == "":
		commit = f.head.commit
	case f.base.commit == "" && at.Local != "":
		commit = f.localBase.commit
	default:
		commit = f.base.commit
	}
	return name, commit, err
}

// baseInFiles is baseName without a process, where git keeps its references in files.
func baseInFiles(at git.Location) (string, error) {
	remoteHead, err := git.BranchIn(filepath.Join(at.Common, at.Tracking(), "HEAD"), at.Tracking())
	if err != nil {
		return "", err
	}
	return baseName(at, remoteHead, func() (string, error) { return git.BranchIn(filepath.Join(at.Common, "HEAD"), "refs/heads/") })
}

// ref is one reference; commit is empty when it does not exist.
type ref struct{ commit, symref string }

// refs are those that decide where a worktree starts.
type refs struct{ branch, origin, head, base, localBase ref }

func (r *repo) refs(ctx context.Context) (refs, error) {
	var f refs
	p, err := r.private(ctx)
	if err != nil {
		return f, err
	}
	tracking := p.At.Tracking()
	want := map[string]*ref{
		"refs/heads/" + r.spec.Branch: &f.branch,
		tracking + r.spec.Branch:      &f.origin,
		tracking + "HEAD":             &f.head,
	}
	base, localBase := tracking+r.spec.Base, "refs/heads/"+r.spec.Base
	args := []string{"for-each-ref", "--format=%(refname)%00%(objectname)%00%(symref)%00"}
	for name := range want {
		args = append(args, name)
	}
	if r.spec.Base != "" {
		args = append(args, base, localBase)
	}
	out, err := r.git(ctx, args...)
	if err != nil {
		return f, err
	}
	for line := range strings.SplitSeq(out, "\x00\n") {
		// A pattern also matches what lies below it, hence the look-up by the whole name.
		if part := strings.Split(line, "\x00"); len(part) == 3 {
			got := ref{commit: part[1], symref: part[2]}
			if p := want[part[0]]; p != nil {
				*p = got
			}
			if part[0] == base {
				f.base = got
			}
			if part[0] == localBase {
				f.localBase = got
			}
		}
	}
	return f, nil
}
