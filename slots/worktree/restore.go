package worktree

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"kugetsu/queue/terminal"
	"kugetsu/slots/git"
)

// Restore brings the work that is kept at a ref back into the session's worktree, which must stand and be clean. If the branch can be
// moved forward to the commits under a snapshot, these come back as well. If not, the files that the snapshot changed are brought
// into the worktree as it is. A file that was staged and then changed is staged again; all other work comes back as uncommitted.
// snapshot says that the ref is a snapshot, and not commits that were kept. Changed is false where the worktree had all of it already.
//
// A file that git does not track, ignored or not, is not overwritten unless it is the same: what is in it may be nowhere
// else.
func (g *Git) Restore(ctx context.Context, s Spec, ref string, snapshot bool) (changed bool, err error) {
	s, err = s.checked()
	if err != nil {
		return false, err
	}
	if !strings.HasPrefix(ref, "refs/kugetsu/") || !git.ValidRef(ref) {
		return false, git.Refuse("restore", "not a reference below refs/kugetsu/: %q", ref)
	}
	v, err := g.inspect(ctx, s)
	if err != nil {
		return false, err
	}
	if !v.stands {
		return false, git.Refuse("restore", "%s is not a worktree of the session (%s)", s.Path, v.why)
	}
	p, err := g.Open(ctx, v.at)
	if err != nil {
		return false, err
	}
	defer p.Done()
	st, missed, err := p.Status(ctx)
	if err != nil || missed != nil {
		return false, cmp.Or(err, missed)
	}
	if st.Dirty > 0 {
		return false, git.Refuse("restore", "it would overwrite %s in %s", terminal.Count(st.Dirty, "uncommitted or untracked file"), s.Path)
	}
	kept, err := readKept(ctx, p, ref, snapshot)
	if err != nil {
		return false, err
	}
	st.By.Same = nil // this index becomes the worktree's own
	in, err := p.Scratch(ctx, st.By)
	if err != nil {
		return false, err
	}
	defer in.Remove()
	to := restoring{in: in, v: v}
	if err := to.forward(ctx, kept.under); err != nil && (!snapshot || !errors.Is(err, errNotForward)) {
		return false, err // the branch went another way: kugetsu does not join the two
	}
	if !snapshot {
		return to.changed(ctx)
	}
	if kept.staged != "" {
		if err := to.bring(ctx, kept.under, kept.staged, "--staged"); err != nil {
			return false, err
		}
	}
	if err := to.bring(ctx, kept.under, kept.commit, "--worktree"); err != nil {
		return false, err
	}
	return to.changed(ctx)
}

// changed says whether a worktree that was clean is another one now.
func (to restoring) changed(ctx context.Context) (bool, error) {
	st, missed, err := to.in.Private.Status(ctx)
	if err != nil || missed != nil || st.Dirty > 0 {
		return true, cmp.Or(err, missed)
	}
	head, err := to.git(ctx, "", "rev-parse", "--verify", "--quiet", "HEAD")
	if git.ExitCode(err) == 1 { // a branch without commits
		err = nil
	}
	return strings.TrimSpace(head) != to.v.made.Head, err
}

// keptWork is what a ref of kugetsu's names. A snapshot is a commit on top of another, and has a second parent for what was staged.
type keptWork struct{ commit, under, staged string }

func readKept(ctx context.Context, p *git.Private, ref string, snapshot bool) (keptWork, error) {
	out, err := p.Run(ctx, git.Command{Args: []string{"rev-list", "--parents", "--max-count=1", ref}})
	if err != nil {
		return keptWork{}, err
	}
	line := strings.Fields(out) // the commit, then its parents
	if len(line) == 0 {
		return keptWork{}, git.Refuse("restore", "%s names no commit", ref)
	}
	if !snapshot {
		return keptWork{commit: line[0], under: line[0]}, nil
	}
	if len(line) < 2 {
		return keptWork{}, git.Refuse("restore", "%s was made before the first commit: git show shows what it holds", ref)
	}
	kept := keptWork{commit: line[0], under: line[1]}
	if len(line) > 2 {
		kept.staged = line[2]
	}
	return kept, nil
}

