package worktree

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"strings"
)

// Snapshot is what a run left in its worktree.
type Snapshot struct {
	Ref    string   // the reference that keeps what was uncommitted; empty when there was nothing
	Tree   string   // the tree of what is kept there
	Head   string   // the commit checked out; empty on a branch without any commit
	Branch string   // the branch checked out; empty when HEAD is detached
	Dirty  int      // files that differ from HEAD, or are new
	Files  []string // the first of them in git's order: any bytes but NUL
}

// maxFiles is how many of the files that differ a Snapshot names.
const maxFiles = 5

// snapshotID is whose name is on a snapshot: it is nobody's commit, and must not need a configured name.
var snapshotID = []string{
	"GIT_AUTHOR_NAME=kugetsu", "GIT_AUTHOR_EMAIL=kugetsu@localhost",
	"GIT_COMMITTER_NAME=kugetsu", "GIT_COMMITTER_EMAIL=kugetsu@localhost",
}

// Snapshot looks at the worktree at path after a run and keeps whatever is uncommitted in it (staged, unstaged, or
// untracked and not ignored) as a commit at ref, which must be new and below refs/kugetsu/. Its first parent is HEAD.
// Where something was staged and then changed again, the staged version is its second parent, as in git-stash(1).
// HEAD, the branches, the stash and the index in the worktree stay as they are. A clean worktree costs one git process.
// What git does not see by itself, or fails at, is kept as well: see status.
//
// An error beside a Snapshot with a Ref says what could not be kept: a file that cannot be read, or a repository
// inside the worktree, of which git records no more than its commit. The rest is in the snapshot.
func (g *Git) Snapshot(ctx context.Context, path, ref, message string) (Snapshot, error) {
	var snap Snapshot
	if !strings.HasPrefix(ref, "refs/kugetsu/") || !validRef(ref) {
		return snap, refuse("snapshot", "not a reference below refs/kugetsu/: %q", ref)
	}
	if _, err := os.Lstat(filepath.Join(path, ".git")); err != nil {
		return snap, refuse("snapshot", "there is no worktree to look at: %v", err)
	}
	st, missed, err := g.status(ctx, path)
	if err != nil {
		return snap, err
	}
	snap.Head, snap.Branch, snap.Dirty = st.head, st.branch, len(st.entries)
	if snap.Dirty == 0 {
		return snap, missed
	}
	for _, e := range st.entries[:min(len(st.entries), maxFiles)] {
		snap.Files = append(snap.Files, e.path)
	}
	tree, lost, err := g.keep(ctx, path, ref, message, st)
	if err != nil {
		return snap, err
	}
	snap.Ref, snap.Tree = ref, tree
	return snap, cmp.Or(lost, missed)
}

// keep makes the commit. lost says what is not in it, err that there is none.
func (g *Git) keep(ctx context.Context, path, ref, message string, st status) (tree string, lost, err error) {
	in, err := g.scratch(ctx, path, st.by)
	if err != nil {
		return "", nil, err
	}
	defer in.remove()
	commit := func(tree, message string, parents ...string) (string, error) {
		args := []string{"commit-tree", "--no-gpg-sign"}
		for _, p := range parents {
			if p != "" {
				args = append(args, "-p", p)
			}
		}
		return in.git(ctx, strings.ReplaceAll(message, "\x00", " ")+"\n", append(args, tree)...)
	}
	staged := ""
	if st.stagedTwice {
		tree, err := in.git(ctx, "", "write-tree")
		if err != nil {
			return "", nil, err
		}
		if staged, err = commit(tree, "staged: "+message, st.head); err != nil {
			return "", nil, err
		}
	}
	if tree, lost, err = in.all(ctx); err != nil {
		return "", nil, err
	}
	for _, e := range st.entries {
		if e.staged == '?' && strings.HasSuffix(e.path, "/") { // git lists files, so this is a repository
			lost = refuse("snapshot", "not in the snapshot: the repository %q inside the worktree", e.path)
		}
	}
	id, err := commit(tree, message, st.head, staged)
	if err != nil {
		return "", nil, err
	}
	// It must be new: whatever an older one of that name keeps would be lost.
	_, err = in.git(ctx, "", "update-ref", "-m", "kugetsu: snapshot", "--no-deref", ref, id, strings.Repeat("0", len(id)))
	return tree, lost, err
}

// Head is the commit that is checked out in the worktree at path, for whom a Snapshot could not tell it.
func (g *Git) Head(ctx context.Context, path string) (string, error) {
	out, err := g.run(ctx, command{dir: path, args: []string{"rev-parse", "--verify", "--quiet", "HEAD^{commit}"}})
	return strings.TrimSpace(out), err
}

// Tree is the id of a tree of all that stands in the worktree at path, but what git ignores: where the tree of a later
// Snapshot is the same, nothing was changed between the two.
func (g *Git) Tree(ctx context.Context, path string) (string, error) {
	st, missed, err := g.status(ctx, path)
	if err != nil || missed != nil {
		return "", cmp.Or(err, missed)
	}
	if len(st.entries) == 0 && st.head == "" {
		return "", nil
	}
	if len(st.entries) == 0 {
		out, err := g.run(ctx, command{dir: path, args: []string{"rev-parse", "--verify", "--quiet", st.head + "^{tree}"}})
		return strings.TrimSpace(out), err
	}
	in, err := g.scratch(ctx, path, st.by)
	if err != nil {
		return "", err
	}
	defer in.remove()
	tree, lost, err := in.all(ctx)
	return tree, cmp.Or(err, lost)
}
