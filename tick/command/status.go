package command

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"kugetsu/queue/event"
	"kugetsu/queue/spool"
	"kugetsu/queue/terminal"
)

// Status shows what runs, what waits and why.
type Status struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Help is its long help.
func (*Status) Help() string {
	return longHelp(`
The command shows the slots, the first items that wait and why each does, why nothing more starts, the last tick, and
problems.`,
		codes{0: "shown, problems too", 78: "shown, and the configuration is bad"},
		"kugetsu",
		"kugetsu status --json")
}

// Run shows it. A bad configuration is shown, and then is the error.
func (c *Status) Run(a *App) error {
	view, err := a.Tick.Snapshot()
	if err != nil {
		return err
	}
	bad, err := spool.List(a.Queue.Bad)
	if err != nil {
		return err
	}
	if len(bad) > 0 {
		view.Problem = append(view.Problem, fmt.Sprintf("%s quarantined in %s", terminal.Count(len(bad), "file"), a.Queue.Bad))
	}
	refused, err := a.undelivered(view.Last)
	if err != nil {
		return err
	}
	if refused != "" {
		view.Problem = append(view.Problem, refused)
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
	var rows [][]string
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
	errs := []error{a.table([]terminal.Column{{Name: "SLOT"}, {Name: "FOR"}, {Name: "AGENT"}, a.issueColumn(), {Name: "ITEM"}, {Name: "RUN"}}, rows)}
	for _, line := range waits {
		errs = append(errs, a.print("%s", line))
	}
	rows = nil
	waiting := []terminal.Column{{Name: "WAITING"}, {Name: "PRI", Drops: true}, {Name: "SINCE"}, a.issueColumn(), {Name: "WHY", Gives: 1}}
	for _, w := range view.Waiting {
		if len(rows) == 10 {
			errs = append(errs, a.table(waiting, rows), a.print("and %d more: kugetsu queue list\n", len(view.Waiting)-10))
			rows = nil
			break
		}
		why := view.WhyNot(w)
		if why == "" {
			why = a.starts(view)
		}
		rows = append(rows, []string{w.Item, fmt.Sprintf("%02d", w.Priority), since(a.Now(), w.Since), issueOrPM(w.IssueRef), why})
	}
	errs = append(errs, a.table(waiting, rows))
	if view.Why != "" {
		errs = append(errs, a.print("nothing more starts: %s\n", clean(view.Why)))
	}
	var last time.Time
	if view.Last != nil {
		last = *view.Last
	}
	errs = append(errs, a.print("last tick: %s\n", ago(a.Now(), last)))
	if last.IsZero() && len(view.Waiting) == 0 && a.notSetUp() {
		unscheduled = "nothing is set up yet: kugetsu init makes the config and says what comes next"
	}
	if unscheduled != "" {
		errs = append(errs, a.print("%s\n", unscheduled))
	}
	for _, p := range view.Problem {
		errs = append(errs, a.print("problem: %s\n", clean(p)))
	}
	return errors.Join(append(errs, a.Tick.Config)...)
}

// notSetUp says that kugetsu init was not run: there is no config.
func (a *App) notSetUp() bool {
	there, err := spool.Exists(filepath.Join(string(a.Home), "config"))
	return err == nil && !there
}

// undelivered says that NOTIFY_COMMAND did not take an event that the last pass tried to deliver, or "".
func (a *App) undelivered(last *time.Time) (string, error) {
	if a.Settings.NotifyCommand == "" || last == nil {
		return "", nil
	}
	names, err := spool.List(a.Queue.Events.Owed)
	if err != nil {
		return "", err
	}
	n, oldest := 0, *last
	for _, name := range names {
		ev, err := spool.File[event.Event]{Path: filepath.Join(a.Queue.Events.Owed, name)}.Read()
		if !strings.HasSuffix(name, ".json") || ev == nil || err != nil { // delivered meanwhile; the tick reports a bad one
			continue
		}
		if ev.At.Before(*last) {
			n++
		}
		if ev.At.Before(oldest) {
			oldest = ev.At
		}
	}
	if n == 0 {
		return "", nil
	}
	return fmt.Sprintf("NOTIFY_COMMAND did not take %s, the oldest of %s: kugetsu tick tries again and says why",
		terminal.Count(n, "event"), ago(a.Now(), oldest)), nil
}
