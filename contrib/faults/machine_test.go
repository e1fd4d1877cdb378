package faults

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kugetsu/queue"
	"kugetsu/slots"
	"kugetsu/slots/proc"
)

// obedient is an agent that waits at a FIFO, and exits when the FIFO tells it to, with the code that it tells.
const obedient = note + `
echo $$ >"$REC.pid.$KUGETSU_RUN"
mkfifo "$REC.tell.$KUGETSU_RUN"
read code <"$REC.tell.$KUGETSU_RUN"
exit $code
`

// expected is what the model knows of an item.
type expected struct {
	id       string
	issue    int
	state    queue.State // Notified: its agent runs
	runs     int
	attempts int
}

func (e *expected) run() string { return slots.RunName(e.id, e.runs) }

// machine is a state folder with real runs, and the model of it: the items, in the order in which they run.
type machine struct {
	w     *world
	items []*expected
}

// any draws an item for which a condition holds.
func (m *machine) any(t *rapid.T, ok func(*expected) bool) *expected {
	var list []*expected
	for _, e := range m.items {
		if ok(e) {
			list = append(list, e)
		}
	}
	if len(list) == 0 {
		t.Skip("no such item")
	}
	return list[rapid.IntRange(0, len(list)-1).Draw(t, "item")]
}

func runs(e *expected) bool { return e.state == queue.Notified }

// fill is the model of a pass: the free slots are filled in the order of the names, one run per issue.
func (m *machine) fill() {
	for _, e := range m.items {
		busy := slices.ContainsFunc(m.items, func(o *expected) bool { return o.state == queue.Notified && o.issue == e.issue })
		if e.state == queue.Pending && !busy && m.running() < limit {
			e.state = queue.Notified
			e.runs++
		}
	}
}

func (m *machine) running() (n int) {
	for _, e := range m.items {
		if e.state == queue.Notified {
			n++
		}
	}
	return n
}

// failed is the model of a run that counts as an attempt and did not succeed.
func (m *machine) failed(e *expected) {
	e.attempts++
	if e.state = queue.Pending; e.attempts == 3 {
		e.state = queue.Errored
	}
}

func (m *machine) ok(t *rapid.T, args ...string) {
	if code, out := m.w.kugetsu(args...); code != 0 {
		t.Fatalf("kugetsu %v: exit code %d: %s", args, code, out)
	}
}

func (m *machine) Enqueue(t *rapid.T) {
	if len(m.items) == 12 {
		t.Skip("enough of them")
	}
	now := time.Now().UTC()
	e := &expected{id: queue.NewID(now), issue: rapid.IntRange(1, 5).Draw(t, "issue"), state: queue.Pending}
	it := &queue.Item{ID: e.id, IssueRef: fmt.Sprintf("github.com/you/project#%d", e.issue), Agent: "command", Message: "work",
		Mode: queue.Auto, PendingSince: now, After: []string{}, History: []queue.Run{}}
	if _, err := m.w.q.Publish(it, queue.Dev, rapid.IntRange(49, 51).Draw(t, "priority")); err != nil {
		t.Fatal(err)
	}
	m.items = append(m.items, e)
	slices.SortFunc(m.items, func(a, b *expected) int { return strings.Compare(m.place(t, a), m.place(t, b)) })
}

// place is an item's file name, which is its place in the order.
func (m *machine) place(t *rapid.T, e *expected) string {
	found, err := m.w.q.Find(e.id)
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Base(found.Path)
}

// Exit makes an agent end.
func (m *machine) Exit(t *rapid.T) {
	e := m.any(t, runs)
	code := rapid.SampledFrom([]int{0, 0, 1}).Draw(t, "code")
	if err := m.w.tell(e.run(), code); err != nil {
		t.Fatal(err)
	}
	if code == 0 {
		e.attempts++
		e.state = queue.Completed
	} else {
		m.failed(e)
	}
}

func (m *machine) KillAgent(t *rapid.T) {
	e := m.any(t, runs)
	text, err := os.ReadFile(m.w.record() + ".pid." + e.run())
	if err != nil {
		t.Fatal(err)
	}
	m.kill(t, strings.TrimSpace(string(text)))
	m.failed(e)
}

// KillRunner ends a runner; the kernel then ends its agent.
func (m *machine) KillRunner(t *rapid.T) {
	e := m.any(t, runs)
	_, it, err := load(m.w, e.id)
	if err != nil {
		t.Fatal(err)
	}
	m.kill(t, strconv.Itoa(*it.ForkPID))
	m.await(t, func() error {
		left, err := proc.Marked(proc.Run{Name: e.run()})
		if err == nil && len(left) > 0 {
			err = fmt.Errorf("%s: its agent outlives its runner", e.run())
		}
		return err
	})
	m.failed(e)
}

