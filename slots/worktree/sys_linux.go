package worktree

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// sysProcAttr puts git in a session of its own: a process group, so that its children can be signalled with it, and no
// terminal, on which an ssh would ask for a passphrase, though nobody knows for whom, and stop until it is given up. It has the
// kernel kill it when the runner dies. The signal is sent when the *thread* that forked dies: the runner has locked
// the goroutine that calls us to its thread.
func sysProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
}

// syncAround waits until the file system that a folder is on has on its disk what was written to it.
func syncAround(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(os.NewSyscallError("syncfs", unix.Syncfs(int(d.Fd()))), d.Close())
}
