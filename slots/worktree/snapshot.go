package worktree

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
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

// status asks git for all that differs in a worktree. missed says what git could not look at.
func (g *Git) status(ctx context.Context, path string) (st status, missed, err error) {
	var warned tee
	out, err := (&Git{Env: g.Env, Files: g.Files, Log: io.MultiWriter(&warned, logOf(g))}).
		run(ctx, command{dir: path, args: statusArgs})
	if err != nil {
		return st, nil, err
	}
	if text := warned.String(); strings.Contains(text, "could not open directory") { // it is a warning to git, exit 0
		last, _ := diagnose(text)
		missed = &Error{Op: "snapshot", Last: last}
	}
	return parseStatus(out), missed, nil
}

// keep makes the commit. lost says what is not in it, err that there is none.
func (g *Git) keep(ctx context.Context, path, ref, message string, st status) (tree string, lost, err error) {
	in, err := g.scratch(path)
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
	in, err := g.scratch(path)
	if err != nil {
		return "", err
	}
	defer in.remove()
	tree, lost, err := in.all(ctx)
	return tree, cmp.Or(err, lost)
}

// scratch is a copy of a worktree's index, for git to work with in place of that.
type scratch struct {
	g         *Git
	path, tmp string
}

func (g *Git) scratch(path string) (scratch, error) {
	tmp, err := os.MkdirTemp(g.Tmp, "kugetsu-index-*")
	if err != nil {
		return scratch{}, &Error{Op: "snapshot", Err: err}
	}
	in := scratch{g, path, tmp}
	if err := copyIndex(path, in.index()); err != nil {
		in.remove()
		return scratch{}, &Error{Op: "snapshot", Err: err}
	}
	return in, nil
}

func (in scratch) index() string { return filepath.Join(in.tmp, "index") }

func (in scratch) remove() { _ = os.RemoveAll(in.tmp) }

func (in scratch) git(ctx context.Context, stdin string, args ...string) (string, error) {
	out, err := in.g.run(ctx, command{dir: in.path, stdin: stdin, args: args, env: append([]string{"GIT_INDEX_FILE=" + in.index()}, snapshotID...)})
	return strings.TrimSpace(out), err
}

// all makes a tree of all that stands in the worktree. lost says what is not in it.
func (in scratch) all(ctx context.Context) (tree string, lost, err error) {
	// Exit 1 with --ignore-errors: some could not be added, the others were. Anything else left no index to use.
	if _, err := in.git(ctx, "", "add", "--all", "--ignore-errors"); exitCode(err) == 1 {
		lost = err
	} else if err != nil {
		return "", nil, err
	}
	tree, err = in.git(ctx, "", "write-tree")
	return tree, lost, err
}

// copyIndex copies the worktree's index, without which git would have to read every file anew, together with its
// time: to git, a file that is not older than the index may have changed behind its back and is looked at again. An
// index that seemed younger would hide a change of the same length within the same second.
func copyIndex(worktree, to string) error {
	gitDir := filepath.Join(worktree, ".git")
	if link, err := readRegular(gitDir); err == nil {
		gitDir = rel(worktree, strings.TrimPrefix(oneLine(link), "gitdir: "))
	}
	from, err := openRegular(filepath.Join(gitDir, "index"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // nothing was ever added
	}
	if err != nil {
		return err
	}
	defer from.Close()
	info, err := from.Stat()
	if err != nil {
		return err
	}
	file, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, from)
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("copying the index: %w", err)
	}
	return os.Chtimes(to, info.ModTime(), info.ModTime())
}

func logOf(g *Git) io.Writer {
	if g.Log == nil {
		return io.Discard
	}
	return g.Log
}
