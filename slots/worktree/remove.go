package worktree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"kugetsu/slots/git"
)

// repository is open without the lock and without a clone: nil where there is no repository.
func (g *Git) repository(s Spec) (*repo, Spec, error) {
	s, err := s.checked()
	if err != nil {
		return nil, s, err
	}
	r := &repo{g: g, spec: s}
	if r.common, err = s.repository(); err != nil || s.Source.Local != "" {
		return r, s, err
	}
	switch info, err := os.Lstat(r.common); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, s, nil
	case err != nil:
		return nil, s, &git.Error{Op: "examine", Err: err}
	case !info.IsDir():
		return nil, s, git.Refuse("examine", "%s is not a folder", r.common)
	}
	return r, s, nil
}

// gone is where a worktree lies while it is deleted.
func gone(path string) string { return filepath.Join(filepath.Dir(path), ".gone-"+filepath.Base(path)) }

// Remove deletes the worktree and, with dropTip, the branch as long as it is at that commit. Their work must be kept
// elsewhere: the caller has examined it, under the session's lock.
//
// The folder is renamed before it is deleted. `git worktree remove` deletes in place: killed on the way it leaves what
// looks like a worktree in which an agent deleted files, or like one without its link to the repository. Neither can be
// told from work. So a crash leaves
//
//   - before the rename: all as it was;
//   - after it: the record of a worktree whose folder is gone, and a folder .gone-…, which was proved to hold nothing. The
//     next Remove, or Prepare, drops the record, and the next Remove deletes the folder;
//   - after the record: the branch. The next Remove deletes it, Prepare goes on with it.
func (g *Git) Remove(ctx context.Context, s Spec, dropTip string) error {
	r, s, err := g.repository(s)
	if err != nil {
		return err
	}
	defer r.close()
	if r != nil {
		if r.lock, err = g.take(ctx, s.Source.Lock); err != nil {
			return err
		}
		if err := r.completeRecords(); err != nil { // of a git that was killed; else ours would die as well
			return err
		}
		v, err := g.inspect(ctx, s)
		if err != nil {
			return err
		}
		if v.stands {
			if err := r.removeWorktree(ctx); err != nil {
				return err
			}
		} else if err := r.clear(ctx, v.why); err != nil { // half-made, or gone: what it removes it proves to be copies
			return err
		}
	}
	for _, left := range []string{gone(s.Path), part(s.Path)} {
		if err := removeAll(left); err != nil {
			return &git.Error{Op: "remove", Err: err}
		}
	}
	if r == nil || dropTip == "" {
		return nil
	}
	return r.dropBranch(ctx, dropTip)
}

// removeWorktree takes a worktree that stands out of the way and forgets its record. The folder is at gone then.
func (r *repo) removeWorktree(ctx context.Context) error {
	admins, err := r.admins()
	if err != nil {
		return &git.Error{Op: "remove", Err: err}
	}
	return r.removeRecorded(ctx, admins)
}

// removeRecorded is removeWorktree for these records alone.
func (r *repo) removeRecorded(ctx context.Context, admins []string) error {
	path := r.spec.Path
	// Git does not wait for the disk: after a power cut the files would be gone, and what was kept of them too.
	if err := syncAround(r.common); err != nil {
		return &git.Error{Op: "remove", Err: err}
	}
	if err := removeAll(gone(path)); err != nil {
		return &git.Error{Op: "remove", Err: err}
	}
	if err := os.Rename(path, gone(path)); err != nil && !git.Absent(err) { // Discard needs no folder
		return &git.Error{Op: "remove", Err: err}
	}
	return r.forgetAll(ctx, admins)
}

// forgetAll forgets git's records of a worktree whose folder is gone, and of the worktrees below that folder.
func (r *repo) forgetAll(ctx context.Context, admins []string) error {
	for _, admin := range admins {
		if err := r.forget(ctx, admin); err != nil {
			return err
		}
	}
	return r.forgetBelow(ctx)
}

// dropBranch deletes the session's branch, unless it is checked out elsewhere or was moved meanwhile.
func (r *repo) dropBranch(ctx context.Context, tip string) error {
	f, err := r.refs(ctx)
	if err != nil || f.branch.commit != tip {
		return err
	}
	if at, err := r.occupant(f); err != nil || at != "" {
		return err
	}
	return r.deleteBranch(ctx, tip)
}

// deleteBranch deletes the session's branch as long as it is at a commit, and its tracking configuration.
func (r *repo) deleteBranch(ctx context.Context, tip string) error {
	if err := r.retryOnce(ctx, func() error {
		// With the commit that it must be at, which `git branch -D` does not ask for.
		_, err := r.git(ctx, "update-ref", "--no-deref", "-d", "refs/heads/"+r.spec.Branch, tip)
		return err
	}); err != nil {
		return err
	}
	return r.retryOnce(ctx, func() error {
		err := r.editConfig(ctx, "--remove-section", "branch."+r.spec.Branch)
		if git.ExitCode(err) == 128 || git.Absent(err) { // it has none
			return nil
		}
		return err
	})
}

// removeAll removes a folder with all that is in it, also folders that their owner may not write to as they are: Go's module
// cache has folders of mode 0555. A file that still cannot be removed (another user's) is an error that names it.
func removeAll(path string) error {
	err := os.RemoveAll(path)
	if err == nil || !errors.Is(err, fs.ErrPermission) {
		return err
	}
	_ = filepath.WalkDir(path, func(name string, d fs.DirEntry, walkErr error) error {
		if walkErr == nil && d.IsDir() {
			if info, err := d.Info(); err == nil && info.Mode().Perm()&0o700 != 0o700 {
				_ = os.Chmod(name, info.Mode().Perm()|0o700) // before its entries are read
			}
		}
		return nil
	})
	if err = os.RemoveAll(path); errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: it belongs to another user; that user or root must remove it: sudo rm -rf %s", err, path)
	}
	return err
}
