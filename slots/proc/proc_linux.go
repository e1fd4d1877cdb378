package proc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// BecomeSubreaper makes this process the parent of every orphan below it.
func BecomeSubreaper() error { return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }

// Detach is how a runner is started: in a session of its own.
func Detach() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// Attach is how an agent is started: in a session of its own, killed by the kernel when the thread that started it
// dies. The caller must have locked its goroutine to its thread.
func Attach() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
}

// watched is the agent's process, which exec.Cmd.Wait reaps.
var watched atomic.Int64

// Watch excludes the agent's process from reaping, until Watched: exec.Cmd.Wait collects it.
func Watch(pid int) { watched.Store(int64(pid)) }

// Watched ends the exclusion, once the agent was waited for: an orphan that gets its pid is reaped like any other.
func Watched() { watched.Store(0) }

// CloseOnExec keeps every descriptor from 3 on from the children of this process. Otherwise a descriptor that the caller left
// open, such as the lock of a crontab line `flock -n x kugetsu tick`, would stay open for as long as an agent lives.
func CloseOnExec() error {
	err := unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) { // before Linux 5.11
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			return err
		}
		for _, e := range entries {
			if fd, err := strconv.Atoi(e.Name()); err == nil && fd >= 3 {
				unix.CloseOnExec(fd)
			}
		}
		return nil
	}
	return err
}

// Visible says why /proc cannot be used, nil where it can. A sandbox may have pids of its own and no /proc of its own: then a
// pid means one process here and another one in /proc.
var Visible = sync.OnceValue(func() error {
	self, err := os.Readlink("/proc/self")
	if err == nil && self != strconv.Itoa(os.Getpid()) {
		err = errors.New("/proc shows the processes of another PID namespace")
	}
	return err
})

func (r Run) owns(mark, home string) bool {
	return mark == r.Name && (r.Elsewhere == nil || home == "" || !r.Elsewhere(home))
}

// Carries says whether the process exists, is not a zombie, and carries the mark of the run.
func Carries(pid int, run Run) bool { return pid > 1 && run.owns(marks(pid)) }

// Signal sends a signal to a process after making sure that it belongs to the run. False: it does not, or it is gone.
func Signal(pid int, run Run, sig syscall.Signal) bool {
	return Tell(pid, func() bool { return Carries(pid, run) }, sig)
}

// Tell sends signals to a process after making sure that it is the one that is meant. False: it is not, or it is gone.
func Tell(pid int, meant func() bool, signals ...syscall.Signal) bool {
	p, ok := open(pid, meant)
	if !ok {
		return false
	}
	defer release([]Process{p})
	for _, sig := range signals {
		if p.handle.Signal(sig) != nil {
			return false
		}
	}
	return true
}

// all passes each process that of accepts, except this one, to show as soon as it is found.
//
// The scan may miss a process that exits during the scan. It misses no process that stays alive: a process that was forked since the
// scan began has a newer pid, and newer pids are scanned next (see born). So the scan meets a chain of processes that fork and exit at
// some time, and does not end before.
func all(ctx context.Context, of func(pid int) bool, show func(Process)) error {
	look := func(pid int) {
		if pid <= 1 || pid == os.Getpid() || !of(pid) {
			return
		}
		if p, ok := open(pid, func() bool { return of(pid) }); ok {
			show(p)
		}
	}
	for {
		last, known := lastPID()
		pids, err := pids()
		if err != nil {
			return err
		}
		slices.Sort(pids)
		for _, pid := range slices.Backward(pids) { // the newest first: they are the likeliest to exit soon
			look(pid)
		}
		if !known || born(ctx, last, look) {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("looking for processes: %w", ctx.Err())
		}
	}
}

const (
	// unborn bounds how many pids the kernel gives out while an earlier one is not in the process table yet.
	unborn = 256
	// tooMany new pids at once mean that the number is not a pid: lxcfs makes up /proc/loadavg every five seconds.
	tooMany = 1 << 16
	// patience is how many more scans of new pids there are after the time is over. Each is short, while a process table with
	// tens of thousands of zombies, as in a container without an init, may take all of the time.
	patience = 100
)

