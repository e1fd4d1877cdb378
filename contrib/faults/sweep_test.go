package faults

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kugetsu/queue"
	"kugetsu/slots"
)

func contextFor(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}

func needStrace(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		skip(t, killed, "strace is not installed: it is what breaks the system calls")
	}
	if out, err := exec.Command("strace", "-o", os.DevNull, "true").CombinedOutput(); err != nil {
		skip(t, killed, fmt.Sprintf("strace may not trace here: %v: %s", err, out))
	}
}

// noise matches the system calls of Go's runtime: they change nothing that outlives the process.
var noise = regexp.MustCompile(`^(futex|rt_sig.*|sigaltstack|mmap|munmap|madvise|mprotect|brk|arch_prctl|sched_.*|getrandom|` +
	`gettid|getpid|tgkill|nanosleep|clock_.*|prlimit64|set_.*|ioctl|rseq|epoll_.*|eventfd2|execve|exit_group|uname|prctl|readlink.*|getuid|geteuid|getgid|getegid)\(` +
	`|^fcntl\(\d+(<[^>]*>)?, F_[GS]ET(FL|FD)\b|^fcntl\(\d+(<[^>]*>)?, F_DUPFD`)

// point is one system call of a command: the n-th of its name on the main thread.
type point struct {
	call  string
	n     int
	pipe  bool // it reads or writes a pipe
	reads bool // it changes nothing but its own process
	// same: between the point before and this one the command only read. A kill leaves the same here as there.
	same bool
}

func (p point) String() string { return fmt.Sprintf("%s#%d", p.call, p.n) }

var (
	traced = regexp.MustCompile(`^([a-z0-9_]+)\(`)
	onPipe = regexp.MustCompile(`^[a-z0-9]+\(\d+<pipe:`)
	// onlyReads matches the calls that change nothing but their own process, if they are not about a pipe or a lock: those let another
	// process go on.
	onlyReads = regexp.MustCompile(`^((read|pread64|fstat|getdents64|lseek|fstatfs|close)\(\d+</|(newfstatat|statfs|faccessat2?)\(` +
		`|openat\([^"]*"[^"]*"(\.\.\.)?, O_RDONLY(\|O_(CLOEXEC|NOFOLLOW|NONBLOCK|DIRECTORY|LARGEFILE|NOCTTY))*\))`)
	unlocks = regexp.MustCompile(`^close\(\d+</[^>]*(\.lock|tick\.next)>`)
)

// points lists the system calls that a command makes in a world.
func points(t *testing.T, w *world, args ...string) []point {
	trace := filepath.Join(w.dir, "trace")
	w.exec("strace", append([]string{"-y", "-o", trace, filepath.Join(bin, "kugetsu")}, args...)...)
	return readPoints(t, trace)
}

// mostOfProc bounds how many calls are taken that read about other processes: their number depends on how many processes the
// machine has.
const mostOfProc = 30

func readPoints(t *testing.T, trace string) []point {
	f, err := os.Open(trace)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var list []point
	count := map[string]int{}
	others, same := 0, false
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		m := traced.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		count[m[1]]++
		if noise.MatchString(lines.Text()) {
			continue
		}
		p := point{call: m[1], n: count[m[1]], pipe: onPipe.MatchString(lines.Text()), same: same}
		p.reads = onlyReads.MatchString(lines.Text()) && !unlocks.MatchString(lines.Text())
		if strings.Contains(lines.Text(), "/proc/") || m[1] == "pidfd_open" { // strace -y shows what a descriptor is of
			p.reads = true
			if others++; others > mostOfProc {
				continue
			}
		}
		list, same = append(list, p), p.reads
	}
	if len(list) < 20 {
		t.Fatalf("only %d system calls seen: the trace cannot be right", len(list))
	}
	return list
}

// sample keeps every k-th of the points at which a kill leaves something of its own, unless all of these are wanted.
func sample(list []point, most int) []point {
	list = slices.DeleteFunc(slices.Clone(list), func(p point) bool { return p.same })
	if *full || len(list) <= most {
		return list
	}
	var kept []point
	for i := range most {
		kept = append(kept, list[i*len(list)/most])
	}
	return slices.Compact(kept)
}

// inject returns the arguments that make strace break a point: "signal=KILL", "error=ENOSPC".
func (p point) inject(what string) []string {
	return []string{"-o", os.DevNull, "-e", "trace=" + p.call, "-e", fmt.Sprintf("inject=%s:%s:when=%d", p.call, what, p.n)}
}

// attempt does something in a world with a broken command. Its error says which promise was broken.
type attempt func(w *world, inject []string) error

// try tries a point in a world of its own.
func (p point) try(t testing.TB, what string, one attempt) error {
	w := newWorld(t)
	defer w.close()
	return one(w, p.inject(what))
}

