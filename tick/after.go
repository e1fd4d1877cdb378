package tick

import (
	"errors"
	"fmt"
	"strings"

	"kugetsu/queue"
	"kugetsu/queue/fault"
	"kugetsu/queue/issueref"
	"kugetsu/queue/spool"
	"kugetsu/slots"
	"kugetsu/slots/forge"
	"kugetsu/tick/session"
)

// dependencies knows the items that other items wait for, during one pass or one snapshot. Nothing is read before the first
// question, so a queue without dependencies pays nothing. Then the folders are listed once, and each item is read once.
type dependencies struct {
	t       *Tick
	slots   *occupied
	located map[string]queue.Entry // of every item, at the time of the first question
	known   map[string]*dependency
	failed  int // items that this pass made errors
}

// failMost limits the items that one pass makes errors because a dependency failed. tick.lock is locked meanwhile, and each such
// item syncs several files. The others wait for the next pass.
const failMost = 100

// dependency is an item for which another one waits.
type dependency struct {
	entry  queue.Entry
	state  queue.State // "" when it does not exist or is not known
	after  bool        // it waits for other items itself
	judged bool        // and this pass checked those
	absent bool
	err    error // why it is not known
}

// dependency returns what is known of an item. The first call of a pass reads the item.
func (p *dependencies) dependency(id string) *dependency {
	if dep := p.known[id]; dep != nil {
		return dep
	}
	dep := &dependency{}
	p.known[id] = dep
	if p.located == nil {
		if p.located, dep.err = p.t.Queue.Locations(); dep.err != nil { // a folder is missing: its items are not known
			return dep
		}
	}
	e, it, err := p.t.loadListed(id, p.located)
	switch {
	case queue.IsAbsent(err), errors.Is(err, spool.ErrBad): // a file that is no item can never complete
		dep.absent = true
	case err != nil:
		dep.err = err
	default:
		dep.entry, dep.state, dep.after = e, it.State, len(it.After) > 0
	}
	return dep
}

// loadListed finds an item in the listing of the folders.
func (t *Tick) loadListed(id string, locations map[string]queue.Entry) (queue.Entry, *queue.Item, error) {
	if e, listed := locations[id]; listed {
		if it, err := t.Queue.Load(e); !queue.IsAbsent(err) {
			return e, it, err
		}
	}
	// It was published or moved since. Only an item that is in no folder now is absent.
	return t.item(id)
}

// why says which dependency keeps an item from starting, and its state. It changes nothing.
func (p *dependencies) why(c *candidate) Reason {
	var r Reason
	for _, id := range c.it.After {
		dep := p.dependency(id)
		switch {
		case dep.lost(id) != "":
			return Reason{Kind: DependencyFailed, Text: "dependency: " + dep.lost(id)}
		case r.Kind != Eligible || dep.state == queue.Completed:
		case dep.err != nil:
			r = Reason{Kind: Dependency, Text: fmt.Sprintf("waits for %s, whose state is not known: %v", id, dep.err)}
		default:
			r = Reason{Kind: Dependency, Text: fmt.Sprintf("waits for %s (%s)", id, dep.state.Word())}
		}
	}
	if r.Kind == Eligible {
		switch gone, err := p.gone(c.it); {
		case err != nil:
			return Reason{Kind: Dependency, Text: "the branch that it begins at is not known: " + err.Error()}
		case gone != "":
			return Reason{Kind: DependencyFailed, Text: "dependency: " + gone}
		}
	}
	return r
}

// gone says why an item can never begin on top of another session, or "": that session was removed, or the item's own session began
// elsewhere. It is asked only after all dependencies completed, since the branch of the other session may not exist before.
func (p *dependencies) gone(it *queue.Item) (string, error) {
	if it.OnTop == "" {
		return "", nil
	}
	own, err := p.t.Home.ReadSession(sessionOf(it))
	if err != nil {
		return "", err
	}
	below, err := p.t.Home.ReadSession(under(it).Session())
	switch {
	case err != nil && own == nil:
		return "", err
	case own == nil && below == nil:
		return "the branch of " + it.OnTop + " is gone with its session", nil
	case own != nil && (own.BeganOn("") || below != nil && !own.BeganOn(below.Branch)):
		return fmt.Sprintf("%s has a session that did not begin on top of %s: delegate the task without --on-top to go on there, or kugetsu destroy %s and retry this", it.IssueRef, it.OnTop, it.IssueRef), nil
	}
	return "", nil
}

// under is the issue or task that an item is on top of.
func under(it *queue.Item) issueref.Ref {
	ref, _ := issueref.Canonical(it.OnTop) // it was checked when the item was read
	return ref
}

