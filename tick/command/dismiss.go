package command

import (
	"errors"
	"strings"

	"kugetsu/queue/fault"
	"kugetsu/tick"
	"kugetsu/tick/overview"
)

// Dismiss takes entries out of what needs a person.
type Dismiss struct {
	IDs []string `arg:"" optional:"" name:"id" help:"Ids of entries, or of their items, as kugetsu shows them."`
	All bool     `help:"All entries."`
}

// Help is its long help.
func (*Dismiss) Help() string {
	return longHelp(`
The entry is not shown again while its cause stays as it is: a new failure of the same item is shown. Nothing else changes; the
item can still be retried. Dismissals are forgotten after QUEUE_CLEANUP_AGE_DAYS.`,
		codes{0: "dismissed", 1: "no entry has such an id"},
		"kugetsu dismiss failed-k9w2xz",
		"kugetsu dismiss --all")
}

// Run dismisses them, all or none.
func (c *Dismiss) Run(a *App) error {
	if len(c.IDs) == 0 && !c.All {
		return fault.New(fault.Usage, "kugetsu shows what needs you, and the id of each; --all dismisses everything", "kugetsu dismiss needs ids or --all")
	}
	o, err := overview.Read(a.Tick, mostWaiting)
	if err != nil {
		return err
	}
	chosen := o.Needs
	if !c.All {
		if chosen, err = choose(o.Needs, c.IDs); err != nil {
			return err
		}
	}
	if len(chosen) == 0 {
		a.say("nothing needs you")
	}
	var errs []error
	for _, n := range chosen {
		err := tick.Dismiss(a.Home, n.ID, n.Cause, a.Now())
		if err == nil {
			err = a.did("dismissed: %s\n", clean(n.What))
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// choose finds the needs that words name: by their id, or by the id of an item, or its end.
func choose(needs []overview.Need, words []string) (chosen []overview.Need, err error) {
	for _, word := range words {
		found := false
		for _, n := range needs {
			if n.ID == word || len(word) >= 4 && n.Item != "" && strings.HasSuffix(n.Item, strings.ToLower(word)) {
				chosen, found = append(chosen, n), true
			}
		}
		if !found {
			return nil, fault.New(fault.Failed, "kugetsu shows what needs you, and the id of each", "nothing that needs you has the id %q", clip(word))
		}
	}
	return chosen, nil
}
