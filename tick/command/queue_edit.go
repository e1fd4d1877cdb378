package command

import (
	"errors"
	"os"
	"slices"
	"strings"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/fault"
	"kugetsu/slots/proc"
	"kugetsu/tick/settings"
)

// QueueEdit changes a waiting item.
type QueueEdit struct {
	ID        *string  `arg:"" optional:"" complete:"waiting" help:"An id, a part of one, or an issue reference. Left out on a terminal: the newest item that waits."`
	Message   *string  `help:"What to do; - reads it from stdin." placeholder:"TEXT"`
	Agent     *string  `complete:"agent" help:"Its agent; of several (claude,codex) the first that may start. The model and the arguments of another go, unless they are given." placeholder:"NAME"`
	Model     *string  `help:"Its model, as its agent names it; default is what the settings say." placeholder:"NAME"`
	Args      string   `kong:"-"` // --agent-args, which is a setting for the other commands
	Priority  *int     `help:"00 runs first, 99 last." placeholder:"N"`
	Timeout   *string  `help:"How long its runs may take (90m); default is TASK_TIMEOUT." placeholder:"D"`
	Verify    *string  `help:"Command that verifies its runs; default is that of its repository, or VERIFY_COMMAND." placeholder:"CMD" xor:"verify"`
	NoVerify  bool     `name:"no-verify" help:"Its runs are not verified." xor:"verify"`
	After     []string `complete:"item" help:"Only when these completed, and no others: ids, parts of them, or issue references; none is no item." placeholder:"ID" sep:"none"`
	NotBefore *string  `help:"Only from then on: 08:00, '2026-11-30 08:00', RFC 3339, or 90m from now; now is at once." placeholder:"WHEN"`
}

// take takes --agent-args for the item.
func (c *QueueEdit) take(source *settings.Source, s *settings.Settings) {
	c.Args, s.AgentArgs = source.Take("AGENT_ARGS")
}

// Help is its long help.
func (*QueueEdit) Help() string {
	return longHelp(`
The command changes an item that waits. It keeps its id, its place among those of its priority, and what waits for it.
What no flag names stays as it is. Without a flag the command opens the message in an editor: $VISUAL, else $EDITOR,
else vi. An item that was started or settled meanwhile is not changed; a message from the editor is kept in a file then.

Each --after replaces all that the item waited for. An item cannot wait for one that waits for it.`,
		codes{0: "changed, or so already", 1: "the item does not wait any more, or would wait for itself", 75: "the lock was busy for 10 s, or the disk is full"},
		"kugetsu queue edit owner/repo#12",
		`kugetsu queue edit --message "Fix the crash, and test it." owner/repo#12`,
		"kugetsu queue edit --not-before 22:00 --after owner/repo#11 --after owner/repo#10 owner/repo#12",
		"kugetsu queue edit --agent claude --timeout default --after none --not-before now owner/repo#12")
}

// Run changes it.
func (c *QueueEdit) Run(a *App) error {
	if a.Config != nil {
		return a.Config
	}
	if c.ID == nil {
		id, err := a.newestThat("kugetsu queue edit", "kugetsu queue edit "+thisItem, func(it *queue.Item) bool { return it.State == queue.Pending })
		if err != nil {
			return err
		}
		c.ID = &id
	}
	_, it, err := a.find(*c.ID)
	if err != nil {
		return err
	}
	if !c.flagged() {
		return c.inEditor(a, it)
	}
	change, err := c.change(a)
	if err != nil {
		return err
	}
	return a.edit(it.ID, change)
}

// flagged says whether a flag says what to change.
func (c *QueueEdit) flagged() bool {
	return c.Message != nil || c.Agent != nil || c.Model != nil || c.Args != "" || c.Priority != nil || c.Timeout != nil || c.Verify != nil || c.NoVerify ||
		c.After != nil || c.NotBefore != nil
}

// editing changes a copy of an item and returns the priority that it is to have.
type editing func(it *queue.Item, priority int) (int, error)

// edit changes an item, and says what changed.
func (a *App) edit(id string, change editing) error {
	var changed []string
	err := a.Tick.Edit(a.Ctx, id, func(it *queue.Item, priority int) (int, error) {
		was := *it
		to, err := change(it, priority)
		if err == nil {
			changed = differences(&was, it, priority, to)
		}
		return to, err
	})
	switch {
	case err != nil:
		return err
	case len(changed) == 0:
		return a.did("%s is so already\n", a.short(id))
	}
	return a.did("%s edited: %s\n", a.short(id), strings.Join(changed, ", "))
}

// differences names what is not the same in two items.
func differences(a, b *queue.Item, was, is int) (names []string) {
	at := func(t *time.Time) time.Time {
		if t == nil {
			return time.Time{}
		}
		return *t
	}
	for _, d := range []struct {
		name    string
		differs bool
	}{
		{"message", a.Message != b.Message},
		{"agent", !slices.Equal(a.Choice(), b.Choice())},
		{"model", a.Model != b.Model},
		{"arguments", a.AgentArgs != b.AgentArgs},
		{"priority", was != is},
		{"timeout", a.Timeout != b.Timeout},
		{"verify", a.Verify != b.Verify},
		{"after", strings.Join(a.After, " ") != strings.Join(b.After, " ")},
		{"not before", !at(a.NotBefore).Equal(at(b.NotBefore))},
	} {
		if d.differs {
			names = append(names, d.name)
		}
	}
	return names
}

