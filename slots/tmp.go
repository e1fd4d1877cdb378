package slots

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"kugetsu/queue/pattern"
	"kugetsu/queue/spool"
)

// A run's TMPDIR is t/<n>, with the lowest number that is free, and <run>/tmp is a link to it. The path is so short since programs
// make sockets there, and the path of a socket may have 107 bytes (sun_path of unix(7)).

const (
	// SocketMax is how long the path of a socket may be, without the zero that ends it.
	SocketMax = 107
	// SocketBelow is the length of the longest common path of a socket below TMPDIR: Chromium's. gpg's and tmux's are shorter.
	SocketBelow = len("/.org.chromium.Chromium.XXXXXX/SingletonSocket")
	// tmpMost bounds the search for a free number: more runs than there can be slots.
	tmpMost = 10_000
	// tmpAge is how old a folder without a run must be for SweepTmp to remove it: longer than makeTmp can take between its two
	// steps.
	tmpAge = time.Hour
)

var tmpLink = pattern.Lazy(`^\.\./\.\./t/([1-9]\d{0,3})$`)

// tmpLink is the link to the TMPDIR of a run.
func (d Dir) tmpLink(run string) string { return filepath.Join(d.RunDir(run), "tmp") }

// TmpLongest is the longest path that the TMPDIR of a run may have with so many runs at once.
func (d Dir) TmpLongest(runs int) string { return filepath.Join(d.tmps(), strconv.Itoa(runs)) }

// makeTmp makes the TMPDIR of a run. The folder comes before the link, since making it takes the number. A runner that is killed
// between the two leaves an empty folder, which SweepTmp removes.
func (d Dir) makeTmp(run string) (string, error) {
	if err := errors.Join(d.requireDir(run), d.DropTmp(run)); err != nil {
		return "", err
	}
	if err := os.MkdirAll(d.tmps(), 0o700); err != nil {
		return "", err
	}
	for n := 1; n < tmpMost; n++ {
		name := strconv.Itoa(n)
		path := filepath.Join(d.tmps(), name)
		err := os.Mkdir(path, 0o700)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err == nil {
			err = os.Symlink(filepath.Join("..", "..", filepath.Base(d.tmps()), name), d.tmpLink(run))
		}
		return path, err
	}
	return "", fmt.Errorf("%s is full", d.tmps())
}

// DropTmp deletes a run's temporary files. No process of the run is left.
func (d Dir) DropTmp(run string) error {
	if err := d.requireDir(run); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	link := d.tmpLink(run)
	to, err := os.Readlink(link)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	// A link that the agent put in place of this one is not followed.
	if m := tmpLink().FindStringSubmatch(to); err == nil && m != nil {
		if err := d.emptyTmp(m[1]); err != nil {
			return err
		}
	}
	return os.RemoveAll(link) // last, since it names the folder
}

// emptyTmp removes the folder of a number.
func (d Dir) emptyTmp(n string) error {
	info, err := os.Lstat(d.tmps())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%w: not a folder", spool.ErrBad)
	}
	if err != nil {
		return &spool.Error{Op: "look at", Path: d.tmps(), Err: err}
	}
	path := filepath.Join(d.tmps(), n)
	if d.discard(path) == nil {
		return nil
	}
	if err := os.RemoveAll(path); err == nil || !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return spool.RemoveAll(path) // for folders that were made read-only, like those of Go's module cache
}

// gone is the folder of files to delete. They are moved there in an instant, mostly under tick.lock, and deleted after the lock:
// an agent may leave hundreds of thousands of files.
func (d Dir) gone() string { return filepath.Join(d.tmps(), ".gone") }

// discard moves a folder to gone. It fails where gone is a link, on a full disk, and for a folder that was made read-only.
func (d Dir) discard(path string) error {
	if there, err := spool.Exists(path); err != nil || !there {
		return err
	}
	if err := os.Mkdir(d.gone(), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if _, err := spool.ListReal(d.gone()); err != nil {
		return err
	}
	return os.Rename(path, filepath.Join(d.gone(), fmt.Sprintf("%s.%d", filepath.Base(path), time.Now().UnixNano())))
}

// Sweep deletes the files in gone. No lock is needed: nothing else works there.
func (d Dir) Sweep(ctx context.Context) error {
	names, err := spool.ListReal(d.gone())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, name := range names {
		if ctx.Err() != nil {
			return errors.Join(append(errs, context.Cause(ctx))...)
		}
		errs = append(errs, spool.RemoveAll(filepath.Join(d.gone(), name)))
	}
	return errors.Join(errs...)
}

// SweepTmp removes the folders that no run links to. The caller has locked tick.lock; a run may begin meanwhile.
func (d Dir) SweepTmp(now time.Time) error {
	names, err := spool.List(d.tmps())
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(names) == 0 {
		return nil
	}
	runs, runsErr := d.AllRuns()
	if err := errors.Join(err, runsErr); err != nil {
		return err
	}
	named := map[string]bool{}
	for _, run := range runs {
		to, err := os.Readlink(d.tmpLink(run))
		if m := tmpLink().FindStringSubmatch(to); err == nil && m != nil {
			named[m[1]] = true
		}
	}
	var errs []error
	for _, name := range names {
		info, err := os.Lstat(filepath.Join(d.tmps(), name))
		if err != nil || named[name] || !tmpLink().MatchString("../../t/"+name) || now.Sub(info.ModTime()) < tmpAge {
			continue
		}
		errs = append(errs, d.emptyTmp(name))
	}
	return errors.Join(errs...)
}
