// Package proc finds and ends the processes of a run, and no others.
//
// Every process of a run carries KUGETSU_RUN=<run> in its environment, and a runner is a subreaper: whatever its agent
// starts, however it detaches itself, stays below the runner. A process is signalled only through a handle that was
// opened before it was proved to belong to the run, so that a reused pid can never be hit.
package proc

import (
	"context"
	"fmt"
	"os"
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

// End sends SIGTERM to the processes that find lists, and SIGKILL to those that are left after the grace, until find
// lists none. Zero grace kills at once. The error says which processes are left when ctx ends first.
func End(ctx context.Context, find func() ([]Process, error), grace time.Duration) error {
	begin := time.Now()
	asked := map[int]bool{}
	for {
		left, err := find()
		if len(left) == 0 || err != nil && ctx.Err() == nil {
			release(left)
			return err
		}
		kill := time.Since(begin) >= grace
		for _, p := range left {
			// A process that is gone by now is what we want; any other failure shows in the next listing.
			if kill {
				_ = p.signalKill()
			} else if !asked[p.PID] {
				asked[p.PID] = true
				_ = p.signalTerm()
			}
		}
		release(left)
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d processes are left, one is %d", len(left), left[0].PID)
		case <-time.After(pollEvery):
		}
	}
}

// Kill ends without asking what carries the mark of a run and, where lock is not empty, what cleared its environment but
// inherited that lock; lock is the file's real path. It looks again until there is nothing. The error says which
// processes are left when ctx ends first.
//
// Each is hit as soon as it is met: what forks and ends on and on would have moved on by the time that all are known.
func Kill(ctx context.Context, run Run, lock string) error {
	of := func(pid int) bool { return Carries(pid, run) || lock != "" && isHeir(pid, lock, run.Name) }
	return End(ctx, func() (found []Process, err error) {
		err = all(ctx, of, func(p Process) {
			_ = p.signalKill() // whether it was is seen in the next listing
			found = append(found, p)
		})
		return found, err
	}, 0)
}

// Marked lists the processes that carry the mark of a run, but for this one.
func Marked(run Run) (found []Process, err error) {
	err = all(context.Background(), func(pid int) bool { return Carries(pid, run) }, func(p Process) { found = append(found, p) })
	return found, err
}

// Process is a process that was proved to be ours, with a handle that no other process can take over.
type Process struct {
	PID    int
	handle *os.Process
}

func release(list []Process) {
	for _, p := range list {
		if p.handle != nil {
			_ = p.handle.Release()
		}
	}
}
