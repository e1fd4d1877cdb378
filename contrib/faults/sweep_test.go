package faults

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func contextFor(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}

func needStrace(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("strace is not installed: it is what breaks the system calls")
	}
	if out, err := exec.Command("strace", "-o", os.DevNull, "true").CombinedOutput(); err != nil {
		t.Skipf("strace may not trace here: %v: %s", err, out)
	}
}

// noise is the system calls of Go's runtime: they change nothing that outlives the process.
var noise = regexp.MustCompile(`^(futex|rt_sig.*|sigaltstack|mmap|munmap|madvise|mprotect|brk|arch_prctl|sched_.*|getrandom|` +
	`gettid|getpid|tgkill|nanosleep|clock_.*|prlimit64|set_.*|rseq|epoll_.*|eventfd2|execve|exit_group|uname|prctl|readlink.*|getuid|geteuid|getgid|getegid)$`)

// point is one system call of a command: the n-th of its name on the main thread.
type point struct {
	call string
	n    int
}

func (p point) String() string { return fmt.Sprintf("%s#%d", p.call, p.n) }

var traced = regexp.MustCompile(`^([a-z0-9_]+)\(`)

// points lists the system calls that a command makes in a world.
func points(t *testing.T, w *world, args ...string) []point {
	trace := filepath.Join(w.dir, "trace")
	w.exec("strace", append([]string{"-o", trace, filepath.Join(bin, "kugetsu")}, args...)...)
	return readPoints(t, trace)
}

func readPoints(t *testing.T, trace string) []point {
	f, err := os.Open(trace)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var list []point
	count := map[string]int{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		m := traced.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		count[m[1]]++
		if !noise.MatchString(m[1]) {
			list = append(list, point{m[1], count[m[1]]})
		}
	}
	if len(list) < 20 {
		t.Fatalf("only %d system calls seen: the trace cannot be right", len(list))
	}
	return list
}

// sample keeps every k-th point, unless all are wanted.
func sample(list []point, most int) []point {
	if *full || len(list) <= most {
		return list
	}
	var kept []point
	for i := range most {
		kept = append(kept, list[i*len(list)/most])
	}
	return slices.Compact(kept)
}

// inject is the arguments that make strace break a point: "signal=KILL", "error=ENOSPC".
func (p point) inject(what string) []string {
	return []string{"-o", os.DevNull, "-e", "trace=" + p.call, "-e", fmt.Sprintf("inject=%s:%s:when=%d", p.call, what, p.n)}
}

// result is a row of the table.
type result struct {
	name           string
	points, passed int
	note           string
}

var (
	results   []result
	resultsMu sync.Mutex
)

func report(r result) {
	resultsMu.Lock()
	defer resultsMu.Unlock()
	results = append(results, r)
}

// writeTable writes what the sweeps found.
func writeTable() int {
	if *table == "" {
		return 0
	}
	var b strings.Builder
	how := "a sample of the points"
	if *full {
		how = "every point"
	}
	fmt.Fprintf(&b, "# Faults\n\nWritten by `go test ./contrib/faults -full -table FILE`: %s. A point is one system call of the\ncommand's main thread, or one fault that was made to happen.\n\n| fault | points | passed | |\n|---|---|---|---|\n", how)
	slices.SortFunc(results, func(a, b result) int { return strings.Compare(a.name, b.name) })
	for _, r := range results {
		fmt.Fprintf(&b, "| %s | %d | %d | %s |\n", r.name, r.points, r.passed, r.note)
	}
	if err := os.WriteFile(*table, []byte(b.String()), 0o600); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// attempt is what is done in a world with a broken command: its error says which promise was not kept.
type attempt func(w *world, inject []string) error

// try breaks a command at each point, in a world of its own each time, until most points failed.
func try(t *testing.T, what string, list []point, most int, one attempt) (errs []error) {
	for _, p := range list {
		if len(errs) == most {
			break
		}
		err := func() error {
			w := newWorld(t)
			defer w.close()
			return one(w, p.inject(what))
		}()
		if err != nil {
			errs = append(errs, fmt.Errorf("at %s: %w", p, err))
		}
	}
	return errs
}

// sweep is try, and every promise must be kept at every point.
func sweep(t *testing.T, name, what string, list []point, one attempt) {
	errs := try(t, what, list, len(list), one)
	for _, err := range errs {
		t.Errorf("%s %v", name, err)
	}
	report(result{name: name, points: len(list), passed: len(list) - len(errs)})
	t.Logf("%s: %d of %d points", name, len(list)-len(errs), len(list))
}

// TestTickIsKilledAtEverySystemCall: over items in every state, a tick dies before one of its system calls; the ticks
// after it settle everything, run nothing twice and never more than the limit.
func TestTickIsKilledAtEverySystemCall(t *testing.T) {
	needStrace(t)
	w := newWorld(t)
	w.crowd()
	list := points(t, w, "tick")
	w.close()
	sweep(t, "kill -9 of tick", "signal=KILL", sample(list, 40), killTick)
}

// killTick kills a tick over items in every state.
func killTick(w *world, inject []string) error {
	finish := w.crowd()
	w.exec("strace", append(inject, filepath.Join(bin, "kugetsu"), "tick")...)
	w.kugetsu("tick") // while one run is still alive
	finish()
	if err := w.settle(); err != nil {
		return err
	}
	return w.judge(completed)
}
