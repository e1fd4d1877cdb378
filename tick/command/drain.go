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
	watched := map[string]queue.State{}
	failed, newer := 0, 0
	last := time.Time{}
	var wrong error // the error of the first pass that had one; the other items go on
	inRow, wasStuck := 0, false
	var why []string // why the last pass started no more items
	told := false
	var looked time.Time
	live, running := 0, 0
	for {
		proc.Collect() // this process outlives its runners, and may be the first process of a container
		if time.Since(last) > tickEvery || a.somethingEnded() {
			last = time.Now()
			report, err := a.Tick.Run(a.Ctx, 0)
			if errors.Is(err, tick.ErrLocked) { // another pass does the work
				err = nil
			} else {
				why, told = report.Why, told && len(report.Why) > 0
			}
			if wrong == nil {
				wrong = err
			}
			if inRow++; err == nil {
				inRow = 0
			}
		}
		// Hundreds of items may wait. They are read when a folder changed, and every tickEvery.
		fresh := time.Since(looked) > tickEvery || a.Queue.Changed(looked)
		if fresh {
			looked = time.Now()
			var err error
			if live, running, newer, err = c.progress(a, watched, &failed); err != nil {
				return err
			}
		}
		if live == 0 {
			break
		}
		if running > 0 && len(why) > 0 && !told { // once: the numbers change with every pass
			told = true
			for _, w := range why {
				fmt.Fprintf(a.Stderr, "%s  %-9s  %s\n", a.Now().Local().Format("15:04:05"), "held", clean(w))
			}
		}
		if running == 0 && fresh {
			if inRow > 1 { // a second pass in a row failed: it is no quarantined file, and does not get better
				return errors.Join(wrong, a.Tick.Config)
			}
			view, err := a.Tick.Snapshot()
			if err != nil {
				return err
			}
			if !view.Busy() && a.Tick.Config != nil {
				return fmt.Errorf("%w; waiting: %s", a.Tick.Config, terminal.Count(live, "item"))
			}
			r, stuck := view.Rest()
			if r.Kind != tick.Eligible && (!stuck || wasStuck) { // once may be between two steps of another's pass
				if stuck {
					return errors.Join(wrong, r.Left(live))
				}
				return r.Left(live)
			}
			wasStuck = stuck
		}
		select {
		case <-a.Ctx.Done():
			return fault.New(fault.Failed, "kugetsu tick --drain watches again", "interrupted; what runs goes on")
		case <-time.After(pollEvery):
		}
	}
	switch { // the result of the items decides the exit code, so it stands before an error of a pass
	case failed > 0:
		return errors.Join(fault.New(fault.Failed, "kugetsu queue list --state error", "%d of %d ended in an error", failed, len(watched)), wrong)
	case newer > 0:
		return errors.Join(fault.New(fault.Temp, "", "left alone: %s: %w", terminal.Count(newer, "item"), queue.ErrNewer), wrong)
	}
	return wrong
}

// somethingEnded says whether a slot names a run that has ended.
func (a *App) somethingEnded() bool {
	view, err := a.Tick.SnapshotSlots()
	if err != nil {
		return true
	}
	for _, s := range view {
		if s.Item != "" && !s.Held {
			return true
		}
	}
	return false
}

// progress reports the changes since its last call, for every item that was live since drain began. It counts the live items,
// the running ones among them, and the items of a newer kugetsu, which this version does not run.
func (c *Tick) progress(a *App, watched map[string]queue.State, failed *int) (live, running, newer int, err error) {
	for _, lane := range queue.Lanes {
		entries, err := a.Queue.Live(lane)
		if err != nil {
			return 0, 0, 0, err
		}
		for _, e := range entries {
			if _, known := watched[e.ID]; !known {
				watched[e.ID] = ""
			}
		}
	}
	places, err := a.Queue.Places()
	if err != nil {
		return 0, 0, 0, err
	}
	for id, before := range watched {
		if before.Settled() {
			continue
		}
		e, there := places[id]
		if !there {
			e, err = a.Queue.Find(id) // it moves just now, or is gone
		}
		if queue.IsAbsent(err) { // quarantined, or cleared
			watched[id] = queue.Errored
			*failed++
			continue
		}
		if err != nil {
			return 0, 0, 0, err
		}
		it, err := a.Queue.Load(e)
		switch {
		case queue.IsAbsent(err), errors.Is(err, spool.ErrBad): // it moves just now, or the next pass moves it
			live++
			continue
		case errors.Is(err, queue.ErrNewer):
			newer++
			continue
		}
		if err != nil {
			return 0, 0, 0, err
		}
		// A settled item is rewritten where it is, and then moved. Until then commands that count the files of a folder count
		// the item as running, and after drain nothing may run.
		if _, unmoved := a.Queue.Lane(e); unmoved && it.State.Settled() {
			live++
			continue
		}
		if it.State != before {
			c.tell(a, it, before)
			watched[id] = it.State
		}
		switch it.State {
		case queue.Notified:
			live, running = live+1, running+1
		case queue.Pending:
			if a.Tick.MayStart(it) != nil { // its session is a newer kugetsu's
				newer++
			} else {
				live++
			}
		case queue.Errored:
			*failed++
		}
	}
	return live, running, newer, nil
}

func (c *Tick) tell(a *App, it *queue.Item, before queue.State) {
	what := map[queue.State]string{queue.Pending: "waiting", queue.Notified: "running", queue.Completed: "completed", queue.Errored: "error"}[it.State]
	text := terminal.Short(it.Message, 60)
	if n := len(it.History); n > 0 && it.State != queue.Notified {
		text = lastLine(it.History[n-1].Summary)
		if it.State == queue.Pending {
			text = "to be tried again: " + text
		}
	} else if it.Error != nil {
		text = lastLine(*it.Error)
	}
	fmt.Fprintf(a.Stderr, "%s  %-9s  %s  %s\n", a.Now().Local().Format("15:04:05"), what, clean(issueOrPM(it.IssueRef)), clean(text))
}

// lastLine is the last line of a text. There an agent says how its run went.
func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return terminal.Short(s[strings.LastIndex(s, "\n")+1:], 60)
}
