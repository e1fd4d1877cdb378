package tick

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"syscall"
	"time"

	"kugetsu/queue"
	"kugetsu/slots"
	"kugetsu/slots/proc"
)

// A runner watches its agent, and a pass watches the runner. Three faults of a live runner are handled:
//
//	its lease is free     its agent unlocked the inherited lock. The run continues and occupies its slot as if the lease were locked
//	it is stopped         after its agent's time it is continued; it then keeps the work and records the end itself
//	it does not answer    after all its limits it is ended with everything it started, and the run is a timeout

// wakeAfter is how long a stopped runner is left alone after its agent's time. The agent's time begins when the worktree is ready;
// the runner should find it over.
const wakeAfter = 5 * time.Second

// isRunner returns a function that says whether the process that a notified item names is that item's runner.
func isRunner(it *queue.Item) func() bool {
	pid, run, born := *it.ForkPID, slots.RunName(it.ID, it.Runs), it.Runner
	if born == nil || born.Birth == "" { // written by an older kugetsu
		// In any state folder: a live runner is never taken for gone.
		return func() bool { return proc.Carries(pid, proc.Run{Name: run}) }
	}
	return func() bool { return proc.Birth(pid) == born.Birth }
}

// ours returns a function that says whether the process is the runner of an item of this state folder. If the folder is a copy, the
// same run of the original does not count.
func (t *Tick) ours(it *queue.Item) func() bool {
	is, run := isRunner(it), t.Home.Processes(slots.RunName(it.ID, it.Runs))
	return func() bool { return is() && proc.Carries(*it.ForkPID, run) }
}

// unlocked says whether the runner of a notified item lives although its lease is free. Without a record of the process the lease
// alone decides.
func (t *Tick) unlocked(it *queue.Item) bool {
	return it.ForkPID != nil && it.Runner != nil && it.Runner.Birth != "" && t.ours(it)()
}

// Lives says whether the run that a slot names lives although its lease is free.
func (t *Tick) Lives(in *slots.Intent) bool {
	_, it, err := t.itemIn(in)
	return err == nil && it.State == queue.Notified && it.Runs == in.Run && t.engineOf(it).looks(it)
}

// age is how long ago a runner was started, by a clock that cannot be set; 0 if that is not known.
func age(it *queue.Item) time.Duration {
	if it.Runner == nil || it.Runner.Clock == 0 || proc.Clock() == 0 {
		return 0
	}
	return proc.Clock() - it.Runner.Clock
}

// Beyond says whether the run of a notified item has exceeded all its limits together.
func Beyond(it *queue.Item) bool {
	return it.State == queue.Notified && it.Runner != nil && age(it) > slots.Limit(it.Runner.Timeout, it.Runner.Verify)
}

// watch checks a live runner, ends it if it does not answer, and returns true then. in is nil where no slot names the run.
func (t *Tick) watch(ctx context.Context, slot string, in *slots.Intent, it *queue.Item) (ended bool, err error) {
	run := slots.RunName(it.ID, it.Runs)
	if !t.ours(it)() {
		return false, nil
	}
	if Beyond(it) && age(it) > slots.Limit(it.Runner.Timeout, it.Runner.Verify)+slots.Slack {
		// The mark comes first: if this pass is killed, the next one knows why the runner is gone.
		if err := t.Home.MarkOverdue(run); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
		t.Log.Warn("the runner of a run beyond its limit does not answer: it is ended", "run", run, "after", age(it).Round(time.Second).String())
		return true, t.endRunner(ctx, slot, in, it)
	}
	if it.Runner != nil && age(it) > it.Runner.Timeout+wakeAfter && proc.Stopped(*it.ForkPID) {
		t.Log.Warn("a runner is stopped after its agent's time: it is continued", "run", run, "pid", *it.ForkPID)
		proc.Tell(*it.ForkPID, t.ours(it), syscall.SIGCONT)
	}
	return false, nil
}

// endRunner ends a runner and everything it started.
func (t *Tick) endRunner(ctx context.Context, slot string, in *slots.Intent, it *queue.Item) error {
	run, lock := slots.RunName(it.ID, it.Runs), ""
	if in != nil {
		var err error
		if lock, err = filepath.EvalSymlinks(t.Home.SlotLock(slot)); err != nil {
			return err
		}
	}
	err := proc.EndRunner(*it.ForkPID, t.ours(it), run, slots.IsRunner(lock))
	if in == nil {
		return errors.Join(err, t.endMarked(ctx, run))
	}
	return errors.Join(err, t.endLockHolders(ctx, slot, in))
}

// EndUnanswered ends a cancelled run whose runner does not answer. The caller has waited for an answer.
func (t *Tick) EndUnanswered(ctx context.Context, id string) error {
	err := t.Locked(ctx, LockWait, func() error {
		_, it, err := t.item(id)
		if err != nil {
			return err
		}
		run := slots.RunName(it.ID, it.Runs)
		marked, err := t.Home.Cancelled(run)
		if err != nil || !marked || it.State != queue.Notified {
			return err
		}
		slot, in, err := t.slotOf(run)
		if err != nil {
			return err
		}
		return t.engineOf(it).end(ctx, slot, in, it)
	})
	if errors.Is(err, ErrLocked) {
		return Busy()
	}
	return err
}

// slotOf is the slot that names a run, with its intent; nil if no slot does.
func (t *Tick) slotOf(run string) (string, *slots.Intent, error) {
	names, err := t.Home.Names()
	if err != nil {
		return "", nil, err
	}
	for _, name := range names {
		if in, err := t.Home.ReadIntent(name); err == nil && in != nil && in.RunName() == run {
			return name, in, nil
		}
	}
	return "", nil, nil
}

// sessionInUse says whether a run whose lease is free works in a session.
func (t *Tick) sessionInUse(session string) bool {
	names, err := t.Home.Names()
	if err != nil {
		return true
	}
	for _, name := range names {
		if in, err := t.Home.ReadIntent(name); err == nil && in != nil && in.Session == session && t.Lives(in) {
			return true
		}
	}
	return false
}
