package tick

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kugetsu/contrib/quick"
	"kugetsu/queue"
	"kugetsu/queue/event"
	"kugetsu/queue/fault"
	"kugetsu/queue/ledger"
	"kugetsu/queue/outcome"
	"kugetsu/slots"
	"kugetsu/slots/agent"
	"kugetsu/tick/settings"
)

func init() {
	// This binary is the runner, too: one that takes its task and is gone. The test says how the run ended.
	if len(os.Args) == 3 && os.Args[1] == "run" {
		if _, err := io.Copy(io.Discard, os.NewFile(5, "gate")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		// Not os.Exit: with the race detector that takes a second.
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
}

func TestMain(m *testing.M) { os.Exit(quick.InMemory{M: m}.Run()) }

// newTick makes a tick on a folder of its own, with a clock.
func newTick(t *testing.T, now func() time.Time) *Tick {
	t.Helper()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, "queue", name) }
	tick := &Tick{
		Home: slots.Dir(dir), Now: now, Log: slog.New(slog.DiscardHandler), Source: settings.Open(dir, false),
		Queue: &queue.Queue{
			Dirs:   queue.Dirs{Items: at("items"), PM: at("pm"), Finished: at("finished"), Bad: at("bad")},
			Events: &event.Box{New: at("new"), Seen: at("seen"), Undelivered: at("owed"), Now: now},
			Ledger: &ledger.Ledger{Dir: filepath.Join(dir, "usage"), Now: now},
			Now:    now,
		},
		Settings: &settings.Settings{MaxAgents: 1, MaxAttempts: 3, RetryDelay: time.Minute, AgentCommand: "sh", CleanupDays: 36500},
	}
	must(t, tick.Home.Make())
	must(t, tick.Queue.Make())
	return tick
}

// publish enqueues an item for an issue of a number; 0 is the PM agent's. From 100 on they are of another repository.
func (t *Tick) publish(issue, priority int, notBefore *time.Time, after ...string) (string, error) {
	return t.publishFor([]string{"command"}, issue, priority, notBefore, after...)
}

func (t *Tick) publishFor(agents []string, issue, priority int, notBefore *time.Time, after ...string) (string, error) {
	it := &queue.Item{ID: queue.NewID(t.Now()), Message: "m", Mode: queue.Auto, PendingSince: t.Now(),
		NotBefore: notBefore, After: after, History: []queue.Run{}}
	it.SetAgents(agents)
	lane := queue.PM
	if issue > 0 {
		lane, it.IssueRef = queue.Dev, fmt.Sprintf("github.com/you/project#%d", issue)
		if issue >= otherRepo {
			it.IssueRef = fmt.Sprintf("github.com/you/other#%d", issue)
		}
	}
	_, err := t.Queue.Publish(it, lane, priority)
	return it.ID, err
}

// otherRepo is the first issue of the other repository.
const otherRepo = 100

// end ends the run of what was started.
func (t *Tick) end(s Started, how outcome.Outcome) error {
	session := sessionOf(&queue.Item{IssueRef: s.IssueRef})
	for _, lock := range []string{t.Home.SlotLock(s.Slot), t.Home.SessionLock(session)} { // as the kernel drops them
		for { // until the stand-in is gone
			locked, err := slots.Locked(lock)
			if err != nil {
				return err
			}
			if !locked {
				break
			}
			<-time.After(time.Millisecond)
		}
	}
	dir := t.Home.RunDir(slots.RunName(s.Item, s.Run))
	return os.Rename(filepath.Join(dir, "exit"), filepath.Join(dir, fmt.Sprintf("end.%s.0", how)))
}

// tellCost writes what a run reports of its cost, before it ends.
func (t *Tick) tellCost(s Started, how outcome.Outcome, cents int, at time.Time) error {
	data, err := json.Marshal(slots.Result{V: 1, Outcome: how, StartedAt: &at, EndedAt: at, Cost: &outcome.Cost{USD: float64(cents) / 100}})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(t.Home.RunDir(slots.RunName(s.Item, s.Run)), "result.json"), data, 0o600)
}

