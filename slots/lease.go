package slots

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"kugetsu/queue/spool"
)

// ErrBusy is returned for a lock that another process has locked.
var ErrBusy = spool.ErrBusy

// Lock is a held flock. It is given up with Close alone, and only when every process it was passed to is gone.
type Lock struct{ file *os.File }

// Close lets go of this process's hold. Whoever inherited the lock keeps it.
func (l *Lock) Close() error { return l.file.Close() }

// File is the descriptor to pass on.
func (l *Lock) File() *os.File { return l.file }

// TryLock takes a lock exclusively, without waiting. The error is ErrBusy when somebody holds it; any other error means
// that this is not known.
func TryLock(path string) (*Lock, error) { return try(path, unix.LOCK_EX) }

// grace is for how long a lock that ought to be free is tried again: those who only look take a shared lock for an
// instant, and must not make a slot look taken.
const grace = 50 * time.Millisecond

// TryLockPatiently is TryLock for a lock that nobody but an onlooker should hold.
func TryLockPatiently(path string) (*Lock, error) { return TryLockFor(path, grace) }

// TryLockFor is TryLock for a lock that ought to be free soon.
func TryLockFor(path string, patience time.Duration) (*Lock, error) {
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		lock, err := TryLock(path)
		if !errors.Is(err, ErrBusy) || time.Now().After(deadline) {
			return lock, err
		}
	}
}

// Held says whether somebody holds the lock, by taking it shared for an instant: two onlookers do not fool each other.
func Held(path string) (bool, error) {
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
