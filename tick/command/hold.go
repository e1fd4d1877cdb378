package command

import (
	"fmt"
	"strings"
	"time"

	"kugetsu/queue/fault"
	"kugetsu/slots/agent"
	"kugetsu/tick"
)

// Pause holds the fill.
type Pause struct {
	For    time.Duration `help:"Lift it by itself after this long (90m, 8h)." placeholder:"DURATION"`
	Reason []string      `arg:"" optional:"" help:"Shown by status."`
}

// Resume lifts a pause, or an agent's hold.
type Resume struct {
	Agent string `arg:"" optional:"" help:"Lift the hold of this agent, which met a usage limit or needs credentials."`
}

// Run holds the fill: what runs goes on, nothing is started.
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
	return tick.WritePause(a.Home, p)
}

// Run lifts the pause or the hold.
func (c *Resume) Run(a *App) error {
	if c.Agent == "" {
		was, err := tick.Resume(a.Home)
		if err == nil && !was {
			fmt.Fprintln(a.Stderr, "nothing was paused")
		}
		return err
	}
	if _, err := agent.Lookup(c.Agent); err != nil {
		return fault.New(fault.Usage, "", "%w", err)
	}
	was, err := tick.ResumeAgent(a.Home, c.Agent)
	if err == nil && !was {
		fmt.Fprintf(a.Stderr, "%s was not held\n", c.Agent)
	}
	return err
}
