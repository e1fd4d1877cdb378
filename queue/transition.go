package queue

import (
	"fmt"
	"slices"
	"time"
)

// Outcome is how a run ended: the runner classifies, the tick settles.
type Outcome string

// The outcomes.
const (
	OK          Outcome = "ok"           // exit 0 and nothing in the agent's output contradicts it
	Failed      Outcome = "failed"       // non-zero exit, killed, model error
	Denied      Outcome = "denied"       // exit 0, but a permission was refused, or there was no answer
	StartFailed Outcome = "start_failed" // clone, worktree, hook or exec failed
	Timeout     Outcome = "timeout"      // longer than TASK_TIMEOUT
	Stalled     Outcome = "stalled"      // no output for IDLE_TIMEOUT
	UsageLimit  Outcome = "usage_limit"  // the provider said: not now
	Auth        Outcome = "auth"         // the provider said: not with these credentials
	Outage      Outcome = "outage"       // the model's server, the remote's host or the way to it is down
	Lost        Outcome = "lost"         // the agent had started, its runner is gone, nothing recorded the end
	Void        Outcome = "void"         // no agent began: its runner was killed first, the machine had no room, or the agent's own state was taken
	Cancelled   Outcome = "cancelled"    // queue cancel
)

// Result is what is known of a run that ended.
type Result struct {
	Run
	Permanent bool // of a start_failed: git says that a retry would meet the same
	Rebooted  bool // of a lost: the machine was started again since the run began
	// HeldUntil is, of a usage_limit, an auth or an outage, when what is held may be tried again: nil until a person says so.
	HeldUntil *time.Time
	// Alone says, of an auth or an outage, that nothing was held for it: if an earlier run of the item met the same, another
	// run got past it since.
	Alone bool
}

// Policy is how failures are retried.
type Policy struct {
	MaxAttempts int
	RetryDelay  time.Duration // before the first retry; doubles with each attempt
	Spread      float64       // from 0 to 1: how much of another quarter is added, lest what failed together be tried together
}

// wait is how long to wait after the n-th attempt failed.
func (p Policy) wait(n int) time.Duration {
	d := Backoff(p.RetryDelay, n)
	return d + time.Duration(p.Spread*float64(d)/4)
}

// maxDelay bounds the doubling: a machine that was off for a week should not wait for months.
const maxDelay = 24 * time.Hour

// notify is the transition pending → notified: the run was handed to the runner pid.
func (it *Item) notify(run, pid int, r *Runner, now time.Time) {
	it.State, it.Runs, it.ForkPID, it.Runner, it.NotifiedAt, it.NotBefore = Notified, run, &pid, r, &now, nil
}

// uncharged are the outcomes that say nothing about the item.
var uncharged = []Outcome{Void, Cancelled, UsageLimit, Auth, Outage}

// holding are the outcomes for which the item's agent, or the remote's host, is held.
var holding = []Outcome{UsageLimit, Auth, Outage}

