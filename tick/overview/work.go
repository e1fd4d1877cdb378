package overview

import (
	"cmp"
	"fmt"
	"strings"

	"kugetsu/queue/outcome"
	"kugetsu/queue/terminal"
)

// Work is what a run left, in a few words.
func Work(e outcome.Evidence) string {
	var parts []string
	if e.Verification != nil {
		parts = append(parts, Judged(e))
	}
	c := e.Changes
	if c == nil {
		return cmp.Or(strings.Join(parts, ", "), "-")
	}
	if c.Commits > 0 {
		parts = append(parts, terminal.Count(c.Commits, "commit"))
	}
	if d := c.Diff; d != nil && d.Files > 0 {
		parts = append(parts, fmt.Sprintf("+%d −%d", d.Insertions, d.Deletions), terminal.Count(d.Files, "file"))
	}
	if c.Dirty > 0 {
		parts = append(parts, fmt.Sprintf("%d uncommitted", c.Dirty))
	}
	if c.Commits == 0 && c.Dirty == 0 && (c.Diff == nil || c.Diff.Files == 0) {
		parts = append(parts, "no changes")
	}
	return strings.Join(parts, ", ")
}

// Judged is the word for a run that was verified, or was not; "" where no command judged it.
func Judged(e outcome.Evidence) string {
	switch {
	case e.Verification == nil:
		return ""
	case e.Verified():
		return "verified"
	}
	return "not verified"
}
