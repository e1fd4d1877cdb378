package page

import (
	"cmp"
	"fmt"
	"html/template"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/dustin/go-humanize"

	"kugetsu/queue"
	"kugetsu/queue/outcome"
	"kugetsu/queue/pattern"
	"kugetsu/queue/terminal"
	"kugetsu/tick"
	"kugetsu/tick/overview"
)

// view is the page as the template reads it: all of it is text, cut and clean.
type view struct {
	Policy          string
	Style           template.CSS
	Script          template.JS
	Title, Sentence string
	Mood            string // class of the sentence
	Written         stamp
	Expected        *stamp
	EveryMinutes    int
	Refreshed       string // who writes the file anew
	IsLate          string // of an old page, with what to type
	LateCommand     string
	Columns         []column
	Strip           *strip
	Charts          *charts
	Capacity        []named
	Zone            string
}

// stamp is a text; with ISO it is the text of a time.
type stamp struct{ ISO, Text string }

type named struct{ Name, Value string }

type column struct {
	ID, Title, Empty string
	Count            int
	Cards            []card
	More             *more
}

// more says that a column was cut, and the command that shows all.
type more struct{ Text, Command string }

type card struct {
	Mark    string // class, by outcome or kind
	Title   string
	URL     string
	Tag     string
	Text    string
	Why     string
	Meta    []stamp
	Command string
	Else    string // another command
}

const (
	cardsMost = 24  // of a column
	doneMost  = 12  // of tasks that need nothing any more
	textMost  = 240 // bytes of a text on a card
	nameMost  = 120 // and of an issue's name
)

func (p *Page) view() *view {
	v := &view{
		Title: p.title(), Sentence: upper(clean(p.local(p.Sentence))), Mood: p.mood(), Written: stamp{p.At.UTC().Format(time.RFC3339), p.At.Local().Format("Mon 2 Jan 15:04 MST")}, EveryMinutes: max(1, int(p.Interval.Minutes())),
		Columns: []column{p.needs(), p.running(), p.waiting(), p.review(), p.ready(), p.done()},
		Strip:   p.strip(), Charts: p.charts(), Capacity: p.capacity(), Zone: "those of " + p.At.Local().Format("MST (UTC-07:00)"),
	}
	v.Refreshed = "No tick writes it anew, since STATUS_PAGE does not name it."
	v.IsLate, v.LateCommand = "It may be wrong by now. Write it anew:", "kugetsu page"
	if p.Refreshed {
		v.Refreshed, v.IsLate, v.LateCommand = "", "Ticks write it no more, so it may be wrong. Why:", "kugetsu queue-daemon status"
		next := p.At.Add(p.Interval)
		if p.Capacity.NextTick != nil {
			next = *p.Capacity.NextTick
		}
		at := p.stamp(next)
		v.Expected = &at
	}
	return v
}

func (p *Page) mood() string {
	switch {
	case !p.Healthy:
		return "bad"
	case len(p.Needs) > 0:
		return "needs"
	}
	return "well"
}

// title is what a browser's tab shows.
func (p *Page) title() string {
	switch n := len(p.Needs); {
	case n == 1:
		return "1 needs you – kugetsu"
	case n > 1:
		return fmt.Sprintf("%d need you – kugetsu", n)
	case !p.Healthy:
		return "not healthy – kugetsu"
	}
	return fmt.Sprintf("%d of %d run – kugetsu", p.Capacity.Occupied, p.Capacity.Limit)
}

// cut makes a column of at most cardsMost cards. all is how many there are.
func cut(c column, all int, command string) column {
	c.Count = all
	c.Cards = c.Cards[:min(len(c.Cards), cardsMost)]
	if left := all - len(c.Cards); left > 0 {
		c.More = &more{fmt.Sprintf("and %s more:", humanize.Comma(int64(left))), command}
	}
	return c
}

func (p *Page) needs() column {
	c := column{ID: "needs", Title: "Needs you", Empty: "nothing"}
	for _, n := range p.Needs[:min(len(p.Needs), cardsMost)] {
		one := card{Mark: needMark(n.Kind), Title: clean(p.local(n.What)), Why: text(n.Why), Command: clean(n.Command)}
		if n.Since != nil {
			one.Meta = append(one.Meta, p.since(*n.Since))
		}
		if n.Agent != "" {
			one.Meta = append(one.Meta, plain(n.Agent))
		}
		if n.ID != "" {
			one.Else = clean("kugetsu dismiss " + n.ID)
		}
		c.Cards = append(c.Cards, one)
	}
	return cut(c, len(p.Needs), "kugetsu")
}

