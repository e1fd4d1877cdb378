package page

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"kugetsu/queue/outcome"
	"kugetsu/tick"
)

// strip is the picture of the last 24 hours: a row for each slot, a bar for each run.
type strip struct {
	Height, Bottom, HourY, Thick int
	Summary, Left, Unlisted      string
	Rows                         []row
	Shades, Hours                []span
	Bars                         []bar
	Legend                       []span
	Table                        []run
}

type row struct {
	Name         string
	TextY, LineY int
}

// span is a part of the picture's width, in percent.
type span struct {
	X, Width string
	Mark     string
	Says     string
	Shade    bool
}

type bar struct {
	span
	Y, Height string
}

// run is a row of the table.
type run struct {
	Began                           stamp
	Took, Slot, Ref, Agent, Outcome string
}

const (
	stripLong = 24 * time.Hour
	rowHigh   = 22 // pixels
	barHigh   = 15
	rowsMost  = 40
	barsMost  = 600 // of the picture: some 250 bytes each
	tableMost = 120
)

// running stands for the outcome of a run that goes on, and is its mark.
const running = "running"

// marks are how runs look, as the legend explains it. Each mark has a colour and a pattern of its own.
var marks = []struct {
	mark, says string
}{
	{running, "runs"},
	{outcome.Done, "ok"},
	{outcome.Broken, "failed, not verified, lost"},
	{outcome.Cut, "timeout, stalled, outgrown"},
	{outcome.Refused, "denied, not logged in"},
	{outcome.Limited, "usage limit, outage"},
	{outcome.Idle, "cancelled, never began"},
}

// markOf is the mark of an outcome. An outcome that is not known, of a newer kugetsu, has the mark of no run.
func markOf(how string) string {
	if how == running {
		return running
	}
	row, _ := outcome.Outcome(how).Row()
	return row.Mark
}

// drawn is a run with its place in the picture.
type drawn struct {
	slot, ref, agent, outcome string
	from, until               time.Time
}

// runsOfDay are the runs of the strip, the newest first.
func (p *Page) runsOfDay() (list []drawn) {
	from := p.At.Add(-stripLong)
	for _, r := range p.Runs {
		if r.EndedAt.Before(from) || r.NotifiedAt.After(p.At) {
			continue
		}
		list = append(list, drawn{r.Slot, p.name(r.IssueRef), r.Agent, r.Outcome, r.NotifiedAt, r.EndedAt})
	}
	for _, r := range p.Running {
		if r.Since != nil && r.Occupied {
			list = append(list, drawn{r.Slot, p.name(r.IssueRef), r.Agent, running, *r.Since, p.At})
		}
	}
	slices.SortStableFunc(list, func(a, b drawn) int { return b.from.Compare(a.from) })
	return list
}

func (p *Page) strip() *strip {
	runs := p.runsOfDay()
	names := p.rows(runs)
	s := &strip{Thick: barHigh, Bottom: rowHigh*len(names) + 4}
	s.HourY, s.Height = s.Bottom+14, s.Bottom+20
	at := map[string]int{}
	for i, name := range names {
		at[name] = i
		s.Rows = append(s.Rows, row{rowName(name), rowHigh*i + 16, rowHigh*(i+1) + 2})
	}
	used, undrawn := map[string]int{}, 0
	for _, r := range runs {
		used[markOf(r.outcome)]++
		i, there := at[r.slot]
		if !there || len(s.Bars) == barsMost {
			undrawn++
			continue
		}
		s.Bars = append(s.Bars, bar{span: p.span(r.from, r.until, markOf(r.outcome), p.says(r)), Y: strconv.Itoa(rowHigh*i + 5)})
	}
	slices.Reverse(s.Bars) // so that the newest lies on top
	for _, m := range marks {
		if used[m.mark] > 0 {
			s.Legend = append(s.Legend, span{Mark: m.mark, Says: fmt.Sprintf("%s (%d)", m.says, used[m.mark])})
		}
	}
	if undrawn > 0 {
		s.Left = fmt.Sprintf("%s more runs are not drawn.", humanize.Comma(int64(undrawn)))
	}
	s.Hours = p.hours()
	p.shade(s)
	s.Summary = summary(runs, used, s.Shades)
	for _, r := range runs[:min(len(runs), tableMost)] {
		s.Table = append(s.Table, run{p.stamp(r.from), brief(tick.Duration(r.until.Sub(r.from))), rowName(r.slot), r.ref, clean(r.agent), clean(r.outcome)})
	}
	if left := len(runs) - tableMost; left > 0 {
		s.Unlisted = fmt.Sprintf("%s earlier runs are not listed.", humanize.Comma(int64(left)))
	}
	return s
}

