package overview

import (
	"fmt"
	"strings"

	"kugetsu/queue/outcome"
	"kugetsu/queue/terminal"
)

// Work is what a run left, in a few words.
func Work(e outcome.Evidence) string {
	c := e.Changes
	if c == nil {
		return "-"
	}
	var parts []string
	if c.Commits > 0 {
		parts = append(parts, terminal.Count(c.Commits, "commit"))
	}
	if d := c.Diff; d != nil && d.Files > 0 {
		parts = append(parts, fmt.Sprintf("+%d −%d", d.Insertions, d.Deletions), terminal.Count(d.Files, "file"))
	}
	if c.Dirty > 0 {
		parts = append(parts, fmt.Sprintf("%d uncommitted", c.Dirty))
	}
	if len(parts) == 0 {
		return "no changes"
	}
	return strings.Join(parts, ", ")
}
