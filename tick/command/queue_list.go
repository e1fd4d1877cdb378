package command

import (
	"errors"
	"fmt"
	"slices"

	"kugetsu/queue"
	"kugetsu/queue/fault"
	"kugetsu/queue/terminal"
)

// listed is an item as --json shows it: with the priority, which stands in its file's name.
type listed struct {
	*queue.Item
	Priority int    `json:"priority"`
	Why      string `json:"why,omitempty"`   // why a pending item does not start now
	Strip    string `json:"strip,omitempty"` // how far the work is, see overview.Strip; of queue show alone
}

// QueueList shows items.
type QueueList struct {
	State string `help:"Only this state: pending, running (notified in files), completed or error." placeholder:"STATE" values:"pending,running,notified,completed,error"`
	All   bool   `help:"Settled items too."`
	JSON  bool   `name:"json" help:"Print JSON."`
}

// Help is its long help.
func (*QueueList) Help() string {
	return longHelp(`
The command lists the live items in run order, with the reason why each waits. --all adds the settled ones. Items run
by priority, then by age; the first that may start does.`,
		codes{0: "shown", 1: "an item could not be read"},
		"kugetsu queue list",
		"kugetsu queue list --all --state error")
}

// Run lists the items, live ones in run order.
func (c *QueueList) Run(a *App) error {
	if c.State == queue.Notified.Word() {
		c.State = string(queue.Notified)
	}
	if c.State != "" && !slices.Contains(queue.States, queue.State(c.State)) {
		return fault.New(fault.Usage, "the states are pending, running (or notified), completed and error", "there is no state %q", c.State)
	}
	items, skipped, err := a.items(c.All || queue.State(c.State).Settled())
	if err != nil {
		return err
	}
	if c.State != "" {
		items = slices.DeleteFunc(items, func(l listed) bool { return string(l.State) != c.State })
	}
	if err := a.addWhy(items); err != nil {
		return err
	}
	if c.JSON {
		return errors.Join(a.printJSON(items), skipped)
	}
	var rows [][]string
	for _, l := range items {
		rows = append(rows, []string{a.short(l.ID), fmt.Sprintf("%02d", l.Priority), l.State.Word(), fmt.Sprint(l.Runs),
			since(a.Now(), queue.IDTime(l.ID)), issueOrPM(l.IssueRef), terminal.FitEnds(terminal.Title(shortIDs(l.why(), a.short)), 100), terminal.Short(l.Message, 60)})
	}
	switch {
	case c.State != "":
		a.sayEmpty(rows, "no item is %s; kugetsu queue list --all shows all", queue.State(c.State).Word())
	case c.All:
		a.sayEmpty(rows, `there is no item; kugetsu delegate owner/repo#12 "what to do" enqueues one`)
	default:
		a.sayEmpty(rows, `no item waits or runs; kugetsu delegate owner/repo#12 "what to do" enqueues one, --all shows those that ended`)
	}
	return errors.Join(a.table([]terminal.Column{{Name: "ID"}, {Name: "PRI", Drops: true}, {Name: "STATE"}, {Name: "RUNS", Drops: true}, {Name: "AGE"}, a.issueColumn(),
		{Name: "WHY", Gives: 2, Ends: true}, {Name: "MESSAGE", Gives: 1}}, rows), skipped)
}

// addWhy adds why the pending ones of some items do not start now.
func (a *App) addWhy(items []listed) error {
	if !slices.ContainsFunc(items, func(l listed) bool { return l.State == queue.Pending }) {
		return nil
	}
	read := make(map[string]*queue.Item, len(items))
	for _, l := range items {
		read[l.ID] = l.Item
	}
	view, err := a.Tick.SnapshotOf(read)
	if err != nil {
		return err
	}
	why := map[string]string{}
	for _, w := range view.Waiting {
		why[w.Item] = view.WhyNot(w)
	}
	for i := range items {
		items[i].Why = why[items[i].ID]
	}
	return nil
}

// why is the error of an item that has one, else why it waits.
func (l listed) why() string {
	if l.Error != nil {
		return *l.Error
	}
	return l.Why
}

// items reads the live items in run order, dev before PM, and then the settled items. The error skipped names the items that
// could not be read; the others are returned.
func (a *App) items(settled bool) (items []listed, skipped, err error) {
	items = []listed{}
	lists := []func() ([]queue.Entry, error){
		func() ([]queue.Entry, error) { return a.Queue.Live(queue.Dev) },
		func() ([]queue.Entry, error) { return a.Queue.Live(queue.PM) },
	}
	if settled {
		lists = append(lists, a.Queue.Settled)
	}
	var errs []error
	seen := map[string]bool{}
	for _, list := range lists {
		entries, err := list()
		if err != nil {
			return nil, nil, err
		}
		for _, l := range a.Queue.LoadAll(entries) {
			e, it, err := l.Entry, l.Item, l.Err
			if queue.IsAbsent(err) { // it was moved between listing and Load
				if e, err = a.Queue.Find(e.ID); err == nil {
					it, err = a.Queue.Load(e)
				}
			}
			switch {
			case queue.IsAbsent(err), err == nil && seen[it.ID], err == nil && !settled && it.State.Settled():
			case err != nil:
				errs = append(errs, err)
			default:
				seen[it.ID] = true
				items = append(items, listed{Item: it, Priority: e.Priority})
			}
		}
	}
	return items, errors.Join(errs...), nil
}
