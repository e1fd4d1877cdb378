package command

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"kugetsu/queue"
	"kugetsu/queue/fault"
	"kugetsu/queue/issueref"
)

// Limits of a file for --from. The whole file is checked in memory before a line is enqueued. A line holds one item, so its
// limit is above queue.MaxItem.
const (
	maxFrom      = 16 << 20 // bytes
	maxFromLine  = 1 << 20  // bytes
	maxFromLines = 10000
)

// line is one item to be enqueued, in the words of the public format.
type line struct {
	number    int
	IssueRef  string   `json:"issue_ref"`
	Repo      string   `json:"repo"`
	Key       string   `json:"key"`
	Message   string   `json:"message"`
	Agent     string   `json:"agent"`
	Model     string   `json:"model"`
	AgentArgs string   `json:"agent_args"`
	Priority  *int     `json:"priority"`
	After     []string `json:"after"`
	NotBefore string   `json:"not_before"`
	Timeout   string   `json:"timeout"`
	Branch    string   `json:"branch"`
	OnTop     *bool    `json:"on_top"`

	Verify queue.Verify `json:"verify"`
}

var lineFields = []string{"issue_ref", "repo", "key", "message", "agent", "model", "agent_args", "priority", "after", "not_before", "timeout", "branch", "on_top", "verify"}

// parseLines reads JSON lines; those that are empty are passed over. The error names the first bad line and asks for exit
// code 80, or says why it could not be read.
func parseLines(r io.Reader) ([]line, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFrom+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFrom {
		return nil, fault.New(fault.Usage, "split it", "there are more than %d bytes", maxFrom)
	}
	var lines []line
	n := 0
	for text := range bytes.SplitSeq(data, []byte("\n")) {
		n++
		if text = bytes.TrimSpace(text); len(text) == 0 {
			continue
		}
		if len(lines) == maxFromLines {
			return nil, fault.New(fault.Usage, "split it", "there are more than %d items", maxFromLines)
		}
		l, err := parseLine(text)
		if err != nil {
			return nil, fault.New(fault.Usage, "a line is an object of "+strings.Join(lineFields, ", "), "line %d: %w", n, err)
		}
		l.number = n
		lines = append(lines, l)
	}
	return lines, nil
}

func parseLine(text []byte) (line, error) {
	var l line
	switch {
	case len(text) > maxFromLine:
		return l, fmt.Errorf("it has more than %d bytes", maxFromLine)
	case !utf8.Valid(text): // package json would replace the bytes without an error
		return l, errors.New("it is not valid UTF-8")
	}
	// Check the names first: package json takes MESSAGE for message, and skips unknown names.
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return l, plain(err)
	}
	for name, raw := range fields {
		if !slices.Contains(lineFields, name) {
			return l, fmt.Errorf("unknown field %q", clip(name))
		}
		// As for a flag: the variable of a script was unset, and another task than the one that was meant would begin. An item of the PM
		// agent has no issue_ref, and the others have an error of their own.
		if text := ""; !slices.Contains([]string{"issue_ref", "message", "verify"}, name) && json.Unmarshal(raw, &text) == nil && string(raw) != "null" && strings.TrimSpace(text) == "" {
			return l, fmt.Errorf("%s is empty: leave it out, or give it a value", name)
		}
	}
	return l, plain(json.Unmarshal(text, &l))
}

// plain names the field that has the wrong type, in the words of the file.
func plain(err error) error {
	var wrong *json.UnmarshalTypeError
	switch {
	case !errors.As(err, &wrong):
		return err
	case wrong.Field == "":
		return fmt.Errorf("want an object, found: %s", clip(wrong.Value))
	}
	return fmt.Errorf("%s cannot be a %s", wrong.Field, clip(wrong.Value))
}

// planned is a checked line.
type planned struct {
	line     int
	item     *queue.Item
	priority int
}

// from enqueues the lines of a file. All lines are checked before the first is enqueued. A flag is the default of the lines
// that do not set its value.
func (c *Delegate) from(a *App) error {
	plan, err := c.plan(a)
	if err != nil {
		return err
	}
	var silent error              // the first failed write to stdout: the checked lines are enqueued all the same
	became := map[string]string{} // by the id of a planned item that was not enqueued: the live item in its place
	for asked := (map[string]bool{}); len(plan) > 0; {
		if a.Ctx.Err() != nil {
			return fault.New(fault.Failed, "", "interrupted before line %d: what was printed is enqueued", plan[0].line)
		}
		ids, err := c.publish(a, plan, became, asked)
		for i, id := range ids {
			printErr := a.announce(plan[i].item, id, plan[i].priority, c.JSON)
			if printErr != nil && !errors.Is(printErr, errUnprinted) {
				return fmt.Errorf("line %d: %w", plan[i].line, printErr)
			}
			silent = cmp.Or(silent, printErr)
		}
		if plan = plan[len(ids):]; err != nil {
			return fmt.Errorf("line %d: %w", plan[0].line, err)
		}
	}
	return silent
}

// atOnce is how many lines are enqueued with the same waits for the disk. The ids are printed after each so many.
const atOnce = 500

