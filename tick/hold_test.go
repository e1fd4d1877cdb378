package tick

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/event"
	"kugetsu/slots"
	"kugetsu/tick/settings"
)

var noon = time.Date(2026, 4, 5, 12, 0, 0, 0, time.UTC)

// holder is a state folder in which runs of one agent end, under a clock of the test's.
type holder struct {
	*Tick
	t   *testing.T
	now time.Time
	it  *queue.Item
}

func newHolder(t *testing.T) *holder {
	h := &holder{t: t, now: noon, it: &queue.Item{ID: queue.NewID(noon), IssueRef: "github.com/o/r#1", Agent: "opencode"}}
	clock := func() time.Time { return h.now }
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, "notifications", name) }
	h.Tick = &Tick{Home: slots.Dir(dir), Queue: &queue.Queue{Events: &event.Box{New: at("new"), Seen: at("seen"), Owed: at("owed"), Now: clock}},
		Settings: &settings.Settings{RetryDelay: time.Minute, HoldMax: 6 * time.Hour, AutoResume: true}, Now: clock, Log: slog.New(slog.DiscardHandler)}
	must(t, h.Home.Make())
	must(t, h.Queue.Events.Make())
	return h
}

// ends lets run n end, and says for how long the agent is held from now: 0 when it is not, -1 for until somebody says so.
func (h *holder) ends(n int, outcome queue.Outcome, reset time.Duration) time.Duration {
	h.t.Helper()
	h.it.Runs = n
	var at time.Time
	if reset != 0 {
		at = h.now.Add(reset)
	}
	_, err := h.afterRun(h.it, slots.RunName(h.it.ID, n), queue.Result{Run: queue.Run{Run: n, Outcome: outcome, Summary: "says the provider"}}, at)
	must(h.t, err)
	hold, err := ReadHold(h.Home, "opencode")
	must(h.t, err)
	switch {
	case hold == nil:
		return 0
	case hold.Until == nil:
		return -1
	}
	return hold.Until.Sub(h.now)
}

// tries makes run n the probe.
func (h *holder) tries(n int) {
	h.t.Helper()
	k := newTaken()
	must(h.t, h.readHolds(k))
	probes, err := h.probing("opencode", slots.RunName(h.it.ID, n), k)
	must(h.t, err)
	if !probes {
		h.t.Fatal("there is nothing to try")
	}
}

func (h *holder) told() int {
	h.t.Helper()
	events, bad, err := h.Queue.Events.List()
	must(h.t, err)
	for _, ev := range events {
		if ev.Type != event.AgentHeld {
			h.t.Errorf("told of %s", ev.Name)
		}
	}
	return len(events) + bad
}

func TestALimitHoldsItsAgentUntilTheTimeThatWasTold(t *testing.T) {
	for _, c := range []struct {
		name    string
		outcome queue.Outcome
		reset   time.Duration // from now; 0 for not told
		change  func(*settings.Settings)
		want    time.Duration
	}{
		{"told", queue.UsageLimit, 3 * time.Hour, nil, 3 * time.Hour},
		{"not told", queue.UsageLimit, 0, nil, time.Minute},
		{"told that it was lifted long ago", queue.UsageLimit, -time.Hour, nil, time.Minute},
		{"told a thousand years", queue.UsageLimit, 250 * 365 * 24 * time.Hour, nil, 6 * time.Hour},
		{"with a HOLD_MAX", queue.UsageLimit, 3 * time.Hour, func(s *settings.Settings) { s.HoldMax = time.Hour }, time.Hour},
		{"without AUTO_RESUME", queue.UsageLimit, 3 * time.Hour, func(s *settings.Settings) { s.AutoResume = false }, -1},
		{"credentials", queue.Auth, 0, nil, -1},
		{"a failure", queue.Failed, 0, nil, 0},
		{"a success", queue.OK, 0, nil, 0},
	} {
		h := newHolder(t)
		if c.change != nil {
			c.change(h.Settings)
		}
		if got := h.ends(1, c.outcome, c.reset); got != c.want {
			t.Errorf("%s: held for %s, not %s", c.name, got, c.want)
		}
		if told := h.told(); told > 0 != (c.want != 0) {
			t.Errorf("%s: told %d times", c.name, told)
		}
	}
}

