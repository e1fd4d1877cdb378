package overview

import (
	"cmp"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/outcome"
	"kugetsu/queue/spool"
	"kugetsu/queue/terminal"
	"kugetsu/slots"
	"kugetsu/slots/forge"
	"kugetsu/slots/machine"
	"kugetsu/tick"
)

// exam is one reading of the files.
type exam struct {
	t        *tick.Tick
	now      time.Time
	view     *tick.View
	done     []Done
	settled  []*queue.Item // the items of done, in the same order
	names    []string      // of the sessions that were used last
	sessions map[string]*slots.Session
	requests []Request
	ready    []Request // that can be merged
	stuck    []Need    // the needs of the requests that need a person
	holds    map[tick.HoldTarget]*tick.Hold
	targets  []tick.HoldTarget // sorted
	bound    Bound
	problems []string
	ids      []string // of all settled items
}

func (x *exam) read() (err error) {
	if x.holds, x.targets, err = tick.Holds(x.t.Home); err != nil {
		return err
	}
	if err := x.readSettled(); err != nil {
		return err
	}
	return x.readSessions()
}

// readSettled reads the items that were settled last. Files that cannot be read are left to the tick.
func (x *exam) readSettled() error {
	entries, all, err := x.t.Queue.Newest(settledMost, func(id string) { x.ids = append(x.ids, id) })
	if err != nil {
		return err
	}
	x.bound.Settled, x.done = all, []Done{}
	for _, l := range x.t.Queue.LoadAll(entries) {
		it := l.Item
		if l.Err != nil || !it.State.Settled() || it.CompletedAt == nil {
			continue
		}
		x.bound.SettledRead++
		if it.State == queue.Errored {
			x.bound.Errors++
		}
		x.settled = append(x.settled, it)
	}
	slices.SortStableFunc(x.settled, func(a, b *queue.Item) int { return b.CompletedAt.Compare(*a.CompletedAt) })
	for _, it := range x.settled {
		x.done = append(x.done, doneOf(it))
	}
	return nil
}

func doneOf(it *queue.Item) Done {
	d := Done{Item: it.ID, Ref: it.IssueRef, Agent: it.Agent, State: it.State, At: *it.CompletedAt, Runs: it.Runs, Message: it.Message}
	if it.Error != nil {
		d.Error = *it.Error
	}
	var cost outcome.Cost
	for _, r := range it.History {
		if r.Cost != nil {
			cost.Add(*r.Cost)
		}
	}
	if cost != (outcome.Cost{}) {
		d.Cost = &cost
	}
	if last := it.Last(); last != nil {
		d.Outcome, d.Evidence, d.PRURL, d.Words = last.Outcome, last.Evidence, last.PRURL, last.Summary
		if last.StartedAt != nil {
			d.Took = max(0, last.EndedAt.Sub(*last.StartedAt))
		}
	}
	switch {
	case it.Cancelled():
		d.Ended = string(outcome.Cancelled)
	case it.DependencyFailed():
		d.Ended = "dependency failed"
	default:
		d.Ended = cmp.Or(string(d.Outcome), string(d.State))
	}
	return d
}

// readSessions reads the sessions that were used last, and what is known of their pull requests.
func (x *exam) readSessions() error {
	names, all, err := x.t.Home.NewestSessions(sessionsMost)
	if err != nil {
		return err
	}
	x.names, x.bound.Sessions, x.sessions = names, all, map[string]*slots.Session{}
	runs := map[string]*queue.Run{}
	for _, it := range x.settled {
		runs[it.ID] = it.Last()
	}
	read := make([]*slots.Session, len(names))
	spool.Each(len(names), func(i int) {
		if s, err := x.t.Home.ReadSession(names[i]); err == nil { // the doctor reports an error
			read[i] = s
		}
	})
	for i, name := range names {
		s := read[i]
		if s == nil {
			continue
		}
		x.bound.SessionsRead++
		x.sessions[s.IssueRef] = s
		if s.PRURL == "" {
			continue
		}
		r, err := x.t.Sessions().Shown(name, s)
		if err != nil {
			return err
		}
		if r.State == forge.Merged || r.State == forge.Closed {
			continue
		}
		one := Request{Session: name, Ref: s.IssueRef, Agent: s.Agent, Branch: s.Branch, URL: s.PRURL, State: r.State, Why: line(r.Why), LastUsed: s.LastUsedAt}
		if !r.AskedAt.IsZero() {
			one.AskedAt = &r.AskedAt
		}
		one.Says, one.Strip = r.Says(), Strip(runs[s.LastItem], s, r)
		if r.Ready() {
			x.ready = append(x.ready, one)
			continue
		}
		x.requests = append(x.requests, one)
		if n := stuck(s, r); n != nil {
			x.stuck = append(x.stuck, *n)
		}
	}
	return nil
}

func (x *exam) waiting() []Waiting {
	list := []Waiting{}
	for _, w := range x.view.Waiting {
		says := x.view.WhyNot(w)
		if says == "" {
			says = Starts(x.t.Home, x.now, x.view)
		}
		list = append(list, Waiting{Waiting: w, Says: says})
	}
	return list
}

func (x *exam) capacity() Capacity {
	c := Capacity{Occupied: x.view.Running, Limit: x.view.Limit, Waiting: len(x.view.Waiting) + x.view.Unread, Why: line(x.view.Why),
		LastTick: x.view.Last, NextTick: next(x.t.Home, x.now, x.view.Last), Unplanned: Unscheduled(x.t.Home, x.now, x.view), Holds: []string{}, Quota: x.t.Quotas()}
	if free, err := machine.FreeDisk(string(x.t.Home)); err == nil {
		c.Disk = &free
	}
	if available, err := x.t.Machine.Available(); err == nil {
		c.Memory = &available
	}
	for _, target := range x.targets {
		if h := x.holds[target]; !h.Ended(x.now) {
			c.Holds = append(c.Holds, line(h.Text(target)))
		}
	}
	return c
}

// undelivered says how many events NOTIFY_COMMAND did not take although a pass tried to deliver them, and since when. Of many
// events only the first are read. Their names begin with an item's id, so these are about the oldest.
func (x *exam) undelivered() (n int, oldest time.Time, err error) {
	const most = 100
	if x.t.Settings.NotifyCommand == "" || x.view.Last == nil {
		return 0, oldest, nil
	}
	names, err := spool.List(x.t.Queue.Events.Undelivered)
	if err != nil {
		return 0, oldest, err
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !strings.HasSuffix(name, ".json") })
	oldest = *x.view.Last
	for _, name := range names[:min(len(names), most)] {
		ev, err := x.t.Queue.Events.ReadUndelivered(name)
		if ev == nil || err != nil { // delivered meanwhile; the tick reports a bad one
			continue
		}
		if ev.At.Before(*x.view.Last) {
			n++
		}
		if ev.At.Before(oldest) {
			oldest = ev.At
		}
	}
	if n > 0 {
		n += max(0, len(names)-most)
	}
	return n, oldest, nil
}

// quarantined lists the files in bad/.
func (x *exam) quarantined() ([]string, error) {
	names, err := spool.List(x.t.Queue.Bad)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return names, err
}

// lineMost bounds a text of one line, in bytes.
const lineMost = 300

// line makes one clean line of a text.
func line(text string) string {
	return terminal.Line(strings.Join(strings.Fields(text), " "), lineMost)
}

// name is what people call the issue of an item.
func name(ref string) string { return cmp.Or(ref, "the PM agent") }
