package tick

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/event"
	"kugetsu/queue/outcome"
	"kugetsu/queue/spool"
	"kugetsu/slots"
	"kugetsu/slots/proc"
)

// occupied is what the slots hold, as this pass knows it.
type occupied struct {
	dev      int               // slots of dev agents that are occupied, or not known to be free
	slots    map[string]bool   // the same by name, and the PM agent's
	away     map[string]bool   // slots of runs that take no memory of this machine
	awayRuns map[string]bool   // those runs
	items    map[string]bool   // named by a slot
	sessions map[string]bool   // named by a slot
	runs     map[string]bool   // named by a slot
	unknown  bool              // a slot names a run that could not be read
	chosen   map[string]string // the agents of the items that start: their files may not say it yet
}

// agentOf is the agent of an item that a slot names.
func (k *occupied) agentOf(it *queue.Item) string { return cmp.Or(k.chosen[it.ID], it.Agent) }

func (k *occupied) occupy(slot string, in *slots.Intent) {
	if !k.slots[slot] {
		k.slots[slot] = true
		if slot != slots.PMSlot {
			k.dev++
		}
	}
	if in == nil {
		return
	}
	k.items[in.Item] = true
	k.sessions[in.Session] = true
	k.runs[in.RunName()] = true
	if in.Engine != "" {
		k.away[slot], k.awayRuns[in.RunName()] = true, true
	}
}

func newOccupied() *occupied {
	return &occupied{slots: map[string]bool{}, away: map[string]bool{}, awayRuns: map[string]bool{}, items: map[string]bool{}, sessions: map[string]bool{}, runs: map[string]bool{}, chosen: map[string]string{}}
}

// reconcile inspects every slot, also those beyond today's limit, and settles the runs that ended. It reads one item per slot
// and never the queue. A slot whose state is not known counts as occupied.
func (t *Tick) reconcile(ctx context.Context, report *Report) (*occupied, error) {
	k := newOccupied()
	t.heard = hearing{}
	names, err := t.Home.Names()
	if err != nil {
		k.unknown = true
		return k, err
	}
	var errs []error
	for _, slot := range names {
		in, occupied, err := t.reconcileSlot(ctx, slot, report)
		if occupied || err != nil {
			k.occupy(slot, in)
			k.unknown = k.unknown || in == nil
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("slot %s: %w", slot, err))
		}
	}
	return k, errors.Join(errs...)
}

// reconcileSlot settles the run in a slot, unless the slot is locked. The lease is tried before the marker is read.
func (t *Tick) reconcileSlot(ctx context.Context, slot string, report *Report) (in *slots.Intent, occupied bool, err error) {
	lock, err := slots.TryLock(t.Home.SlotLock(slot))
	if errors.Is(err, slots.ErrBusy) {
		if in, err = t.Home.ReadIntent(slot); err != nil {
			return nil, true, t.ignoreBad(slot, err)
		}
		if lock, err = t.lockAgain(ctx, t.Home.SlotLock(slot), slot, in); errors.Is(err, slots.ErrBusy) {
			return in, true, nil
		}
	}
	if err != nil {
		return in, true, err
	}
	defer lock.Close()
	return t.settleSlot(ctx, slot, report)
}

// ignoreBad drops the error of an unreadable intent while its slot is locked: the file is quarantined once the slot is free. The
// file of a newer kugetsu is reported once and keeps its slot until that version runs.
func (t *Tick) ignoreBad(slot string, err error) error {
	switch {
	case errors.Is(err, spool.ErrBad):
		return nil
	case errors.Is(err, spool.ErrNewer):
		return t.leaveAlone("slot."+slot+".json", err)
	}
	return err
}

// leaveAlone reports, once, a file of a newer kugetsu.
func (t *Tick) leaveAlone(name string, err error) error {
	return t.Queue.Events.PutOnce(event.LeftAlone(name, err))
}

// orphanLimit limits the wait for the processes of a dead runner. tick.lock is locked meanwhile.
const orphanLimit = 3 * time.Second

