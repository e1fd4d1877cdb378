package agent

import "time"

const (
	// parkFrom is how long a program may wait within its process before it counts as parked. Limits per minute are lifted
	// within one: to wait that out in the slot costs less than a new start, which sends all of the conversation again. Twice
	// that is longer than any of the programs waits between two tries of its own accord.
	parkFrom = 2 * time.Minute
	// outageSilence is how long a program may be silent after its model's server did not answer. It may be at work again: a
	// server that is still down makes it say so again, and that tells sooner.
	outageSilence = 10 * time.Minute
)

// waiting is a program that met a limit, or a server that does not answer, and has not given up.
type waiting struct {
	outcome string    // UsageLimit or Outage; "" while it does not wait
	why     string    // what it said of it
	first   time.Time // when it first said so
	since   time.Time // when it last did
	reset   time.Time // when it will try again, as far as it was told
}

// begin notes that the program said that it will try again, and why. What only a person can mend is nothing to wait for.
func (w *waiting) begin(status int, why string, reset time.Time, now time.Time) {
	outcome := verdict(status, why)
	switch {
	case outcome == Auth, isSpent(status, why):
		*w = waiting{}
		return
	case outcome != UsageLimit:
		outcome = Outage
	}
	first := now
	if w.outcome != "" {
		first = w.first
	}
	*w = waiting{outcome: outcome, why: why, first: first, since: now, reset: reset}
}

// parked says whether it waits too long: as it was told, or since it first said so, or else as it has been silent. The
// silence must be longer than any that it keeps while the model works.
func (w *waiting) parked(now time.Time, silence time.Duration) bool {
	if w.outcome == Outage {
		silence = outageSilence
	}
	return w.outcome != "" &&
		(w.reset.Sub(w.since) > parkFrom || w.since.Sub(w.first) > parkFrom || now.Sub(w.since) > silence)
}

// report is the report of a program that is ended because it waits.
func (w *waiting) report() Report {
	r := Report{Outcome: w.outcome, Summary: w.why}
	if w.outcome == UsageLimit {
		r.Reset = w.reset
	}
	return r
}