// sweep breaks a command at each point, several at once, and every promise must be kept at every one.
func sweep(t *testing.T, group, name, what string, list []point, one attempt) {
	var began, passed atomic.Int64
	// The points run in parallel with each other; this t.Run returns when all have been tried.
	t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
		for _, p := range list {
			t.Run(p.String(), func(t *testing.T) {
				began.Add(1)
				t.Parallel()
				if err := p.try(t, what, one); err != nil {
					t.Error(err)
					return
				}
				passed.Add(1)
			})
		}
	})
	if int(began.Load()) < len(list) { // -run leaves points out
		t.Logf("%s: %d points passed of the %d that -run selects: no row", name, passed.Load(), began.Load())
		return
	}
	report(result{group: group, name: name, points: len(list), passed: int(passed.Load())})
	t.Logf("%s: %d of %d points", name, passed.Load(), len(list))
}

// TestTickIsKilledAtEverySystemCall: over items in every state, a tick dies before one of its system calls. The ticks after it
// settle everything, run nothing twice, and never run more than the limit.
func TestTickIsKilledAtEverySystemCall(t *testing.T) {
	needStrace(t)
	w := newWorld(t)
	w.orphaned()
	list := points(t, w, "tick")
	w.close()
	sweep(t, killed, "tick", "signal=KILL", sample(list, 16), killTick)
}

// TestTickIsKilledAsItHoldsAnAgent: a run met a usage limit. The tick that settles it is killed, wherever it is. The run does not
// count as an attempt, and its agent is put on hold, told of once, and tried again.
func TestTickIsKilledAsItHoldsAnAgent(t *testing.T) {
	needStrace(t)
	w := newWorld(t)
	w.limited()
	list := points(t, w, "tick")
	w.close()
	sweep(t, killed, "tick, as it holds an agent", "signal=KILL", sample(list, 10), func(w *world, inject []string) error {
		w.limited()
		w.exec("strace", append(inject, filepath.Join(bin, "kugetsu"), "tick")...)
		return w.wasHeld()
	})
	failed(t, "tick, as it holds an agent", list, 10, func(w *world, inject []string) error {
		w.limited()
		code, out := w.exec("strace", append(inject, filepath.Join(bin, "kugetsu"), "tick")...)
		if err := oneLine(code, out, 0, 75, 78); err != nil {
			return err
		}
		return w.wasHeld()
	})
}

// limited is a world in which one item's run met a usage limit, and another item waits.
func (w *world) limited() {
	w.inSlot("1", 1, "end.usage_limit.75", true)
	w.paid[0] = 0
	w.item(2)
}

// wasHeld lets the world of a limit come to rest, and checks the hold.
func (w *world) wasHeld() error {
	if err := w.settle(); err != nil {
		return err
	}
	told, err := filepath.Glob(filepath.Join(w.q.Events.New, "*.agent_held.json"))
	if err == nil && len(told) != 1 {
		err = fmt.Errorf("told of %d holds", len(told))
	}
	left, _ := filepath.Glob(filepath.Join(string(w.home), "holds", "*.json"))
	if len(left) > 0 {
		err = errors.Join(err, fmt.Errorf("%s is left", left[0]))
	}
	return errors.Join(err, w.judge(completed))
}

// TestTickIsKilledAsItTellsTheDigest: a tick in which the digest is due is killed, wherever it is. The ticks after it leave one
// event of the day. NOTIFY_COMMAND may be told twice, under that one name.
func TestTickIsKilledAsItTellsTheDigest(t *testing.T) {
	needStrace(t)
	w := newWorld(t)
	w.digestDue()
	list := points(t, w, "tick")
	w.close()
	sweep(t, killed, "tick, as it tells the digest", "signal=KILL", sample(list, 12), func(w *world, inject []string) error {
		w.digestDue()
		w.exec("strace", append(inject, filepath.Join(bin, "kugetsu"), "tick")...)
		w.kugetsu("tick")
		w.kugetsu("tick")
		return w.oneDigest()
	})
}

// digestDue is a world in which the digest of the day was due an hour ago.
func (w *world) digestDue() {
	told := filepath.Join(w.dir, "told.sh")
	w.must(os.WriteFile(told, []byte("cat >>\"${0%.sh}\"\n"), 0o700))
	w.env = append(w.env, "DIGEST_AT="+time.Now().Add(-time.Hour).Format("15:04"), "NOTIFY_COMMAND=sh "+told)
	w.must(os.Mkdir(filepath.Join(string(w.home), "digest"), 0o700))
	w.must(os.WriteFile(filepath.Join(string(w.home), "digest", "sent"), []byte(`{"v":1,"day":"2001-01-01","at":"2001-01-01T08:00:00Z","items":{}}`), 0o600))
}

