package faults

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// errnos are the errors that each kind of system call is made to fail with: those of real disks, quotas, limits and kernels.
var errnos = map[string][]string{
	"openat":     {"ENOSPC", "EIO", "EDQUOT", "EROFS", "EMFILE", "EACCES", "EINTR"},
	"read":       {"EIO", "EINTR"},
	"write":      {"ENOSPC", "EIO", "EDQUOT", "EINTR"},
	"fsync":      {"ENOSPC", "EIO", "EDQUOT", "EINTR"},
	"renameat":   {"ENOSPC", "EIO", "EDQUOT", "EROFS", "EACCES"},
	"linkat":     {"ENOSPC", "EIO", "EDQUOT", "EROFS", "EACCES"},
	"unlinkat":   {"EIO", "EROFS", "EACCES"},
	"mkdirat":    {"ENOSPC", "EIO", "EDQUOT", "EROFS", "EACCES"},
	"flock":      {"ENOLCK", "EIO", "EINTR"},
	"getdents64": {"EIO"},
	"newfstatat": {"EIO", "EACCES"},
	"fstat":      {"EIO"},
	"utimensat":  {"EIO", "EROFS"},
	"pipe2":      {"EMFILE"},
	"clone":      {"EAGAIN"},
	"clone3":     {"EAGAIN"},
	"fcntl":      {"ENOLCK"}, // of its locks
}

// ofWrites are the errors that openat has only where it is to write.
var ofWrites = []string{"ENOSPC", "EDQUOT", "EROFS"}

// failed makes the system calls of a command fail, each with every error that can happen there. It tries all points of the command,
// or at most that many.
func failed(t *testing.T, command string, list []point, most int, one attempt) {
	var points []point
	var errs []string
	for _, p := range list {
		for _, e := range errnos[p.call] {
			// A pipe never fails with EIO. If it did, the pipe by which Go learns that a child was started would seem broken. Go
			// would take the child for one that was not started, and wait for it for ever.
			if p.pipe && e == "EIO" || p.reads && slices.Contains(ofWrites, e) {
				continue
			}
			points, errs = append(points, p), append(errs, e)
		}
	}
	step := 1
	if !*full && len(points) > most {
		step = len(points)/most + 1
	}
	byErr := map[string][]point{}
	for i := 0; i < len(points); i += step {
		byErr[errs[i]] = append(byErr[errs[i]], points[i])
	}
	for _, e := range slices.Sorted(maps.Keys(byErr)) {
		sweep(t, refused, e+" in "+command, "error="+e, byErr[e], one)
	}
}

// TestTickMeetsEveryErrorAtEverySystemCall: a tick whose system call fails reports it in one line, or copes. Nothing is lost,
// nothing runs twice, no attempt is counted for an agent that never started, and the ticks after it repair the rest.
func TestTickMeetsEveryErrorAtEverySystemCall(t *testing.T) {
	needStrace(t)
	w := newWorld(t)
	w.orphaned()
	list := points(t, w, "tick")
	w.close()
	// 78 if the configuration may not be read: then runs are settled, and nothing is started.
	failed(t, "tick", list, 20, func(w *world, inject []string) error {
		finish := w.orphaned()
		code, out := w.exec("strace", append(inject, filepath.Join(bin, "kugetsu"), "tick")...)
		if err := oneLine(code, out, 0, 75, 78); err != nil {
			return err
		}
		finish()
		if err := w.settle(); err != nil {
			return err
		}
		return w.judge(completed)
	})
}

// oneLine checks how a command ended whose system call failed. Its exit code is 0 or one of these, and with a code other than 0 it
// printed one error line.
//
// When the wake-up of its network poller fails, Go's runtime gives up at once. Nothing can be done about that, and it is
// no worse than SIGKILL.
func oneLine(code int, out string, codes ...int) error {
	if code == 2 && strings.Contains(out, "runtime: netpollBreak write failed") {
		return nil
	}
	if !slices.Contains(codes, code) {
		return fmt.Errorf("exit code %d: %s", code, out)
	}
	if n := strings.Count(out, "kugetsu: error: "); code != 0 && n != 1 {
		return fmt.Errorf("exit code %d with %d error lines: %s", code, n, out)
	}
	return nil
}