// born passes to look the processes whose pids are newer than last, until there are no more. False: the numbers wrapped around,
// or ctx ended and there were still more after some patience.
//
// The order is that of the pids. A new pid exists a moment before its process is in the table, and the parent is alive until the process
// is there. So a scan that finds the parent gone, and looks for the child after that, finds the child.
func born(ctx context.Context, last int, look func(pid int)) bool {
	seen := max(0, last-unborn)
	for late := 0; ; {
		now, _ := lastPID()
		if ctx.Err() != nil {
			late++
		}
		switch {
		case now == seen:
			return true
		case now < last, now < seen, now-seen > tooMany:
			return false
		case late > patience:
			return false
		}
		for ; seen < now; seen++ {
			if leads(seen + 1) {
				look(seen + 1)
			}
		}
	}
}

// lastPID is the newest pid of a process or a thread; false where the kernel does not tell.
func lastPID() (pid int, known bool) {
	load, err := os.ReadFile("/proc/loadavg") // proc(5): its last field
	if err != nil {
		return 0, false
	}
	fields := bytes.Fields(load)
	if len(fields) == 0 {
		return 0, false
	}
	pid, err = strconv.Atoi(string(fields[len(fields)-1]))
	return pid, err == nil
}

// leads says whether a pid is that of a process, and not of this one. Threads have numbers from the same range, also the threads of
// this process, and a signal to the number of a thread reaches its whole process.
func leads(pid int) bool {
	if pid == os.Getpid() {
		return false
	}
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return false
	}
	for line := range bytes.Lines(status) {
		if tgid, ok := bytes.CutPrefix(line, []byte("Tgid:")); ok {
			return string(bytes.TrimSpace(tgid)) == strconv.Itoa(pid)
		}
	}
	return false
}

// isHeir says whether a process inherited a slot's lease. A process that locked the slot's file by itself did not inherit it. A
// process that carries the mark of another run counts only while the slot still names this run, since an environment may hold any
// text. If the slot's lock was unlocked, the session's lock decides, but only for a process that has the slot's file open: a git of
// `kugetsu destroy`, for example, inherits a session's lock alone.
func isHeir(pid int, lock *Lock, run string) bool {
	mark := markOf(pid)
	return (Inherited(pid, lock.Slot) || has(pid, lock.Slot) && Inherited(pid, lock.Session)) && (mark == "" || mark == run || lock.Named())
}

// Inherited says whether a process holds the exclusive flock of a file without having taken it. path is the real path of the
// file; one that ends with a slash means any file in that folder. proc(5): fdinfo shows the locks of a descriptor, and which
// process took them.
func Inherited(pid int, path string) bool {
	return slices.ContainsFunc(descriptors(pid, path), func(fd string) bool {
		info, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "fdinfo", fd))
		if err != nil {
			return false
		}
		for line := range bytes.Lines(info) { // lock: 1: FLOCK ADVISORY WRITE pid dev:inode 0 EOF
			f := bytes.Fields(line)
			if len(f) > 5 && string(f[0]) == "lock:" && string(f[2]) == "FLOCK" && string(f[4]) == "WRITE" && string(f[5]) != strconv.Itoa(pid) {
				return true
			}
		}
		return false
	})
}

// has says whether a process has a file open.
func has(pid int, path string) bool { return len(descriptors(pid, path)) > 0 }

// descriptors lists the descriptors of a process that lead to a file; none for a process that is gone, or of another user.
func descriptors(pid int, path string) (list []string) {
	dir := filepath.Join("/proc", strconv.Itoa(pid), "fd")
	fds, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	for _, fd := range fds {
		name, err := os.Readlink(filepath.Join(dir, fd.Name()))
		if err == nil && (name == path || filepath.Dir(name)+"/" == path) {
			list = append(list, fd.Name())
		}
	}
	return list
}

// owner is the user whose rights a process has; false when it is gone.
func owner(pid int) (uid int, there bool) {
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0, false
	}
	for line := range bytes.Lines(status) {
		if ids, ok := bytes.CutPrefix(line, []byte("Uid:")); ok {
			if f := bytes.Fields(ids); len(f) > 1 {
				uid, err = strconv.Atoi(string(f[1])) // the effective one
				return uid, err == nil
			}
		}
	}
	return 0, false
}

// Reap collects the orphans that ended.
func Reap() {
	pids, _ := children()
	for _, pid := range pids {
		reapOne(pid)
	}
}

// reapOne reaps a child of this process that ended; it does nothing to one that lives.
func reapOne(pid int) {
	if int64(pid) != watched.Load() {
		_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
	}
}

