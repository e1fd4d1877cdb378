package command

import (
	"errors"

	"kugetsu/queue/fault"
	"kugetsu/tick/settings"
)

// QueuePriority gives items another place.
type QueuePriority struct {
	Words []string `arg:"" name:"id-and-priority" complete:"live" help:"Ids, parts of them, or issue references; and last the priority: 00 runs first, 99 last."`
}

// Help is its long help.
func (*QueuePriority) Help() string {
	return longHelp(`
The command gives live items another priority, also while they run. 00 runs first, 99 last; the default of new items
is 50.`,
		codes{0: "done", 1: "an item is settled already", 75: "the lock was busy for 10 s"},
		"kugetsu queue priority owner/repo#12 10",
		"kugetsu queue priority owner/repo#12 owner/repo#13 90")
}

// Run gives them the priority. One that runs keeps running: it counts when the item is retried.
func (c *QueuePriority) Run(a *App) error {
	words, last := c.Words[:len(c.Words)-1], c.Words[len(c.Words)-1]
	priority, err := settings.ParseInt(last)
	if err != nil || len(words) == 0 {
		return fault.New(fault.Usage, "kugetsu queue priority owner/repo#12 10", "say which items, and last their priority")
	}
	if err := checkPriority(priority); err != nil {
		return err
	}
	entries, err := a.findAll(words)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		err := a.Tick.Prioritize(a.Ctx, e.ID, priority)
		if err == nil {
			err = a.did("%s %02d\n", a.short(e.ID), priority)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
