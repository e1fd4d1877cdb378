package tick

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/fault"
	"kugetsu/queue/outcome"
	"kugetsu/slots"
)

// LockWait is how long commands that act on an item wait for tick.lock.
const LockWait = 10 * time.Second

// Dispatch hands a new item to a runner at once, past the queue: start and continue. It takes the same lock, uses the same count and
// does the same steps as a pass. The error has exit code 2 if there is no free slot or session; nothing was enqueued then.
func (t *Tick) Dispatch(ctx context.Context, it *queue.Item, priority int) (Report, error) {
	var report Report
	if t.Config != nil {
		return report, t.Config
	}
	err := t.Locked(ctx, LockWait, func() error {
		k, reconcileErr := t.reconcile(ctx, &report)
		if reconcileErr != nil {
			t.Log.Warn("reconcile", "err", reconcileErr) // what is unknown counts as occupied
		}
		el := t.eligibility(k)
		if el.closed.Kind != Eligible {
			return el.closed.refusal()
		}
		if it.Mode == queue.Start {
			if err := t.isNew(it); err != nil {
				return err
			}
		}
		return t.dispatch(ctx, it, priority, el, &report)
	})
	if errors.Is(err, ErrLocked) {
		return report, Busy()
	}
	return report, err
}

// isNew refuses to start an issue that already has a session or a live item.
func (t *Tick) isNew(it *queue.Item) error {
	s, err := t.Home.ReadSession(sessionOf(it))
	if err != nil {
		return err
	}
	if s != nil {
		return fault.New(fault.Failed, fmt.Sprintf(`kugetsu continue %s "what to do" goes on in it`, it.IssueRef), "%s already has a session", it.IssueRef)
	}
	live, err := t.Queue.Live(queue.Dev)
	if err != nil {
		return err
	}
	for _, e := range live {
		other, err := t.Queue.Load(e)
		if err != nil {
			continue // an unreadable item belongs to no issue; the next pass reports it
		}
		if other.Ref().Session() == it.Ref().Session() {
			return fault.New(fault.Failed, fmt.Sprintf(`kugetsu delegate %s "what to do" enqueues another task behind it`, it.IssueRef), "%s is already in the queue, as %s", it.IssueRef, e.ID)
		}
	}
	return nil
}

func (t *Tick) dispatch(ctx context.Context, it *queue.Item, priority int, el *eligibility, report *Report) error {
	c := el.candidate(queue.Dev, it)
	if r := el.why(c); r.Kind != Eligible {
		return r.refusal()
	}
	p, err := t.reserve(ctx, c, el, report)
	switch {
	case errors.Is(err, errNoSlot):
		return Reason{Kind: SlotsOccupied, Text: "no free slot"}.refusal()
	case err != nil:
		return err
	case p == nil:
		return busySession.refusal()
	}
	defer p.close()
	// The item is published only after the reservation: a refused command leaves nothing behind. From here on a crash leaves a
	// pending item, which the next pass starts.
	e, err := t.Queue.Publish(it, queue.Dev, priority)
	if err != nil {
		return err
	}
	if err := t.hand(ctx, p, e, c, el, report); err != nil {
		return fault.New(fault.Temp, "the next tick starts it", "%s is enqueued and could not be started: %w", it.ID, err)
	}
	return nil
}

// ErrOver is returned if the item to be cancelled is an error already: nothing is left to do.
var ErrOver = errors.New("it is an error already")

// Cancel ends an item for good. A pending item is settled at once. A running item is marked, so that it is not retried however its
// run ends, and its runner is told. Then running is true: the caller should wait for the end.
func (t *Tick) Cancel(ctx context.Context, id string) (running bool, err error) {
	err = t.Locked(ctx, LockWait, func() error {
		var report Report
		if _, err := t.reconcile(ctx, &report); err != nil {
			t.Log.Warn("reconcile", "err", err)
		}
		e, it, err := t.item(id)
		if err != nil {
			return err
		}
		switch it.State {
		case queue.Pending:
			if err := t.Queue.Cancel(e, it); err != nil {
				return err
			}
			_, err = t.Queue.File(e)
			return err
		case queue.Notified:
			running = true
			run := slots.RunName(it.ID, it.Runs)
			// The mark comes first: a runner that gets the signal looks for it, and one that dies of the signal leaves it behind.
			if err := t.Home.MarkCancelled(run); err != nil {
				return err
			}
			t.engineOf(it).tell(ctx, it)
			return nil
		case queue.Errored:
			if it.Error == nil || *it.Error != string(outcome.Cancelled) {
				return ErrOver
			}
		}
		return fault.New(fault.Failed, "kugetsu queue show "+it.ID, "%s is settled already: %s", it.ID, it.State)
	})
	if errors.Is(err, ErrLocked) {
		return false, Busy()
	}
	return running, err
}

// Retry puts a settled item back into the queue and counts its attempts from zero. Its worktree and conversation are kept. Change may
// change it in the same write, so that no pass starts it as it was. It returns what the item was.
func (t *Tick) Retry(ctx context.Context, id string, change func(it *queue.Item) error) (was queue.State, err error) {
	err = t.Locked(ctx, LockWait, func() error {
		var report Report
		// A slot may still name the item's last run. That run must be settled before the item moves.
		k, err := t.reconcile(ctx, &report)
		if err != nil {
			t.Log.Warn("reconcile", "err", err)
		}
		e, it, err := t.item(id)
		if err != nil {
			return err
		}
		if _, live := t.Queue.Lane(e); live || k.items[id] {
			return fault.New(fault.Failed, "kugetsu queue wait "+it.ID, "%s is %s: only a settled item can be retried", it.ID, it.State)
		}
		if err := t.checkRetry(it); err != nil {
			return err
		}
		was = it.State
		if err := change(it); err != nil {
			return err
		}
		_, err = t.Queue.Retry(e, it)
		return err
	})
	if errors.Is(err, ErrLocked) {
		return was, Busy()
	}
	return was, err
}
