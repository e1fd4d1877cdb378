// Package proc finds and ends the processes of a run, and no others.
//
// Every process of a run carries KUGETSU_RUN=<run> in its environment, and a runner is a subreaper: whatever its agent
// starts, however it detaches itself, stays below the runner. A process is signalled only through a handle that was
// opened before it was proved to belong to the run, so that a reused pid can never be hit. A runner is known by its birth
// as well: the boot and the instant at which it began, which no other process of that pid shares.
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

// Mark is the environment variable that every process of a run carries, and Home the one that says in which state folder.
const (
	Mark = "KUGETSU_RUN"
	Home = "KUGETSU_DIR"
)

// Run is a run whose processes are looked for.
type Run struct {
	Name string
	// Elsewhere says whether the state folder that a process names is another one which has a run of this name, too: one of
	// the two is a copy of the other. nil where that is not asked.
	Elsewhere func(home string) bool
}

func (r Run) owns(mark, home string) bool {
	return mark == r.Name && (r.Elsewhere == nil || home == "" || !r.Elsewhere(home))
}

// pollEvery is how often the process table is read while processes are being ended.
const pollEvery = 10 * time.Millisecond

// Left is a process of a run that no signal of ours reaches: another user's, of a service that was started with sudo, say.
type Left struct{ PID, UID int }

// End sends SIGTERM to the processes that find lists, and SIGKILL to those that are left after the grace, until find
// lists none but those that may not be signalled. Those have the grace to end by themselves, and are returned. Zero grace
// kills at once. The error says which processes are left when ctx ends first.
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
			// A process that is gone by now is what we want; any other failure shows in the next listing.
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

// end asks a process to end, once, or makes it. The one that may not be signalled is tried again each time: it may be
// about to become another user.
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
	// Named says whether the slot still names the run. Whoever has its lock then has it from that run, whatever mark it
	// carries: a slot is given to another run only after it named that one.
	Named func() bool
}

// Kill ends without asking what carries the mark of a run and, where there is a lock, what does not but inherited that.
// It looks again until there is nothing but what may not be signalled. The error says which processes are left when ctx
// ends first.
//
// Each is hit as soon as it is met: what forks and ends on and on would have moved on by the time that all are known.
func Kill(ctx context.Context, run Run, lock *Lock) error {
	of := func(pid int) bool { return Carries(pid, run) || lock != nil && isHeir(pid, lock, run.Name) }
	_, err := End(ctx, func() (found []Process, err error) {
		err = all(ctx, of, func(p Process) {
			_ = p.handle.Signal(syscall.SIGKILL) // whether it was is seen in the next listing
			found = append(found, p)
		})
		return found, err
	}, 0)
	return err
}

// Marked lists the processes that carry the mark of a run, but for this one.
func Marked(run Run) (found []Process, err error) {
	err = all(context.Background(), func(pid int) bool { return Carries(pid, run) }, func(p Process) { found = append(found, p) })
	return found, err
}

// Process is a process that was proved to be ours, with a handle that no other process can take over.
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
