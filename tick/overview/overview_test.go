package overview

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kugetsu/contrib/quick"
	"kugetsu/queue"
	"kugetsu/queue/event"
	"kugetsu/queue/fault"
	"kugetsu/queue/ledger"
	"kugetsu/queue/outcome"
	"kugetsu/slots"
	"kugetsu/tick"
	"kugetsu/tick/settings"
)

func TestMain(m *testing.M) { os.Exit(quick.InMemory{M: m}.Run()) }

// folder is a state folder with a clock that a test sets.
type folder struct {
	*testing.T
	*tick.Tick
	now time.Time
}

func newFolder(t *testing.T) *folder {
	t.Helper()
	f := &folder{T: t, now: time.Now().UTC().Truncate(time.Second)}
	home := t.TempDir()
	t.Setenv("AGENT_COMMAND", "true")
	s, source, err := settings.Load(home, true)
	if err != nil {
		t.Fatal(err)
	}
	s.Agent, s.AgentMemory, s.MinFreeDisk = "command", 0, 0
	clock := func() time.Time { return f.now }
	in := func(names ...string) string { return filepath.Join(append([]string{home}, names...)...) }
	q := &queue.Queue{Dirs: queue.Dirs{Items: in("queue", "items"), PM: in("queue", "pm"), Finished: in("queue", "finished"), Bad: in("queue", "bad")},
		Events: &event.Box{New: in("notifications", "new"), Seen: in("notifications", "seen"), Undelivered: in("notifications", "owed"), Now: clock},
		Ledger: &ledger.Ledger{Dir: slots.Dir(home).Usage(), Now: clock}, Now: clock}
	f.Tick = &tick.Tick{Home: slots.Dir(home), Queue: q, Settings: s, Source: source, Now: clock, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	f.must(f.Home.Make())
	f.must(q.Make())
	return f
}

func (f *folder) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// enqueue publishes an item for issue n of you/shop.
func (f *folder) enqueue(n int, message string) (queue.Entry, *queue.Item) {
	f.Helper()
	it := &queue.Item{ID: queue.NewID(f.now), IssueRef: fmt.Sprintf("github.com/you/shop#%d", n), Agent: "command", Message: message, Mode: "auto",
		PendingSince: f.now, After: []string{}, History: []queue.Run{}}
	e, err := f.Queue.Publish(it, queue.Dev, queue.DefaultPriority)
	f.must(err)
	return e, it
}

// settle lets an item run, end with this result a minute later, and be filed.
func (f *folder) settle(e queue.Entry, it *queue.Item, r queue.Result) queue.Entry {
	f.Helper()
	began := f.now
	f.must(f.Queue.Notify(e, it, it.Runs+1, 1, nil))
	f.now = f.now.Add(time.Minute)
	r.Run.Run, r.StartedAt, r.EndedAt = it.Runs, &began, f.now
	f.must(f.Queue.Settle(e, it, r, queue.Policy{MaxAttempts: 1, RetryDelay: time.Minute}))
	e, err := f.Queue.File(e)
	f.must(err)
	f.must(os.Chtimes(e.Path, f.now, f.now)) // the clock of the test, not of the disk
	return e
}

func ended(o outcome.Outcome, summary string) queue.Result {
	return queue.Result{Run: queue.Run{Outcome: o, Summary: summary}}
}

func (f *folder) read() *Overview {
	f.Helper()
	o, err := Read(f.Tick, 20)
	f.must(err)
	if _, err := json.Marshal(o); err != nil {
		f.Fatal(err)
	}
	return o
}

// shown is what an overview says of its needs: id, what, why and command.
func shown(o *Overview) string {
	var b strings.Builder
	for _, n := range o.Needs {
		fmt.Fprintf(&b, "%s | %s | %s | %s\n", n.Kind, n.What, n.Why, n.Command)
	}
	return b.String()
}

func TestOverviewOfAnEmptyFolderIsHealthy(t *testing.T) {
	o := newFolder(t).read()
	if !o.Healthy || o.Sentence != "all is well: nothing runs, nothing waits" || len(o.Needs) != 0 {
		t.Errorf("%q\n%s", o.Sentence, shown(o))
	}
}

func TestOverviewSaysWhatAnEveningOfFailuresNeeds(t *testing.T) {
	f := newFolder(t)
	var last *queue.Item
	for n := range 5 {
		e, it := f.enqueue(n+1, "do it")
		if n < 3 {
			f.settle(e, it, ended(outcome.Failed, "the tests fail"))
		} else {
			f.settle(e, it, ended(outcome.Timeout, "took longer than 1h"))
		}
		last = it
	}
	o := f.read()
	if o.Healthy || o.Sentence != "5 things need you: 3 tasks failed, 2 tasks timed out" {
		t.Errorf("healthy %v: %q", o.Healthy, o.Sentence)
	}
	want := "timeout | github.com/you/shop#5 timed out | took longer than 1h | kugetsu retry " + last.ID + "\n"
	if got := shown(o); strings.Count(got, "\n") != 5 || !strings.Contains(got, want) || !strings.HasPrefix(got, "failed | github.com/you/shop#3 failed | the tests fail (attempt 1 of 1) | kugetsu show q_") {
		t.Errorf("%s", got)
	}
	if len(o.Done) != 5 || o.Done[0].Item != last.ID || o.Done[0].Took != time.Minute {
		t.Errorf("%+v", o.Done)
	}
}

// Each outcome that can end an item has a kind of need, its own or a shared one, with a command.
func TestNeedOfEveryOutcomeHasACommand(t *testing.T) {
	for _, row := range outcome.Rows {
		how := row.Outcome
		if how == outcome.UsageLimit || row.Need == "" { // no item ends by a limit alone
			continue
		}
		f := newFolder(t)
		e, it := f.enqueue(1, "do it")
		r := ended(how, "because")
		r.Permanent, r.Alone = true, true
		for range 2 * 3 {
			if it.State == queue.Errored {
				break
			}
			began := f.now
			f.must(f.Queue.Notify(e, it, it.Runs+1, 1, nil))
			r.Run.Run, r.StartedAt, r.EndedAt = it.Runs, &began, f.now
			f.must(f.Queue.Settle(e, it, r, queue.Policy{MaxAttempts: 1}))
		}
		if it.State != queue.Errored {
			t.Fatalf("%s: %s", how, it.State)
		}
		_, err := f.Queue.File(e)
		f.must(err)
		o := f.read()
		if len(o.Needs) != 1 || o.Needs[0].Kind != Kind(row.Need) || !strings.HasPrefix(o.Needs[0].Command, "kugetsu ") || !strings.HasPrefix(o.Needs[0].Why, "because") {
			t.Errorf("%s: %s", how, shown(o))
		}
		if strings.Contains(o.Sentence, "%!") || !strings.HasPrefix(o.Sentence, "1 thing needs you: github.com/you/shop#1 ") {
			t.Errorf("%s: %q", how, o.Sentence)
		}
	}
}

func TestNeedEndsWithItsCause(t *testing.T) {
	f := newFolder(t)
	needs := func(what string, want int) {
		t.Helper()
		if o := f.read(); len(o.Needs) != want {
			t.Errorf("%s: %s", what, shown(o))
		}
	}
	e, it := f.enqueue(1, "do it")
	e = f.settle(e, it, ended(outcome.Timeout, "slow"))
	needs("a timeout", 1)
	e, err := f.Queue.Retry(e, it)
	f.must(err)
	if o := f.read(); len(o.Needs) != 1 || o.Needs[0].Kind != NoSchedule {
		t.Errorf("retried: %s", shown(o))
	}
	e = f.settle(e, it, ended(outcome.Timeout, "slow"))
	needs("again a timeout", 1)
	f.must(f.Queue.Drop(e))
	needs("cleared", 0)

	e, it = f.enqueue(2, "do it")
	f.settle(e, it, ended(outcome.Failed, "no"))
	e, it = f.enqueue(3, "do it")
	f.settle(e, it, ended(outcome.OK, "yes"))
	needs("another issue is done", 1)
	e, it = f.enqueue(2, "do it another way")
	f.settle(e, it, ended(outcome.OK, "yes"))
	needs("another item completed on the issue", 0)

	e, it = f.enqueue(4, "do it")
	f.must(f.Queue.Cancel(e, it))
	_, err = f.Queue.File(e)
	f.must(err)
	needs("cancelled by hand", 0)
}

func TestDismissalIsForTheCauseAsItWas(t *testing.T) {
	f := newFolder(t)
	e, it := f.enqueue(1, "do it")
	e = f.settle(e, it, ended(outcome.Failed, "no"))
	n := f.read().Needs[0]
	f.must(tick.Dismiss(f.Home, n.ID, n.Cause, f.now))
	if o := f.read(); !o.Healthy || len(o.Needs) != 0 {
		t.Errorf("dismissed: %s", shown(o))
	}
	e, err := f.Queue.Retry(e, it)
	f.must(err)
	f.settle(e, it, ended(outcome.Failed, "no"))
	if o := f.read(); len(o.Needs) != 1 || o.Needs[0].ID != n.ID {
		t.Errorf("failed again: %s", shown(o))
	}
}

// TestHoldThatHasEndedNeedsAPersonUntilARunGotThrough: the server is not known to be back before the item that met the hold has run again.
func TestHoldThatHasEndedNeedsAPersonUntilARunGotThrough(t *testing.T) {
	f := newFolder(t)
	f.must(os.WriteFile(filepath.Join(string(f.Home), "scheduled"), nil, 0o600))
	e, it := f.enqueue(1, "fix it")
	f.hold("claude", `{"until":"2001-01-01T00:00:00Z","since":null,"reason":"connection refused","outcome":"outage","count":1,"run":"`+it.ID+`.1","probe":""}`)
	if o, want := f.read(), "down | the model's server of claude did not answer; the next tick tries again, or now | connection refused | kugetsu tick\n"; shown(o) != want {
		t.Errorf("while the item waits: got %q, want %q", shown(o), want)
	}
	f.settle(e, it, ended(outcome.OK, ""))
	if o := f.read(); len(o.Needs) != 0 {
		t.Errorf("after it ran: %s", shown(o))
	}
}

func TestNeedsOfTheFolder(t *testing.T) {
	for _, c := range []struct {
		what string
		make func(f *folder)
		want string
	}{
		{"bad configuration", func(f *folder) { f.Config = fault.New(fault.Config, "", "bad configuration: config: line 4: what?") },
			"config | the configuration is bad, so nothing is started | config: line 4: what? | kugetsu doctor"},
		{"an agent that is none", func(f *folder) { f.Settings.Agent = "gpt" },
			"unrunnable | KUGETSU_AGENT names an agent that cannot be run, so new tasks are refused | there is no agent \"gpt\", only claude, codex, command, gemini, opencode | kugetsu doctor"},
		{"an agent without its command, beside one that is there", func(f *folder) { f.Settings.Agent, f.Settings.AgentCommand = "claude,command", "" },
			"unrunnable | KUGETSU_AGENT names an agent that cannot be run, so new tasks are refused | the agent command has no AGENT_COMMAND to run | kugetsu doctor"},
		{"an agent without its command, in a bad configuration", func(f *folder) {
			f.Settings.AgentCommand, f.Config = "", fault.New(fault.Config, "", "bad configuration: AGENT_COMMAND: what?")
		},
			"config | the configuration is bad, so nothing is started | AGENT_COMMAND: what? | kugetsu doctor"},
		{"quarantine", func(f *folder) { f.must(os.WriteFile(filepath.Join(f.Queue.Bad, "50-x.json"), nil, 0o600)) },
			"quarantine | 1 file quarantined in BAD: inspect each, and delete it | 50-x.json | ls -l BAD"},
		{"not logged in", func(f *folder) {
			f.hold("claude", `{"until":null,"since":null,"reason":"Please run /login","outcome":"auth","count":1,"run":"r","probe":""}`)
		},
			"login | claude is not logged in: log in, then lift the hold | Please run /login | kugetsu resume claude"},
		{"a limit is waited for", func(f *folder) {
			f.hold("claude", `{"until":"2999-01-01T00:00:00Z","since":null,"reason":"limit","outcome":"usage_limit","count":1,"run":"r","probe":""}`)
		}, ""},
		{"a limit that nobody waits for", func(f *folder) {
			f.hold("claude", `{"until":null,"since":null,"reason":"limit","outcome":"usage_limit","count":1,"run":"r","probe":""}`)
		},
			"hold | claude is on hold until you lift that | limit | kugetsu resume claude"},
		{"host down", func(f *folder) {
			f.hold("host+git.example", `{"until":"2999-01-01T00:00:00Z","since":null,"reason":"no route","outcome":"outage","count":1,"run":"r","probe":""}`)
		}, "down | git.example does not answer; it is tried again after " + time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC).Local().Format("15:04") + ", or now | no route | kugetsu resume git.example"},
		{"no credits", func(f *folder) {
			f.hold("claude", `{"until":"2999-01-01T00:00:00Z","since":null,"reason":"Credit balance is too low","outcome":"usage_limit","unpaid":true,"count":1,"run":"r","probe":""}`)
		}, "hold | claude has no money left: add credits or raise the cap, then lift the hold | Credit balance is too low | kugetsu resume claude"},
		{"a hold that has ended, and nothing waits that met it", func(f *folder) {
			f.hold("host+git.example", `{"until":"2001-01-01T00:00:00Z","since":null,"reason":"no route","outcome":"outage","count":1,"run":"r","probe":""}`)
		}, ""},
		{"an agent missing for which no item waits any more", func(f *folder) {
			f.must(os.WriteFile(filepath.Join(string(f.Home), "agents", "gemini.missing.json"), []byte(`{"v":1,"since":"2026-01-01T00:00:00Z","why":"not found"}`), 0o600))
		}, ""},
		{"no schedule", func(f *folder) { f.enqueue(1, "x") },
			"schedule | no schedule, so nothing starts by itself | kugetsu tick starts what waits now | kugetsu queue-daemon start"},
		{"disk", func(f *folder) { f.Settings.MinFreeDisk = 1 << 61 },
			"disk | too little disk is free, so nothing is started | N MiB are free in HOME, and MIN_FREE_DISK is N MiB | kugetsu doctor"},
	} {
		f := newFolder(t)
		c.make(f)
		o := f.read()
		got := strings.NewReplacer(f.Queue.Bad, "BAD", string(f.Home), "HOME").Replace(strings.TrimSuffix(shown(o), "\n"))
		words := strings.Fields(got)
		for i := range words[:max(0, len(words)-1)] {
			if words[i+1] == "MiB" {
				words[i] = "N"
			}
		}
		if got = strings.Join(words, " "); got != strings.Join(strings.Fields(c.want), " ") || o.Healthy != (c.want == "") {
			t.Errorf("%s:\n got %s\nwant %s\n%s", c.what, got, c.want, o.Sentence)
		}
		if c.want != "" && len(o.Needs) == 1 && !strings.HasPrefix(o.Sentence, "1 thing needs you: "+o.Needs[0].What) {
			t.Errorf("%s: %q", c.what, o.Sentence)
		}
	}
}

