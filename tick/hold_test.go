package tick

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/event"
	"kugetsu/queue/outcome"
	"kugetsu/slots"
	"kugetsu/tick/settings"
)

var noon = time.Date(2026, 4, 5, 12, 0, 0, 0, time.UTC)

// holder is a state folder in which runs of one agent end, under a clock of the test's.
type holder struct {
	*Tick
	t    *testing.T
	now  time.Time
	it   *queue.Item
	last queue.Result // as it would be settled
}

func newHolder(t *testing.T) *holder {
	h := &holder{t: t, now: noon, it: &queue.Item{ID: queue.NewID(noon), IssueRef: "github.com/o/r#1", Agent: "opencode"}}
	clock := func() time.Time { return h.now }
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, "notifications", name) }
	h.Tick = &Tick{Home: slots.Dir(dir), Queue: &queue.Queue{Events: &event.Box{New: at("new"), Seen: at("seen"), Undelivered: at("owed"), Now: clock}},
		Settings: &settings.Settings{RetryDelay: time.Minute, HoldMax: 6 * time.Hour, AutoResume: true}, Now: clock, Log: slog.New(slog.DiscardHandler)}
	must(t, h.Home.Make())
	must(t, h.Queue.Events.Make())
	return h
}

// ends lets run n end, and says for how long the agent is held from now: 0 when it is not, -1 for until a person says so.
func (h *holder) ends(n int, how outcome.Outcome, reset time.Duration) time.Duration {
	h.t.Helper()
	h.it.Runs = n
	var at time.Time
	if reset != 0 {
		at = h.now.Add(reset)
	}
	return h.met(n, how, runnerReport{reset: at})
}

// met is ends, with all that the runner told.
func (h *holder) met(n int, how outcome.Outcome, of runnerReport) time.Duration {
	h.t.Helper()
	h.it.Runs = n
	h.last = queue.Result{Run: queue.Run{Run: n, Outcome: how, Summary: "says the provider"}}
	must(h.t, h.afterRun(h.it, slots.RunName(h.it.ID, n), &h.last, of))
	target := HoldTarget("opencode")
	if of.host != "" {
		target, _ = hostTarget(of.host)
	}
	hold, err := ReadHold(h.Home, target)
	must(h.t, err)
	switch {
	case hold == nil:
		return 0
	case hold.Until == nil:
		return -1
	}
	return hold.Until.Sub(h.now)
}

// holds is the policy of the holds that there are.
func (h *holder) holds(k *occupied) *holds {
	h.t.Helper()
	p := &holds{t: h.Tick, occupied: k}
	must(h.t, p.read())
	return p
}

// held is why an item is not started for what is on hold, or "".
func (p *holds) held(it *queue.Item) string { return p.why(&candidate{it: it, agent: it.Agent}).Text }

// tries makes run n the probe.
func (h *holder) tries(n int) {
	h.t.Helper()
	ofAgent, ofHost, err := h.holds(newOccupied()).probe(h.it, slots.RunName(h.it.ID, n))
	must(h.t, err)
	if !ofAgent && !ofHost {
		h.t.Fatal("there is nothing to try")
	}
}

// told is how often it was told that a hold began, lifted that one ended.
func (h *holder) told() int   { return h.events(event.AgentHeld) }
func (h *holder) lifted() int { return h.events(event.AgentLifted) }

func (h *holder) events(kind event.Type) (n int) {
	h.t.Helper()
	events, bad, err := h.Queue.Events.List()
	must(h.t, err)
	for _, ev := range events {
		switch ev.Type {
		case kind:
			n++
		case event.AgentHeld, event.AgentLifted:
		default:
			h.t.Errorf("told of %s", ev.Name)
		}
	}
	return n + bad
}

