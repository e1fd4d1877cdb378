package command

import (
	"errors"
	"fmt"
	"strings"

	"kugetsu/queue/fault"
	"kugetsu/queue/issueref"
	"kugetsu/tick"
)

// Delegate enqueues a message, or the lines of a file.
type Delegate struct {
	New
	Wait
	Work
	From string   `help:"Enqueue what the lines of a file say, a JSON object each: issue_ref or repo, message, and if you like agent, model, agent_args, priority, after, not_before, timeout, key, branch, on_top, verify. - is stdin." placeholder:"FILE"`
	Tick bool     `help:"Run a tick afterwards: start it now if a slot is free."`
	Now  bool     `name:"now" help:"With --tick: outside of RUN_HOURS, beyond the budgets of a day, and into QUOTA_RESERVE, too."`
	Args []string `arg:"" optional:"" name:"message" complete:"issue" help:"[issue-ref] message. Without a reference first, the message is searched for one; - reads it from stdin."`
}

// Help is its long help.
func (*Delegate) Help() string {
	return longHelp(`
The command returns at once, and prints the item's id once the item is safely on the disk; on a terminal it also says
when the item starts. The command never asks. Only --tick and --unless-queued wait for a lock.

An issue is host/owner/repo#12, owner/repo#12 or a URL, and stands first. Without it the message is searched for
exactly one issue; a message with none goes to the PM agent, if there is one. Put -- before a message that begins with
a dash.

--repo gives a task that has no issue, in a worktree of its own. Every command takes its id in place of an issue, or its
name: owner/repo#name, or its branch task/name. With --key the name stays: the same --repo and --key go on in the same
worktree, branch and conversation. With --unless-queued, a line of a crontab makes that a chore. repos.json in the state
folder says where a repository comes from: its value is the URL, or an object with url, base, hook, verify, follow and
max, which are then for this repository alone.

--after waits until another item completed: name it by an id, a part of one, or an issue; it must be there, live or
settled. If that item ends in an error, or is gone, this one becomes an error as well, without a run, and so do the
items that wait for this one. --not-before takes 08:00 (the next one), '2026-11-30 08:00', RFC 3339, or 90m from now.

--on-top with one --after begins at the branch of that one, in the same repository, and tells the agent to open the pull
request there. If that branch is merged by then, the work begins at the base. If its session is gone, the item becomes
an error. Meanwhile that session is neither pruned nor destroyed.

--branch names the branch of a new session. The base and the branches of other sessions are refused.

--unless-queued prints the id of the live item where the issue is queued or running, and enqueues nothing; without an
issue or a key it compares the message. If many callers do so at once, one of them enqueues.

--model and --agent-args are for the agent of this item: its model, and arguments in place of AGENT_ARGS.

--verify CMD runs in the worktree when the agent is done. Where it does not exit with 0, the agent is told, and tries
again.

--from reads a JSON object a line: issue_ref or repo, message, and if you like agent, model, agent_args, priority,
after, not_before, timeout, key, branch, on_top, verify (a command, or false for none). The flags are for the lines
that do not say. All lines are checked before one is enqueued; an error names the line. after may name an issue from an
earlier line of the file.`,
		codes{0: "enqueued, or queued already", 75: "the lock was busy for 10 s, or the disk is full"},
		`kugetsu delegate --tick owner/repo#12 "Fix the crash described in the issue."`,
		`kugetsu delegate --after owner/repo#12 --priority 10 owner/repo#13 "Document the fix."`,
		`kugetsu delegate -- owner/repo#12 "-v is broken"`,
		`kugetsu delegate --on-top --after owner/repo#12 owner/repo#13 "Build on it."`,
		`kugetsu delegate --repo owner/repo --key deps --unless-queued "Update the dependencies."`,
		"kugetsu delegate --from tasks.jsonl")
}

// Run enqueues. It asks nothing, waits for no lock, and prints the id only when the item is durable. With --tick it then waits
// for a pass that is under way.
func (c *Delegate) Run(a *App) error {
	id, err := c.one(a)
	if err != nil && !errors.Is(err, errUnprinted) {
		return err
	}
	if c.Tick {
		a.Tick.AnyHour = c.Now
		err = errors.Join(err, runTick(a, tick.LockWait)) // a pass under way may have listed the queue before this item
	}
	return errors.Join(err, a.tellWhen(id))
}

// one enqueues, and returns the id if it enqueued a single item.
func (c *Delegate) one(a *App) (string, error) {
	switch {
	case c.From != "" && c.Key != "":
		return "", fault.New(fault.Usage, "a line may have a field key", "--key names one task, and --from has many")
	case c.From != "" && len(c.Args) > 0:
		return "", fault.New(fault.Usage, "the file says it, line by line", "--from takes no message beside it")
	case c.From != "":
		return "", c.from(a)
	case len(c.Args) == 0:
		return "", fault.New(fault.Usage, `kugetsu delegate owner/repo#12 "what to do"`, "kugetsu delegate needs a message: what is the agent to do?")
	}
	message, err := a.message(c.Args)
	if err != nil {
		return "", err
	}
	if c.Repo != "" || c.Key != "" {
		if ref, err := a.parse(c.Args[0]); err == nil {
			return "", c.both(ref)
		}
		ref, err := c.Work.task(a, &c.New)
		if err != nil {
			return "", err
		}
		return c.enqueue(a, ref, message, &c.Wait)
	}
	ref, message, err := a.reference(c.Args[0], len(c.Args) > 1, message)
	if err != nil {
		return "", err
	}
	return c.enqueue(a, ref, message, &c.Wait)
}

// both refuses a reference beside the flags of a task that has none.
func (c *Delegate) both(ref issueref.Ref) error {
	flag, instead := "--repo", "--repo "+c.Repo
	if c.Repo == "" {
		flag, instead = "--key", "--repo "+ref.Repository()
	}
	if c.Key != "" {
		instead += " --key " + c.Key
	}
	return fault.New(fault.Usage, fmt.Sprintf(`leave out %s: %s keeps its worktree, branch and conversation anyway; or leave out %[2]s: kugetsu delegate %s "what to do"`, flag, ref, instead),
		"%s is for a task that has no issue, and %s is named", flag, ref)
}

// reference finds out which issue a message is about: the first word, if it is a reference and more follows; else the
// one reference in the message. A zero Ref means the PM agent.
func (a *App) reference(first string, more bool, message string) (issueref.Ref, string, error) {
	if more {
		ref, err := a.parse(first)
		if strings.HasPrefix(first, "q_") { // any other part of an id may be a word of the message
			ref, err = a.ref(first)
		}
		switch {
		case err == nil:
			if message = strings.TrimPrefix(message, first+" "); message == first {
				return ref, "", noMessage(ref)
			}
			return ref, message, a.known(ref)
		case errors.Is(err, errSeveral):
			return ref, "", err
		}
		// A PM agent would take the message for one of no issue, or of another that it names.
		if err := a.misread(first); err != nil {
			return issueref.Ref{}, "", err
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
		return issueref.Ref{}, message, a.needPM(message)
	}
	names := make([]string, len(found))
	for i, ref := range found {
		names[i] = ref.String()
	}
	return issueref.Ref{}, "", fault.New(fault.Usage, "name the one it is for first",
		"the message names %d issues: %s", len(found), strings.Join(names, ", "))
}

// noMessage refuses a reference without a message: the agent would get the reference alone.
func noMessage(ref issueref.Ref) error {
	return fault.New(fault.Usage, fmt.Sprintf(`kugetsu delegate %s "what to do"; put -- before a message that begins with -`, ref),
		"there is no message: what is to be done about %s?", ref)
}
