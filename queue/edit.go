package queue

import (
	"fmt"
	"slices"
	"time"

	"kugetsu/queue/fault"
)

// Edit takes over from to the fields that a person may change, message, agent, model, arguments, timeout, dependencies, start time, and
// gives the item a priority. It ignores all other fields of to. An item that would be the same is not written. Only the holder of
// tick.lock may call it: it writes the item as the caller read it, and would undo a tick that handed the item to a runner meanwhile.
//
// The item is rewritten first and renamed second. There is one file at any instant, so a crash between the two leaves a waiting
// item with the new text at its old place, and the same command repeats the rename. In the other order a full disk, on which a
// rename succeeds and a rewrite does not, would leave the item half changed.
func (q *Queue) Edit(e Entry, it, to *Item, priority int) (Entry, error) {
	if it.State != Pending {
		return e, fmt.Errorf("%s is %s, not pending", it.ID, it.State)
	}
	if it.edit(to) {
		if why := it.misordered(); why != "" {
			return e, fault.New(fault.Usage, "", "%s", why)
		}
		if err := it.fits(); err != nil {
			return e, err
		}
		if err := q.save(e, it); err != nil {
			return e, err
		}
	}
	return q.Move(e, priority)
}

// edit takes over what may be changed, and says whether something did.
func (it *Item) edit(to *Item) (changed bool) {
	if at := to.NotBefore; (at == nil) != (it.NotBefore == nil) || at != nil && !at.Equal(*it.NotBefore) {
		it.NotBefore, it.ByHand, changed = at, at != nil, true
	}
	changed = changed || it.Message != to.Message || it.Agent != to.Agent || !slices.Equal(it.Agents, to.Agents) || it.Model != to.Model || it.AgentArgs != to.AgentArgs ||
		it.Timeout != to.Timeout || it.Verify != to.Verify || !slices.Equal(it.After, to.After)
	it.Message, it.Model, it.AgentArgs = to.Message, to.Model, to.AgentArgs
	it.Agent, it.Agents, it.AgentWhy = to.Agent, to.Agents, to.AgentWhy
	it.Timeout, it.Verify, it.After = to.Timeout, to.Verify, to.After
	return changed
}

// fits is Fits of an item that may have a history, which save cuts where it must.
func (it *Item) fits() error {
	bare := *it
	bare.History = nil
	return bare.Fits()
}

// Waits says until when the item waits because that was asked for, and not because a run failed; nil where it does not.
func (it *Item) Waits() *time.Time {
	if it.ByHand || len(it.History) == 0 {
		return it.NotBefore
	}
	return nil
}
