package command

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"kugetsu/queue/terminal"
	"kugetsu/tick/overview"
)

// The rules of the first screen. Its first line says whether all is well and what a person has to do. The sections follow in one
// order: needs you, running, waiting, in review, ready to merge, lately done, capacity. A section without a row is left out. Each
// section but needs you is a table that begins with its heading. No line is wider than the terminal, but for a command that a
// person types, which is never cut. On a terminal each id is its shortest unique end, in sentences and commands too. Scripts read
// --json.

const (
	mostNeeds   = 20
	mostWaiting = 10
	mostDone    = 5
	wide        = 100 // columns from which on titles are shown
)

// screen writes an overview as text.
type screen struct {
	*overview.Overview
	now    time.Time
	width  int // columns of the terminal; 0: lines are as long as they are
	refs   terminal.Column
	short  func(id string) string // an id as it is shown
	colour bool                   // for a terminal that shows colours
	out    bytes.Buffer
}

// The colours of a terminal.
const (
	bold   = "1"
	red    = "1;31"
	green  = "1;32"
	yellow = "1;33"
)

func (s *screen) String() string {
	colour := green
	switch {
	case !s.Healthy:
		colour = red
	case len(s.Needs) > 0:
		colour = yellow
	}
	s.line(colour, s.ids(s.Sentence))
	s.needs()
	s.running()
	s.waiting()
	s.requests("IN REVIEW", s.Review)
	s.requests("READY TO MERGE", s.Ready)
	s.done()
	s.capacity()
	return s.out.String()
}

