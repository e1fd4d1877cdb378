package digest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"kugetsu/queue/terminal"
	"kugetsu/tick"
	"kugetsu/tick/overview"
)

// The lists are cut, and say how much they leave out: a digest is read, and mailed.
const (
	mostDone    = 50
	MostWaiting = 20 // of the waiting items, Read has to read so many
	mostNeeds   = 20
	titleMost   = 100 // columns
)

// column is a column of a section. It is ours if this package made its words and numbers; any other column has strangers' texts.
type column struct {
	terminal.Column
	ours bool
}

// section is a table, and a line below it that says what it leaves out.
type section struct {
	title   string // in Markdown; in the text the name of the first column says it
	columns []column
	rows    [][]string
	more    string
}

// facts are the lines below the sentence. They hold no stranger's words.
func (d *Digest) facts() []string {
	const layout = "2006-01-02 15:04 MST"
	lines := []string{"from " + d.Since.Local().Format(layout) + " to " + d.At.Local().Format(layout)}
	if d.Cut {
		lines = append(lines, fmt.Sprintf("only the %d tasks that ended last were read, of %d that are kept: more may have ended", d.Bound.SettledRead, d.Bound.Settled))
	}
	if c := d.Counts; c.Tasks > 0 {
		lines = append(lines, "outcomes: "+outcomes(c.Outcomes))
		if c.USD > 0 {
			cost := fmt.Sprintf("cost: $%.2f", c.USD)
			if c.Untold > 0 {
				cost += fmt.Sprintf(", without %s that told none", terminal.Count(c.Untold, "task"))
			}
			lines = append(lines, cost)
		}
	}
	return lines
}

// known is how an item ended, in words. An item that another program wrote may say anything, which becomes "other".
func known(ended string) string {
	for _, r := range ended {
		if (r < 'a' || r > 'z') && r != '_' && r != ' ' {
			return "other"
		}
	}
	return strings.ReplaceAll(ended, "_", " ")
}

// outcomes lists the outcomes with their counts, the most frequent first.
func outcomes(counts map[string]int) string {
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(counts[b]-counts[a], strings.Compare(a, b))
	})
	for i, name := range names {
		names[i] = fmt.Sprintf("%d %s", counts[name], known(name))
	}
	return strings.Join(names, ", ")
}

// sections are all sections but the needs, in the order of the first screen. A section without rows is left out.
func (d *Digest) sections(refs terminal.Column) []section {
	issue := func(name string, gives int) column {
		c := refs
		c.Name, c.Gives = name, gives
		return column{Column: c}
	}
	all := []section{d.done(issue("DONE", 3)), d.requests("IN REVIEW", d.Review, issue), d.requests("READY TO MERGE", d.Ready, issue), d.running(issue("RUNNING", 2)), d.waiting(issue("WAITING", 2))}
	if d.Bound.SessionsRead < d.Bound.Sessions {
		all[1].more = fmt.Sprintf("(of the %d sessions that were used last; %d are kept)", d.Bound.SessionsRead, d.Bound.Sessions)
	}
	return slices.DeleteFunc(all, func(s section) bool { return len(s.rows) == 0 })
}

func (d *Digest) done(issue column) section {
	s := section{title: "Done", columns: []column{issue, ours("ENDED", false), ours("TOOK", true), ours("OUTCOME", false),
		{Column: terminal.Column{Name: "EVIDENCE", Gives: 2}, ours: true}, ours("COST", true), {Column: terminal.Column{Name: "TITLE", Gives: 1, Drops: true}}}}
	told := false
	for _, one := range d.Done[:min(len(d.Done), mostDone)] {
		took, cost := "-", "-"
		if one.Took > 0 {
			took = tick.Duration(one.Took)
		}
		if one.Cost != nil && one.Cost.USD > 0 {
			cost, told = fmt.Sprintf("$%.2f", one.Cost.USD), true
		}
		s.rows = append(s.rows, []string{name(one.Ref), tick.Ago(d.At, one.At), took, known(one.Ended), overview.Work(one.Evidence), cost, terminal.Short(one.Message, titleMost)})
	}
	if at := slices.IndexFunc(s.columns, func(c column) bool { return c.Name == "COST" }); !told { // no agent told a cost, so the titles get the room
		s.columns = slices.Delete(s.columns, at, at+1)
		for i := range s.rows {
			s.rows[i] = slices.Delete(s.rows[i], at, at+1)
		}
	}
	if more := len(d.Done) - len(s.rows); more > 0 {
		s.more = fmt.Sprintf("and %d more: kugetsu queue list --all", more)
	}
	return s
}

func (d *Digest) requests(title string, list []overview.Request, issue func(string, int) column) section {
	s := section{title: title[:1] + strings.ToLower(title[1:]), columns: []column{issue(title, 2), {Column: terminal.Column{Name: "STATE", Gives: 3}}, ours("ASKED", true),
		{Column: terminal.Column{Name: "PULL REQUEST"}}, {Column: terminal.Column{Name: "WHY", Gives: 1, Ends: true, Drops: true}}}}
	for _, r := range list {
		asked := "never"
		if r.AskedAt != nil {
			asked = tick.Ago(d.At, *r.AskedAt)
		}
		s.rows = append(s.rows, []string{r.Ref, cmp.Or(r.Says, string(r.State), "unknown"), asked, r.URL, r.Why})
	}
	return s
}

func (d *Digest) running(issue column) section {
	s := section{title: "Running", columns: []column{issue, ours("FOR", false), {Column: terminal.Column{Name: "AGENT", Drops: true}}, {Column: terminal.Column{Name: "LAST", Gives: 1}}}}
	for _, r := range d.Running {
		since := "-"
		if r.Since != nil {
			since = age(d.At, *r.Since)
		}
		s.rows = append(s.rows, []string{name(r.IssueRef), since, r.Agent, cmp.Or(r.Doing(d.At), terminal.Short(r.Title, titleMost))})
	}
	return s
}

func (d *Digest) waiting(issue column) section {
	s := section{title: "Waiting", columns: []column{issue, ours("SINCE", false), {Column: terminal.Column{Name: "WHY", Gives: 1, Ends: true}}}}
	for _, w := range d.Waiting[:min(len(d.Waiting), MostWaiting)] {
		s.rows = append(s.rows, []string{name(w.IssueRef), age(d.At, w.Since), w.Says})
	}
	if more := d.Waits - len(s.rows); more > 0 {
		s.more = fmt.Sprintf("and %d more: kugetsu queue list", more)
	}
	return s
}

// rest is how many needs are not shown.
func (d *Digest) rest() string {
	if more := len(d.Needs) - mostNeeds; more > 0 {
		return fmt.Sprintf("and %d more: kugetsu", more)
	}
	return ""
}

func ours(name string, drops bool) column {
	return column{Column: terminal.Column{Name: name, Drops: drops}, ours: true}
}

// name is what people call the issue of an item.
func name(ref string) string { return cmp.Or(ref, "(pm)") }

// age is how long ago a time is. A clock that was set back leaves times in the future.
func age(now, t time.Time) string {
	if tick.ToCome(now, t) {
		return "in the future"
	}
	return tick.Duration(now.Sub(t))
}
