package command

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"kugetsu/queue"
	"kugetsu/queue/fault"
	"kugetsu/queue/issueref"
	"kugetsu/slots"
	"kugetsu/slots/agent"
	"kugetsu/tick"
)

// New is the flags of what enqueues.
type New struct {
	Agent    string `help:"Agent for this item (default: KUGETSU_AGENT)." placeholder:"NAME"`
	Priority int    `help:"00 runs first, 99 last." default:"50" placeholder:"N"`
	Timeout  string `help:"How long its runs may take (90m; default: TASK_TIMEOUT)." placeholder:"D"`
	Changes  bool   `name:"expect-changes" help:"A run that leaves neither a commit nor a changed file has failed."`
	JSON     bool   `name:"json" help:"Print the item as JSON."`
}

// Delegate enqueues whatever it is given.
type Delegate struct {
	New
	Wait
	From string   `help:"Enqueue what the lines of a file say, a JSON object each: issue_ref, message, and if you like agent, priority, after, not_before, timeout. - is stdin." placeholder:"FILE"`
	Now  bool     `name:"tick" help:"Run a tick afterwards: start it now if a slot is free."`
	Args []string `arg:"" optional:"" name:"message" help:"[issue-ref] message. Without a reference first, the message is searched for one; - reads it from stdin."`
}

// Run enqueues. It never asks, never waits for a lock, and prints the id only when the item is durable. Only then, and only
// with --tick, it waits for a pass that is under way.
func (c *Delegate) Run(a *App) error {
	id, err := c.one(a)
	if err != nil && !errors.Is(err, errUnprinted) {
		return err
	}
	if c.Now {
		err = errors.Join(err, runTick(a, tick.LockWait)) // the pass under way may have been past this item already
	}
	return errors.Join(err, a.tellWhen(id))
}

// one enqueues, and returns the id where it is of one item alone.
func (c *Delegate) one(a *App) (string, error) {
	switch {
	case c.From != "" && len(c.Args) > 0:
		return "", fault.New(fault.Usage, "the file says it, line by line", "--from takes no message beside it")
	case c.From != "":
		return "", c.from(a)
	case len(c.Args) == 0:
		return "", fault.New(fault.Usage, "kugetsu delegate --help", `expected "<message> ..."`)
	}
	message, err := a.message(c.Args)
	if err != nil {
		return "", err
	}
	ref, message, err := a.reference(c.Args[0], len(c.Args) > 1, message)
	if err != nil {
		return "", err
	}
	return c.enqueue(a, ref, message, &c.Wait)
}

// message joins the words; a last word - is replaced by what stdin holds, byte for byte.
func (a *App) message(words []string) (string, error) {
	if words[len(words)-1] != "-" {
		return strings.Join(words, " "), nil
	}
	data, err := io.ReadAll(io.LimitReader(a.Stdin, queue.MaxMessage+1))
	if err != nil {
		return "", fmt.Errorf("read the message from stdin: %w", err)
	}
	return strings.Join(append(words[:len(words)-1:len(words)-1], string(data)), " "), nil
}

// reference finds out which issue a message is about: the first word, if it is a reference and more follows; else the
// one reference in the message. A zero Ref means the PM agent.
func (a *App) reference(first string, more bool, message string) (issueref.Ref, string, error) {
	if more {
		if ref, err := a.parse(first); err == nil {
			if message = strings.TrimPrefix(message, first+" "); message == first {
				return ref, "", noMessage(ref)
			}
			return ref, message, nil
		}
	}
	if ref, err := a.parse(strings.TrimSpace(message)); err == nil {
		return ref, "", noMessage(ref)
	}
	found := issueref.Find(message, a.Settings.GitServer, a.Tick.Below()...)
	switch len(found) {
	case 1:
		return found[0], message, nil
	case 0:
		return issueref.Ref{}, message, a.needPM()
	}
	names := make([]string, len(found))
	for i, ref := range found {
		names[i] = ref.String()
	}
	return issueref.Ref{}, "", fault.New(fault.Usage, "name the one it is for first",
		"the message names %d issues: %s", len(found), strings.Join(names, ", "))
}

// noMessage refuses a reference alone: the agent would be told nothing but that.
func noMessage(ref issueref.Ref) error {
	return fault.New(fault.Usage, fmt.Sprintf(`kugetsu delegate %s "what to do"; a message that begins with - goes behind --`, ref),
		"there is no message: what is to be done about %s?", ref)
}

// needPM refuses what has no reference where there is no PM agent.
func (a *App) needPM() error {
	pm, err := a.Home.ReadSession(slots.PMSession)
	if err != nil || pm != nil {
		return err
	}
	return fault.New(fault.Usage, "name it first: kugetsu delegate owner/repo#12 "+`"what to do"`,
		"no issue reference, and there is no PM agent to take it")
}

// item makes a new item.
func (c *New) item(a *App, ref issueref.Ref, message string, mode queue.Mode) (*queue.Item, error) {
	if a.Config != nil {
		return nil, a.Config
	}
	if err := queue.CheckMessage(message); err != nil {
		return nil, err
	}
	if err := checkPriority(c.Priority); err != nil {
		return nil, err
	}
	name := c.Agent
	if name == "" {
		name = a.Settings.Agent
	}
	if _, err := agent.Lookup(name); err != nil && c.Agent != "" {
		return nil, fault.New(fault.Usage, "", "%w", err)
	}
	if err := tick.Runnable(name, a.Settings); err != nil {
		return nil, err
	}
	if err := a.Tick.Remember(ref); err != nil {
		return nil, err
	}
	if err := a.Tick.Installed(name); err != nil && mode == queue.Auto && !a.warned[name] {
		if a.warned == nil {
			a.warned = map[string]bool{}
		}
		a.warned[name] = true
		a.note("warning: %s", clean(err.Error()))
	}
	now := a.Now().UTC()
	it := &queue.Item{ID: queue.NewID(now), IssueRef: ref.String(), Agent: name, Message: message, Mode: mode,
		PendingSince: now, After: []string{}, History: []queue.Run{}, ExpectChanges: c.Changes}
	return it, timeout(it, c.Timeout)
}

