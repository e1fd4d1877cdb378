package agent

import (
	"slices"

	"kugetsu/queue/terminal"
)

// MaxSummary bounds a summary in bytes: it is stored in the item's history, twenty runs of it.
const MaxSummary = 2000

// ends cuts valid UTF-8 to at most limit bytes by leaving out its middle.
func ends(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return terminal.Clip(s, limit/2) + "\n" + terminal.Tail(s, limit/2-1)
}

// oneLine makes one line of a text that may be a whole script, in at most limit bytes.
func oneLine(s string, limit int) string { return terminal.Clip(terminal.Joined(s), limit) }

// maxRefused is how many of the permissions that were refused in a run are reported.
const maxRefused = 5

// Refusals are permissions that were refused, in words for people ("external_directory /etc/passwd"): each once, the last refused
// one at the end, maxRefused at most.
type Refusals []string

func (r *Refusals) add(permission string) {
	permission = oneLine(permission, 200)
	if permission == "" {
		return
	}
	*r = append(slices.DeleteFunc(*r, func(p string) bool { return p == permission }), permission)
	*r = (*r)[max(0, len(*r)-maxRefused):]
}

// Last is the permission that was refused last, "" if none was.
func (r Refusals) Last() string {
	if len(r) == 0 {
		return ""
	}
	return r[len(r)-1]
}

// lastLine remembers the last line that was not blank.
type lastLine string

func (l *lastLine) add(line []byte) {
	if kept := oneLine(string(line[:min(len(line), MaxSummary)]), MaxSummary/2); kept != "" {
		*l = lastLine(kept)
	}
}
