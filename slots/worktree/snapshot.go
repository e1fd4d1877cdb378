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
	"strconv"
	"strings"
)

// Snapshot is what a run left in its worktree.
type Snapshot struct {
	Ref     string // the reference that keeps what was uncommitted; empty when there was nothing
	Head    string // the commit checked out; empty on a branch without any commit
	Branch  string // the branch checked out; empty when HEAD is detached
	Commits int    // made since the given commit, on the first-parent line: a merge of the base counts once
	Dirty   int    // files that differ from HEAD, or are new
}

// snapshotID is whose name is on a snapshot: it is nobody's commit, and must not need a configured name.
var snapshotID = []string{
	"GIT_AUTHOR_NAME=kugetsu", "GIT_AUTHOR_EMAIL=kugetsu@localhost",
	"GIT_COMMITTER_NAME=kugetsu", "GIT_COMMITTER_EMAIL=kugetsu@localhost",
}

// Snapshot looks at the worktree at path after a run and keeps whatever is uncommitted in it (staged, unstaged, or
// untracked and not ignored) as a commit at ref, which must be new and below refs/kugetsu/. Its first parent is HEAD.
// Where something was staged and then changed again, the staged version is its second parent, as in git-stash(1).
// HEAD, the branches, the stash and the index in the worktree stay as they are. A clean worktree costs one git process,
// and a second one if HEAD is no longer since, the HEAD at the start of the run (empty if there was none).
//
// An error beside a Snapshot with a Ref says what could not be kept: a file that cannot be read, or a repository
// inside the worktree, of which git records no more than its commit. The rest is in the snapshot.
func (g *Git) Snapshot(ctx context.Context, path, ref, since, message string) (Snapshot, error) {
	var snap Snapshot
	if !strings.HasPrefix(ref, "refs/kugetsu/") || !validRef(ref) {
		return snap, refuse("snapshot", "not a reference below refs/kugetsu/: %q", ref)
	}
	if since != "" && !commitID.MatchString(since) {
		return snap, refuse("snapshot", "not a commit: %q", since)
	}
	if _, err := os.Lstat(filepath.Join(path, ".git")); err != nil {
		return snap, refuse("snapshot", "there is no worktree to look at: %v", err)
	}
	st, missed, err := g.status(ctx, path)
	if err != nil {
		return snap, err
	}
	snap.Head, snap.Branch, snap.Dirty = st.head, st.branch, len(st.entries)
	if snap.Dirty > 0 {
		lost, err := g.keep(ctx, path, ref, message, st)
		if err != nil {
			return snap, err
		}
		snap.Ref = ref
		missed = cmp.Or(lost, missed)
	}
	// After the work is safe: since may be gone from the repository, and counting then fails.
	if snap.Head == "" || snap.Head == since {
		return snap, missed
	}
	args := []string{"rev-list", "--count", "--first-parent", snap.Head}
	if since != "" {
		args = append(args, "^"+since)
	}
	out, err := g.run(ctx, command{dir: path, args: args})
	if err != nil {
		return snap, cmp.Or(missed, err)
	}
	snap.Commits, _ = strconv.Atoi(strings.TrimSpace(out))
	return snap, missed
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
func (g *Git) keep(ctx context.Context, path, ref, message string, st status) (lost, err error) {
	tmp, err := os.MkdirTemp(g.Tmp, "kugetsu-index-*")
	if err != nil {
		return nil, &Error{Op: "snapshot", Err: err}
	}
	defer os.RemoveAll(tmp)
	index := filepath.Join(tmp, "index")
	if err := copyIndex(path, index); err != nil {
		return nil, &Error{Op: "snapshot", Err: err}
	}
	git := func(stdin string, args ...string) (string, error) {
		out, err := g.run(ctx, command{dir: path, stdin: stdin, args: args, env: append([]string{"GIT_INDEX_FILE=" + index}, snapshotID...)})
		return strings.TrimSpace(out), err
	}
	commit := func(tree, message string, parents ...string) (string, error) {
		args := []string{"commit-tree", "--no-gpg-sign"}
		for _, p := range parents {
			if p != "" {
				args = append(args, "-p", p)
			}
		}
		return git(strings.ReplaceAll(message, "\x00", " ")+"\n", append(args, tree)...)
	}
	staged := ""
	if st.stagedTwice {
		tree, err := git("", "write-tree")
		if err != nil {
			return nil, err
		}
		if staged, err = commit(tree, "staged: "+message, st.head); err != nil {
			return nil, err
		}
	}
	// Exit 1 with --ignore-errors: some could not be added, the others were. Anything else left no index to use.
	if _, err := git("", "add", "--all", "--ignore-errors"); exitCode(err) == 1 {
		lost = err
	} else if err != nil {
		return nil, err
	}
	for _, e := range st.entries {
		if e.staged == '?' && strings.HasSuffix(e.path, "/") { // git lists files, so this is a repository
			lost = refuse("snapshot", "not in the snapshot: the repository %q inside the worktree", e.path)
		}
	}
	tree, err := git("", "write-tree")
	if err != nil {
		return nil, err
	}
	id, err := commit(tree, message, st.head, staged)
	if err != nil {
		return nil, err
	}
	// It must be new: whatever an older one of that name keeps would be lost.
	_, err = git("", "update-ref", "-m", "kugetsu: snapshot", "--no-deref", ref, id, strings.Repeat("0", len(id)))
	return lost, err
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
