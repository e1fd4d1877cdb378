package page

import (
	"fmt"
	"slices"
	"time"

	"github.com/dustin/go-humanize"

	"kugetsu/queue"
	"kugetsu/queue/terminal"
	"kugetsu/tick"
)

// charts are the pictures of the last days: how much was done, how long it waited, what it cost.
type charts struct {
	Title                string
	Height, Floor, TextY int
	Charts               []chart
	Table                []dayRow
}

type chart struct {
	Title, Now, Summary, Top string
	Bars                     []bar
	Days, Hovers             []span
}

type dayRow struct {
	Day                                          string
	Completed, Errors, Runs, Median, Ninth, Cost string
}

const (
	chartFloor = 78 // pixels: the bars stand on it
	chartTop   = 16
)

// day is what happened on one day.
type day struct {
	at                time.Time // its noon
	completed, errors int
	runs, silent      int // silent runs told no cost
	waited            []float64
	usd               float64
}

func (d *day) quantile(q float64) time.Duration {
	if len(d.waited) == 0 {
		return 0
	}
	slices.Sort(d.waited)
	return time.Duration(d.waited[int(q*float64(len(d.waited)-1)+0.5)] * float64(time.Second))
}

// days counts the runs by day, the oldest first.
func (p *Page) days() []day {
	now := p.At.Local()
	days, index := make([]day, Days), map[string]int{}
	for i := range days {
		days[i].at = time.Date(now.Year(), now.Month(), now.Day()-Days+1+i, 12, 0, 0, 0, time.Local)
		index[days[i].at.Format(time.DateOnly)] = i
	}
	for _, r := range p.Runs {
		if i, there := index[r.NotifiedAt.Local().Format(time.DateOnly)]; there {
			days[i].waited = append(days[i].waited, r.Waited)
		}
		i, there := index[r.EndedAt.Local().Format(time.DateOnly)]
		if !there {
			continue
		}
		d := &days[i]
		d.runs++
		switch queue.State(r.State) {
		case queue.Completed:
			d.completed++
		case queue.Errored:
			d.errors++
		}
		if r.Cost == nil || r.Cost.USD == 0 {
			d.silent++
		} else {
			d.usd += r.Cost.USD
		}
	}
	return days
}

// charts is nil where there is nothing to draw.
func (p *Page) charts() *charts {
	days := p.days()
	all := day{}
	for _, d := range days {
		all.completed, all.errors, all.runs, all.silent, all.usd = all.completed+d.completed, all.errors+d.errors, all.runs+d.runs, all.silent+d.silent, all.usd+d.usd
	}
	if all.runs == 0 {
		return nil
	}
	c := &charts{Title: fmt.Sprintf("The last %d days", Days), Height: chartFloor + 18, Floor: chartFloor, TextY: chartFloor + 14}
	c.Charts = []chart{throughput(days, all), waited(days), cost(days, all)}
	for i := range days {
		d := &days[len(days)-1-i] // the newest first
		one := dayRow{Day: d.at.Format("Mon 2 Jan"), Completed: fmt.Sprint(d.completed), Errors: fmt.Sprint(d.errors), Runs: fmt.Sprint(d.runs),
			Median: "–", Ninth: "–", Cost: "–"}
		if len(d.waited) > 0 {
			one.Median, one.Ninth = brief(tick.Duration(d.quantile(0.5))), brief(tick.Duration(d.quantile(0.9)))
		}
		if d.usd > 0 {
			one.Cost = dollars(d.usd)
		}
		c.Table = append(c.Table, one)
	}
	return c
}

func throughput(days []day, all day) chart {
	today := days[len(days)-1]
	c := chart{Title: "Done", Now: fmt.Sprintf("today %d completed, %s; in %d days %s completed, %s", today.completed, terminal.Count(today.errors, "error"), len(days),
		humanize.Comma(int64(all.completed)), terminal.Count(all.errors, "error"))}
	top := 0
	for _, d := range days {
		top = max(top, d.completed+d.errors)
	}
	c.Top = fmt.Sprint(top)
	for i, d := range days {
		c.day(i, d, fmt.Sprintf("%d completed, %s", d.completed, terminal.Count(d.errors, "error")))
		low := c.bar(i, "completed", 0, float64(d.completed), float64(top))
		c.bar(i, "failed", low, float64(d.errors), float64(top))
	}
	return c.summed("Completed tasks and errors, by day")
}

func waited(days []day) chart {
	today := &days[len(days)-1]
	c := chart{Title: "Waited before a run", Now: "nothing began today"}
	if len(today.waited) > 0 {
		c.Now = fmt.Sprintf("today half of the runs at most %s, nine of ten at most %s", brief(tick.Duration(today.quantile(0.5))), brief(tick.Duration(today.quantile(0.9))))
	}
	top := time.Duration(0)
	for i := range days {
		top = max(top, days[i].quantile(0.9))
	}
	c.Top = brief(tick.Duration(top))
	for i := range days {
		d := &days[i]
		says := "no run began"
		if len(d.waited) > 0 {
			says = fmt.Sprintf("half at most %s, nine of ten at most %s", brief(tick.Duration(d.quantile(0.5))), brief(tick.Duration(d.quantile(0.9))))
		}
		c.day(i, *d, says)
		c.bar(i, "void", 0, d.quantile(0.9).Seconds(), top.Seconds())
		c.bar(i, "plain", 0, d.quantile(0.5).Seconds(), top.Seconds())
	}
	return c.summed("How long runs waited, by day: the filled part is the median, the outline holds nine of ten")
}

func cost(days []day, all day) chart {
	c := chart{Title: "Cost", Now: fmt.Sprintf("today %s; in %d days %s", dollars(days[len(days)-1].usd), len(days), dollars(all.usd))}
	if all.silent > 0 {
		c.Now += fmt.Sprintf(". %s of %s runs told none", humanize.Comma(int64(all.silent)), humanize.Comma(int64(all.runs)))
	}
	top := 0.0
	for _, d := range days {
		top = max(top, d.usd)
	}
	c.Top = dollars(top)
	for i, d := range days {
		c.day(i, d, dollars(d.usd))
		c.bar(i, "plain", 0, d.usd, top)
	}
	return c.summed("What the runs cost, by day, as their agents told")
}

// day names a day below its bar, and gives it a text to hover over.
func (c *chart) day(i int, d day, says string) {
	wide := 100 / float64(Days)
	label := span{X: decimal((float64(i) + 0.5) * wide), Says: fmt.Sprint(d.at.Day())}
	if i == Days-1 {
		label.Mark = "today"
	}
	c.Days = append(c.Days, label)
	c.Hovers = append(c.Hovers, span{X: decimal(float64(i) * wide), Width: decimal(wide), Says: d.at.Format("Mon 2 Jan") + ": " + says})
}

// bar draws a value on top of what is below, both in pixels, and returns where the bar ends. A value above zero is always visible.
func (c *chart) bar(i int, mark string, below, value, top float64) float64 {
	if value <= 0 || top <= 0 {
		return below
	}
	wide := 100 / float64(Days)
	high := max(1.5, value/top*(chartFloor-chartTop))
	c.Bars = append(c.Bars, bar{span: span{X: decimal((float64(i) + 0.18) * wide), Width: decimal(0.64 * wide), Mark: mark},
		Y: decimal(chartFloor - below - high), Height: decimal(high)})
	return below + high
}

// summed gives the chart the text that stands for the picture.
func (c chart) summed(what string) chart {
	c.Summary = what + ". " + c.Now + ". The table below has all days."
	return c
}