func (f *folder) hold(name, content string) {
	f.must(os.WriteFile(filepath.Join(f.Home.Holds(), name+".json"), []byte(content), 0o600))
}

func TestOverviewReadsABoundedNumberOfItems(t *testing.T) {
	f := newFolder(t)
	oldest, old := f.enqueue(9999, "settled last of all")
	f.now = f.now.Add(time.Minute)
	e, it := f.enqueue(1, "x")
	e = f.settle(e, it, ended(outcome.Failed, "no"))
	one, err := os.ReadFile(e.Path)
	f.must(err)
	for n := 2; n <= settledMost+5; n++ { // copies, since each transition waits for the disk
		f.now = f.now.Add(time.Minute)
		id := queue.NewID(f.now)
		path := filepath.Join(f.Queue.Finished, "50-"+id+".json")
		f.must(os.WriteFile(path, []byte(strings.NewReplacer(it.ID, id, "shop#1", fmt.Sprintf("shop#%d", n), it.CompletedAt.Format(time.RFC3339), f.now.Format(time.RFC3339)).Replace(string(one))), 0o600))
		f.must(os.Chtimes(path, f.now, f.now))
	}
	for n := range 30 {
		f.enqueue(1000+n, "wait")
		f.now = f.now.Add(time.Second)
	}
	o := f.read()
	if len(o.Waiting) != 20 || o.Capacity.Waiting != 31 {
		t.Errorf("%d of %d waiting", len(o.Waiting), o.Capacity.Waiting)
	}
	if o.Bound.Settled != settledMost+5 || o.Bound.SettledRead != settledMost || o.Bound.Errors != settledMost {
		t.Errorf("%+v", o.Bound)
	}
	if o.Done[0].Ref != fmt.Sprintf("github.com/you/shop#%d", settledMost+5) {
		t.Errorf("the newest is %s", o.Done[0].Ref)
	}
	ids := map[string]bool{}
	for _, n := range o.Needs {
		ids[n.ID] = true
	}
	if len(ids) != len(o.Needs) {
		t.Errorf("%d ids of %d needs", len(ids), len(o.Needs))
	}
	f.settle(oldest, old, ended(outcome.Failed, "the oldest fails")) // by its name it is the first of finished/
	o = f.read()
	failed := slices.IndexFunc(o.Needs, func(n Need) bool { return n.Kind == Failed })
	if o.Done[0].Item != old.ID || failed < 0 || o.Needs[failed].Item != old.ID || o.Bound.Settled != settledMost+6 || o.Bound.SettledRead != settledMost {
		t.Errorf("the newest is %s; %+v\n%s", o.Done[0].Ref, o.Bound, shown(o))
	}
}

