package proc

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// BootID tells one start of the machine from another; "" where that is not known.
func BootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

// Birth tells a process from every other that had its pid, or will have it: the boot, and the instant since then at which
// it began. It is "" for one that is gone, for a zombie, for one that the kernel is taking down, whose locks are free by
// then, and where none of that can be told.
func Birth(pid int) string {
	if pid <= 1 || Visible() != nil {
		return ""
	}
	if _, zombie := parent(pid); zombie {
		return ""
	}
	f := stat(pid)
	boot := BootID()
	if len(f) < 21 || boot == "" || string(f[20]) == "0" { // the 23rd field: it has no memory any more
		return ""
	}
	return boot + "/" + string(f[19]) // the 22nd: when it began, in ticks of the kernel
}

// Stopped says whether a process does nothing until it is told to go on: by SIGSTOP, a terminal or a debugger.
func Stopped(pid int) bool {
	f := stat(pid)
	return len(f) > 0 && (f[0][0] == 'T' || f[0][0] == 't')
}

// Clock is the time since the kernel's start, without that in which the machine was suspended: the same for all processes,
// set by no one, and what a runner's own timers go by. 0 where it is not known.
func Clock() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return 0
	}
	return time.Duration(now.Nano())
}
