package queue

import (
	"fmt"
	"slices"
	"time"

	"kugetsu/queue/outcome"
	"kugetsu/queue/terminal"
)

// Result is what is known of a run that ended.
type Result struct {
	Run
	Permanent bool   // of a start_failed: git says that a retry would fail in the same way
	Rebooted  bool   // of a lost: the machine was started again since the run began
	Slot      string // in which the run was; "" where no slot named it any more
	// OnHoldUntil is, of a usage_limit, an auth or an outage, when the hold ends; nil where only a person lifts it.
	OnHoldUntil *time.Time
	// Alone says, of an auth or an outage, that no hold was in force: if an earlier run of the item met the same, another run
	// got past it since.
	Alone bool
}

// Policy is how failures are retried.
type Policy struct {
	MaxAttempts int
	RetryDelay  time.Duration // before the first retry; doubles with each attempt
	Spread      float64       // from 0 to 1: the share of another quarter that is added, so that runs which failed together are not retried together
}

// wait is how long to wait after the n-th attempt failed.
func (p Policy) wait(n int) time.Duration {
	d := Backoff(p.RetryDelay, n)
	return d + time.Duration(p.Spread*float64(d)/4)
}

// maxDelay bounds the doubling: no item should wait for months.
const maxDelay = 24 * time.Hour

// notify is the transition pending → notified: the run was handed to the runner pid, or with pid 0 to a cluster.
func (it *Item) notify(run, pid int, r *Runner, now time.Time) {
	it.State, it.Runs, it.ForkPID, it.Runner, it.NotifiedAt, it.NotBefore, it.ByHand = Notified, run, &pid, r, &now, nil, false
	if r != nil && r.Engine != "" {
		it.ForkPID = nil
	}
}

// settle is the transition notified → completed, error or pending. It decides as a whole, before anything is written: an item
// that will be retried is never visible as an error.
func (it *Item) settle(r Result, p Policy, now time.Time) {
	row, _ := r.Outcome.Row()
	counted := row.Counts
	if r.Outcome == outcome.Void && r.StartedAt != nil && it.gaveUp() >= maxVoids {
		counted = true // a full disk is emptied some day, but an agent that always gives up at its start may never recover
	}
	if (r.Outcome == outcome.Auth || r.Outcome == outcome.Outage) && r.Alone && it.shutOut() >= maxAlone {
		counted = true // other items get through, so the cause is this item
	}
	if r.Outcome == outcome.Lost && r.Rebooted && !it.lostFree() {
		counted = false // the first reboot is not the item's fault; an item that crashes the machine again must end as an error
	}
	if counted {
		it.Attempts++
	}
	r.Counted = counted
	r.Summary, r.Words = terminal.Clip(r.Summary, maxText), terminal.Clip(r.Words, maxText)
	if len(it.Agents) > 0 {
		r.Agent, r.AgentWhy = it.Agent, it.AgentWhy
	}
	it.History = append(it.History, r.Run)
	it.ForkPID, it.Runner = nil, nil

	switch row.Then {
	case outcome.Completes:
		it.finish(Completed, "", now)
	case outcome.Fails:
		it.finish(Errored, reason(r, ""), now)
	case outcome.Holds:
		if counted && it.Attempts >= p.MaxAttempts {
			it.finish(Errored, reason(r, fmt.Sprintf(" (attempt %d of %d)", it.Attempts, p.MaxAttempts)), now)
			break
		}
		it.again(r.EndedAt, 0)
		it.NotBefore = r.OnHoldUntil
	default:
		switch {
		case r.Outcome == outcome.Void && (!counted || it.Attempts < p.MaxAttempts), r.Outcome == outcome.Unverifiable:
			it.again(r.EndedAt, p.wait(it.row(r.Outcome)))
		case r.Permanent:
			it.finish(Errored, reason(r, ""), now)
		case it.Attempts >= p.MaxAttempts:
			it.finish(Errored, reason(r, fmt.Sprintf(" (attempt %d of %d)", it.Attempts, p.MaxAttempts)), now)
		case counted:
			it.again(r.EndedAt, p.wait(it.Attempts))
		default:
			it.again(r.EndedAt, 0)
		}
	}
}

// Backoff is how long to wait after the n-th attempt failed: delay, doubled for every attempt after the first.
func Backoff(delay time.Duration, n int) time.Duration {
	for ; n > 1 && delay < maxDelay; n-- {
		delay *= 2
	}
	return min(delay, max(maxDelay, 0))
}

