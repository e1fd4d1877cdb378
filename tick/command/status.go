package command

import (
	"errors"
	"io"
	"path/filepath"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/fault"
	"kugetsu/queue/spool"
	"kugetsu/tick"
	"kugetsu/tick/overview"
)

// Status shows what needs a person, what runs, what waits and why, and what was done.
type Status struct {
	JSON  bool `name:"json" help:"Print JSON."`
	Watch bool `short:"w" help:"Show it until q is pressed, and what changes within a second."`
}

// Help is its long help.
func (*Status) Help() string {
	return longHelp(`
The first line says whether all is well, and what a person has to do. Below it stand: what needs you, and the command to type
for each; what runs, with the last line of each agent; what waits, in run order, and why; pull requests in review; the tasks
that ended last; slots, memory, disk, holds and ticks. Sections without an entry are left out. Tasks that failed are sought
among the 200 that ended last. kugetsu dismiss takes an entry of the first section away.`,
		codes{0: "shown, problems too", 78: "shown, and the configuration is bad"},
		"kugetsu",
		"kugetsu status --watch",
		"kugetsu status --json")
}

// statusJSON is what --json prints: the sections, and the slots and the last tick as they stood there before there were sections.
type statusJSON struct {
	*overview.Overview
	Slots   []tick.SlotView `json:"slots"`
	Running int             `json:"running"` // slots of dev agents that are occupied
	Limit   int             `json:"limit"`
	Why     string          `json:"why"`
	Last    *time.Time      `json:"last_tick"`
}

// Run shows it. A bad configuration is shown, and then is the error.
func (c *Status) Run(a *App) error {
	switch {
	case c.JSON && c.Watch:
		return fault.New(fault.Usage, "kugetsu status --json prints it once", "--watch and --json exclude each other")
	case c.Watch:
		return a.watch()
	case c.JSON:
		o, err := overview.Read(a.Tick, -1)
		if err != nil {
			return err
		}
		v := o.View
		return errors.Join(a.printJSON(statusJSON{o, v.Slots, v.Running, v.Limit, v.Why, v.Last}), a.Tick.Config)
	}
	o, err := a.overview()
	if err != nil {
		return err
	}
	width, colour := 0, false
	if a.Terminal {
		width, colour = a.Width, paints()
	}
	s := screen{Overview: o, now: a.Now(), width: width, refs: a.issueColumn(), short: a.short, colour: colour}
	_, err = io.WriteString(a.Stdout, s.String())
	return errors.Join(unprinted(err), a.Tick.Config)
}

// overview reads what the screen shows. Free memory and disk are shown where they are limits.
func (a *App) overview() (*overview.Overview, error) {
	now := a.Now()
	o, err := overview.Read(a.Tick, mostWaiting)
	if err != nil {
		return nil, err
	}
	if a.Terminal {
		a.ends, a.listed = queue.NewEnds(o.IDs), now
	}
	if a.Settings.AgentMemory == 0 {
		o.Capacity.Memory = nil
	}
	if a.Settings.MinFreeDisk == 0 {
		o.Capacity.Disk = nil
	}
	if o.Capacity.LastTick == nil && o.Capacity.Waiting == 0 && a.notSetUp() {
		o.Capacity.Unplanned = "nothing is set up yet: kugetsu init makes the config and says what comes next"
	}
	return o, nil
}

// notSetUp says that kugetsu init was not run: there is no config.
func (a *App) notSetUp() bool {
	there, err := spool.Exists(filepath.Join(string(a.Home), "config"))
	return err == nil && !there
}
