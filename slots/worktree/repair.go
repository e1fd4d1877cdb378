package worktree

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"kugetsu/slots/git"
)

// clear makes the path free for a worktree, or refuses. No worktree stands at the path, and the caller has the repository's lock, so a
// half-made worktree there was left by a git that was killed. why says why no worktree stands, for the refusal.
func (r *repo) clear(ctx context.Context, why string) error {
	path := r.spec.Path
	admins, err := r.admins()
	if err != nil {
		return &git.Error{Op: "prepare", Err: err}
	}
	files, err := r.clearable(ctx, admins, why)
	if err != nil {
		return err
	}
	if files {
		r.g.Say("removing the incomplete worktree %s", path)
	}
	// First the folder, then the record of it: killed in between, the record says how to go on.
	if err := removeAll(path); err != nil {
		return &git.Error{Op: "prepare", Err: err}
	}
	return r.forgetAll(ctx, admins)
}

// clearable is the refusal of clear, which changes nothing yet; files says that there are some, all of them copies.
func (r *repo) clearable(ctx context.Context, admins []string, why string) (files bool, err error) {
	path := r.spec.Path
	whole := false // a complete worktree is registered for the path
	for _, admin := range admins {
		half, err := halfMade(admin)
		if err != nil {
			return false, err
		}
		if half {
			continue
		}
		whole = true
		reason, err := git.ReadSmall(filepath.Join(admin, "locked"), 64<<10)
		if err == nil {
			return false, git.Refuse("prepare", "the worktree %s is damaged and locked (%s): unlock it with git worktree unlock", path, git.OneLine(reason))
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return false, &git.Error{Op: "prepare", Err: err}
		}
	}
	free, err := empty(path)
	if err != nil || free {
		return false, err
	}
	if why == "" {
		why = "git has no record of it"
	}
	if whole && !unwritten(path) { // the folder of a worktree that an agent or a user damaged: its files may be work
		return false, git.Refuse("prepare", "%s is a damaged worktree (%s): repair it (git worktree repair), or move it away", path, why)
	}
	ok, err := r.copied(ctx)
	if err != nil {
		return false, err
	}
	if !ok {
		return false, git.Refuse("prepare", "%s is in the way (%s) and holds files that are not in branch %s: move it away", path, why, r.spec.Branch)
	}
	return true, nil
}

// forget removes the record of a worktree whose folder is gone. `git worktree prune` would do it for every worktree
// whose folder it cannot see, also for those on a disk that is not mounted just now.
func (r *repo) forget(ctx context.Context, admin string) error {
	half, err := halfMade(admin)
	if err != nil {
		return err
	}
	if !half {
		// Commits on a detached HEAD (an interrupted rebase) hang by this record alone.
		head, err := git.ReadSmall(filepath.Join(admin, "HEAD"), 64<<10)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return &git.Error{Op: "prepare", Err: err}
		}
		if git.IsCommit(git.OneLine(head)) {
			kept := "refs/kugetsu/detached/" + git.OneLine(head)
			if err := r.updateRef(ctx, kept, git.OneLine(head)); err != nil {
				return err
			}
			r.g.Say("the worktree is gone, and the commit of its detached HEAD is kept as %s", kept)
		}
	}
	if err := removeAll(admin); err != nil {
		return &git.Error{Op: "prepare", Err: err}
	}
	return nil
}

// admins finds git's records of a worktree at the path: the directories in <common>/worktrees whose file gitdir names the path
// (gitrepository-layout(5)), and those that a killed git made for the worktree before it could write that file.
func (r *repo) admins() ([]string, error) {
	records, err := git.Records(r.common)
	if err != nil {
		return nil, err
	}
	// Git writes the path with its links resolved; the folder itself may be gone.
	parent, base := filepath.Split(r.spec.Path)
	switch real, err := filepath.EvalSymlinks(parent); {
	case err == nil:
		parent = real
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	link := filepath.Join(parent, base, ".git")
	var found []string
	for _, admin := range records {
		text, err := git.ReadSmall(filepath.Join(admin, "gitdir"), 64<<10)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if len(text) > 0 {
			if git.Rel(admin, git.OneLine(text)) == link {
				found = append(found, admin)
			}
			continue
		}
		// Git names it after the folder, with a number if the name is taken, and kugetsu with the run for one on the disk of a node. Any
		// other record with such a name and no file gitdir is another session's leftover: we hold the lock.
		more, ok := strings.CutPrefix(filepath.Base(admin), base)
		if !ok || strings.Trim(more, "0123456789") != "" && !strings.HasPrefix(more, ".q_") {
			continue
		}
		half, err := halfMade(admin)
		if err != nil {
			return nil, err
		}
		if half {
			found = append(found, admin)
		}
	}
	return found, nil
}

// completeRecords writes the file commondir in each worktree's record where a git was killed after it had made the file and before it
// wrote the text. One empty commondir is enough that every git that lists the worktrees dies ("failed to read …/commondir: Success"),
// for every issue of the repository. A git that is at that point now is about to write the same text.
func (r *repo) completeRecords() error {
	records, err := git.Records(r.common)
	if err != nil {
		return &git.Error{Op: "prepare", Err: err}
	}
	for _, admin := range records {
		file := filepath.Join(admin, "commondir")
		if info, err := os.Lstat(file); err != nil || info.Size() > 0 || !info.Mode().IsRegular() {
			continue
		}
		half, err := halfMade(filepath.Dir(file))
		if err != nil {
			return err
		}
		if !half {
			continue
		}
		if err := git.WriteWhole(file, "../..\n"); err != nil {
			return &git.Error{Op: "prepare", Err: err}
		}
	}
	return nil
}

// halfMade says whether `git worktree add` was killed before it was done. It makes the record, locks it with this
// reason, writes gitdir and then the rest (builtin/worktree.c), and unlocks it when the files are written out. No agent
// ever worked in such a folder, since Prepare did not return. A lock without a reason is a user's.
func halfMade(admin string) (bool, error) {
	_, err := os.Lstat(filepath.Join(admin, "gitdir"))
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, &git.Error{Op: "prepare", Err: err}
	}
	reason, err := git.ReadSmall(filepath.Join(admin, "locked"), 64<<10)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, &git.Error{Op: "prepare", Err: err}
	}
	return git.OneLine(reason) == "initializing", nil
}

