package git

import "syscall"

// sysProcAttr puts git in a session of its own. That is a process group, so that its children are signalled with it. It has
// no terminal, on which an ssh would ask for a passphrase and wait. The kernel kills git when the runner dies. The signal is
// sent when the *thread* that forked dies: the runner has locked the calling goroutine to its thread.
func sysProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
}
