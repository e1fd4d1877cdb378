package agent

import (
	"time"

	"kugetsu/queue/outcome"
)

const (
	// parkFrom is how long a program may wait within its process before it counts as parked. Limits per minute are lifted within a
	// minute: to wait for that in the slot costs less than a new start, which sends the whole conversation again. Two minutes are
	// longer than any of the programs waits by itself between two tries.
	parkFrom = 2 * time.Minute
	// outageSilence is how long a program may be silent after its model's server did not answer. A silent program may be at work
	// again: where the server is still down, the program reports that again, and sooner.
	outageSilence = 10 * time.Minute
)

// waiting is a program that met a limit, or a server that does not answer, and has not given up.
type waiting struct {
	met   outcome.Outcome // UsageLimit or Outage; "" while it does not wait
	why   string          // the program's reason
	first time.Time       // when the program first reported it
	since time.Time       // when the program last reported it
	reset time.Time       // when the program will try again, as far as that is known
}

// begin notes that the program will try again, and why. A fault that only a person can repair is nothing to wait for.
func (w *waiting) begin(c complaint, reset time.Time, now time.Time) {
	met := verdict(c)
	switch {
	case met == outcome.Auth, c.isSpent():
		*w = waiting{}
		return
	case met != outcome.UsageLimit:
		met = outcome.Outage
	}
	first := now
	if w.met != "" {
		first = w.first
	}
	*w = waiting{met: met, why: c.text, first: first, since: now, reset: reset}
}

// parked says whether the program waits too long: by the time that it gave, by the time since its first report, or by its silence.
// The silence must be longer than any silence of the program while the model works.
func (w *waiting) parked(now time.Time, silence time.Duration) bool {
	if w.met == outcome.Outage {
		silence = outageSilence
	}
	return w.met != "" &&
		(w.reset.Sub(w.since) > parkFrom || w.since.Sub(w.first) > parkFrom || now.Sub(w.since) > silence)
}

// report is the report of a program that is ended because it waits.
func (w *waiting) report() Report {
	r := Report{Outcome: w.met, Summary: w.why}
	if w.met == outcome.UsageLimit {
		soon := w.reset.Sub(w.since) <= parkFrom // so soon comes only the next of many tries, and not the end of the limit; or no time is known
		r.Reset, r.Unpaid = w.reset, soon && complaint{text: w.why}.isPaidFor()
	}
	return r
}