// publish enqueues the first of the planned lines, and returns the id for each that it enqueued: the error is that of the next one.
func (c *Delegate) publish(a *App, plan []planned, became map[string]string, asked map[string]bool) (ids []string, err error) {
	if c.UnlessQueued { // each asks what is queued then
		p := plan[0]
		after := p.item.After
		p.item.After = after[:0]
		for _, id := range after {
			p.item.After = appendNew(p.item.After, cmp.Or(became[id], id))
		}
		id, err := a.enqueue(p.item, p.priority, true)
		if err != nil {
			return nil, err
		}
		if id != p.item.ID {
			became[p.item.ID] = id
		}
		return []string{id}, nil
	}
	var list []queue.New
	for _, p := range plan[:min(len(plan), atOnce)] {
		// The same answer for each item of these agents in this repository: it takes a few files to find.
		if key := fmt.Sprint(p.item.Choice(), p.item.Ref().RepoPath(), p.item.Verify); !asked[key] {
			asked[key] = true
			a.warnOf(p.item)
		}
		list = append(list, queue.New{Item: p.item, Lane: p.item.Lane(), Priority: p.priority})
		ids = append(ids, p.item.ID)
	}
	n, err := a.Queue.PublishAll(list)
	return ids[:n], err
}

// plan reads and checks all of the file.
func (c *Delegate) plan(a *App) ([]planned, error) {
	in := a.Stdin
	if c.From != "-" {
		file, err := os.Open(c.From)
		if err != nil {
			return nil, fault.New(fault.Failed, "kugetsu delegate --from - reads from stdin", "%w", err)
		}
		defer file.Close()
		in = file
	}
	lines, err := parseLines(in)
	if err != nil {
		return nil, err
	}
	var plan []planned
	known := map[string]string{} // ids by what the file calls them
	for _, l := range lines {
		p, err := c.planLine(a, l, known, plan)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", l.number, err)
		}
		plan = append(plan, p)
	}
	return plan, nil
}

// planLine checks a line. In "after", an issue means the item of the last earlier line for that issue; without such a line it
// means an item that is in the queue.
func (c *Delegate) planLine(a *App, l line, known map[string]string, plan []planned) (planned, error) {
	p := planned{line: l.number}
	var ref issueref.Ref
	var err error
	flags, wait, work := c.New, c.Wait, Work{Repo: l.Repo, Key: l.Key}
	if l.IssueRef == "" {
		work.Repo = cmp.Or(l.Repo, c.Repo)
	}
	switch {
	case l.IssueRef != "" && (l.Repo != "" || l.Key != ""):
		err = fault.New(fault.Usage, "one of the two", "it names an issue, and a task that has none")
	case l.IssueRef != "":
		ref, err = a.ref(l.IssueRef)
	case work.Repo != "" || work.Key != "":
		ref, err = work.task(a, &flags)
	default:
		err = a.needPM("")
	}
	if err != nil {
		return p, err
	}
	l.override(&flags, &wait)
	p.priority = flags.Priority
	if p.item, err = flags.item(a, ref, l.Message, queue.Auto); err != nil {
		return p, err
	}
	for _, word := range wait.After {
		name := word
		if issue, err := a.parse(word); err == nil && known[word] == "" {
			name = issue.Session()
		}
		if known[name] == "" {
			e, err := a.resolve(word)
			if err != nil {
				return p, err
			}
			known[name] = e.ID
		}
		p.item.After = appendNew(p.item.After, known[name])
	}
	if err := wait.onTop(a, p.item, c.issueIn(a, plan)); err != nil {
		return p, err
	}
	if err := notBefore(a, p.item, cmp.Or(l.NotBefore, wait.NotBefore)); err != nil {
		return p, err
	}
	if !wait.UnlessQueued {
		if err := a.checkBegin(p.item, plan); err != nil {
			return p, err
		}
	}
	if !ref.IsZero() {
		known[ref.Session()] = p.item.ID
	}
	if work.Key != "" {
		known[ref.Branch()] = p.item.ID
	}
	return p, p.item.Fits()
}

// override puts the values that a line has in place of those of the flags.
func (l line) override(flags *New, wait *Wait) {
	flags.Agent = cmp.Or(l.Agent, flags.Agent)
	flags.Model, flags.Args = cmp.Or(l.Model, flags.Model), cmp.Or(l.AgentArgs, flags.Args)
	flags.Timeout = cmp.Or(l.Timeout, flags.Timeout)
	flags.Branch = cmp.Or(l.Branch, flags.Branch)
	if l.OnTop != nil {
		wait.OnTop = *l.OnTop
	}
	if l.Verify != (queue.Verify{}) {
		flags.Verify, flags.NoVerify = nil, l.Verify.None
		if !l.Verify.None {
			flags.Verify = &l.Verify.Command
		}
	}
	if l.Priority != nil {
		flags.Priority = *l.Priority
	}
	if l.After != nil {
		wait.After = l.After
	}
}

// issueIn is issueOf, also for the items of the earlier lines.
func (c *Delegate) issueIn(a *App, plan []planned) func(id string) (issueref.Ref, queue.State, error) {
	return func(id string) (issueref.Ref, queue.State, error) {
		for _, p := range plan {
			if p.item.ID == id {
				return p.item.Ref(), queue.Pending, nil
			}
		}
		return a.issueOf(id)
	}
}

func appendNew(ids []string, id string) []string {
	if slices.Contains(ids, id) {
		return ids
	}
	return append(ids, id)
}
