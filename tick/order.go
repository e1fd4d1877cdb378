package tick

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"kugetsu/queue"
	"kugetsu/queue/fault"
	"kugetsu/slots"
)

// Intake does something under intake.lock: whoever looks whether something is queued, and else enqueues it, does both
// there, so that two of them do not both enqueue. It waits for the lock as the commands that act wait for tick.lock, and
// may be called under that; never the other way round.
func (t *Tick) Intake(ctx context.Context, do func() error) error {
	err := locked(ctx, filepath.Join(string(t.Home), "intake.lock"), LockWait, do)
	if errors.Is(err, ErrLocked) {
		return fault.New(fault.Temp, "try again", "another kugetsu holds intake.lock")
	}
	return err
}

// Queued is the live item that does what a new one would: that of the same issue or, where the new one has none, of the
// same message. It is "" when there is none. Under intake.lock.
func (t *Tick) Queued(it *queue.Item) (string, error) {
	same := func(p queue.Public) bool { return p.IssueRef == "" && p.Message == it.Message }
	if it.IssueRef != "" {
		issue := SameIssue(it.IssueRef)
		same = func(p queue.Public) bool { return issue(p.IssueRef) }
	}
	found := ""
	err := t.Queue.LivePublic(func(id string, p queue.Public) {
		if found == "" && !p.State.Settled() && same(p) {
			found = id
		}
	})
	return found, err
}

// Prioritize gives a live item another priority, also while it runs: the file name in its slot is a hint only.
func (t *Tick) Prioritize(ctx context.Context, id string, priority int) error {
	err := t.Locked(ctx, LockWait, func() error {
		e, it, err := t.item(id)
		if err != nil {
			return err
		}
		if _, live := t.Queue.Lane(e); !live || it.State.Settled() {
			return fault.New(fault.Failed, "kugetsu queue retry "+id+" puts it back", "%s is %s: only what is live has a place in the queue", id, it.State)
		}
		// An intake that lists the folder at this instant might see neither name.
		return t.Intake(ctx, func() error {
			_, err := t.Queue.Move(e, priority)
			return err
		})
	})
	if errors.Is(err, ErrLocked) {
		return Busy()
	}
	return err
}

// WhyNot says what keeps a waiting item from starting now; "" when the next tick starts it, or one before it.
func (v *View) WhyNot(w Waiting) string {
	switch {
	case w.Why != "":
		return w.Why
	case v.closed != "":
		return v.closed
	case w.Lane == queue.PM && v.taken.slots[slots.PMSlot]:
		return "the PM agent works on another"
	case w.Lane == queue.PM:
		return ""
	}
	return v.Why
}

// When says when an item starts that was just enqueued; "" when it is not waiting.
func (v *View) When(id string) string {
	ahead := map[queue.Lane]int{} // how many may start before it
	for _, w := range v.Waiting {
		if w.Item != id {
			if w.Why == "" {
				ahead[w.Lane]++
			}
			continue
		}
		free := 1
		if w.Lane == queue.Dev {
			free = v.Limit - v.Running
		}
		why := v.WhyNot(w)
		if why == "" && ahead[w.Lane] >= free {
			why = "no free slot"
		}
		switch {
		case why == "":
			return "the next tick starts it; kugetsu tick makes one now"
		case w.Why == "" && ahead[w.Lane] > 0:
			return fmt.Sprintf("not yet: %s, and %d before it", why, ahead[w.Lane])
		}
		return "not yet: " + why
	}
	return ""
}

// Stuck says that nothing runs and that everything which waits does so for another that cannot start either: they wait for
// each other, or for what a newer kugetsu wrote. No pass changes that. A slot that names an item is not yet settled.
func (v *View) Stuck() bool {
	for _, s := range v.Slots {
		if s.Held || s.Item != "" {
			return false
		}
	}
	return !slices.ContainsFunc(v.Waiting, func(w Waiting) bool { return !w.blocked })
}