func TestAHoldIsTriedByOneRunAndGrowsWhileThatMeetsTheLimit(t *testing.T) {
	h := newHolder(t)
	want := time.Minute
	h.ends(1, queue.UsageLimit, 0)
	for n := 2; n < 6; n++ {
		want *= 2
		h.now = h.now.Add(want)
		h.tries(n)
		if got := h.ends(n, queue.UsageLimit, 0); got != want {
			t.Errorf("run %d: held for %s, not %s", n, got, want)
		}
	}
	// What says nothing of the limit leaves the hold to the next run.
	for n, outcome := range map[int]queue.Outcome{6: queue.Void, 7: queue.Lost, 8: queue.Cancelled, 9: queue.StartFailed, 10: queue.Timeout} {
		h.tries(n)
		if h.ends(n, outcome, 0) == 0 {
			t.Errorf("lifted by %s", outcome)
		}
	}
	h.tries(11)
	if got := h.ends(11, queue.OK, 0); got != 0 {
		t.Errorf("held for %s after a success", got)
	}
	if told := h.told(); told != 1 {
		t.Errorf("told %d times", told)
	}
	if got := h.ends(12, queue.UsageLimit, 0); got != time.Minute {
		t.Errorf("a new hold is for %s", got)
	}
}

func TestRunsThatBeganBeforeTheHoldNeitherShortenNorLiftIt(t *testing.T) {
	h := newHolder(t)
	h.ends(1, queue.UsageLimit, 2*time.Hour)
	for _, c := range []struct {
		outcome     queue.Outcome
		reset, want time.Duration
	}{
		{queue.OK, 0, 2 * time.Hour},
		{queue.Failed, 0, 2 * time.Hour},
		{queue.UsageLimit, time.Hour, 2 * time.Hour},
		{queue.UsageLimit, 0, 2 * time.Hour},
		{queue.UsageLimit, 3 * time.Hour, 3 * time.Hour},
		{queue.Auth, 0, -1},
		{queue.UsageLimit, time.Hour, -1},
	} {
		if got := h.ends(h.it.Runs+1, c.outcome, c.reset); got != c.want {
			t.Errorf("after %s: held for %s, not %s", c.outcome, got, c.want)
		}
	}
	if told := h.told(); told != 1 {
		t.Errorf("told %d times", told)
	}
}

// A pass may be killed when the hold is written and the item is not settled: the next one does it again.
func TestTheSameEndTwiceHoldsOnce(t *testing.T) {
	h := newHolder(t)
	h.ends(1, queue.UsageLimit, 0)
	h.now = h.now.Add(time.Second)
	if got := h.ends(1, queue.UsageLimit, 0); got != time.Minute-time.Second {
		t.Errorf("held for %s", got)
	}
	h.now = h.now.Add(time.Hour)
	h.tries(2)
	h.ends(2, queue.UsageLimit, 0)
	if got := h.ends(2, queue.UsageLimit, 0); got != 2*time.Minute {
		t.Errorf("held for %s", got)
	}
	h.tries(3)
	h.ends(3, queue.OK, 0)
	if got := h.ends(3, queue.OK, 0); got != 0 {
		t.Errorf("held for %s", got)
	}
}

func TestOnlyOneRunTriesUntilTheModelAnswersIt(t *testing.T) {
	h := newHolder(t)
	h.ends(1, queue.UsageLimit, time.Hour)
	look := func() (*taken, string) {
		k := newTaken()
		k.hold("1", &slots.Intent{Item: h.it.ID, Run: 2})
		must(t, h.readHolds(k))
		return k, h.held("opencode", k)
	}
	if _, why := look(); why == "" {
		t.Error("it is not held")
	}
	h.now = h.now.Add(time.Hour)
	if _, why := look(); why != "" {
		t.Errorf("nothing may try: %s", why)
	}
	h.tries(2)
	run := slots.RunName(h.it.ID, 2)
	must(t, h.Home.ClaimRun(run))
	if _, why := look(); why != "opencode was held: "+run+" tries whether it goes on" {
		t.Errorf("a second one may try: %q", why)
	}
	must(t, os.WriteFile(filepath.Join(h.Home.RunDir(run), "answered"), nil, 0o600))
	if k, why := look(); why != "" || k.holds["opencode"] != nil {
		t.Errorf("the model answers: %q", why)
	}
	if got := h.ends(2, queue.Timeout, 0); got != 0 {
		t.Errorf("held for %s after the model answered", got)
	}
}

func TestAHoldThatCannotBeUnderstoodHolds(t *testing.T) {
	h := newHolder(t)
	for name, put := range map[string]func(path string) error{
		"empty":       func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"a folder":    func(path string) error { return os.Mkdir(path, 0o700) },
		"by hand":     func(path string) error { return os.WriteFile(path, []byte(`{"until": null, "reason": "mine"}`), 0o600) },
		"a dead link": func(path string) error { return os.Symlink(filepath.Join(t.TempDir(), "x"), path) },
	} {
		must(t, put(holdPath(h.Home, "opencode")))
		k := newTaken()
		must(t, h.readHolds(k))
		if h.held("opencode", k) == "" || h.held("command", k) != "" {
			t.Errorf("%s: opencode %q, command %q", name, h.held("opencode", k), h.held("command", k))
		}
		was, err := ResumeAgent(h.Home, "opencode")
		if err != nil || !was {
			t.Errorf("%s: lifted %t, %v", name, was, err)
		}
	}
}
