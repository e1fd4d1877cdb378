package terminal

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"

	"kugetsu/queue/pattern"
)

// The functions below cut and tidy text. A length is in bytes where the text is kept in a file, and in columns where it is shown.
// They do not make text safe to show: Clean and Line do.

// sequence is one ANSI escape sequence: agents colour their stderr even where it is no terminal.
var sequence = pattern.Lazy(`\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|[@-Z\\^_])`)

// Plain makes the text of a program readable, for a file: UTF-8 without escape sequences and without control characters other
// than newline and tab, trimmed. A lone carriage return, as progress bars use it, ends a line.
func Plain(s string) string {
	s = sequence().ReplaceAllString(strings.ToValidUTF8(s, "\ufffd"), "")
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

// Joined is Plain with each white space as one space: one line that holds the whole text.
func Joined(s string) string { return strings.Join(strings.Fields(Plain(s)), " ") }

// Clip cuts a text to at most max bytes of valid UTF-8.
func Clip(s string, max int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= max {
		return s
	}
	return start(s, max-len("…")) + "…"
}

// start is the first n bytes of valid UTF-8, less the character that would be cut.
func start(s string, n int) string {
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// Tail cuts valid UTF-8 to at most max bytes by leaving out its beginning.
func Tail(s string, max int) string {
	if len(s) <= max {
		return s
	}
	from := len(s) - max + len("…")
	for from < len(s) && !utf8.RuneStart(s[from]) {
		from++
	}
	return "…" + s[from:]
}

// Title is the first line of a text that is not blank, with a mark if more lines follow.
func Title(s string) string {
	s = strings.TrimSpace(s)
	if first, _, more := strings.Cut(s, "\n"); more {
		return strings.TrimSpace(first) + " …"
	}
	return s
}

// Short is the title of a text in at most n columns.
func Short(s string, n int) string { return Fit(Title(s), n) }

// Width is how many columns of a terminal a line takes: one for most characters, two for those of East Asia and for emoji.
func Width(s string) int {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return uniseg.StringWidth(s)
		}
	}
	return len(s)
}

// Fit cuts a line to at most n columns, between two characters as a reader sees them.
func Fit(s string, n int) string {
	if Width(s) <= n {
		return s
	}
	kept, state := 0, -1
	for rest, used := s, 1; ; { // a column is for the mark
		cluster, after, width, next := uniseg.FirstGraphemeClusterInString(rest, state)
		if used += width; used > n {
			break
		}
		kept, rest, state = kept+len(cluster), after, next
	}
	return strings.TrimRight(s[:kept], " ") + "…"
}

// FitEnds is Fit for a line whose end says as much as its beginning, as an error's does: the cause stands last. The middle is left out.
func FitEnds(s string, n int) string {
	const least = 24 // columns in which two ends still say something
	if Width(s) <= n || n < least {
		return Fit(s, n)
	}
	end, left, state := s, Width(s), -1
	for left > n/2 {
		var width int
		_, end, width, state = uniseg.FirstGraphemeClusterInString(end, state)
		left -= width
	}
	return Fit(s, n-Width(end)) + strings.TrimLeft(end, " ")
}

// Because is what happened and why, in one line, or in two where one would be wider than so many columns. Both are cleaned. 0: nothing
// is cut. why may be "".
func Because(what, why string, width int) []string {
	what, why = Clean(what), Clean(why)
	line := what
	if why != "" {
		line += ": " + why
	}
	switch {
	case width == 0 || Width(line) <= width:
		return []string{line}
	case why == "":
		return []string{Fit(what, width)}
	}
	return []string{Fit(what, width), Fit("  "+FitEnds(why, width-2), width)}
}
