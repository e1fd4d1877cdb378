package worktree

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"kugetsu/slots/git"
)

// This file reads and makes git's record of a worktree, the folder <repository>/worktrees/<name>, as files (gitrepository-layout(5)).
// `git worktree` is not used, since it would read the repository's configuration.

// standing says, without a process, whether a worktree of the session's repository stands at its path: the link in it leads to a
// record in this repository, and the record leads back. Everything else that may stand there is an error that names it, or
// does not stand.
func (g *Git) standing(s Spec) (view, error) {
	if info, err := os.Lstat(s.Path); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		// It may lead to the worktree of another session, whose lock we do not hold.
		return view{}, git.Refuse("prepare", "%s is a symbolic link, not a worktree", s.Path)
	} else if err != nil && !git.Absent(err) {
		return view{}, &git.Error{Op: "prepare", Err: err}
	}
	link := filepath.Join(s.Path, ".git")
	admin, why, err := linked(s.Path, link)
	if err != nil || admin == "" {
		return view{why: why}, err
	}
	want, err := s.repository()
	if err != nil {
		return view{}, err
	}
	ours, err := git.Same(filepath.Dir(admin), filepath.Join(want, "worktrees"))
	if err != nil {
		return view{}, err
	}
	if ours && git.IsDir(admin) {
		half, err := halfMade(admin)
		if err != nil {
			return view{}, err
		}
		if half {
			return view{why: "left incomplete by a git that was killed"}, nil
		}
	}
	common, err := git.RepositoryOf(admin)
	if git.Absent(err) {
		return view{why: "not a git repository: " + admin}, nil
	}
	if err != nil {
		return view{}, git.Unread("prepare", err)
	}
	switch its, err := git.Same(common, want); {
	case err != nil:
		return view{}, err
	case !its && ours:
		return view{why: "its record " + admin + " does not lead to the repository"}, nil
	case !its:
		return view{}, git.Refuse("prepare", "%s belongs to the repository %s, not to %s", s.Path, common, want)
	case !ours:
		return view{}, git.Refuse("prepare", "%s leads to %s, which is not a record of a worktree of %s", link, admin, want)
	}
	if err := leadsBack(admin, link); err != nil {
		return view{}, err
	}
	at := s.at(want)
	at.GitDir, at.Path = admin, s.Path
	return view{stands: true, at: at}, nil
}

// linked reads the link in a worktree. It returns the record that the link leads to, or else why it leads to none: empty where
// there is no link.
func linked(path, link string) (admin, why string, err error) {
	info, err := os.Lstat(link)
	switch {
	case git.Absent(err):
		return "", "", nil // clear finds out what is there instead
	case err != nil: // an error is never "is not there"
		return "", "", &git.Error{Op: "prepare", Err: err}
	case info.IsDir():
		return "", "", git.Refuse("prepare", "%s is a repository, not a worktree of one: its .git was replaced", path)
	case !info.Mode().IsRegular():
		return "", "", git.Refuse("prepare", "%s is not a file: it was replaced", link)
	}
	text, err := git.ReadSmall(link, 64<<10)
	if err != nil {
		return "", "", git.Unread("prepare", err)
	}
	target, ok := strings.CutPrefix(git.OneLine(text), "gitdir: ")
	if !ok || target == "" {
		return "", fmt.Sprintf("%s is not a link to a repository", link), nil
	}
	return git.Rel(path, target), "", nil
}

// leadsBack refuses a record unless it is of the worktree with this link, or of a worktree with the same name whose folder is gone: then
// a person has moved the folder above it.
func leadsBack(admin, link string) error {
	text, err := git.ReadSmall(filepath.Join(admin, "gitdir"), 64<<10)
	if err != nil {
		return git.Unread("prepare", err)
	}
	named := git.Rel(admin, git.OneLine(text))
	x, err := os.Stat(named)
	if git.Absent(err) && filepath.Base(filepath.Dir(named)) == filepath.Base(filepath.Dir(link)) {
		return nil
	}
	y, errLink := os.Stat(link)
	if err == nil && errLink == nil && os.SameFile(x, y) {
		return nil
	}
	for _, err := range []error{err, errLink} {
		if err != nil && !git.Absent(err) { // "could not look" is never "leads elsewhere"
			return &git.Error{Op: "prepare", Err: err}
		}
	}
	return git.Refuse("prepare", "%s leads to %s, which is the record of %s", link, admin, filepath.Dir(named))
}

// occupant is where the session's branch is checked out, empty for nowhere.
func (r *repo) occupant(f refs) (string, error) {
	if r.spec.Source.Local != "" {
		if branch, err := git.BranchIn(filepath.Join(r.common, "HEAD"), "refs/heads/"); err != nil || branch == r.spec.Branch {
			return r.spec.Source.Local, err
		}
	}
	records, err := git.Records(r.common)
	if err != nil {
		return "", &git.Error{Op: "prepare", Err: err}
	}
	for _, admin := range records {
		branch, err := git.BranchIn(filepath.Join(admin, "HEAD"), "refs/heads/")
		if errors.Is(err, git.ErrNotRegular) { // an agent's: no git reads a branch there, and its session alone is spoiled
			continue
		}
		if err != nil {
			return "", err
		}
		if branch == "" && git.IsDir(filepath.Join(admin, "reftable")) {
			branch, err = r.branchInTable(admin)
			if err != nil {
				return "", err
			}
		}
		if branch != r.spec.Branch {
			continue
		}
		text, err := git.ReadSmall(filepath.Join(admin, "gitdir"), 64<<10)
		if err != nil && !git.Absent(err) {
			return "", git.Unread("prepare", err)
		}
		return filepath.Dir(git.Rel(admin, git.OneLine(text))), nil
	}
	return "", nil
}

