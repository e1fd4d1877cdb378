package command

import (
	"errors"

	"kugetsu/queue"
	"kugetsu/queue/spool"
)

// QueueStats counts.
type QueueStats struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Help is its long help.
func (*QueueStats) Help() string {
	return longHelp(`
The command counts the items in each state: pending, notified (handed to a runner), completed, error.`,
		codes{0: "shown"},
		"kugetsu queue stats",
		"kugetsu queue stats --json")
}

// Run counts the items by state.
func (c *QueueStats) Run(a *App) error {
	items, skipped, err := a.items(true)
	if err != nil {
		return err
	}
	count := map[queue.State]int{}
	for _, l := range items {
		count[l.State]++
	}
	bad, err := spool.List(a.Queue.Bad)
	if err != nil {
		return err
	}
	if c.JSON {
		out := map[string]int{"bad": len(bad)}
		for _, s := range queue.States {
			out[string(s)] = count[s]
		}
		return errors.Join(a.printJSON(out), skipped)
	}
	for _, s := range queue.States {
		if err := a.print("%-9s  %d\n", s, count[s]); err != nil {
			return err
		}
	}
	if len(bad) > 0 {
		err = a.print("%-9s  %d (see %s)\n", "bad", len(bad), a.Queue.Bad)
	}
	return errors.Join(err, skipped)
}