// needMark is the mark of a need. The need of a task that ended in an error has the mark of the task's outcome.
func needMark(k overview.Kind) string {
	for _, r := range outcome.Rows {
		if r.Need == string(k) {
			return r.Mark
		}
	}
	switch k {
	case overview.LogIn:
		return outcome.Refused
	case overview.OnHold, overview.Down:
		return outcome.Limited
	case overview.Unpushed:
		return outcome.Done
	}
	return outcome.Broken
}

func (p *Page) running() column {
	c := column{ID: "running", Title: "Working", Empty: "no agent"}
	for _, r := range p.Running {
		one := card{Mark: "running", Title: p.name(r.IssueRef), Text: text(r.Doing(p.At)), Why: text(cmp.Or(r.Waits, r.Where()))}
		switch {
		case r.Beyond:
			one.Tag, one.Mark = "beyond its time limit", "failed"
		case !r.Occupied:
			one.Tag = "ended, and settled by the next tick"
		case r.Waits != "":
			one.Tag, one.Mark = "waits", "limited"
		case r.Verifying != nil:
			one.Tag = "verifies"
		}
		if r.Since != nil {
			one.Meta = append(one.Meta, p.since(*r.Since))
		}
		one.Meta = append(one.Meta, plain(r.Agent), plain("slot "+r.Slot))
		if r.Run > 1 {
			one.Meta = append(one.Meta, plain(fmt.Sprintf("run %d", r.Run)))
		}
		if r.Item != "" {
			one.Command = "kugetsu logs -f " + p.arg(r.IssueRef, r.Item)
		}
		c.Cards = append(c.Cards, one)
	}
	return cut(c, len(c.Cards), "kugetsu")
}

func (p *Page) waiting() column {
	c := column{ID: "waiting", Title: "Waiting", Empty: "no task"}
	for _, w := range p.Waiting[:min(len(p.Waiting), cardsMost)] {
		one := card{Mark: "void", Title: p.name(w.IssueRef), Why: text(p.local(w.Says)),
			Meta:    []stamp{p.since(w.Since), plain(w.Agent)},
			Command: "kugetsu show " + p.arg(w.IssueRef, w.Item)}
		if w.Priority != queue.DefaultPriority {
			one.Meta = append(one.Meta, plain(fmt.Sprintf("priority %02d", w.Priority)))
		}
		if w.Blocked {
			one.Mark = "limited"
		}
		c.Cards = append(c.Cards, one)
	}
	return cut(c, max(p.Capacity.Waiting, len(p.Waiting)), "kugetsu queue list")
}

func (p *Page) review() column {
	return p.requests(column{ID: "review", Title: "In review", Empty: "no request"}, "void", p.Review)
}

func (p *Page) ready() column {
	return p.requests(column{ID: "ready", Title: "Ready to merge", Empty: "no request"}, "completed", p.Ready)
}

func (p *Page) requests(c column, mark string, list []overview.Request) column {
	for _, r := range list {
		one := card{Mark: mark, Title: p.name(r.Ref), URL: link(r.URL), Why: text(r.Why), Meta: []stamp{p.since(r.LastUsed)},
			Command: "kugetsu show " + clean(p.short(r.Ref))}
		if says := cmp.Or(r.Says, string(r.State)); says != "" {
			one.Tag = clean(says)
		}
		if r.Branch != "" {
			one.Meta = append(one.Meta, plain(r.Branch))
		}
		c.Cards = append(c.Cards, one)
	}
	return cut(c, len(list), "kugetsu list")
}

func (p *Page) done() column {
	c := column{ID: "done", Title: "Done in 24 hours", Empty: "nothing"}
	n := 0
	for _, d := range p.Done {
		if p.At.Sub(d.At) > stripLong {
			continue
		}
		if n++; n > doneMost {
			continue
		}
		one := card{Mark: markOf(d.Ended), Title: p.name(d.Ref), URL: link(d.PRURL), Tag: "completed", Text: text(d.Message), Meta: p.evidence(d),
			Command: "kugetsu show " + p.arg(d.Ref, d.Item)}
		switch {
		case d.Ended == string(outcome.Cancelled): // a person cancelled it, which is no error
			one.Tag = d.Ended
		case d.State == queue.Errored:
			one.Tag, one.Why = "error", text(strings.TrimPrefix(d.Error, string(d.Outcome)+": "))
			if d.Outcome != "" {
				one.Tag = "error: " + strings.ReplaceAll(clean(string(d.Outcome)), "_", " ")
			}
		}
		c.Cards = append(c.Cards, one)
	}
	return cut(c, n, "kugetsu queue list --all")
}

