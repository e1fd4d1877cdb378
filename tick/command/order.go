package command

import (
	"errors"
	"slices"
	"strings"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/fault"
	"kugetsu/tick"
	"kugetsu/tick/settings"
)

// Wait is the flags of what is enqueued and starts later.
type Wait struct {
	After        []string `help:"Only when these completed: ids, parts of them, or issue references." placeholder:"ID" sep:"none"`
	NotBefore    string   `help:"Only from then on: 08:00, '2026-11-30 08:00', RFC 3339, or 90m from now." placeholder:"WHEN"`
	UnlessQueued bool     `help:"Where the issue (without one: the message) is queued or running already, print the id of that and enqueue nothing."`
}

// into puts what was asked for into a new item, which waits for what is there already.
func (c *Wait) into(a *App, it *queue.Item) error {
	for _, word := range c.After {
		e, err := a.resolve(word)
		if err != nil {
			return err
		}
		it.After = appendNew(it.After, e.ID)
	}
	return notBefore(a, it, c.NotBefore)
}

func notBefore(a *App, it *queue.Item, when string) error {
	if when == "" {
		return nil
	}
	at, err := parseWhen(when, a.Now().Local())
	if err != nil {
		return err
	}
	it.NotBefore = &at
	return nil
}

// parseWhen reads a point of time, as somebody at now would mean it: RFC 3339, a day and time or a time of day where now
// is, or how long from now. A time of day is the next such. The error asks for exit code 80.
func parseWhen(s string, now time.Time) (time.Time, error) {
	at, err := time.Parse(time.RFC3339, s)
	for _, layout := range []string{"2006-01-02 15:04", "2006-01-02 15:04:05"} {
		if err != nil {
			at, err = time.ParseInLocation(layout, s, now.Location())
		}
	}
	if err != nil {
		var clock time.Time
		if clock, err = time.Parse("15:04", s); err == nil {
			at = now.AddDate(0, 0, -1)
			for day := 0; !at.After(now); day++ { // not 24 hours on: a day may have 23
				at = time.Date(now.Year(), now.Month(), now.Day()+day, clock.Hour(), clock.Minute(), 0, 0, now.Location())
			}
		}
	}
	if err != nil {
		var wait time.Duration
		if wait, err = parseAge(s); err == nil {
			at = now.Add(wait)
		}
	}
	// Some year that JSON has no form for would make an item that nobody can write again.
	if at = at.UTC(); err != nil || at.Year() < 1 || at.Year() > 9999 {
		return time.Time{}, fault.New(fault.Usage, "08:00, '2026-11-30 08:00', 2026-11-30T08:00:00Z, or 90m from now", "%q is no point of time", clip(s))
	}
	return at, nil
}

// timeout puts how long the runs may take into a new item.
func timeout(it *queue.Item, s string) error {
	if s == "" {
		return nil
	}
	d, err := queue.ParseTimeout(s)
	if err != nil {
		return fault.New(fault.Usage, "90m, 2h, 1h30m", "%q is not how long a run may take", clip(s))
	}
	it.Timeout = d.String()
	return nil
}

// clip is as much of a word as an error repeats.
func clip(s string) string { return short(s, 60) }

// enqueue publishes a new item and returns its id; unless one that does the same is live and that was asked about: then
// the id is that one's.
func (a *App) enqueue(it *queue.Item, priority int, unlessQueued bool) (string, error) {
	lane := queue.Dev
	if it.IssueRef == "" {
		lane = queue.PM
	}
	if !unlessQueued {
		_, err := a.Queue.Publish(it, lane, priority)
		return it.ID, err
	}
	id := ""
	err := a.Tick.Intake(a.Ctx, func() (err error) {
		if id, err = a.Tick.Queued(it); err != nil || id != "" {
			return err
		}
		id = it.ID
		_, err = a.Queue.Publish(it, lane, priority)
		return err
	})
	return id, err
}

// resolve finds what a user means by an id, a part of one, or an issue reference.
func (a *App) resolve(word string) (queue.Entry, error) {
	var isIssue func(string) bool
	if ref, err := a.parse(word); err == nil {
		isIssue = tick.SameIssue(ref.String())
	}
	return a.Queue.Resolve(word, isIssue)
}

// QueuePriority gives items another place.
type QueuePriority struct {
	Words []string `arg:"" name:"id-and-priority" help:"Ids, parts of them, or issue references; and last the priority: 00 runs first, 99 last."`
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
			err = a.print("%s %02d\n", e.ID, priority)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func checkPriority(n int) error {
	if n < 0 || n > 99 {
		return fault.New(fault.Usage, "00 runs first, 50 is the default", "priority %d is not between 0 and 99", n)
	}
	return nil
}

// allFailed are the items that ended in an error, but for those that were cancelled, by age: so what others waited for is
// put back before them.
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
