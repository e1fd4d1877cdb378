package faults

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"kugetsu/queue"
)

// storm says how many processes there are at once.
type storm struct {
	delegates, ticks, starts int
	// slow makes every k-th of them wait at a system call, which strace does.
	slow   int
	inject []string
	// lockless is how often tick.lock is deleted.
	lockless time.Duration
}

func (s storm) points() int { return s.delegates + s.ticks + s.starts }

// blow makes a storm over a world whose agents wait until they are told to go on. In the first half as many agents wait as there
// may be, while all processes try to start more. In the second half the agents end, and the slots are filled again.
func (s storm) blow(w *world) error {
	gate := w.gate()
	w.agentThen(waits)
	var calls [][]string
	for n := range s.delegates { // several items have the same issue, and may not run at once
		calls = append(calls, []string{"delegate", fmt.Sprintf("you/project#%d", 1+n*2/3), "work"})
	}
	for range s.ticks {
		calls = append(calls, []string{"tick"})
	}
	for n := range s.starts {
		calls = append(calls, []string{"start", fmt.Sprintf("you/project#%d", 1001+n), "work"})
	}
	// Each kind may come at any time, in the same order in every storm. The stride shares no factor with the number, so it visits
	// each once.
	const stride = 37
	order := make([][]string, len(calls))
	for n := range calls {
		order[n] = calls[n*stride%len(calls)]
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	begin := func(n int, args []string) {
		command := append([]string{filepath.Join(bin, "kugetsu")}, args...)
		if s.slow > 0 && n%s.slow == 0 {
			command = slices.Concat([]string{"strace", "-o", os.DevNull}, s.inject, command)
		}
		all.Go(func() {
			code, out, errOut := w.output(command)
			mu.Lock()
			defer mu.Unlock()
			id := strings.TrimSpace(out)
			switch {
			case code == 0 && args[0] == "tick" && id == "":
			case code == 0 && args[0] != "tick" && queue.IsID(id):
				w.ids, w.paid = append(w.ids, id), append(w.paid, 0)
			case args[0] == "start" && code == 2 && id == "":
			case args[0] == "start" && code == 75 && id == "" && strings.Contains(errOut, "tick.lock is locked"): // ten seconds: a slow machine
			default:
				errs = append(errs, fmt.Errorf("%v: exit code %d, %q: %s", args, code, out, errOut))
			}
		})
	}
	over := make(chan struct{})
	var deleter sync.WaitGroup
	defer deleter.Wait()
	defer close(over)
	if s.lockless > 0 {
		deleter.Go(func() {
			for {
				_ = os.Remove(filepath.Join(string(w.home), "tick.lock"))
				select {
				case <-over:
					return
				case <-time.After(s.lockless):
				}
			}
		})
	}
	half := len(order) / 2
	for n, args := range order[:half] {
		begin(n, args)
	}
	all.Wait()
	w.kugetsu("tick") // all ticks may have come before the first delegate was done
	w.await("each run that has a slot began", func() bool {
		taken, err := filepath.Glob(filepath.Join(string(w.home), "slots", "*.json"))
		w.must(err)
		return len(taken) >= limit && w.begun() >= len(taken)
	})
	if n := w.begun(); n != limit {
		errs = append(errs, fmt.Errorf("%d agents began before one ended, and there may be %d", n, limit))
	}
	w.kugetsu("tick") // this tick may not touch a run that is alive
	for _, id := range w.ids {
		_, it, err := load(w, id)
		if err == nil && len(it.History) > 0 {
			err = fmt.Errorf("%s was settled as %s while its agent ran", id, it.History[0].Outcome)
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for n, args := range order[half:] {
		begin(n, args)
	}
	if _, err := gate.WriteString(strings.Repeat("\n", 20*s.points())); err != nil {
		errs = append(errs, err)
	}
	all.Wait()
	errs = append(errs, w.settle())
	return errors.Join(append(errs, w.once(), w.judge(completed))...)
}

// agentThen makes an agent that runs a script after it noted that it began.
func (w *world) agentThen(script string) {
	w.must(os.WriteFile(filepath.Join(w.dir, "agent"), []byte(agent+script), 0o700))
}

// waits makes an agent wait until it is told to go on.
const waits = `read go <"$REC.go"` + "\n"

// gate makes the FIFO from which waiting agents read: each agent takes a line.
func (w *world) gate() *os.File {
	w.must(syscall.Mkfifo(w.record()+".go", 0o600))
	f, err := os.OpenFile(w.record()+".go", os.O_RDWR, 0) // for reading, too: then no open waits for the other side
	w.must(err)
	w.t.Cleanup(func() { _ = f.Close() })
	return f
}

// begun is how many runs noted that they began.
func (w *world) begun() int {
	data, err := os.ReadFile(w.record())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.t.Fatal(err)
	}
	return strings.Count(string(data), "begin ")
}

// await waits for a condition.
func (w *world) await(what string, come func() bool) {
	w.t.Helper()
	w.must(awaited(what, come))
}

// output runs a command to its end, and returns its exit code, its stdout and its stderr.
func (w *world) output(command []string) (code int, out, errOut string) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = w.env
	var outB, errB strings.Builder
	cmd.Stdout, cmd.Stderr = &outB, &errB
	err := cmd.Run()
	if err != nil && cmd.ProcessState == nil {
		return -1, "", err.Error()
	}
	return cmd.ProcessState.ExitCode(), outB.String(), errB.String()
}

// once checks that every item was asked for, and was done by one agent.
func (w *world) once() error {
	entries, err := w.q.Settled()
	errs := []error{err}
	if len(entries) != len(w.ids) {
		errs = append(errs, fmt.Errorf("%d ids were printed, and there are %d items", len(w.ids), len(entries)))
	}
	data, err := os.ReadFile(w.record())
	errs = append(errs, err)
	for _, id := range w.ids {
		if n := strings.Count(string(data), "begin "+id+"."); n != 1 {
			errs = append(errs, fmt.Errorf("%d agents were started for %s", n, id))
		}
	}
	return errors.Join(errs...)
}

// TestStorms: however many delegate, tick and start at once, there are never too many agents, and each item is done once.
func TestStorms(t *testing.T) {
	all := storm{delegates: 30, ticks: 10, starts: 5}
	if *full {
		all = storm{delegates: 100, ticks: 20, starts: 10}
	}
	flocks, renames, lockless, both := all, all, all, all
	flocks.slow, flocks.inject = 3, []string{"-e", "trace=flock", "-e", "inject=flock:delay_enter=20000"}
	renames.slow, renames.inject = 3, []string{"-e", "trace=renameat", "-e", "inject=renameat:delay_enter=20000"}
	lockless.lockless = time.Millisecond
	both.lockless, both.slow, both.inject = 50*time.Millisecond, 3, flocks.inject // time enough for the slow to find one that stays
	list := []struct {
		name string
		storm
	}{
		{"delegates, ticks and starts at once", all},
		{"the same, a third of them slow to lock", flocks},
		{"the same, a third of them slow to rename", renames},
		{"the same, and tick.lock is deleted again and again", lockless},
		{"the same, tick.lock is deleted, and a third slow to lock", both},
	}
	if !*full {
		list = list[:4]
	}
	for _, s := range list {
		try(t, storms, s.name, s.points(), func(t *testing.T) {
			if s.slow > 0 {
				needStrace(t)
			}
			w := newWorld(t)
			defer w.close()
			if err := s.blow(w); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestStormNoticesOneTooMany makes the storm over a kugetsu that starts runs that it must not start.
func TestStormNoticesOneTooMany(t *testing.T) {
	blow := alone(storm{delegates: 6, ticks: 4, starts: 2}.blow)
	mustNotice(t,
		wrongWay{"one agent more than the limit is let in", "tick/tick.go",
			[]string{"report := Report{Settled: []Settled{}, Started: []Started{}, Why: []string{}}",
				"report := Report{Settled: []Settled{}, Started: []Started{}, Why: []string{}}\n\tt.Settings.MaxAgents++"},
			"agents began before one ended", blow},
	)
	// A lease that excludes no other process does no harm by itself: if a lease is free, kugetsu also asks the runner that the item
	// names. So that question is broken, too.
	unasked := func(t *testing.T, dir string, replace map[string]string) error {
		path, err := filepath.Abs(filepath.Join("..", "..", "tick", "runner.go"))
		if err != nil {
			return err
		}
		if replace[path], err = change(t, path, `it.Runner.Birth != "" && t.ours(it)()`, `it.Runner.Birth == "no such"`); err != nil {
			return err
		}
		return buildChanged(t, dir, replace)
	}
	mustNoticeBuilt(t, unasked, wrongWay{"a lease excludes nothing, and the runner is not asked", "slots/lease.go",
		[]string{"return try(path, unix.LOCK_EX)", "return try(path, unix.LOCK_SH)"}, "while its agent ran", blow})
}
