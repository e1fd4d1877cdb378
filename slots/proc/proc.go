// Package proc finds and ends the processes of a run, and no others.
//
// Every process of a run carries KUGETSU_RUN=<run> in its environment. A runner is a subreaper: every process that its agent starts
// stays below the runner, also one that detaches itself. A signal is sent only through a handle that was opened before the process
// was proved to belong to the run: a reused pid can never be hit. A runner is also identified by its birth, which is the boot and
// the instant at which it began: no other process of that pid has the same.
package proc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"syscall"
	"time"
)

// Mark is the environment variable that every process of a run carries. Home is the one that names its state folder.
const (
	Mark = "KUGETSU_RUN"
	Home = "KUGETSU_DIR"
)

// Run identifies a run whose processes are searched for.
type Run struct {
	Name string
	// Elsewhere says whether the state folder that a process names is another one, which has a run of this name, too: one of
	// the two folders is a copy of the other. It may be nil: then any folder counts as this one.
	Elsewhere func(home string) bool
}

// pollEvery is how often the process table is read while processes are being ended.
const pollEvery = 10 * time.Millisecond

// Left is a process of a run that kugetsu may not signal: it belongs to another user, as a service that sudo started does.
type Left struct{ PID, UID int }

// End ends the processes that find lists: first with SIGTERM, after the grace with SIGKILL; with zero grace it kills at once. It
// returns when find lists none, or none but those that may not be signalled. Those get the grace to end by themselves, and
// are returned if they did not. The error says which processes are left when ctx ends first.
func End(ctx context.Context, find func() ([]Process, error), grace time.Duration) ([]Left, error) {
	begin := time.Now()
	asked := map[int]bool{}
	for {
		found, err := find()
		if err != nil && ctx.Err() == nil {
			release(found)
			return nil, err
		}
		kill := time.Since(begin) >= grace
		var ours, theirs []int
		for _, p := range found {
			// A process that is gone already is no failure, and any other failure shows in the next listing.
			switch err := p.end(kill, asked); {
			case errors.Is(err, fs.ErrPermission):
				theirs = append(theirs, p.PID)
			default:
				ours = append(ours, p.PID)
			}
		}
		release(found)
		if len(ours) == 0 && (kill || len(theirs) == 0) {
			return leftOf(theirs), nil
		}
		select {
		case <-ctx.Done():
			all := slices.Concat(ours, theirs)
			return nil, fmt.Errorf("%d processes are left, one is %d", len(all), all[0])
		case <-time.After(pollEvery):
		}
	}
}

// end kills a process, or sends it SIGTERM once. A process that may not be signalled is tried again each time: it may
// change its user.
func (p Process) end(kill bool, asked map[int]bool) error {
	if kill {
		return p.handle.Signal(syscall.SIGKILL)
	}
	if asked[p.PID] {
		return nil
	}
	err := p.handle.Signal(syscall.SIGTERM)
	asked[p.PID] = !errors.Is(err, fs.ErrPermission)
	return err
}

func leftOf(pids []int) (left []Left) {
	for _, pid := range pids {
		if uid, there := owner(pid); there {
			left = append(left, Left{pid, uid})
		}
	}
	return left
}

// Lock is the lease of a slot that a dead runner may have left to what it started.
type Lock struct {
	Slot, Session string // the files' real paths
	// Named says whether the slot still names the run. If so, a process that holds the slot's lock inherited it from that
	// run, whatever mark the process carries: a slot names another run before that run gets the lock.
	Named func() bool
}

// Kill kills the processes that carry the mark of a run and, where lock is given, those that inherited the lock without the
// mark. It scans again until only processes are left that may not be signalled. The error says which processes are left when
// ctx ends first.
//
// Each process is killed as soon as it is found: a chain of processes that fork and exit would have moved on by the time that
// the scan is complete.
func Kill(ctx context.Context, run Run, lock *Lock) error {
	of := func(pid int) bool { return Carries(pid, run) || lock != nil && isHeir(pid, lock, run.Name) }
	_, err := End(ctx, func() (found []Process, err error) {
		err = all(ctx, of, func(p Process) {
			_ = p.handle.Signal(syscall.SIGKILL) // the next listing shows whether it worked
			found = append(found, p)
		})
		return found, err
	}, 0)
	return err
}

// Marked lists the processes that carry the mark of a run, except this one.
func Marked(run Run) (found []Process, err error) {
	err = all(context.Background(), func(pid int) bool { return Carries(pid, run) }, func(p Process) { found = append(found, p) })
	return found, err
}

// Process is a process that was proved to belong to a run, with a handle that never leads to another process.
type Process struct {
	PID    int
	handle interface {
		Signal(os.Signal) error
		Release() error
	}
}

func release(list []Process) {
	for _, p := range list {
		_ = p.handle.Release()
	}
}
