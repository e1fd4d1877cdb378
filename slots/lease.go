package slots

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"kugetsu/queue/spool"
)

// ErrBusy is returned for a file that another process has locked.
var ErrBusy = spool.ErrBusy

// Lock is a file lock of this process. Only Close gives it up. The file stays locked until every process that inherited the
// lock is gone.
type Lock struct{ file *os.File }

// Close gives up the lock in this process. Processes that inherited it keep it.
func (l *Lock) Close() error { return l.file.Close() }

// File is the descriptor to pass on.
func (l *Lock) File() *os.File { return l.file }

// TryLock takes a lock exclusively, without waiting. The error is ErrBusy where the file is locked. Any other error means that
// it is not known whether it is.
func TryLock(path string) (*Lock, error) { return try(path, unix.LOCK_EX) }

// grace is for how long a lock that should be free is tried again. A reader takes a shared lock for an instant, and must not make
// a slot look occupied.
const grace = 50 * time.Millisecond

// TryLockPatiently is TryLock for a file that only readers may have locked, for an instant.
func TryLockPatiently(path string) (*Lock, error) { return TryLockFor(path, grace) }

// TryLockFor is TryLock for a lock that should be free soon.
func TryLockFor(path string, patience time.Duration) (*Lock, error) {
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		lock, err := TryLock(path)
		if !errors.Is(err, ErrBusy) || time.Now().After(deadline) {
			return lock, err
		}
	}
}

// Locked says whether a process has locked the file. It takes a shared lock for an instant, so two readers do not see each other.
func Locked(path string) (bool, error) {
	if there, err := spool.Exists(path); err != nil || !there {
		return false, err
	}
	lock, err := try(path, unix.LOCK_SH)
	if errors.Is(err, ErrBusy) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return false, lock.Close()
}

func try(path string, how int) (*Lock, error) {
	f, err := spool.TryLock(path, how)
	if err != nil {
		return nil, err
	}
	return &Lock{f}, nil
}
