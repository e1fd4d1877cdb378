//go:build !linux

package worktree

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// sysProcAttr puts git in a process group of its own, so that its children can be signalled with it. There is no
// Pdeathsig here: a git that outlives its runner keeps the lease and the repository's lock until it is done.
func sysProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

// syncAround begins to bring to the disks what was written; there is no more to be had here.
func syncAround(string) error { return unix.Sync() }