// teardown limits the wait for the locks of a killed process. The kernel frees the memory of the process first, and nothing shows
// its owner from then on. The locks follow later: 30 ms for an agent of 700 MB, and more on a busy machine.
const teardown = time.Second

// lockAgain tries the lock of a slot, or of its session, again. That helps if only a reader has the lock, and if the runner is gone and
// only its children still have the lease. A dead runner enforces no timeout, so lockAgain ends such children first.
func (t *Tick) lockAgain(ctx context.Context, path, slot string, in *slots.Intent) (*slots.Lock, error) {
	if in == nil {
		return slots.TryLockPatiently(path)
	}
	marker, err := t.Home.ReadMarker(in.RunName())
	if err != nil {
		return nil, err
	}
	if marker.Phase == slots.Ended {
		if lock, err := slots.TryLockPatiently(path); !errors.Is(err, slots.ErrBusy) {
			return lock, err
		}
	}
	_, it, err := t.itemIn(in)
	if err != nil || it.State != queue.Notified || it.Runs != in.Run {
		return nil, slots.ErrBusy
	}
	if it.ForkPID == nil { // a run elsewhere, whose locks reach this machine: if its job is gone, it is fenced
		if it.Runner != nil && it.Runner.Engine != "" {
			_, _, err = t.engineOf(it).look(ctx, slot, in, it)
		}
		return nil, cmp.Or(err, slots.ErrBusy)
	}
	if isRunner(it)() {
		if ended, err := t.watch(ctx, slot, in, it); err != nil || !ended {
			return nil, cmp.Or(err, slots.ErrBusy)
		}
		return slots.TryLockFor(path, teardown)
	}
	if marker.Phase == slots.Ended && path != t.Home.SlotLock(slot) {
		return nil, slots.ErrBusy // a destroy, for example: an ended run leaves nothing that has the session's lock alone
	}
	t.Log.Warn("a runner is dead and its processes are not: they are ended", "run", in.RunName())
	if err := t.endLockHolders(ctx, slot, in); err != nil {
		t.Log.Warn("the processes of a dead runner could not be ended", "run", in.RunName(), "err", err)
	}
	lock, err := slots.TryLockFor(path, teardown)
	if errors.Is(err, slots.ErrBusy) {
		t.Log.Warn("a dead runner's slot is locked by a process that may not be signalled", "slot", slot, "run", in.RunName())
	}
	return lock, err
}

func (t *Tick) endMarked(ctx context.Context, run string) error {
	ctx, cancel := context.WithTimeout(ctx, orphanLimit)
	defer cancel()
	return proc.Kill(ctx, t.Home.Processes(run), nil)
}

// endLockHolders ends the children of a dead runner: those with the run's mark, and those without it that still have the lease.
func (t *Tick) endLockHolders(ctx context.Context, slot string, in *slots.Intent) error {
	lock := &proc.Lock{Named: func() bool {
		now, err := t.Home.ReadIntent(slot)
		return err == nil && now != nil && now.RunName() == in.RunName()
	}}
	var errs [2]error
	lock.Slot, errs[0] = filepath.EvalSymlinks(t.Home.SlotLock(slot))
	lock.Session, errs[1] = filepath.EvalSymlinks(t.Home.SessionLock(in.Session))
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, orphanLimit)
	defer cancel()
	return proc.Kill(ctx, t.Home.Processes(in.RunName()), lock)
}

// itemIn finds the item that a slot names, without a listing of the queue.
func (t *Tick) itemIn(in *slots.Intent) (queue.Entry, *queue.Item, error) {
	e, err := t.Queue.FindHinted(in.Item, in.File)
	if err != nil {
		return e, nil, err
	}
	it, err := t.Queue.Load(e)
	return e, it, err
}

func (t *Tick) item(id string) (queue.Entry, *queue.Item, error) {
	e, err := t.Queue.Find(id)
	if err != nil {
		return e, nil, err
	}
	it, err := t.Queue.Load(e)
	return e, it, err
}