// painted puts a text into a colour.
func (s *screen) painted(colour, text string) string {
	if !s.colour || colour == "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// ids is a text of kugetsu's own with its ids as they are shown.
func (s *screen) ids(text string) string { return shortIDs(text, s.short) }

// line writes a line, cleaned and cut to the terminal.
func (s *screen) line(colour, text string) {
	text = clean(text)
	if s.width > 0 {
		text = terminal.Fit(text, s.width)
	}
	fmt.Fprintln(&s.out, s.painted(colour, text))
}

// needs writes what a person has to do: what happened and why, and below it what to type, and the id for kugetsu dismiss.
func (s *screen) needs() {
	if len(s.Needs) == 0 {
		return
	}
	s.line("", "")
	s.line(bold, "NEEDS YOU")
	for i, n := range s.Needs {
		if i == mostNeeds {
			s.line("", fmt.Sprintf("and %d more: kugetsu queue list --all --state error", len(s.Needs)-mostNeeds))
			break
		}
		what := n.What
		if n.Since != nil {
			what += ", " + ago(s.now, *n.Since)
		}
		for _, text := range terminal.Because(s.ids(what), s.ids(n.Why), s.width) {
			fmt.Fprintln(&s.out, text)
		}
		command := "    " + s.ids(clean(n.Command))
		if id := "  dismiss " + n.ID; s.width == 0 || terminal.Width(command+id) <= s.width {
			command = s.painted(bold, command) + id
		} else {
			command = s.painted(bold, command) + "\n    " + strings.TrimSpace(id)
		}
		fmt.Fprintln(&s.out, command)
	}
	if b := s.Bound; b.SettledRead < b.Settled {
		s.line("", fmt.Sprintf("(of the %d tasks that ended last; %d are kept)", b.SettledRead, b.Settled))
	}
}

// table writes a table, and below a row the line that belongs to it, if there is one.
func (s *screen) table(t terminal.Table, below []string) {
	if len(t.Rows) == 0 {
		return
	}
	var text bytes.Buffer
	_ = t.Write(&text, s.width) // a buffer takes everything
	s.line("", "")
	row := -1
	for line := range strings.Lines(text.String()) {
		line = strings.TrimSuffix(line, "\n")
		if row < 0 {
			line = s.painted(bold, line)
		}
		fmt.Fprintln(&s.out, line)
		if row >= 0 && row < len(below) && below[row] != "" {
			s.line("", "  "+below[row])
		}
		row++
	}
}

// issue is the column of references.
func (s *screen) issue(name string, gives int) terminal.Column {
	c := s.refs
	c.Name, c.Gives = name, gives
	return c
}

func (s *screen) running() {
	t := terminal.Table{Columns: []terminal.Column{{Name: "SLOT"}, {Name: "FOR"}, {Name: "AGENT", Drops: true}, s.issue("ISSUE", 1), {Name: "ITEM", Drops: true}, {Name: "RUN", Drops: true}}}
	var below, waits []string
	for _, r := range s.Running {
		held := ""
		if r.Since != nil {
			held = since(s.now, *r.Since)
		}
		if !r.Occupied {
			held = "ended"
		}
		t.Rows = append(t.Rows, []string{r.Slot, held, r.Agent, issueOrPM(r.IssueRef), s.short(r.Item), fmt.Sprint(r.Run)})
		below = append(below, cmp.Or(r.Doing(s.now), terminal.Short(clean(r.Title), 200)))
		if r.Waits != "" {
			waits = append(waits, fmt.Sprintf("slot %s waits, %s: %s", r.Slot, r.Agent, r.Waits))
		}
	}
	s.table(t, below)
	for _, r := range s.Running {
		if where := r.Where(); where != "" {
			s.line("", fmt.Sprintf("slot %s: %s", r.Slot, where))
		}
	}
	for _, text := range waits {
		s.line("", text)
	}
}

func (s *screen) waiting() {
	t := terminal.Table{Columns: []terminal.Column{{Name: "WAITING"}, {Name: "PRI", Drops: true}, {Name: "SINCE"}, s.issue("ISSUE", 3), {Name: "WHY", Gives: 2, Ends: true}}}
	titles := s.width >= wide
	if titles {
		t.Columns = append(t.Columns, terminal.Column{Name: "TITLE", Gives: 1})
	}
	for _, w := range s.Waiting[:min(len(s.Waiting), mostWaiting)] {
		row := []string{s.short(w.Item), fmt.Sprintf("%02d", w.Priority), since(s.now, w.Since), issueOrPM(w.IssueRef), s.ids(w.Says)}
		if titles {
			row = append(row, w.Title)
		}
		t.Rows = append(t.Rows, row)
	}
	s.table(t, nil)
	if more := s.Capacity.Waiting - len(t.Rows); more > 0 && len(t.Rows) > 0 {
		s.line("", fmt.Sprintf("and %d more: kugetsu queue list", more))
	}
}

func (s *screen) requests(heading string, list []overview.Request) {
	t := terminal.Table{Columns: []terminal.Column{s.issue(heading, 2), {Name: "STATE", Gives: 3}, {Name: "USED", Drops: true}, {Name: "PULL REQUEST", Gives: 1}}}
	for _, r := range list {
		t.Rows = append(t.Rows, []string{r.Ref, r.Says, ago(s.now, r.LastUsed), r.URL})
	}
	s.table(t, nil)
}

// done writes the items that ended last, without those that stand among the needs.
func (s *screen) done() {
	needed := map[string]bool{}
	for _, n := range s.Needs {
		if n.Kind != overview.Unpushed {
			needed[n.Item] = true
		}
	}
	t := terminal.Table{Columns: []terminal.Column{s.issue("DONE", 3), {Name: "ENDED"}, {Name: "TOOK", Drops: true}, {Name: "OUTCOME"},
		{Name: "EVIDENCE", Gives: 2}, {Name: "COST", Drops: true}, {Name: "TITLE", Gives: 1, Drops: true}}}
	for _, d := range s.Done {
		if len(t.Rows) == mostDone {
			break
		}
		if needed[d.Item] {
			continue
		}
		took := "-"
		if d.Took > 0 {
			took = duration(d.Took)
		}
		cost := "-"
		if d.Cost != nil && d.Cost.USD > 0 {
			cost = fmt.Sprintf("$%.2f", d.Cost.USD)
		}
		t.Rows = append(t.Rows, []string{issueOrPM(d.Ref), ago(s.now, d.At), took, d.Ended, overview.Work(d.Evidence), cost, terminal.Short(d.Message, 100)})
	}
	if len(t.Rows) > 0 && !slices.ContainsFunc(t.Rows, func(row []string) bool { return row[5] != "-" }) { // no agent told what it cost
		t.Columns = slices.Delete(t.Columns, 5, 6)
		for i := range t.Rows {
			t.Rows[i] = slices.Delete(t.Rows[i], 5, 6)
		}
	}
	s.table(t, nil)
}

func (s *screen) capacity() {
	c := s.Capacity
	s.line("", "")
	s.line("", fmt.Sprintf("%d of %d slots occupied, %d waiting", c.Occupied, c.Limit, c.Waiting))
	if c.Why != "" {
		s.line("", s.ids("nothing more starts: "+c.Why))
	}
	for _, hold := range c.Holds {
		s.line("", s.ids(hold))
	}
	for _, q := range c.Quota {
		s.line("", q.Text)
	}
	var free []string
	if c.Memory != nil {
		free = append(free, "memory: "+humanize.IBytes(uint64(*c.Memory))+" available")
	}
	if c.Disk != nil {
		free = append(free, "disk: "+humanize.IBytes(uint64(*c.Disk))+" free")
	}
	if len(free) > 0 {
		s.line("", strings.Join(free, ", "))
	}
	last := time.Time{}
	if c.LastTick != nil {
		last = *c.LastTick
	}
	text := "last tick: " + ago(s.now, last)
	if c.NextTick != nil {
		text += ", the next in " + duration(c.NextTick.Sub(s.now))
	}
	s.line("", text)
	if c.Unplanned != "" && !slices.ContainsFunc(s.Needs, func(n overview.Need) bool { return n.Kind == overview.NoSchedule }) {
		s.line("", c.Unplanned)
	}
}

// paints says whether a terminal is to show colours: see no-color.org.
func paints() bool { return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" }