// branchInTable is the branch that a worktree's HEAD names in a repository with a reftable.
func (r *repo) branchInTable(admin string) (string, error) {
	at := r.spec.at(r.common)
	at.GitDir = admin
	p, err := r.g.Open(context.Background(), at)
	if err != nil {
		return "", err
	}
	defer p.Done()
	out, err := p.Run(context.Background(), git.Command{Args: []string{"symbolic-ref", "--quiet", "HEAD"}})
	if git.ExitCode(err) == 1 { // detached
		return "", nil
	}
	branch, _ := strings.CutPrefix(strings.TrimSpace(out), "refs/heads/")
	return branch, err
}

// makeWorktree makes what `git worktree add` makes, in its order, so that a crash leaves what a killed git leaves:
//
//	the branch                   the next Prepare goes on with it
//	a record that is locked      with the reason "initializing": whatever lies in the worktree is a copy
//	the folder and its link
//	the files, the index
//	the record is unlocked       now it stands. That of one on the disk of a node is locked with another reason
func (r *repo) makeWorktree(ctx context.Context, made Made, b beginning) error {
	s := r.spec
	if b.make {
		ref := "refs/heads/" + s.Branch
		if _, err := r.git(ctx, "update-ref", "--no-deref", ref, made.Head, strings.Repeat("0", len(made.Head))); err != nil {
			return err
		}
	}
	if b.track {
		for _, kv := range [][2]string{{"remote", cmp.Or(r.made.At.Remotes.Name, git.Origin)}, {"merge", "refs/heads/" + s.Branch}} {
			if err := r.editConfig(ctx, "branch."+s.Branch+"."+kv[0], kv[1]); err != nil {
				return err
			}
		}
	}
	admin, err := r.makeRecord(made)
	if err != nil {
		return &git.Error{Op: "prepare", Err: err}
	}
	at := s.at(r.common)
	at.GitDir, at.Path, at.Lazy = admin, s.Path, at.Local != ""
	p, err := r.g.Open(ctx, at)
	if err != nil {
		return err
	}
	defer p.Done()
	if p.GitDir != p.Dir { // the HEAD of the record is in its table
		if _, err := p.Run(ctx, git.Command{Lock: r.lock, Args: []string{"symbolic-ref", "HEAD", "refs/heads/" + s.Branch}}); err != nil {
			return err
		}
	}
	index := filepath.Join(p.Dir, "index")
	// With the lock: when a runner is killed, the git that writes out the files may go on for an instant.
	if _, err := p.Run(ctx, git.Command{Lock: r.lock, Index: index, Args: []string{"read-tree", "--reset", "-u", made.Head}}); err != nil {
		return err
	}
	if err := installIndex(index, admin); err != nil {
		return &git.Error{Op: "prepare", Err: err}
	}
	p.SayMadeRaw(ctx, filepath.Join(admin, "index"))
	unlock := os.Remove
	if s.Scratch != "" {
		unlock = func(file string) error { return git.WriteWhole(file, scratchLock) }
	}
	if err := unlock(filepath.Join(admin, "locked")); err != nil {
		return &git.Error{Op: "prepare", Err: err}
	}
	return nil
}

// makeRecord makes the record, locked, the folder, and the link between them.
func (r *repo) makeRecord(made Made) (admin string, err error) {
	s := r.spec
	parent, err := filepath.EvalSymlinks(filepath.Dir(s.Path))
	if err != nil {
		return "", err
	}
	path := filepath.Join(parent, filepath.Base(s.Path))
	if _, err := git.Records(r.common); err != nil { // the folder is one
		return "", err
	}
	dir := filepath.Join(r.common, "worktrees")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", err
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return "", err
	}
	name := s.recordName(filepath.Base(path))
	admin = filepath.Join(dir, name)
	for n := 1; ; n++ { // git counts in the same way
		if err = os.Mkdir(admin, 0o777); !errors.Is(err, fs.ErrExist) {
			break
		}
		admin = filepath.Join(dir, fmt.Sprintf("%s%d", name, n))
	}
	if err != nil {
		return "", err
	}
	head, tables := "ref: refs/heads/"+s.Branch+"\n", git.IsDir(filepath.Join(r.common, "reftable"))
	files := [][2]string{{"locked", "initializing\n"}, {"gitdir", filepath.Join(path, ".git") + "\n"}, {"commondir", "../..\n"}}
	if tables {
		head = "ref: " + git.InvalidBranch + "\n"
		files = append(files, [2]string{"reftable/tables.list", ""}, [2]string{"refs/heads", "this repository uses the reftable format\n"})
	} else { // what git logs, and where the branch was is looked for if it is deleted
		line := fmt.Sprintf("%s %s kugetsu <kugetsu@localhost> %d +0000\n", strings.Repeat("0", len(made.Head)), made.Head, time.Now().Unix())
		files = append(files, [2]string{"logs/HEAD", line})
	}
	for _, f := range append(files, [2]string{"HEAD", head}) {
		file := filepath.Join(admin, f[0])
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			return "", err
		}
		if err := git.WriteWhole(file, f[1]); err != nil {
			return "", err
		}
	}
	if err := os.Mkdir(path, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	return admin, replaceLink(path, "gitdir: "+admin+"\n")
}

// installIndex makes an index that was written in private the one of a record. It keeps its time: see copyIndex.
func installIndex(from, admin string) error {
	to := filepath.Join(admin, "index")
	if err := os.Remove(to + ".new"); err != nil && !git.Absent(err) {
		return err
	}
	if err := git.CopyIndex(from, to+".new"); err != nil {
		return err
	}
	return os.Rename(to+".new", to)
}
