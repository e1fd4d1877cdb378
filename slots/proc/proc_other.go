//go:build !linux

package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Without /proc the environment of another process cannot be read. So only the process group of a run is ended, by its runner.
// An agent whose runner was killed keeps its lease, and so its slot, until it ends by itself.

// processes is a process group.
type processes int

func (g processes) Signal(sig os.Signal) error { return unix.Kill(-int(g), sig.(syscall.Signal)) }
func (g processes) Release() error             { return nil }

// BecomeSubreaper does nothing: there is no such thing here.
func BecomeSubreaper() error { return nil }

// Detach is how a runner is started: in a session of its own.
func Detach() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// Attach is how an agent is started: in a session, and so a process group, of its own.
func Attach() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// CloseOnExec keeps every descriptor from 3 on from the children of this process.
func CloseOnExec() error {
	for fd := 3; fd < 256; fd++ {
		unix.CloseOnExec(fd)
	}
	return nil
}

// Visible returns nil: nothing here reads /proc.
func Visible() error { return nil }

// Carries cannot be known here. It is true, so that no run is taken for dead while its lease is locked.
func Carries(int, Run) bool { return true }

// Signal sends nothing: no process can be proved to belong to a run. A runner looks for the cancel mark by itself.
func Signal(int, Run, syscall.Signal) bool { return false }

// Tell sends nothing, for the same reason.
func Tell(int, func() bool, ...syscall.Signal) bool { return false }

// EndRunner ends nothing, for the same reason.
func EndRunner(int, func() bool, string, func(int, string, string) bool) error { return nil }

// all finds nothing here.
func all(context.Context, func(int) bool, func(Process)) error { return nil }

func isHeir(int, *Lock, string) bool { return false }

// Inherited cannot be known here.
func Inherited(int, string) bool { return false }

func owner(int) (int, bool) { return 0, false }

// group is the process group of the agent, which Attach made.
var group int

// Watch names the agent whose process group Below lists.
func Watch(pid int) { group = pid }

// Watched does nothing: the agent's group may go on after its end.
func Watched() {}

// Below lists the agent's process group, as one negative pid, while a process is left in it.
func Below(context.Context, string, func(int, string, string) bool) ([]Process, error) {
	if group <= 1 || unix.Kill(-group, 0) != nil {
		return nil, nil
	}
	return []Process{{PID: -group, handle: processes(group)}}, nil
}

// Reap does nothing: the system adopts orphans here.
func Reap() {}

// Tree cannot be known here.
func Tree(string, func(int, string, string) bool) ([]int, error) {
	return nil, fmt.Errorf("the processes of a run on %s are not known: %w", runtime.GOOS, errors.ErrUnsupported)
}
