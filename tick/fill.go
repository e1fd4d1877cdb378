package tick

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"

	"kugetsu/queue"
	"kugetsu/queue/fault"
	"kugetsu/queue/spool"
	"kugetsu/slots"
	"kugetsu/slots/proc"
)

// fill hands pending items to free slots, in the order of their names, one after the other. It reads items only until the slots
// are full.
func (t *Tick) fill(ctx context.Context, el *eligibility, report *Report) error {
	if el.closed.Kind != Eligible {
		report.Why = append(report.Why, el.closed.Text)
		if el.closed.err != nil || el.closed.Kind == Misconfigured { // what the items wait for may not be known either
			return el.closed.err
		}
	}
	if el.closed.Kind == Eligible {
		report.Why = append(report.Why, el.holds.inForce()...)
	}
	var errs []error
	for _, lane := range queue.Lanes {
		errs = append(errs, t.fillLane(ctx, lane, el, report))
	}
	for _, kind := range slices.Sorted(maps.Keys(el.met)) {
		if kinds[kind].ends != outside || kind == OnHold { // a hold is told above, with those that no item met
			continue
		}
		for _, r := range el.met[kind] {
			report.Why = append(report.Why, r.Text)
		}
	}
	return errors.Join(errs...)
}

// fillLane walks a lane until its slots are full. If a reason stops everything, the rest of the lane is walked all the same, so that an
// item that can never start becomes an error now, and not after the night, the pause or the budget's end.
func (t *Tick) fillLane(ctx context.Context, lane queue.Lane, el *eligibility, report *Report) error {
	closed := el.closed.Kind != Eligible
	if !closed && el.slots.full(lane).Kind != Eligible {
		return nil
	}
	line, err := t.Queue.Ahead(lane, nil)
	if err != nil {
		return err
	}
	var errs []error
	if !closed {
		errs = append(errs, t.quarantineForeign(line.Foreign))
	}
	for e := range el.holds.lastToTry(line.Entries) {
		if !closed && el.slots.full(lane).Kind != Eligible {
			break
		}
		if ctx.Err() != nil {
			return errors.Join(append(errs, context.Cause(ctx))...)
		}
		if closed {
			errs = append(errs, t.failOne(e, el, report))
			continue
		}
		r, err := t.fillOne(ctx, lane, e, el, report)
		if errors.Is(err, errNoSlot) { // no slot after all: no error
			break
		}
		errs = append(errs, err)
		stops := kinds[r.Kind].stops
		if errors.Is(err, errStop) || stops != one && stops != all {
			break
		}
		closed = stops == all
	}
	return errors.Join(errs...)
}

// fillOne repairs an item, and starts it if it may start. Otherwise the reason says why it may not.
func (t *Tick) fillOne(ctx context.Context, lane queue.Lane, e queue.Entry, el *eligibility, report *Report) (Reason, error) {
	it, err := t.loadAndRepair(ctx, lane, e, el, report)
	if err != nil || it == nil {
		return Reason{}, err
	}
	if ended, err := t.failUnstartable(e, it, el, report); err != nil || ended {
		return Reason{}, err
	}
	c := el.candidate(lane, it)
	r := el.why(c)
	if r.Kind == Eligible {
		return r, t.start(ctx, e, c, el, report)
	}
	first := el.remember(r)
	switch {
	case r.Kind == NewerSession:
		return r, t.leaveAlone("session."+c.name+".json", r.err)
	case r.Kind == NotInstalled, r.Kind == Unverifiable, !first: // see tellConditions
		return r, nil
	}
	return r, r.err
}

// failUnstartable makes an item an error that can never start, and returns true then.
func (t *Tick) failUnstartable(e queue.Entry, it *queue.Item, el *eligibility, report *Report) (bool, error) {
	if ended, err := el.after.fail(e, it, report); err != nil || ended {
		return ended, err
	}
	if ended, err := t.failArguments(e, it, report); err != nil || ended {
		return ended, err
	}
	return t.failBranch(e, it, report)
}

