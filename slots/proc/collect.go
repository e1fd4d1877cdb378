package proc

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Collect reaps the children that ended: the runners that this process forked and, where it is the first process of a PID
// namespace, every orphan in it. It must not run while another goroutine waits for a child, which it would reap.
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
