package transcript

import (
	"bytes"
	"strings"
)

// Last is the last thing that a run said or did, in one line, as the end of its log shows it; "" if the end shows nothing. A call
// without an answer goes before all else, since it is what the agent does now. cut says that the log begins before tail, so that
// the first line of tail is incomplete. The line is as the agent wrote it: a caller cleans it.
func Last(agent, dir string, tail []byte, cut bool) string {
	if cut {
		_, tail, _ = bytes.Cut(tail, []byte("\n"))
	}
	r, last := New(agent, dir), ""
	for line := range bytes.Lines(tail) {
		if !bytes.HasSuffix(line, []byte("\n")) && Renders(agent) { // an event that is still being written
			break
		}
		for _, e := range r.Line(line) {
			if text := e.brief(); text != "" {
				last = text
			}
		}
	}
	for _, e := range r.End() {
		if e.Open {
			last = e.brief()
		}
	}
	return last
}

// brief is an entry in one line. Of words it is the last line, which says what comes next.
func (e Entry) brief() string {
	switch e.Kind {
	case Cost:
		return ""
	case Words:
		lines := strings.Split(strings.TrimSpace(e.Text), "\n")
		return strings.TrimSpace(lines[len(lines)-1])
	}
	return strings.TrimSpace(e.Lines()[0])
}