// restoring brings something back into a worktree. Git writes the index in private.
type restoring struct {
	in git.Scratch
	v  view
}

var errNotForward = errors.New("the branch and the snapshot have diverged")

func (to restoring) git(ctx context.Context, stdin string, args ...string) (string, error) {
	return to.in.Private.Run(ctx, git.Command{Stdin: stdin, Index: to.in.Index(), Env: []string{"GIT_LITERAL_PATHSPECS=1"}, Args: args})
}

// forward moves the branch that is checked out, and the files, forward to a commit. First the files, then the index, then the
// branch, as git does: a crash leaves files that are changed, and are what the commit has.
func (to restoring) forward(ctx context.Context, commit string) error {
	p, head, branch := to.in.Private, to.v.made.Head, to.v.made.Branch
	if head == commit {
		return nil
	}
	if head != "" {
		if _, err := to.git(ctx, "", "merge-base", "--is-ancestor", commit, head); err == nil {
			return nil // it has them
		} else if git.ExitCode(err) != 1 {
			return err
		}
		if _, err := to.git(ctx, "", "merge-base", "--is-ancestor", head, commit); git.ExitCode(err) == 1 {
			return &git.Error{Op: "restore", Permanent: true, Last: "it cannot be moved forward to " + commit, Err: errNotForward}
		} else if err != nil {
			return err
		}
	}
	from := cmp.Or(head, git.EmptyTree(commit))
	if err := to.free(ctx, from, commit); err != nil {
		return err
	}
	if _, err := to.git(ctx, "", "read-tree", "-m", "-u", from, commit); err != nil {
		return err
	}
	if err := to.installIndex(); err != nil {
		return err
	}
	name := "HEAD"
	if branch != "" {
		name = "refs/heads/" + branch
	}
	if name == "HEAD" && p.GitDir == p.Dir { // detached, in a file
		if err := git.WriteWhole(filepath.Join(p.At.GitDir, "HEAD"), commit+"\n"); err != nil {
			return &git.Error{Op: "restore", Err: err}
		}
	} else if err := updateRef(ctx, p, nil, time.Now().Add(-staleAfter), name, commit, cmp.Or(head, strings.Repeat("0", len(commit)))); err != nil { // a person may commit there
		return err
	}
	return to.log(head, commit)
}

// log adds to what git logs of the worktree's HEAD, from which a branch that is deleted is made again.
func (to restoring) log(from, commit string) error {
	file := filepath.Join(to.v.at.GitDir, "logs", "HEAD")
	info, err := os.Lstat(file)
	if err != nil || !info.Mode().IsRegular() {
		return nil // git logs nothing there
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return &git.Error{Op: "restore", Err: err}
	}
	_, err = fmt.Fprintf(f, "%s %s kugetsu <kugetsu@localhost> %d +0000\tkugetsu: restored\n",
		cmp.Or(from, strings.Repeat("0", len(commit))), commit, time.Now().Unix())
	if err = errors.Join(err, f.Close()); err != nil {
		return &git.Error{Op: "restore", Err: err}
	}
	return nil
}

func (to restoring) installIndex() error {
	if err := installIndex(to.in.Index(), to.v.at.GitDir); err != nil {
		return &git.Error{Op: "restore", Err: err}
	}
	return nil
}

// free refuses if a file that is to be written exists, is not tracked, and has another content.
func (to restoring) free(ctx context.Context, from, commit string) error {
	names, err := to.differing(ctx, from, commit, "d")
	if err != nil || len(names) == 0 {
		return err
	}
	tracked, err := to.tracked(ctx)
	if err != nil {
		return err
	}
	path := to.v.at.Path
	var lost []string
	for _, name := range names {
		if tracked[name] {
			continue
		}
		over, err := to.overwrites(ctx, commit, name)
		if err != nil {
			return err
		}
		if over {
			lost = append(lost, strconv.Quote(name))
		}
	}
	if len(lost) > 0 {
		more := ""
		if len(lost) > git.MaxFiles {
			lost, more = lost[:git.MaxFiles], ", …"
		}
		return git.Refuse("restore", "%s has files that git ignores or does not track, which would be overwritten: %s%s; move them away",
			path, strings.Join(lost, ", "), more)
	}
	return nil
}

