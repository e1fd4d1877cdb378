package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
)

// Below lists the processes of a run: all processes below this one, which is the runner of the run. It leaves out a runner of
// another run and the processes below that runner: an agent may have started it with `kugetsu tick`, and it outlives the agent.
// isRunner tells real runners from processes that only carry a mark; home is the state folder that the process names.
func Below(ctx context.Context, run string, isRunner func(pid int, home, run string) bool) ([]Process, error) {
	other := others(run, isRunner)
	for {
		list, known := children()
		if !known {
			return below(os.Getpid(), other)
		}
		// Every process below this one is a living child of this one, or is below a living child. So without a living child no
		// process is left. That holds only if no child ended during the scan: such a child may have left a child of its own that
		// the scan did not see.
		left, ended := false, false
		for _, pid := range list {
			switch ppid, zombie := parent(pid); {
			case zombie:
				reapOne(pid)
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

// others returns a function that says whether a process is the runner of another run.
func others(run string, isRunner func(pid int, home, run string) bool) func(pid int) bool {
	return func(pid int) bool {
		mark, home := marks(pid)
		return mark != "" && mark != run && isRunner(pid, home, mark)
	}
}

// EndRunner kills the runner of a run from outside, and the processes below it. While the runner lives, its descendants are known
// by their place below it, without a mark or a lock. Kill ends the processes that were started meanwhile.
func EndRunner(pid int, meant func() bool, run string, isRunner func(pid int, home, run string) bool) error {
	runner, ok := open(pid, meant)
	if !ok {
		return nil
	}
	defer release([]Process{runner})
	// A stopped runner forks no more, and a process that loses its parent is still found below it.
	if err := runner.handle.Signal(syscall.SIGSTOP); err != nil {
		return fmt.Errorf("stop the runner %d: %w", pid, err)
	}
	found, err := below(pid, others(run, isRunner))
	defer release(found)
	// The runner comes first: otherwise it would record that its agent ended by itself.
	if killErr := runner.handle.Signal(syscall.SIGKILL); killErr != nil && !errors.Is(killErr, os.ErrProcessDone) {
		return fmt.Errorf("end the runner %d: %w", pid, killErr)
	}
	for _, p := range found {
		_ = p.handle.Signal(syscall.SIGKILL) // it is gone, or it belongs to another user
	}
	return err
}

// Tree lists the pids below this process, the runner of a run, without those of other runs. It sends and reaps nothing.
func Tree(run string, isRunner func(pid int, home, run string) bool) (list []int, err error) {
	err = walk(os.Getpid(), others(run, isRunner), func(int, int) {}, func(pid, _ int) { list = append(list, pid) })
	return list, err
}

// below lists the processes below a process in the process table, without this one and without other runs.
func below(root int, other func(pid int) bool) (found []Process, err error) {
	ended := func(pid, ppid int) {
		if ppid == os.Getpid() {
			reapOne(pid)
		}
	}
	err = walk(root, other, ended, func(pid, ppid int) {
		// While the root lives it adopts every orphan. So a pid that still has the same parent is still the same process.
		same := func() bool { now, zombie := parent(pid); return now == ppid && !zombie }
		if p, ok := open(pid, same); ok {
			found = append(found, p)
		}
	})
	return found, err
}

// walk passes to show the processes below a process in the process table, a child before its parent, without this process and
// without other runs. It passes to ended all processes that ended and were not reaped. The table cannot be read at one instant: a
// process that forks or ends meanwhile may be missing.
func walk(root int, other func(pid int) bool, ended, show func(pid, ppid int)) error {
	pids, err := pids()
	if err != nil {
		return err
	}
	below := map[int][]int{}
	for _, pid := range pids {
		switch ppid, zombie := parent(pid); {
		case zombie:
			ended(pid, ppid)
		case ppid > 0:
			below[ppid] = append(below[ppid], pid)
		}
	}
	var down func(pid int)
	down = func(pid int) {
		for _, child := range below[pid] {
			if child == os.Getpid() || other(child) {
				continue
			}
			down(child)
			show(child, pid)
		}
	}
	down(root)
	return nil
}
