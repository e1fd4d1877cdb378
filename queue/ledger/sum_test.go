package ledger

import (
	"testing"
	"time"

	"kugetsu/queue/outcome"
)

func TestSumUpCountsPerAgentAndRepository(t *testing.T) {
	var runs []Run
	for n, outcome := range []string{"ok", "ok", "ok", "failed", "cancelled", "void"} {
		r := run(n, 10*time.Hour)
		ran := float64(n + 1)
		r.Outcome, r.Waited, r.Ran = outcome, float64(10*n), &ran
		runs = append(runs, r)
	}
	runs[5].Ran, runs[5].Cost = nil, nil
	runs[1].Agent, runs[1].IssueRef, runs[1].Cost = "codex", "gitlab.com/a/b/c#7", &outcome.Cost{Input: 5}
	pm := run(9, 10*time.Hour)
	pm.IssueRef = ""
	old := run(10, 100*time.Hour)
	s := SumUp(append(runs, pm, old), noon.Add(-24*time.Hour), noon, 2, []time.Duration{4 * time.Hour})
	if rate, ok := s.Total.Success(); s.Total.Runs != 7 || s.Total.OK != 4 || s.Total.Judged != 5 || rate != 0.8 || !ok {
		t.Errorf("%+v", s.Total)
	}
	if s.Total.Untold != 1 || s.Total.Cost.USD != 1.25 || s.Total.Cost.Input != 5*1200+5 {
		t.Errorf("cost %+v, of %d untold", s.Total.Cost, s.Total.Untold)
	}
	if *s.Total.Waited != (Spread{20, 50}) || *s.Total.Ran != (Spread{3, 590}) {
		t.Errorf("waited %+v, ran %+v", *s.Total.Waited, *s.Total.Ran)
	}
	if len(s.Agents) != 2 || s.Agents["codex"].Runs != 1 || s.Repositories["gitlab.com/a/b/c"].Runs != 1 || s.Repositories["github.com/you/shop"].Runs != 5 || s.Repositories[""].Runs != 1 {
		t.Errorf("%+v %+v", s.Agents, s.Repositories)
	}
	if s.Outcomes["ok"] != 4 || s.Outcomes["void"] != 1 {
		t.Errorf("%v", s.Outcomes)
	}
	// The runs are six of ten minutes, and one of four hours so far. The two slots are known for ten hours.
	if s.SlotUse == nil || *s.SlotUse != 0.25 {
		t.Errorf("slot use %v", *s.SlotUse)
	}
	if none := SumUp(nil, noon.Add(-time.Hour), noon, 2, nil); none.SlotUse != nil || none.Total.Waited != nil {
		t.Errorf("%+v", none)
	}
}

func TestStatesAreThoseOfTheLastRun(t *testing.T) {
	second, tenth := run(1, time.Hour), run(1, time.Hour)
	second.Name, second.State = second.Item()+".2", "pending"
	tenth.Name, tenth.State = second.Item()+".10", "error"
	for _, runs := range [][]Run{{run(1, time.Hour), second, tenth}, {tenth, second, run(1, time.Hour)}} {
		if got := States(runs)(second.Item()); got != "error" {
			t.Errorf("%s", got)
		}
	}
}

func TestStatesTellWhatAPersonEnded(t *testing.T) {
	before := run(1, time.Hour) // as a line was written before the ledger had the state Cancelled
	before.Outcome, before.State = "cancelled", "error"
	waiting := run(2, time.Hour)
	waiting.Outcome, waiting.State = "failed", Cancelled
	state := States([]Run{before, waiting})
	if a, b := state(before.Item()), state(waiting.Item()); a != Cancelled || b != Cancelled {
		t.Errorf("%q, %q", a, b)
	}
}
