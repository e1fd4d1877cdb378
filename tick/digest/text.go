package digest

import (
	"bytes"
	"fmt"
	"strings"

	"kugetsu/queue/terminal"
	"kugetsu/tick"
)

// Text writes the digest for a terminal of so many columns; with 0 no line is cut. refs says how references give way. No line is
// wider, except a command that a person types.
func (d *Digest) Text(width int, refs terminal.Column) string {
	var b bytes.Buffer
	line := func(text string) {
		if text = terminal.Clean(text); width > 0 {
			text = terminal.Fit(text, width)
		}
		fmt.Fprintln(&b, text)
	}
	line(d.Sentence)
	for _, text := range d.facts() {
		line(text)
	}
	for _, s := range d.sections(refs) {
		line("")
		t := terminal.Table{Rows: s.rows}
		for _, c := range s.columns {
			t.Columns = append(t.Columns, c.Column)
		}
		_ = t.Write(&b, width) // a buffer takes everything
		if s.more != "" {
			line(s.more)
		}
	}
	if d.Why != "" {
		line("")
		line("nothing more starts: " + d.Why)
	}
	line("")
	if len(d.Needs) == 0 {
		line("nothing needs you")
		return b.String()
	}
	line("NEEDS YOU")
	for _, n := range d.Needs[:min(len(d.Needs), mostNeeds)] {
		what := n.What
		if n.Since != nil {
			what += ", " + tick.Ago(d.At, *n.Since)
		}
		for _, text := range terminal.Because(what, n.Why, width) {
			fmt.Fprintln(&b, text)
		}
		fmt.Fprintln(&b, "    "+strings.TrimSpace(terminal.Clean(n.Command)))
	}
	if more := d.rest(); more != "" {
		line(more)
	}
	return b.String()
}
