package command

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"kugetsu/queue"
	"kugetsu/queue/fault"
	"kugetsu/tick/settings"
)

// QueuePriority gives items another place.
type QueuePriority struct {
	Words []string `arg:"" optional:"" name:"id-and-priority" complete:"live" help:"Ids, parts of them, or issue references (left out on a terminal: the newest live item); and last the priority: 00 runs first, 99 last."`
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
	words, priority, err := c.split(a)
	if err != nil {
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

// split takes the priority, which stands last, from the words before it.
func (c *QueuePriority) split(a *App) (words []string, priority int, err error) {
	const command = "kugetsu queue priority"
	number := func(i int) bool { _, err := settings.ParseInt(c.Words[i]); return err == nil }
	last := len(c.Words) - 1
	if last < 0 || last == 0 && number(0) {
		id, err := a.newestThat(command, command+" "+thisItem+" "+cmp.Or(strings.Join(c.Words, ""), "10"), func(it *queue.Item) bool { return !it.State.Settled() })
		if err != nil {
			return nil, 0, err
		}
		if last < 0 {
			return nil, 0, fault.New(fault.Usage, command+" "+a.short(id)+" 10", command+" needs a priority: 00 runs first, 99 last")
		}
		c.Words, last = append([]string{id}, c.Words...), 1
	}
	words, hint := c.Words[:last], ""
	switch priority, err = settings.ParseInt(c.Words[last]); {
	case err == nil:
		return words, priority, checkPriority(priority)
	case number(0):
		hint = strings.Join(append(slices.Clone(c.Words[1:]), c.Words[0]), " ")
		err = errors.New("the priority stands last, behind the items")
	case last == 0:
		hint = c.Words[0] + " 10"
		err = errors.New(command + " needs a priority: 00 runs first, 99 last")
	default:
		hint = strings.Join(words, " ") + " 10"
		err = fmt.Errorf("%q is not a priority: 00 runs first, 99 last", clip(c.Words[last]))
	}
	return nil, 0, fault.New(fault.Usage, command+" "+clean(hint), "%w", err)
}