// onTop adds the branch at which a new one begins. A branch whose request was merged is in the base, also where git cannot see it.
func (t *Tick) onTop(it *queue.Item, w *slots.WorkspaceSettings) error {
	if it.OnTop == "" {
		return nil
	}
	name := under(it).Session()
	s, err := t.Home.ReadSession(name)
	if err != nil || s == nil { // then the item has a session of its own, which knows its branch
		return err
	}
	review, err := session.ReadReview(t.Home, name, s.PRURL)
	if w.OnTop, w.Merged = s.Branch, review.State == forge.Merged; !w.Merged {
		w.TopURL = s.PRURL
	}
	return err
}

func (*dependencies) starts(*candidate) {}

// lost says why a dependency can never complete, or "".
func (d *dependency) lost(id string) string {
	switch {
	case d.absent:
		return id + " is not there"
	case d.state == queue.Errored:
		return id + " ended in an error"
	}
	return ""
}

// fail makes a pending item an error if one of its dependencies failed, and returns true then. The dependencies are checked
// first, down the chain. So a chain ends in one pass, whatever the priorities are.
func (p *dependencies) fail(e queue.Entry, it *queue.Item, report *Report) (bool, error) {
	why, waits := "", false
	for _, id := range it.After {
		dep := p.dependency(id)
		if dep.state == queue.Pending && dep.after && !dep.judged && !p.slots.items[id] {
			dep.judged = true // set before the call: two items that wait for each other must not recurse for ever
			before, err := p.t.Queue.Load(dep.entry)
			if err != nil {
				return false, err
			}
			if _, err := p.fail(dep.entry, before, report); err != nil {
				return false, err
			}
		}
		if dep.err != nil && !errors.Is(dep.err, queue.ErrNewer) {
			return false, fmt.Errorf("%s waits for %s: %w", it.ID, id, dep.err)
		}
		if why == "" {
			why = dep.lost(id)
		}
		waits = waits || dep.state != queue.Completed
	}
	if why == "" && !waits {
		var err error
		if why, err = p.gone(it); err != nil {
			return false, nil // why says it
		}
	}
	if why == "" || p.failed == failMost {
		return false, nil
	}
	p.failed++
	if err := p.t.Queue.FailDependency(e, it, why); err != nil {
		return false, err
	}
	if dep := p.known[it.ID]; dep != nil {
		dep.state = it.State
	}
	return true, p.t.settledWithoutRun(e, it, why, report)
}

// settledWithoutRun reports an item that this pass made an error, and files it.
func (t *Tick) settledWithoutRun(e queue.Entry, it *queue.Item, why string, report *Report) error {
	report.Settled = append(report.Settled, Settled{Item: it.ID, IssueRef: it.IssueRef, Run: it.Runs, State: it.State})
	t.Log.Info("settled without a run", "item", it.ID, "issue", it.IssueRef, "state", string(it.State), "why", why)
	_, err := t.Queue.File(e)
	return err
}

// Root is the item whose end made an item an error, down its dependencies; the item itself if none of its dependencies failed. read
// returns nil for an item that does not exist.
func Root(it *queue.Item, read func(id string) (*queue.Item, error)) (*queue.Item, error) {
	chain, err := chain(it, read)
	if err != nil {
		return nil, err
	}
	return chain[0], nil
}

// chain is the way from the root to an item: each waits for the one before it.
func chain(it *queue.Item, read func(id string) (*queue.Item, error)) (way []*queue.Item, err error) {
	seen := map[string]bool{}
	for !seen[it.ID] {
		seen[it.ID] = true
		way = append([]*queue.Item{it}, way...)
		for _, id := range it.After {
			below, err := read(id)
			if err != nil {
				return nil, err
			}
			if below != nil && below.State == queue.Errored {
				it = below
				break
			}
		}
	}
	return way, nil
}

// checkRetry refuses the retry of an item that would be an error at once again, since one that it waits for is an error.
func (t *Tick) checkRetry(it *queue.Item) error {
	ids, err := t.RetryOrder(it)
	if err != nil || len(ids) == 1 {
		return err
	}
	return fault.New(fault.Failed, "kugetsu queue retry "+strings.Join(ids, " "), "%s waits for %s, which ended in an error: it would fail at once again", it.ID, ids[0])
}

// RetryOrder are the items that are to be retried together, so that an item can start: those that it waits for and that are errors,
// the root first, and the item.
func (t *Tick) RetryOrder(it *queue.Item) (ids []string, err error) {
	way, err := chain(it, func(id string) (*queue.Item, error) {
		_, below, err := t.item(id)
		if queue.IsAbsent(err) || errors.Is(err, spool.ErrBad) {
			return nil, nil
		}
		return below, err
	})
	for _, one := range way {
		ids = append(ids, one.ID)
	}
	return ids, err
}

// needed are the items for which a live one waits. They are not deleted.
func (t *Tick) needed() (map[string]bool, error) {
	ids := map[string]bool{}
	err := t.Queue.LivePublic(func(_ string, p queue.Public) {
		for _, id := range p.After {
			ids[id] = true
		}
	})
	return ids, err
}