// settleSlot settles the run that a locked slot names and empties the slot. It also takes the session's lock: a worktree in use
// belongs to a live run.
//
// The order is: settle, file, empty. Each step is one rename and may be repeated. As long as the slot names the run, the next tick
// knows that work is left.
func (t *Tick) settleSlot(ctx context.Context, slot string, report *Report) (in *slots.Intent, occupied bool, err error) {
	in, occupied, err = t.readSlot(slot)
	if in == nil || err != nil {
		return nil, occupied, err
	}
	path := t.Home.SessionLock(in.Session)
	session, err := slots.TryLockPatiently(path)
	if errors.Is(err, slots.ErrBusy) { // only the slot's lock was unlocked, or another process works in the worktree
		if session, err = t.lockAgain(ctx, path, slot, in); errors.Is(err, slots.ErrBusy) {
			return in, true, nil
		}
	}
	if err != nil {
		return in, true, err
	}
	defer session.Close()

	e, it, err := t.itemIn(in)
	switch {
	case queue.IsAbsent(err) && t.Config == nil:
		// The item of a live run was deleted by hand.
		if gone, err := t.engineNamed(in.Engine).forsake(ctx, in); err != nil || !gone {
			return in, true, err
		}
		return in, false, t.Home.Empty(slot)
	case queue.IsAbsent(err): // with a bad configuration the item may lie in a queue that we do not know
		return in, true, nil
	case errors.Is(err, spool.ErrBad) && in.Engine != "" && !t.forsaken(ctx, in): // its session is not free
		return in, true, nil
	case errors.Is(err, spool.ErrBad):
		if err := t.Queue.Quarantine(e.Path, err); err != nil {
			return in, true, err
		}
		return in, false, t.Home.Empty(slot)
	case errors.Is(err, queue.ErrNewer): // it occupies its slot until a newer kugetsu runs
		return in, true, err
	case err != nil:
		return in, true, err
	}
	lane, live := t.Queue.Lane(e)
	switch {
	case it.State == queue.Pending && live && in.Run == it.Runs+1:
		// A tick died while it dispatched. The runner, if it was started, did nothing: its gate closed without a task.
		if err := t.Home.DropRun(in.RunName()); err != nil {
			return in, true, err
		}
	case it.State == queue.Notified && in.Run == it.Runs:
		if occupied, err := t.settle(ctx, slot, in, e, it, report); occupied || err != nil {
			return in, true, err
		}
	}
	if live && it.State.Settled() {
		t.Log.Debug("filed", "item", it.ID, "lane", lane)
		if _, err := t.Queue.File(e); err != nil {
			return in, true, err
		}
	}
	return in, false, t.Home.Empty(slot)
}

// forsaken says whether nothing can be left of a run whose item cannot be read.
func (t *Tick) forsaken(ctx context.Context, in *slots.Intent) bool {
	gone, err := t.engineNamed(in.Engine).forsake(ctx, in)
	if err != nil {
		t.Log.Warn("a run whose item cannot be read is left as it is", "run", in.RunName(), "err", err)
	}
	return gone && err == nil
}

// readSlot reads which run a locked slot names. A slot file that cannot be read is quarantined, or keeps its slot occupied.
func (t *Tick) readSlot(slot string) (in *slots.Intent, occupied bool, err error) {
	in, err = t.Home.ReadIntent(slot)
	switch {
	case errors.Is(err, spool.ErrBad):
		// The run is found again through its item, which no slot names from now on.
		t.Log.Warn("an unreadable slot file was quarantined", "slot", slot, "err", err)
		return nil, false, t.Queue.QuarantineAs(t.Home.IntentPath(slot), "slot."+slot+".json", err)
	case err != nil:
		return nil, true, t.ignoreBad(slot, err)
	}
	return in, false, nil
}

