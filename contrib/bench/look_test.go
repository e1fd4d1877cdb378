package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kugetsu/contrib/internal/rig"
	"kugetsu/queue"
	"kugetsu/queue/event"
	"kugetsu/queue/ledger"
	"kugetsu/queue/outcome"
	"kugetsu/slots"
)

// BenchmarkStatus prints what the first screen costs more where 10,000 items wait and 10,000 ended than in an empty folder.
func BenchmarkStatus(b *testing.B) {
	empty, full := folder(b, 0, 0), folder(b, 10_000, 10_000)
	few, many := compare(b, empty, full, "status")
	for _, want := range []string{"10000 tasks waiting", "and 9990 more: kugetsu queue list", "0 of 3 slots occupied, 10000 waiting", "\nDONE "} {
		if !strings.Contains(many.printed, want) {
			b.Fatalf("status does not say %q:\n%s", want, many.printed)
		}
	}
	report(b, few, many)
}

// BenchmarkStats prints what the sums of 50,000 items cost.
func BenchmarkStats(b *testing.B) {
	empty, full := folder(b, 0, 0), folder(b, 10_000, 40_000)
	few, many := compare(b, empty, full, "queue", "stats")
	for _, want := range []string{"pending    10000\n", "completed  40000\n", ": 40000 runs, 100% succeeded"} {
		if !strings.Contains(many.printed, want) {
			b.Fatalf("queue stats does not say %q:\n%s", want, many.printed)
		}
	}
	report(b, few, many)
}

// state is a state folder.
type state struct {
	testing.TB
	home string
	q    *queue.Queue
	now  time.Time
}

// folder makes a state folder in which so many items wait and so many completed, in six days. One item of each kind is made by the
// queue itself. The others are copies: each transition of tens of thousands of items would wait for the disk.
func folder(tb testing.TB, waiting, completed int) *state {
	tb.Helper()
	now := time.Now().UTC().Truncate(time.Second)
	step := 6 * 24 * time.Hour / time.Duration(waiting+completed+1)
	s := &state{TB: tb, home: tb.TempDir(), now: now.Add(-step * time.Duration(waiting+completed))}
	clock := func() time.Time { return s.now }
	in := func(names ...string) string { return filepath.Join(append([]string{s.home}, names...)...) }
	home := slots.Dir(s.home)
	s.q = &queue.Queue{Dirs: queue.Dirs{Items: in("queue", "items"), PM: in("queue", "pm"), Finished: in("queue", "finished"), Bad: in("queue", "bad")},
		Events: &event.Box{New: in("notifications", "new"), Seen: in("notifications", "seen"), Undelivered: in("notifications", "owed"), Now: clock},
		Ledger: &ledger.Ledger{Dir: home.Usage(), Now: clock}, Now: clock}
	s.must(home.Make(), s.q.Make(), os.WriteFile(in("config"), []byte("KUGETSU_AGENT=command\nAGENT_COMMAND=true\nAGENT_MEMORY=0\nMIN_FREE_DISK=0\n"), 0o600),
		os.WriteFile(in("scheduled"), nil, 0o600))
	if completed > 0 {
		e, it := s.enqueue()
		began := s.now
		s.must(s.q.Notify(e, it, 1, 1, nil))
		r := queue.Result{Slot: "1", Run: queue.Run{Run: 1, StartedAt: &began, EndedAt: began.Add(time.Second), Outcome: outcome.OK, Summary: "The basket keeps what is in it."}}
		s.must(s.q.Settle(e, it, r, queue.Policy{MaxAttempts: 3, RetryDelay: time.Minute}))
		e, err := s.q.File(e)
		s.must(err)
		s.copies(e, it, completed-1, step)
	}
	if waiting > 0 {
		e, it := s.enqueue()
		s.copies(e, it, waiting-1, step)
	}
	s.must(os.RemoveAll(home.Usage()), os.Mkdir(home.Usage(), 0o700), s.q.KeepLedger()) // of all items
	return s
}

func (s *state) must(errs ...error) {
	s.Helper()
	if err := errors.Join(errs...); err != nil {
		s.Fatal(err)
	}
}

func (s *state) enqueue() (queue.Entry, *queue.Item) {
	s.Helper()
	it := &queue.Item{ID: queue.NewID(s.now), IssueRef: "github.com/you/shop#1", Agent: "command", Mode: queue.Auto, PendingSince: s.now, After: []string{}, History: []queue.Run{},
		Message: "Repair the basket.\n\nIt forgets what is in it when the page is loaded again: put something into it, and reload."}
	e, err := s.q.Publish(it, queue.Dev, queue.DefaultPriority)
	s.must(err)
	return e, it
}

// copies writes an item n times more, each time with another id and issue and a step later.
func (s *state) copies(e queue.Entry, it *queue.Item, n int, step time.Duration) {
	s.Helper()
	s.must(os.Chtimes(e.Path, s.now, s.now))
	old := it.ID
	for i := range n {
		s.now = s.now.Add(step)
		it.ID, it.IssueRef, it.PendingSince = queue.NewID(s.now), fmt.Sprintf("github.com/you/shop#%d", i+2), s.now
		if it.CompletedAt != nil {
			it.CompletedAt, it.History[0].StartedAt, it.History[0].EndedAt = &s.now, &s.now, s.now.Add(time.Second)
		}
		data, err := json.MarshalIndent(it, "", "  ")
		path := strings.Replace(e.Path, old, it.ID, 1)
		s.must(err, os.WriteFile(path, data, 0o600), os.Chtimes(path, s.now, s.now))
	}
}

// cost is what a command costs: the CPU time of user and system, which a busy machine changes less than the time on the wall.
type cost struct {
	cpu, wall []time.Duration
	printed   string
}

// compare runs a command in two folders in turns.
func compare(b *testing.B, one, other *state, args ...string) (of, ofOther cost) {
	program := rig.Kugetsu(b)
	for b.Loop() { // which makes the folders once, unlike b.N
		of.measure(b, program, one.home, args...)
		ofOther.measure(b, program, other.home, args...)
	}
	return of, ofOther
}

func (c *cost) measure(b testing.TB, program, home string, args ...string) {
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "KUGETSU_DIR="+home)
	begin := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		b.Fatalf("kugetsu %q: %v\n%s", args, err, out)
	}
	c.wall = append(c.wall, time.Since(begin))
	c.cpu = append(c.cpu, cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
	c.printed = string(out)
}

// report prints the medians of a command in the empty and in the full folder, and what the full one costs more.
func report(b *testing.B, empty, full cost) {
	for _, c := range []*cost{&empty, &full} {
		slices.Sort(c.cpu)
		slices.Sort(c.wall)
	}
	b.ReportMetric(ms(empty.cpu, 50), "ms-cpu/empty")
	b.ReportMetric(ms(full.cpu, 50), "ms-cpu/full")
	b.ReportMetric(ms(full.cpu, 50)-ms(empty.cpu, 50), "ms-cpu/more")
	b.ReportMetric(ms(full.wall, 50)-ms(empty.wall, 50), "ms-wall/more")
	b.ReportMetric(0, "ns/op") // both together: says nothing here
}
