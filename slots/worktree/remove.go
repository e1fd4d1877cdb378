package worktree

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"kugetsu/queue/terminal"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Holding describes a session's workspace: its commits and files, and how much of that is nowhere else.
type Holding struct {
	There      bool   // something of it is there: a folder, git's record of one, or the branch
	Stands     bool   // a worktree stands at the path
	Branch     string // what is checked out there; empty when HEAD is detached, or nothing stands
	Head       string // the commit checked out
	Tip        string // the commit of the session's own branch; empty when there is none
	Base       string // what the branch is to be merged into; empty when that is not known
	Dirty      int    // files that are uncommitted, or untracked and not ignored
	Ahead      int    // commits that the base has not
	Behind     int    // commits of the base that it has not
	Unpushed   int    // commits on no remote-tracking branch (nor, in a local checkout, on the base)
	Locked     string // the reason, where a user locked the worktree (git worktree lock)
	Submodules bool   // there are repositories inside, whose commits kugetsu cannot keep
	Bad        error  // why the files at the path cannot be judged

	Inside []string // the commits that are checked out in worktrees of the repository inside of it
}

// Examine inspects a workspace and changes nothing: no lock, no clone, no network. "Pushed" is as of the last fetch, so a
// commit of which git does not know it counts as unpushed.
func (g *Git) Examine(ctx context.Context, s Spec) (Holding, error) {
	var h Holding
	r, s, err := g.repository(s)
	if err != nil {
		return h, err
	}
	defer r.close()
	free, err := empty(s.Path)
	if err != nil {
		return h, err
	}
	h.There = !free
	if r == nil {
		if !free {
			h.Bad = refuse("examine", "%s holds files, and the repository they may come from is gone", s.Path)
		}
		return h, nil
	}
	v, err := g.look(ctx, s)
	var e *Error
	if errors.As(err, &e) && e.Permanent {
		h.Bad = err
		return h, nil
	}
	if err != nil {
		return h, err
	}
	refs, err := r.refs(ctx)
	if err != nil {
		return h, err
	}
	h.Tip, h.Stands = refs.branch.commit, v.stands
	admins, err := r.admins()
	if err != nil {
		return h, &Error{Op: "examine", Err: err}
	}
	h.There = h.There || h.Tip != "" || len(admins) > 0
	if v.stands {
		h.Branch, h.Head = v.made.Branch, cmp.Or(v.made.Head, v.lost)
		p, err := g.newPrivate(ctx, v.at)
		if err != nil {
			return h, err
		}
		defer p.done()
		st, missed, err := p.status(ctx)
		if err != nil {
			return h, err
		}
		h.Dirty, h.Bad = st.dirty, missed
		if err := p.examineInside(ctx, &h); err != nil {
			return h, err
		}
		if st.by.fresh { // files may have been staged, which is not known: that must not count as clean
			h.Dirty = max(h.Dirty, 1)
		}
	} else if _, err := r.clearable(ctx, admins, v.why); err != nil {
		if !errors.As(err, &e) || !e.Permanent {
			return h, err
		}
		h.Bad = err
		if admin, err := r.movedAdmin(); err == nil && admin != "" {
			h.Bad = refuse("examine", "%s leads to where its repository was: kugetsu continue finds it", s.Path)
		}
	}
	for _, admin := range admins {
		reason, err := readSmall(filepath.Join(admin, "locked"), 64<<10)
		if err == nil && oneLine(reason) != "initializing" {
			h.Locked = clean("locked: " + oneLine(reason))
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return h, &Error{Op: "examine", Err: err}
		}
		if _, err := os.Lstat(filepath.Join(admin, "modules")); err == nil {
			h.Submodules = true
		}
		if !v.stands && h.Head == "" { // the folder is gone: a detached HEAD hangs by the record alone
			if head, err := readSmall(filepath.Join(admin, "HEAD"), 1<<10); err == nil && commitID.MatchString(oneLine(head)) {
				h.Head = oneLine(head)
			}
		}
	}
	err = r.count(ctx, refs, &h)
	return h, err
}

// Work lists what would be lost with the workspace, and the reasons not to remove it; nil where there is neither.
func (h Holding) Work() []string {
	var work []string
	if h.Dirty > 0 {
		work = append(work, terminal.Count(h.Dirty, "uncommitted or untracked file"))
	}
	if h.Unpushed > 0 {
		work = append(work, terminal.Count(h.Unpushed, "unpushed commit"))
	}
	return append(work, h.Unkeepable()...)
}

// Unkeepable lists the parts of the workspace that no ref of kugetsu's could keep.
func (h Holding) Unkeepable() []string {
	var work []string
	if h.Submodules {
		work = append(work, "submodules, whose own commits are not looked at")
	}
	if h.Locked != "" {
		work = append(work, h.Locked)
	}
	if h.Bad != nil {
		work = append(work, h.Bad.Error())
	}
	return work
}

