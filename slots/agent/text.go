package agent

import (
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// MaxSummary bounds a summary in bytes: it is stored in the item's history, twenty runs of it.
const MaxSummary = 2000

const ellipsis = "…"

// lazy is a regular expression that is compiled at its first use. To compile all of them would cost every command a third of a
// millisecond at its start, and few commands ever read an error.
func lazy(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}

// escape is one ANSI escape sequence: agents colour their stderr even where it is no terminal.
var escape = regexp.MustCompile(`\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|[@-Z\\^_])`)

// clean makes an agent's text readable: UTF-8 without escape sequences and without control characters other than newline and tab,
// trimmed. A lone carriage return, as progress bars use it, ends a line.
func clean(s string) string {
	s = escape.ReplaceAllString(strings.ToValidUTF8(s, "\ufffd"), "")
	s = strings.ReplaceAll(s, "\r\n", "\n")
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\r':
			return '\n'
		case unicode.IsControl(r) && r != '\n' && r != '\t':
			return -1
		}
		return r
	}, s)
	return strings.TrimSpace(s)
}

// head cuts valid UTF-8 to at most limit bytes by leaving out its end.
func head(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	end := limit - len(ellipsis)
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + ellipsis
}

// tail cuts valid UTF-8 to at most limit bytes by leaving out its beginning.
func tail(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	start := len(s) - limit + len(ellipsis)
	for start < len(s) && !utf8.RuneStart(s[start]) {
		start++
	}
	return ellipsis + s[start:]
}

// ends cuts valid UTF-8 to at most limit bytes by leaving out its middle.
func ends(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return head(s, limit/2) + "\n" + tail(s, limit/2-1)
}

// oneLine makes one line of a text that may be a whole script: its white space becomes single spaces, and it has at most limit bytes.
func oneLine(s string, limit int) string {
	return head(strings.Join(strings.Fields(clean(s)), " "), limit)
}

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
