package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ErrNoLock is wrapped by the error of Probe for a folder in which flock(2) does not exclude a second holder.
var ErrNoLock = errors.New("flock does not work here")

// Probe tests the assumptions of this package in a folder: a file can be written durably, linked and removed, and a second
// lock on it is refused. Sweep removes what a crash leaves.
func Probe(dir string) (err error) {
	tmp, err := writeTemp(filepath.Join(dir, "probe"), []byte("probe\n"), true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, wrap("remove", tmp, os.Remove(tmp))) }()
	linked := tmp + "1" // a name that Sweep knows too
	if err := os.Link(tmp, linked); err != nil {
		return wrap("link", linked, err)
	}
	if err := errors.Join(wrap("remove", linked, os.Remove(linked)), SyncDir(dir)); err != nil {
		return err
	}
	var locked []error
	for range 2 {
		f, err := os.OpenFile(tmp, os.O_RDWR|unix.O_NOFOLLOW, 0)
		if err != nil {
			return wrap("lock", tmp, err)
		}
		defer f.Close()
		locked = append(locked, unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB))
	}
	switch {
	case locked[0] != nil:
		return wrap("lock", dir, fmt.Errorf("%w: %w", ErrNoLock, locked[0]))
	case !errors.Is(locked[1], unix.EWOULDBLOCK):
		return wrap("lock", dir, fmt.Errorf("%w: two hold one lock", ErrNoLock))
	}
	return nil
}

// Chmod sets the mode of a file or folder, never of what a symbolic link leads to.
func Chmod(path string, mode os.FileMode) error {
	info, err := os.Lstat(path)
	if err == nil && info.Mode()&os.ModeSymlink != 0 {
		err = fmt.Errorf("%w: a symbolic link", ErrBad)
	}
	if err == nil {
		err = os.Chmod(path, mode)
	}
	return wrap("chmod", path, err)
}