// open takes a handle on a process, and then makes sure that the process is still the one that is meant.
func open(pid int, still func() bool) (Process, bool) {
	handle, err := os.FindProcess(pid)
	if err != nil {
		return Process{}, false
	}
	if !still() {
		_ = handle.Release()
		return Process{}, false
	}
	return Process{PID: pid, handle: handle}, true
}

func pids() ([]int, error) {
	if err := Visible(); err != nil {
		return nil, err
	}
	d, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// markOf is the run whose mark a process carries; "" for no mark, for a zombie and for a process of another user.
func markOf(pid int) string {
	run, _ := marks(pid)
	return run
}

// marks is the run whose mark a process carries, and the state folder that it names.
func marks(pid int) (run, home string) {
	if Visible() != nil {
		return "", ""
	}
	env, err := environ(pid)
	if err != nil {
		return "", ""
	}
	for _, kv := range bytes.Split(env, []byte{0}) {
		if v, ok := bytes.CutPrefix(kv, []byte(Mark+"=")); ok {
			run = string(v)
		}
		if v, ok := bytes.CutPrefix(kv, []byte(Home+"=")); ok {
			home = string(v)
		}
	}
	return run, home
}

// execLimit bounds how long a process may be in the middle of an execve: a program on a disk that hangs.
const execLimit = 100 * time.Millisecond

// environ is the environment of a process. In the middle of an execve a process has none for a moment: environ waits for it.
func environ(pid int) ([]byte, error) {
	for begin := time.Now(); ; time.Sleep(50 * time.Microsecond) {
		env, err := readEnviron(pid)
		if err != nil || len(env) > 0 || time.Since(begin) > execLimit || hasNone(pid) {
			return env, err
		}
	}
}

// readEnviron reads an environment in one piece: if an execve came between two pieces, the rest would be missing.
func readEnviron(pid int) ([]byte, error) {
	f, err := os.Open(filepath.Join("/proc", strconv.Itoa(pid), "environ"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for size := 4 << 10; ; size *= 8 {
		env := make([]byte, size)
		n, err := unix.Pread(int(f.Fd()), env, 0)
		if err != nil {
			return nil, err
		}
		if n < size {
			return env[:n], nil
		}
	}
}

// hasNone says whether a process has no environment and is not about to get one. proc(5): a kernel thread and a zombie have no
// memory (vsize), and an empty environment ends where it begins (env_start, env_end). The latter is also so in the middle of an
// execve, but there the program's code is not in place yet (start_code).
func hasNone(pid int) bool {
	f := stat(pid)
	return len(f) < 49 || string(f[20]) == "0" || !tells() || string(f[23]) != "0" && bytes.Equal(f[47], f[48])
}

// tells says whether the kernel shows where environments are: some systems that call themselves Linux do not.
var tells = sync.OnceValue(func() bool {
	f := stat(os.Getpid())
	return len(f) > 48 && string(f[23]) != "0" && string(f[48]) != "0"
})

// stat reads the fields of /proc/<pid>/stat from the third on, the state; nil when the process is gone.
func stat(pid int) [][]byte {
	line, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return nil
	}
	// pid (comm) state ppid …: comm may hold any text, so the fields begin behind its last parenthesis.
	return bytes.Fields(line[bytes.LastIndexByte(line, ')')+1:])
}

// parent reads a process's parent: 0 where it has none in this namespace, -1 where the process is gone. A process whose first
// thread ended before the others looks like a zombie, but is not one.
func parent(pid int) (ppid int, zombie bool) {
	fields := stat(pid)
	if len(fields) < 18 {
		return -1, false
	}
	ppid, err := strconv.Atoi(string(fields[1]))
	if err != nil {
		return -1, false
	}
	threads, _ := strconv.Atoi(string(fields[17])) // the 20th field
	return ppid, (fields[0][0] == 'Z' || fields[0][0] == 'X') && threads < 2
}

// children lists this process's children, ended ones that were not reaped among them; false where the kernel does not tell.
func children() (pids []int, known bool) {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return nil, false
	}
	for _, task := range tasks {
		dir := filepath.Join("/proc/self/task", task.Name())
		list, err := os.ReadFile(filepath.Join(dir, "children"))
		if err != nil {
			if _, gone := os.Stat(dir); errors.Is(gone, fs.ErrNotExist) {
				continue // the thread ended, and another one has its children
			}
			return nil, false
		}
		for _, field := range bytes.Fields(list) {
			if pid, err := strconv.Atoi(string(field)); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids, true
}
