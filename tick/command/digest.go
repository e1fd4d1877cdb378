package command

import (
	"errors"
	"time"

	"kugetsu/queue/fault"
	"kugetsu/tick/digest"
)

// Digest tells what was done.
type Digest struct {
	Since    string `help:"What ended since then: 12h, 7d; last is since the last digest with that word." default:"12h" placeholder:"AGE"`
	JSON     bool   `name:"json" help:"Print JSON."`
	Markdown bool   `help:"Print Markdown, for a forge or a chat."`
}

// Help is its long help.
func (*Digest) Help() string {
	return longHelp(`
The first line says how many tasks were completed. It begins with "failed" where none was: tasks ended otherwise, or all wait
for something that only you can end. Below it stand: the outcomes and the cost; a table of what ended, with what each task
left; open pull requests as the forge said last; what runs; what waits, and why. The end is what needs you, with the command to
type, or the sentence that nothing does. No model is asked.

The 200 tasks that ended last are read; the digest says so where more may have ended. With --since last it shows what the last
such digest did not, at first the last 12 hours, and remembers that only after it was printed.`,
		codes{0: "shown, a failed night too", 78: "shown, and the configuration is bad"},
		"kugetsu digest",
		"kugetsu digest --since last --markdown")
}

// digestAge is the period of a first digest since the last one.
const digestAge = 12 * time.Hour

// Run shows it.
func (c *Digest) Run(a *App) error {
	if c.JSON && c.Markdown {
		return fault.New(fault.Usage, "kugetsu digest --json", "--json and --markdown exclude each other")
	}
	since, last, err := c.period(a)
	if err != nil {
		return err
	}
	most := digest.MostWaiting
	if c.JSON {
		most = -1
	}
	d, err := digest.Read(a.Tick, since, last, most)
	if err != nil {
		return err
	}
	switch {
	case c.JSON:
		err = a.printJSON(d)
	case c.Markdown:
		err = a.print("%s", d.Markdown())
	default:
		err = a.print("%s", shortIDs(d.Text(a.Width, a.issueColumn()), a.short))
	}
	if err == nil && c.Since == sinceLast {
		err = d.Shown(a.Home, last)
	}
	return errors.Join(err, a.Tick.Config)
}

// sinceLast is the word for the period since the last digest that was asked for by it.
const sinceLast = "last"

// period is when the digest begins, and what it leaves out because it was shown before.
func (c *Digest) period(a *App) (since time.Time, last *digest.Mark, err error) {
	now := a.Now()
	if c.Since != sinceLast {
		age, err := parseAge(c.Since)
		if err != nil {
			return now, nil, fault.New(fault.Usage, "12h, 7d, or "+sinceLast+": since the digest before", "%w", err)
		}
		return now.Add(-age), nil, nil
	}
	last, err = digest.Last(a.Home)
	if err != nil || last == nil {
		return now.Add(-digestAge), nil, err
	}
	return last.Since(now), last, nil
}