// enqueue enqueues, tells, and returns the id.
func (c *New) enqueue(a *App, ref issueref.Ref, message string, wait *Wait) (string, error) {
	it, err := c.item(a, ref, message, queue.Auto)
	if err != nil {
		return "", err
	}
	if err := wait.into(a, it); err != nil {
		return "", err
	}
	id, err := a.enqueue(it, c.Priority, wait.UnlessQueued)
	if err != nil {
		return "", err
	}
	return id, a.announce(it, id, c.Priority, c.JSON)
}

// announce prints the id of an item; it may be that of one which was there before.
func (a *App) announce(it *queue.Item, id string, priority int, asJSON bool) error {
	if !asJSON {
		return a.print("%s\n", id)
	}
	if id != it.ID {
		e, there, err := a.find(id)
		if err != nil {
			return err
		}
		it, priority = there, e.Priority
	}
	return a.printJSON(listed{Item: it, Priority: priority})
}

// tellWhen tells a person at a terminal when an item starts, and every caller that nothing will start it.
func (a *App) tellWhen(id string) error {
	if a.Tick.Config != nil { // of the user's files: with bad settings nothing is enqueued
		a.note("warning: it is enqueued, and nothing is started before this is corrected: %s", clean(strings.ReplaceAll(a.Tick.Config.Error(), "\n", "; ")))
		return nil
	}
	view, err := a.Tick.Look()
	if err != nil {
		return err
	}
	starts, why := view.When(id)
	none := a.noTick(view)
	switch {
	case none != "":
		a.note("warning: %s", clean(none))
	case !a.Terminal || id == "":
	case starts:
		a.note("%s; kugetsu tick makes one now", a.starts(view))
	case why != "":
		a.note("not yet: %s", clean(why))
	}
	return nil
}

// Enqueue is delegate by hand: the reference is not searched for.
type Enqueue struct {
	New
	Wait
	Ref     string   `arg:"" name:"issue-ref" help:"host/owner/repo#n, owner/repo#n, or the URL of an issue or pull request."`
	Message []string `arg:"" help:"What to do; - reads it from stdin."`
}

// Run enqueues.
func (c *Enqueue) Run(a *App) error {
	ref, err := a.ref(c.Ref)
	if err != nil {
		return err
	}
	message, err := a.message(c.Message)
	if err != nil {
		return err
	}
	id, err := c.enqueue(a, ref, message, &c.Wait)
	if err != nil {
		return err
	}
	return a.tellWhen(id)
}

// parse reads a reference. One whose host has no dot, which only its URL could name at first, is one where something is
// known of the issue: what is printed can be typed.
func (a *App) parse(s string) (issueref.Ref, error) {
	ref, err := issueref.Parse(s, a.Settings.GitServer, a.Tick.Below()...)
	if err == nil {
		return ref, nil
	}
	host, _, _ := strings.Cut(s, "/")
	if ref, ownErr := issueref.Parse(s, host); ownErr == nil && !ref.IsZero() && a.Tick.Knows(ref) {
		return ref, nil
	}
	return issueref.Ref{}, err
}

// ref reads a reference. The error asks for exit code 80.
func (a *App) ref(s string) (issueref.Ref, error) {
	ref, err := a.parse(s)
	if err != nil {
		return ref, fault.New(fault.Usage, "owner/repo#12, host/owner/repo#12, or the URL of the issue", "%w", err)
	}
	return ref, nil
}

// Start dispatches a new item now, past the queue.
type Start struct {
	New
	Ref     string   `arg:"" name:"issue-ref" help:"The issue."`
	Message []string `arg:"" help:"What to do; - reads it from stdin."`
}

// Run dispatches, or exits 2.
func (c *Start) Run(a *App) error { return c.dispatch(a, c.Ref, c.Message, queue.Start) }

// Continue dispatches a new item now, in the issue's session.
type Continue struct {
	New
	Ref     string   `arg:"" name:"issue-ref" help:"The issue."`
	Message []string `arg:"" optional:"" help:"What to do; - reads it from stdin. Without one the agent looks for new comments and finishes."`
}

// followUp is the message of a continue without one.
const followUp = "Look for new comments on the issue and its pull request, do what they ask for, and finish what is not finished."

// Run dispatches, or exits 2.
func (c *Continue) Run(a *App) error {
	if len(c.Message) == 0 {
		c.Message = []string{followUp}
	}
	return c.dispatch(a, c.Ref, c.Message, queue.Continue)
}

func (c *New) dispatch(a *App, word string, words []string, mode queue.Mode) error {
	ref, err := a.ref(word)
	if err != nil {
		return err
	}
	message, err := a.message(words)
	if err != nil {
		return err
	}
	it, err := c.item(a, ref, message, mode)
	if err != nil {
		return err
	}
	if _, err := a.Tick.Dispatch(a.Ctx, it, c.Priority); err != nil {
		return err
	}
	return a.announce(it, it.ID, c.Priority, c.JSON)
}