func TestLimitHoldsItsAgentUntilTheTimeThatWasTold(t *testing.T) {
	for _, c := range []struct {
		name    string
		outcome outcome.Outcome
		reset   time.Duration // from now; 0 for not told
		change  func(*settings.Settings)
		want    time.Duration
	}{
		{"told", outcome.UsageLimit, 3 * time.Hour, nil, 3 * time.Hour},
		{"not told", outcome.UsageLimit, 0, nil, time.Minute},
		{"told that it was lifted long ago", outcome.UsageLimit, -time.Hour, nil, time.Minute},
		{"told a thousand years", outcome.UsageLimit, 250 * 365 * 24 * time.Hour, nil, 6 * time.Hour},
		{"with a HOLD_MAX", outcome.UsageLimit, 3 * time.Hour, func(s *settings.Settings) { s.HoldMax = time.Hour }, time.Hour},
		{"without AUTO_RESUME", outcome.UsageLimit, 3 * time.Hour, func(s *settings.Settings) { s.AutoResume = false }, -1},
		{"credentials", outcome.Auth, 0, nil, -1},
		{"a server that is down", outcome.Outage, 0, nil, time.Minute},
		{"a server that is down, and said for how long", outcome.Outage, 3 * time.Hour, nil, time.Minute},
		{"a server that is down, without AUTO_RESUME", outcome.Outage, 0, func(s *settings.Settings) { s.AutoResume = false }, time.Minute},
		{"a failure", outcome.Failed, 0, nil, 0},
		{"a success", outcome.OK, 0, nil, 0},
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

func TestHoldIsTriedByOneRunAndGrowsWhileThatMeetsTheLimit(t *testing.T) {
	h := newHolder(t)
	want := time.Minute
	h.ends(1, outcome.UsageLimit, 0)
	for n := 2; n < 6; n++ {
		want *= 2
		h.now = h.now.Add(want)
		h.tries(n)
		if got := h.ends(n, outcome.UsageLimit, 0); got != want {
			t.Errorf("run %d: held for %s, not %s", n, got, want)
		}
	}
	// What says nothing of the limit leaves the hold to the next run.
	for n, how := range map[int]outcome.Outcome{6: outcome.Void, 7: outcome.Lost, 8: outcome.Cancelled, 9: outcome.StartFailed, 10: outcome.Timeout} {
		h.tries(n)
		if h.ends(n, how, 0) == 0 {
			t.Errorf("lifted by %s", how)
		}
	}
	h.tries(11)
	if got := h.ends(11, outcome.OK, 0); got != 0 {
		t.Errorf("held for %s after a success", got)
	}
	if told, lifted := h.told(), h.lifted(); told != 1 || lifted != 1 {
		t.Errorf("told %d times that it is on hold, %d times that it is not", told, lifted)
	}
	if got := h.ends(12, outcome.UsageLimit, 0); got != time.Minute {
		t.Errorf("a new hold is for %s", got)
	}
}

func TestRunsThatBeganBeforeTheHoldNeitherShortenNorLiftIt(t *testing.T) {
	h := newHolder(t)
	h.ends(1, outcome.UsageLimit, 2*time.Hour)
	for _, c := range []struct {
		outcome     outcome.Outcome
		reset, want time.Duration
	}{
		{outcome.OK, 0, 2 * time.Hour},
		{outcome.Failed, 0, 2 * time.Hour},
		{outcome.UsageLimit, time.Hour, 2 * time.Hour},
		{outcome.UsageLimit, 0, 2 * time.Hour},
		{outcome.UsageLimit, 3 * time.Hour, 3 * time.Hour},
		{outcome.Auth, 0, -1},
		{outcome.UsageLimit, time.Hour, -1},
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
func TestSameEndTwiceHoldsOnce(t *testing.T) {
	h := newHolder(t)
	h.ends(1, outcome.UsageLimit, 0)
	h.now = h.now.Add(time.Second)
	if got := h.ends(1, outcome.UsageLimit, 0); got != time.Minute-time.Second {
		t.Errorf("held for %s", got)
	}
	h.now = h.now.Add(time.Hour)
	h.tries(2)
	h.ends(2, outcome.UsageLimit, 0)
	if got := h.ends(2, outcome.UsageLimit, 0); got != 2*time.Minute {
		t.Errorf("held for %s", got)
	}
	h.tries(3)
	h.ends(3, outcome.OK, 0)
	if got := h.ends(3, outcome.OK, 0); got != 0 {
		t.Errorf("held for %s", got)
	}
}

// A pass may be killed when it has told that a hold is over, and the hold is there still.
func TestEndOfAHoldIsToldUnderOneName(t *testing.T) {
	h := newHolder(t)
	for _, host := range []string{"", strings.Repeat("a", 200)} { // a host of any length
		of := runnerReport{host: host}
		target := HoldTarget("opencode")
		if host != "" {
			target, _ = hostTarget(host)
		}
		h.it.Runs++
		h.met(h.it.Runs, outcome.Outage, of)
		h.now = h.now.Add(time.Hour)
		h.it.Runs++
		run := slots.RunName(h.it.ID, h.it.Runs)
		hold, err := ReadHold(h.Home, target)
		must(t, err)
		hold.Probe = run
		must(t, h.writeHold(target, hold))
		before := h.lifted()
		for range 2 {
			must(t, h.lift(h.it, target, hold))
			if got := h.lifted(); got != before+1 {
				t.Errorf("%.20s: told %d times, not %d", target, got, before+1)
			}
			if left, err := ReadHold(h.Home, target); err != nil || left != nil {
				t.Errorf("%.20s is on hold still: %v", target, err)
			}
			must(t, h.writeHold(target, hold))
		}
		_, err = LiftHold(h.Home, target)
		must(t, err)
	}
}

func TestProbeIsOneRunUntilTheModelAnswers(t *testing.T) {
	h := newHolder(t)
	h.ends(1, outcome.UsageLimit, time.Hour)
	look := func() (*holds, string) {
		k := newOccupied()
		k.occupy("1", &slots.Intent{Item: h.it.ID, Run: 2})
		p := h.holds(k)
		return p, p.held(h.it)
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
	if _, why := look(); why != "opencode was on hold: run "+run+" tries it again" {
		t.Errorf("a second one may try: %q", why)
	}
	must(t, os.WriteFile(filepath.Join(h.Home.RunDir(run), "answered"), nil, 0o600))
	if p, why := look(); why != "" || p.all["opencode"] != nil {
		t.Errorf("the model answers: %q", why)
	}
	if got := h.ends(2, outcome.Timeout, 0); got != 0 {
		t.Errorf("held for %s after the model answered", got)
	}
}

func TestHoldThatCannotBeUnderstoodHolds(t *testing.T) {
	h := newHolder(t)
	for name, put := range map[string]func(path string) error{
		"empty":       func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"a folder":    func(path string) error { return os.Mkdir(path, 0o700) },
		"by hand":     func(path string) error { return os.WriteFile(path, []byte(`{"until": null, "reason": "mine"}`), 0o600) },
		"a dead link": func(path string) error { return os.Symlink(filepath.Join(t.TempDir(), "x"), path) },
	} {
		must(t, put(holdFile(h.Home, "opencode").Path))
		p, other := h.holds(newOccupied()), &queue.Item{IssueRef: h.it.IssueRef, Agent: "command"}
		if p.held(h.it) == "" || p.held(other) != "" {
			t.Errorf("%s: opencode %q, command %q", name, p.held(h.it), p.held(other))
		}
		was, err := LiftHold(h.Home, "opencode")
		if err != nil || !was {
			t.Errorf("%s: lifted %t, %v", name, was, err)
		}
	}
}

func TestCredentialsOfARunThatHadWorkedAreTriedAgain(t *testing.T) {
	h := newHolder(t)
	if got := h.met(1, outcome.Auth, runnerReport{worked: true}); got != time.Minute {
		t.Errorf("held for %s", got)
	}
	h.now = h.now.Add(time.Minute)
	h.tries(2)
	if got := h.met(2, outcome.Auth, runnerReport{}); got != -1 { // it did not come to work: only a person can repair that
		t.Errorf("held for %s", got)
	}
}

// A server that stays down is tried at ever longer intervals, HOLD_MAX at most, for ever. There is one event, and the
// hold shows how often it was tried.
func TestServerThatStaysDownIsTriedEverMoreSeldom(t *testing.T) {
	h := newHolder(t)
	want := time.Minute
	got := h.met(1, outcome.Outage, runnerReport{})
	for n := 2; n < 15; n++ {
		if got != want || h.last.Alone != (n == 2) {
			t.Errorf("run %d: held for %s, not %s; alone %t", n-1, got, want, h.last.Alone)
		}
		want = min(2*want, h.Settings.HoldMax)
		h.now = h.now.Add(got)
		h.tries(n)
		got = h.met(n, outcome.Outage, runnerReport{worked: true})
	}
	if told := h.told(); told != 1 {
		t.Errorf("told %d times", told)
	}
	if why := h.holds(newOccupied()).held(h.it); !strings.HasSuffix(why, ": says the provider (14 times in a row)") {
		t.Errorf("%s", why)
	}
}

func TestItemThatMeetsWhatOthersGetPastIsAlone(t *testing.T) {
	h := newHolder(t)
	other := *h.it
	other.ID = queue.NewID(noon)
	h.met(1, outcome.Outage, runnerReport{})
	h.now = h.now.Add(time.Hour)

	// Once its time is up the other is tried first.
	p := h.holds(newOccupied())
	entries := []queue.Entry{{ID: h.it.ID}, {ID: other.ID}}
	if got := slices.Collect(p.lastToTry(slices.Values(entries))); got[0].ID != other.ID || got[1].ID != h.it.ID || len(got) != 2 {
		t.Errorf("%v", got)
	}
	run := slots.RunName(other.ID, 1)
	_, _, err := p.probe(&other, run)
	must(t, err)
	must(t, h.afterRun(&other, run, &queue.Result{Run: queue.Run{Run: 1, Outcome: outcome.OK}}, runnerReport{worked: true}))
	if h.met(2, outcome.Outage, runnerReport{}); !h.last.Alone {
		t.Error("another got past it, and this one is not alone")
	}
	must(t, h.afterRun(h.it, slots.RunName(h.it.ID, 2), &h.last, runnerReport{})) // a pass that was killed does it again
	if !h.last.Alone {
		t.Error("not when it is settled again")
	}
}

func TestHostIsHeldForWhatCannotBeginWithoutIt(t *testing.T) {
	h := newHolder(t)
	h.Settings.CloneURL = "https://{host}:3000/{path}.git"
	if got := h.met(1, outcome.Outage, runnerReport{host: "github.com:3000"}); got != time.Minute {
		t.Fatalf("held for %s", got)
	}
	why := func(it *queue.Item) string {
		return h.holds(newOccupied()).held(it)
	}
	elsewhere := &queue.Item{IssueRef: "git.example.org/o/r#1", Agent: "opencode"}
	begun := &queue.Item{IssueRef: "github.com/o/r#2", Agent: "opencode"}
	must(t, os.MkdirAll(filepath.Join(h.Home.Worktree("github.com+o+r@2"), ".git"), 0o700))
	if got := why(h.it); !strings.HasPrefix(got, "github.com:3000 is on hold until ") || !strings.HasSuffix(got, ": says the provider") {
		t.Errorf("%q", got)
	}
	for _, it := range []*queue.Item{elsewhere, begun, {Agent: "opencode"}} {
		if got := why(it); got != "" {
			t.Errorf("%q: %q", it.IssueRef, got)
		}
	}
	// A run that does not hear of the host is no probe of it; one that does lifts the hold as soon as git has an answer.
	h.now = h.now.Add(time.Minute)
	h.tries(2)
	run := slots.RunName(h.it.ID, 2)
	must(t, h.Home.ClaimRun(run))
	look := func() (blocked bool, why string) {
		k := newOccupied()
		k.occupy("1", &slots.Intent{Item: h.it.ID, Run: 2})
		p := h.holds(k)
		return p.all["host+github.com+3000"] != nil, p.held(h.it)
	}
	if blocked, why := look(); !blocked || why != "github.com:3000 was on hold: run "+run+" tries it again" {
		t.Errorf("%t %q", blocked, why)
	}
	must(t, os.Rename(filepath.Join(h.Home.RunDir(run), "exit"), filepath.Join(h.Home.RunDir(run), "started")))
	if blocked, why := look(); !blocked || why != "" {
		t.Errorf("it went on without the host: %t %q", blocked, why)
	}
	must(t, os.WriteFile(filepath.Join(h.Home.RunDir(run), "fetched"), nil, 0o600))
	if blocked, _ := look(); blocked {
		t.Error("git had an answer")
	}
	if got := h.met(2, outcome.OK, runnerReport{host: "github.com:3000"}); got != 0 {
		t.Errorf("held for %s", got)
	}
}

func TestHostOfARemoteIsReadFromItsURL(t *testing.T) {
	for remote, want := range map[string]string{
		"https://github.com/o/r.git": "github.com", "https://you:secret@Git.Example:3000/o/r.git": "git.example:3000",
		"ssh://git@git.example:22/o/r.git": "git.example:22", "git@git.example:o/r.git": "git.example", "gitea:o/r": "gitea",
		"http://[::1]:3000/o/r": "[::1]:3000", "git@[::1]:o/r": "[::1]", "git://127.0.0.1:9418/r": "127.0.0.1:9418",
		"file:///srv/r.git": "", "/srv/a:b/r.git": "", "../r.git": "", "": "", "https://%zz/": "",
	} {
		if got := remoteHost(remote); got != want {
			t.Errorf("%q: %q, not %q", remote, got, want)
		}
	}
	for host, want := range map[string]HoldTarget{
		"github.com": "host+github.com", "[::1]:3000": "host+[++1]+3000", "GITEA": "host+gitea",
		"": "", "../x": "", "a/b": "", "a b": "", "a+b": "", strings.Repeat("a", 201): "",
	} {
		got, ok := hostTarget(host)
		if got != want || ok != (want != "") || ok && got.Name() != strings.ToLower(host) {
			t.Errorf("%q: %q %t", host, got, ok)
		}
	}
}

func TestSpendCapIsAHoldThatSaysHowAPersonLiftsIt(t *testing.T) {
	h := newHolder(t)
	if got := h.met(1, outcome.UsageLimit, runnerReport{unpaid: true}); got != time.Minute {
		t.Errorf("held for %s", got)
	}
	hold, err := ReadHold(h.Home, "opencode")
	must(t, err)
	const remedy = "add credits or raise the cap, then kugetsu resume opencode; else one run tries again by itself"
	if got := hold.Text("opencode"); !strings.HasSuffix(got, ": says the provider; "+remedy) || hold.Remedy("opencode") != remedy {
		t.Errorf("%q, %q", got, hold.Remedy("opencode"))
	}
	h.now = h.now.Add(2 * time.Minute)
	h.tries(2)
	h.met(2, outcome.UsageLimit, runnerReport{reset: h.now.Add(time.Hour)}) // another limit, which passes
	hold, err = ReadHold(h.Home, "opencode")
	must(t, err)
	if strings.Contains(hold.Text("opencode"), "credits") {
		t.Errorf("%q", hold.Text("opencode"))
	}
}

func TestLimitOfAModelKeepsOnlyItsItemsFromStarting(t *testing.T) {
	h := newHolder(t)
	h.it.Agent = "claude"
	h.met(1, outcome.UsageLimit, runnerReport{model: "opus", reset: h.now.Add(time.Hour)})
	held, ok := modelTarget("claude", "opus")
	if hold, err := ReadHold(h.Home, held); !ok || err != nil || hold == nil || hold.Until.Sub(h.now) != time.Hour {
		t.Fatalf("%+v, %v", hold, err)
	}
	limited := []queue.Run{{Run: 1, Outcome: outcome.UsageLimit}}
	holds := func(it queue.Item, args string) bool {
		h.Settings.ArgsClaude = args
		it.Agent = "claude"
		return h.holds(newOccupied()).held(&it) != ""
	}
	for _, tt := range []struct {
		name string
		it   queue.Item
		args string
		want bool
	}{
		{"the same model", queue.Item{Model: "opus"}, "", true},
		{"another name of it", queue.Item{Model: "claude-opus-4-1-20250805"}, "", true},
		{"no model is named", queue.Item{}, "", true},
		{"one that stands for several", queue.Item{Model: "opusplan"}, "", true},
		{"another model", queue.Item{Model: "sonnet"}, "", false},
		{"another model in its arguments", queue.Item{AgentArgs: "--model haiku"}, "", false},
		{"another model in the settings", queue.Item{}, "--model=claude-sonnet-4-5", false},
		{"its arguments stand in place of the settings'", queue.Item{AgentArgs: "-v"}, "--model sonnet", true},
		{"another model, and it met a limit all the same", queue.Item{Model: "sonnet", History: limited}, "", true},
	} {
		if got := holds(tt.it, tt.args); got != tt.want {
			t.Errorf("%s: on hold %t", tt.name, got)
		}
	}
	if text := h.holds(newOccupied()).inForce(); len(text) != 1 || !strings.HasPrefix(text[0], "claude (opus) is on hold until ") {
		t.Errorf("%q", text)
	}

	// A limit of the account holds all; then each lasts as long as it does.
	h.met(2, outcome.UsageLimit, runnerReport{reset: h.now.Add(time.Minute)})
	if !holds(queue.Item{Model: "sonnet"}, "") {
		t.Error("the account's limit does not hold another model")
	}
	h.now = h.now.Add(2 * time.Minute)
	if holds(queue.Item{Model: "sonnet"}, "") || !holds(queue.Item{Model: "opus"}, "") {
		t.Error("the shorter hold ended the longer one, or does not end")
	}
	// A model that the agent does not tell of, or an agent that tells of none, is held as a whole.
	h.met(3, outcome.UsageLimit, runnerReport{model: "haiku", reset: h.now.Add(time.Hour)})
	if !holds(queue.Item{Model: "sonnet"}, "") {
		t.Error("a model that is not known holds nothing")
	}
	if was, err := LiftHolds(h.Home, "claude"); err != nil || !was || holds(queue.Item{Model: "opus"}, "") {
		t.Errorf("it was lifted %t, %v, and is on hold", was, err)
	}
}
