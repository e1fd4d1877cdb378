package worktree

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"

	"kugetsu/slots/git"
)

// Snapshot describes the worktree that a run left.
type Snapshot struct {
	Ref    string   // the reference that keeps what was uncommitted; empty when there was nothing
	Commit string   // what is at that reference
	Tree   string   // the tree of what is kept there
	Head   string   // the commit checked out; empty on a branch without any commit
	Branch string   // the branch checked out; empty when HEAD is detached
	Dirty  int      // files that differ from HEAD, or are new
	Files  []string // the first of them in git's order: any bytes but NUL

	Inside []Snapshot // of the worktrees of the repository inside of it, where they have something
}

// Snapshot looks at a session's worktree after a run and keeps whatever is uncommitted in it (staged, unstaged, or
// untracked and not ignored) as a commit at ref, which must be new and below refs/kugetsu/. Its first parent is HEAD.
// Where something was staged and then changed again, the staged version is its second parent, as in git-stash(1).
// HEAD, the branches, the stash and the index in the worktree stay as they are. A clean worktree costs one git process.
// Files that plain git status does not show, or fails at, are kept as well: see status.
//
// The snapshot goes into the session's repository, whatever became of the worktree's .git. It is there as a whole, or there is an error:
// see install.
//
// An error beside a Snapshot with a Ref says what could not be kept: a file that cannot be read, or a repository
// inside the worktree, of which git records no more than its commit. The rest is in the snapshot.
func (g *Git) Snapshot(ctx context.Context, s Spec, ref, message string) (Snapshot, error) {
	var snap Snapshot
	if !strings.HasPrefix(ref, "refs/kugetsu/") || !git.ValidRef(ref) {
		return snap, git.Refuse("snapshot", "not a reference below refs/kugetsu/: %q", ref)
	}
	p, by, err := g.left(ctx, s)
	if err != nil {
		return snap, err
	}
	defer p.Done()
	st, missed, err := p.StatusOf(ctx, by)
	if err != nil {
		return snap, err
	}
	if snap.Dirty = st.Dirty; st.Dirty > 0 {
		snap, err = describeKept(ctx, p, ref, message, st, missed)
	} else {
		err = missed
	}
	snap.Head, snap.Branch, snap.Dirty = st.Head, st.Branch, st.Dirty
	var lost error
	snap.Inside, lost = keepInside(ctx, p, ref, message, st.Head)
	return snap, cmp.Or(err, lost)
}

// describeKept keeps the files that differ, and describes the snapshot.
func describeKept(ctx context.Context, p *git.Private, ref, message string, st git.Status, missed error) (snap Snapshot, err error) {
	for _, e := range st.Entries[:min(len(st.Entries), git.MaxFiles)] {
		snap.Files = append(snap.Files, e.Path)
	}
	kept, lost, err := keep(ctx, p, ref, message, st)
	if err != nil {
		return snap, err
	}
	snap.Ref, snap.Commit, snap.Tree = ref, kept.commit, kept.tree
	return snap, cmp.Or(lost, missed)
}

// left opens the worktree that a run left. Where the link to the repository, or the record of the worktree, is not the
// session's own any more, it opens the files that are there. by says how git is made to read them; nil as it reads by itself.
func (g *Git) left(ctx context.Context, s Spec) (p *git.Private, by *git.Reading, err error) {
	if s, err = s.checked(); err != nil {
		return nil, nil, err
	}
	if info, err := os.Lstat(s.Path); err != nil || !info.IsDir() {
		return nil, nil, git.Refuse("snapshot", "there is no worktree to take a snapshot of: %v", cmp.Or(err, fs.ErrNotExist))
	}
	v, why := g.standing(s)
	if why == nil && v.stands {
		v.at.Branch = s.Branch // where its HEAD cannot be used
		p, err = g.Open(ctx, v.at)
		return p, nil, err
	}
	if why == nil {
		why = errors.New(cmp.Or(v.why, "its .git is gone"))
	}
	g.Say("not the session's worktree any more (%v): its files are still kept in the session's repository", why)
	r, s, err := g.repository(s)
	if err != nil {
		return nil, nil, err
	}
	if r == nil {
		return nil, nil, git.Refuse("snapshot", "the repository %s is gone", s.Source.Cache)
	}
	at := s.at(r.common)
	at.Path, at.Branch = s.Path, s.Branch
	if admins, err := r.admins(); err == nil {
		for _, admin := range admins {
			if half, err := halfMade(admin); err == nil && !half && at.GitDir == "" {
				at.GitDir = admin
			}
		}
	}
	if at.GitDir == "" {
		by = &git.Reading{Fresh: true}
	}
	if p, err = g.Open(ctx, at); err != nil {
		return nil, nil, err
	}
	return p, by, nil
}

// keepTries is how often a snapshot is made before it is given up: a git of another session may remove objects that no
// reference names yet (git gc --prune=now).
const keepTries = 5

// keep makes the commit. lost names files that are not in it. err says that there is no commit.
func keep(ctx context.Context, p *git.Private, ref, message string, st git.Status) (kept kept, lost, err error) {
	if err := git.PlainRef(p.At.Common, ref); err != nil {
		return kept, nil, err
	}
	for n := 1; ; n++ {
		kept, lost, err = keepOnce(ctx, p, ref, message, st)
		if err == nil || n == keepTries || git.ExitCode(err) <= 0 && !git.Absent(err) || ctx.Err() != nil || git.OfHost(err) {
			return kept, lost, err
		}
		p.Runner.Say("the snapshot is made again: %v", err)
	}
}

