package command

import (
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"

	"kugetsu/queue"
	"kugetsu/queue/outcome"
	"kugetsu/queue/terminal"
	"kugetsu/tick"
	"kugetsu/tick/overview"
	"kugetsu/tick/session"
)

// QueueShow shows all of an item.
type QueueShow struct {
	ID   *string `arg:"" optional:"" complete:"item" help:"An id, a part of one, or an issue reference; the item that was enqueued last without one."`
	JSON bool    `name:"json" help:"Print JSON."`
}

// Help is its long help.
func (*QueueShow) Help() string {
	return longHelp(`
The command shows all of an item: its message and, of each run, the outcome, memory, commits, files, refused permissions,
pull request and the agent's last words.`,
		codes{0: "shown", 1: "there is no such item"},
		"kugetsu queue show owner/repo#12",
		"kugetsu queue show --json q_01kdz8q6p2v4x3w5y7a9b1c0d2")
}

// Run shows an item and its history.
func (c *QueueShow) Run(a *App) error {
	e, it, err := a.findOrLast(c.ID)
	if err != nil {
		return err
	}
	items := []listed{{Item: it, Priority: e.Priority}}
	if err := a.addWhy(items); err != nil {
		return err
	}
	if items[0].Strip, err = a.strip(it); err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(items[0])
	}
	w := terminal.Writer(a.Stdout)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-10s %s\n", name, terminal.Clean(fmt.Sprintf(format, args...)))
	}
	a.showTask(items[0], line)
	a.showState(items[0], line)
	if err := a.showWork(it, line); err != nil {
		return err
	}
	for _, r := range it.History {
		fmt.Fprintf(w, "\nrun %d: %s\n", r.Run, terminal.Clean(describe(r)))
		if r.Agent != "" {
			line("agent", "%s", because(r.Agent, r.AgentWhy))
		}
		if r.PeakMemory > 0 {
			line("memory", "%s at most", humanize.IBytes(uint64(r.PeakMemory)))
		}
		showEvidence(line, r.Evidence)
		fmt.Fprintf(w, "%s\n", indent(r.Summary))
		if r.Words != "" {
			fmt.Fprintf(w, "  the agent said:\n  %s\n", indent(strings.ReplaceAll(strings.TrimSpace(r.Words), "\n", "\n  ")))
		}
	}
	fmt.Fprintf(w, "\n%s\n", it.Message)
	return nil
}

// printLine prints a name and a text as a line.
type printLine func(name, format string, args ...any)

// showTask shows what was asked for.
func (a *App) showTask(it listed, line printLine) {
	line("id", "%s", it.ID) // whole: this is the place where it is copied from
	line("issue", "%s", issueOrPM(it.IssueRef))
	line("agent", "%s", chosen(it.Item))
	if it.Model != "" {
		line("model", "%s", it.Model)
	}
	if it.AgentArgs != "" {
		line("arguments", "%s", it.AgentArgs)
	}
	line("state", "%s", it.State.Word())
	if it.Strip != "" {
		line("progress", "%s", it.Strip)
	}
	if it.Error != nil {
		line("error", "%s", *it.Error)
	}
	line("priority", "%02d", it.Priority)
	line("runs", "%d, %d counted as attempts", it.Runs, it.Attempts)
	line("enqueued", "%s", stamp(queue.IDTime(it.ID)))
	if it.NotBefore != nil {
		line("not before", "%s", stamp(*it.NotBefore))
	}
	for _, id := range it.After {
		line("after", "%s (%s)", a.short(id), a.stateOf(id))
	}
	if it.OnTop != "" {
		line("on top of", "%s", it.OnTop)
	}
	if it.ExpectChanges {
		line("expects", "changes")
	}
	switch {
	case it.Verify.None:
		line("verify", "no")
	case it.Verify.Command != "":
		line("verify", "%s", it.Verify.Command)
	}
	if it.Timeout != "" {
		line("timeout", "%s", it.Timeout)
	}
}

// showState shows why an item waits, for how long it runs, or when it was settled.
func (a *App) showState(it listed, line printLine) {
	if why := it.Why; why != "" {
		line("why", "%s", why)
	}
	if it.NotifiedAt != nil && it.State == queue.Notified {
		how := "for " + since(a.Now(), *it.NotifiedAt)
		if tick.ToCome(a.Now(), *it.NotifiedAt) {
			how = "since " + ago(a.Now(), *it.NotifiedAt)
		}
		line("running", "%s", how)
	}
	if it.CompletedAt != nil {
		line("settled", "%s", stamp(*it.CompletedAt))
	}
}

