package tick

import (
	"context"
	"errors"
	"path/filepath"

	"kugetsu/queue"
	"kugetsu/queue/fault"
	"kugetsu/queue/issueref"
)

// Intake calls do under intake.lock. A command that enqueues a task only if no such task is queued asks and enqueues under this lock, so
// that two such commands do not both enqueue. Intake waits for the lock for LockWait. It may be called under tick.lock; tick.lock is
// never taken under intake.lock.
func (t *Tick) Intake(ctx context.Context, do func() error) error {
	err := locked(ctx, filepath.Join(string(t.Home), "intake.lock"), LockWait, nil, do)
	if errors.Is(err, ErrLocked) {
		return fault.New(fault.Temp, "try again", "intake.lock is locked by another kugetsu")
	}
	return err
}

// Queued is the live item that does the same as a new item, "" for none: the item of the same issue or, without an issue, the item with
// the same message. A task without a key has a name of its own, so its message is compared with those of the tasks in its repository.
// The caller has intake.lock.
func (t *Tick) Queued(it *queue.Item) (string, error) {
	same := func(p queue.Public) bool { return p.IssueRef == "" && p.Message == it.Message }
	switch ref := it.Ref(); {
	case ref.Task != "" && ref.Task == issueref.TaskOf(it.ID):
		same = func(p queue.Public) bool {
			other, err := issueref.Canonical(p.IssueRef)
			return err == nil && other.Task != "" && other.RepoName() == ref.RepoName() && p.Message == it.Message
		}
	case it.IssueRef != "":
		issue := issueref.Same(it.IssueRef)
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
			return fault.New(fault.Failed, "kugetsu queue retry "+id+" puts it back", "%s is %s: only a live item has a priority", id, it.State)
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