// change checks the flags, before tick.lock is locked, and returns what they ask for.
func (c *QueueEdit) change(a *App) (editing, error) {
	to, err := c.checked(a)
	if err != nil {
		return nil, err
	}
	verifies, err := verifying(c.Verify, c.NoVerify)
	if err != nil {
		return nil, err
	}
	return func(it *queue.Item, priority int) (int, error) {
		if c.Message != nil {
			it.Message = to.Message
		}
		if err := c.setAgent(a, it); err != nil {
			return 0, err
		}
		if c.Priority != nil {
			priority = *c.Priority
		}
		if c.Timeout != nil {
			it.Timeout = to.Timeout
		}
		if err := a.setVerify(it, verifies); err != nil {
			return 0, err
		}
		if c.After != nil && it.OnTop != "" {
			return 0, fault.New(fault.Failed, "cancel it, and delegate it anew", "it is to begin on top of %s, and waits for that", it.OnTop)
		}
		if c.After != nil {
			it.After = to.After
		}
		if c.NotBefore != nil {
			it.NotBefore = to.NotBefore
		}
		return priority, nil
	}, nil
}

// checked has what the flags say, checked as delegate checks it. The agent is not among it: what it may be depends on the item.
func (c *QueueEdit) checked(a *App) (to *queue.Item, err error) {
	to = &queue.Item{After: []string{}}
	if c.Message != nil {
		if to.Message, err = a.message([]string{*c.Message}); err == nil {
			err = queue.CheckMessage(to.Message)
		}
	}
	if err == nil && c.Priority != nil {
		err = checkPriority(*c.Priority)
	}
	if err == nil && c.Timeout != nil && *c.Timeout != "default" {
		err = timeout(to, *c.Timeout)
	}
	if err == nil && (len(c.After) != 1 || c.After[0] != "none") {
		to.After, err = a.dependencies(c.After)
	}
	if err == nil && c.NotBefore != nil && *c.NotBefore != "now" {
		err = notBefore(a, to, *c.NotBefore)
	}
	return to, err
}

// verifying is what --verify and --no-verify say of an item that is there; nil where neither is given.
func verifying(command *string, none bool) (*queue.Verify, error) {
	switch {
	case command == nil && !none:
		return nil, nil
	case command != nil && *command == "default":
		return &queue.Verify{}, nil
	}
	v, err := verify(command, none)
	return &v, err
}

// setVerify gives an item another command that verifies its runs, or the same once more. Only the holder of tick.lock may call it.
func (a *App) setVerify(it *queue.Item, to *queue.Verify) error {
	if to == nil {
		return nil
	}
	same := it.Verify == *to
	if it.Verify = *to; same {
		again, err := a.Tick.VerifyAgain(it)
		if err != nil {
			return err
		}
		if again {
			a.note("%s is tried again with the same command", a.short(it.ID))
		}
	}
	a.warn(a.Tick.Verifiable(it))
	return nil
}

// setAgent gives an item another agent, model or arguments, checked as delegate checks them.
func (c *QueueEdit) setAgent(a *App, it *queue.Item) error {
	if c.Agent == nil && c.Model == nil && c.Args == "" {
		return nil
	}
	names := it.Choice()
	if c.Agent != nil && !slices.Equal(settings.SplitAgents(*c.Agent), names) {
		names, it.Model, it.AgentArgs = settings.SplitAgents(*c.Agent), "", ""
	}
	if c.Model != nil {
		if it.Model = *c.Model; it.Model == "default" {
			it.Model = ""
		}
	}
	if c.Args != "" {
		it.AgentArgs = c.Args
	}
	names, err := a.agents(strings.Join(names, ","), it.Model, it.AgentArgs)
	if err != nil {
		return err
	}
	it.SetAgents(names)
	a.warnMissing(names)
	return nil
}

// inEditor lets a person change the message of an item. The new text is never lost: its file is deleted only when the item has the
// message.
func (c *QueueEdit) inEditor(a *App, it *queue.Item) error {
	if !a.attended() {
		return fault.New(fault.Usage, "kugetsu queue edit --message - "+it.ID+" reads a message from stdin; kugetsu queue edit --help has all flags",
			"there is no terminal for an editor, and no flag says what to change")
	}
	path, err := scratch(it.Message)
	if err != nil {
		return err
	}
	text, err := edited(path, it.Message)
	if err == nil && text != it.Message {
		if err = queue.CheckMessage(text); err == nil {
			err = a.edit(it.ID, func(now *queue.Item, priority int) (int, error) {
				if now.Message != it.Message {
					return 0, fault.New(fault.Failed, "kugetsu queue show "+it.ID, "the message of %s was changed meanwhile", it.ID)
				}
				now.Message = text
				return priority, nil
			})
		}
		if err != nil && !errors.Is(err, errUnprinted) {
			a.note("what you wrote is in %s", clean(path))
			return err
		}
	} else if err == nil {
		err = a.did("%s is so already\n", a.short(it.ID))
	}
	return errors.Join(err, os.Remove(path))
}

// scratch writes a message into a file of its own.
func scratch(message string) (string, error) {
	file, err := os.CreateTemp("", "kugetsu-message-*.txt")
	if err != nil {
		return "", err
	}
	_, err = file.WriteString(message)
	return file.Name(), errors.Join(err, file.Close())
}

// edited is a file's text after a person edited it. The newline that most editors put at the end of a file is no change.
func edited(path, was string) (string, error) {
	editor := "vi"
	for _, name := range []string{"VISUAL", "EDITOR"} {
		if set := os.Getenv(name); set != "" {
			editor = set
			break
		}
	}
	if err := proc.Foreground("sh", "-c", editor+` "$@"`, editor, path); err != nil { // as git does: it may have arguments
		return was, fault.New(fault.Failed, "set EDITOR, or kugetsu queue edit --message", "the editor %q: %w", clip(editor), err)
	}
	data, err := os.ReadFile(path)
	text := string(data)
	if !strings.HasSuffix(was, "\n") {
		text = strings.TrimSuffix(text, "\n")
	}
	return text, err
}