// strip says how far the work on an item is.
func (a *App) strip(it *queue.Item) (string, error) {
	if it.Lane() != queue.Dev {
		return "", nil
	}
	var review session.Review
	s, err := a.Home.ReadSession(it.Ref().Session())
	if err == nil && s != nil {
		review, err = a.Tick.Sessions().Shown(it.Ref().Session(), s)
	}
	return overview.Strip(it.Last(), nil, review), err
}

// chosen says which agent an item is for, and of several which one runs or ran, and why.
func chosen(it *queue.Item) string {
	if len(it.Agents) == 0 {
		return it.Agent
	}
	of := strings.Join(it.Agents, ", ")
	if it.Runs == 0 {
		return "the first of " + of + " that may start"
	}
	return because(it.Agent, it.AgentWhy) + " (of " + of + ")"
}

func because(agent, why string) string {
	if why == "" {
		return agent
	}
	return agent + ", since " + why
}

// stateOf is the state of an item that another one waits for.
func (a *App) stateOf(id string) string {
	_, it, err := a.find(id)
	if err != nil {
		return err.Error()
	}
	return it.State.Word()
}

// describe says how a run ended, without its summary.
func describe(r queue.Run) string {
	text := string(r.Outcome)
	if r.ExitCode != nil && *r.ExitCode != 0 {
		text += fmt.Sprintf(", exit code %d", *r.ExitCode)
	}
	if r.Signal != "" {
		text += " (" + r.Signal + ")"
	}
	if r.Job != "" {
		text += ", job " + r.Job + " on " + r.Node
	}
	if r.StartedAt != nil {
		text += ", took " + duration(r.EndedAt.Sub(*r.StartedAt))
	}
	if r.Changes != nil {
		text += fmt.Sprintf(", %s, %s uncommitted", r.Changes.Made(), terminal.Count(r.Changes.Dirty, "file"))
	}
	if r.Ref != "" {
		text += " (kept at " + r.Ref + ")"
	}
	if r.Cost != nil {
		text += fmt.Sprintf(", %d tokens, $%.4f", r.Cost.Input+r.Cost.Output+r.Cost.Reasoning+r.Cost.CacheRead+r.Cost.CacheWrite, r.Cost.USD)
	}
	if !r.Counted {
		text += ", not counted as an attempt"
	}
	return text
}

// brief says in a column what a run changed.
func brief(c *outcome.Changes) string {
	text := c.Made()
	d := c.Diff
	switch {
	case d != nil && d.Files == 0 && c.Commits == 0:
		return "no changes"
	case d != nil:
		text += fmt.Sprintf(", %s +%d -%d", terminal.Count(d.Files, "file"), d.Insertions, d.Deletions)
	}
	return text
}

// showEvidence prints the evidence of a run: commits, files, refused permissions, pull request.
func showEvidence(line printLine, e outcome.Evidence) {
	list := func(name string, texts []string, all int) {
		for _, text := range texts {
			line(name, "%s", text)
		}
		if more := all - len(texts); more > 0 && len(texts) > 0 {
			line(name, "and %d more", more)
		}
	}
	if c := e.Changes; c != nil {
		if c.From != c.To {
			line("from", "%s", c.From)
			line("to", "%s", c.To)
		}
		if d := c.Diff; d != nil && d.Files > 0 {
			line("changed", "%s, +%d -%d", terminal.Count(d.Files, "file"), d.Insertions, d.Deletions)
		}
		list("commit", c.Subjects, c.Commits)
		list("uncommitted", c.DirtyFiles, c.Dirty)
	}
	list("refused", e.Refused, 0)
	if v := e.Verification; v != nil {
		if e.Verified() {
			line("verified", "by %s (%s), in %s", v.Command, v.By, duration(v.Took()))
		} else {
			line("unverified", "by %s (%s), in %s: %s", v.Command, v.By, duration(v.Took()), v.Why)
			list("printed", lastPrinted(v.Output), 0)
		}
	}
	if e.PRURL != "" {
		line("pr", "%s", e.PRURL)
	}
}

// printedMost is how many lines of what a verifier printed are shown.
const printedMost = 10

// lastPrinted are the last lines of what a verifier printed.
func lastPrinted(output string) []string {
	if output = strings.TrimSpace(output); output == "" {
		return nil
	}
	lines := strings.Split(output, "\n")
	return lines[max(0, len(lines)-printedMost):]
}

func indent(s string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(s), "\n", "\n  ")
}