// maxVoids bounds the doubling after runs in which no agent began. The cause, such as a full disk, may be gone any minute; but
// a run folder a minute would fill that disk. It also bounds how many runs in a row, each with an agent that gave up as it
// began, do not count as attempts.
const maxVoids = 5

// row counts the runs at the end of the history that ended so; maxVoids at most.
func (it *Item) row(o outcome.Outcome) int {
	n := 0
	for _, r := range slices.Backward(it.History) {
		if r.Outcome != o || n == maxVoids {
			break
		}
		n++
	}
	return n
}

// gaveUp counts the runs at the end of the history whose agent was started, gave up before it began, and did not count as an
// attempt. Runs that could not even start an agent are passed over.
func (it *Item) gaveUp() int {
	n := 0
	for _, r := range slices.Backward(it.History) {
		if r.Outcome != outcome.Void || r.Counted {
			break
		}
		if r.StartedAt != nil {
			n++
		}
	}
	return n
}

// maxAlone is how many runs in a row may meet a dead server or refused credentials without counting as attempts, while others
// get past. A server that comes and goes explains as much; an agent that always says so would be started for ever.
const maxAlone = 2

// shutOut counts the runs at the end of the history that met a dead server or refused credentials.
func (it *Item) shutOut() int {
	n := 0
	for _, r := range slices.Backward(it.History) {
		if r.Outcome != outcome.Auth && r.Outcome != outcome.Outage {
			break
		}
		n++
	}
	return n
}

func (it *Item) finish(s State, why string, now time.Time) {
	it.State, it.CompletedAt, it.NotBefore, it.ByHand, it.Error = s, &now, nil, false, nil
	if s == Errored {
		why = terminal.Clip(why, maxText)
		it.Error = &why
	}
}

// again makes the item pending. The delay counts from the end of the run, which the history keeps: so Ready knows how long the
// wait is, also where the clock was wrong when the run was settled.
func (it *Item) again(ended time.Time, delay time.Duration) {
	it.State, it.NotifiedAt, it.NotBefore = Pending, nil, nil
	if delay > 0 {
		t := ended.Add(delay)
		it.NotBefore = &t
	}
}

// lostFree says whether a reboot ended a run of the item before, and that run did not count as an attempt.
func (it *Item) lostFree() bool {
	for _, r := range it.History {
		if r.Outcome == outcome.Lost && !r.Counted {
			return true
		}
	}
	return false
}

// retry is the transition error or completed → pending, which a user asks for: the attempts begin anew.
func (it *Item) retry(now time.Time) {
	it.State, it.Attempts, it.PendingSince = Pending, 0, now
	it.NotBefore, it.NotifiedAt, it.CompletedAt, it.Error, it.ForkPID, it.Runner = nil, nil, nil, nil, nil, nil
}

// reason is the error of an item whose run ended like this: first the cause and the attempts, whole, and behind them what the agent
// said last, marked as that. In the other order an agent's words could pass for the cause, or hide it.
func reason(r Result, attempts string) string {
	if r.Outcome == outcome.Cancelled {
		return string(r.Outcome)
	}
	why := string(r.Outcome)
	if r.Summary != "" {
		why += ": " + r.Summary
	}
	why += attempts
	if words := terminal.Clip(terminal.Joined(r.Words), maxSaid); words != "" {
		why += `; the agent said: "` + words + `"`
	}
	return why
}

// Ready says whether the item's time has come.
//
// A clock that was set back since the last run ended must not make an item wait for ever: a run that ended in the future
// lifts the wait. After a usage limit, refused credentials or an outage the hold alone says how long the item waits: where
// a person lifts the hold, not_before does not matter. A start time that a person has set since then holds, however the last run ended.
func (it *Item) Ready(now time.Time) bool {
	if it.NotBefore == nil || !now.Before(*it.NotBefore) {
		return true
	}
	if it.ByHand {
		return false
	}
	last := it.Last()
	return last != nil && (last.Outcome.Holds() || now.Before(last.EndedAt))
}

// Last is the newest run that ended, nil when none has.
func (it *Item) Last() *Run {
	if len(it.History) == 0 {
		return nil
	}
	return &it.History[len(it.History)-1]
}
