package command

import (
	"fmt"
	"io"
	"regexp"
	"strings"

	"kugetsu/queue"
	"kugetsu/queue/fault"
	"kugetsu/queue/issueref"
	"kugetsu/queue/pattern"
	"kugetsu/slots"
	"kugetsu/slots/agent"
	"kugetsu/tick"
	"kugetsu/tick/settings"
)

// New holds the flags of the commands that make an item.
type New struct {
	Agent    string  `complete:"agent" help:"Agent for this item (default: KUGETSU_AGENT); of several (claude,codex) the first that may start." placeholder:"NAME"`
	Model    string  `help:"Model for this item, as its agent names it." placeholder:"NAME"`
	Args     string  `kong:"-"` // --agent-args, which is a setting for the other commands
	Priority int     `help:"00 runs first, 99 last." default:"50" placeholder:"N"`
	Timeout  string  `help:"How long its runs may take (90m; default: TASK_TIMEOUT)." placeholder:"D"`
	Changes  bool    `name:"expect-changes" help:"A run that leaves neither a commit nor a changed file has failed."`
	Verify   *string `help:"Command that verifies its runs (default: that of the repository, or VERIFY_COMMAND)." placeholder:"CMD" xor:"verify"`
	NoVerify bool    `name:"no-verify" help:"Its runs are not verified." xor:"verify"`
	Branch   string  `help:"The branch of a new session (default: fix/issue-N, or task/NAME)." placeholder:"NAME"`
	JSON     bool    `name:"json" help:"Print the item as JSON."`

	id string // of the new item, where its task is named by it
}

// take takes --agent-args for the new item.
func (c *New) take(source *settings.Source, s *settings.Settings) {
	if flag, value := source.Take("AGENT_ARGS"); flag != "" {
		c.Args, s.AgentArgs = flag, value
	}
}

// Wait holds the flags that delay or skip a new item.
type Wait struct {
	After        []string `complete:"item" help:"Only when these completed: ids, parts of them, or issue references." placeholder:"ID" sep:"none"`
	NotBefore    string   `help:"Only from then on: 08:00, '2026-11-30 08:00', RFC 3339, or 90m from now." placeholder:"WHEN"`
	OnTop        bool     `help:"With one --after: begin at the branch of that one instead of the base, and open the pull request there."`
	UnlessQueued bool     `help:"Where the issue (without one: the message) is queued or running already, print the id of that and enqueue nothing."`
}

// into sets the dependencies and the start time of a new item.
func (c *Wait) into(a *App, it *queue.Item) (err error) {
	if it.After, err = a.dependencies(c.After); err != nil {
		return err
	}
	if err := c.onTop(a, it, a.issueOf); err != nil {
		return err
	}
	return notBefore(a, it, c.NotBefore)
}

