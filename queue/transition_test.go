package queue

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"kugetsu/queue/outcome"
)

var noon = time.Date(2026, 4, 5, 12, 0, 0, 0, time.UTC)

func TestSettleDecidesByTheOutcomeAlone(t *testing.T) {
	policy := Policy{MaxAttempts: 3, RetryDelay: time.Minute}
	type want struct {
		state   State
		counted bool
		delay   time.Duration // until not_before; 0: null
		err     string
	}
	again := func(delay time.Duration) want { return want{Pending, true, delay, ""} }
	over := func(err string) want { return want{Errored, true, 0, err} }
	for _, c := range []struct {
		name     string
		outcome  outcome.Outcome
		attempts int // before
		summary  string
		change   func(*Item, *Result)
		want     want
	}{
		{"ok", outcome.OK, 0, "done", nil, want{Completed, true, 0, ""}},
		{"ok at the last attempt", outcome.OK, 2, "done", nil, want{Completed, true, 0, ""}},

		{"the first failure", outcome.Failed, 0, "exit 1", nil, again(time.Minute)},
		{"the second failure", outcome.Failed, 1, "exit 1", nil, again(2 * time.Minute)},
		{"the last failure", outcome.Failed, 2, "exit 1", nil, over("failed: exit 1 (attempt 3 of 3)")},
		{"more attempts than there are now", outcome.Failed, 7, "exit 1", nil, over("failed: exit 1 (attempt 8 of 3)")},
		{"what the agent said last", outcome.Failed, 2, "exit 1", said("I\x1b[1m did\x1b[0m\n  it (attempt 0 of 9)"),
			over(`failed: exit 1 (attempt 3 of 3); the agent said: "I did it (attempt 0 of 9)"`)},
		{"much that the agent said", outcome.Denied, 0, strings.Repeat("c", maxText/2), said(strings.Repeat("w", maxText)),
			over("denied: " + strings.Repeat("c", maxText/2) + `; the agent said: "` + strings.Repeat("w", maxSaid-len("…")) + `…"`)},
		{"blank words", outcome.Denied, 0, "bash", said(" \n"), over("denied: bash")},
		{"words of one that was cancelled", outcome.Cancelled, 0, "killed", said("I go on"), want{Errored, false, 0, "cancelled"}},
		{"a failure without a word", outcome.Failed, 2, "", nil, over("failed (attempt 3 of 3)")},

		{"not verified", outcome.Unverified, 0, "make: exit code 2", nil, again(time.Minute)},
		{"not verified at the last attempt", outcome.Unverified, 2, "make: exit code 2", nil, over("unverified: make: exit code 2 (attempt 3 of 3)")},
		{"not to be verified", outcome.Unverifiable, 0, "no such program", nil, want{Pending, false, time.Minute, ""}},
		{"not to be verified, attempts or not", outcome.Unverifiable, 2, "no such program", nil, want{Pending, false, time.Minute, ""}},

		{"a start that failed", outcome.StartFailed, 0, "no space", nil, again(time.Minute)},
		{"the last start that failed", outcome.StartFailed, 2, "no space", nil, over("start_failed: no space (attempt 3 of 3)")},
		{"a start that always will", outcome.StartFailed, 0, "no such repository", permanent, over("start_failed: no such repository")},

		{"denied", outcome.Denied, 0, "bash", nil, over("denied: bash")},
		{"too long", outcome.Timeout, 0, "took longer than 1h", nil, over("timeout: took longer than 1h")},
		{"cancelled", outcome.Cancelled, 0, "whatever", nil, want{Errored, false, 0, "cancelled"}},
		{"cancelled after attempts", outcome.Cancelled, 2, "", nil, want{Errored, false, 0, "cancelled"}},

		{"lost", outcome.Lost, 0, "killed", nil, again(time.Minute)},
		{"lost at the last attempt", outcome.Lost, 2, "killed", nil, over("lost: killed (attempt 3 of 3)")},
		{"lost to a reboot", outcome.Lost, 0, "restarted", rebooted, want{Pending, false, 0, ""}},
		{"lost to a reboot at the last attempt", outcome.Lost, 2, "restarted", rebooted, want{Pending, false, 0, ""}},
		{"lost to a second reboot", outcome.Lost, 0, "restarted", rebootedAgain, again(time.Minute)},
		{"lost to reboot after reboot", outcome.Lost, 2, "restarted", rebootedAgain, over("lost: restarted (attempt 3 of 3)")},
		{"a failure is no better for a reboot", outcome.Failed, 0, "exit 1", rebooted, again(time.Minute)},

		{"never started", outcome.Void, 0, "", nil, want{Pending, false, time.Minute, ""}},
		{"never started, attempts or not", outcome.Void, 2, "", nil, want{Pending, false, time.Minute, ""}},

		{"silent for too long", outcome.Stalled, 0, "showed no progress for 10m", nil, over("stalled: showed no progress for 10m")},
		{"too much memory", outcome.Outgrown, 0, "took 1 GiB", nil, over("outgrown: took 1 GiB")},
		{"a usage limit", outcome.UsageLimit, 0, "429", heldFor(5 * time.Hour), want{Pending, false, 5 * time.Hour, ""}},
		{"a usage limit, attempts or not", outcome.UsageLimit, 2, "429", heldFor(5 * time.Hour), want{Pending, false, 5 * time.Hour, ""}},
		{"a usage limit until a person lifts the hold", outcome.UsageLimit, 0, "429", nil, want{Pending, false, 0, ""}},
		{"credentials", outcome.Auth, 2, "401", nil, want{Pending, false, 0, ""}},

		{"credentials of a run that had worked", outcome.Auth, 2, "401", heldFor(time.Minute), want{Pending, false, time.Minute, ""}},
		{"a server that is down", outcome.Outage, 2, "refused", heldFor(time.Minute), want{Pending, false, time.Minute, ""}},
		{"a server that is down for all, again and again", outcome.Outage, 2, "refused", shutOut(9, false), want{Pending, false, time.Minute, ""}},
		{"a server that is down for this item alone", outcome.Outage, 0, "refused", shutOut(1, true), want{Pending, false, time.Minute, ""}},
		{"and again", outcome.Outage, 0, "refused", shutOut(2, true), want{Pending, true, time.Minute, ""}},
		{"and at the last attempt", outcome.Outage, 2, "refused", shutOut(4, true), over("outage: refused (attempt 3 of 3)")},
		{"credentials that others are let in with", outcome.Auth, 2, "401", shutOut(2, true), over("auth: 401 (attempt 3 of 3)")},
		{"a limit is never counted as an attempt", outcome.UsageLimit, 2, "429", shutOut(9, true), want{Pending, false, time.Minute, ""}},

		{"an outcome of a newer runner", "melted", 0, "silent", nil, again(time.Minute)},
	} {
		t.Run(c.name, func(t *testing.T) {
			pid := 7
			it := &Item{V: Version, ID: someID, State: Notified, Runs: 9, Attempts: c.attempts, ForkPID: &pid, NotifiedAt: &noon}
			r := Result{Run: Run{Run: 9, Outcome: c.outcome, Summary: c.summary, EndedAt: noon}}
			if c.change != nil {
				c.change(it, &r)
			}
			before := len(it.History)
			it.settle(r, policy, noon)

			got := want{state: it.State}
			last := it.History[len(it.History)-1]
			got.counted = last.Counted
			if it.NotBefore != nil {
				got.delay = it.NotBefore.Sub(noon)
			}
			if it.Error != nil {
				got.err = *it.Error
			}
			if got != c.want {
				t.Errorf("%+v, not %+v", got, c.want)
			}
			attempts := c.attempts
			if c.want.counted {
				attempts++
			}
			if it.Attempts != attempts || it.Runs != 9 || it.ForkPID != nil || len(it.History) != before+1 || last.Outcome != c.outcome {
				t.Errorf("%d attempts, not %d; %d runs, pid %v, history %v", it.Attempts, attempts, it.Runs, it.ForkPID, it.History)
			}
			if (it.CompletedAt != nil) != it.State.Settled() || it.State == Pending && it.NotifiedAt != nil {
				t.Errorf("%s, settled at %v, notified at %v", it.State, it.CompletedAt, it.NotifiedAt)
			}
		})
	}
}

