package tick

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/fault"
	"kugetsu/queue/outcome"
	"kugetsu/slots"
)

// asked is what the rule says of a pending item of an issue.
func (t *Tick) asked(k *occupied, it *queue.Item) Reason {
	el := t.eligibility(k)
	return el.why(el.candidate(it.Lane(), it))
}

func TestReasonsHaveTheirKindAndExitCode(t *testing.T) {
	const ref = "github.com/you/project#1"
	late := noon.Add(time.Hour)
	for _, c := range []struct {
		name   string
		change func(t *testing.T, tick *Tick, k *occupied, it *queue.Item)
		want   Kind
		code   int
	}{
		{"nothing", func(*testing.T, *Tick, *occupied, *queue.Item) {}, Eligible, 0},
		{"bad settings", func(t *testing.T, tick *Tick, k *occupied, it *queue.Item) { tick.Config = errors.New("bad") }, Misconfigured, fault.Config},
		{"a pause", func(t *testing.T, tick *Tick, k *occupied, it *queue.Item) {
			must(t, WritePause(tick.Home, Pause{Reason: "me"}))
		}, Paused, fault.Temp},
		{"no slots at all", func(t *testing.T, tick *Tick, k *occupied, it *queue.Item) { tick.Settings.MaxAgents = 0 }, NoSlots, fault.Temp},
		{"a dependency that waits", func(t *testing.T, tick *Tick, k *occupied, it *queue.Item) {
			id, err := tick.publish(2, 50, nil)
			must(t, err)
			it.After = []string{id}
		}, Dependency, fault.Temp},
		{"a dependency that failed", func(t *testing.T, tick *Tick, k *occupied, it *queue.Item) {
			it.After = []string{left(t, tick, 2, queue.Errored)}
		}, DependencyFailed, fault.Failed},
		{"arguments that are no words", func(t *testing.T, tick *Tick, k *occupied, it *queue.Item) {
			it.SetAgents([]string{"codex"})
			it.AgentArgs = `-c "x`
		}, BadArguments, fault.Failed},
		{"a dependency that completed", func(t *testing.T, tick *Tick, k *occupied, it *queue.Item) {
			it.After = []string{left(t, tick, 2, queue.Completed)}
		}, Eligible, 0},
		{"a session of a newer version", func(t *testing.T, tick *Tick, k *occupied, it *queue.Item) {
			must(t, os.WriteFile(filepath.Join(string(tick.Home), "sessions", "github.com+you+project@1.json"), []byte(`{"v": 99}`), 0o600))
		}, NewerSession, 0},
		{"a hold", func(t *testing.T, tick *Tick, k *occupied, it *queue.Item) {
			must(t, tick.writeHold("command", &Hold{Pause: Pause{Until: &late}}))
		}, OnHold, fault.Temp},
		{"a hold and a time", func(t *testing.T, tick *Tick, k *occupied, it *queue.Item) {
			must(t, tick.writeHold("command", &Hold{Pause: Pause{Until: &late}}))
			it.NotBefore = &late
		}, OnHold, fault.Temp},
		{"a probe", func(t *testing.T, tick *Tick, k *occupied, it *queue.Item) {
			in := &slots.Intent{Item: "q_x", Run: 1, Session: "s"}
			past := noon.Add(-time.Hour)
			must(t, tick.writeHold("command", &Hold{Pause: Pause{Until: &past}, Probe: in.RunName()}))
			must(t, tick.Home.ClaimRun(in.RunName()))
			tick.Settings.MaxAgents = 2
			k.occupy("1", in)
		}, Probing, fault.Temp},
		{"reviews", func(t *testing.T, tick *Tick, k *occupied, it *queue.Item) {
			tick.Settings.MaxReview = 1
			must(t, tick.Home.WriteSession("github.com+you+project@2", &slots.Session{Type: "forked", IssueRef: "github.com/you/project#2",
				Worktree: tick.Home.Worktree("github.com+you+project@2"), PRURL: "https://github.com/you/project/pull/1"}))
		}, AwaitingReview, fault.Temp},
		{"a time", func(t *testing.T, tick *Tick, k *occupied, it *queue.Item) { it.NotBefore = &late }, NotBefore, fault.Temp},
		{"a run on the same issue", func(t *testing.T, tick *Tick, k *occupied, it *queue.Item) {
			k.occupy("2", &slots.Intent{Item: "q_x", Run: 1, Session: "github.com+you+project@1"})
		}, SessionBusy, fault.NoSlot},
		{"settings that lack the agent", func(t *testing.T, tick *Tick, k *occupied, it *queue.Item) { tick.Settings.AgentCommand = "" }, Unrunnable, fault.Config},
		{"an agent that is not installed", func(t *testing.T, tick *Tick, k *occupied, it *queue.Item) {
			tick.Settings.AgentCommand = "no-such-agent"
		}, NotInstalled, fault.Config},
		{"an agent whose path leads nowhere", func(t *testing.T, tick *Tick, k *occupied, it *queue.Item) {
			tick.Settings.AgentCommand = "/no/such/agent"
		}, NotInstalled, fault.Config},
		{"closed hours", func(t *testing.T, tick *Tick, k *occupied, it *queue.Item) {
			must(t, tick.Settings.RunHours.UnmarshalText(closedAt(noon)))
		}, OutsideHours, fault.Temp},
		{"closed hours of its agent", func(t *testing.T, tick *Tick, k *occupied, it *queue.Item) {
			must(t, tick.Settings.HoursCommand.UnmarshalText(closedAt(noon)))
		}, AgentHours, fault.Temp},
		{"closed hours of another agent", func(t *testing.T, tick *Tick, k *occupied, it *queue.Item) {
			must(t, tick.Settings.HoursClaude.UnmarshalText(closedAt(noon)))
		}, Eligible, 0},
		{"closed hours, and a person who wants it now", func(t *testing.T, tick *Tick, k *occupied, it *queue.Item) {
			must(t, errors.Join(tick.Settings.RunHours.UnmarshalText(closedAt(noon)), tick.Settings.HoursCommand.UnmarshalText(closedAt(noon))))
			tick.AnyHour = true
		}, Eligible, 0},
		{"as many of its agent as may", func(t *testing.T, tick *Tick, k *occupied, it *queue.Item) {
			tick.Settings.MaxAgents, tick.Settings.MaxCommand = 3, 1
			id, err := tick.publish(2, 50, nil)
			must(t, err)
			k.occupy("1", &slots.Intent{Item: id, Run: 1, Session: "s"})
		}, AgentCap, fault.NoSlot},
		{"a slot that may be of its agent", func(t *testing.T, tick *Tick, k *occupied, it *queue.Item) {
			tick.Settings.MaxAgents, tick.Settings.MaxCommand = 3, 1
			k.occupy("1", nil)
		}, AgentCap, fault.NoSlot},
		{"as many of another agent as may", func(t *testing.T, tick *Tick, k *occupied, it *queue.Item) {
			tick.Settings.MaxAgents, tick.Settings.MaxClaude = 3, 1
			id, err := tick.publish(2, 50, nil)
			must(t, err)
			k.occupy("1", &slots.Intent{Item: id, Run: 1, Session: "s"})
		}, Eligible, 0},
		{"the runs of a day", func(t *testing.T, tick *Tick, k *occupied, it *queue.Item) {
			tick.Settings.MaxRuns = 1
			past(t, tick, "claude", time.Hour, 0, outcome.OK)
		}, DailyBudget, fault.Temp},
		{"the cost of a day of its agent", func(t *testing.T, tick *Tick, k *occupied, it *queue.Item) {
			tick.Settings.MaxCostCommand = 1
			past(t, tick, "command", time.Hour, 2, outcome.OK)
		}, AgentBudget, fault.Temp},
		{"as many on its repository as may", func(t *testing.T, tick *Tick, k *occupied, it *queue.Item) {
			tick.Settings.MaxAgents = 3
			must(t, os.WriteFile(filepath.Join(string(tick.Home), "repos.json"), []byte(`{"GitHub.com/You/Project": {"max": 1}}`), 0o600))
			id, err := tick.publish(2, 50, nil)
			must(t, err)
			k.occupy("1", &slots.Intent{Item: id, Run: 1, Session: "s"})
		}, RepositoryCap, fault.NoSlot},
		{"occupied slots", func(t *testing.T, tick *Tick, k *occupied, it *queue.Item) { k.occupy("1", nil) }, SlotsOccupied, fault.NoSlot},
		{"the PM agent at work", func(t *testing.T, tick *Tick, k *occupied, it *queue.Item) {
			it.IssueRef = ""
			k.occupy(slots.PMSlot, nil)
		}, SlotsOccupied, fault.NoSlot},
		{"a full disk", func(t *testing.T, tick *Tick, k *occupied, it *queue.Item) { tick.Settings.MinFreeDisk = 1 << 50 }, NoCapacity, fault.Temp},
	} {
		t.Run(c.name, func(t *testing.T) {
			tick, k := newTick(t, func() time.Time { return noon }), newOccupied()
			it := &queue.Item{ID: queue.NewID(noon), IssueRef: ref, Agent: "command", State: queue.Pending}
			c.change(t, tick, k, it)
			r := tick.asked(k, it)
			if r.Kind != c.want || c.code != 0 && r.Code() != c.code || (r.Text == "") != (r.Kind == Eligible) {
				t.Errorf("%q, exit code %d: %+v", r.Kind, r.Code(), r)
			}
			if r.Kind == Eligible {
				return
			}
			if err := r.refusal(); fault.Code(err) != r.Code() || !strings.HasSuffix(err.Error(), r.Text) {
				t.Errorf("start says %v, exit code %d", err, fault.Code(err))
			}
			if kinds[r.Kind].ends != outside {
				return
			}
			it.Message, it.Mode, it.PendingSince, it.After, it.History = "m", queue.Auto, noon, []string{}, []queue.Run{}
			_, err := tick.Queue.Publish(it, queue.Dev, 50)
			must(t, err)
			var report Report
			if err := tick.fill(t.Context(), tick.eligibility(k), &report); err != nil && fault.Code(err) != r.Code() {
				t.Error(err)
			}
			if len(report.Started) > 0 || !slices.Contains(report.Why, r.Text) {
				t.Errorf("a pass starts %v, and says why no more: %q, not %q", report.Started, report.Why, r.Text)
			}
		})
	}
}