// count counts the commits that the base and the remotes lack.
func (r *repo) count(ctx context.Context, f refs, h *Holding) error {
	name, base, err := r.base(ctx, f)
	if err != nil {
		return err
	}
	if name == r.spec.Branch { // the owner of the checkout has it out: nothing says that it went anywhere
		base = ""
	}
	if base != "" && name != base {
		h.Base = name
	}
	var tips []string
	ahead := base == ""
	for _, tip := range append([]string{h.Head, h.Tip}, h.Inside...) {
		if tip != "" {
			tips = append(tips, tip)
			ahead = ahead || tip != base
		}
	}
	if len(tips) == 0 || !ahead { // the base is a remote-tracking branch, or the checkout's own
		return nil
	}
	args := append(append([]string{"rev-list", "--count"}, tips...), "--not", "--remotes", "--glob="+pushedRefs+"*")
	if r.spec.Source.Local != "" && base != "" {
		args = append(args, base)
	}
	out, err := r.git(ctx, args...)
	if err != nil {
		return err
	}
	if h.Unpushed, err = strconv.Atoi(strings.TrimSpace(out)); err != nil || base == "" {
		return err
	}
	if out, err = r.git(ctx, "rev-list", "--left-right", "--count", tips[0]+"..."+base); err != nil {
		return err
	}
	_, err = fmt.Sscan(out, &h.Ahead, &h.Behind)
	return err
}

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
		return nil, s, &Error{Op: "examine", Err: err}
	case !info.IsDir():
		return nil, s, refuse("examine", "%s is not a folder", r.common)
	}
	return r, s, nil
}

// gone is where a worktree lies while it is deleted.
func gone(path string) string { return filepath.Join(filepath.Dir(path), ".gone-"+filepath.Base(path)) }

// Keep makes a commit stay reachable at <refs>/<commit>: a name that is the same however often a removal is begun again.
func (g *Git) Keep(ctx context.Context, s Spec, refs, commit string) (string, error) {
	if !commitID.MatchString(commit) || !strings.HasPrefix(refs, "refs/kugetsu/") || !validRef(refs) {
		return "", refuse("keep", "not a commit and a place below refs/kugetsu/: %q %q", commit, refs)
	}
	r, _, err := g.repository(s)
	if err != nil {
		return "", err
	}
	if r == nil {
		return "", refuse("keep", "there is no repository")
	}
	defer r.close()
	ref := refs + "/" + commit
	if err := plainRef(r.common, ref); err != nil {
		return "", err
	}
	release, err := r.complete(ctx, commit)
	if err != nil {
		return "", err
	}
	defer release()
	args := []string{"update-ref", "--no-deref", ref, commit}
	_, err = r.git(ctx, args...)
	// A git that was killed left its lock. No other process writes this name: the caller holds the session's lock.
	if err != nil && os.Remove(filepath.Join(r.common, ref+".lock")) == nil {
		_, err = r.git(ctx, args...)
	}
	return ref, err
}

// Remove deletes the worktree and, with dropTip, the branch as long as it is at that commit. What they hold must be kept
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
		v, err := g.look(ctx, s)
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
			return &Error{Op: "remove", Err: err}
		}
	}
	if r == nil || dropTip == "" {
		return nil
	}
	return r.dropBranch(ctx, dropTip)
}

// removeWorktree takes a worktree that stands out of the way and forgets its record. The folder is at gone then.
func (r *repo) removeWorktree(ctx context.Context) error {
	path := r.spec.Path
	admins, err := r.admins()
	if err != nil {
		return &Error{Op: "remove", Err: err}
	}
	// Git does not wait for the disk: after a power cut the files would be gone, and what was kept of them too.
	if err := syncAround(r.common); err != nil {
		return &Error{Op: "remove", Err: err}
	}
	if err := removeAll(gone(path)); err != nil {
		return &Error{Op: "remove", Err: err}
	}
	if err := os.Rename(path, gone(path)); err != nil {
		return &Error{Op: "remove", Err: err}
	}
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
	if err := r.twice(ctx, func() error {
		// With the commit that it must be at, which `git branch -D` does not ask for.
		_, err := r.git(ctx, "update-ref", "--no-deref", "-d", "refs/heads/"+r.spec.Branch, tip)
		return err
	}); err != nil {
		return err
	}
	return r.twice(ctx, func() error {
		err := r.editConfig(ctx, "--remove-section", "branch."+r.spec.Branch)
		if exitCode(err) == 128 || absent(err) { // it has none
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
		return fmt.Errorf("%w: it is another user's, so that user or root must remove it: sudo rm -rf %s", err, path)
	}
	return err
}
