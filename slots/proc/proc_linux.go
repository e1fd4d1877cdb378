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

func (p Process) signalTerm() error { return p.handle.Signal(syscall.SIGTERM) }
func (p Process) signalKill() error { return p.handle.Signal(syscall.SIGKILL) }

// BecomeSubreaper makes this process the parent of every orphan below it.
func BecomeSubreaper() error { return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }

// Detach is how a runner is started: in a session of its own.
func Detach() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// Attach is how an agent is started: in a session of its own, killed by the kernel when the thread that started it
// dies. The caller must have locked its goroutine to its thread.
func Attach() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
}

// watched is the agent's process, which Go's own Wait buries.
var watched atomic.Int64

// Watch names the agent's process: its end is somebody else's to wait for.
func Watch(pid int) { watched.Store(int64(pid)) }

// CloseOnExec keeps every descriptor from 3 on from our children: what our caller left open (the lock of a crontab line
// `flock -n x kugetsu tick`, say) would otherwise be held for as long as an agent lives.
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

// Visible says why the processes of a run cannot be seen, nil when they can. A sandbox may have pids of its own and no
// /proc of its own: what is read there of a pid is another process's than the one that the pid means here.
var Visible = sync.OnceValue(func() error {
	self, err := os.Readlink("/proc/self")
	if err == nil && self != strconv.Itoa(os.Getpid()) {
		err = errors.New("/proc shows the processes of another PID namespace")
	}
	return err
})

// Carries says whether the process exists, is no zombie, and carries the mark of the run.
func Carries(pid int, run Run) bool { return pid > 1 && run.owns(marks(pid)) }

// Signal asks one process of a run to end, after making sure that it is one. False: it is not, or it is gone.
func Signal(pid int, run Run, sig syscall.Signal) bool {
	handle, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	defer handle.Release()
	return Carries(pid, run) && handle.Signal(sig) == nil
}

// all shows the processes that are what is asked for, but for this one, as soon as each is met. What ends meanwhile may be
// missing, what lives on is not: who was born while the table was read has one of the pids that were given since. So what
// forks and ends on and on is met at some time, and until then it is not taken for gone.
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
		for _, pid := range slices.Backward(pids) { // the newest first: they may be gone the soonest
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
	// unborn is how many pids are given, at most, while one that was given is not in the process table yet.
	unborn = 256
	// tooMany pids at once were not given, but are another count: lxcfs makes up /proc/loadavg every five seconds.
	tooMany = 1 << 16
	// patience is how many more looks there are at what was born when the time is over: each is short, while the table of
	// tens of thousands of zombies, which a container without an init collects, may take all the time there is.
	patience = 100
)

// born looks at the processes whose pids were given after last, until there are no more. False: the numbers began anew at
// the lowest that is free, or ctx ended, and there were more even after some patience.
//
// They are looked at in the order in which they were given. A pid is given a moment before its process is in the table, and
// its parent is alive until then: whoever finds the parent gone, and looks for the child after that, finds the child.
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

// lastPID is the pid that was given last, to a process or to a thread; false where the kernel does not tell.
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

// leads says whether a pid is that of a process, and not of this one: threads have pids of the same numbers, those of this
// process among them, and a signal to one of them is for the whole process.
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

// isHeir says whether a process inherited the flock of a file from whoever took it. One that took the lock by itself is
// none, nor is one that carries the mark of another run.
func isHeir(pid int, path, run string) bool {
	mark := markOf(pid)
	return (mark == "" || mark == run) && inherited(pid, path)
}

// inherited says whether a process holds the exclusive flock of a file without having taken it. proc(5): fdinfo shows the
// locks of a descriptor, and who took them.
func inherited(pid int, path string) bool {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	fds, err := os.ReadDir(filepath.Join(dir, "fd"))
	if err != nil { // gone, or another user's
		return false
	}
	for _, fd := range fds {
		if name, err := os.Readlink(filepath.Join(dir, "fd", fd.Name())); err != nil || name != path {
			continue
		}
		info, err := os.ReadFile(filepath.Join(dir, "fdinfo", fd.Name()))
		if err != nil {
			continue
		}
		for line := range bytes.Lines(info) { // lock: 1: FLOCK ADVISORY WRITE pid dev:inode 0 EOF
			f := bytes.Fields(line)
			if len(f) > 5 && string(f[0]) == "lock:" && string(f[2]) == "FLOCK" && string(f[4]) == "WRITE" && string(f[5]) != strconv.Itoa(pid) {
				return true
			}
		}
	}
	return false
}

