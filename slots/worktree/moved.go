package worktree

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"kugetsu/queue/spool"
	"kugetsu/slots/git"
)

// The repair of a worktree that stands but is not whole. `git worktree repair` is not used: it repairs all worktrees of the
// repository, and in a copy of a state folder it would turn the worktrees of the original to the copy.

// lastHead is the commit that was checked out last in a worktree, as its reflog says (gitrepository-layout(5)); empty where
// it does not, or where that commit is gone.
func lastHead(ctx context.Context, p *git.Private) (string, error) {
	text, err := git.ReadEnd(filepath.Join(p.At.GitDir, "logs", "HEAD"), 64<<10)
	if err != nil && !git.Absent(err) {
		return "", &git.Error{Op: "prepare", Err: err}
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	ids := strings.Fields(lines[len(lines)-1]) // the old one, the new one, who
	if len(ids) < 2 {
		return "", nil
	}
	id := ids[1]
	if strings.Trim(id, "0") == "" { // git has logged that the branch was deleted
		id = ids[0]
	}
	if !git.IsCommit(id) {
		return "", nil
	}
	_, err = p.Run(ctx, git.Command{Args: []string{"cat-file", "-e", id + "^{commit}"}})
	if git.ExitCode(err) > 0 {
		return "", nil
	}
	return id, err
}

// revive makes the branch of a worktree again if it was deleted while it was checked out. Otherwise the next commit would be a root
// commit with all files in it, and only the reflog would keep the earlier commits.
func (g *Git) revive(ctx context.Context, s Spec, v *view) error {
	p, err := g.Open(ctx, v.at)
	if err != nil {
		return err
	}
	defer p.Done()
	at := v.lost
	err = updateRef(ctx, p, nil, time.Time{}, "refs/heads/"+s.Branch, at, strings.Repeat("0", len(at)))
	if err == nil {
		v.made.Head = at
		g.Say("branch %s was deleted: it is made again at %s, the commit that is checked out here", s.Branch, at)
	}
	return err
}

// movedAdmin finds git's record of the worktree at the path where the link in the worktree leads to nothing: the repository
// was moved, or the whole state folder. It is empty where there is no such record. A record is accepted only if it points to
// this path, or to a vanished path of the same name. Otherwise it may belong to another session, or to the original of a
// copied folder.
func (r *repo) movedAdmin() (string, error) {
	path := r.spec.Path
	file := filepath.Join(path, ".git")
	if info, err := os.Lstat(file); git.Absent(err) || err == nil && !info.Mode().IsRegular() {
		return "", nil // a folder: a repository
	}
	text, err := git.ReadSmall(file, 64<<10)
	if err != nil {
		return "", &git.Error{Op: "prepare", Err: err}
	}
	old, ok := strings.CutPrefix(git.OneLine(text), "gitdir: ")
	if old = git.Rel(path, old); !ok || filepath.Base(filepath.Dir(old)) != "worktrees" {
		return "", nil
	}
	if _, err := os.Lstat(old); !git.Absent(err) {
		return "", nil // it leads somewhere, or that is not known
	}
	admin := filepath.Join(r.common, "worktrees", filepath.Base(old))
	if half, err := halfMade(admin); err != nil || half {
		return "", err
	}
	text, err = git.ReadSmall(filepath.Join(admin, "gitdir"), 64<<10)
	if err != nil {
		return "", &git.Error{Op: "prepare", Err: err}
	}
	named := filepath.Dir(git.Rel(admin, git.OneLine(text)))
	here, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", &git.Error{Op: "prepare", Err: err}
	}
	if named == here {
		return admin, nil
	}
	if _, err := os.Lstat(named); filepath.Base(named) == filepath.Base(here) && git.Absent(err) {
		return admin, nil
	}
	return "", nil
}

// relink joins a worktree and its repository again after one of them, or both, were moved. The record comes first, then the link: after
// a crash between the two the link still leads nowhere, so the next Prepare relinks again.
func (g *Git) relink(ctx context.Context, s Spec) (repaired bool, err error) {
	r, s, err := g.repository(s)
	if err != nil || r == nil {
		return false, err
	}
	defer r.close()
	if r.lock, err = g.take(ctx, s.Source.Lock); err != nil {
		return false, err
	}
	admin, err := r.movedAdmin()
	if err != nil || admin == "" {
		return false, err
	}
	here, err := filepath.EvalSymlinks(s.Path)
	if err != nil {
		return false, &git.Error{Op: "prepare", Err: err}
	}
	if err := spool.Write(filepath.Join(admin, "gitdir"), []byte(filepath.Join(here, ".git")+"\n")); err != nil {
		return false, &git.Error{Op: "prepare", Err: err}
	}
	// Not spool.Write: when it is killed, it would leave a temporary file in the worktree.
	if err := replaceLink(s.Path, "gitdir: "+admin+"\n"); err != nil {
		return false, &git.Error{Op: "prepare", Err: err}
	}
	g.Say("%s is linked again to its repository, which was moved to %s", s.Path, r.common)
	return true, nil
}

// replaceLink writes the link of the worktree at path to its repository.
func replaceLink(path, text string) error {
	tmp := part(path)
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(path, ".git"))
}
