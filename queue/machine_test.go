package queue

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kugetsu/contrib/quick"
	"kugetsu/queue/event"
	"kugetsu/queue/ledger"
	"kugetsu/queue/outcome"
	"kugetsu/queue/spool"
)

func TestMain(m *testing.M) { os.Exit(quick.InMemory{M: m}.Run()) }

// newQueue makes a queue in a folder of its own.
func newQueue(t testing.TB, now func() time.Time) *Queue {
	t.Helper()
	dir := t.TempDir()
	at := func(parts ...string) string { return filepath.Join(append([]string{dir}, parts...)...) }
	q := &Queue{
		Dirs:   Dirs{Items: at("queue", "items"), PM: at("queue", "pm"), Finished: at("queue", "finished"), Bad: at("queue", "bad")},
		Events: &event.Box{New: at("notes", "new"), Seen: at("notes", "seen"), Undelivered: at("notes", "owed"), Wanted: func(event.Type) bool { return true }, Now: now},
		Ledger: &ledger.Ledger{Dir: at("usage"), Now: now},
		Now:    now,
	}
	if err := errors.Join(q.Make(), spool.MakeDirs(q.Ledger.Dir)); err != nil {
		t.Fatal(err)
	}
	return q
}

// modelled is what the machine knows of an item without looking at the disk.
type modelled struct {
	lane           Lane
	priority       int
	state          State
	runs, attempts int
	filed, set     bool // in finished/; quarantined
	events         int  // of the item, of different names
}

// machine does what ticks and commands do to a queue, in any order that tick.lock allows.
type machine struct {
	q     *Queue
	now   time.Time
	items map[string]*modelled
	order []string
}

