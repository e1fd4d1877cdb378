package worktree

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kugetsu/slots/git"
)

// A worktree on the own disk of a node (Spec.Scratch) has its files there, which no other machine sees. Its record is in the repository, as
// that of each worktree: so commits are in the repository as soon as they are made. The record differs from others in two ways:
//
//   - It is named after the run, too. Wherever files of an earlier run are left, their link leads to no record of a later one.
//   - It is locked, as git-worktree(1) has it for a disk that is not always there: git on another machine would prune it.
//
// It is removed by Discard alone, which does not need the files.

// scratchLock is the reason of that lock.
const scratchLock = "kugetsu: on the own disk of a node\n"

// recordName is the name of the record of a worktree with this folder.
func (s Spec) recordName(folder string) string {
	if s.Scratch == "" {
		return folder
	}
	return folder + "." + s.Scratch
}

// Found is what lies on this machine at the path of a worktree.
type Found struct {
	There bool   // files do
	Run   string // the run for which they were made; empty where their link does not say that
	Half  bool   // that run was ended while they were written out: all are copies
}

// Find looks at what an earlier run left on this machine at the path of a worktree.
func (g *Git) Find(s Spec) (f Found, err error) {
	s, err = s.checked()
	if err != nil {
		return f, err
	}
	free, err := empty(s.Path)
	if err != nil || free {
		return f, err
	}
	f.There = true
	admin, _, err := linked(s.Path, filepath.Join(s.Path, ".git"))
	if err != nil || admin == "" {
		return f, nil // the files alone are known
	}
	f.Run, _ = strings.CutPrefix(filepath.Base(admin), filepath.Base(s.Path)+".")
	if git.IsDir(admin) {
		f.Half, err = halfMade(admin)
	}
	return f, err
}

// Discard removes the files at the path of a worktree, where this machine has any, and each record of a worktree at that path. What was work
// in it must be kept. Where the Spec names a run, that is done for that run's alone: the next run may be there by now, on this machine or, at
// the same path, on another one.
func (g *Git) Discard(ctx context.Context, s Spec) error {
	r, s, err := g.repository(s)
	if err != nil || r == nil { // without the repository nothing is known of the files: they stay
		return err
	}
	defer r.close()
	if r.lock, err = g.take(ctx, s.Source.Lock); err != nil {
		return err
	}
	if err := r.completeRecords(); err != nil {
		return err
	}
	if err := g.ofRun(s); err != nil {
		return err
	}
	admins, err := r.admins()
	if err != nil {
		return &git.Error{Op: "remove", Err: err}
	}
	if s.Scratch != "" {
		admins = slices.DeleteFunc(admins, func(admin string) bool { return filepath.Base(admin) != s.recordName(filepath.Base(s.Path)) })
	}
	for _, admin := range admins {
		if _, err := os.Lstat(filepath.Join(admin, "modules")); err == nil {
			return git.Refuse("remove", "the worktree %s, on the own disk of a node, has submodules, whose commits kugetsu cannot keep: push them from %s, and then remove that folder",
				s.Path, filepath.Join(admin, "modules"))
		}
	}
	if err := r.removeRecorded(ctx, admins); err != nil {
		return err
	}
	r.close() // what follows may take long
	for _, left := range []string{gone(s.Path), part(s.Path)} {
		if err := removeAll(left); err != nil {
			return &git.Error{Op: "remove", Err: err}
		}
	}
	return nil
}

// Carry is Restore for a worktree that was made just now, on another machine than that on which the work was kept. Fits is false, and
// nothing is changed, where the branch has commits that the work is not on top of, since a later run had the work in hand; and where the ref
// is not at that commit any more. Head is the commit that is checked out after that.
func (g *Git) Carry(ctx context.Context, s Spec, ref, commit string, snapshot bool) (fits bool, head string, err error) {
	s, err = s.checked()
	if err != nil {
		return false, "", err
	}
	v, err := g.inspect(ctx, s)
	if err != nil {
		return false, "", err
	}
	if fits, err = g.fits(ctx, v, ref, commit, snapshot); err != nil || !fits {
		return false, v.made.Head, err
	}
	if _, err = g.Restore(ctx, s, ref, snapshot); err != nil {
		return false, v.made.Head, err
	}
	head, err = g.Head(ctx, s)
	return true, head, err
}

func (g *Git) fits(ctx context.Context, v view, ref, commit string, snapshot bool) (bool, error) {
	if !v.stands {
		return false, git.Refuse("restore", "there is no worktree (%s)", cmp.Or(v.why, "nothing is there"))
	}
	p, err := g.Open(ctx, v.at)
	if err != nil {
		return false, err
	}
	defer p.Done()
	out, err := p.Run(ctx, git.Command{Args: []string{"rev-parse", "--quiet", "--verify", ref + "^{commit}"}})
	if git.ExitCode(err) == 1 || err == nil && strings.TrimSpace(out) != commit {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	kept, err := readKept(ctx, p, ref, snapshot)
	if err != nil || v.made.Head == "" {
		return err == nil, err
	}
	_, err = p.Run(ctx, git.Command{Args: []string{"merge-base", "--is-ancestor", v.made.Head, kept.under}})
	if git.ExitCode(err) == 1 {
		return false, nil
	}
	return err == nil, err
}

// ofRun refuses where files at the path are not of the run that the Spec names.
func (g *Git) ofRun(s Spec) error {
	if s.Scratch == "" {
		return nil
	}
	found, err := g.Find(s)
	if err == nil && found.There && found.Run != s.Scratch {
		err = git.Refuse("remove", "%s is not the worktree of %s any more: it stays", s.Path, s.Scratch)
	}
	return err
}

// DiscardFiles is Discard for files whose record may be gone, and where that of another machine has the same path by now.
func (g *Git) DiscardFiles(s Spec) error {
	if err := g.ofRun(s); err != nil {
		return err
	}
	if err := removeAll(s.Path); err != nil {
		return &git.Error{Op: "remove", Err: err}
	}
	return nil
}

// SetAside takes files that could not be kept out of the way of a new worktree, and says where they are.
func (g *Git) SetAside(s Spec) (to string, err error) {
	to = filepath.Join(filepath.Dir(s.Path), fmt.Sprintf(".left-%s.%d", filepath.Base(s.Path), time.Now().UnixNano()))
	if err := os.Rename(s.Path, to); err != nil {
		return "", &git.Error{Op: "prepare", Err: err}
	}
	return to, nil
}
