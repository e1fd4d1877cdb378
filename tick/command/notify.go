package command

import (
	"errors"
	"fmt"

	"kugetsu/queue/terminal"
)

// NotifyList shows events.
type NotifyList struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Help is its long help.
func (*NotifyList) Help() string {
	return longHelp(`
The command lists the events that were not cleared: what was enqueued, started, retried, completed or failed, and what
is on hold.`,
		codes{0: "shown"},
		"kugetsu notify list",
		"kugetsu notify list --json")
}

// Run lists the events that were not cleared.
func (c *NotifyList) Run(a *App) error {
	events, bad, err := a.Queue.Events.List()
	if err != nil {
		return err
	}
	if bad > 0 {
		fmt.Fprintf(a.Stderr, "%s in %s: not an event\n", terminal.Count(bad, "file"), a.Queue.Events.New)
	}
	if c.JSON {
		if events == nil {
			return a.print("[]\n")
		}
		return a.printJSON(events)
	}
	var rows [][]string
	for _, ev := range events {
		did := ""
		if ev.Changes != nil {
			did = brief(ev.Changes)
		}
		text := terminal.Short(ev.Text, 70)
		if ev.PRURL != "" {
			text = ev.PRURL + " " + text
		}
		rows = append(rows, []string{ev.At.Local().Format("01-02 15:04:05"), string(ev.Type), ev.IssueRef, a.short(ev.Item), did, text})
	}
	a.sayEmpty(rows, "no event was told since the last kugetsu notify clear; kugetsu delegate and every run make some")
	return a.table([]terminal.Column{{Name: "TIME"}, {Name: "EVENT"}, a.issueColumn(), {Name: "ITEM"}, {Name: "CHANGES", Gives: 2, Drops: true}, {Name: "TEXT", Gives: 1}}, rows)
}

// NotifyClear marks events as seen.
type NotifyClear struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Help is its long help.
func (*NotifyClear) Help() string {
	return longHelp(`
The command marks the events as seen. Every event is deleted QUEUE_CLEANUP_AGE_DAYS after it happened, cleared or not.`,
		codes{0: "done"},
		"kugetsu notify clear",
		"kugetsu notify clear --json")
}

// Run clears them.
func (c *NotifyClear) Run(a *App) error {
	n, err := a.Queue.Events.Clear()
	if c.JSON {
		return errors.Join(err, a.printJSON(map[string]int{"cleared": n}))
	}
	return errors.Join(err, a.did("%d cleared\n", n))
}

// NotifyTest tries NOTIFY_COMMAND.
type NotifyTest struct{}

// Help is its long help.
func (*NotifyTest) Help() string {
	return longHelp(`
The command gives an event of the type test to NOTIFY_COMMAND, as a tick would, and says how it went.`,
		codes{0: "NOTIFY_COMMAND took it", 1: "NOTIFY_COMMAND failed", 78: "there is no NOTIFY_COMMAND"},
		"kugetsu notify test")
}

// Run gives the event.
func (c *NotifyTest) Run(a *App) error {
	if err := a.Tick.TestNotify(a.Ctx); err != nil {
		return err
	}
	return a.did("NOTIFY_COMMAND took a test event\n")
}
