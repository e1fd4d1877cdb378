// Package overview derives, from the files of a state folder, what people look at: what needs them, what runs, what waits and
// why, what is in review, what was done. The first screen, the digest and the page show one value of it, in one order.
//
// An overview takes no lock and writes nothing, so it may be outdated when it is shown. It opens a bounded number of files, however
// many items there are: the files that are shown, and the items and sessions that were written last. Older files are counted by their
// names; if the names do not tell enough, Bound says so.
//
// A need of a person is not stored. It follows from the state, and ends when its cause ends, or when a person dismisses it (see
// tick.Dismissal). One table, kinds in needs.go, says all that follows from a kind of need.
//
// Texts of agents, issues and forges that explain something (Need.Why, Running.Line) are cut to one line and cleaned here. Titles,
// messages and evidence are as they were written: the package that shows them cleans them.
package overview

import (
	"time"

	"kugetsu/queue"
	"kugetsu/queue/outcome"
	"kugetsu/slots/forge"
	"kugetsu/tick"
)

// Overview is everything that a person looks at. Empty sections are empty, never nil.
type Overview struct {
	At       time.Time `json:"at"`
	Healthy  bool      `json:"healthy"`  // nothing is broken and nothing failed. A healthy queue may still need a person: a request to merge
	Sentence string    `json:"sentence"` // one line: healthy or not, and what a person has to do
	Needs    []Need    `json:"needs"`    // the most urgent kind first, within a kind the newest
	Running  []Running `json:"runs"`
	Waiting  []Waiting `json:"waiting"`  // the first in run order, see Capacity.Waiting for how many there are
	Review   []Request `json:"review"`   // pull requests that are open, or whose state is not known
	Ready    []Request `json:"ready"`    // those that can be merged
	Done     []Done    `json:"done"`     // settled items, the newest first
	Capacity Capacity  `json:"capacity"` // why there is no more
	Bound    Bound     `json:"bound"`    // how much was read for all this
	Problems []string  `json:"problems"` // every fault in a line: what scripts read, and the texts behind some needs

	View *tick.View `json:"-"` // the snapshot that this is made of
	IDs  []string   `json:"-"` // of all items
}

// Need is one thing that a person has to do.
type Need struct {
	ID      string     `json:"id"` // stable while the cause lasts; kugetsu dismiss takes it
	Kind    Kind       `json:"kind"`
	What    string     `json:"what"`            // one line: what is wrong, and with what
	Why     string     `json:"why"`             // the reason in one line, cleaned; "" where What says all
	Since   *time.Time `json:"since,omitempty"` // nil where that is not known
	Command string     `json:"command"`         // the one command to type
	Item    string     `json:"item,omitempty"`
	Ref     string     `json:"issue_ref,omitempty"`
	Agent   string     `json:"agent,omitempty"`
	Cause   string     `json:"-"` // what a dismissal is for
}

// Running is a slot with a run that has not ended, or has ended and is not settled.
type Running struct {
	tick.SlotView
	Line string `json:"line,omitempty"` // the last thing that the agent said or did, cleaned
}

// Waiting is a pending item.
type Waiting struct {
	tick.Waiting
	Says string `json:"says"` // why and until when it waits, never empty
}

// Request is a session's pull request.
type Request struct {
	Session  string       `json:"session"`
	Ref      string       `json:"issue_ref"`
	Agent    string       `json:"agent"`
	Branch   string       `json:"branch"`
	URL      string       `json:"url"`
	State    forge.Status `json:"state"`
	AskedAt  *time.Time   `json:"asked_at,omitempty"` // nil: the forge was not asked yet
	Why      string       `json:"why,omitempty"`      // why the state is not known, cleaned
	Strip    string       `json:"strip"`              // how far the work on it is, see Strip
	Says     string       `json:"-"`                  // the part of it about the request, without its number
	LastUsed time.Time    `json:"last_used_at"`       // when a run worked on it last
}

// Done is a settled item, and how its newest run ended.
type Done struct {
	Item     string           `json:"item"`
	Ref      string           `json:"issue_ref"`
	Agent    string           `json:"agent"`
	State    queue.State      `json:"state"`
	Outcome  outcome.Outcome  `json:"outcome,omitempty"` // "" without a run
	Ended    string           `json:"ended"`             // how it ended, in a word or two: the outcome, unless the item did not end by its run
	At       time.Time        `json:"at"`                // when it was settled
	Took     time.Duration    `json:"took"`              // of the newest run, in nanoseconds; 0 where no agent started
	Runs     int              `json:"runs"`
	Evidence outcome.Evidence `json:"evidence"`
	Cost     *outcome.Cost    `json:"cost,omitempty"` // of all its runs; nil where no agent told
	PRURL    string           `json:"pr_url,omitempty"`
	Message  string           `json:"message"`         // what was asked
	Words    string           `json:"words,omitempty"` // the agent's last words, or why the run failed
	Error    string           `json:"error,omitempty"`
}

// Capacity is what limits how much runs.
type Capacity struct {
	Occupied  int          `json:"occupied"` // slots of dev agents
	Limit     int          `json:"limit"`    // MAX_CONCURRENT_AGENTS
	Waiting   int          `json:"waiting"`  // items, also those that were not read
	Why       string       `json:"why"`      // why nothing more starts; "" when something may
	Memory    *int64       `json:"memory,omitempty"`
	Disk      *int64       `json:"disk,omitempty"` // bytes that are free on the disk of the state folder; Memory is the bytes that are available; nil: not known
	Holds     []string     `json:"holds"`          // agents and hosts that are on hold, a line each
	Quota     []tick.Quota `json:"quota"`          // of the agents that told how much of it is used
	LastTick  *time.Time   `json:"last_tick"`
	NextTick  *time.Time   `json:"next_tick"` // nil where no schedule is known
	Unplanned string       `json:"unplanned,omitempty"`
}

// Bound says how many settled items and sessions there are, and how many of each were read: those written last.
type Bound struct {
	Settled      int `json:"settled"`
	SettledRead  int `json:"settled_read"`
	Errors       int `json:"errors"` // among those that were read
	Sessions     int `json:"sessions"`
	SessionsRead int `json:"sessions_read"`
}

const (
	// settledMost and sessionsMost are how many settled items and sessions are read, at a tenth of a millisecond each. A full queue
	// costs that much more than an empty one.
	settledMost  = 200
	sessionsMost = 200
)

// Read derives the overview. At most so many waiting items are read; all if most is negative. A bad configuration is a need, and
// no error.
func Read(t *tick.Tick, most int) (*Overview, error) {
	view, err := t.Glance(most)
	if err != nil {
		return nil, err
	}
	x := &exam{t: t, now: t.Now(), view: view}
	if err := x.read(); err != nil {
		return nil, err
	}
	needs, err := x.needs()
	if err != nil {
		return nil, err
	}
	o := &Overview{At: x.now, Needs: needs, Running: x.running(), Waiting: x.waiting(), Review: []Request{}, Ready: []Request{}, Done: x.done,
		Capacity: x.capacity(), Bound: x.bound, Problems: append(view.Problem, x.problems...), View: view, IDs: append(view.IDs, x.ids...)}
	if o.Problems == nil {
		o.Problems = []string{}
	}
	o.Review, o.Ready = append(o.Review, x.requests...), append(o.Ready, x.ready...)
	o.Healthy, o.Sentence = x.sentence(o)
	return o, nil
}
