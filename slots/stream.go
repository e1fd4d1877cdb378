package slots

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// streamBuffer is how many bytes an agent may print before it waits for the runner, as far as the kernel grants it. A program
// that ends without waiting, as those of node may, loses the bytes that do not fit.
const streamBuffer = 4 << 20

// stream makes the channel that an agent prints to, and returns the runner's end and the agent's.
//
// Where a parser reads it, the channel is a pair of sockets. Any program that the agent's tools start may open a pipe again
// through /proc/<pid>/fd, and one line that such a program writes could say that the credentials are refused, or that all went
// well. Where no parser reads it, the channel is a pipe: a script may open /dev/stdout or /dev/stderr, which does not work with
// a socket.
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
	_ = unix.SetsockoptInt(fds[1], unix.SOL_SOCKET, unix.SO_SNDBUF, streamBuffer) // without it, the size is the system's own
	_ = unix.Shutdown(fds[0], unix.SHUT_WR)                                       // an agent that reads from it finds the end, and does not wait
	_ = unix.SetNonblock(fds[0], true)                                            // read with a deadline
	return os.NewFile(uintptr(fds[0]), "stream"), os.NewFile(uintptr(fds[1]), "stream"), nil
}