// evidence is what a run can show, the shortest first.
func (p *Page) evidence(d overview.Done) []stamp {
	parts := []stamp{p.since(d.At)}
	if judged := overview.Judged(d.Evidence); judged != "" {
		parts = append(parts, plain(judged))
	}
	if ch := d.Evidence.Changes; ch != nil {
		if ch.Commits > 0 {
			parts = append(parts, plain(ch.Made()))
		}
		if ch.Diff != nil && ch.Diff.Files > 0 {
			parts = append(parts, plain(fmt.Sprintf("+%d −%d in %s", ch.Diff.Insertions, ch.Diff.Deletions, terminal.Count(ch.Diff.Files, "file"))))
		}
		if ch.Dirty > 0 {
			parts = append(parts, plain(terminal.Count(ch.Dirty, "file")+" not committed"))
		}
	}
	if d.Took > 0 {
		parts = append(parts, plain("took "+brief(tick.Duration(d.Took))))
	}
	if d.Cost != nil && d.Cost.USD > 0 {
		parts = append(parts, plain(dollars(d.Cost.USD)))
	}
	return append(parts, plain(d.Agent))
}

func (p *Page) capacity() []named {
	c := p.Capacity
	list := []named{{"Slots", fmt.Sprintf("%d of %d occupied", c.Occupied, c.Limit)}}
	add := func(name, value string) {
		if value != "" {
			list = append(list, named{name, clean(value)})
		}
	}
	add("Nothing more starts", c.Why)
	if c.Memory != nil {
		add("Memory", humanize.IBytes(uint64(max(0, *c.Memory)))+" available")
	}
	if c.Disk != nil {
		add("Disk", humanize.IBytes(uint64(max(0, *c.Disk)))+" free")
	}
	for _, h := range c.Holds {
		add("On hold", h)
	}
	for _, q := range c.Quota {
		add("Quota", q.Text)
	}
	if c.LastTick != nil {
		add("Last tick", p.stamp(*c.LastTick).Text)
	}
	if c.NextTick != nil {
		add("Next tick", p.stamp(*c.NextTick).Text)
	}
	add("Schedule", c.Unplanned)
	return list
}

// name is what people call an item: its issue, or the PM agent.
func (p *Page) name(ref string) string {
	return cmp.Or(terminal.Line(p.short(ref), nameMost), "PM agent")
}

// short is a reference as people type it: without the host, if that is the default one.
func (p *Page) short(ref string) string { return strings.TrimPrefix(ref, p.Server+"/") }

// local is a text with its references as short makes them.
func (p *Page) local(text string) string {
	words := strings.Split(text, " ")
	for i := range words {
		words[i] = p.short(words[i])
	}
	return strings.Join(words, " ")
}

// arg is the word that names an item in a command.
func (p *Page) arg(ref, item string) string { return clean(cmp.Or(p.short(ref), item)) }

func (p *Page) stamp(t time.Time) stamp {
	layout := "Mon 2 Jan 15:04"
	if y, m, d := t.Local().Date(); p.isToday(y, m, d) {
		layout = "15:04"
	}
	return stamp{t.UTC().Format(time.RFC3339), t.Local().Format(layout)}
}

func (p *Page) isToday(y int, m time.Month, d int) bool {
	ny, nm, nd := p.At.Local().Date()
	return y == ny && m == nm && d == nd
}

// since is how long ago a time was.
func (p *Page) since(t time.Time) stamp {
	return stamp{t.UTC().Format(time.RFC3339), brief(tick.Ago(p.At, t))}
}

// upper makes the first letter of a sentence a capital.
func upper(s string) string {
	first, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(first)) + s[n:]
}

// brief leaves out a second unit that is zero: 9h ago, not 9h00m ago.
func brief(s string) string {
	return whole().ReplaceAllString(s, "$1")
}

var whole = pattern.Lazy(`(\d[hm])00[ms]`)

func plain(s string) stamp { return stamp{Text: clean(s)} }

func clean(s string) string { return terminal.Line(s, textMost) }

// text is one line of a longer text, cut.
func text(s string) string {
	return terminal.Line(strings.Join(strings.Fields(s[:min(len(s), 8*textMost)]), " "), textMost)
}

// link is a URL of a web page, and "" for anything else: a forge's answer is no reason to open a file or to run a script.
func link(url string) string {
	if strings.HasPrefix(url, "https://") || strings.HasPrefix(url, "http://") {
		return url
	}
	return ""
}

func dollars(usd float64) string {
	if usd > 0 && usd < 0.01 {
		return "below $0.01"
	}
	return "$" + humanize.CommafWithDigits(usd, 2)
}
