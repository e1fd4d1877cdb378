package worktree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"kugetsu/queue/spool"
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
	list, err := alternates(common)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(s.noted()), 0o700)
	}
	if err == nil {
		err = spool.Write(s.noted(), []byte(strings.Join(append(list, ""), "\n")))
	}
	if err != nil {
		return &Error{Op: "prepare", Err: err}
	}
	return nil
}

// alternates are the folders that a repository names.
func alternates(common string) (list []string, err error) {
	file, err := filepath.EvalSymlinks(filepath.Join(common, "objects", "info", "alternates"))
	if absent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	text, err := readSmall(file, 64<<10)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimRight(line, "\n"); line == "" || line[0] == '#' {
			continue
		}
		if line[0] != '"' { // git quotes some names as C does
			line = rel(filepath.Join(common, "objects"), line)
		}
		list = append(list, line)
	}
	return list, nil
}

// noteStrange finds out which alternates were added since they were noted.
func (p *private) noteStrange() error {
	if p.at.noted == "" || p.at.common == "" {
		return nil
	}
	text, err := spool.Read(p.at.noted)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // no session of ours began there yet
	}
	if err != nil {
		return &Error{Op: "git", Err: err}
	}
	have, err := alternates(p.at.common)
	if err != nil { // an agent made it what it is
		have = []string{fmt.Sprintf("what cannot be read (%v)", err)}
	}
	p.noted = slices.DeleteFunc(strings.Split(string(text), "\n"), func(line string) bool { return line == "" })
	for _, dir := range have {
		if !slices.Contains(p.noted, dir) {
			p.added = append(p.added, dir)
		}
	}
	return nil
}

// linkObjects makes git see the objects of the repository and of the alternates that were noted. A folder of objects that is
// not there yet may be made while git reads, so the links to all of them are made. Nothing is written through them.
func (p *private) linkObjects() error {
	dir, store := filepath.Join(p.dir, "objects"), filepath.Join(p.at.common, "objects")
	err := os.MkdirAll(filepath.Join(dir, "info"), 0o700)
	names := []string{"pack"}
	for n := range 256 {
		names = append(names, fmt.Sprintf("%02x", n))
	}
	for _, name := range names {
		if err == nil {
			err = os.Symlink(filepath.Join(store, name), filepath.Join(dir, name))
		}
	}
	if err != nil {
		return &Error{Op: "git", Err: err}
	}
	return p.write("objects/info/alternates", strings.Join(p.noted, "\n"))
}

// present says what a pack need not have, as lines for git pack-objects --revs: head and what is under it, which is in the
// repository. Where alternates were added, that is looked at. Where head needs one of them, it is tried with what the
// remotes have, and else the pack gets all.
func (p *private) present(ctx context.Context, head string) (revs string, err error) {
	if head != "" {
		revs = "^" + head + "\n"
	}
	if len(p.added) == 0 {
		return revs, nil
	}
	p.g.say("%s names %s, which it did not when kugetsu first worked there: what is kept does not need that (if it is yours: rm %s)",
		filepath.Join(p.at.common, "objects", "info", "alternates"), clean(strings.Join(p.added, ", ")), p.at.noted)
	at := p.at
	at.strict = true
	q, err := p.g.newPrivate(ctx, at)
	if err != nil {
		return "", err
	}
	defer q.done()
	remotes, err := q.run(ctx, command{args: []string{"for-each-ref", "--format=^%(objectname)", "refs/remotes/"}})
	if err != nil {
		return "", err
	}
	for _, try := range []string{revs, remotes} {
		if try == "" {
			continue
		}
		_, err := q.run(ctx, command{stdin: strings.ReplaceAll(try, "^", ""), args: []string{"rev-list", "--objects", "--quiet", "--stdin"}})
		if err == nil {
			return try, nil
		}
		if exitCode(err) <= 0 {
			return "", err
		}
	}
	return "", nil
}

// complete brings what a commit has only in alternates that were added into the repository. The caller makes a reference to
// the commit, and then calls release.
func (r *repo) complete(ctx context.Context, commit string) (release func(), err error) {
	p, err := r.private(ctx)
	if err != nil {
		return nil, err
	}
	if len(p.added) == 0 {
		return func() {}, nil
	}
	in, err := p.scratch(ctx, how{})
	if err != nil {
		return nil, err
	}
	defer in.remove()
	return in.install(ctx, commit, "")
}
