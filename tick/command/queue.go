package command

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/event"
	"kugetsu/queue/fault"
	"kugetsu/queue/spool"
	"kugetsu/queue/terminal"
	"kugetsu/tick"
)

// listed is an item as --json shows it: with the priority, which stands in its file's name.
type listed struct {
	*queue.Item
	Priority int    `json:"priority"`
	Why      string `json:"why,omitempty"` // a pending one does not start now
}

// QueueList shows items.
type QueueList struct {
	State string `help:"Only this state: pending, notified, completed or error." placeholder:"STATE" values:"pending,notified,completed,error"`
	All   bool   `help:"Settled items too."`
	JSON  bool   `name:"json" help:"Print JSON."`
}

// Run lists the items, live ones in run order.
func (c *QueueList) Run(a *App) error {
	if c.State != "" && !slices.Contains(queue.States, queue.State(c.State)) {
		return fault.New(fault.Usage, "the states are pending, notified, completed and error", "there is no state %q", c.State)
	}
	items, skipped, err := a.items(c.All || queue.State(c.State).Settled())
	if err != nil {
		return err
	}
	if c.State != "" {
		items = slices.DeleteFunc(items, func(l listed) bool { return string(l.State) != c.State })
	}
	if err := a.addWhy(items); err != nil {
		return err
	}
	if c.JSON {
		return errors.Join(a.printJSON(items), skipped)
	}
	rows := [][]string{{"ID", "PRI", "STATE", "RUNS", "AGE", "ISSUE", "WHY", "MESSAGE"}}
	for _, l := range items {
		rows = append(rows, []string{l.ID, fmt.Sprintf("%02d", l.Priority), string(l.State), fmt.Sprint(l.Runs),
			since(a.Now(), queue.IDTime(l.ID)), issueOrPM(l.IssueRef), l.Why, short(l.text(), 60)})
	}
	return errors.Join(a.table(rows), skipped)
}

// addWhy adds why the pending ones of some items do not start now.
func (a *App) addWhy(items []listed) error {
	if !slices.ContainsFunc(items, func(l listed) bool { return l.State == queue.Pending }) {
		return nil
	}
	view, err := a.Tick.Look()
	if err != nil {
		return err
	}
	why := map[string]string{}
	for _, w := range view.Waiting {
		why[w.Item] = view.WhyNot(w)
	}
	for i := range items {
		items[i].Why = why[items[i].ID]
	}
	return nil
}

// count writes how many there are.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

func issueOrPM(ref string) string {
	if ref == "" {
		return "(pm)"
	}
	return ref
}

// text is the error of an item that has one, else its message.
func (l listed) text() string {
	if l.Error != nil {
		return *l.Error
	}
	return l.Message
}

// short is the first line of a text, cut.
func short(s string, n int) string {
	s, _, more := strings.Cut(strings.TrimSpace(s), "\n")
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	if more {
		return s + " …"
	}
	return s
}

// items reads the live items in run order, dev before PM, and the settled ones behind them. What could not be read is
// told by the second error and leaves the rest as it is.
func (a *App) items(settled bool) (items []listed, skipped, err error) {
	items = []listed{}
	lists := []func() ([]queue.Entry, error){
		func() ([]queue.Entry, error) { return a.Queue.Live(queue.Dev) },
		func() ([]queue.Entry, error) { return a.Queue.Live(queue.PM) },
	}
	if settled {
		lists = append(lists, a.Queue.Settled)
	}
	var errs []error
	seen := map[string]bool{}
	for _, list := range lists {
		entries, err := list()
		if err != nil {
			return nil, nil, err
		}
		for _, e := range entries {
			it, err := a.Queue.Load(e)
			if queue.IsAbsent(err) { // moved on while we looked
				if e, err = a.Queue.Find(e.ID); err == nil {
					it, err = a.Queue.Load(e)
				}
			}
			switch {
			case queue.IsAbsent(err), err == nil && seen[it.ID], err == nil && !settled && it.State.Settled():
			case err != nil:
				errs = append(errs, err)
			default:
				seen[it.ID] = true
				items = append(items, listed{Item: it, Priority: e.Priority})
			}
		}
	}
	return items, errors.Join(errs...), nil
}