// A glance says the same of the items that it reads as a whole snapshot says.
func TestGlanceAgreesWithTheSnapshot(t *testing.T) {
	f := newFolder(t)
	for n := range 12 {
		f.enqueue(n/2+1, "wait")
	}
	all, err := f.Snapshot()
	f.must(err)
	few, err := f.Glance(7)
	f.must(err)
	if few.Unread != 5 || len(few.Waiting) != 7 {
		t.Fatalf("%d read, %d not", len(few.Waiting), few.Unread)
	}
	for i, w := range few.Waiting {
		if a, b := all.WhyNot(all.Waiting[i]), few.WhyNot(w); a != b || all.Waiting[i].Item != w.Item {
			t.Errorf("%d: %q, not %q", i, b, a)
		}
	}
	for n, w := range all.Waiting {
		view, err := f.Until(w.Item)
		f.must(err)
		if len(view.Waiting) != n+1 || view.Waiting[n].Item != w.Item || view.WhyNot(view.Waiting[n]) != all.WhyNot(w) {
			t.Errorf("until the item %d: %+v", n, view.Waiting)
		}
	}
	if view, err := f.Until(""); err != nil || len(view.Waiting)+view.Unread != 0 || view.Limit != all.Limit {
		t.Errorf("%+v, %v", view, err)
	}
}

