package command

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/fault"
	"kugetsu/queue/spool"
	"kugetsu/queue/terminal"
	"kugetsu/slots/proc"
	"kugetsu/tick"
)

// drain makes passes until no item is left to run, and reports on stderr. It is for CI and for a terminal. The runners' own
// ticks refill the slots, so drain mostly watches.
func (c *Tick) drain(a *App) error {
	d := &drain{App: a, watched: map[string]queue.State{}}
	for {
		proc.Collect() // this process outlives its runners, and may be the first process of a container
		if time.Since(d.passed) > tickEvery || a.somethingEnded() {
			d.pass()
		}
		// Hundreds of items may wait. They are read when a folder changed, and every tickEvery.
		fresh := time.Since(d.read) > tickEvery || a.Queue.Changed(d.read)
		if fresh {
			d.read = time.Now()
			if err := d.progress(); err != nil {
				return err
			}
		}
		if d.live == 0 {
			return d.result()
		}
		if d.running > 0 {
			d.tellWhy()
		} else if fresh {
			if rests, err := d.rests(); rests || err != nil {
				return err
			}
		}
		select {
		case <-a.Ctx.Done():
			return fault.New(fault.Failed, "kugetsu tick --drain watches again", "interrupted; what runs goes on")
		case <-time.After(pollEvery):
		}
	}
}

// drain is what drain knows of the queue.
type drain struct {
	*App
	watched       map[string]queue.State // every item that was live since drain began, and the state that was told last
	failed, newer int                    // of these items: that ended in an error, that a newer kugetsu wrote
	live, running int                    // of these items, and the running ones among them
	read          time.Time              // when the items were read

	passed   time.Time // when the last pass began
	wrong    error     // the error of the first pass that had one; the other items go on
	inRow    int       // so many passes in a row had one
	why      []string  // why the last pass started no more items
	told     bool      // why is told
	wasStuck bool      // nothing that can still happen would start an item, when it was last asked
}

// pass makes one pass.
func (d *drain) pass() {
	d.passed = time.Now()
	report, err := d.Tick.Run(d.Ctx, 0)
	if errors.Is(err, tick.ErrLocked) { // another pass does the work
		err = nil
	} else {
		d.why, d.told = report.Why, d.told && len(report.Why) > 0
	}
	if d.wrong == nil {
		d.wrong = err
	}
	if d.inRow++; err == nil {
		d.inRow = 0
	}
}

// tellWhy says why no more items were started: once, since the numbers change with every pass.
func (d *drain) tellWhy() {
	if len(d.why) == 0 || d.told {
		return
	}
	d.told = true
	for _, w := range d.why {
		d.say("%s  %-9s  %s", d.Now().Local().Format("15:04:05"), "held", w)
	}
}

// rests says, while nothing runs, whether nothing will start by itself, and with which error drain ends then.
func (d *drain) rests() (bool, error) {
	if d.inRow > 1 { // a second pass in a row failed: it is no quarantined file, and does not get better
		return true, errors.Join(d.wrong, d.Tick.Config)
	}
	view, err := d.Tick.Snapshot()
	if err != nil {
		return true, err
	}
	if !view.Busy() && d.Tick.Config != nil {
		return true, fmt.Errorf("%w; waiting: %s", d.Tick.Config, terminal.Count(d.live, "item"))
	}
	r, stuck := view.Rest()
	if r.Kind != tick.Eligible && (!stuck || d.wasStuck) { // once may be between two steps of another's pass
		if stuck {
			return true, errors.Join(d.wrong, r.Left(d.live))
		}
		return true, r.Left(d.live)
	}
	d.wasStuck = stuck
	return false, nil
}

// result is the error that drain ends with when no item is left. The result of the items decides the exit code, so it stands
// before an error of a pass.
func (d *drain) result() error {
	switch {
	case d.failed > 0:
		return errors.Join(fault.New(fault.Failed, "kugetsu queue list --state error", "%d of %d ended in an error", d.failed, len(d.watched)), d.wrong)
	case d.newer > 0:
		return errors.Join(fault.New(fault.Temp, "", "left alone: %s: %w", terminal.Count(d.newer, "item"), queue.ErrNewer), d.wrong)
	}
	return d.wrong
}

// somethingEnded says whether a slot names a run that has ended.
func (a *App) somethingEnded() bool {
	view, err := a.Tick.SnapshotSlots()
	if err != nil {
		return true
	}
	for _, s := range view {
		if s.Item != "" && !s.Occupied {
			return true
		}
	}
	return false
}

// progress reports the changes since its last call, for every item that was live since drain began, and counts these items.
func (d *drain) progress() error {
	for _, lane := range queue.Lanes {
		entries, err := d.Queue.Live(lane)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if _, known := d.watched[e.ID]; !known {
				d.watched[e.ID] = ""
			}
		}
	}
	locations, err := d.Queue.Locations()
	if err != nil {
		return err
	}
	d.live, d.running, d.newer = 0, 0, 0
	for id, before := range d.watched {
		if before.Settled() {
			continue
		}
		e, there := locations[id]
		if !there {
			e, err = d.Queue.Find(id) // it moves just now, or is gone
		}
		if queue.IsAbsent(err) { // quarantined, or cleared
			d.watched[id] = queue.Errored
			d.failed++
			continue
		}
		if err != nil {
			return err
		}
		if err := d.count(e, before); err != nil {
			return err
		}
	}
	return nil
}

// count counts an item, and tells its state where it is another one than before.
func (d *drain) count(e queue.Entry, before queue.State) error {
	it, err := d.Queue.Load(e)
	switch {
	case queue.IsAbsent(err), errors.Is(err, spool.ErrBad): // it moves just now, or the next pass moves it
		d.live++
		return nil
	case errors.Is(err, queue.ErrNewer):
		d.newer++
		return nil
	case err != nil:
		return err
	}
	// A settled item is rewritten where it is, and then moved. Until then commands that count the files of a folder count
	// the item as running, and after drain nothing may run.
	if _, unmoved := d.Queue.Lane(e); unmoved && it.State.Settled() {
		d.live++
		return nil
	}
	if it.State != before {
		d.tell(it, before)
		d.watched[it.ID] = it.State
	}
	switch it.State {
	case queue.Notified:
		d.live, d.running = d.live+1, d.running+1
	case queue.Pending:
		if d.Tick.MayStart(it) != nil { // its session is a newer kugetsu's
			d.newer++
		} else {
			d.live++
		}
	case queue.Errored:
		d.failed++
	}
	return nil
}

func (d *drain) tell(it *queue.Item, before queue.State) {
	what := map[queue.State]string{queue.Pending: "waiting", queue.Notified: "running", queue.Completed: "completed", queue.Errored: "error"}[it.State]
	if it.Cancelled() {
		what = "cancelled"
	}
	text := terminal.Short(it.Message, 60)
	if n := len(it.History); n > 0 && it.State != queue.Notified {
		text = lastLine(it.History[n-1].Summary)
		if v := it.History[n-1].Verification; v != nil && v.Why != "" { // the agent said that all is well
			text = "not verified: " + terminal.Short(v.Command, 60) + ": " + terminal.Short(v.Why, 60)
		}
		if it.State == queue.Pending {
			text = "to be tried again: " + text
		}
	} else if it.Error != nil {
		text = lastLine(*it.Error)
	}
	d.say("%s  %-9s  %s  %s", d.Now().Local().Format("15:04:05"), what, issueOrPM(it.IssueRef), text)
}

// lastLine is the last line of a text. There an agent says how its run went.
func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return terminal.Short(s[strings.LastIndex(s, "\n")+1:], 60)
}