// failOne makes an item that can never start an error, and does nothing to any other item. The next pass that may start something
// reports the items that cannot be read, and repairs what a crash left.
func (t *Tick) failOne(e queue.Entry, el *eligibility, report *Report) error {
	it, err := t.Queue.Load(e)
	if err != nil || it.State != queue.Pending || el.occupied.items[it.ID] {
		return nil
	}
	_, err = t.failUnstartable(e, it, el, report)
	return err
}

// errStop is wrapped by an error that every other item would meet as well: no slot, no process, no disk.
var errStop = errors.New("nothing more is started")

// errNoSlot is wrapped when every slot turned out to be occupied.
var errNoSlot = errors.New("no free slot")

func (t *Tick) quarantineForeign(foreign []string) error {
	var errs []error
	for _, path := range foreign {
		errs = append(errs, t.quarantine(path, fmt.Errorf("its name is not that of an item")))
	}
	return errors.Join(errs...)
}

// quarantine moves a bad file to quarantine. It always returns an error: the pass exits with 75, so that cron reports it.
func (t *Tick) quarantine(path string, why error) error {
	if err := t.Queue.Quarantine(path, why); err != nil {
		return err
	}
	return &spool.Error{Op: "quarantine", Path: path, Err: why}
}

// loadAndRepair loads an item of a lane and repairs what a crash left of it. It returns the item if the item is pending.
func (t *Tick) loadAndRepair(ctx context.Context, lane queue.Lane, e queue.Entry, el *eligibility, report *Report) (*queue.Item, error) {
	it, err := t.Queue.Load(e)
	switch {
	case errors.Is(err, fs.ErrNotExist): // only this pass moves items; but a file system may be slow to show it
		return nil, nil
	case errors.Is(err, spool.ErrBad):
		return nil, t.quarantine(e.Path, err)
	case errors.Is(err, queue.ErrNewer): // left alone, reported once, and shown by status
		return nil, t.leaveAlone(filepath.Base(e.Path), err)
	case err != nil:
		return nil, err
	}
	if k := el.occupied; k.items[it.ID] || k.unknown && it.State != queue.Pending {
		return nil, nil // a slot names it, or a slot that could not be read may name it
	}
	switch it.State {
	case queue.Pending:
		if it.Lane() != lane { // it would not be counted in the lane where it runs
			return nil, t.quarantine(e.Path, fmt.Errorf("%s: %w: it is in the folder of the other kind of agent", it.ID, spool.ErrBad))
		}
		return it, nil
	case queue.Notified:
		return nil, errors.Join(t.settleUnnamed(ctx, e, it, el.occupied, report), el.holds.read())
	default: // settled but not filed, and the slot that named it is gone; or a retry stopped half-way
		_, err := t.Queue.File(e)
		return nil, err
	}
}

