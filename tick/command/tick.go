package command

import (
	"errors"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/fault"
	"kugetsu/queue/terminal"
	"kugetsu/slots/proc"
	"kugetsu/tick"
)

// Tick is one pass.
type Tick struct {
	DryRun bool `help:"Print what a pass would do, and why it would not start the rest; do nothing."`
	Drain  bool `help:"Stay in the foreground until nothing is left to run. Exits 0 when all completed, 1 when something is an error, 75 when all that is left is blocked."`
	Now    bool `name:"now" help:"Start outside of RUN_HOURS, beyond the budgets of a day, and into QUOTA_RESERVE, too."`
	JSON   bool `name:"json" help:"Print JSON."`
	Wait   bool `hidden:"" help:"Wait for the lock: the last act of a runner."`

	Scheduled bool `help:"For cron and systemd: what the pass does is kept in tick.log, and only what is wrong is printed too."`
}

// Help is its long help.
func (*Tick) Help() string {
	return longHelp(`
A pass settles the runs that ended, fills the free slots in the order of priority and age, and exits. While another
pass is under way it exits at once with 0. A pass with nothing to do prints nothing.

--drain stays until nothing is left to run. --scheduled is for cron and systemd: tick.log keeps what happened, only
what is wrong is printed too, and items that were enqueued meanwhile are started as well. Too little disk or memory is
printed once, and told as the events room_low and room_back. An agent that is not installed is told in the same way,
as agent_missing and agent_back; so is a command that cannot be started to verify runs, as verifier_missing and
verifier_back.`,
		codes{0: "done; with --drain all items completed", 1: "something failed; with --drain an item ended in an error", 75: "an item waits for disk or memory, or a bad file was quarantined; with --drain only items that cannot start now are left", 78: "the configuration is bad, or the agent of a waiting item is not installed, or it cannot be verified"},
		"kugetsu tick",
		"kugetsu tick --dry-run",
		"kugetsu tick --drain")
}

// waitForLock is how long a runner's tick waits: well above what a pass takes.
const waitForLock = 60 * time.Second

// Run does the pass.
func (c *Tick) Run(a *App) error {
	a.Tick.AnyHour = c.Now
	switch {
	case c.DryRun:
		return c.dryRun(a)
	case c.Drain:
		_, _ = proc.Self() // now, since an upgrade may come meanwhile; what starts a runner has the error
		return c.drain(a)
	}
	wait := time.Duration(0)
	if c.Wait {
		wait = waitForLock
	}
	var before map[string]bool
	if c.Scheduled {
		a.Tick.MarkScheduled()
		before = a.live()
	}
	report, err := a.Tick.Run(a.Ctx, wait)
	standing, begins := report.Standing()
	// systemd starts no tick for what is enqueued while one runs.
	for n := 0; c.Scheduled && !errors.Is(err, tick.ErrLocked) && n < passes; n++ {
		after := a.live()
		if !appeared(before, after) {
			break
		}
		before = after
		more, moreErr := a.Tick.Run(a.Ctx, waitForLock)
		if errors.Is(moreErr, tick.ErrLocked) {
			break // another pass does the work
		}
		report.Settled, report.Started = append(report.Settled, more.Settled...), append(report.Started, more.Started...)
		report.Occupied, report.Why = more.Occupied, more.Why
		var again bool
		standing, again = more.Standing()
		begins = begins || again
		err = errors.Join(err, moreErr)
	}
	if errors.Is(err, tick.ErrLocked) {
		a.Log.Debug("another pass is under way")
		report.Why, err = append(report.Why, err.Error()), nil
	}
	if c.JSON {
		err = errors.Join(a.printJSON(report), err)
	} else if a.Terminal && !c.Scheduled && !c.Wait && err == nil && standing == nil && len(report.Started) == 0 {
		err = a.tellBarred()
	}
	err = errors.Join(err, a.Tick.Config)
	// The exit code is the one of an error of the pass or of the configuration; a standing condition comes last.
	if told := (c.Scheduled || c.Wait) && !begins; standing != nil && !told {
		return errors.Join(err, standing)
	} else if standing != nil && err == nil { // cron would mail it with every tick
		return fault.Told(standing)
	}
	return err
}

// tellBarred says to a person why a pass started nothing of what waits. An error of the configuration is told with its exit code.
func (a *App) tellBarred() error {
	if a.Quiet || a.Tick.Config != nil {
		return nil
	}
	view, err := a.Tick.Glance(mostWaiting)
	if err != nil {
		return err
	}
	if barred, _ := view.Barred(); barred.Kind != tick.Eligible && len(view.Waiting) > 0 {
		a.note("nothing is started: %s", clean(barred.Told()))
	}
	return nil
}

// passes bounds how often a scheduled tick goes on for what was enqueued meanwhile; the rest is the next one's.
const passes = 10

// live is the ids of the live items; nil when a lane cannot be listed, of which the pass itself complains.
func (a *App) live() map[string]bool {
	ids := map[string]bool{}
	for _, lane := range queue.Lanes {
		if _, err := a.Queue.Ahead(lane, func(id string) bool { ids[id] = true; return false }); err != nil {
			return nil
		}
	}
	return ids
}

// appeared says whether there is an item that was not there before.
func appeared(before, after map[string]bool) bool {
	for id := range after {
		if before != nil && !before[id] {
			return true
		}
	}
	return false
}

func runTick(a *App, wait time.Duration) error {
	_, err := a.Tick.Run(a.Ctx, wait)
	if errors.Is(err, tick.ErrLocked) {
		return nil
	}
	return err
}

func (c *Tick) dryRun(a *App) error {
	view, err := a.Tick.Snapshot()
	if err != nil {
		return err
	}
	plan := view.Plan()
	if c.JSON {
		return errors.Join(a.printJSON(map[string]any{"plan": plan, "view": view}), a.Tick.Config)
	}
	for _, line := range plan {
		if err := a.print("%s\n", terminal.Clean(line)); err != nil {
			return err
		}
	}
	return a.Tick.Config
}
