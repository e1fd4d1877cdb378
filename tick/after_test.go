package tick

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/outcome"
)

// left makes an item that a crash left settled in its lane, not filed.
func left(t *testing.T, tick *Tick, issue int, state queue.State) string {
	t.Helper()
	id, err := tick.publish(issue, 50, nil)
	must(t, err)
	e, it, err := tick.item(id)
	must(t, err)
	if state == queue.Errored {
		must(t, tick.Queue.FailDependency(e, it, "q_x is not there"))
		return id
	}
	must(t, tick.Queue.Notify(e, it, 1, 1, nil))
	must(t, tick.Queue.Settle(e, it, queue.Result{Run: queue.Run{Run: 1, Outcome: outcome.OK}}, tick.policy()))
	return id
}

func TestSettledItemThatIsNotFiledCounts(t *testing.T) {
	tick := newTick(t, time.Now)
	done, lost := left(t, tick, 1, queue.Completed), left(t, tick, 2, queue.Errored)
	// Before them in the order: they are met while those lie in the lane.
	next, err := tick.publish(3, 10, nil, done)
	must(t, err)
	vain, err := tick.publish(4, 20, nil, done, lost)
	must(t, err)
	report, err := tick.Run(context.Background(), 0)
	must(t, err)
	if got := started(report); !slices.Equal(got, []string{next}) {
		t.Errorf("%v was started, not %s", got, next)
	}
	must(t, tick.end(report.Started[0], outcome.OK))
	_, err = tick.Run(context.Background(), 0)
	must(t, err)
	for id, want := range map[string]queue.State{done: queue.Completed, next: queue.Completed, lost: queue.Errored, vain: queue.Errored} {
		e, it, err := tick.item(id)
		if err != nil || it.State != want || filepath.Dir(e.Path) != tick.Queue.Finished {
			t.Errorf("%s: %s, %+v, %v", id, e.Path, it, err)
		}
	}
}

func TestItemThatASlotNamesDoesNotFail(t *testing.T) {
	tick := newTick(t, time.Now)
	lost := left(t, tick, 1, queue.Errored)
	named, err := tick.publish(2, 50, nil, lost)
	must(t, err)
	behind, err := tick.publish(3, 10, nil, named)
	must(t, err)
	el := tick.eligibility(newOccupied())
	el.occupied.items[named] = true // its runner may be at its gate
	var report Report
	e, it, err := tick.item(behind)
	must(t, err)
	if ended, err := el.after.fail(e, it, &report); ended || err != nil || len(report.Settled) > 0 {
		t.Errorf("%t, %v, %+v", ended, err, report)
	}
}

func TestDependencyThatCannotBeSeenIsNotMissing(t *testing.T) {
	tick := newTick(t, time.Now)
	must(t, os.Rename(tick.Queue.Finished, tick.Queue.Finished+".away"))
	e := queue.Entry{}
	it := &queue.Item{ID: "q_01arz3ndektsv4rrffq69g5fav", State: queue.Pending, After: []string{"q_01arz3ndektsv4rrffq69g5fbw"}}
	p := tick.eligibility(newOccupied()).after
	if r := p.why(&candidate{it: it}); r.Kind != Dependency || !strings.Contains(r.Text, "whose state is not known") {
		t.Errorf("%+v", r)
	}
	if ended, err := p.fail(e, it, &Report{}); ended || err == nil || it.State != queue.Pending {
		t.Errorf("%t, %v, %s", ended, err, it.State)
	}
}

func TestDependencyEnqueuedAfterListingIsFound(t *testing.T) {
	tick := newTick(t, time.Now)
	p := tick.eligibility(newOccupied()).after
	if dep := p.dependency("q_01arz3ndektsv4rrffq69g5fav"); !dep.absent {
		t.Fatalf("%+v", dep)
	}
	late, err := tick.publish(1, 50, nil)
	must(t, err)
	if dep := p.dependency(late); dep.absent || dep.state != queue.Pending {
		t.Errorf("%+v", dep)
	}
}

func TestDependenciesAreNotLookedUpWithoutAnItemThatWaits(t *testing.T) {
	tick := newTick(t, time.Now)
	for issue := range 3 {
		_, err := tick.publish(issue, 50, nil)
		must(t, err)
	}
	el := tick.eligibility(newOccupied())
	var report Report
	must(t, tick.fill(context.Background(), el, &report))
	if len(report.Started) != 2 || el.after.located != nil {
		t.Errorf("%+v, %+v", report, el.after)
	}
	for _, s := range report.Started {
		must(t, tick.end(s, outcome.OK))
	}
}

func TestPassEndsABoundedNumberAndTheNextGoesOn(t *testing.T) {
	tick := newTick(t, time.Now)
	before := left(t, tick, 1, queue.Errored)
	for n := range failMost + 3 { // a chain, and the last is met first
		id, err := tick.publish(1, 49-min(n, 49), nil, before)
		must(t, err)
		before = id
	}
	for _, want := range []int{failMost, 3, 0} {
		report, err := tick.Run(context.Background(), 0)
		must(t, err)
		if len(report.Settled) != want || len(report.Started) > 0 {
			t.Errorf("%d were ended, not %d, and %v started", len(report.Settled), want, report.Started)
		}
	}
}

// What keeps everything from starting does not keep an item waiting whose dependency failed.
func TestDependencyFailsWhileNothingMayStart(t *testing.T) {
	noon := time.Date(2026, 11, 28, 12, 0, 0, 0, time.Local) // a Saturday
	for name, set := range map[string]func(t *testing.T, tick *Tick){
		"hours": func(t *testing.T, tick *Tick) { tick.Settings.RunHours = "Mon 00:00-24:00" },
		"runs a day": func(t *testing.T, tick *Tick) {
			past(t, tick, "command", time.Hour, 0, outcome.OK)
			tick.Settings.MaxRuns = 1
		},
		"dollars a day": func(t *testing.T, tick *Tick) {
			past(t, tick, "command", time.Hour, 5, outcome.OK)
			tick.Settings.MaxCost = 5
		},
		"no slots":     func(t *testing.T, tick *Tick) { tick.Settings.MaxAgents = 0 },
		"a pause":      func(t *testing.T, tick *Tick) { must(t, WritePause(tick.Home, Pause{Reason: "lunch"})) },
		"no disk left": func(t *testing.T, tick *Tick) { tick.Settings.MinFreeDisk = 1 << 60 },
	} {
		t.Run(name, func(t *testing.T) {
			tick := newTick(t, func() time.Time { return noon })
			set(t, tick)
			lost := left(t, tick, 1, queue.Errored)
			first, err := tick.publish(2, 10, nil)
			must(t, err)
			second, err := tick.publish(3, 20, nil, lost)
			must(t, err)
			third, err := tick.publish(4, 30, nil, second)
			must(t, err)
			report, err := tick.Run(context.Background(), 0)
			must(t, err)
			if len(report.Started) > 0 || len(report.Why) == 0 {
				t.Errorf("it is open: %+v", report)
			}
			for id, want := range map[string]queue.State{first: queue.Pending, second: queue.Errored, third: queue.Errored} {
				if e, it, err := tick.item(id); err != nil || it.State != want || want == queue.Errored && filepath.Dir(e.Path) != tick.Queue.Finished {
					t.Errorf("%s: %s, %+v, %v", id, e.Path, it, err)
				}
			}
		})
	}
}