func heldFor(d time.Duration) func(*Item, *Result) {
	return func(_ *Item, r *Result) { at := noon.Add(d); r.OnHoldUntil = &at }
}

// shutOut makes the last n runs of an item ones that met a server that is down; alone: others got through since.
func shutOut(n int, alone bool) func(*Item, *Result) {
	return func(it *Item, r *Result) {
		heldFor(time.Minute)(it, r)
		r.Alone = alone
		for range n {
			it.History = append(it.History, Run{Outcome: outcome.Outage, EndedAt: noon})
		}
	}
}

func permanent(_ *Item, r *Result) { r.Permanent = true }

func rebooted(_ *Item, r *Result) { r.Rebooted = true }

func rebootedAgain(it *Item, r *Result) {
	r.Rebooted = true
	it.History = []Run{{Run: 8, Outcome: outcome.Lost}}
}

// said gives a run the agent's last words.
func said(words string) func(*Item, *Result) {
	return func(_ *Item, r *Result) { r.Words = words }
}

func TestItemThatBringsTheMachineDownEndsInAnError(t *testing.T) {
	it := &Item{State: Pending}
	for n := 1; it.State == Pending; n++ {
		if n > 10 {
			t.Fatal("it is run for ever")
		}
		it.notify(n, 7, &Runner{Birth: "b"}, noon)
		it.settle(Result{Run: Run{Run: n, Outcome: outcome.Lost, Summary: "restarted"}, Rebooted: true}, Policy{MaxAttempts: 3}, noon)
	}
	if it.State != Errored || it.Runs != 4 || it.Attempts != 3 {
		t.Errorf("%s after %d runs, %d counted as attempts", it.State, it.Runs, it.Attempts)
	}
}

