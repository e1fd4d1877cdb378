package proc

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Collect reaps the children that ended: the runners that this process forked and, where it is the first of a PID namespace,
// every orphan in it. Not while anything here waits for a child of its own, whose end it would take away.
func Collect() {
	for {
		pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
	}
}
