package tick

import (
	"errors"
	"fmt"

	"kugetsu/queue"
	"kugetsu/queue/spool"
)

// dependencies knows, for the time of one pass or one look, the items that others wait for. Nothing is read before the
// first is asked for: a queue in which nobody waits for another pays nothing. Then the folders are listed once, and each
// item is read once.
type dependencies struct {
	places map[string]queue.Entry // of every item, when the first was asked for
	known  map[string]*dependency
	failed int // items that this pass ended
}

// failMost bounds the items that one pass ends because they wait in vain: tick.lock is held meanwhile, and each syncs
// several files. What is left goes on waiting, for the next pass.
const failMost = 100

// dependency is an item that another one waits for.
type dependency struct {
	entry  queue.Entry
	state  queue.State // "" when it is not there or not known
	after  bool        // it waits for others itself
	judged bool        // and this pass looked at those
	absent bool
	err    error // why it is not known
}

// dependency looks an item up, at the first time in this pass.
func (t *Tick) dependency(id string, k *taken) *dependency {
	if k.after == nil {
		k.after = &dependencies{known: map[string]*dependency{}}
	}
	if dep := k.after.known[id]; dep != nil {
		return dep
	}
	dep := &dependency{}
	k.after.known[id] = dep
	if k.after.places == nil {
		if k.after.places, dep.err = t.Queue.Places(); dep.err != nil { // a folder that is not there: its items are not known
			return dep
		}
	}
	e, it, err := t.placed(id, k.after.places)
	switch {
	case queue.IsAbsent(err), errors.Is(err, spool.ErrBad): // what is no item can never complete
		dep.absent = true
	case err != nil:
		dep.err = err
	default:
		dep.entry, dep.state, dep.after = e, it.State, len(it.After) > 0
	}
	return dep
}

// placed finds an item by the listing of the folders.
func (t *Tick) placed(id string, places map[string]queue.Entry) (queue.Entry, *queue.Item, error) {
	if e, listed := places[id]; listed {
		if it, err := t.Queue.Load(e); !queue.IsAbsent(err) {
			return e, it, err
		}
	}
	// It was published since then, or moved: absent is only what is nowhere now.
	return t.item(id)
}

// awaits says which of the items that an item waits for keeps it from starting, and how that stands; "" when all are
// completed. It changes nothing. In vain: the next pass ends it as an error.
func (t *Tick) awaits(it *queue.Item, k *taken) (why string, inVain bool) {
	for _, id := range it.After {
		dep := t.dependency(id, k)
		switch {
		case dep.lost(id) != "":
			return "dependency: " + dep.lost(id), true
		case why != "" || dep.state == queue.Completed:
		case dep.err != nil:
			why = fmt.Sprintf("waits for %s, of which nothing is known: %v", id, dep.err)
		default:
			why = fmt.Sprintf("waits for %s (%s)", id, dep.state)
		}
	}
	return why, false
}

// lost says why what waits for a dependency waits in vain, or "".
func (d *dependency) lost(id string) string {
	switch {
	case d.absent:
		return id + " is not there"
	case d.state == queue.Errored:
		return id + " ended in an error"
	}
	return ""
}

// failInVain ends a pending item as an error when it waits in vain; true when it did. Those it waits for go first, where
// they wait in vain themselves: so a chain of them ends in one pass, whatever their priorities are.
func (t *Tick) failInVain(e queue.Entry, it *queue.Item, k *taken, report *Report) (bool, error) {
	why := ""
	for _, id := range it.After {
		dep := t.dependency(id, k)
		if dep.state == queue.Pending && dep.after && !dep.judged && !k.items[id] {
			dep.judged = true // before: two that wait for each other are not followed for ever
			before, err := t.Queue.Load(dep.entry)
			if err != nil {
				return false, err
			}
			if _, err := t.failInVain(dep.entry, before, k, report); err != nil {
				return false, err
			}
		}
		if dep.err != nil && !errors.Is(dep.err, queue.ErrNewer) {
			return false, fmt.Errorf("%s waits for %s: %w", it.ID, id, dep.err)
		}
		if why == "" {
			why = dep.lost(id)
		}
	}
	if why == "" || k.after.failed == failMost {
		return false, nil
	}
	k.after.failed++
	if err := t.Queue.FailDependency(e, it, why); err != nil {
		return false, err
	}
	if dep := k.after.known[it.ID]; dep != nil {
		dep.state = it.State
	}
	report.Settled = append(report.Settled, Settled{Item: it.ID, IssueRef: it.IssueRef, Run: it.Runs, State: it.State})
	t.Log.Info("settled without a run", "item", it.ID, "issue", it.IssueRef, "state", string(it.State), "why", why)
	_, err := t.Queue.File(e)
	return true, err
}

// needed are the items that a live one waits for: they are not deleted.
func (t *Tick) needed() (map[string]bool, error) {
	ids := map[string]bool{}
	err := t.Queue.LivePublic(func(_ string, p queue.Public) {
		for _, id := range p.After {
			ids[id] = true
		}
	})
	return ids, err
}