// dependencies are the ids of the items that some words mean.
func (a *App) dependencies(words []string) ([]string, error) {
	ids := []string{}
	for _, word := range words {
		e, err := a.resolve(word)
		if err != nil {
			return nil, err
		}
		ids = appendNew(ids, e.ID)
	}
	return ids, nil
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

func checkPriority(n int) error {
	if n < 0 || n > 99 {
		return fault.New(fault.Usage, "00 runs first, 50 is the default", "priority %d is not between 0 and 99", n)
	}
	return nil
}

// agents are the agents that a text names, those of the setting where it is empty, in the order in which they are asked. Each must be
// able to do with the model and the arguments of an item, which are those of one program.
func (a *App) agents(text, model, args string) ([]string, error) {
	names := a.Settings.Agents()
	if text != "" {
		names = settings.SplitAgents(text)
	}
	if len(names) > 1 && (model != "" || args != "") {
		return nil, fault.New(fault.Usage, "name the one that it is for with --agent", "a model and arguments are for one agent, and this is for %s", strings.Join(names, ", "))
	}
	for _, name := range names {
		preset, err := agent.Lookup(name)
		switch {
		case err != nil && text != "":
			return nil, fault.New(fault.Usage, "", "%w", err)
		case err == nil:
			if err := preset.CheckArgs(model, args); err != nil {
				return nil, err
			}
		}
		if err := tick.Runnable(name, a.Settings); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// verify is what --verify and --no-verify say of the runs of an item.
func verify(command *string, none bool) (queue.Verify, error) {
	if command == nil {
		return queue.Verify{None: none}, nil
	}
	words, err := agent.Command(*command)
	if err == nil && (len(words) == 0 || words[0] == "") {
		err = fault.New(fault.Usage, "--no-verify does without", "there is no command")
	}
	if err != nil {
		return queue.Verify{}, fault.New(fault.Usage, fault.HintOf(err), "--verify: %w", err)
	}
	return queue.Verify{Command: *command}, nil
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
	names, err := a.agents(c.Agent, c.Model, c.Args)
	if err != nil {
		return nil, err
	}
	verify, err := verify(c.Verify, c.NoVerify)
	if err != nil {
		return nil, err
	}
	if err := a.Tick.Remember(ref); err != nil {
		return nil, err
	}
	now := a.Now().UTC()
	id := c.id
	if id == "" {
		id = queue.NewID(now)
	}
	if err := a.checkBranch(ref, c.Branch); err != nil {
		return nil, err
	}
	it := &queue.Item{ID: id, IssueRef: ref.String(), Branch: c.Branch, Model: c.Model, AgentArgs: c.Args, Message: message, Mode: mode,
		PendingSince: now, After: []string{}, History: []queue.Run{}, ExpectChanges: c.Changes, Verify: verify}
	it.SetAgents(names)
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
	if !wait.UnlessQueued { // else it is enqueued only where no other is
		if err := a.checkBegin(it, nil); err != nil {
			return "", err
		}
	}
	id, err := a.enqueue(it, c.Priority, wait.UnlessQueued)
	if err != nil {
		return "", err
	}
	return id, a.announce(it, id, c.Priority, c.JSON)
}

// enqueue publishes a new item and returns its id. With unlessQueued, and with a live item that does the same, it returns the
// id of that item and publishes none.
func (a *App) enqueue(it *queue.Item, priority int, unlessQueued bool) (string, error) {
	a.warnOf(it)
	if !unlessQueued {
		_, err := a.Queue.Publish(it, it.Lane(), priority)
		return it.ID, err
	}
	id, already := "", false
	err := a.Tick.Intake(a.Ctx, func() (err error) {
		if id, err = a.Tick.Queued(it); err != nil || id != "" {
			already = id != ""
			return err
		}
		id = it.ID
		_, err = a.Queue.Publish(it, it.Lane(), priority)
		return err
	})
	if already && err == nil {
		a.say("%s is queued already: nothing is enqueued", a.short(id))
	}
	return id, err
}

// warnOf warns of what keeps a new item from being started, or from being verified.
func (a *App) warnOf(it *queue.Item) {
	a.warnMissing(it.Choice())
	a.warn(a.Tick.Verifiable(it))
}

// warnMissing warns once of each agent of an item whose program is not there.
func (a *App) warnMissing(choice []string) {
	for _, name := range choice {
		a.warn(a.Tick.Missing(name, choice))
	}
}

// warn says what is wrong, if anything is, once.
func (a *App) warn(err error) {
	if err == nil || a.warned[err.Error()] {
		return
	}
	if a.warned == nil {
		a.warned = map[string]bool{}
	}
	a.warned[err.Error()] = true
	a.note("warning: %s", clean(err.Error()))
}

// announce prints the id of an item, which may be older than this command.
func (a *App) announce(it *queue.Item, id string, priority int, asJSON bool) error {
	if !asJSON {
		return a.print("%s\n", a.short(id))
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

// tellWhen prints on a terminal when an item starts, and in any case a warning if no tick will start it.
func (a *App) tellWhen(id string) error {
	if a.Tick.Config != nil { // an error in env files or prompts: with bad settings no item is enqueued
		a.note("warning: the item is enqueued, but nothing is started until this is corrected: %s", clean(strings.ReplaceAll(a.Tick.Config.Error(), "\n", "; ")))
		return nil
	}
	item := id
	if !a.Terminal || a.Quiet {
		id = "" // nothing is said of it
	}
	view, err := a.Tick.Until(id)
	if err != nil {
		return err
	}
	none, err := a.noTick(view, item)
	if err != nil {
		return err
	}
	if none != "" {
		a.note("warning: %s", clean(none))
		return nil
	}
	switch starts, why := view.When(id); {
	case id == "":
	case starts:
		a.note("%s; kugetsu tick makes one now", a.starts(view))
	case why != "":
		a.note("not yet: %s", clean(why))
	}
	return nil
}

// message joins the words. A last word - is replaced by the bytes of stdin.
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

// almost are words that were meant to be a reference, and what each lacks. The first that fits counts.
var almost = []struct {
	form  func() *regexp.Regexp
	lacks string
}{
	{pattern.Lazy(`^#\d+$`), "lacks its repository"},
	{pattern.Lazy(`^[^/\s#@:]+#\d+$`), "lacks its owner"},
	{pattern.Lazy(`^\S*@\S+:\S+#\d+$`), "is the address of a repository, not of an issue"},
	{pattern.Lazy(`^[a-zA-Z0-9.-]+(:\d+)?/\S+/(issues|pulls?|merge_requests)/\d+`), "lacks https:// before it"},
	{pattern.Lazy(`^\S+/\S+#\D*$`), "lacks a number behind #"},
}

// lacking says what a word lacks that was meant to be a reference, "" for other words.
func lacking(word string) string {
	for _, near := range almost {
		if near.form().MatchString(word) {
			return near.lacks
		}
	}
	return ""
}

// meant is a word that can only be meant as a reference. The parser says what is wrong with the word.
var meant = pattern.Lazy(`^([a-z]+://\S+/(issues|work_items|pulls?|merge_requests)/\d|[^\s/]+/\S+#\S*\d)`)

// misread is the error of a word that was meant as a reference and is none, nil for other words.
func (a *App) misread(word string) error {
	word = strings.TrimRight(word, ".,;:")
	if lacks := lacking(word); lacks != "" {
		return fault.New(fault.Usage, nameFirst, "no issue reference: %q %s", clip(word), lacks)
	}
	if _, err := a.parse(word); err != nil && meant().MatchString(word) {
		return fault.New(fault.Usage, nameFirst, "%w", err)
	}
	return nil
}

const nameFirst = `name the issue first: kugetsu delegate owner/repo#12 "what to do"`

// needPM refuses a message that has no reference where there is no PM agent.
func (a *App) needPM(message string) error {
	pm, err := a.Home.ReadSession(slots.PMSession)
	if err != nil || pm != nil {
		return err
	}
	for _, word := range strings.Fields(message) {
		if err := a.misread(word); err != nil {
			return err
		}
	}
	return fault.New(fault.Usage, nameFirst, "no issue reference, and there is no PM agent to take it")
}