// unwritten says whether a power cut took the content of the link to the repository. The link is on the disk before an agent
// begins, so no agent worked there. Whether the files are copies is checked nevertheless.
func unwritten(path string) bool {
	info, err := os.Lstat(filepath.Join(path, ".git"))
	return err == nil && info.Mode().IsRegular() && info.Size() == 0
}

// empty says whether nothing is at path, or a folder with nothing in it.
func empty(path string) (bool, error) {
	entries, err := os.ReadDir(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return true, nil
	case errors.Is(err, syscall.ENOTDIR): // a file
		return false, nil
	case err != nil:
		return false, &git.Error{Op: "prepare", Err: err}
	}
	return len(entries) == 0, nil
}

// copied says whether every file in the folder is a copy of a file of the branch, whole or cut off at the end. A checkout that was
// killed leaves such a folder, with or without its record, and no work is lost with it. Files that git ignores do count, since no
// checkout writes them.
func (r *repo) copied(ctx context.Context) (bool, error) {
	path := r.spec.Path
	info, err := os.Lstat(path)
	if err != nil {
		return false, &git.Error{Op: "prepare", Err: err}
	}
	if !info.IsDir() {
		return false, nil // a link or a file is no checkout's leftover
	}
	refs, err := r.refs(ctx)
	if err != nil || refs.branch.commit == "" {
		return false, err
	}
	at := r.spec.at(r.common)
	at.Path = path
	p, err := r.g.Open(ctx, at)
	if err != nil {
		return false, err
	}
	defer p.Done()
	ask := func(args ...string) (string, error) {
		return p.Run(ctx, git.Command{Lock: r.lock, Args: args, Index: filepath.Join(p.Dir, "index")})
	}
	if _, err := ask("read-tree", refs.branch.commit); err != nil {
		return false, err
	}
	other := false
	var changed []git.Entry
	read := git.StatusReader{Each: func(e git.Entry) {
		switch {
		case e.Worktree == 'M' && len(changed) < maxChanged:
			changed = append(changed, e)
		case e.Worktree != '.' && e.Worktree != 'D': // those are copies, or not written yet
			other = true
		}
	}}
	if _, err := p.Run(ctx, git.Command{Lock: r.lock, Args: slices.Concat(git.StatusArgs, []string{"--ignored=traditional"}),
		Index: filepath.Join(p.Dir, "index"), Stdout: &read}); err != nil || other {
		return false, err
	}
	for _, e := range changed {
		{
			whole, err := ask("cat-file", "--filters", refs.branch.commit+":"+e.Path)
			if err != nil {
				return false, err
			}
			part, err := git.ReadSmall(filepath.Join(path, e.Path), int64(len(whole)))
			if errors.Is(err, syscall.ELOOP) || errors.Is(err, git.ErrTooLong) { // a link in its place, or more than it had
				return false, nil
			}
			if err != nil {
				return false, &git.Error{Op: "prepare", Err: err}
			}
			if !strings.HasPrefix(whole, string(part)) {
				return false, nil
			}
		}
	}
	return true, nil
}

// maxChanged is how many files a checkout that was killed may have left cut off: it writes one at a time, or a few.
const maxChanged = 1000

// Undo removes what this Prepare made, after the start failed, and nothing else: the worktree with whatever a hook
// left in it, and the branch. Anything that was there before stays, and so does everything as soon as there is a
// commit that was not there: then it is an error. The clone stays. Undo of nothing does nothing. ctx must be a live
// one, not that on which Prepare was given up.
func (g *Git) Undo(ctx context.Context, s Spec, m Made) error {
	if !m.CreatedWorktree && !m.CreatedBranch {
		return nil
	}
	s, err := s.checked()
	if err != nil {
		return err
	}
	r, _, err := g.open(ctx, s)
	if err != nil {
		return err
	}
	defer r.close()
	v, err := g.inspect(ctx, s)
	if err != nil {
		return err
	}
	if v.stands && (v.made.Head != m.Head || v.made.Branch != m.Branch) {
		return git.Refuse("undo", "%s is not at %s any more: it is not removed", s.Path, m.Head)
	}
	if m.CreatedWorktree && v.stands {
		if err := r.removeWorktree(ctx); err != nil {
			return err
		}
		if err := removeAll(gone(s.Path)); err != nil {
			return &git.Error{Op: "undo", Err: err}
		}
	} else if m.CreatedWorktree {
		if err := r.clear(ctx, v.why); err != nil {
			return err
		}
	}
	if !m.CreatedBranch {
		return nil
	}
	refs, err := r.refs(ctx)
	if err != nil || refs.branch.commit == "" {
		return err
	}
	at, err := r.occupant(refs)
	if err != nil {
		return err
	}
	if refs.branch.commit != m.Head || at != "" {
		return git.Refuse("undo", "branch %s is not at %s any more: it is not removed", m.Branch, m.Head)
	}
	return r.deleteBranch(ctx, m.Head)
}