// Below lists the processes of a run below this one, its runner. The runner and the subtree of another run are not
// listed: an agent may have started them with `kugetsu tick`, and they outlive it. isRun tells runs from made-up marks.
func Below(run string, isRun func(home, run string) bool) ([]Process, error) {
	other := func(pid int) bool {
		mark, home := marks(pid)
		return mark != "" && mark != run && isRun(home, mark)
	}
	for {
		list, known := children()
		if !known {
			return below(other)
		}
		// Whatever lives below us has a living child of ours above it, so without one nothing is left. That counts only
		// if none ended while we looked: it may have left a child that we did not meet.
		left, ended := false, false
		for _, pid := range list {
			switch ppid, zombie := parent(pid); {
			case zombie:
				bury(pid)
				ended = true
			case ppid < 0:
				ended = true
			case !other(pid):
				left = true
			}
		}
		if !left && !ended {
			return nil, nil
		}
		if left {
			if found, err := below(other); err != nil || len(found) > 0 {
				return found, err
			}
		}
	}
}

// below lists what the process table shows below this process, but for what is below another run. The table cannot be
// read at one instant, so what forks and ends meanwhile may be missing.
func below(other func(pid int) bool) ([]Process, error) {
	pids, err := pids()
	if err != nil {
		return nil, err
	}
	below := map[int][]int{}
	for _, pid := range pids {
		if ppid, zombie := parent(pid); zombie && ppid == os.Getpid() {
			bury(pid)
		} else if ppid > 0 && !zombie {
			below[ppid] = append(below[ppid], pid)
		}
	}
	var found []Process
	var walk func(pid int)
	walk = func(pid int) {
		for _, child := range below[pid] {
			if other(child) {
				continue
			}
			walk(child)
			// It is below us while it lives, since we adopt every orphan; so the same parent means the same process.
			same := func() bool { ppid, zombie := parent(child); return ppid == pid && !zombie }
			if p, ok := open(child, same); ok {
				found = append(found, p)
			}
		}
	}
	walk(os.Getpid())
	return found, nil
}

// Reap buries the orphans that ended.
func Reap() {
	pids, _ := children()
	for _, pid := range pids {
		bury(pid)
	}
}

// bury waits for a child of ours that may have ended; nothing happens to one that lives.
func bury(pid int) {
	if int64(pid) != watched.Load() {
		_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
	}
}

// open takes a handle on a process and then makes sure that it is still the one that was meant.
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

// markOf is the run whose mark a process carries, "" for none, for a zombie and for a process of another user.
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

// environ is the environment of a process. In the middle of an execve it has none, for a moment: that is waited for.
func environ(pid int) ([]byte, error) {
	for begin := time.Now(); ; time.Sleep(50 * time.Microsecond) {
		env, err := readEnviron(pid)
		if err != nil || len(env) > 0 || time.Since(begin) > execLimit || hasNone(pid) {
			return env, err
		}
	}
}

// readEnviron reads an environment in one piece: where an execve comes between two, the rest is missing.
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

// hasNone says whether a process has no environment, and is not about to have one. proc(5): a kernel thread and a zombie have
// no memory (vsize). Who was started without any has one that ends where it begins (env_start, env_end), as is so in the
// middle of an execve, but there the program's code is not in place yet (start_code).
func hasNone(pid int) bool {
	f := stat(pid)
	return len(f) < 49 || string(f[20]) == "0" || !tells() || string(f[23]) != "0" && bytes.Equal(f[47], f[48])
}

// tells says whether the kernel tells where environments are: not all that call themselves Linux do.
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
	// pid (comm) state ppid …: comm may hold anything, so look behind its last parenthesis.
	return bytes.Fields(line[bytes.LastIndexByte(line, ')')+1:])
}

// parent reads a process's parent: 0 for one that has none here, -1 when the process is gone. A process whose first thread
// ended before the others looks like a zombie and is none.
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

// children lists this process's children, those that ended and are not buried among them; false where the kernel does
// not tell.
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
				continue // the thread ended; its children went to another
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
