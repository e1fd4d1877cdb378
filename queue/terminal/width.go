package terminal

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Columns is how wide the terminal is that f leads to; 0 where that is not known, as where f leads to no terminal. COLUMNS, which
// a person may set, says it for a terminal that does not.
func Columns(f *os.File) int {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil { // no terminal
		return 0
	}
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
		return n
	}
	return int(size.Col)
}
