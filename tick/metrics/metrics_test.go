package metrics

import (
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/event"
	"kugetsu/queue/ledger"
	"kugetsu/queue/outcome"
	"kugetsu/slots"
	"kugetsu/tick"
	"kugetsu/tick/overview"
	"kugetsu/tick/settings"
)

func newTick(t *testing.T) (*tick.Tick, *time.Time) {
	t.Helper()
	home, at := t.TempDir(), time.Now().UTC()
	in := func(names ...string) string { return filepath.Join(append([]string{home}, names...)...) }
	s, source, err := settings.Load(home, true)
	must(t, err)
	clock := func() time.Time { return at }
	q := &queue.Queue{Dirs: queue.Dirs{Items: in("queue", "items"), PM: in("queue", "pm"), Finished: in("queue", "finished"), Bad: in("queue", "bad")},
		Events: &event.Box{New: in("notifications", "new"), Seen: in("notifications", "seen"), Undelivered: in("notifications", "owed"), Now: clock},
		Ledger: &ledger.Ledger{Dir: slots.Dir(home).Usage(), Now: clock}, Now: clock}
	tk := &tick.Tick{Home: slots.Dir(home), Queue: q, Settings: s, Source: source, Now: clock, Log: slog.New(slog.DiscardHandler)}
	must(t, tk.Home.Make())
	must(t, q.Make())
	return tk, &at
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestMetricsTellOfTheQueue(t *testing.T) {
	tk, at := newTick(t)
	tk.Settings.NotifyCommand = "true"
	*at = at.Truncate(time.Second)
	enqueued := at.Add(-2 * time.Hour)
	for i, when := range []time.Time{at.Add(-time.Hour), enqueued} {
		_, err := tk.Queue.Publish(&queue.Item{ID: queue.NewID(when), IssueRef: "github.com/you/shop#1", Agent: "claude", Message: "work", Mode: queue.Auto, PendingSince: *at, After: []string{}, History: []queue.Run{}},
			queue.Lanes[i], queue.DefaultPriority)
		must(t, err)
	}
	ran := 90.5
	must(t, tk.Queue.Ledger.Add(ledger.Run{Name: "q_01m8k2kh601v7hgg1svx4z22t9.1", Agent: "claude", NotifiedAt: *at, EndedAt: *at, Ran: &ran, Outcome: "ok", Cost: &outcome.Cost{USD: 1.5, Input: 7}}))
	must(t, os.WriteFile(filepath.Join(tk.Home.Holds(), "claude.json"), []byte(`{"until":null,"since":"2026-11-29T00:00:00Z","reason":"401","outcome":"auth","count":1,"run":"q.1","probe":""}`), 0o600))
	must(t, os.WriteFile(filepath.Join(tk.Queue.Events.Undelivered, "q_1.json"), []byte(`{"v":1,"name":"q_1"}`), 0o600))
	m, err := Read(tk)
	must(t, err)
	text := string(m.Text())
	home := `{home="` + string(tk.Home) + `"`
	for _, want := range []string{
		"# TYPE kugetsu_runs_total counter", "# TYPE kugetsu_items gauge",
		"kugetsu_healthy" + home + "} 0", "kugetsu_paused" + home + "} 0", "kugetsu_slots" + home + "} 3", "kugetsu_slots_occupied" + home + "} 0",
		"kugetsu_items" + home + `,state="waiting"} 2`, "kugetsu_items" + home + `,state="running"} 0`, "kugetsu_items" + home + `,state="settled"} 0`,
		"kugetsu_waiting_oldest_timestamp_seconds" + home + "} " + strconv.FormatInt(enqueued.Unix(), 10),
		"kugetsu_on_hold" + home + `,kind="agent",name="claude"} 1`, "kugetsu_on_hold" + home + `,kind="agent",name="codex"} 0`,
		"kugetsu_needs" + home + `,kind="login"} 1`, "kugetsu_needs" + home + `,kind="failed"} 0`,
		"kugetsu_events_undelivered" + home + "} 1",
		"kugetsu_runs_total" + home + `,agent="claude",outcome="ok"} 1`, "kugetsu_runs_total" + home + `,agent="claude",outcome="failed"} 0`,
		"kugetsu_run_seconds_total" + home + `,agent="claude"} 90.5`, "kugetsu_cost_dollars_total" + home + `,agent="claude"} 1.5`,
		"kugetsu_tokens_total" + home + `,agent="claude",type="input"} 7`,
	} {
		if !strings.Contains(text, "\n"+want+"\n") {
			t.Errorf("no %s", want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

// A stranger's text ends neither its label nor its line, and two that look the same are one series.
func TestValuesOfLabelsAreEscaped(t *testing.T) {
	hostile := "a\"} 1\nkugetsu_healthy 1\n\\\x1b\u202e\xff" + strings.Repeat("x", 300)
	m := Metrics{Overview: &overview.Overview{}, Home: `/home/"you"\`, OnHold: []Hold{{Name: hostile, Host: true}}, Totals: []ledger.Total{{Agent: hostile, Outcome: "odd\n", Runs: 2}, {Agent: hostile + "x", Outcome: "odd\n", Runs: 3}}}
	text := string(m.Text())
	if want := `kugetsu_on_hold{home="/home/\"you\"\\",kind="host",name="a\"} 1\\nkugetsu_healthy 1\\n\\\\x1b\\u202e\\xffxxx`; !strings.Contains(text, want) {
		t.Errorf("no %s in\n%s", want, text)
	}
	if strings.Count(text, `outcome="odd\\n"`) != 1 || !strings.Contains(text, `outcome="odd\\n"} 5`) {
		t.Errorf("two that look the same are not one series:\n%s", text)
	}
	for line := range strings.Lines(text) {
		if len(line) > 700 || !strings.HasPrefix(line, "# ") && !strings.HasPrefix(line, "kugetsu_") || strings.HasPrefix(line, "kugetsu_healthy 1") {
			t.Errorf("a line is %q", line)
		}
	}
}

func TestRefreshWritesWhatChangedAtOnceAndElseOnceAMinute(t *testing.T) {
	tk, at := newTick(t)
	must(t, Refresh(tk, true)) // without METRICS_FILE there is nothing to do
	path := filepath.Join(t.TempDir(), "kugetsu.prom")
	tk.Settings.MetricsFile = path
	written := func(changed bool) bool {
		t.Helper()
		must(t, os.WriteFile(path, nil, 0o644))
		must(t, os.Chtimes(path, at.Add(-30*time.Second), at.Add(-30*time.Second)))
		must(t, Refresh(tk, changed))
		data, err := os.ReadFile(path)
		must(t, err)
		return len(data) > 0
	}
	if written(false) {
		t.Error("it was written twice in a minute, and nothing changed")
	}
	if !written(true) {
		t.Error("it was not written where something changed")
	}
	must(t, os.Chtimes(path, at.Add(-2*time.Minute), at.Add(-2*time.Minute)))
	must(t, os.Truncate(path, 0))
	must(t, os.Chtimes(path, at.Add(-2*time.Minute), at.Add(-2*time.Minute)))
	must(t, Refresh(tk, false))
	if info, err := os.Stat(path); err != nil || info.Size() == 0 {
		t.Errorf("it was not written after a minute: %v", err)
	}
	tk.Settings.MetricsFile = filepath.Join(t.TempDir(), "missing", "kugetsu.prom")
	if err := Refresh(tk, true); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("a folder that is not there: %v", err)
	}
}
