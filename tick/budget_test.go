package tick

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/ledger"
	"kugetsu/queue/outcome"
	"kugetsu/slots"
)

// past records a run that was handed over so long ago and took an hour.
func past(t *testing.T, tick *Tick, agent string, ago time.Duration, usd float64, how outcome.Outcome) {
	t.Helper()
	at := tick.Now().Add(-ago)
	ran := 3600.0
	r := ledger.Run{Name: queue.NewID(at) + ".1", Agent: agent, NotifiedAt: at, EndedAt: at.Add(time.Hour), Ran: &ran, Outcome: string(how), State: "completed"}
	if how == outcome.Void || how == outcome.StartFailed {
		r.Ran = nil
	}
	if usd > 0 {
		r.Cost = &outcome.Cost{USD: usd}
	}
	must(t, tick.Queue.Ledger.Add(r))
}

func TestBudgetsBlockUntilEnoughLeavesTheLast24Hours(t *testing.T) {
	const h = time.Hour
	for _, tt := range []struct {
		name  string
		past  func(t *testing.T, tick *Tick, k *occupied)
		set   func(tick *Tick)
		want  Kind
		text  string
		until time.Duration // from noon
	}{
		{"nothing is set", func(t *testing.T, tick *Tick, k *occupied) {
			past(t, tick, "command", 2*h, 1000, outcome.OK)
		}, func(*Tick) {}, Eligible, "", 0},
		{"fewer than may", func(t *testing.T, tick *Tick, k *occupied) {
			past(t, tick, "command", 2*h, 0, outcome.OK)
		}, func(tick *Tick) { tick.Settings.MaxRuns = 2 }, Eligible, "", 0},
		{"as many as may", func(t *testing.T, tick *Tick, k *occupied) {
			past(t, tick, "claude", 20*h, 0, outcome.Failed)
			past(t, tick, "command", 2*h, 0, outcome.OK)
		}, func(tick *Tick) { tick.Settings.MaxRuns = 2 }, DailyBudget, "MAX_RUNS_PER_DAY is used up (2 of 2) until ", 4 * h},
		{"more than may, after the setting was lowered", func(t *testing.T, tick *Tick, k *occupied) {
			past(t, tick, "command", 20*h, 0, outcome.OK)
			past(t, tick, "command", 10*h, 0, outcome.OK)
			past(t, tick, "command", 2*h, 0, outcome.OK)
		}, func(tick *Tick) { tick.Settings.MaxRuns = 2 }, DailyBudget, "(3 used, limit 2)", 14 * h},
		{"a run that is older than a day", func(t *testing.T, tick *Tick, k *occupied) {
			past(t, tick, "command", 24*h, 0, outcome.OK)
		}, func(tick *Tick) { tick.Settings.MaxRuns = 1 }, Eligible, "", 0},
		{"runs in which no agent began", func(t *testing.T, tick *Tick, k *occupied) {
			past(t, tick, "command", 2*h, 0, outcome.Void)
			past(t, tick, "command", 2*h, 0, outcome.StartFailed)
		}, func(tick *Tick) { tick.Settings.MaxRuns = 1 }, Eligible, "", 0},
		{"a run in the future", func(t *testing.T, tick *Tick, k *occupied) {
			past(t, tick, "command", -2*h, 5, outcome.OK)
		}, func(tick *Tick) { tick.Settings.MaxRuns, tick.Settings.MaxCost = 1, 1 }, Eligible, "", 0},
		{"a run that is under way", func(t *testing.T, tick *Tick, k *occupied) {
			id, err := tick.publish(2, 50, nil)
			must(t, err)
			e, it, err := tick.item(id)
			must(t, err)
			must(t, tick.Queue.Notify(e, it, 1, 1, nil))
			k.occupy("1", &slots.Intent{Item: id, Run: 1, Session: "s"})
		}, func(tick *Tick) { tick.Settings.MaxRuns, tick.Settings.MaxAgents = 1, 3 }, DailyBudget, "(1 of 1)", 24 * h},
		{"as many of its agent as may", func(t *testing.T, tick *Tick, k *occupied) {
			past(t, tick, "claude", 3*h, 0, outcome.OK)
			past(t, tick, "command", 2*h, 0, outcome.OK)
		}, func(tick *Tick) { tick.Settings.MaxRunsCommand = 1 }, AgentBudget, "MAX_RUNS_PER_DAY_COMMAND is used up (1 of 1)", 22 * h},
		{"as many of another agent as may", func(t *testing.T, tick *Tick, k *occupied) {
			past(t, tick, "claude", 3*h, 9, outcome.OK)
		}, func(tick *Tick) { tick.Settings.MaxRunsClaude, tick.Settings.MaxCostClaude = 1, 1 }, Eligible, "", 0},
		{"as many dollars as may", func(t *testing.T, tick *Tick, k *occupied) {
			past(t, tick, "claude", 20*h, 0.50, outcome.Failed)
			past(t, tick, "codex", 10*h, 0, outcome.OK)
			past(t, tick, "claude", 5*h, 4, outcome.OK)
			past(t, tick, "opencode", 2*h, 1, outcome.OK)
		}, func(tick *Tick) { tick.Settings.MaxCost = 5 }, DailyBudget, "MAX_COST_PER_DAY is used up ($5.50 used, limit $5.00) until ", 20 * h},
		{"fewer dollars than may, and a run that cost more is older than a day", func(t *testing.T, tick *Tick, k *occupied) {
			past(t, tick, "claude", 26*h, 100, outcome.OK)
			past(t, tick, "claude", 5*h, 4.99, outcome.OK)
		}, func(tick *Tick) { tick.Settings.MaxCost = 5 }, Eligible, "", 0},
		{"as many dollars as may, of ten parts whose sum is a little less for a computer", func(t *testing.T, tick *Tick, k *occupied) {
			for range 10 {
				past(t, tick, "claude", 2*h, 0.10, outcome.OK)
			}
		}, func(tick *Tick) { tick.Settings.MaxCost = 1 }, DailyBudget, "MAX_COST_PER_DAY is used up ($1.00 of $1.00)", 23 * h},
		{"a run that began before, and ended within the 24 hours, is paid within", func(t *testing.T, tick *Tick, k *occupied) {
			past(t, tick, "claude", 24*h+30*time.Minute, 5, outcome.OK)
		}, func(tick *Tick) { tick.Settings.MaxCost, tick.Settings.MaxRuns = 5, 1 }, DailyBudget, "MAX_COST_PER_DAY", 30 * time.Minute},
		{"dollars of its agent", func(t *testing.T, tick *Tick, k *occupied) {
			past(t, tick, "command", 2*h, 1.5, outcome.OK)
		}, func(tick *Tick) { tick.Settings.MaxCostCommand = 1 }, AgentBudget, "MAX_COST_PER_DAY_COMMAND is used up ($1.50 used, limit $1.00)", 23 * h},
		{"both budgets: the later time counts", func(t *testing.T, tick *Tick, k *occupied) {
			past(t, tick, "command", 20*h, 0, outcome.OK)
			past(t, tick, "command", 2*h, 1.5, outcome.OK)
		}, func(tick *Tick) { tick.Settings.MaxCost, tick.Settings.MaxRuns = 1, 2 }, DailyBudget, "MAX_COST_PER_DAY", 23 * h},
		{"a person wants it now", func(t *testing.T, tick *Tick, k *occupied) {
			past(t, tick, "command", 2*h, 9, outcome.OK)
		}, func(tick *Tick) {
			tick.Settings.MaxRuns, tick.Settings.MaxCost, tick.Settings.MaxRunsCommand, tick.AnyHour = 1, 1, 1, true
		}, Eligible, "", 0},
		{"a ledger that cannot be read", func(t *testing.T, tick *Tick, k *occupied) {
			past(t, tick, "command", 2*h, 9, outcome.OK)
			must(t, os.WriteFile(filepath.Join(tick.Queue.Ledger.Dir, "2026-04-05.jsonl"), []byte("?\n?"), 0o600))
		}, func(tick *Tick) { tick.Settings.MaxRuns = 1 }, Eligible, "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := noon
			tick, k := newTick(t, func() time.Time { return now }), newOccupied()
			tt.past(t, tick, k)
			tt.set(tick)
			it := &queue.Item{ID: queue.NewID(now), IssueRef: "github.com/you/project#1", Agent: "command", State: queue.Pending}
			r := tick.asked(k, it)
			if r.Kind != tt.want || !strings.Contains(r.Text, tt.text) {
				t.Fatalf("%+v", r)
			}
			if r.Kind == Eligible {
				return
			}
			if got := r.Until.Sub(noon); got != tt.until {
				t.Errorf("until %s from noon, not %s", got, tt.until)
			}
			if now = *r.Until; len(k.runs) == 0 && tick.asked(k, it).Kind != Eligible {
				t.Errorf("it still waits then: %+v", tick.asked(k, it))
			}
			if now = now.Add(-time.Second); tick.asked(k, it).Kind != tt.want {
				t.Errorf("it does not wait a second before: %+v", tick.asked(k, it))
			}
		})
	}
}

// The budget is used by what starts in the pass itself, too.
func TestBudgetIsUsedWithinOnePass(t *testing.T) {
	tick := newTick(t, func() time.Time { return noon })
	tick.Settings.MaxAgents, tick.Settings.MaxRuns = 3, 2
	past(t, tick, "claude", time.Hour, 0, outcome.OK)
	for n := 1; n <= 3; n++ {
		_, err := tick.publish(n, 50, nil)
		must(t, err)
	}
	view, err := tick.Snapshot()
	must(t, err)
	kinds := []Kind{}
	for _, w := range view.Waiting {
		kinds = append(kinds, w.Kind)
	}
	if got := fmt.Sprint(kinds); got != fmt.Sprint([]Kind{Eligible, DailyBudget, DailyBudget}) {
		t.Errorf("%v", got)
	}
}
