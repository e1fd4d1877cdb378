package worktree

import "syscall"

// sysProcAttr puts git in a process group of its own, so that its children can be signalled with it, and has the
// kernel kill it when the runner dies. The signal is sent when the *thread* that forked dies: the runner has locked
// the goroutine that calls us to its thread.
func sysProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
