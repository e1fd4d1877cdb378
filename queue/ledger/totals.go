package ledger

import (
	"cmp"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"kugetsu/queue/outcome"
	"kugetsu/queue/spool"
)

// Total is the sum of all runs of one agent with one outcome, since the first run.
type Total struct {
	Agent   string       `json:"agent"`
	Outcome string       `json:"outcome"`
	Runs    int          `json:"runs"`
	Seconds float64      `json:"seconds"` // in which the agent worked
	Cost    outcome.Cost `json:"cost"`
}

// totals is the file totals.json. It has the sums of each day, so that only days that changed are read again. It also has the sums
// of the days that were deleted as too old, so that a sum never shrinks. It needs no lock: if two processes write it at once, they
// write the same, or the next process corrects it. If the file is lost, only the sums of deleted days are lost.
type totals struct {
	V    int                `json:"v"`
	Days map[string]summary `json:"days"`
	Gone []Total            `json:"gone"`
}

// summary is the sums of a day's file, with the size and the time that the file had.
type summary struct {
	Size    int64     `json:"size"`
	Changed time.Time `json:"changed"`
	Totals  []Total   `json:"totals"`
}

// Totals sums up all runs, by agent and outcome. No lock is needed.
func (l *Ledger) Totals() ([]Total, error) {
	file := spool.File[totals]{Path: filepath.Join(l.Dir, "totals.json"), Version: 1, Layout: spool.Line}
	before, err := file.ReadGood()
	if err != nil {
		return nil, err
	}
	if before == nil {
		before = &totals{}
	}
	names, err := l.days()
	if err != nil {
		return nil, err
	}
	now, changed := totals{V: 1, Days: make(map[string]summary, len(names)), Gone: before.Gone}, false
	for _, name := range names {
		day, known := before.Days[name]
		size, at, err := spool.Written(filepath.Join(l.Dir, name))
		if err == nil && (!known || size != day.Size || !at.Equal(day.Changed)) {
			var of []Total
			if of, err = l.totals(name); err == nil {
				day, known, changed = summary{size, at, of}, true, true
			}
		}
		if known { // otherwise the file cannot be read: a pass quarantines it, or it was deleted this instant
			now.Days[name] = day
		}
	}
	all := newSum(now.Gone)
	for name, day := range before.Days {
		if _, there := now.Days[name]; !there {
			all.add(day.Totals)
			now.Gone, changed = all.list(), true
		}
	}
	for _, day := range now.Days {
		all.add(day.Totals)
	}
	if changed {
		if err := file.WriteSoon(&now); err != nil {
			return nil, err
		}
	}
	return all.list(), nil
}

// totals returns the totals of a day's file.
func (l *Ledger) totals(name string) ([]Total, error) {
	f, err := l.read(name)
	if err != nil {
		return nil, err
	}
	sums := newSum(nil)
	for _, r := range last(f.runs) {
		one := Total{Agent: r.Agent, Outcome: r.Outcome, Runs: 1}
		if r.Ran != nil {
			one.Seconds = max(0, *r.Ran)
		}
		if r.Cost != nil {
			one.Cost = *r.Cost
		}
		sums.add([]Total{one})
	}
	return sums.list(), nil
}

type kind struct{ agent, outcome string }

// sum adds totals up.
type sum map[kind]*Total

func newSum(from []Total) sum {
	s := sum{}
	s.add(from)
	return s
}

func (s sum) add(all []Total) {
	for _, t := range all {
		k := kind{t.Agent, t.Outcome}
		if s[k] == nil {
			s[k] = &Total{Agent: t.Agent, Outcome: t.Outcome}
		}
		s[k].Runs += t.Runs
		s[k].Seconds += t.Seconds
		s[k].Cost.Add(t.Cost)
	}
}

func (s sum) list() []Total {
	keys := slices.SortedFunc(maps.Keys(s), func(a, b kind) int { return cmp.Or(cmp.Compare(a.agent, b.agent), cmp.Compare(a.outcome, b.outcome)) })
	all := make([]Total, 0, len(keys))
	for _, k := range keys {
		all = append(all, *s[k])
	}
	return all
}
