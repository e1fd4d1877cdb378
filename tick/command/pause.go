package command

import (
	"strings"
	"time"

	"kugetsu/queue/fault"
	"kugetsu/slots/agent"
	"kugetsu/tick"
)

// Pause lets ticks start no item.
type Pause struct {
	For    time.Duration `help:"Lift it by itself after this long (90m, 8h)." placeholder:"DURATION"`
	Reason []string      `arg:"" optional:"" help:"Shown by status."`
}

// Help is its long help.
func (*Pause) Help() string {
	return longHelp(`
Nothing is started until kugetsu resume. Running agents go on.`,
		codes{0: "paused"},
		`kugetsu pause --for 8h "no agents at night"`,
		"kugetsu pause")
}

// Run pauses. Agents that run go on.
func (c *Pause) Run(a *App) error {
	if c.For < 0 {
		return fault.New(fault.Usage, "without --for it holds until kugetsu resume", "--for %s is in the past", c.For)
	}
	p := tick.Pause{Reason: strings.Join(c.Reason, " ")}
	if c.For > 0 {
		since := a.Now()
		until := since.Add(c.For)
		p.Since, p.Until = &since, &until
	}
	err := tick.WritePause(a.Home, p)
	if err == nil {
		until := "kugetsu resume"
		if p.Until != nil {
			until = stamp(*p.Until)
		}
		a.say("paused until %s: nothing is started, what runs goes on", until)
	}
	return err
}

// Resume lifts a pause, or a hold.
type Resume struct {
	Agent string `arg:"" optional:"" complete:"agent" help:"Lift the hold of this agent, or of this remote's host: it is not waited for any more."`
}

// Help is its long help.
func (*Resume) Help() string {
	return longHelp(`
Without a name the command lifts the pause. With the name of an agent, or of a remote's host, the command lifts that
hold: log in first where credentials were refused.`,
		codes{0: "lifted, or nothing was to be lifted"},
		"kugetsu resume",
		"kugetsu resume claude")
}

// Run lifts the pause or the hold.
func (c *Resume) Run(a *App) error {
	if c.Agent == "" {
		was, err := tick.Resume(a.Home)
		switch {
		case err != nil:
		case was:
			a.say("resumed: what waits may start")
		default:
			a.say("nothing was paused")
		}
		return err
	}
	target, ok := tick.HoldTargetNamed(c.Agent)
	was := false
	if ok {
		var err error
		if was, err = tick.LiftHolds(a.Home, target); err != nil {
			return err
		}
	}
	_, err := agent.Lookup(c.Agent)
	switch {
	case was:
		a.say("%s is not on hold any more: what waits for it may start", c.Agent)
	case err != nil:
		return fault.New(fault.Usage, "kugetsu doctor lists what is on hold", "%w, and no remote's host of that name is on hold", err)
	default:
		a.say("%s was not on hold", c.Agent)
	}
	return nil
}