// QueueStats counts.
type QueueStats struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run counts the items by state.
func (c *QueueStats) Run(a *App) error {
	items, skipped, err := a.items(true)
	if err != nil {
		return err
	}
	count := map[queue.State]int{}
	for _, l := range items {
		count[l.State]++
	}
	bad, err := spool.List(a.Queue.Bad)
	if err != nil {
		return err
	}
	if c.JSON {
		out := map[string]int{"bad": len(bad)}
		for _, s := range queue.States {
			out[string(s)] = count[s]
		}
		return errors.Join(a.printJSON(out), skipped)
	}
	for _, s := range queue.States {
		if err := a.print("%-9s  %d\n", s, count[s]); err != nil {
			return err
		}
	}
	if len(bad) > 0 {
		err = a.print("%-9s  %d (see %s)\n", "bad", len(bad), a.Queue.Bad)
	}
	return errors.Join(err, skipped)
}

// QueueShow shows all of an item.
type QueueShow struct {
	ID   string `arg:"" help:"An id, a part of one, or an issue reference."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Run shows an item and its history.
func (c *QueueShow) Run(a *App) error {
	e, it, err := a.find(c.ID)
	if err != nil {
		return err
	}
	items := []listed{{Item: it, Priority: e.Priority}}
	if err := a.addWhy(items); err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(items[0])
	}
	w := terminal.Writer(a.Stdout)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-10s %s\n", name, terminal.Clean(fmt.Sprintf(format, args...)))
	}
	line("id", "%s", it.ID)
	line("issue", "%s", issueOrPM(it.IssueRef))
	line("agent", "%s", it.Agent)
	line("state", "%s", it.State)
	if it.Error != nil {
		line("error", "%s", *it.Error)
	}
	line("priority", "%02d", e.Priority)
	line("runs", "%d, %d of them charged", it.Runs, it.Attempts)
	line("enqueued", "%s", stamp(queue.IDTime(it.ID)))
	if it.NotBefore != nil {
		line("not before", "%s", stamp(*it.NotBefore))
	}
	for _, id := range it.After {
		line("after", "%s (%s)", id, a.stateOf(id))
	}
	if it.ExpectChanges {
		line("expects", "changes")
	}
	if it.Timeout != "" {
		line("timeout", "%s", it.Timeout)
	}
	if why := items[0].Why; why != "" {
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
	for _, r := range it.History {
		fmt.Fprintf(w, "\nrun %d: %s\n", r.Run, terminal.Clean(describe(r)))
		showEvidence(line, r.Evidence)
		fmt.Fprintf(w, "%s\n", indent(r.Summary))
	}
	fmt.Fprintf(w, "\n%s\n", it.Message)
	return nil
}

// stateOf is the state of an item that another one waits for.
func (a *App) stateOf(id string) string {
	_, it, err := a.find(id)
	if err != nil {
		return err.Error()
	}
	return string(it.State)
}

// describe says how a run ended, but for its summary.
func describe(r queue.Run) string {
	text := string(r.Outcome)
	if r.ExitCode != nil && *r.ExitCode != 0 {
		text += fmt.Sprintf(", exit code %d", *r.ExitCode)
	}
	if r.Signal != "" {
		text += " (" + r.Signal + ")"
	}
	if r.StartedAt != nil {
		text += ", took " + duration(r.EndedAt.Sub(*r.StartedAt))
	}
	if r.Changes != nil {
		text += fmt.Sprintf(", %s, %s uncommitted", count(r.Changes.Commits, "commit"), count(r.Changes.Dirty, "file"))
	}
	if r.Ref != "" {
		text += " (kept at " + r.Ref + ")"
	}
	if r.Cost != nil {
		text += fmt.Sprintf(", %d tokens, $%.4f", r.Cost.Input+r.Cost.Output+r.Cost.Reasoning+r.Cost.CacheRead+r.Cost.CacheWrite, r.Cost.USD)
	}
	if !r.Charged {
		text += ", not charged"
	}
	return text
}

// brief is what a run changed, for a column.
func brief(c *event.Changes) string {
	text := count(c.Commits, "commit")
	d := c.Diff
	switch {
	case d != nil && d.Files == 0 && c.Commits == 0:
		return "no changes"
	case d != nil:
		text += fmt.Sprintf(", %s +%d -%d", count(d.Files, "file"), d.Insertions, d.Deletions)
	}
	return text
}

// showEvidence shows, a line each, what a run has to show.
func showEvidence(line func(name, format string, args ...any), e event.Evidence) {
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
			line("changed", "%s, +%d -%d", count(d.Files, "file"), d.Insertions, d.Deletions)
		}
		list("commit", c.Subjects, c.Commits)
		list("uncommitted", c.DirtyFiles, c.Dirty)
	}
	list("refused", e.Refused, 0)
	if e.PRURL != "" {
		line("pr", "%s", e.PRURL)
	}
}

func stamp(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05 MST") }

func indent(s string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(s), "\n", "\n  ")
}
