package worktree

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// sysProcAttr puts git in a session of its own. That is a process group, so that its children are signalled with it. It has
// no terminal, on which an ssh would ask for a passphrase and wait. The kernel kills git when the runner dies. The signal is
// sent when the *thread* that forked dies: the runner has locked the calling goroutine to its thread.
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
