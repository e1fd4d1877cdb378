package queue

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"kugetsu/queue/event"
	"kugetsu/queue/outcome"
	"kugetsu/queue/spool"
	"kugetsu/queue/terminal"
)

// ParseTimeout reads how long the runs of an item may take: 90m, 1h30m.
func ParseTimeout(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err == nil && d <= 0 {
		err = fmt.Errorf("%q is not a time", terminal.Clip(s, 60))
	}
	return d, err
}

// RunLimit is how long a run of the item may take: what the item says, else the setting's.
func (it *Item) RunLimit(setting time.Duration) time.Duration {
	if it.Timeout == "" {
		return setting
	}
	d, err := ParseTimeout(it.Timeout)
	if err != nil { // decode refuses such an item: see misordered
		return setting
	}
	return d
}

// misordered says what is wrong with an item's dependencies or its timeout; "" where both are good.
func (it *Item) misordered() string {
	for _, id := range it.After {
		switch {
		case !IsID(id):
			return fmt.Sprintf("it waits for %q", terminal.Clip(id, 60))
		case id == it.ID: // it would wait for ever
			return "it waits for itself"
		}
	}
	if it.Timeout != "" {
		if _, err := ParseTimeout(it.Timeout); err != nil {
			return fmt.Sprintf("timeout %q", terminal.Clip(it.Timeout, 60))
		}
	}
	return ""
}

// Cancelled says whether the item was ended by hand.
func (it *Item) Cancelled() bool {
	return it.State == Errored && it.Error != nil && *it.Error == string(outcome.Cancelled)
}

// dependencyFailed precedes the reason in the error of an item that was settled for a dependency.
const dependencyFailed = "dependency: "

// DependencyFailed says whether the item was settled without a run, because an item that it depends on can never complete.
func (it *Item) DependencyFailed() bool {
	return it.State == Errored && it.Error != nil && strings.HasPrefix(*it.Error, dependencyFailed)
}

// FailDependency is Fail for an item that waits for one which can never complete.
func (q *Queue) FailDependency(e Entry, it *Item, why string) error {
	return q.Fail(e, it, dependencyFailed+why)
}

// Fail settles a pending item as an error, without a run: it can never start.
//
// The event comes first, as in Publish. Its name holds the time since which the item is pending, too: the event of an
// earlier run that failed, before a retry, is another one. A crash before the last write makes the next tick repeat the others
// under the same name. A crash after it leaves a settled item in its lane: the next tick files it.
func (q *Queue) Fail(e Entry, it *Item, why string) error {
	if it.State != Pending {
		return fmt.Errorf("%s is %s, not pending", it.ID, it.State)
	}
	it.finish(Errored, why, q.Now())
	ev := about(it, event.TaskError, *it.Error)
	ev.Name = fmt.Sprintf("%s.%d", ev.Name, it.PendingSince.UnixMilli())
	if err := q.Events.Put(ev); err != nil {
		return err
	}
	if err := q.amend(it); err != nil {
		return err
	}
	return q.save(e, it)
}

// Move gives a live item another priority with one rename: at any instant the item has the old or the new one. An old name
// that was remembered is a hint only (see FindHinted).
func (q *Queue) Move(e Entry, priority int) (Entry, error) {
	to := Entry{ID: e.ID, Priority: priority, Path: filepath.Join(filepath.Dir(e.Path), fileName(priority, e.ID))}
	if to.Path == e.Path {
		return e, nil
	}
	there, err := spool.Exists(to.Path)
	if err == nil && there { // a copy made by hand: a rename would delete it
		err = fmt.Errorf("%s: %w", to.Path, fs.ErrExist)
	}
	if err != nil {
		return e, err
	}
	return to, spool.Rename(e.Path, to.Path)
}

// Public is the part of an item that means the same in every version of the format. Fields may be missing.
type Public struct {
	IssueRef string   `json:"issue_ref"`
	Message  string   `json:"message"`
	State    State    `json:"state"`
	After    []string `json:"after"`
	Branch   string   `json:"branch"`
	OnTop    string   `json:"on_top"`
}

// LivePublic calls each with the public part of every live item. Items of a newer kugetsu are among them: this version does
// not run those, but must neither delete what they need nor enqueue the same again. Files that are not items are passed
// over; the tick quarantines them. An error means that items may have been missed.
func (q *Queue) LivePublic(each func(id string, p Public)) error {
	for _, lane := range Lanes {
		entries, err := q.Live(lane)
		if err != nil {
			return err
		}
		for _, e := range entries {
			data, err := spool.Read(e.Path)
			if errors.Is(err, fs.ErrNotExist) { // its priority was changed meanwhile, or it was filed
				if e, err = q.Find(e.ID); err == nil {
					data, err = spool.Read(e.Path)
				}
			}
			switch {
			case errors.Is(err, fs.ErrNotExist), errors.Is(err, spool.ErrBad):
				continue
			case err != nil:
				return err
			}
			var p Public
			_ = json.Unmarshal(data, &p) // a field that cannot be read does not hide the others
			each(e.ID, p)
		}
	}
	return nil
}
