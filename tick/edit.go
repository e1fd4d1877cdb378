package tick

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"kugetsu/queue"
	"kugetsu/queue/fault"
	"kugetsu/queue/spool"
)

// Edit changes a waiting item. Under tick.lock it gives change the item as it is now, and its priority; change returns the
// priority that the item is to have. The error asks for exit code 1 where the item was started or settled meanwhile: change is not
// called then.
func (t *Tick) Edit(ctx context.Context, id string, change func(it *queue.Item, priority int) (int, error)) error {
	err := t.Locked(ctx, LockWait, func() error {
		e, it, err := t.item(id)
		if err != nil {
			return err
		}
		switch {
		case it.State == queue.Notified:
			return fault.New(fault.Failed, tooLate(it), "%s is running: only a waiting item can be edited", id)
		case it.State.Settled():
			is := "completed"
			if it.State == queue.Errored {
				is = "ended in an error"
			}
			return fault.New(fault.Failed, "kugetsu queue retry "+id+" puts it back, where it can be edited; retry takes --verify CMD itself", "%s %s: only a waiting item can be edited", id, is)
		}
		to := *it
		priority, err := change(&to, e.Priority)
		if err != nil {
			return err
		}
		if way, err := t.cycle(id, to.After); err != nil || way != nil {
			if err == nil {
				err = fault.New(fault.Failed, "kugetsu queue show "+id, "%s would wait for itself: %s", id, strings.Join(way, " waits for "))
			}
			return err
		}
		// An intake that lists the folder at this instant might see neither name.
		return t.Intake(ctx, func() error {
			_, err := t.Queue.Edit(e, it, &to, priority)
			return err
		})
	})
	if errors.Is(err, ErrLocked) {
		return Busy()
	}
	return err
}

// tooLate is what to do about an item that was started before it could be changed.
func tooLate(it *queue.Item) string {
	if it.IssueRef == "" {
		return "kugetsu queue cancel " + it.ID + " ends it"
	}
	return fmt.Sprintf(`kugetsu delegate %s "..." says more once it has ended; kugetsu queue cancel %s ends it`, it.IssueRef, it.ID)
}

// cycle is the way on which an item would wait for itself if it waited for others; nil where there is none. The state of the items
// on the way does not matter: a completed one may be retried.
func (t *Tick) cycle(id string, after []string) ([]string, error) {
	if len(after) == 0 {
		return nil, nil
	}
	locations, err := t.Queue.Locations()
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	var walk func(from string, after []string) ([]string, error)
	walk = func(from string, after []string) ([]string, error) {
		for _, next := range after {
			if next == id {
				return []string{from, id}, nil
			}
			if seen[next] {
				continue
			}
			seen[next] = true
			_, it, err := t.loadListed(next, locations)
			switch {
			case queue.IsAbsent(err), errors.Is(err, spool.ErrBad): // it waits for nothing
				continue
			case err != nil:
				return nil, err
			}
			if way, err := walk(next, it.After); err != nil || way != nil {
				return append([]string{from}, way...), err
			}
		}
		return nil, nil
	}
	return walk(id, after)
}