// ordered is what the model knows of an item.
type ordered struct {
	id        string
	issue     int // 0: the PM agent's
	priority  int
	agents    []string  // in the order in which they are asked
	agent     string    // that starts
	cents     int       // that a run costs
	ended     time.Time // of its newest run
	notBefore time.Time
	after     []*ordered
	failures  int // runs that fail before the last
	last      outcome.Outcome
	state     queue.State
	attempts  int
}

// inVain: an item that it waits for is an error, or will be one without a run.
func (o *ordered) inVain() bool {
	return o.state == queue.Pending && slices.ContainsFunc(o.after, func(d *ordered) bool { return d.state == queue.Errored || d.inVain() })
}

// outcome is how the item's next run ends.
func (o *ordered) outcome() outcome.Outcome {
	if o.attempts < o.failures {
		return outcome.Failed
	}
	return o.last
}

// settle is what the end of a run makes of an item.
func (o *ordered) settle() {
	how := o.outcome()
	o.attempts++
	switch {
	case how == outcome.OK:
		o.state = queue.Completed
	case how == outcome.Denied || o.attempts == 3:
		o.state = queue.Errored
	default: // the wait is this long at least; see spread
		o.state, o.notBefore = queue.Pending, o.ended.Add(time.Minute<<(o.attempts-1))
	}
}

// spread takes over how long an item waits for its next attempt: up to a quarter longer.
func (o *ordered) spread(t *rapid.T, tick *Tick) {
	_, it, err := tick.item(o.id)
	if err != nil || it.NotBefore == nil || it.NotBefore.Before(o.notBefore) || it.NotBefore.Sub(o.ended) > o.notBefore.Sub(o.ended)*5/4 {
		t.Fatalf("%s waits until %s at least: %+v, %v", o.id, o.notBefore, it, err)
	}
	o.notBefore = *it.NotBefore
}

// limits is what the model knows of all that limits starts, beside the slots.
type limits struct {
	*settings.Settings
	other int       // runs at work on the other repository
	begun []used    // runs, by when they were handed over
	spent []used    // what they cost, by when they ended
	quota time.Time // until then claude has less left than is kept; the zero time: never
}

// left is how many runs may begin, of an agent or, with "", of all.
func (l *limits) left(agent string, now time.Time, most int, dollars settings.Dollars) int {
	if most == 0 {
		most = 1 << 20
	}
	cents := 0.0
	for _, u := range l.begun {
		if now.Sub(u.at) < 24*time.Hour && (agent == "" || u.agent == agent) {
			most--
		}
	}
	for _, u := range l.spent {
		if now.Sub(u.at) < 24*time.Hour && (agent == "" || u.agent == agent) {
			cents += u.usd * 100
		}
	}
	if dollars > 0 && cents >= float64(dollars)*100-0.001 {
		return 0
	}
	return most
}

// all is how many runs of any agent may begin.
func (l *limits) all(now time.Time) int { return l.left("", now, l.MaxRuns, l.MaxCost) }

