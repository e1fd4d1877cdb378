package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
)

// Below lists the processes of a run below this one, its runner. The runner and the subtree of another run are not
// listed: an agent may have started them with `kugetsu tick`, and they outlive it. isRunner tells runners from made-up
// marks; home is the state folder that the process names.
func Below(ctx context.Context, run string, isRunner func(pid int, home, run string) bool) ([]Process, error) {
	other := others(run, isRunner)
	for {
		list, known := children()
		if !known {
			return below(os.Getpid(), other)
		}
		// Whatever lives below us has a living child of ours above it, so without one nothing is left. That counts only
		// if none ended while we looked: it may have left a child that we did not meet.
		left, ended := false, false
		for _, pid := range list {
			switch ppid, zombie := parent(pid); {
			case zombie:
				bury(pid)
				ended = true
			case ppid < 0:
				ended = true
			case !other(pid):
				left = true
			}
		}
		if !left && !ended {
			return nil, nil
		}
		if left {
			if found, err := below(os.Getpid(), other); err != nil || len(found) > 0 {
				return found, err
			}
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("looking for processes: %w", ctx.Err())
		}
	}
}

// others says of a process whether it is another run's.
func others(run string, isRunner func(pid int, home, run string) bool) func(pid int) bool {
	return func(pid int) bool {
		mark, home := marks(pid)
		return mark != "" && mark != run && isRunner(pid, home, mark)
	}
}

// EndRunner ends the runner of a run from without, at once, and what is below it. Each of those is known by its place below
// the runner while that lives: then no mark and no lock is asked for. What was started meanwhile is for Kill.
func EndRunner(pid int, meant func() bool, run string, isRunner func(pid int, home, run string) bool) error {
	runner, ok := open(pid, meant)
	if !ok {
		return nil
	}
	defer release([]Process{runner})
	// It forks no more, and what loses its parent is still found below it.
	if err := runner.handle.Signal(syscall.SIGSTOP); err != nil {
		return fmt.Errorf("stop the runner %d: %w", pid, err)
	}
	found, err := below(pid, others(run, isRunner))
	defer release(found)
	// The runner first: it would take the end of its agent for the agent's own.
	if killErr := runner.handle.Signal(syscall.SIGKILL); killErr != nil && !errors.Is(killErr, os.ErrProcessDone) {
		return fmt.Errorf("end the runner %d: %w", pid, killErr)
	}
	for _, p := range found {
		_ = p.handle.Signal(syscall.SIGKILL) // it is gone, or it is another user's
	}
	return err
}

// below lists what the process table shows below a process, but for this one and what is below another run. The table cannot
// be read at one instant, so what forks and ends meanwhile may be missing.
func below(root int, other func(pid int) bool) ([]Process, error) {
	pids, err := pids()
	if err != nil {
		return nil, err
	}
	below := map[int][]int{}
	for _, pid := range pids {
		if ppid, zombie := parent(pid); zombie && ppid == os.Getpid() {
			bury(pid)
		} else if ppid > 0 && !zombie {
			below[ppid] = append(below[ppid], pid)
		}
	}
	var found []Process
	var walk func(pid int)
	walk = func(pid int) {
		for _, child := range below[pid] {
			if child == os.Getpid() || other(child) {
				continue
			}
			walk(child)
			// It is below the root while that lives, which adopts every orphan; so the same parent means the same process.
			same := func() bool { ppid, zombie := parent(child); return ppid == pid && !zombie }
			if p, ok := open(child, same); ok {
				found = append(found, p)
			}
		}
	}
	walk(root)
	return found, nil
}