// settle records the end of a notified item's newest run. The caller has found its lease free. in is nil where no slot names the
// run. occupied means that the run lives, though its lease is free.
func (t *Tick) settle(ctx context.Context, slot string, in *slots.Intent, e queue.Entry, it *queue.Item, report *Report) (occupied bool, err error) {
	run := slots.RunName(it.ID, it.Runs)
	marker, lives, err := t.engineOf(it).look(ctx, slot, in, it)
	if err != nil || lives {
		return lives, err
	}
	if marker.Phase != slots.Ended || in == nil {
		// The lease is free, but a process may have closed its share of it and live on.
		if err := t.endMarked(ctx, run); err != nil {
			return false, fmt.Errorf("%s: %w", run, err)
		}
	}
	if marker.Phase != slots.Ended {
		// The runner died before it could do this. An agent leaves megabytes there.
		if err := t.Home.DropTmp(run); err != nil {
			t.Log.Warn("the temporary files of a run are left", "run", run, "err", err)
		}
	}
	boot := ""
	if in != nil {
		boot = in.Boot
	}
	r, of, err := t.result(it, run, marker, boot)
	if err != nil {
		return false, err
	}
	if err := t.afterRun(it, run, &r, of); err != nil {
		return false, fmt.Errorf("%s: %w", run, err)
	}
	r.Slot = slot
	if err := t.Queue.Settle(e, it, r, t.policy()); err != nil {
		return false, err
	}
	report.Settled = append(report.Settled, Settled{Item: it.ID, IssueRef: it.IssueRef, Run: it.Runs, Outcome: r.Outcome, State: it.State})
	t.Log.Info("settled", "item", it.ID, "issue", it.IssueRef, "run", it.Runs, "outcome", string(r.Outcome), "state", string(it.State))
	return false, nil
}

// result is what is known of a run whose lease is free. The marker decides. The runner's report is added if there is one.
func (t *Tick) result(it *queue.Item, run string, marker slots.Marker, boot string) (r queue.Result, of runnerReport, err error) {
	r = queue.Result{Run: queue.Run{Run: it.Runs, EndedAt: t.Now().UTC()}}
	switch marker.Phase {
	case slots.Ended:
		r.Outcome = marker.Outcome
		code := marker.Code
		r.ExitCode = &code
		of = t.addReport(&r, run)
	default:
		if err := t.engineOf(it).why(it, marker, boot, &r); err != nil {
			return r, of, err
		}
	}
	if marker.Phase != slots.Ended {
		overdue, err := t.Home.Overdue(run)
		if err != nil {
			return r, of, err
		}
		if overdue { // another attempt would hang as long
			r.Outcome, r.Summary = outcome.Timeout, "its runner did not answer: ended beyond its limit"
		}
	}
	r.Job, r.Node = t.engineOf(it).place(run)
	cancelled, err := t.Home.Cancelled(run)
	if err != nil {
		return r, of, err
	}
	if cancelled && r.Outcome != outcome.OK { // a success that came first stays a success
		r.Outcome = outcome.Cancelled
	}
	return r, of, nil
}

// addReport adds the runner's result.json as far as it agrees with the marker. It returns the rest of that report.
func (t *Tick) addReport(r *queue.Result, run string) (of runnerReport) {
	said, err := t.Home.ReadResult(run)
	if err != nil { // for example because the disk was full at the end of the run
		t.Log.Warn("a run's result could not be read", "run", run, "err", err)
	}
	if err != nil || said == nil {
		r.Summary = fmt.Sprintf("the run left no report, only exit code %d", *r.ExitCode)
		return of
	}
	if said.Outcome != r.Outcome {
		t.Log.Warn("a run's result contradicts its marker", "run", run)
		return of
	}
	r.StartedAt, r.EndedAt, r.ExitCode, r.Signal = said.StartedAt, said.EndedAt, said.ExitCode, said.Signal
	r.Summary, r.Words, r.Permanent, r.Evidence = said.Summary, said.Words, said.Permanent, said.Evidence
	r.PeakMemory = max(said.PeakMemory, 0)
	if said.Cost != nil && *said.Cost != (outcome.Cost{}) {
		r.Cost = said.Cost
	}
	of.worked, of.host, of.model, of.unpaid, of.unverifiable = said.Worked, said.Host, said.Model, said.Unpaid, said.Unverifiable
	if said.Reset != nil {
		of.reset = *said.Reset
	}
	return of
}