// predict is which items a pass starts, and with which agent: of those sorted by priority and age the first that are eligible, as
// long as there is a slot, within the hours and budgets, and as no more of an agent, or on the other repository, are at work than may.
func (l *limits) predict(items []*ordered, now time.Time) (first []*ordered) {
	if !l.RunHours.Open(now) {
		return nil
	}
	slices.SortFunc(items, func(a, b *ordered) int {
		return cmp.Or(min(a.issue, 1)*-1+min(b.issue, 1), a.priority-b.priority, strings.Compare(a.id, b.id)) // the PM agent's last
	})
	free, other := map[bool]int{true: l.MaxAgents, false: 1}, l.other
	started := func(agent string) (n int) {
		for _, f := range first {
			if f.agent == agent {
				n++
			}
		}
		return n
	}
	may := func(agent string) bool {
		runs, cost := l.BudgetOf(agent)
		most := l.MaxOf(agent)
		return l.HoursOf(agent).Open(now) && (most == 0 || started(agent) < most) && started(agent) < l.left(agent, now, runs, cost) &&
			(agent != "claude" || !now.Before(l.quota))
	}
	for _, o := range items {
		busy := slices.ContainsFunc(first, func(f *ordered) bool { return f.issue == o.issue })
		waits := slices.ContainsFunc(o.after, func(d *ordered) bool { return d.state != queue.Completed })
		capped := len(first) >= l.all(now) || o.issue >= otherRepo && other == 0
		if o.state != queue.Pending || now.Before(o.notBefore) || busy || waits || capped || free[o.issue > 0] == 0 {
			continue
		}
		n := slices.IndexFunc(o.agents, may)
		if n < 0 {
			continue
		}
		o.agent = o.agents[n]
		first = append(first, o)
		if o.issue >= otherRepo {
			other--
		}
		free[o.issue > 0]--
	}
	return first
}

