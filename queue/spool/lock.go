package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// ErrBusy says that another process has the file locked.
var ErrBusy = errors.New("busy")

// lockEvery is the time between two attempts of Lock. A flock(2) that blocks could not be given up.
const lockEvery = 20 * time.Millisecond

// TryLock locks a file without waiting, exclusively or shared: unix.LOCK_EX or unix.LOCK_SH. The file is made where it is
// missing. The error is ErrBusy where another process has it locked; any other error means that this is not known.
//
// The lock ends when every descriptor of the file is closed, also those that children inherited. No call ever unlocks it, since
// that would unlock it for the children, too.
func TryLock(path string, how int) (*os.File, error) {
	f, err := openLock(path)
	if err != nil {
		return nil, err
	}
	if err := flock(f, how); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Lock locks a file exclusively as soon as it is free. It calls waits, if that is not nil, once before it waits.
func Lock(ctx context.Context, path string, waits func()) (*os.File, error) {
	f, err := openLock(path)
	if err != nil {
		return nil, err
	}
	for said := false; ; said = true {
		err := flock(f, unix.LOCK_EX)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, ErrBusy) {
			return nil, errors.Join(err, f.Close())
		}
		if !said && waits != nil {
			waits()
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), f.Close())
		case <-time.After(lockEvery):
		}
	}
}

func openLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	return f, wrap("lock", path, err)
}

func flock(f *os.File, how int) error {
	for {
		switch err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB); {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EWOULDBLOCK):
			return fmt.Errorf("%s: %w", f.Name(), ErrBusy)
		default:
			return wrap("lock", f.Name(), err)
		}
	}
}