// any draws an item for which a condition holds.
func (m *machine) any(t *rapid.T, ok func(*modelled) bool) (string, *modelled, Entry, *Item) {
	var ids []string
	for _, id := range m.order {
		if ok(m.items[id]) {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		m.Publish(t) // so that the next action finds one: rapid gives up after many that apply to none
		t.SkipNow()
	}
	id := rapid.SampledFrom(ids).Draw(t, "id")
	e, err := m.q.Find(id)
	fatal(t, err)
	it, err := m.q.Load(e)
	fatal(t, err)
	return id, m.items[id], e, it
}

func fatal(t rapid.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (m *machine) Publish(t *rapid.T) {
	it := &Item{
		ID: NewID(m.now), IssueRef: "github.com/you/project#1", Message: rapid.StringN(1, 20, -1).Draw(t, "message"),
		PendingSince: m.now, After: []string{}, History: []Run{},
	}
	want := &modelled{lane: Dev, priority: rapid.IntRange(0, 99).Draw(t, "priority"), state: Pending, events: 1}
	if rapid.Bool().Draw(t, "pm") {
		want.lane, it.IssueRef = PM, ""
	}
	e, err := m.q.Publish(it, want.lane, want.priority)
	fatal(t, err)
	if e.ID != it.ID || e.Priority != want.priority {
		t.Fatalf("%+v", e)
	}
	m.items[it.ID], m.order = want, append(m.order, it.ID)
}

func (m *machine) PublishAgain(t *rapid.T) {
	_, want, e, it := m.any(t, func(w *modelled) bool { return !w.filed && !w.set })
	before := it.State
	if _, err := m.q.Publish(it, want.lane, e.Priority); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("an item was overwritten: %v", err)
	}
	it.State = before
}

func (m *machine) Notify(t *rapid.T) {
	_, want, e, it := m.any(t, func(w *modelled) bool { return w.state == Pending && !w.set })
	fatal(t, m.q.Notify(e, it, it.Runs+1, 4711, nil))
	want.state, want.runs = Notified, want.runs+1
	want.events++
}

func (m *machine) Settle(t *rapid.T) {
	_, want, e, it := m.any(t, func(w *modelled) bool { return w.state == Notified && !w.set })
	r := Result{
		Run: Run{
			Run: it.Runs, EndedAt: m.now, Summary: rapid.String().Draw(t, "summary"),
			Outcome: rapid.SampledFrom([]outcome.Outcome{outcome.OK, outcome.Failed, outcome.Unverified, outcome.Unverifiable, outcome.Denied, outcome.StartFailed, outcome.Timeout, outcome.Stalled, outcome.Outgrown, outcome.UsageLimit, outcome.Auth, outcome.Outage, outcome.Lost, outcome.Void, outcome.Cancelled}).Draw(t, "outcome"),
		},
		Permanent: rapid.Bool().Draw(t, "permanent"), Rebooted: rapid.Bool().Draw(t, "rebooted"),
	}
	if rapid.Bool().Draw(t, "started") {
		r.StartedAt = &m.now
		want.events++
	}
	fatal(t, m.q.Settle(e, it, r, Policy{MaxAttempts: 3, RetryDelay: time.Minute}))
	// TestSettleDecidesByTheOutcomeAlone checks which outcome leads to which state; here any result is accepted.
	want.state = it.State
	want.attempts = it.Attempts
	want.events++
}

func (m *machine) SettleAnother(t *rapid.T) {
	_, want, e, it := m.any(t, func(w *modelled) bool { return !w.set })
	run := it.Runs
	if want.state == Notified {
		run--
	}
	if err := m.q.Settle(e, it, Result{Run: Run{Run: run, Outcome: outcome.OK}}, Policy{}); err == nil {
		t.Fatalf("run %d of an item that is %s, run %d, was settled", run, want.state, want.runs)
	}
}

func (m *machine) Cancel(t *rapid.T) {
	_, want, e, it := m.any(t, func(w *modelled) bool { return !w.set })
	err := m.q.Cancel(e, it)
	if (err == nil) != (want.state == Pending) {
		t.Fatalf("cancelled while %s: %v", want.state, err)
	}
	if err == nil {
		want.state = Errored
		want.events++
	}
}

func (m *machine) FailDependency(t *rapid.T) {
	_, want, e, it := m.any(t, func(w *modelled) bool { return !w.set })
	err := m.q.FailDependency(e, it, rapid.String().Draw(t, "why"))
	if (err == nil) != (want.state == Pending) {
		t.Fatalf("it failed while %s: %v", want.state, err)
	}
	if err == nil {
		want.state = Errored
		want.events++
	}
}

func (m *machine) Move(t *rapid.T) {
	_, want, e, _ := m.any(t, func(w *modelled) bool { return !w.filed && !w.set })
	want.priority = rapid.IntRange(0, 99).Draw(t, "priority")
	moved, err := m.q.Move(e, want.priority)
	fatal(t, err)
	hinted, err := m.q.FindHinted(e.ID, filepath.Base(e.Path)) // as a slot remembers it
	fatal(t, err)
	if hinted != moved {
		t.Fatalf("%+v, not %+v", hinted, moved)
	}
}

func (m *machine) Edit(t *rapid.T) {
	_, want, e, it := m.any(t, func(w *modelled) bool { return !w.set })
	to, when := *it, m.now.Add(time.Hour)
	to.Message, to.NotBefore = rapid.StringN(1, 20, -1).Draw(t, "message"), &when
	to.State, to.Runs, to.IssueRef, to.History = Completed, 99, "", nil // none of which a person may change
	priority := rapid.IntRange(0, 99).Draw(t, "priority")
	moved, err := m.q.Edit(e, it, &to, priority)
	if (err == nil) != (want.state == Pending) {
		t.Fatalf("edited while %s: %v", want.state, err)
	}
	if err != nil {
		return
	}
	want.priority = priority
	now, err := m.q.Load(moved)
	fatal(t, err)
	if now.Message != to.Message || now.Ready(m.now) || !now.Ready(when) {
		t.Fatalf("%+v, not %+v", now, to)
	}
}

func (m *machine) File(t *rapid.T) {
	id, want, e, it := m.any(t, func(w *modelled) bool { return w.state.Settled() && !w.filed && !w.set })
	last := !slices.ContainsFunc(m.order, func(o string) bool { return o != id && !m.items[o].filed && !m.items[o].set })
	empty := m.empties(t, id)
	filed, err := m.q.File(e)
	fatal(t, err)
	if last && (it.Error == nil || *it.Error != "cancelled") {
		empty++
		want.events++
	}
	if got := m.empties(t, id); got != empty {
		t.Fatalf("that the queue is empty was told %d times, not %d", got, empty)
	}
	if filepath.Base(filed.Path) != filepath.Base(e.Path) {
		t.Fatalf("%s became %s", e.Path, filed.Path)
	}
	want.filed = true
}

// empties is how often it was told that the queue is empty since an item is settled.
func (m *machine) empties(t *rapid.T, id string) (n int) {
	events, _, err := m.q.Events.List()
	fatal(t, err)
	for _, ev := range events {
		if ev.Item == id && ev.Type == event.QueueEmpty {
			n++
		}
	}
	return n
}

func (m *machine) Retry(t *rapid.T) {
	_, want, e, it := m.any(t, func(w *modelled) bool { return w.filed })
	_, err := m.q.Retry(e, it)
	fatal(t, err)
	want.state, want.attempts, want.filed = Pending, 0, false
	want.events++
}

func (m *machine) Drop(t *rapid.T) {
	id, want, e, _ := m.any(t, func(w *modelled) bool { return !w.set })
	err := m.q.Drop(e)
	if (err == nil) != want.filed {
		t.Fatalf("dropped while %s: %v", want.state, err)
	}
	if err == nil {
		delete(m.items, id)
		m.order = slices.DeleteFunc(m.order, func(o string) bool { return o == id })
	}
}

func (m *machine) Quarantine(t *rapid.T) {
	_, want, e, _ := m.any(t, func(w *modelled) bool { return !w.filed && !w.set })
	fatal(t, m.q.Quarantine(e.Path, errors.New("it is bad")))
	want.set = true
}

// Check compares the disk with the model.
func (m *machine) Check(t *rapid.T) {
	m.now = m.now.Add(time.Millisecond) // events of one item have names of their own
	files := map[string][]string{}
	for _, dir := range []string{m.q.Items, m.q.PM, m.q.Finished, m.q.Bad} {
		names, err := spool.List(dir)
		fatal(t, err)
		for _, name := range names {
			e, ok := parseName(name)
			if !ok {
				t.Fatalf("%s in %s", name, dir)
			}
			files[e.ID] = append(files[e.ID], dir)
		}
	}
	if len(files) != len(m.items) {
		t.Fatalf("%d items on disk, not %d", len(files), len(m.items))
	}
	for id, want := range m.items {
		dir := m.q.dir(want.lane)
		if want.filed {
			dir = m.q.Finished
		}
		if want.set {
			dir = m.q.Bad
		}
		if !slices.Equal(files[id], []string{dir}) {
			t.Fatalf("%s is in %v, not in %s alone", id, files[id], dir)
		}
		if !want.set {
			m.checkItem(t, id, want)
		}
	}
	m.checkOrder(t)
}

func (m *machine) checkItem(t *rapid.T, id string, want *modelled) {
	e, err := m.q.Find(id)
	fatal(t, err)
	it, err := m.q.Load(e)
	fatal(t, err)
	if e.Priority != want.priority || it.State != want.state || it.Runs != want.runs || it.Attempts != want.attempts {
		t.Fatalf("%s: priority %d, %s, %d runs, %d attempts, not %+v", id, e.Priority, it.State, it.Runs, it.Attempts, want)
	}
	_, live := m.q.Lane(e)
	switch {
	case it.Attempts > it.Runs, want.filed == live, !it.State.Settled() && !live,
		(it.ForkPID != nil) != (it.State == Notified),
		(it.NotifiedAt == nil) != (it.State == Pending) && it.State != Errored, // a pending item may be cancelled
		(it.CompletedAt != nil) != it.State.Settled(),
		(it.Error != nil) != (it.State == Errored),
		it.NotBefore != nil && it.State != Pending,
		len(it.History) > keepRuns,
		!slices.IsSortedFunc(it.History, func(a, b Run) int { return a.Run - b.Run }):
		t.Fatalf("%+v", it)
	}
}

// checkOrder: the listing of a lane is the run order, and every event that was told is there.
func (m *machine) checkOrder(t *rapid.T) {
	for _, lane := range Lanes {
		entries, err := m.q.Live(lane)
		fatal(t, err)
		if !slices.IsSortedFunc(entries, func(a, b Entry) int {
			if a.Priority != b.Priority {
				return a.Priority - b.Priority
			}
			return strings.Compare(a.ID, b.ID)
		}) {
			t.Fatalf("%v", entries)
		}
	}
	told, bad, err := m.q.Events.List()
	fatal(t, err)
	events := map[string]int{}
	for _, ev := range told {
		events[ev.Item]++
	}
	for id, want := range m.items {
		if events[id] < want.events || bad > 0 {
			t.Fatalf("%d events of %s, not %d; %d bad ones", events[id], id, want.events, bad)
		}
	}
}

func TestQueueHoldsItsStateTable(t *testing.T) {
	few(t)
	rapid.Check(t, func(rt *rapid.T) {
		m := &machine{now: noon, items: map[string]*modelled{}}
		m.q = newQueue(t, func() time.Time { return m.now })
		rt.Repeat(rapid.StateMachineActions(m))
	})
}

// few makes a test that syncs files affordable: fewer checks, unless a number is given.
func few(t *testing.T) {
	checks := flag.Lookup("rapid.checks")
	if checks.Value.String() != checks.DefValue {
		return
	}
	if err := checks.Value.Set("20"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := checks.Value.Set(checks.DefValue); err != nil {
			t.Error(err)
		}
	})
}

