package worktree

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"kugetsu/queue/spool"
	"kugetsu/slots/git"
)

// A local checkout may borrow objects of another repository (git clone --shared, or --reference): objects/info/alternates
// names the folders, and git reads what is in them. An agent whose sandbox opens the objects can add a folder of its own.
// A commit that is kept must not need that folder, which goes one day. A folder that the owner of the checkout named is as
// good as the checkout.
//
// So kugetsu notes the alternates before the first agent works in a checkout, in a file that no agent writes to. Where there
// are others later, git still reads them, and whatever is only there comes into the pack of what is kept.

// noted is the file for the alternates of a local checkout, beside the lock of the repository; empty for none.
func (s Spec) noted() string {
	if s.Source.Local == "" || s.Source.Lock == "" {
		return ""
	}
	return strings.TrimSuffix(s.Source.Lock, ".lock") + ".alternates"
}

// noteAlternates notes them, once. An owner who names another folder later deletes the note.
func (s Spec) noteAlternates() error {
	if s.noted() == "" {
		return nil
	}
	if _, err := os.Lstat(s.noted()); err == nil {
		return nil
	}
	common, err := s.repository()
	if err != nil {
		return err
	}
	list, err := git.Alternates(common)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(s.noted()), 0o700)
	}
	if err == nil {
		err = spool.Write(s.noted(), []byte(strings.Join(append(list, ""), "\n")))
	}
	if err != nil {
		return &git.Error{Op: "prepare", Err: err}
	}
	return nil
}

// complete brings what a commit has only in alternates that were added into the repository. The caller makes a reference to
// the commit, and then calls release.
func (r *repo) complete(ctx context.Context, commit string) (release func(), err error) {
	p, err := r.private(ctx)
	if err != nil {
		return nil, err
	}
	if len(p.AddedAlternates) == 0 {
		return func() {}, nil
	}
	in, err := p.Scratch(ctx, git.Reading{})
	if err != nil {
		return nil, err
	}
	defer in.Remove()
	return in.Install(ctx, commit, "")
}
