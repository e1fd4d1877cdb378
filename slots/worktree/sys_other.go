//go:build !linux

package worktree

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// sysProcAttr puts git in a session of its own: see the other one. There is no
// Pdeathsig here: a git that outlives its runner keeps the lease and the repository's lock until it is done.
func sysProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true}
}

// syncAround begins to bring to the disks what was written; there is no more to be had here.
func syncAround(string) error { return unix.Sync() }