// settleUnnamed settles a notified item that no slot names: the slot file was lost. The lock of its session is part of its lease.
// While the session is locked the run is alive.
func (t *Tick) settleUnnamed(ctx context.Context, e queue.Entry, it *queue.Item, k *occupied, report *Report) error {
	lock, err := slots.TryLockPatiently(t.Home.SessionLock(sessionOf(it)))
	if errors.Is(err, slots.ErrBusy) && it.ForkPID != nil {
		if !isRunner(it)() {
			return t.endMarked(ctx, slots.RunName(it.ID, it.Runs)) // the next pass finds the lock free
		}
		_, err = t.watch(ctx, "", nil, it)
		return err
	}
	if errors.Is(err, slots.ErrBusy) {
		return nil
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	// The item was read before the lock was taken. If tick.lock was deleted, a second pass may have settled that run since.
	read := it.Runs
	it, err = t.Queue.Load(e)
	if queue.IsAbsent(err) {
		return nil
	}
	if err != nil {
		return err // the next pass reads it as it is then
	}
	if it.State != queue.Notified || it.Runs != read {
		return nil
	}
	if occupied, err := t.settle(ctx, "", nil, e, it, report); occupied || err != nil {
		return errors.Join(err, t.nameAgain(e, it, k))
	}
	if it.State.Settled() {
		_, err = t.Queue.File(e)
	}
	return err
}

// nameAgain makes the slot file again that names a live run of a cluster: no lock occupies the slot meanwhile.
func (t *Tick) nameAgain(e queue.Entry, it *queue.Item, k *occupied) error {
	if it.Runner == nil || it.Runner.Engine == "" {
		return nil
	}
	in := slots.Intent{Item: it.ID, File: filepath.Base(e.Path), Run: it.Runs, Session: sessionOf(it), Engine: it.Runner.Engine, Job: it.Runner.Job}
	order, err := t.Home.ReadOrder(in.RunName())
	if err != nil || order == nil {
		return err
	}
	lock, err := slots.TryLockPatiently(t.Home.SlotLock(order.Slot))
	if errors.Is(err, slots.ErrBusy) { // by that run, where its lock reaches here
		return nil
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := t.Home.WriteIntent(order.Slot, in); err != nil && !errors.Is(err, fs.ErrExist) { // another run has it by now
		return err
	}
	k.occupy(order.Slot, &in)
	return nil
}

// sessionOf is the name of the session in which an item works.
func sessionOf(it *queue.Item) string {
	if it.Lane() == queue.PM {
		return slots.PMSession
	}
	return it.Ref().Session()
}

// MayStart refuses an item whose session was written by a newer kugetsu. The run itself reports any other fault of the session.
func (t *Tick) MayStart(it *queue.Item) error {
	if _, err := t.Home.ReadSession(sessionOf(it)); errors.Is(err, spool.ErrNewer) {
		return err
	}
	return nil
}

// start finds a slot for an item and hands it over.
func (t *Tick) start(ctx context.Context, e queue.Entry, c *candidate, el *eligibility, report *Report) error {
	p, err := t.reserve(ctx, c, el, report)
	if err != nil || p == nil {
		return err
	}
	defer p.close()
	return t.hand(ctx, p, e, c, el, report)
}

// reservation is a slot and a session that this pass has locked.
type reservation struct {
	name           string // of the slot
	session        string
	slot, sessLock *slots.Lock
}

// close gives up this pass's share of the two locks. A runner keeps its own share. The session's lock goes first: a process that finds the
// slot free finds the session free as well.
func (p *reservation) close() {
	_ = p.sessLock.Close()
	_ = p.slot.Close()
}

// reserve locks a free slot and then the session, in this order as everywhere. It returns nil when the session is busy. Its error wraps
// errStop when there is no slot.
//
// Slots are tried from 1 to today's limit. So the kernel limits the number of agents even if another pass were under way.
func (t *Tick) reserve(ctx context.Context, c *candidate, el *eligibility, report *Report) (*reservation, error) {
	k := el.occupied
	names := []string{slots.PMSlot}
	if c.lane == queue.Dev {
		names = names[:0]
		for n := 1; n <= t.Settings.MaxAgents; n++ {
			names = append(names, strconv.Itoa(n))
		}
	}
	for _, name := range names {
		if k.slots[name] {
			continue
		}
		lock, err := slots.TryLockPatiently(t.Home.SlotLock(name))
		if err == nil {
			// An intent is never overwritten: one that appeared since reconcile is settled first.
			_, occupied, settleErr := t.settleSlot(ctx, name, report)
			if settleErr == nil && !occupied {
				return t.reserveSession(name, lock, c.name)
			}
			_ = lock.Close()
			err = settleErr
			if err == nil {
				err = slots.ErrBusy
			}
		}
		k.occupy(name, nil)
		if !errors.Is(err, slots.ErrBusy) {
			return nil, fmt.Errorf("slot %s: %w: %w", name, errStop, err)
		}
		if el.slots.full(c.lane).Kind != Eligible {
			break
		}
	}
	return nil, fmt.Errorf("%w: %w", errNoSlot, errStop)
}

func (t *Tick) reserveSession(name string, lock *slots.Lock, session string) (*reservation, error) {
	sess, err := slots.TryLockPatiently(t.Home.SessionLock(session))
	if err == nil {
		return &reservation{name: name, session: session, slot: lock, sessLock: sess}, nil
	}
	_ = lock.Close()
	if errors.Is(err, slots.ErrBusy) {
		return nil, nil
	}
	return nil, err
}

// hand gives an item to a runner. The order of the steps makes it safe to die between any two of them:
//
//	   (before: if the agent or host was on hold, the record that this run is its probe, see holds.probe)
//	a. the intent: from here on the slot tells the next tick which run to look for
//	b. the run folder with its bare marker: one winner per run number, ever
//	c. the runner: it has the lease from birth and waits at its gate
//	d. the item becomes notified, and says which of its agents runs: one write
//	e. the task, through the gate: no agent ever runs that is not on record
//
// A failed step is not undone: whether the runner exists may not be known. The next reconcile decides, from the lease and the
// marker.
func (t *Tick) hand(ctx context.Context, p *reservation, e queue.Entry, c *candidate, el *eligibility, report *Report) error {
	it, k := c.it, el.occupied
	it.Choose(c.agent, c.passed) // on record with d.
	task, err := t.task(it, p.session, el.repos)
	if err != nil {
		return err
	}
	env, err := t.Environ()
	if err != nil {
		return err
	}
	in := slots.Intent{Item: it.ID, File: filepath.Base(e.Path), Run: it.Runs + 1, Session: p.session, Boot: proc.BootID()}
	eng := t.engineFor(c.lane)
	eng.intend(&in)
	run := in.RunName()
	if task.Probe, task.ProbeHost, err = el.holds.probe(it, run); err != nil {
		return stop(run, err)
	}
	if err := t.Home.WriteIntent(p.name, in); err != nil { // a.
		k.occupy(p.name, nil)
		return stop(run, err)
	}
	k.occupy(p.name, &in)
	if err := t.Home.ClaimRun(run); err != nil { // b.
		if errors.Is(err, fs.ErrExist) {
			return t.resolveClaimConflict(p, in, it)
		}
		return stop(run, err)
	}
	task.Run = in.Run
	l, err := eng.launch(ctx, p, task, env) // c.
	if err != nil {
		return stop(run, err)
	}
	defer l.close()
	if err := t.Queue.Notify(e, it, in.Run, l.pid, l.born); err != nil { // d.
		return stop(run, err)
	}
	if err := l.begin(); err != nil { // e.
		return stop(run, err)
	}
	el.starts(c)
	report.Started = append(report.Started, Started{Item: it.ID, IssueRef: it.IssueRef, Run: in.Run, Slot: p.name})
	t.Log.Info("started", "item", it.ID, "issue", it.IssueRef, "run", in.Run, "slot", p.name)
	return nil
}

func stop(run string, err error) error { return fmt.Errorf("%s: %w: %w", run, errStop, err) }

// resolveClaimConflict handles a run folder that exists already. If the item has moved on, another pass (without the lock) was faster: this
// pass takes its intent back. If the item has not moved on, a pass left the folder and its slot file was lost. The item was never
// notified, so nothing ran in that folder: the folder is removed, and the next pass begins again.
func (t *Tick) resolveClaimConflict(p *reservation, in slots.Intent, it *queue.Item) error {
	_, now, err := t.item(it.ID)
	if err != nil && !queue.IsAbsent(err) {
		return err // the intent stays: the next reconcile decides
	}
	marker, err := t.Home.ReadMarker(in.RunName())
	if err != nil {
		return err
	}
	movedOn := now == nil || now.State != queue.Pending || now.Runs != it.Runs
	untouched := marker.Phase == slots.Missing || marker.Phase == slots.Exit
	if !movedOn && untouched {
		if err := t.Home.DropRun(in.RunName()); err != nil {
			return err
		}
	}
	if err := t.Home.Empty(p.name); err != nil || movedOn || untouched {
		return err
	}
	// For example an old copy of the item was restored. Nothing is run again: a person has to look.
	return fault.New(fault.Temp, "an old copy of the item was restored: delete the folder to run it again, or delete the item", "run folder %s exists, but its item has no such run: %s",
		in.RunName(), t.Home.RunDir(in.RunName()))
}
