package slots

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// streamBuffer is how much an agent may print, in bytes, before it waits for the runner, as far as the kernel grants it: a
// program that ends without waiting for that, as those of node may, loses what has no room.
const streamBuffer = 4 << 20

// stream makes what an agent prints into: the runner's end, and the agent's. What a parser believes comes through a pair of
// sockets: a pipe may be opened again through /proc/<pid>/fd by whatever the agent's tools start, and one line that is written
// into it says that the credentials are refused, or that all went well. Where nothing is parsed it is a pipe, since a script
// may open /dev/stdout or /dev/stderr, which a socket does not allow.
func stream(parsed bool) (ours, theirs *os.File, err error) {
	if !parsed {
		return os.Pipe()
	}
	syscall.ForkLock.RLock() // there is no SOCK_CLOEXEC on macOS
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(fds[0])
		unix.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	_ = unix.SetsockoptInt(fds[1], unix.SOL_SOCKET, unix.SO_SNDBUF, streamBuffer) // else it has what it has
	_ = unix.Shutdown(fds[0], unix.SHUT_WR)                                       // whoever reads from it finds its end, and does not wait
	_ = unix.SetNonblock(fds[0], true)                                            // read with a deadline
	return os.NewFile(uintptr(fds[0]), "stream"), os.NewFile(uintptr(fds[1]), "stream"), nil
}
