package spool

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestLockIsTakenOnceItIsFree(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := TryLock(path, unix.LOCK_EX)
	must(t, err)
	if _, err := TryLock(path, unix.LOCK_SH); !errors.Is(err, ErrBusy) {
		t.Errorf("a locked file is locked a second time: %v", err)
	}
	waited := 0
	second, err := Lock(t.Context(), path, func() { waited++; must(t, first.Close()) })
	must(t, err)
	if waited != 1 {
		t.Errorf("it waited %d times", waited)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	if _, err := Lock(ctx, path, func() { cancel(enough) }); !errors.Is(err, enough) {
		t.Errorf("a lock that was given up: %v", err)
	}
	must(t, second.Close())
}

func TestReadersShareALock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	for range 2 {
		f, err := TryLock(path, unix.LOCK_SH)
		must(t, err)
		defer f.Close()
	}
	if _, err := TryLock(path, unix.LOCK_EX); !errors.Is(err, ErrBusy) {
		t.Errorf("a shared lock is locked exclusively: %v", err)
	}
}

func TestLockBehindALinkIsRefused(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	must(t, os.Symlink("file", filepath.Join(dir, "lock")))
	if _, err := TryLock(filepath.Join(dir, "lock"), unix.LOCK_EX); err == nil || errors.Is(err, ErrBusy) {
		t.Errorf("a link is locked: %v", err)
	}
}
