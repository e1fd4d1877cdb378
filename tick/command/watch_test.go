package command

import (
	"strings"
	"testing"
)

// A screen takes no more rows than the terminal has, or its first line would scroll away.
func TestScreenFillsItsRows(t *testing.T) {
	const end = "\x1b[K\r\n"
	for _, c := range []struct {
		what, text    string
		width, height int
		want          string
	}{
		{"it fits", "one\ntwo\n", 20, 3, "one" + end + "two" + end + "q quits\x1b[K"},
		{"a line too many", "one\ntwo\nthree\n", 60, 3, "one" + end + "two" + end + "1 more line: kugetsu | less; q quits\x1b[K"},
		{"two lines too many", "one\ntwo\nthree\n", 60, 2, "one" + end + "2 more lines: kugetsu | less; q quits\x1b[K"},
		{"a command is wrapped", "one\n" + strings.Repeat("c", 21) + "\n", 20, 4, "one" + end + strings.Repeat("c", 21) + end + "q quits\x1b[K"},
		{"a wrapped command does not fit", "one\n" + strings.Repeat("c", 21) + "\n", 20, 3, "one" + end + "1 more line: kuget…\x1b[K"},
		{"a full line keeps its last column", "日本語日本語日本語日\n", 20, 3, "日本語日本語日本語日\r\nq quits\x1b[K"},
		{"colours take no column", "\x1b[1;32m" + strings.Repeat("g", 20) + "\x1b[0m\n", 20, 3, "\x1b[1;32m" + strings.Repeat("g", 20) + "\x1b[0m\r\nq quits\x1b[K"},
		{"a blank line", "\none\n", 20, 4, end + "one" + end + "q quits\x1b[K"},
		{"one row", "one\n", 20, 1, "1 more line: kuget…\x1b[K"},
		{"one column", "one\n", 1, 2, "…\x1b[K"},
	} {
		if got := filled(c.text, c.width, c.height); got != c.want {
			t.Errorf("%s:\n got %q\nwant %q", c.what, got, c.want)
		}
	}
}