// settle is the transition notified → completed, error or back to pending. It is decided as a whole before anything is
// written: an item that will be retried is never visible as an error.
func (it *Item) settle(r Result, p Policy, now time.Time) {
	charged := !slices.Contains(uncharged, r.Outcome)
	if r.Outcome == Void && r.StartedAt != nil && it.vain() >= maxVoids {
		charged = true // a machine's disk is emptied one day; what an agent gives up over of its own may stay so
	}
	if (r.Outcome == Auth || r.Outcome == Outage) && r.Alone && it.shutOut() >= maxAlone {
		charged = true // others get through: what this item meets is its own
	}
	if r.Outcome == Lost && r.Rebooted && !it.lostFree() {
		charged = false // a reboot is not the item's fault, once; an item that brings the machine down ends in error
	}
	if charged {
		it.Attempts++
	}
	r.Charged = charged
	r.Summary = clip(r.Summary, maxText)
	it.History = append(it.History, r.Run)
	it.ForkPID, it.Runner = nil, nil

	switch r.Outcome {
	case OK:
		it.finish(Completed, "", now)
	case Denied, Timeout, Stalled, Cancelled:
		it.finish(Errored, reason(r), now)
	case UsageLimit, Auth, Outage:
		if charged && it.Attempts >= p.MaxAttempts {
			it.finish(Errored, fmt.Sprintf("%s (attempt %d of %d)", reason(r), it.Attempts, p.MaxAttempts), now)
			break
		}
		it.again(r.EndedAt, 0)
		it.NotBefore = r.HeldUntil
	default: // failed, start_failed, lost, void
		switch {
		case r.Outcome == Void && (!charged || it.Attempts < p.MaxAttempts):
			it.again(r.EndedAt, p.wait(it.voids()))
		case r.Permanent:
			it.finish(Errored, reason(r), now)
		case it.Attempts >= p.MaxAttempts:
			it.finish(Errored, fmt.Sprintf("%s (attempt %d of %d)", reason(r), it.Attempts, p.MaxAttempts), now)
		case charged:
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

// maxVoids bounds the doubling after runs in which no agent began: nobody is to blame, and what is in the way (a full disk)
// may be gone any minute. But a run folder a minute would fill that disk. It also bounds how many in a row an agent may be
// started in vain, free of charge.
const maxVoids = 5

// voids is in how many runs in a row, the last ones, no agent began; maxVoids at most.
func (it *Item) voids() int {
	n := 0
	for _, r := range slices.Backward(it.History) {
		if r.Outcome != Void || n == maxVoids {
			break
		}
		n++
	}
	return n
}

// vain is how many runs in a row, the last ones, started an agent that gave up before it began, free of charge. Those that
// could not even start one do not count.
func (it *Item) vain() int {
	n := 0
	for _, r := range slices.Backward(it.History) {
		if r.Outcome != Void || r.Charged {
			break
		}
		if r.StartedAt != nil {
			n++
		}
	}
	return n
}

// maxAlone is how many times in a row an item may meet, free of charge, a dead server or refused credentials that others get
// past: a server that comes and goes may do that. An agent that always says so would be started for ever.
const maxAlone = 2

// shutOut is how many runs in a row, the last ones, met a dead server or refused credentials.
func (it *Item) shutOut() int {
	n := 0
	for _, r := range slices.Backward(it.History) {
		if r.Outcome != Auth && r.Outcome != Outage {
			break
		}
		n++
	}
	return n
}

func (it *Item) finish(s State, why string, now time.Time) {
	it.State, it.CompletedAt, it.NotBefore, it.Error = s, &now, nil, nil
	if s == Errored {
		why = clip(why, maxText)
		it.Error = &why
	}
}

// again counts the wait from the end of the run, which the history keeps: so Ready knows how long it is, also where the
// clock was wrong when the run was settled.
func (it *Item) again(ended time.Time, delay time.Duration) {
	it.State, it.NotifiedAt, it.NotBefore = Pending, nil, nil
	if delay > 0 {
		t := ended.Add(delay)
		it.NotBefore = &t
	}
}

// lostFree says whether the item was lost to a reboot before, without a charge.
func (it *Item) lostFree() bool {
	for _, r := range it.History {
		if r.Outcome == Lost && !r.Charged {
			return true
		}
	}
	return false
}

// retry is the transition error or completed → pending, asked for by hand: the attempts begin anew.
func (it *Item) retry(now time.Time) {
	it.State, it.Attempts, it.PendingSince = Pending, 0, now
	it.NotBefore, it.NotifiedAt, it.CompletedAt, it.Error, it.ForkPID, it.Runner = nil, nil, nil, nil, nil, nil
}

// reason is the error of an item whose run ended like this.
func reason(r Result) string {
	if r.Outcome == Cancelled || r.Summary == "" {
		return string(r.Outcome)
	}
	return string(r.Outcome) + ": " + r.Summary
}

// Ready says whether the item's time has come. A wall clock that was set back since the last run ended must not make an
// item wait for ever, so a run that ended in the future lifts the wait. What put a run off for a limit, or for a dead
// server, holds its agent or its host, and that hold alone says how long: who lifts it does not wait for the time that stands here.
func (it *Item) Ready(now time.Time) bool {
	if it.NotBefore == nil || !now.Before(*it.NotBefore) {
		return true
	}
	last := it.last()
	return last != nil && (slices.Contains(holding, last.Outcome) || now.Before(last.EndedAt))
}

// last is the newest run that ended, nil when none has.
func (it *Item) last() *Run {
	if len(it.History) == 0 {
		return nil
	}
	return &it.History[len(it.History)-1]
}
