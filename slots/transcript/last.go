package transcript

import (
	"bytes"
	"strings"
)

// Last is the last thing that a run said or did, in one line, by the end of its log; "" where that does not show. A call that was
// not answered yet goes before all else: it is what the agent does now. cut says that the log begins before tail, whose first line
// is incomplete then. The line is as the agent wrote it: a caller cleans it.
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

// brief is an entry in one line: of words the last line, which says what comes next.
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
