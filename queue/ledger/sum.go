package ledger

import (
	"math"
	"slices"
	"strings"
	"time"

	"kugetsu/queue/outcome"
)

// Sum is the totals of some runs.
type Sum struct {
	Runs    int          `json:"runs"`
	OK      int          `json:"ok"`
	Judged  int          `json:"judged"` // runs that ended well or badly for their task: not those that were cancelled, or met a limit
	Waited  *Spread      `json:"waited"` // nil without runs
	Ran     *Spread      `json:"ran"`    // nil where no agent is known to have begun
	Cost    outcome.Cost `json:"cost"`   // of the runs that told it
	Untold  int          `json:"untold"` // runs in which an agent worked and told no dollars: the sum is incomplete
	seconds []float64    // that each agent ran
	waits   []float64
}

// Spread is the distribution of durations, in seconds.
type Spread struct {
	Median float64 `json:"median_seconds"`
	P90    float64 `json:"p90_seconds"` // nine of ten are at most as long
}

func (s *Sum) add(r *Run) {
	s.Runs++
	row, known := outcome.Outcome(r.Outcome).Row()
	if row.Then == outcome.Completes {
		s.OK++
	}
	if known && row.Counts {
		s.Judged++
	}
	s.waits = append(s.waits, r.Waited)
	if r.Ran != nil {
		s.seconds = append(s.seconds, *r.Ran)
	}
	if r.Cost != nil {
		s.Cost.Add(*r.Cost)
	}
	if r.Began() && (r.Cost == nil || r.Cost.USD <= 0) {
		s.Untold++
	}
}

// Success is the share of the judged runs that succeeded; false where there is none.
func (s *Sum) Success() (float64, bool) {
	return float64(s.OK) / float64(max(1, s.Judged)), s.Judged > 0
}

func spread(values []float64) *Spread {
	if len(values) == 0 {
		return nil
	}
	slices.Sort(values)
	at := func(share float64) float64 { return values[int(math.Ceil(share*float64(len(values))))-1] }
	return &Spread{Median: at(0.5), P90: at(0.9)}
}

// Sums are the totals of the runs of a period.
type Sums struct {
	Total        Sum             `json:"total"`
	Agents       map[string]*Sum `json:"agents"`
	Repositories map[string]*Sum `json:"repositories"` // of an issue: host/owner/repo; "" for the PM agent's runs
	Outcomes     map[string]int  `json:"outcomes"`
	SlotUse      *float64        `json:"slot_use"` // the share of the slots' time in which runs occupied them; nil if that is not known
}

// SumUp sums up the runs that ended from one time to another. slots is the number of slots. under has, for each run that is under
// way, how long the run has occupied its slot.
func SumUp(runs []Run, from, to time.Time, slots int, under []time.Duration) Sums {
	s := Sums{Agents: map[string]*Sum{}, Repositories: map[string]*Sum{}, Outcomes: map[string]int{}}
	occupied, first := time.Duration(0), to
	for i := range runs {
		r := &runs[i]
		if r.EndedAt.Before(from) {
			continue
		}
		repo, _, _ := strings.Cut(r.IssueRef, "#")
		for _, sum := range []*Sum{&s.Total, of(s.Agents, r.Agent), of(s.Repositories, repo)} {
			sum.add(r)
		}
		s.Outcomes[r.Outcome]++
		begin := r.NotifiedAt
		if begin.Before(from) {
			begin = from
		}
		if begin.Before(first) {
			first = begin
		}
		if r.IssueRef != "" { // the PM agent takes no slot
			occupied += max(0, r.EndedAt.Sub(begin))
		}
	}
	for _, d := range under {
		d = min(max(0, d), to.Sub(from))
		occupied += d
		if begin := to.Add(-d); begin.Before(first) {
			first = begin
		}
	}
	// Before the first run there may have been no kugetsu, so that time does not count.
	if whole := to.Sub(first) * time.Duration(slots); whole > 0 {
		use := min(1, float64(occupied)/float64(whole))
		s.SlotUse = &use
	}
	for _, sums := range []map[string]*Sum{{"": &s.Total}, s.Agents, s.Repositories} {
		for _, sum := range sums {
			sum.Waited, sum.Ran = spread(sum.waits), spread(sum.seconds)
		}
	}
	return s
}

func of(sums map[string]*Sum, name string) *Sum {
	if sums[name] == nil {
		sums[name] = &Sum{}
	}
	return sums[name]
}

// States returns a function that gives the state of an item after its last run among these; "" if it has none. If that run was
// cancelled, so was its item. The outcome says so also in a line that was written before the ledger had the state Cancelled.
func States(runs []Run) func(item string) string {
	type last struct{ n, state string }
	of := make(map[string]last, len(runs))
	for i := range runs {
		item, n, _ := strings.Cut(runs[i].Name, ".")
		if before := of[item].n; len(n) > len(before) || len(n) == len(before) && n > before {
			of[item] = last{n, runs[i].State}
			if runs[i].Outcome == Cancelled {
				of[item] = last{n, Cancelled}
			}
		}
	}
	return func(item string) string { return of[item].state }
}
