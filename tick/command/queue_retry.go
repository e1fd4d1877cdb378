package command

import (
	"errors"
	"slices"
	"strings"

	"kugetsu/queue"
	"kugetsu/queue/fault"
	"kugetsu/tick"
)

// QueueRetry puts settled items back.
type QueueRetry struct {
	IDs       []string `arg:"" optional:"" name:"id" complete:"settled" help:"Ids, parts of them, or issue references. Left out on a terminal: the newest item that is an error."`
	AllFailed bool     `help:"All that ended in an error, but for those that were cancelled."`
	Verify    *string  `help:"Command that verifies its runs from now on; default is that of its repository, or VERIFY_COMMAND." placeholder:"CMD" xor:"verify"`
	NoVerify  bool     `name:"no-verify" help:"Its runs are not verified from now on." xor:"verify"`
	Now       bool     `name:"tick" help:"Run a tick afterwards."`
}

// Help is its long help.
func (*QueueRetry) Help() string {
	return longHelp(`
The command puts settled items back with their worktree, conversation and place in the order. Their attempts begin
anew. --verify and --no-verify change the item as kugetsu queue edit does, before a tick can start it.`,
		codes{0: "put back", 1: "an item is still live, or waits for one that ended in an error and is not put back", 75: "the lock was busy for 10 s"},
		"kugetsu queue retry --tick owner/repo#12",
		`kugetsu queue retry --verify "make test" owner/repo#12`,
		"kugetsu queue retry --all-failed")
}

// Run puts items back into the queue, with their worktree and conversation.
func (c *QueueRetry) Run(a *App) error {
	if len(c.IDs) == 0 && !c.AllFailed {
		id, err := a.newestThat("kugetsu queue retry", "kugetsu queue retry "+thisItem+", or kugetsu queue retry --all-failed", func(it *queue.Item) bool { return it.State == queue.Errored })
		if err != nil {
			return err
		}
		c.IDs = []string{id}
	}
	if len(c.IDs) > 0 && c.AllFailed {
		return fault.New(fault.Usage, "kugetsu queue retry owner/repo#12, or kugetsu queue retry --all-failed", "kugetsu queue retry takes ids or --all-failed, not both")
	}
	verifies, err := verifying(c.Verify, c.NoVerify)
	if err != nil {
		return err
	}
	if verifies != nil && a.Config != nil {
		return a.Config
	}
	entries, err := a.findAll(c.IDs)
	if c.AllFailed {
		entries, err = a.allFailed()
	}
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		a.say("no item ended in an error")
	}
	var errs []error
	for _, e := range entries {
		was, err := a.Tick.Retry(a.Ctx, e.ID, func(it *queue.Item) error { return a.setVerify(it, verifies) })
		if err == nil {
			if was == queue.Completed {
				a.say("%s had completed; it waits again", a.short(e.ID))
			} else {
				a.say("%s waits again", a.short(e.ID))
			}
			if !a.Terminal || a.Quiet { // else the line above has it
				err = a.print("%s\n", a.short(e.ID))
			}
		}
		errs = append(errs, err)
	}
	if c.Now {
		errs = append(errs, runTick(a, tick.LockWait))
	}
	return errors.Join(errs...)
}

// allFailed returns the items that ended in an error and were not cancelled, the oldest first. So an item is put back before
// the items that wait for it.
func (a *App) allFailed() ([]queue.Entry, error) {
	settled, err := a.Queue.Settled()
	if err != nil {
		return nil, err
	}
	var failed []queue.Entry
	for _, e := range settled {
		it, err := a.Queue.Load(e)
		if err != nil {
			a.Log.Warn("an item could not be read", "item", e.ID, "err", err)
			continue
		}
		if it.State == queue.Errored && !it.Cancelled() {
			failed = append(failed, e)
		}
	}
	slices.SortFunc(failed, func(x, y queue.Entry) int { return strings.Compare(x.ID, y.ID) })
	return failed, nil
}