var digestName = regexp.MustCompile(`"name":"(digest\.[^"]*)"`)

func (w *world) oneDigest() error {
	told, err := os.ReadFile(filepath.Join(w.dir, "told"))
	if err != nil {
		return err
	}
	names := map[string]bool{}
	for _, m := range digestName.FindAllSubmatch(told, -1) {
		names[string(m[1])] = true
	}
	files, err := filepath.Glob(filepath.Join(w.q.Events.New, "digest.*"))
	if err == nil && (len(names) != 1 || len(files) != 1) {
		err = fmt.Errorf("%d digests are there, and these were told: %v", len(files), names)
	}
	mark, markErr := os.ReadFile(filepath.Join(string(w.home), "digest", "sent"))
	if err == nil && markErr == nil && strings.Contains(string(mark), "2001") {
		err = fmt.Errorf("the mark is %s", mark)
	}
	return errors.Join(err, markErr)
}

// killTick kills a tick over items in every state.
func killTick(w *world, inject []string) error {
	finish := w.orphaned()
	w.exec("strace", append(inject, filepath.Join(bin, "kugetsu"), "tick")...)
	w.kugetsu("tick") // while one run is still alive
	finish()
	if err := w.settle(); err != nil {
		return err
	}
	return w.judge(completed)
}

// TestTickIsKilledAsItMeetsARunThatCannotBeVerified: the tick that settles such a run is killed, wherever it is. The run does not
// count as an attempt, and a person is told once. Nothing is started until the command is another file, or another command is
// named. Then that is told once, and the item completes.
func TestTickIsKilledAsItMeetsARunThatCannotBeVerified(t *testing.T) {
	needStrace(t)
	for _, c := range []struct {
		what, command string // "": a program outside
		n             int
	}{{"tick, as it meets a run that cannot be verified", "", 8}, {"tick, as it meets a run whose verifier the worktree lacks", "./verifier", 4}} {
		w := newWorld(t)
		w.unverifiable(c.command)
		list := points(t, w, "tick")
		w.close()
		sweep(t, killed, c.what, "signal=KILL", sample(list, c.n), func(w *world, inject []string) error {
			w.unverifiable(c.command)
			w.exec("strace", append(inject, filepath.Join(bin, "kugetsu"), "tick")...)
			w.kugetsu("tick")
			w.kugetsu("tick")
			err := w.told("verifier_missing", "verifier_back", 0)
			if _, it, loadErr := load(w, w.ids[0]); loadErr != nil || it.State != queue.Pending || it.Runs != 1 || it.Attempts != 0 {
				err = errors.Join(err, loadErr, fmt.Errorf("the item is %s, after %d runs, of which %d count", it.State, it.Runs, it.Attempts))
			}
			if c.command == "" {
				w.must(os.WriteFile(w.verifier, []byte("#!/bin/sh\n# repaired\n"), 0o700))
			} else {
				w.env = append(w.env, "VERIFY_COMMAND=true")
			}
			return errors.Join(err, w.settle(), w.told("verifier_missing", "verifier_back", 1), w.judge(completed))
		})
	}
}

// unverifiable is a world in which a run found that the command which verifies it does not start. With "" an agent had worked, and
// the command is a file outside that is no program. Otherwise it is a command that the worktree does not have.
func (w *world) unverifiable(command string) {
	if command == "" {
		w.verifier = filepath.Join(w.dir, "verifier")
		w.must(os.WriteFile(w.verifier, []byte("#!/nowhere/sh\n"), 0o700))
		command = w.verifier
	}
	w.env = append(w.env, "VERIFY_COMMAND="+command)
	_, it := w.inSlot("1", 1, "end.unverifiable.0", true)
	w.paid[0] = 0
	text := fmt.Sprintf(`{"v":1,"outcome":"unverifiable","exit_code":0,"summary":"runs cannot be verified","started_at":%q,"ended_at":%[1]q,"unverifiable":%q}`,
		time.Now().UTC().Format(time.RFC3339), command)
	w.must(os.WriteFile(filepath.Join(w.home.RunDir(slots.RunName(it.ID, 1)), "result.json"), []byte(text), 0o600))
}

// told makes sure that a condition was told of once, and that its end was told of this many times.
func (w *world) told(begins, ends string, times int) error {
	var errs []error
	for kind, want := range map[string]int{begins: 1, ends: times} {
		files, err := filepath.Glob(filepath.Join(w.q.Events.New, kind+".*"))
		if err == nil && len(files) != want {
			err = fmt.Errorf("%s was told %d times, not %d", kind, len(files), want)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