// kept is a snapshot that was made.
type kept struct{ commit, tree string }

func keepOnce(ctx context.Context, p *git.Private, ref, message string, st git.Status) (kept kept, lost, err error) {
	in, err := p.Scratch(ctx, st.By)
	if err != nil {
		return kept, nil, err
	}
	defer in.Remove()
	commit := func(tree, message string, parents ...string) (string, error) {
		args := []string{"commit-tree", "--no-gpg-sign"}
		for _, p := range parents {
			if p != "" {
				args = append(args, "-p", p)
			}
		}
		return in.Git(ctx, strings.ReplaceAll(message, "\x00", " ")+"\n", append(args, tree)...)
	}
	staged := ""
	if st.StagedTwice {
		tree, err := in.Git(ctx, "", "write-tree")
		if err != nil {
			return kept, nil, err
		}
		if staged, err = commit(tree, "staged: "+message, st.Head); err != nil {
			return kept, nil, err
		}
	}
	if kept.tree, lost, err = in.All(ctx); err != nil {
		return kept, nil, err
	}
	for _, e := range st.Nested { // git lists files, so this is a repository
		lost = git.Refuse("snapshot", "not in the snapshot: the repository %q inside the worktree", e)
	}
	id, err := commit(kept.tree, message, st.Head, staged)
	if err != nil {
		return kept, nil, err
	}
	release, err := in.Install(ctx, id, st.Head)
	if err != nil {
		return kept, nil, err
	}
	defer release()
	// It must be new: the work that an older one of that name keeps would be lost.
	_, err = p.Run(ctx, git.Command{Args: []string{"update-ref", "--no-deref", ref, id, strings.Repeat("0", len(id))}})
	kept.commit = id
	if err == nil {
		in.SayKeptRaw(ctx, st.Head, kept.tree)
	}
	return kept, lost, err
}

// Head is the commit that is checked out in a session's worktree, for a caller whose Snapshot could not tell it.
func (g *Git) Head(ctx context.Context, s Spec) (string, error) {
	p, _, err := g.left(ctx, s)
	if err != nil {
		return "", err
	}
	defer p.Done()
	out, err := p.Run(ctx, git.Command{Args: []string{"rev-parse", "--verify", "--quiet", "HEAD^{commit}"}})
	return strings.TrimSpace(out), err
}

// Tree is the id of a tree of all files in a session's worktree that git does not ignore. If a later Snapshot has the same tree, nothing
// was changed in between. It is empty if made.Head is checked out and no file differs, or if there is neither a commit nor a file: TreeOf
// has the tree of the commit, which most callers never need. The objects stay in the repository until git removes objects that no
// reference names.
//
// made is what Begin or Prepare returned. Its Status is taken for what is there: the caller clears it where a file was changed since.
func (g *Git) Tree(ctx context.Context, s Spec, made Made) (string, error) {
	if st := made.Status; st != nil && st.Dirty == 0 {
		return "", nil
	}
	p, by, err := g.left(ctx, s)
	if err != nil {
		return "", err
	}
	defer p.Done()
	st, missed, err := git.Status{}, error(nil), error(nil)
	if made.Status != nil && by == nil {
		st = *made.Status
	} else if st, missed, err = p.StatusOf(ctx, by); err != nil || missed != nil {
		return "", cmp.Or(err, missed)
	}
	if st.Dirty == 0 && (st.Head == "" || st.Head == made.Head) {
		return "", nil
	}
	if st.Dirty == 0 {
		return treeOf(ctx, p, st.Head)
	}
	in, err := p.Scratch(ctx, st.By)
	if err != nil {
		return "", err
	}
	defer in.Remove()
	tree, lost, err := in.All(ctx)
	if err != nil {
		return "", err
	}
	// Files that are newer than the last snapshot, such as those of a verifier or a hook, are in no snapshot. Without their objects git
	// could not tell what a run changed.
	if _, err := p.Run(ctx, git.Command{Args: []string{"cat-file", "-e", tree}}); git.ExitCode(err) > 0 {
		release, err := in.Install(ctx, tree, st.Head)
		if err != nil {
			return tree, err
		}
		release()
	} else if err != nil {
		return tree, err
	}
	return tree, lost
}

// TreeOf is the tree of a commit in the session's repository.
func (g *Git) TreeOf(ctx context.Context, s Spec, commit string) (string, error) {
	if !git.IsCommit(commit) {
		return "", git.Refuse("git rev-parse", "not a commit: %q", commit)
	}
	r, _, err := g.repository(s)
	if err == nil && r == nil {
		err = git.Refuse("git rev-parse", "there is no repository")
	}
	if err != nil {
		return "", err
	}
	defer r.close()
	p, err := r.private(ctx)
	if err != nil {
		return "", err
	}
	return treeOf(ctx, p, commit)
}

func treeOf(ctx context.Context, p *git.Private, commit string) (string, error) {
	out, err := p.Run(ctx, git.Command{Args: []string{"rev-parse", "--verify", "--quiet", commit + "^{tree}"}})
	return strings.TrimSpace(out), err
}