func TestRunsThatStartNoAgentWaitLongerEachTimeAndAreNeverCharged(t *testing.T) {
	it := &Item{State: Pending}
	for n, want := range []time.Duration{1, 2, 4, 8, 16, 16, 16} {
		it.notify(n+1, 7, &Runner{Birth: "b"}, noon)
		it.settle(Result{Run: Run{Run: n + 1, Outcome: outcome.Void, EndedAt: noon}}, Policy{MaxAttempts: 3, RetryDelay: time.Minute}, noon)
		if got := it.NotBefore.Sub(noon); it.State != Pending || it.Attempts != 0 || got != want*time.Minute {
			t.Errorf("after %d: %s, %d attempts, waits %s, not %s", n+1, it.State, it.Attempts, got, want*time.Minute)
		}
	}
	it.notify(8, 7, &Runner{Birth: "b"}, noon)
	it.settle(Result{Run: Run{Run: 8, Outcome: outcome.Failed}}, Policy{MaxAttempts: 3, RetryDelay: time.Minute}, noon)
	it.notify(9, 7, &Runner{Birth: "b"}, noon)
	it.settle(Result{Run: Run{Run: 9, Outcome: outcome.Void, EndedAt: noon}}, Policy{MaxAttempts: 3, RetryDelay: time.Minute}, noon)
	if got := it.NotBefore.Sub(noon); got != time.Minute {
		t.Errorf("after an agent that did start it waits %s", got)
	}
}

func TestAgentThatAlwaysGivesUpBeforeItBeginsEndsInAnError(t *testing.T) {
	it, n := &Item{State: Pending}, 0
	for n < 100 && it.State == Pending {
		n++
		it.notify(n, 7, &Runner{Birth: "b"}, noon)
		r := Run{Run: n, Outcome: outcome.Void, StartedAt: &noon, EndedAt: noon, Summary: "locked"}
		it.settle(Result{Run: r}, Policy{MaxAttempts: 3, RetryDelay: time.Minute}, noon)
		if got := it.Last(); got.Outcome != outcome.Void || got.Counted != (n%6 == 0) || it.Attempts != n/6 {
			t.Errorf("run %d: %s, counted %t, %d attempts", n, got.Outcome, got.Counted, it.Attempts)
		}
	}
	if n != 18 || it.State != Errored || *it.Error != "void: locked (attempt 3 of 3)" {
		t.Errorf("%s after %d runs: %v", it.State, n, it.Error)
	}
}

