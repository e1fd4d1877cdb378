package command

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/fault"
	"kugetsu/queue/pattern"
	"kugetsu/queue/terminal"
)

// QueueWait waits for items.
type QueueWait struct {
	IDs     []string      `arg:"" optional:"" name:"id" complete:"live" help:"Ids, parts of them, or issue references; the item that was enqueued last without one."`
	All     bool          `help:"All that are live now."`
	Timeout time.Duration `help:"Give up, with exit code 75, after this long." placeholder:"DURATION"`
	JSON    bool          `name:"json" help:"Print the items as JSON."`
}

// Help is its long help.
func (*QueueWait) Help() string {
	return longHelp(`
The command waits until the items are settled, and says meanwhile what each waits for.`,
		codes{0: "all completed", 1: "one ended in an error", 75: "--timeout is over"},
		"kugetsu queue wait owner/repo#12",
		"kugetsu queue wait --all --timeout 8h")
}

// Run waits: exit code 0 when all completed, 1 when one is an error.
func (c *QueueWait) Run(a *App) error {
	entries, err := a.findAll(c.IDs)
	if err != nil {
		return err
	}
	if len(c.IDs) == 0 && !c.All {
		last, _, err := a.findOrLast(nil)
		if err != nil {
			return err
		}
		entries = append(entries, last)
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
		if err != nil { // an item that cannot be read, or was cleared, does not end the wait for the others
			unknown = append(unknown, err)
			continue
		}
		items = append(items, listed{Item: it, Priority: e.Priority})
		if it.State == queue.Errored {
			failed++
			why := "error" // an item written by hand may have no text
			if it.Error != nil {
				why = *it.Error
			}
			fmt.Fprintf(a.Stderr, "%s %s\n", it.ID, terminal.FitEnds(terminal.Title(clean(why)), 120))
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

// await waits until an item is settled, for at most limit from begin (0: for ever). It calls meanwhile, which may be nil, at each
// look.
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

// pollEvery is how often a waiting command looks. The end of a run starts a tick, so looking is enough.
// tickEvery is for a runner that died and starts none.
const (
	pollEvery = 100 * time.Millisecond
	tickEvery = 2 * time.Second
)

// numbers match the parts of a reason that change all the time: times, sizes, counts.
var numbers = pattern.Lazy(`[0-9]+`)

// tellWaiting reports on stderr what an item waits for, at first and after a change.
func (a *App) tellWaiting() func(it *queue.Item) {
	var looked time.Time
	told := ""
	return func(it *queue.Item) {
		if time.Since(looked) < tickEvery {
			return
		}
		looked = time.Now()
		text := "it runs"
		if it.State == queue.Pending {
			view, err := a.Tick.Until(it.ID)
			if err != nil {
				return // the wait goes on
			}
			starts, why := view.When(it.ID)
			none, err := a.noTick(view, it.ID)
			if err != nil {
				return
			}
			switch {
			case none != "":
				text = none
			case starts:
				text = a.starts(view)
			case why == "": // it was started meanwhile
				return
			default:
				text = why
			}
		}
		text = clean(text)
		if same := numbers().ReplaceAllString(text, "0"); same != told {
			told = same
			a.say("waiting for %s %s: %s", it.ID, issueOrPM(it.IssueRef), text)
		}
	}
}
