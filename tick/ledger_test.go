package tick

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kugetsu/queue"
	"kugetsu/queue/ledger"
	"kugetsu/queue/outcome"
	"kugetsu/queue/spool"
	"kugetsu/slots"
)

// counted is what the model knows of a run that was settled, or whose settle got as far as the ledger.
type counted struct {
	item    string
	outcome outcome.Outcome
	cost    float64
	settled bool // the item says so, too
}

// books settles runs, dies while it does, clears items and loses files of the ledger, in any order.
type books struct {
	*Tick
	now     time.Time
	n       int
	open    map[string]outcome.Outcome // of the runs that ended and are not settled
	runs    map[string]*counted
	settled []string // items in finished/
	lost    []string // broken lines whose runs nothing else knows
}

func (m *books) check(t *rapid.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Run lets an item run until its end.
func (m *books) Run(t *rapid.T) {
	if len(m.open) > 3 {
		t.Skip("enough")
	}
	m.n++
	id, err := m.publish(m.n, 50, nil)
	m.check(t, err)
	m.end(t, id)
}

// Again lets an item run again that is pending after a failure, or that is retried.
func (m *books) Again(t *rapid.T) {
	entries, err := m.Queue.Live(queue.Dev)
	m.check(t, err)
	for _, e := range entries {
		if it, err := m.Queue.Load(e); err == nil && it.State == queue.Pending {
			m.end(t, it.ID)
			return
		}
	}
	if len(m.settled) == 0 {
		t.Skip("none")
	}
	m.Settle(t) // a retry does that as well
	id := m.settled[0]
	_, err = m.Retry(context.Background(), id, func(*queue.Item) error { return nil })
	m.check(t, err)
	m.settled = m.settled[1:]
	m.end(t, id)
}

func (m *books) end(t *rapid.T, id string) {
	e, it, err := m.item(id)
	m.check(t, err)
	in := slots.Intent{Item: id, Run: it.Runs + 1, Session: sessionOf(it), File: filepath.Base(e.Path)}
	slot := 1
	for ; ; slot++ {
		if taken, err := m.Home.ReadIntent(fmt.Sprint(slot)); err != nil {
			t.Fatal(err)
		} else if taken == nil {
			break
		}
	}
	m.check(t, m.Home.WriteIntent(fmt.Sprint(slot), in))
	m.check(t, m.Home.ClaimRun(in.RunName()))
	m.check(t, m.Queue.Notify(e, it, in.Run, 1<<22+1, nil))
	m.now = m.now.Add(time.Duration(rapid.IntRange(0, 300).Draw(t, "minutes")) * time.Minute) // runs end on another day than they began
	how := rapid.SampledFrom([]outcome.Outcome{outcome.OK, outcome.Failed, outcome.Denied, outcome.Void}).Draw(t, "outcome")
	dir := m.Home.RunDir(in.RunName())
	if rapid.IntRange(0, 3).Draw(t, "report") > 0 {
		began := m.now.Add(-time.Minute)
		data, err := json.Marshal(slots.Result{V: 1, Outcome: how, StartedAt: &began, EndedAt: m.now, Cost: &outcome.Cost{USD: m.cost(in.RunName(), true)}})
		m.check(t, err)
		m.check(t, spool.Write(filepath.Join(dir, "result.json"), data))
	}
	m.check(t, os.Rename(filepath.Join(dir, "exit"), filepath.Join(dir, fmt.Sprintf("end.%s.0", how))))
	m.open[in.RunName()] = how
}

// cost is another for each run, and 0 where it left no report.
func (m *books) cost(run string, report bool) float64 {
	if !report {
		return 0
	}
	return float64(queue.IDTime(ledger.ItemOf(run)).Unix()%1000) + float64(len(run))/100
}

// pass settles what ended.
func (m *books) pass(t *rapid.T) {
	m.check(t, m.Locked(context.Background(), 0, func() error {
		_, err := m.reconcile(context.Background(), &Report{})
		return err
	}))
	for run, how := range m.open {
		m.count(t, run, how, true)
	}
}

func (m *books) count(t *rapid.T, run string, how outcome.Outcome, settled bool) {
	_, err := os.Stat(filepath.Join(m.Home.RunDir(run), "result.json"))
	m.runs[run] = &counted{item: ledger.ItemOf(run), outcome: how, cost: m.cost(run, err == nil), settled: settled}
}

// Settle is a pass.
func (m *books) Settle(t *rapid.T) {
	m.pass(t)
	for run := range m.open {
		if e, it, err := m.item(ledger.ItemOf(run)); err != nil {
			t.Fatal(err)
		} else if _, live := m.Queue.Lane(e); !live && it.State.Settled() {
			m.settled = append(m.settled, it.ID)
		}
	}
	m.open = map[string]outcome.Outcome{}
}

// Die is a pass that is killed after the ledger was written and before any item was: the items and slots are as they were.
func (m *books) Die(t *rapid.T) {
	before := map[string][]byte{}
	for _, dir := range []string{m.Queue.Items, filepath.Join(string(m.Home), "slots")} {
		names, err := spool.List(dir)
		m.check(t, err)
		for _, name := range names {
			if data, err := os.ReadFile(filepath.Join(dir, name)); err == nil && strings.HasSuffix(name, ".json") {
				before[filepath.Join(dir, name)] = data
			}
		}
	}
	m.pass(t)
	for path, data := range before {
		if filed := filepath.Join(m.Queue.Finished, filepath.Base(path)); filepath.Dir(path) == m.Queue.Items {
			m.check(t, spool.Unlink(filed))
		}
		m.check(t, spool.Write(path, data))
	}
	for run, how := range m.open {
		m.count(t, run, how, false)
	}
	m.now = m.now.Add(time.Duration(rapid.IntRange(0, 30).Draw(t, "hours")) * time.Hour)
}

// Clear clears the settled items.
func (m *books) Clear(t *rapid.T) {
	m.now = m.now.Add(time.Second)
	var n int
	m.check(t, m.Locked(context.Background(), 0, func() (err error) { n, err = m.Tick.Clear(m.now); return err }))
	if n != len(m.settled) {
		t.Fatalf("%d items were cleared, not %d", n, len(m.settled))
	}
	m.settled = nil
}

// Tear leaves a part of a line at the end of a day, as a power cut does.
func (m *books) Tear(t *rapid.T) {
	if path := m.day(t); path != "" {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		m.check(t, err)
		_, err = f.WriteString(`{"v":1,"run":"q_`)
		m.check(t, err)
		m.check(t, f.Close())
	}
}

// Lose removes the file of a day. Its runs are known from the items alone from then on.
func (m *books) Lose(t *rapid.T) {
	path := m.day(t)
	if path == "" {
		t.Skip("none")
	}
	data, err := os.ReadFile(path)
	m.check(t, err)
	m.check(t, os.Remove(path))
	for run, c := range m.runs {
		if _, _, err := m.item(c.item); strings.Contains(string(data), run+`"`) && !m.elsewhere(t, path, run) && (!c.settled || queue.IsAbsent(err)) {
			delete(m.runs, run)
		}
	}
}

// Damage changes a byte in a line. Where another line has its run, or its item says so, nothing is lost; else the line is quarantined.
func (m *books) Damage(t *rapid.T) {
	path := m.day(t)
	if path == "" {
		t.Skip("none")
	}
	data, err := os.ReadFile(path)
	m.check(t, err)
	lines := strings.SplitAfter(string(data), "\n")
	n := rapid.IntRange(0, len(lines)-1).Draw(t, "line")
	line := strings.TrimSuffix(lines[n], "\n")
	lines[n] = strings.Replace(lines[n], `"outcome":`, `"outcome";`, 1)
	if line == "" || strings.Join(lines, "") == string(data) {
		t.Skip("no record")
	}
	m.check(t, os.WriteFile(path, []byte(strings.Join(lines, "")), 0o600))
	name := strings.Split(line, `"`)[5] // {"v":1,"run":"…"
	for i, other := range lines {
		if i != n && strings.Contains(other, name+`"`) && strings.Contains(other, `"outcome":`) {
			return
		}
	}
	c := m.runs[name]
	if c != nil && c.settled {
		if _, _, err := m.item(c.item); !queue.IsAbsent(err) {
			return
		}
	}
	m.lost = append(m.lost, name) // only the lines of the same day and the items are asked
	if !m.elsewhere(t, path, name) {
		delete(m.runs, name)
	}
}

// elsewhere says whether another day than that of path has a run, too. An item does not know when a run of its history was handed over,
// so a lost day is rebuilt in part on a later day; a pass that was killed then settles the run again, on its own day.
func (m *books) elsewhere(t *rapid.T, path, run string) bool {
	days, err := filepath.Glob(filepath.Join(m.Queue.Ledger.Dir, "2*.jsonl"))
	m.check(t, err)
	for _, other := range days {
		if other == path {
			continue
		}
		data, err := os.ReadFile(other)
		m.check(t, err)
		for line := range strings.Lines(string(data)) {
			if strings.Contains(line, run+`"`) && strings.Contains(line, `"outcome":`) {
				return true
			}
		}
	}
	return false
}

func (m *books) day(t *rapid.T) string {
	days, err := filepath.Glob(filepath.Join(m.Queue.Ledger.Dir, "2*.jsonl"))
	m.check(t, err)
	if len(days) == 0 {
		return ""
	}
	return rapid.SampledFrom(days).Draw(t, "day")
}

// Check cleans up, as the next pass does, and compares the ledger with the model.
func (m *books) Check(t *rapid.T) {
	m.check(t, m.Queue.KeepLedger())
	runs, err := m.Queue.Ledger.Since(time.Time{})
	m.check(t, err)
	got, want := []string{}, []string{}
	for _, r := range runs {
		cost := 0.0
		if r.Cost != nil {
			cost = r.Cost.USD
		}
		got = append(got, fmt.Sprintf("%s %s %.2f", r.Name, r.Outcome, cost))
	}
	for run, c := range m.runs {
		want = append(want, fmt.Sprintf("%s %s %.2f", run, c.outcome, c.cost))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Fatalf("the ledger has\n%s\nand not\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	m.checkLost(t)
}

// checkLost makes sure that what is lost, and nothing else, is quarantined.
func (m *books) checkLost(t *rapid.T) {
	files, err := filepath.Glob(filepath.Join(m.Queue.Bad, "usage.*"))
	m.check(t, err)
	var bad []string
	for _, path := range files {
		data, err := os.ReadFile(path)
		m.check(t, err)
		for line := range strings.Lines(string(data)) {
			bad = append(bad, strings.Split(line, `"`)[5])
		}
	}
	slices.Sort(bad)
	slices.Sort(m.lost)
	if !slices.Equal(slices.Compact(bad), slices.Compact(slices.Clone(m.lost))) {
		t.Fatalf("quarantined are the lines of\n%s\nand not\n%s", strings.Join(bad, "\n"), strings.Join(m.lost, "\n"))
	}
}

// Settles, crashes after the ledger was written, clears, retries, torn and damaged lines and lost files, in any order: every run that was
// settled is in the ledger once, unless its line and its item are both gone. Then its line is quarantined, if there is one.
func TestLedgerCountsEveryRunOnceWhateverHappensBetween(t *testing.T) {
	checks := "30"
	if testing.Short() {
		checks = "10"
	}
	fewChecks(t, checks)
	rapid.Check(t, func(rt *rapid.T) {
		m := &books{now: noon, open: map[string]outcome.Outcome{}, runs: map[string]*counted{}}
		m.Tick = newTick(t, func() time.Time { return m.now })
		m.Settings.RetryDelay = 0
		rt.Repeat(rapid.StateMachineActions(m))
	})
}
