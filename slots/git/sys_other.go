//go:build !linux

package git

import "syscall"

// sysProcAttr puts git in a session of its own: see the other one. There is no
// Pdeathsig here: a git that outlives its runner keeps the lease and the repository's lock until it is done.
func sysProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true}
}