func TestBackoffDoublesUpToADay(t *testing.T) {
	for _, c := range []struct {
		delay time.Duration
		n     int
		want  time.Duration
	}{
		{time.Minute, 1, time.Minute},
		{time.Minute, 2, 2 * time.Minute},
		{time.Minute, 5, 16 * time.Minute},
		{time.Minute, 11, 1024 * time.Minute},
		{time.Minute, 12, 24 * time.Hour},
		{time.Minute, 1000, 24 * time.Hour},
		{48 * time.Hour, 1, 24 * time.Hour},
		{1 << 62, 3, 24 * time.Hour},
		{0, 1, 0},
		{0, 1000, 0},
		{time.Minute, 0, time.Minute},
	} {
		if got := Backoff(c.delay, c.n); got != c.want {
			t.Errorf("%s after attempt %d of a delay of %s, not %s", got, c.n, c.delay, c.want)
		}
	}
}

func TestReadyWaitsUnlessTheClockWasSetBack(t *testing.T) {
	at := func(d time.Duration) *time.Time { t := noon.Add(d); return &t }
	ended := func(d time.Duration) []Run { return []Run{{EndedAt: noon.Add(d)}} }
	for _, c := range []struct {
		name string
		it   Item
		want bool
	}{
		{"nothing to wait for", Item{}, true},
		{"its time has come", Item{NotBefore: at(-time.Second)}, true},
		{"it comes this instant", Item{NotBefore: at(0)}, true},
		{"it is to come", Item{NotBefore: at(time.Second), History: ended(-time.Minute)}, false},
		{"it is to come, and nothing ran", Item{NotBefore: at(time.Hour)}, false},
		{"it failed in the future: the clock was set back", Item{NotBefore: at(25 * time.Hour), History: ended(24 * time.Hour)}, true},
		{"it failed this instant", Item{NotBefore: at(time.Minute), History: ended(0)}, false},
	} {
		if got := c.it.Ready(noon); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
}

func TestWaitIsCountedFromTheEndOfTheRun(t *testing.T) {
	for _, how := range []outcome.Outcome{outcome.Failed, outcome.Lost, outcome.StartFailed, outcome.Void} {
		it := Item{State: Notified, Runs: 1}
		// The clock was a year ahead when the run was settled, and was put right after that.
		r := Result{Run: Run{Run: 1, Outcome: how, EndedAt: noon}}
		it.settle(r, Policy{MaxAttempts: 3, RetryDelay: time.Minute}, noon.AddDate(1, 0, 0))
		if it.Ready(noon.Add(59 * time.Second)) {
			t.Errorf("%s: it does not wait", how)
		}
		if !it.Ready(noon.Add(time.Minute)) {
			t.Errorf("%s: it waits until %s", how, it.NotBefore)
		}
	}
}

func ExampleBackoff() {
	for n := 1; n <= 4; n++ {
		fmt.Println(Backoff(time.Minute, n))
	}
	// Output:
	// 1m0s
	// 2m0s
	// 4m0s
	// 8m0s
}

func TestWaitIsSpreadByAQuarterAtMost(t *testing.T) {
	for spread, want := range map[float64]time.Duration{0: 4 * time.Minute, 0.5: 4*time.Minute + 30*time.Second, 1: 5 * time.Minute} {
		if got := (Policy{RetryDelay: time.Minute, Spread: spread}).wait(3); got != want {
			t.Errorf("%v: %s, not %s", spread, got, want)
		}
	}
}

func TestItemPutOffByALimitIsReadyWhenItsHoldIsLifted(t *testing.T) {
	later := noon.Add(time.Hour)
	for _, how := range []outcome.Outcome{outcome.Auth, outcome.Outage} {
		put := &Item{State: Pending, NotBefore: &later, History: []Run{{Run: 1, Outcome: how, EndedAt: noon}}}
		if !put.Ready(noon) {
			t.Errorf("after %s the item waits for itself, beside what is held", how)
		}
	}
	limited := &Item{State: Pending, NotBefore: &later, History: []Run{{Run: 1, Outcome: outcome.UsageLimit, EndedAt: noon}}}
	failed := &Item{State: Pending, NotBefore: &later, History: []Run{{Run: 1, Outcome: outcome.Failed, EndedAt: noon}}}
	if !limited.Ready(noon.Add(time.Minute)) || failed.Ready(noon.Add(time.Minute)) {
		t.Errorf("after a limit %t, after a failure %t", limited.Ready(noon.Add(time.Minute)), failed.Ready(noon.Add(time.Minute)))
	}
}