// overwrites says whether something other than the file of a commit is in its place, or in the place of a folder above it.
func (to restoring) overwrites(ctx context.Context, commit, name string) (bool, error) {
	path := to.v.at.Path
	plain, err := git.PlainWay(path, name)
	if err != nil {
		return false, &git.Error{Op: "restore", Err: err}
	}
	if !plain {
		return true, nil
	}
	info, err := os.Lstat(filepath.Join(path, name))
	if git.Absent(err) {
		return false, nil
	}
	if err != nil {
		return false, &git.Error{Op: "restore", Err: err}
	}
	if !info.Mode().IsRegular() {
		return true, nil
	}
	f, err := git.OpenRegular(filepath.Join(path, name))
	if err != nil {
		return false, &git.Error{Op: "restore", Err: err}
	}
	there, kept := sha256.New(), sha256.New() // files of any size
	_, err = io.Copy(there, f)
	if err = errors.Join(err, f.Close()); err != nil {
		return false, &git.Error{Op: "restore", Err: err}
	}
	if _, err := to.in.Private.Run(ctx, git.Command{Stdout: kept, Index: to.in.Index(), Args: []string{"cat-file", "--filters", commit + ":" + name}}); err != nil {
		return false, err
	}
	return !bytes.Equal(there.Sum(nil), kept.Sum(nil)), nil
}

// differing lists the files that differ between two trees: filter is one of git-diff(1)'s.
func (to restoring) differing(ctx context.Context, from, commit, filter string) ([]string, error) {
	out, err := to.git(ctx, "", "diff-tree", "-r", "--name-only", "--no-renames", "--no-ext-diff", "--diff-filter="+filter, "-z", from, commit)
	return strings.FieldsFunc(out, func(r rune) bool { return r == 0 }), err
}

// tracked are the files in the index.
func (to restoring) tracked(ctx context.Context) (map[string]bool, error) {
	out, err := to.git(ctx, "", "ls-files", "-z")
	names := map[string]bool{}
	for name := range strings.SplitSeq(out, "\x00") {
		names[name] = true
	}
	return names, err
}

// bring makes the files that differ between two commits what they are in the second, in the index or in the worktree.
func (to restoring) bring(ctx context.Context, from, commit, where string) error {
	if where == "--worktree" {
		if err := to.free(ctx, from, commit); err != nil {
			return err
		}
	}
	names, err := to.differing(ctx, from, commit, "d")
	if err != nil {
		return err
	}
	if len(names) > 0 {
		if _, err := to.git(ctx, strings.Join(names, "\x00"), "restore", "--quiet", where, "--source="+commit, "--pathspec-from-file=-", "--pathspec-file-nul"); err != nil {
			return err
		}
	}
	gone, err := to.differing(ctx, from, commit, "D")
	if err != nil {
		return err
	}
	tracked, err := to.tracked(ctx)
	if err != nil {
		return err
	}
	for _, name := range gone {
		if !tracked[name] { // it is gone already
			continue
		}
		if where == "--staged" {
			_, err = to.git(ctx, "", "rm", "--quiet", "--cached", "--", name)
		} else if ok, wayErr := git.PlainWay(to.v.at.Path, name); wayErr != nil || !ok {
			err = wayErr // a link above it leads out of the worktree
		} else if err = os.Remove(filepath.Join(to.v.at.Path, name)); git.Absent(err) {
			err = nil
		}
		if err != nil {
			return err
		}
	}
	return to.installIndex()
}