// rows are the slots that the strip shows: those that exist, and those that were used.
func (p *Page) rows(runs []drawn) []string {
	var names []string
	for k := 1; k <= min(p.Capacity.Limit, rowsMost); k++ {
		names = append(names, strconv.Itoa(k))
	}
	for _, r := range runs {
		if !slices.Contains(names, r.slot) && len(names) < rowsMost {
			names = append(names, r.slot)
		}
	}
	// The slots stand in the order of their numbers. Behind them stand the PM agent's slot, and runs whose slot is not known.
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(number(a), number(b)) })
	return names
}

func number(slot string) int {
	if n, err := strconv.Atoi(slot); err == nil {
		return n
	}
	return 1<<30 - len(slot)
}

func rowName(slot string) string {
	if _, err := strconv.Atoi(slot); err == nil {
		return "slot " + slot
	}
	return cmp.Or(clean(slot), "other")
}

func (p *Page) says(r drawn) string {
	until := r.until.Local().Format("15:04")
	if r.outcome == running {
		until = "now"
	}
	return fmt.Sprintf("%s, %s: %s, %s–%s (%s)", r.ref, clean(r.agent), strings.ReplaceAll(clean(r.outcome), "_", " "), r.from.Local().Format("15:04"), until,
		brief(tick.Duration(r.until.Sub(r.from))))
}

// span is the place of a period in the last 24 hours.
func (p *Page) span(from, until time.Time, mark, says string) span {
	x := p.percent(from)
	return span{X: decimal(x), Width: decimal(max(0.15, p.percent(until)-x)), Mark: mark, Says: says}
}

// percent is where a time lies, from 0, 24 hours ago, to 100, now.
func (p *Page) percent(t time.Time) float64 {
	begin := p.At.Add(-stripLong)
	return min(100, max(0, 100*float64(t.Sub(begin))/float64(stripLong)))
}

func decimal(f float64) string { return strconv.FormatFloat(f, 'f', 2, 64) }

// hours are the marks of the time: a line every three hours, and fewer names on a small screen.
func (p *Page) hours() (list []span) {
	begin := p.At.Add(-stripLong).Local()
	for t := time.Date(begin.Year(), begin.Month(), begin.Day(), begin.Hour(), 0, 0, 0, time.Local); t.Before(p.At); t = t.Add(time.Hour) {
		x := p.percent(t)
		if hour := t.Local().Hour(); hour%3 == 0 && t.After(begin) && x < 98.5 {
			one := span{X: decimal(x), Says: t.Local().Format("15:04")}
			if hour == 0 {
				one.Says = t.Local().Format("Mon 2")
			}
			if hour%6 != 0 {
				one.Mark = "small"
			}
			list = append(list, one)
		}
	}
	return list
}

// shade adds the times in which runs were kept from starting.
func (p *Page) shade(s *strip) {
	begin := p.At.Add(-stripLong)
	for _, sh := range p.Shades {
		if sh.Until.Before(begin) || sh.From.After(p.At) || len(s.Shades) == cardsMost {
			continue
		}
		s.Shades = append(s.Shades, p.span(sh.From, sh.Until, "closed", clean(sh.Says)))
	}
	if len(s.Shades) > 0 {
		s.Legend = append(s.Legend, span{Mark: "closed", Says: "on hold, paused or outside of the hours", Shade: true})
	}
}

// summary is the picture in words.
func summary(runs []drawn, used map[string]int, shades []span) string {
	if len(runs) == 0 {
		return "No run."
	}
	parts := []string{}
	for _, m := range marks {
		if used[m.mark] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", used[m.mark], m.says))
		}
	}
	for _, s := range shades {
		parts = append(parts, s.Says)
	}
	return fmt.Sprintf("Runs: %d. %s. The table below lists them.", len(runs), strings.Join(parts, "; "))
}
