package command

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"kugetsu/queue"
	"kugetsu/queue/fault"
	"kugetsu/queue/issueref"
)

// checkBranch refuses a branch on which a new session of an issue or task cannot work: a name that git does not allow, the base, and the
// branch of another session or of a waiting item. It also refuses a name above or below such a branch, since git keeps branches as files
// in folders.
func (a *App) checkBranch(ref issueref.Ref, name string) error {
	if name == "" {
		return nil
	}
	if ref.IsZero() {
		return fault.New(fault.Usage, "name an issue or --repo", "--branch is for a worktree, and the PM agent has none")
	}
	if err := ref.CheckBranch(name); err != nil {
		return fault.New(fault.Usage, "--branch feature/search", "%w", err)
	}
	refuse := func(hint, format string, args ...any) error { return fault.New(fault.Failed, hint, format, args...) }
	workspace, err := a.Tick.Sessions().Workspaces()
	if err != nil {
		return err
	}
	if slices.Contains(a.Home.Bases(workspace(ref)), name) {
		return refuse("choose another name", "the branch %s is the base, or checked out in the local checkout", name)
	}
	clash := func(other string) bool {
		x, y := strings.ToLower(name)+"/", strings.ToLower(other)+"/"
		return strings.HasPrefix(x, y) || strings.HasPrefix(y, x)
	}
	names, err := a.Home.Sessions()
	if err != nil {
		return err
	}
	began := false
	for _, session := range names {
		other, err := issueref.FromSession(session)
		if err != nil || other.RepoName() != ref.RepoName() {
			continue
		}
		s, err := a.Home.ReadSession(session)
		began = began || s != nil && session == ref.Session()
		switch {
		case err != nil && session == ref.Session():
			return err
		case err != nil, s == nil: // that session cannot be used before it is repaired
		case session == ref.Session() && s.Branch != name:
			return refuse("leave out --branch, or end its session with kugetsu destroy", "%s has a session already, on the branch %s", ref, s.Branch)
		case session != ref.Session() && clash(s.Branch):
			return refuse("choose another name", "%s", inTheWay(name, s.Branch, s.IssueRef))
		}
	}
	var taken error
	err = a.Queue.LivePublic(func(id string, p queue.Public) {
		other, otherErr := issueref.Canonical(p.IssueRef)
		if taken != nil || otherErr != nil || p.State.Settled() || other.RepoName() != ref.RepoName() {
			return
		}
		switch its := cmp.Or(p.Branch, other.Branch()); {
		case other.Session() == ref.Session() && its != name && (p.Branch != "" || !began):
			taken = refuse("leave out --branch", "%s is to work on the branch %s: item %s waits for it", ref, its, a.short(id))
		case other.Session() != ref.Session() && clash(its):
			taken = refuse("choose another name", "%s", inTheWay(name, its, "item "+a.short(id)))
		}
	})
	return cmp.Or(err, taken)
}

// inTheWay says why a branch cannot be made: it is another's, or git keeps no two branches whose names differ in case, or of which one
// is a folder of the other.
func inTheWay(name, other, of string) string {
	if name == other {
		return fmt.Sprintf("the branch %s is that of %s", name, of)
	}
	return fmt.Sprintf("git cannot keep the branch %s beside %s, the branch of %s", name, other, of)
}

// onTop says on top of what a new item begins: the issue or task of the one item that it waits for.
func (c *Wait) onTop(a *App, it *queue.Item, of func(id string) (issueref.Ref, queue.State, error)) error {
	if !c.OnTop {
		return nil
	}
	if len(it.After) != 1 {
		return fault.New(fault.Usage, "--after names the one whose branch it begins at", "--on-top needs one --after, and there are %d", len(it.After))
	}
	id, ref := it.After[0], it.Ref()
	under, state, err := of(id)
	if err != nil {
		return err
	}
	switch {
	case under.IsZero() || ref.IsZero():
		return fault.New(fault.Usage, "leave out --on-top", "--on-top is for worktrees, and the PM agent has none")
	case under.RepoName() != ref.RepoName():
		return fault.New(fault.Usage, "leave out --on-top", "%s is in another repository than %s: no branch can begin there", under, ref.Repository())
	case under.Session() == ref.Session():
		return fault.New(fault.Usage, "leave out --on-top", "%s goes on on its own branch anyway", ref)
	}
	its, err := a.Home.ReadSession(under.Session())
	if err != nil {
		return err
	}
	if its == nil && state == queue.Completed {
		return fault.New(fault.Failed, "leave out --on-top to begin at the base", "the session of %s was ended, and its branch with it", under)
	}
	own, err := a.Home.ReadSession(ref.Session())
	if err != nil {
		return err
	}
	if own != nil && (its == nil || !own.BeganOn(its.Branch)) {
		return fault.New(fault.Failed, "leave out --on-top, or end its session with kugetsu destroy", "%s has a session already, which began elsewhere", ref)
	}
	it.OnTop = under.String()
	return nil
}

// issueOf is the issue or task of an item, and its state.
func (a *App) issueOf(id string) (issueref.Ref, queue.State, error) {
	e, err := a.Queue.Find(id)
	if err != nil {
		return issueref.Ref{}, "", err
	}
	it, err := a.Queue.Load(e)
	if err != nil {
		return issueref.Ref{}, "", err
	}
	return it.Ref(), it.State, nil
}

// sibling is a live item of the same issue or task as a new one.
type sibling struct {
	id, onTop string
}

// siblings are the live items by session, and the queue is read once for all lines of a file.
func (a *App) siblings(session string) ([]sibling, error) {
	if a.siblingsOf == nil {
		live := map[string][]sibling{}
		err := a.Queue.LivePublic(func(id string, p queue.Public) {
			if ref, err := issueref.Canonical(p.IssueRef); err == nil && !p.State.Settled() {
				live[ref.Session()] = append(live[ref.Session()], sibling{id, p.OnTop})
			}
		})
		if err != nil {
			return nil, err
		}
		a.siblingsOf = live
	}
	return a.siblingsOf[session], nil
}

// checkBegin refuses a new item on top of another session if a live item could begin the new item's session elsewhere: the first item
// that runs begins the session, for all items. planned are the items of earlier lines.
//
// A new item that is on top of nothing is not checked, since that would read every item for each delegate. If it runs before an item on
// top, the latter becomes an error that says so.
func (a *App) checkBegin(it *queue.Item, planned []planned) error {
	ref := it.Ref()
	if it.OnTop == "" || ref.IsZero() || ref.Task != "" && ref.Task == issueref.TaskOf(it.ID) {
		return nil
	}
	if own, err := a.Home.ReadSession(ref.Session()); err != nil || own != nil {
		return nil // that session cannot be read before it is repaired, or it began
	}
	others, err := a.siblings(ref.Session())
	if err != nil {
		return err
	}
	others = slices.Clone(others)
	for _, p := range planned {
		if p.item.Ref().Session() == ref.Session() {
			others = append(others, sibling{p.item.ID, p.item.OnTop})
		}
	}
	if len(others) == 0 || slices.ContainsFunc(others, func(s sibling) bool { return s.onTop == it.OnTop }) { // that one was checked
		return nil
	}
	id := a.short(others[0].id)
	return fault.New(fault.Failed, "leave out --on-top, or kugetsu queue cancel "+id, "%s begins elsewhere than on top of %s: item %s waits for it", ref, it.OnTop, id)
}
