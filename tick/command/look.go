package command

import (
	"errors"
	"fmt"
	"time"

	"kugetsu/queue/spool"
	"kugetsu/queue/terminal"
	"kugetsu/tick"
)

func clean(s string) string { return terminal.Clean(s) }

// Status shows what runs, what waits and why.
type Status struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run shows it. A bad configuration is shown, and then is the error.
func (c *Status) Run(a *App) error {
	view, err := a.Tick.Look()
	if err != nil {
		return err
	}
	bad, err := spool.List(a.Queue.Bad)
	if err != nil {
		return err
	}
	if len(bad) > 0 {
		view.Problem = append(view.Problem, fmt.Sprintf("%d files were set aside in %s", len(bad), a.Queue.Bad))
	}
	if late := a.overdue(view.Last); late != "" {
		view.Problem = append(view.Problem, late)
	}
	unscheduled := a.unscheduled()
	if unscheduled != "" && len(view.Waiting) > 0 && !view.Busy() {
		view.Problem, unscheduled = append(view.Problem, unscheduled), ""
	}
	if c.JSON {
		return errors.Join(a.printJSON(view), a.Tick.Config)
	}
	if err := a.print("%d of %d slots taken, %d waiting\n", view.Running, view.Limit, len(view.Waiting)); err != nil {
		return err
	}
	rows := [][]string{{"SLOT", "FOR", "AGENT", "ISSUE", "ITEM", "RUN"}}
	var waits []string
	for _, s := range view.Slots {
		if s.Item == "" && !s.Held {
			continue
		}
		held := ""
		if s.Since != nil {
			held = since(a.Now(), *s.Since)
		}
		if !s.Held {
			held = "ended"
		}
		rows = append(rows, []string{s.Slot, held, s.Agent, issueOrPM(s.IssueRef), s.Item, fmt.Sprint(s.Run)})
		if s.Waits != "" {
			waits = append(waits, fmt.Sprintf("slot %s waits, %s: %s\n", s.Slot, s.Agent, clean(s.Waits)))
		}
	}
	errs := []error{a.table(rows)}
	for _, line := range waits {
		errs = append(errs, a.print("%s", line))
	}
	rows = [][]string{{"WAITING", "PRI", "SINCE", "ISSUE", "WHY"}}
	for _, w := range view.Waiting {
		if len(rows) > 10 {
			errs = append(errs, a.table(rows), a.print("and %d more: kugetsu queue list\n", len(view.Waiting)-10))
			rows = nil
			break
		}
		why := view.WhyNot(w)
		if why == "" {
			why = a.starts(view)
		}
		rows = append(rows, []string{w.Item, fmt.Sprintf("%02d", w.Priority), since(a.Now(), w.Since), issueOrPM(w.IssueRef), why})
	}
	errs = append(errs, a.table(rows))
	if view.Why != "" {
		errs = append(errs, a.print("nothing more starts: %s\n", clean(view.Why)))
	}
	var last time.Time
	if view.Last != nil {
		last = *view.Last
	}
	errs = append(errs, a.print("last tick: %s\n", ago(a.Now(), last)))
	if unscheduled != "" {
		errs = append(errs, a.print("%s\n", unscheduled))
	}
	for _, p := range view.Problem {
		errs = append(errs, a.print("problem: %s\n", clean(p)))
	}
	return errors.Join(append(errs, a.Tick.Config)...)
}

func ago(now, t time.Time) string {
	switch {
	case t.IsZero():
		return "never"
	case tick.ToCome(now, t):
		return stamp(t) + ", which is still to come"
	}
	return duration(now.Sub(t)) + " ago"
}

// since is how long ago a time is. A clock that was far ahead and put right again leaves times that are still to come.
func since(now, t time.Time) string {
	if tick.ToCome(now, t) {
		return "still to come"
	}
	return duration(now.Sub(t))
}

// NotifyList shows events.
type NotifyList struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run lists the events that were not cleared.
func (c *NotifyList) Run(a *App) error {
	events, bad, err := a.Queue.Events.List()
	if err != nil {
		return err
	}
	if bad > 0 {
		fmt.Fprintf(a.Stderr, "%d files in %s are no events\n", bad, a.Queue.Events.New)
	}
	if c.JSON {
		if events == nil {
			return a.print("[]\n")
		}
		return a.printJSON(events)
	}
	rows := [][]string{{"TIME", "EVENT", "ISSUE", "ITEM", "CHANGES", "TEXT"}}
	for _, ev := range events {
		did := ""
		if ev.Changes != nil {
			did = brief(ev.Changes)
		}
		text := short(ev.Text, 70)
		if ev.PRURL != "" {
			text = ev.PRURL + " " + text
		}
		rows = append(rows, []string{ev.At.Local().Format("01-02 15:04:05"), string(ev.Type), ev.IssueRef, ev.Item, did, text})
	}
	return a.table(rows)
}

// NotifyClear marks events as seen.
type NotifyClear struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run clears them.
func (c *NotifyClear) Run(a *App) error {
	n, err := a.Queue.Events.Clear()
	if c.JSON {
		return errors.Join(err, a.printJSON(map[string]int{"cleared": n}))
	}
	return errors.Join(err, a.print("%d cleared\n", n))
}

// Version prints what this is.
type Version struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run prints the version.
func (c *Version) Run(a *App) error {
	if c.JSON {
		return a.printJSON(map[string]string{"version": a.Version})
	}
	return a.print("kugetsu %s\n", a.Version)
}