// closedAt are hours that are closed at a time.
func closedAt(at time.Time) []byte {
	return []byte(at.Local().Add(time.Hour).Format("15:04") + "-" + at.Local().Add(2*time.Hour).Format("15:04"))
}

func TestKindsHaveARow(t *testing.T) {
	for _, kind := range []Kind{Misconfigured, Unusable, Paused, NoSlots, DependencyFailed, BadArguments, OtherBranch, Dependency, NewerSession, OnHold, Probing,
		OutsideHours, AgentHours, AgentCap, RepositoryCap, AgentBudget, DailyBudget, QuotaReserve, AwaitingReview, NotBefore, SessionBusy, Behind, Unrunnable,
		NotInstalled, Unverifiable, SlotsOccupied, CapacityUnknown, NoCapacity} {
		if rule, there := kinds[kind]; !there || rule.code == 0 {
			t.Errorf("%s: %+v", kind, rule)
		}
	}
}

// What waits is left to itself while one of it will start by itself; else the first that a person can do something about tells.
func TestDrainEndsWhenNothingStartsByItself(t *testing.T) {
	item := func(kind Kind) Waiting { return Waiting{reason: Reason{Kind: kind, Text: string(kind)}} }
	for _, c := range []struct {
		name    string
		waiting []Waiting
		blocked Kind
		want    Kind
		stuck   bool
	}{
		{"nothing waits", nil, Paused, Eligible, false},
		{"one may start", []Waiting{item(OnHold), item(Eligible)}, Eligible, Eligible, false},
		{"one waits for its time", []Waiting{item(OnHold), item(NotBefore)}, Eligible, Eligible, false},
		{"all are on hold, or wait for those", []Waiting{item(Dependency), item(OnHold), item(AwaitingReview)}, Eligible, OnHold, false},
		{"a missing agent", []Waiting{item(NotInstalled)}, Eligible, NotInstalled, false},
		{"a pause", []Waiting{item(NotBefore)}, Paused, Paused, false},
		{"they wait for each other", []Waiting{item(Dependency), item(NewerSession)}, Eligible, Dependency, true},
	} {
		v := &View{Waiting: c.waiting, blocked: Reason{Kind: c.blocked}}
		if r, stuck := v.Rest(); r.Kind != c.want || stuck != c.stuck {
			t.Errorf("%s: %q, stuck %t", c.name, r.Kind, stuck)
		}
		v.busy = true
		if r, _ := v.Rest(); r.Kind != Eligible {
			t.Errorf("%s, and an agent runs: %q", c.name, r.Kind)
		}
		v.busy, v.Slots = false, []SlotView{{Item: "q_x"}}
		if r, _ := v.Rest(); r.Kind != Eligible && r.Kind != c.blocked {
			t.Errorf("%s, and a run is to be settled: %q", c.name, r.Kind)
		}
	}
}
