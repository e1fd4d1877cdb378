// Package digest tells what was done in the last hours, for a person who was away. It is made from an overview, by rules and no
// model: the same files and the same time make the same digest.
//
// A digest begins with one sentence, which begins with "failed" if tasks ended or wait and none was completed. It ends with the needs of
// a person.
//
// Strangers wrote most texts in a digest: messages of issues, reasons of agents, answers of forges. Two fences keep such a text from
// doing harm. Package terminal turns hidden characters into escapes. In Markdown the text stands in a code span that it cannot end, so
// it makes no link, picture, mention or HTML.
package digest

import (
	"fmt"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/outcome"
	"kugetsu/queue/terminal"
	"kugetsu/tick"
	"kugetsu/tick/overview"
)

// Digest is what was done in a period, and what is open at its end.
type Digest struct {
	Since    time.Time          `json:"since"`
	At       time.Time          `json:"at"`
	Failed   bool               `json:"failed"` // tasks ended or wait, and none was completed
	Sentence string             `json:"sentence"`
	Counts   Counts             `json:"counts"`
	Cut      bool               `json:"cut"`   // more may have ended than was read, see Bound
	Bound    overview.Bound     `json:"bound"` // how much was read
	Done     []overview.Done    `json:"done"`  // the newest first
	Review   []overview.Request `json:"review"`
	Ready    []overview.Request `json:"ready"`
	Running  []overview.Running `json:"runs"`
	Waiting  []overview.Waiting `json:"waiting"`
	Waits    int                `json:"waits"` // tasks that wait, also those that were not read
	Why      string             `json:"why"`   // why nothing more starts; "" when something may
	Needs    []overview.Need    `json:"needs"`

	settled []overview.Done // all that were read: the next digest since the last must not show them again
}

// Counts is how many tasks ended.
type Counts struct {
	Tasks     int            `json:"tasks"`
	Completed int            `json:"completed"`
	Failed    int            `json:"failed"`
	Cancelled int            `json:"cancelled"` // by a person
	Outcomes  map[string]int `json:"outcomes"`
	USD       float64        `json:"usd"`    // of all runs of the tasks that told dollars
	Untold    int            `json:"untold"` // tasks that told no dollars
}

// Read makes the digest of the items that ended after since. With a mark it is instead the digest of the items that the mark lacks.
// At most most waiting items are read; all if most is negative.
func Read(t *tick.Tick, since time.Time, last *Mark, most int) (*Digest, error) {
	o, err := overview.Read(t, most)
	if err != nil {
		return nil, err
	}
	return of(o, since, last), nil
}

func of(o *overview.Overview, since time.Time, last *Mark) *Digest {
	d := &Digest{Since: since.UTC(), At: o.At.UTC(), Bound: o.Bound, Done: []overview.Done{}, Review: o.Review, Ready: o.Ready, Running: o.Running,
		Waiting: o.Waiting, Waits: o.Capacity.Waiting, Why: o.Capacity.Why, Needs: o.Needs, settled: o.Done, Counts: Counts{Outcomes: map[string]int{}}}
	for _, one := range o.Done {
		if last.new(one, since) {
			d.Done = append(d.Done, one)
			d.Counts.add(one)
		}
	}
	// The items beyond the bound ended before all that were read. They matter only if the oldest item that was read is in the
	// period.
	d.Cut = o.Bound.SettledRead < o.Bound.Settled && len(o.Done) > 0 && o.Done[len(o.Done)-1].At.After(since)
	d.Failed, d.Sentence = d.sentence()
	return d
}

func (c *Counts) add(one overview.Done) {
	c.Tasks++
	switch {
	case one.State == queue.Completed:
		c.Completed++
	case one.Ended == string(outcome.Cancelled):
		c.Cancelled++
	default:
		c.Failed++
	}
	c.Outcomes[one.Ended]++
	if one.Cost != nil && one.Cost.USD > 0 {
		c.USD += one.Cost.USD
	} else {
		c.Untold++
	}
}

// sentence says in one line what came of the period, and how much needs a person.
func (d *Digest) sentence() (failed bool, text string) {
	c := d.Counts
	tasks := terminal.Count(c.Tasks, "task")
	if d.Cut {
		tasks = fmt.Sprintf("the %d newest tasks", c.Tasks)
	}
	cancelled := ""
	if c.Cancelled > 0 {
		cancelled = fmt.Sprintf(", %d cancelled", c.Cancelled)
	}
	switch {
	case c.Tasks == 0:
		failed, text = d.idle()
	case c.Completed == c.Tasks && c.Tasks == 1:
		text = "the only task completed"
	case c.Completed == c.Tasks:
		text = "all " + tasks + " completed"
		if d.Cut {
			text = "all of " + tasks + " completed"
		}
	case c.Completed == 0 && c.Failed == 0:
		text = tasks + " ended, all cancelled"
	case c.Completed == 0 && c.Tasks == 1:
		failed, text = true, "failed: the only task did not complete"
	case c.Completed == 0:
		failed, text = true, fmt.Sprintf("failed: none of %s completed%s", tasks, cancelled)
	default:
		text = fmt.Sprintf("%d of %s completed", c.Completed, tasks)
		if c.Failed > 0 {
			text += fmt.Sprintf(", %d failed", c.Failed)
		}
		text += cancelled
	}
	return failed, text + "; " + overview.NeedYou(len(d.Needs))
}

// idle is the sentence of a period in which no task ended. The period failed if tasks wait, no task runs, and only a person can change
// that: a night on hold is no quiet night.
func (d *Digest) idle() (failed bool, text string) {
	text = "no task ended"
	if n := len(d.Running); n > 0 {
		return false, fmt.Sprintf("%s, %d at work", text, n)
	}
	if d.Waits == 0 {
		return false, text
	}
	text += fmt.Sprintf(", %d waiting", d.Waits)
	for _, n := range d.Needs {
		if n.Kind.Stops() {
			return true, "failed: " + text
		}
	}
	return false, text
}
