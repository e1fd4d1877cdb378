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

// base is the base of the session and its commit: the branch that it is on top of, else base as all sessions have it.
func (r *repo) base(ctx context.Context, f refs) (name, commit string, err error) {
	name, commit, err = r.usualBase(ctx, f)
	if err != nil || r.spec.OnTop == "" {
		return name, commit, err
	}
	top, _, err := r.spec.top(ctx, r.made, commit)
	if err != nil || top == "" {
		return name, commit, err
	}
	return r.spec.OnTop, top, nil
}

// top is the commit of the branch that the session is on top of, with the commits that were not pushed yet. It is "" if the branch is in
// the base already, or does not exist. A branch that was deleted on the remote counts as one that does not exist, even if it is still in
// this repository: forges delete merged branches, and no request can go to a deleted branch.
func (s Spec) top(ctx context.Context, p *git.Private, base string) (commit string, there bool, err error) {
	if s.OnTop == "" || s.Merged {
		return "", s.Merged, nil
	}
	for _, ref := range []string{"refs/heads/" + s.OnTop, p.At.Tracking() + s.OnTop} {
		out, err := p.Run(ctx, git.Command{Args: []string{"rev-parse", "--quiet", "--verify", ref + "^{commit}"}})
		if git.ExitCode(err) == 1 {
			continue
		}
		if err != nil {
			return "", false, err
		}
		commit = strings.TrimSpace(out)
		break
	}
	if commit == "" || base == "" {
		return commit, commit != "", nil
	}
	if merged, err := s.merged(ctx, p, commit, base); err != nil || merged {
		return "", true, err
	}
	gone, err := s.deleted(ctx, p)
	if err != nil || gone {
		return "", false, err
	}
	return commit, true, nil
}

// merged says whether the base has the commits of a branch or, if they were squashed, their changes.
func (s Spec) merged(ctx context.Context, p *git.Private, commit, base string) (bool, error) {
	run := func(args ...string) (string, bool, error) {
		out, err := p.Run(ctx, git.Command{Args: args})
		if git.ExitCode(err) == 1 {
			return "", false, nil
		}
		return strings.TrimSpace(out), err == nil, err
	}
	if _, is, err := run("merge-base", "--is-ancestor", commit, base); err != nil || is {
		return is, err
	}
	from, related, err := run("merge-base", commit, base)
	if err != nil || !related {
		return false, err
	}
	trees, _, err := run("rev-parse", from+"^{tree}", commit+"^{tree}", base+"^{tree}")
	tree := strings.Fields(trees)
	if err != nil || len(tree) != 3 || tree[0] == tree[1] { // it changed nothing, and so the base cannot have that
		return false, err
	}
	both, clean, err := run("merge-tree", "--write-tree", base, commit)
	return clean && both == tree[2], err
}

// deleted says whether the branch that the session is on top of was pushed, and is not on the remote any more.
func (s Spec) deleted(ctx context.Context, p *git.Private) (bool, error) {
	out, err := p.Run(ctx, git.Command{Args: []string{"for-each-ref", "--format=%(refname)", pushedRefs + s.OnTop, p.At.Tracking() + s.OnTop}})
	return strings.TrimSpace(out) == pushedRefs+s.OnTop, err
}

// known is the commit of the base of that name, empty where there is none.
func (s Spec) known(ctx context.Context, p *git.Private, name string) (string, error) {
	for _, ref := range []string{p.At.Tracking() + name, "refs/heads/" + name} {
		out, err := p.Run(ctx, git.Command{Args: []string{"rev-parse", "--quiet", "--verify", ref + "^{commit}"}})
		if err == nil {
			return strings.TrimSpace(out), nil
		}
		if git.ExitCode(err) != 1 {
			return "", err
		}
	}
	return "", nil
}

// Bases are the branches of which it is known, without asking a remote, that no session may work on them: the base, and what is checked out
// in a local checkout.
func (s Spec) Bases() []string {
	bases := []string{strings.TrimPrefix(s.Base, "origin/")}
	common, err := s.repository()
	if err != nil { // the run tells it
		return bases
	}
	for _, at := range [][2]string{{"refs/remotes/" + git.Origin + "/HEAD", "refs/remotes/" + git.Origin + "/"}, {"HEAD", "refs/heads/"}} {
		if at[0] == "HEAD" && s.Source.Local == "" {
			continue
		}
		if name, err := git.BranchIn(filepath.Join(common, at[0]), at[1]); err == nil {
			bases = append(bases, name)
		}
	}
	return bases
}

// usualBase is that branch and its commit, which is empty where the repository has no such branch. In a local checkout
// KUGETSU_BASE_BRANCH may also name a branch of its own. A commit that is checked out there without a branch is its own name.
func (r *repo) usualBase(ctx context.Context, f refs) (name, commit string, err error) {
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
