package proc

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// BootID tells one boot of the machine from another; "" where that is not known.
func BootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

// Birth tells a process from all others that had its pid or will have it. It is the boot, and the instant since the boot at which
// the process began. It is "" for a process that is gone, for a zombie, for a process that is exiting, whose locks are free
// already, and if /proc does not tell.
func Birth(pid int) string {
	if pid <= 1 || Visible() != nil {
		return ""
	}
	if _, zombie := parent(pid); zombie {
		return ""
	}
	f := stat(pid)
	boot := BootID()
	if len(f) < 21 || boot == "" || string(f[20]) == "0" { // the 23rd field: it has no memory left
		return ""
	}
	return boot + "/" + string(f[19]) // the 22nd: when it began, in ticks of the kernel
}

// Stopped says whether a process is stopped, by SIGSTOP, a terminal or a debugger, until it is continued.
func Stopped(pid int) bool {
	f := stat(pid)
	return len(f) > 0 && (f[0][0] == 'T' || f[0][0] == 't')
}

// Clock is the time since the kernel's start, without the time in which the machine was suspended. It is the same for all
// processes, cannot be set, and is the clock of a runner's own timers. 0 where it is not known.
func Clock() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return 0
	}
	return time.Duration(now.Nano())
}
