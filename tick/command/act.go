package command

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/fault"
	"kugetsu/slots"
	"kugetsu/tick"
	"kugetsu/tick/settings"
)

// QueueClear deletes what is settled.
type QueueClear struct {
	OlderThan string `help:"Only what was settled longer ago (7d, 12h; 0 is everything). Default: QUEUE_CLEANUP_AGE_DAYS." placeholder:"AGE"`
	JSON      bool   `name:"json" help:"Print JSON."`
}

// Run deletes old completed and error items with their runs.
func (c *QueueClear) Run(a *App) error {
	if a.Config != nil {
		return a.Config
	}
	age := a.Settings.CleanupAge()
	if c.OlderThan != "" {
		var err error
		if age, err = parseAge(c.OlderThan); err != nil {
			return err
		}
	}
	n := 0
	err := a.Tick.Locked(a.Ctx, tick.LockWait, func() (err error) {
		n, err = a.Tick.Clear(a.Now().Add(-age).Add(time.Nanosecond))
		return err
	})
	if errors.Is(err, tick.ErrLocked) {
		return tick.Busy()
	}
	err = errors.Join(err, a.Home.Sweep(a.Ctx))
	if c.JSON {
		return errors.Join(a.printJSON(map[string]int{"deleted": n}), err)
	}
	return errors.Join(a.print("%d deleted\n", n), err)
}

// parseAge reads a duration that may be in days.
func parseAge(s string) (time.Duration, error) {
	bad := func() (time.Duration, error) {
		return 0, fault.New(fault.Usage, "7d, 12h, 30m or 0", "%q is not an age", s)
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := settings.ParseInt(days)
		if err != nil || n < 0 || n > 36500 {
			return bad()
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return bad()
	}
	return d, nil
}

// QueueCancel ends items for good.
type QueueCancel struct {
	IDs []string `arg:"" name:"id" help:"Ids, parts of them, or issue references."`
}

const (
	// cancelWait bounds the wait for a cancelled run: the grace its processes get, and then some.
	cancelWait = 90 * time.Second
	// A runner that has not come to an end by answerWait does not answer: it is ended. While it keeps what its agent left,
	// which takes its time in a large worktree, it has keepWait.
	answerWait = 15 * time.Second
	keepWait   = 75 * time.Second
)

// Run cancels, and waits until what ran has ended.
func (c *QueueCancel) Run(a *App) error {
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

func (a *App) cancel(id string) error {
	running, err := a.Tick.Cancel(a.Ctx, id)
	if errors.Is(err, tick.ErrOver) {
		return a.print("%s is error already\n", id)
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
	return a.print("%s cancelled\n", id)
}

// endUnanswered looks after a run that was cancelled: it makes passes, since its runner may be gone, and ends that where it
// does not answer.
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

// findAll resolves all words before anything is done to one.
func (a *App) findAll(words []string) ([]queue.Entry, error) {
	var entries []queue.Entry
	for _, word := range words {
		e, _, err := a.find(word)
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// pollEvery is how often a waiting command looks. Whatever ends a run starts a tick, so a look is all that is needed;
// tickEvery is for the case that no one is left to do that.
const (
	pollEvery = 100 * time.Millisecond
	tickEvery = 2 * time.Second
)

// await waits until an item is settled, for at most limit from begin (0: for ever). What else is to be done while it is not
// may be nil.
func (a *App) await(id string, begin time.Time, limit time.Duration, meanwhile func(it *queue.Item)) (*queue.Item, error) {
	file := "" // where the item was last, so that no folder need be listed
	for {
		e, err := a.Queue.FindHinted(id, file)
		if err != nil {
			return nil, err
		}
		file = filepath.Base(e.Path)
		it, err := a.Queue.Load(e)
		switch {
		case err != nil && !queue.IsAbsent(err):
			return nil, err
		case err == nil && it.State.Settled():
			return it, nil
		case limit > 0 && time.Since(begin) > limit:
			return it, fault.New(fault.Temp, "kugetsu status shows what runs", "%s is not settled after %s", id, limit)
		}
		if err == nil && meanwhile != nil {
			meanwhile(it)
		}
		select {
		case <-a.Ctx.Done():
			return it, fault.New(fault.Failed, "", "interrupted; %s goes on", id)
		case <-time.After(pollEvery):
		}
	}
}

// QueueRetry puts settled items back.
type QueueRetry struct {
	IDs       []string `arg:"" optional:"" name:"id" help:"Ids, parts of them, or issue references."`
	AllFailed bool     `help:"All that ended in an error, but for those that were cancelled."`
	Now       bool     `name:"tick" help:"Run a tick afterwards."`
}

// Run puts items back into the queue, with their worktree and conversation.
func (c *QueueRetry) Run(a *App) error {
	if (len(c.IDs) == 0) != c.AllFailed {
		return fault.New(fault.Usage, "kugetsu queue retry --all-failed puts back whatever failed", "retry what?")
	}
	entries, err := a.findAll(c.IDs)
	if c.AllFailed {
		entries, err = a.allFailed()
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		err := a.Tick.Retry(a.Ctx, e.ID)
		if err == nil {
			err = a.print("%s\n", e.ID)
		}
		errs = append(errs, err)
	}
	if c.Now {
		errs = append(errs, runTick(a, tick.LockWait))
	}
	return errors.Join(errs...)
}

// QueueWait waits for items.
type QueueWait struct {
	IDs     []string      `arg:"" optional:"" name:"id" help:"Ids, parts of them, or issue references."`
	All     bool          `help:"All that are live now."`
	Timeout time.Duration `help:"Give up, with exit code 75, after this long." placeholder:"DURATION"`
	JSON    bool          `name:"json" help:"Print the items as JSON."`
}

// Run waits: exit code 0 when all completed, 1 when one is an error.
func (c *QueueWait) Run(a *App) error {
	if len(c.IDs) == 0 && !c.All {
		return fault.New(fault.Usage, "kugetsu queue wait --all waits for everything", "wait for what?")
	}
	entries, err := a.findAll(c.IDs)
	if err != nil {
		return err
	}
	if c.All {
		for _, lane := range queue.Lanes {
			live, err := a.Queue.Live(lane)
			if err != nil {
				return err
			}
			entries = append(entries, live...)
		}
	}
	begin, failed := time.Now(), 0
	items := []listed{}
	waited := map[string]bool{}
	var unknown []error
	for _, e := range entries {
		if waited[e.ID] { // named twice, or named and live
			continue
		}
		waited[e.ID] = true
		it, err := a.await(e.ID, begin, c.Timeout, a.tellWaiting())
		if err != nil && (a.Ctx.Err() != nil || c.Timeout > 0 && time.Since(begin) > c.Timeout) {
			return err
		}
		if err != nil { // one that cannot be read, or was cleared, does not end the wait for the others
			unknown = append(unknown, err)
			continue
		}
		items = append(items, listed{Item: it, Priority: e.Priority})
		if it.State == queue.Errored {
			failed++
			why := "error" // all that an item written by hand may say
			if it.Error != nil {
				why = *it.Error
			}
			fmt.Fprintf(a.Stderr, "%s %s\n", it.ID, short(clean(why), 120))
		}
	}
	if c.JSON {
		if err := a.printJSON(items); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fault.New(fault.Failed, "", "%d of %d ended in an error", failed, len(waited))
	}
	return errors.Join(unknown...)
}