func (m *machine) kill(t *rapid.T, pid string) {
	n, err := strconv.Atoi(pid)
	if err == nil {
		err = syscall.Kill(n, syscall.SIGKILL)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (m *machine) Cancel(t *rapid.T) {
	e := m.any(t, func(e *expected) bool { return !e.state.Settled() })
	m.ok(t, "queue", "cancel", e.id)
	e.state = queue.Errored
}

func (m *machine) Retry(t *rapid.T) {
	e := m.any(t, func(e *expected) bool { return e.state.Settled() })
	m.ok(t, "queue", "retry", e.id)
	e.state, e.attempts = queue.Pending, 0
}

func (m *machine) await(t *rapid.T, what func() error) {
	if err := await(what); err != nil {
		t.Fatal(err)
	}
}

// Check makes a tick after each step. A runner that ended may have started a tick, too, at a time that is not known: so Check waits
// until the disk is as the model says.
func (m *machine) Check(t *rapid.T) {
	m.ok(t, "tick", "--wait")
	m.fill()
	m.await(t, func() error {
		named, err := m.named()
		if err != nil {
			return err
		}
		for _, e := range m.items {
			if err := m.like(e, named[e.id]); err != nil {
				return err
			}
			delete(named, e.id)
		}
		if len(named) > 0 {
			return fmt.Errorf("slots name runs of no item: %v", named)
		}
		return nil
	})
	if err := m.w.judgeRecord(); err != nil {
		t.Fatal(err)
	}
}

// named is the run of each item that a slot names.
func (m *machine) named() (map[string]slots.Intent, error) {
	files, err := filepath.Glob(filepath.Join(string(m.w.home), "slots", "*.json"))
	if err != nil {
		return nil, err
	}
	named := map[string]slots.Intent{}
	for _, file := range files {
		var in slots.Intent
		data, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(data, &in)
		}
		if err != nil {
			return nil, err
		}
		if _, twice := named[in.Item]; twice {
			return nil, fmt.Errorf("two slots name %s", in.Item)
		}
		named[in.Item] = in
	}
	return named, nil
}

// like compares an item on disk, with its slot, its lease and its marker, to what the model knows.
func (m *machine) like(e *expected, in slots.Intent) error {
	found, it, err := load(m.w, e.id)
	if err != nil {
		return err
	}
	if it.State != e.state || it.Runs != e.runs || it.Attempts != e.attempts {
		return fmt.Errorf("%s on issue %d is %s, run %d, attempt %d, not %s, run %d, attempt %d",
			e.id, e.issue, it.State, it.Runs, it.Attempts, e.state, e.runs, e.attempts)
	}
	if filed := filepath.Dir(found.Path) == m.w.q.Finished; filed != e.state.Settled() {
		return fmt.Errorf("%s is %s, and in finished/: %t", e.id, e.state, filed)
	}
	if e.state != queue.Notified {
		if in.Item != "" {
			return fmt.Errorf("%s is %s, and a slot names it", e.id, e.state)
		}
		return nil
	}
	marker, err := m.w.home.ReadMarker(e.run())
	if err != nil {
		return err
	}
	if in.Run != e.runs || marker.Phase != slots.Started {
		return fmt.Errorf("%s should run, but its slot names run %d, and its marker is %q", e.run(), in.Run, marker.Phase)
	}
	if held, err := slots.Locked(m.w.home.SessionLock(in.Session)); err != nil || !held {
		return fmt.Errorf("%s: its lease is locked: %t; %v", e.run(), held, err)
	}
	_, err = os.Stat(m.w.record() + ".tell." + e.run())
	return err
}

// TestQueueDoesWhatItsModelDoes does enqueue, exit, kill, cancel and retry in random order, with ticks and real runs.
func TestQueueDoesWhatItsModelDoes(t *testing.T) {
	rounds := 4
	if *full {
		rounds = 100
	}
	checks := flag.Lookup("rapid.checks")
	before := checks.Value.String()
	if err := checks.Value.Set(strconv.Itoa(rounds)); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = checks.Value.Set(before) }() // it was valid
	try(t, random, "enqueue, exit, kill the agent, kill the runner, cancel, retry", rounds, func(t *testing.T) {
		rapid.Check(t, func(rt *rapid.T) {
			w := newWorld(t)
			defer w.close()
			w.must(os.WriteFile(filepath.Join(w.dir, "agent"), []byte(obedient), 0o700))
			w.env = append(w.env, "RETRY_DELAY=0")
			m := &machine{w: w}
			rt.Repeat(rapid.StateMachineActions(m))
		})
	})
}
