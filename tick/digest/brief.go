package digest

import (
	"fmt"
	"strings"

	"kugetsu/queue/terminal"
	"kugetsu/tick"
	"kugetsu/tick/overview"
)

// A brief digest fits into one message of a chat, 1,900 characters, and a line of it on the screen of a phone.
const (
	briefNeeds = 5
	briefDone  = 8
	briefLine  = 120 // columns
)

// Brief writes the most important parts of the digest in lines without a table, for the notification that a person reads first. The
// needs of that person come before what was done, since a message may be cut at its end.
func (d *Digest) Brief() string {
	var lines []string
	line := func(text string) { lines = append(lines, terminal.Short(terminal.Clean(text), briefLine)) }
	line(d.Sentence)
	for _, text := range d.facts() {
		line(text)
	}
	for _, n := range d.Needs[:min(len(d.Needs), briefNeeds)] {
		text := "! " + n.What
		if n.Since != nil {
			text += ", " + tick.Ago(d.At, *n.Since)
		}
		if n.Why != "" {
			text += ": " + n.Why
		}
		line(text)
		lines = append(lines, "  "+strings.TrimSpace(terminal.Clean(n.Command)))
	}
	if more := len(d.Needs) - briefNeeds; more > 0 {
		line(fmt.Sprintf("! and %d more: kugetsu", more))
	}
	for _, one := range d.Done[:min(len(d.Done), briefDone)] {
		text := fmt.Sprintf("- %s: %s, %s", name(one.Ref), known(one.Ended), overview.Work(one.Evidence))
		if one.Cost != nil && one.Cost.USD > 0 {
			text += fmt.Sprintf(", $%.2f", one.Cost.USD)
		}
		line(text)
	}
	if more := len(d.Done) - briefDone; more > 0 {
		line(fmt.Sprintf("- and %d more", more))
	}
	if d.Waits > 0 {
		text := fmt.Sprintf("%s waiting", terminal.Count(d.Waits, "task"))
		if d.Why != "" {
			text += ": " + d.Why
		}
		line(text)
	}
	return strings.Join(lines, "\n")
}