func TestManyTasksOfAnAgentThatCannotBeRunAreOneNeed(t *testing.T) {
	f := newFolder(t)
	f.must(os.WriteFile(filepath.Join(string(f.Home), "scheduled"), nil, 0o600))
	f.Settings.AgentCommand = ""
	var first *queue.Item
	for n, want := range []string{"github.com/you/shop#1 cannot be run", "2 tasks for command cannot be run", "3 tasks for command cannot be run"} {
		_, it := f.enqueue(n+1, "do it")
		f.now = f.now.Add(time.Second)
		if first == nil {
			first = it
		}
		command := "kugetsu doctor"
		if n == 0 {
			command = "kugetsu cancel " + first.ID
		}
		o := f.read()
		if len(o.Needs) != 1 || o.Needs[0].What != want || o.Needs[0].Command != command || !strings.Contains(o.Needs[0].Why, "AGENT_COMMAND") || strings.Contains(o.Needs[0].Why, first.ID) {
			t.Errorf("%d: %s", n+1, shown(o))
		}
		if n == 2 {
			f.must(tick.Dismiss(f.Home, o.Needs[0].ID, o.Needs[0].Cause, f.now))
			if o := f.read(); len(o.Needs) != 0 {
				t.Errorf("dismissed: %s", shown(o))
			}
		}
	}
}

func TestKindsAreEachInTheTable(t *testing.T) {
	seen := []Kind{}
	for _, k := range kinds {
		if slices.Contains(seen, k.kind) {
			t.Errorf("%s twice", k.kind)
		}
		seen = append(seen, k.kind)
	}
}

func TestSlotOfARunnerThatEndsIsNoAgentAtWork(t *testing.T) {
	f := newFolder(t)
	f.must(os.MkdirAll(filepath.Dir(f.Home.SlotLock("1")), 0o700))
	lock, err := slots.TryLock(f.Home.SlotLock("1"))
	f.must(err)
	defer lock.Close()
	if o := f.read(); len(o.Running) != 0 || o.Capacity.Occupied != 1 || !strings.Contains(o.Sentence, "nothing runs") {
		t.Errorf("%q, %d of %d slots, %+v", o.Sentence, o.Capacity.Occupied, o.Capacity.Limit, o.Running)
	}
}
