package worktree

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// syncAround waits until the file system that a folder is on has on its disk what was written to it.
func syncAround(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(os.NewSyscallError("syncfs", unix.Syncfs(int(d.Fd()))), d.Close())
}
