package overview

import (
	"cmp"
	"fmt"
	"strings"

	"kugetsu/queue"
	"kugetsu/queue/outcome"
	"kugetsu/queue/terminal"
	"kugetsu/slots"
	"kugetsu/tick/session"
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
		parts = append(parts, c.Made())
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

// Strip says how far the work on an issue is, step by step, as in "agent ok · verified · PR #57 open, CI failing: test". run is the
// newest run of the session s, nil if it is not known.
func Strip(run *queue.Run, s *slots.Session, r session.Review) string {
	var parts []string
	switch {
	case run != nil:
		how := run.Outcome
		if how == outcome.Unverified { // the agent said that it was done
			how = outcome.OK
		}
		parts = append(parts, "agent "+strings.ReplaceAll(terminal.Line(string(how), 40), "_", " "))
		if judged := Judged(run.Evidence); judged != "" {
			parts = append(parts, judged)
		}
	case s != nil && s.Judged != "": // its item was cleared
		parts = append(parts, map[bool]string{true: "verified", false: "not verified"}[s.Judged == "verified"])
	}
	if pull := r.Strip(); pull != "" {
		parts = append(parts, pull)
	}
	return strings.Join(parts, " · ")
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