// changes is when something of this changes next after a time; the zero time for never.
func (l *limits) changes(items []*ordered, now time.Time) (next time.Time) {
	consider := func(at time.Time) {
		if at.After(now) && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	waits := false
	for _, o := range items {
		if o.state == queue.Pending {
			waits = true
			consider(o.notBefore)
		}
	}
	if !waits {
		return next
	}
	for _, u := range slices.Concat(l.begun, l.spent) {
		consider(u.at.Add(24 * time.Hour))
	}
	consider(l.quota)
	for _, hours := range []settings.Hours{l.RunHours, l.HoursClaude} {
		if !hours.Open(now) {
			consider(hours.Next(now))
		}
	}
	return next
}

// fewChecks sets the number of checks of a test that syncs thousands of files, unless a number is given.
func fewChecks(t *testing.T, n string) {
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue {
		must(t, checks.Value.Set(n))
		t.Cleanup(func() { must(t, checks.Value.Set(checks.DefValue)) })
	}
}

// An item starts when it is the first by priority and age of those that may: with 200 random ones, of which some wait for
// a time or for others, some fail, some get another priority, some come late, and some have a choice of agents, which have caps,
// hours, budgets of runs and dollars, and a reserve of their quota. The runner is a stand-in, all else is
// real.
func TestOrderOfStartsIsThatOfASimpleModel(t *testing.T) {
	fewChecks(t, "1")
	rapid.Check(t, func(rt *rapid.T) {
		const many = 200
		now := time.Date(2026, 4, 5, 12, 0, 0, 0, time.UTC)
		begin := now
		tick := newTick(t, func() time.Time { return now })
		tick.Settings.MaxAgents = rapid.IntRange(1, 3).Draw(rt, "places")
		tick.Settings.MaxCommand = rapid.IntRange(1, 4).Draw(rt, "of the agent")
		tick.Settings.MaxRuns = rapid.IntRange(60, 400).Draw(rt, "runs a day")
		tick.Settings.MaxRunsCommand = rapid.IntRange(60, 400).Draw(rt, "runs a day of the agent")
		tick.Settings.MaxClaude = rapid.IntRange(0, 2).Draw(rt, "of claude")
		tick.Settings.MaxRunsClaude = rapid.IntRange(10, 100).Draw(rt, "runs a day of claude")
		tick.Settings.MaxCost = settings.Dollars(rapid.IntRange(20, 200).Draw(rt, "dollars a day"))
		tick.Settings.MaxCostClaude = settings.Dollars(rapid.IntRange(5, 50).Draw(rt, "dollars a day of claude"))
		tick.Settings.AgentPrefix = "sh" // every agent is there
		l := &limits{Settings: tick.Settings, other: rapid.IntRange(1, 3).Draw(rt, "of the repository")}
		tick.Settings.Reserve = "20"
		window := agent.Window{Name: "five_hour", Used: rapid.SampledFrom([]float64{85, 60, 100}).Draw(rt, "used"), At: begin,
			Reset: begin.Add(rapid.SampledFrom([]time.Duration{90, 3, 300}).Draw(rt, "minutes to the reset") * time.Minute)}
		for _, lane := range queue.Lanes {
			told(t, tick, "claude", lane, window)
		}
		if window.Used > 80 {
			l.quota = window.Reset
		}
		if err := os.WriteFile(filepath.Join(string(tick.Home), "repos.json"), fmt.Appendf(nil, `{"github.com/you/other": {"max": %d}}`, l.other), 0o600); err != nil {
			rt.Fatal(err)
		}
		if rapid.Bool().Draw(rt, "hours") {
			clock := func(minutes int) string {
				return begin.Add(time.Duration(minutes) * time.Minute).Local().Format("15:04")
			}
			if err := tick.Settings.RunHours.UnmarshalText([]byte(clock(0) + "-" + clock(2) + ", " + clock(7) + "-" + clock(60*23))); err != nil {
				rt.Fatal(err)
			}
		}
		if rapid.Bool().Draw(rt, "hours of claude") {
			at := func(minutes int) string {
				return begin.Add(time.Duration(minutes) * time.Minute).Local().Format("15:04")
			}
			if err := tick.Settings.HoursClaude.UnmarshalText([]byte(at(5) + "-" + at(0))); err != nil {
				rt.Fatal(err)
			}
		}
		check := func(err error) {
			rt.Helper()
			if err != nil {
				rt.Fatal(err)
			}
		}
		var items []*ordered
		publish := func() {
			o := &ordered{
				issue: rapid.IntRange(0, 120).Draw(rt, "issue"), priority: rapid.IntRange(48, 52).Draw(rt, "priority"), state: queue.Pending,
				agents:   rapid.SampledFrom([][]string{{"command"}, {"command"}, {"claude"}, {"claude", "command"}, {"command", "claude"}, {"claude", "codex", "command"}}).Draw(rt, "agents"),
				cents:    rapid.IntRange(0, 80).Draw(rt, "cents"),
				last:     rapid.SampledFrom([]outcome.Outcome{outcome.OK, outcome.OK, outcome.OK, outcome.OK, outcome.Denied}).Draw(rt, "outcome"),
				failures: max(0, rapid.IntRange(-12, 3).Draw(rt, "failures")),
			}
			var notBefore *time.Time
			if minutes := rapid.IntRange(-40, 20).Draw(rt, "minutes"); minutes > 0 {
				o.notBefore = begin.Add(time.Duration(minutes) * time.Minute)
				notBefore = &o.notBefore
			}
			var ids []string
			for range max(0, rapid.IntRange(-4, 2).Draw(rt, "dependencies")) {
				if len(items) > 0 {
					d := rapid.SampledFrom(items).Draw(rt, "dependency")
					o.after, ids = append(o.after, d), append(ids, d.id)
				}
			}
			var err error
			o.id, err = tick.publishFor(o.agents, o.issue, o.priority, notBefore, ids...)
			check(err)
			items = append(items, o)
		}
		for range many / 2 {
			publish()
		}
		var running []*ordered
		for passes := 0; ; passes++ {
			for n := rapid.IntRange(0, 6).Draw(rt, "late"); n > 0 && len(items) < many; n-- {
				publish()
			}
			if o := rapid.SampledFrom(items).Draw(rt, "moved"); !o.state.Settled() && !o.inVain() {
				o.priority = rapid.IntRange(0, 99).Draw(rt, "new priority")
				check(tick.Prioritize(context.Background(), o.id, o.priority))
			}
			for _, o := range running {
				o.settle()
			}
			want := l.predict(items, now)
			if rapid.Bool().Draw(rt, "looked") { // with nothing left to settle: what a pass settles changes what it starts
				check(tick.Locked(context.Background(), 0, func() error {
					_, err := tick.reconcile(context.Background(), &Report{})
					return err
				}))
				checkForeseen(rt, tick, want)
			}
			report, err := tick.Run(context.Background(), 0)
			check(err)
			if got := started(report); !slices.Equal(got, idsOf(want)) {
				rt.Fatalf("pass %d started %v, not %v", passes, got, idsOf(want))
			}
			for _, o := range running {
				if o.state == queue.Pending {
					o.spread(rt, tick)
				}
			}
			for n, o := range want {
				l.begun = append(l.begun, used{agent: o.agent, at: now})
				if o.cents > 0 {
					l.spent = append(l.spent, used{agent: o.agent, at: now, usd: float64(o.cents) / 100})
				}
				o.state, o.ended = queue.Notified, now
				if _, it, err := tick.item(o.id); err != nil || it.Agent != o.agent {
					rt.Fatalf("%s runs with %s, not %s of %v: %v", o.id, it.Agent, o.agent, o.agents, err)
				}
				check(tick.tellCost(report.Started[n], o.outcome(), o.cents, now))
				check(tick.end(report.Started[n], o.outcome()))
			}
			if len(want) == 0 && tick.Settings.RunHours.Open(now) && l.all(now) > 0 { // all were met
				checkInVain(rt, tick, items)
			}
			running = want
			if len(running) > 0 || len(items) < many {
				now = now.Add(time.Second)
				continue
			}
			// Nothing runs: go on when the next one's time has come, be it within the second.
			next := l.changes(items, now)
			if next.IsZero() {
				break
			}
			now = next
		}
		for _, o := range items {
			if o.state == queue.Pending {
				rt.Fatalf("%s was never started: %+v", o.id, o)
			}
			if _, it, err := tick.item(o.id); err != nil || it.State != o.state {
				rt.Fatalf("%s: %v, %+v, not %s", o.id, err, it, o.state)
			}
		}
	})
}

// checkInVain makes sure that everything which waits in vain is filed as an error, and takes it for one from here on.
func checkInVain(t *rapid.T, tick *Tick, items []*ordered) {
	var lost []*ordered
	for _, o := range items {
		if o.inVain() {
			lost = append(lost, o)
		}
	}
	for _, o := range lost {
		e, it, err := tick.item(o.id)
		if err != nil || it.State != queue.Errored || filepath.Dir(e.Path) != tick.Queue.Finished || !strings.HasPrefix(*it.Error, "dependency: ") {
			t.Fatalf("%s waits in vain: %s, %+v, %v", o.id, e.Path, it, err)
		}
		o.state = queue.Errored
	}
}

// checkForeseen makes sure that a snapshot and the dry run say of each item that waits what the next pass does.
func checkForeseen(t *rapid.T, tick *Tick, starts []*ordered) {
	agents, want := map[string]string{}, idsOf(starts)
	for _, o := range starts {
		agents[o.id] = o.agent
	}
	view, err := tick.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	foreseen, planned := []string{}, []string{}
	for _, w := range view.Waiting {
		if w.Kind == Eligible {
			foreseen = append(foreseen, w.Item)
			if agents[w.Item] != w.Agent {
				t.Fatalf("status foresees %s with %s, and a pass starts it with %q", w.Item, w.Agent, agents[w.Item])
			}
		} else if code := fault.Code(w.reason.refusal()); code != w.reason.Code() || code == 0 {
			t.Fatalf("%s does not start, and the exit code is %d: %+v", w.Item, code, w)
		} else if view.WhyNot(w) == "" {
			t.Fatalf("%s does not start, and no reason is given: %+v", w.Item, w)
		}
	}
	for _, line := range view.Plan() {
		if words := strings.Fields(line); words[1] == "start" {
			planned = append(planned, words[2])
		}
	}
	if !slices.Equal(foreseen, want) || !slices.Equal(planned, want) {
		t.Fatalf("status foresees %v, the dry run %v, and a pass starts %v", foreseen, planned, want)
	}
}

func started(r Report) []string {
	ids := []string{}
	for _, s := range r.Started {
		ids = append(ids, s.Item)
	}
	return ids
}

func idsOf(items []*ordered) []string {
	ids := []string{}
	for _, o := range items {
		ids = append(ids, o.id)
	}
	return ids
}
