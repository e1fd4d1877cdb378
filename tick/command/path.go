package command

import (
	"errors"
	"strings"

	"kugetsu/queue"
	"kugetsu/queue/fault"
	"kugetsu/queue/spool"
	"kugetsu/slots"
	"kugetsu/tick"
)

// Path prints where an issue's worktree is.
type Path struct {
	ID *string `arg:"" optional:"" complete:"session" help:"An issue reference, an id or a part of one; the item that was enqueued last without one."`
}

// Help is its long help.
func (*Path) Help() string {
	return longHelp(`
The command prints the worktree of an issue, for a shell to go there:
cd "$(kugetsu path owner/repo#12)".`,
		codes{0: "printed", 1: "there is no worktree"},
		"kugetsu path owner/repo#12",
		"kugetsu path")
}

// Run prints it, byte for byte: a shell takes it as it is.
func (c *Path) Run(a *App) error {
	name, ref := "", ""
	if c.ID != nil {
		if issue, err := a.parse(*c.ID); err == nil { // a session may outlive its items
			name, ref = issue.Session(), issue.String()
		} else if errors.Is(err, errSeveral) {
			return err
		}
	}
	if name == "" {
		_, it, err := a.findOrLast(c.ID)
		if err != nil {
			return err
		}
		if it.Lane() == queue.PM {
			return fault.New(fault.Failed, "kugetsu list shows the sessions", "%s is for the PM agent, which has no worktree", a.short(it.ID))
		}
		name, ref = it.Ref().Session(), it.IssueRef
	}
	s, err := a.Home.ReadSession(name)
	switch {
	case err != nil:
		return err
	case s == nil || s.Worktree == "":
		return fault.New(fault.Failed, "kugetsu list shows the sessions; a worktree is made when a run begins", "%s has no worktree", ref)
	}
	if at, away := s.Shown(); away {
		return fault.New(fault.Failed, "kugetsu restore "+ref+", when no run works there, brings what is kept of it into the state folder",
			"%s has no worktree on this machine: its runs work on the disk of a node, at %s", ref, at)
	}
	there, err := spool.Exists(s.Worktree)
	if err == nil && !there {
		err = fault.New(fault.Failed, "kugetsu continue "+ref+" makes it anew", "the worktree of %s is gone: %s", ref, s.Worktree)
	}
	if err != nil {
		return err
	}
	return a.print("%s\n", s.Worktree)
}

// showWork says where the work on an item is, and what to do next.
func (a *App) showWork(it *queue.Item, line printLine) error {
	var s *slots.Session
	if it.Lane() == queue.Dev {
		var err error
		if s, err = a.Home.ReadSession(it.Ref().Session()); err != nil {
			return err
		}
	}
	if s != nil && s.Worktree != "" {
		line("branch", "%s", s.Branch)
		at, away := s.Shown()
		if away {
			line("worktree", "%s, on the disk of a node while it runs", at)
		} else {
			line("worktree", "%s", at)
		}
		if s.Left != "" {
			line("left", "%s, which the next run goes on with", s.Left)
		}
		if from := begun(it, s); from != "" && !away {
			line("diff", "git -C \"$(kugetsu path %s)\" diff %.12s", it.IssueRef, from)
		}
	}
	if s == nil && it.Branch != "" {
		line("branch", "%s", it.Branch)
	}
	next, err := a.next(it, s)
	if err == nil {
		line("next", "%s", next)
	}
	return err
}

// begun is the commit at which the work of an issue began; "" where that is not known.
func begun(it *queue.Item, s *slots.Session) string {
	if s.Start != "" {
		return s.Start
	}
	for _, r := range it.History {
		if r.Changes != nil && r.Changes.From != "" {
			return r.Changes.From
		}
	}
	return ""
}

// next is what a person types next about an item.
func (a *App) next(it *queue.Item, s *slots.Session) (string, error) {
	if it.State == queue.Errored {
		return a.nextOfError(it)
	}
	return a.nextOf(it, s), nil
}

// nextOfError is what a person types about an item that ended in an error. Each command can be typed as it stands, but for CMD.
func (a *App) nextOfError(it *queue.Item) (string, error) {
	id := a.short(it.ID)
	taken, command := tick.Taken(it, id)
	order, err := a.Tick.RetryOrder(it)
	switch {
	case err != nil:
		return "", err
	case taken != "":
		return "bring " + taken + " back in the worktree, and kugetsu queue retry " + id + "; or " + command + " names another command that verifies it", nil
	case len(order) > 1:
		for i := range order {
			order[i] = a.short(order[i])
		}
		return "kugetsu queue retry " + strings.Join(order, " ") + " puts it back, with what it waits for", nil
	case it.Runs == 0:
		return "it never ran; kugetsu queue retry " + id + " puts it back", nil
	}
	return "kugetsu logs " + id + " shows what happened; kugetsu queue retry " + id + " goes on with it", nil
}

func (a *App) nextOf(it *queue.Item, s *slots.Session) string {
	id := a.short(it.ID)
	switch {
	case it.State == queue.Pending && a.Tick.EditAgent(id, it.Choice()) != "":
		return a.Tick.EditAgent(id, it.Choice()) + " gives it an agent that is there"
	case it.State == queue.Pending && a.Tick.EditVerifier(it, id) != "":
		return a.Tick.EditVerifier(it, id) + " names another command that verifies it"
	case it.State == queue.Pending:
		return "kugetsu queue wait " + id
	case it.State == queue.Notified:
		return "kugetsu logs -f " + id
	case s == nil:
		return "nothing: its session was ended"
	case s.PRURL != "":
		return "review " + s.PRURL
	}
	return "review the branch; kugetsu continue " + it.IssueRef + " \"...\" goes on with it"
}