func TestLargeItemIsSettledHoweverItEnds(t *testing.T) {
	now := noon
	q := newQueue(t, func() time.Time { return now })
	// As large as an item may be, and each run says as much as it may, all of it escaped.
	it := &Item{ID: NewID(now), Message: strings.Repeat(`"`, (MaxItem-600)/2)}
	e, err := q.Publish(it, Dev, DefaultPriority)
	if err != nil {
		t.Fatal(err)
	}
	long := func(n int) Run { return Run{Run: n, Outcome: outcome.Failed, Summary: strings.Repeat("\x01", maxText)} }
	for n := 1; n < keepRuns; n++ {
		it.History = append(it.History, long(n))
	}
	for n := keepRuns; n <= keepRuns+1; n++ {
		if err := q.Notify(e, it, n, 4711, nil); err != nil {
			t.Fatal(err)
		}
		if err := q.Settle(e, it, Result{Run: long(n)}, Policy{MaxAttempts: 2}); err != nil {
			t.Fatalf("run %d: %v", n, err)
		}
		if it, err = q.Load(e); err != nil {
			t.Fatalf("run %d: %v", n, err)
		}
		if last := it.History[len(it.History)-1]; last.Run != n || len(last.Summary) != maxText {
			t.Fatalf("the last run is %d, not %d", last.Run, n)
		}
	}
	if it.State != Errored || len(it.Message) != (MaxItem-600)/2 {
		t.Errorf("%s, a message of %d bytes", it.State, len(it.Message))
	}
}

