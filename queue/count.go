package queue

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"time"

	"kugetsu/queue/event"
	"kugetsu/queue/ledger"
	"kugetsu/queue/spool"
	"kugetsu/queue/terminal"
)

// ledger is what a run of the item was and cost. handed is when it was handed over; nil where that is not known any more.
func (it *Item) ledger(r Run, handed *time.Time) ledger.Run {
	u := ledger.Run{Name: fmt.Sprintf("%s.%d", it.ID, r.Run), IssueRef: it.IssueRef, Agent: it.Agent, NotifiedAt: r.EndedAt,
		EndedAt: r.EndedAt, Outcome: string(r.Outcome), State: string(Pending), Cost: r.Cost, PeakMemory: r.PeakMemory}
	if r.StartedAt != nil {
		u.NotifiedAt = *r.StartedAt
		ran := seconds(r.EndedAt.Sub(*r.StartedAt))
		u.Ran = &ran
	}
	if handed != nil && !handed.IsZero() {
		u.NotifiedAt = *handed
	}
	waiting := it.PendingSince
	for _, before := range it.History {
		if before.Run < r.Run && before.EndedAt.After(waiting) {
			waiting = before.EndedAt
		}
	}
	u.Waited = seconds(u.NotifiedAt.Sub(waiting))
	return u
}

// seconds is a duration to the millisecond. A clock that was set back makes no time negative.
func seconds(d time.Duration) float64 { return max(0, d.Round(time.Millisecond).Seconds()) }

// count writes the line of a run into the ledger. If the day's file is no regular file it is quarantined: it must not keep the run
// from being settled.
func (q *Queue) count(u ledger.Run) error {
	if u.EndedAt.IsZero() { // the report of a runner is a file that others may change
		u.EndedAt = q.Now()
	}
	if u.NotifiedAt.IsZero() {
		u.NotifiedAt = u.EndedAt
	}
	err := q.Ledger.Add(u)
	if !errors.Is(err, spool.ErrBad) {
		return err
	}
	if err := q.quarantineLedger(q.Ledger.Path(&u), err); err != nil {
		return err
	}
	return q.Ledger.Add(u)
}

func (q *Queue) quarantineLedger(path string, why error) error {
	return q.QuarantineAs(path, "usage."+filepath.Base(path), why)
}

// KeepLedger makes sure that the ledger has each run of the items that exist, and removes days that are too old. It reads the items only
// if the ledger may lack runs. The caller has tick.lock.
//
// If a broken line's run is recorded nowhere else, the line is quarantined, and the file is written anew after that. After a crash
// between the two the next pass quarantines the line again, under the same name.
func (q *Queue) KeepLedger() error {
	found, err := q.Ledger.Check()
	if err != nil {
		return err
	}
	for _, path := range found.Bad {
		if err := q.quarantineLedger(path, fmt.Errorf("%s: %w", path, spool.ErrBad)); err != nil {
			return err
		}
	}
	if !found.Whole {
		runs, err := q.ended()
		if err != nil {
			return err
		}
		for _, day := range found.Damaged {
			if err := q.quarantineLines(day, runs); err != nil {
				return err
			}
		}
		if err := q.Ledger.Rebuild(runs, found.Damaged); err != nil {
			return err
		}
	}
	return q.Ledger.Checked()
}

// quarantineLines quarantines what is lost of a day. The name of its file comes from its content.
func (q *Queue) quarantineLines(day string, runs []ledger.Run) error {
	lost, err := q.Ledger.Lost(day, runs)
	if err != nil || len(lost) == 0 {
		return err
	}
	n := bytes.Count(lost, []byte{'\n'})
	base := fmt.Sprintf("usage.%s.%08x", day, crc32.ChecksumIEEE(lost))
	if err := q.Events.PutOnce(event.Bad(base, fmt.Errorf("%s of usage/%s: no record of a run, and no other is known", terminal.Count(n, "line"), day))); err != nil {
		return err
	}
	if err := spool.Publish(filepath.Join(q.Bad, base), lost); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// ended lists the runs that are in the histories of all items. An item that cannot be read is left out: a pass quarantines it.
func (q *Queue) ended() ([]ledger.Run, error) {
	locations, err := q.Locations()
	if err != nil {
		return nil, err
	}
	var all []ledger.Run
	for _, e := range locations {
		it, err := q.Load(e)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, spool.ErrBad), errors.Is(err, ErrNewer):
			continue
		case err != nil:
			return nil, err
		}
		for i, r := range it.History {
			if r.EndedAt.IsZero() {
				continue
			}
			u := it.ledger(r, nil)
			if i == len(it.History)-1 && it.State.Settled() {
				u.State = it.ending()
			}
			all = append(all, u)
		}
	}
	return all, nil
}

// amend tells the ledger of an item that ended without another run.
func (q *Queue) amend(it *Item) error {
	last := it.Last()
	if last == nil {
		return nil
	}
	return q.Ledger.Amend(it.ledger(*last, nil).Name, last.EndedAt, it.ending())
}

// ending is the state of the item for the ledger, which tells what a person ended from what went wrong.
func (it *Item) ending() string {
	if it.Cancelled() {
		return ledger.Cancelled
	}
	return string(it.State)
}
