package digest

import (
	"bytes"
	"fmt"
	"strings"

	"kugetsu/queue/pattern"
	"kugetsu/queue/terminal"
	"kugetsu/tick"
)

// Markdown writes the digest for a forge, a chat or a mail.
func (d *Digest) Markdown() string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "**%s**\n\n", d.Sentence)
	for _, text := range d.facts() {
		fmt.Fprintf(&b, "- %s\n", text)
	}
	for _, s := range d.sections(terminal.Column{}) {
		fmt.Fprintf(&b, "\n## %s\n\n", s.title)
		s.markdown(&b)
	}
	if d.Why != "" {
		fmt.Fprintf(&b, "\nNothing more starts: %s\n", code(d.Why))
	}
	fmt.Fprint(&b, "\n## Needs you\n\n")
	if len(d.Needs) == 0 {
		b.WriteString("Nothing needs you.\n")
		return b.String()
	}
	for _, n := range d.Needs[:min(len(d.Needs), mostNeeds)] {
		fmt.Fprintf(&b, "- %s", code(n.What))
		if n.Since != nil {
			fmt.Fprintf(&b, ", %s", tick.Ago(d.At, *n.Since))
		}
		if n.Why != "" {
			fmt.Fprintf(&b, ": %s", code(n.Why))
		}
		fmt.Fprintf(&b, "\n  - %s\n", code(n.Command))
	}
	if more := d.rest(); more != "" {
		fmt.Fprintf(&b, "\n%s\n", more)
	}
	return b.String()
}

// markdown writes a section as a table.
func (s *section) markdown(b *bytes.Buffer) {
	row := func(cells []string) { fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | ")) }
	var names, rule []string
	for i, c := range s.columns {
		if i == 0 {
			c.Name = "ISSUE" // in Markdown a title names the section; in the text this column's name does
		}
		names, rule = append(names, c.Name[:1]+strings.ToLower(c.Name[1:])), append(rule, "---")
	}
	row(names)
	row(rule)
	for _, cells := range s.rows {
		shown := make([]string, len(cells))
		for i, cell := range cells {
			switch {
			case s.columns[i].ours:
				shown[i] = terminal.Clean(cell)
			case plainURL().MatchString(cell):
				shown[i] = "<" + cell + ">"
			default:
				shown[i] = code(cell)
			}
		}
		row(shown)
	}
	if s.more != "" {
		fmt.Fprintf(b, "\n%s\n", s.more)
	}
}

// plainURL matches a URL that can break neither the brackets of a link nor the cell of a table.
var plainURL = pattern.Lazy(`^https?://[A-Za-z0-9._~:/?#=&%+,-]+$`)

var fences = pattern.Lazy("`+")

// code writes a stranger's text as a code span. Within a span only its end has a meaning, and that end is longer than any row of
// backquotes in the text. A bar becomes an escape, as a hidden character does: in some programs it would end the cell of a table,
// even behind a backslash.
func code(text string) string {
	text = strings.ReplaceAll(strings.TrimSpace(terminal.Clean(text)), "|", `\x7c`)
	if text == "" {
		return ""
	}
	fence := "`"
	for _, run := range fences().FindAllString(text, -1) {
		if len(run) >= len(fence) {
			fence = run + "`"
		}
	}
	if text[0] == '`' || text[len(text)-1] == '`' {
		text = " " + text + " " // a reader takes one blank off each end
	}
	return fence + text + fence
}