func TestItemThatIsTooLargeIsRefusedAndLeavesNothing(t *testing.T) {
	q := newQueue(t, time.Now)
	_, err := q.Publish(&Item{ID: NewID(noon), Message: strings.Repeat(`"`, MaxMessage)}, Dev, DefaultPriority)
	if err == nil || !strings.Contains(err.Error(), fmt.Sprint(MaxItem)) {
		t.Fatal(err)
	}
	for _, dir := range []string{q.Items, q.Events.New, q.Events.Undelivered} {
		if names, err := spool.List(dir); err != nil || len(names) > 0 {
			t.Errorf("%s: %v, %v", dir, names, err)
		}
	}
}

func TestHistoryKeepsTheLastRunsAndThoseInWhichAnAgentBegan(t *testing.T) {
	for _, tt := range []struct {
		name  string
		began []int // the first and the last run in which an agent began
		want  []int // of the runs that are kept the first two, and the last
	}{
		{"all alike", []int{0, 0}, []int{6, 7, 25}},
		{"an agent began long ago", []int{2, 2}, []int{2, 7, 25}},
		{"agents began until now", []int{1, 20}, []int{6, 7, 25}},
	} {
		now := noon
		q := newQueue(t, func() time.Time { return now })
		it := &Item{ID: NewID(now), Message: "m"}
		e, err := q.Publish(it, Dev, DefaultPriority)
		fatal(t, err)
		for n := 1; n <= keepRuns+5; n++ {
			r := Run{Run: n, Outcome: outcome.Void}
			if n >= tt.began[0] && n <= tt.began[1] {
				r.Outcome = outcome.UsageLimit
			}
			fatal(t, q.Notify(e, it, n, 4711, nil))
			fatal(t, q.Settle(e, it, Result{Run: r}, Policy{MaxAttempts: 3}))
		}
		it, err = q.Load(e)
		fatal(t, err)
		if got := []int{it.History[0].Run, it.History[1].Run, it.Last().Run}; len(it.History) != keepRuns || !slices.Equal(got, tt.want) {
			t.Errorf("%s: %d runs, %d, not %d", tt.name, len(it.History), got, tt.want)
		}
	}
}
