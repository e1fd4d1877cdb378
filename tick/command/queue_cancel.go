package command

import (
	"errors"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/fault"
	"kugetsu/slots"
	"kugetsu/tick"
)

// QueueCancel ends items for good.
type QueueCancel struct {
	IDs []string `arg:"" optional:"" name:"id" complete:"live" help:"Ids, parts of them, or issue references. Left out on a terminal: the newest live item."`
}

// Help is its long help.
func (*QueueCancel) Help() string {
	return longHelp(`
The command makes items errors for good. A run is ended with all it started, and its work is kept. A runner that does
not answer within 15 s (75 s while it keeps the work) is ended, too.`,
		codes{0: "cancelled", 1: "an item completed, or was cancelled before", 75: "the lock was busy for 10 s, or the run did not end in time"},
		"kugetsu queue cancel owner/repo#12",
		"kugetsu queue cancel owner/repo#12 owner/repo#13")
}

// Run cancels, and waits until what ran has ended.
func (c *QueueCancel) Run(a *App) error {
	if len(c.IDs) == 0 {
		// The hint names no item of the queue: copied, it would end work that was not chosen.
		id, err := a.newestThat("kugetsu queue cancel", "kugetsu queue list shows the items; kugetsu queue cancel owner/repo#12 ends one", func(it *queue.Item) bool { return !it.State.Settled() })
		if err != nil {
			return err
		}
		c.IDs = []string{id}
	}
	entries, err := a.findAll(c.IDs)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		errs = append(errs, a.cancel(e.ID))
	}
	return errors.Join(errs...)
}

const (
	// cancelWait bounds the wait for a cancelled run: the grace its processes get, and then some.
	cancelWait = 90 * time.Second
	// A runner that has not ended after answerWait does not answer, and is ended. A runner that keeps the agent's work may take
	// keepWait, since keeping work takes long in a large worktree.
	answerWait = 15 * time.Second
	keepWait   = 75 * time.Second
)

func (a *App) cancel(id string) error {
	running, err := a.Tick.Cancel(a.Ctx, id)
	if errors.Is(err, tick.ErrOver) {
		return a.did("%s is an error already\n", a.short(id))
	}
	if err != nil {
		return err
	}
	if running {
		it, err := a.await(id, time.Now(), cancelWait, a.endUnanswered())
		switch {
		case err != nil:
			return err
		case it.State == queue.Completed:
			return fault.New(fault.Failed, "kugetsu queue show "+id, "%s completed before it could be cancelled", id)
		}
	}
	return a.did("%s cancelled\n", a.short(id))
}

// endUnanswered returns a function to call while a cancelled run ends. It makes passes, since the runner may be gone, and ends a
// runner that does not answer.
func (a *App) endUnanswered() func(it *queue.Item) {
	begun, ticked, ended := time.Now(), time.Now(), false
	return func(it *queue.Item) {
		if time.Since(ticked) < tickEvery {
			return
		}
		ticked = time.Now()
		if took := time.Since(begun); !ended && took > answerWait {
			keeping, err := a.Home.Keeping(slots.RunName(it.ID, it.Runs))
			if !keeping || took > keepWait {
				err = a.Tick.EndUnanswered(a.Ctx, it.ID)
				ended = err == nil
			}
			if err != nil {
				a.Log.Warn("the run cannot be ended", "err", err)
			}
		}
		if _, err := a.Tick.Run(a.Ctx, 0); err != nil && !errors.Is(err, tick.ErrLocked) {
			a.Log.Warn("tick", "err", err)
		}
	}
}
