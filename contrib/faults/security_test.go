//go:build linux

package faults

import (
	"testing"
	"unicode/utf8"
)

// safe fails where something was printed that a terminal would obey, or that hides what is there.
func safe(t testing.TB, r said) {
	t.Helper()
	for _, text := range []string{r.out, r.err} {
		for i := 0; i < len(text); {
			c, n := utf8.DecodeRuneInString(text[i:])
			if c == utf8.RuneError && n == 1 || unsafe(c) {
				t.Errorf("%v printed %q at %d of %q", r.args, text[i:i+n], i, text[max(0, i-40):min(len(text), i+40)])
				return
			}
			i += n
		}
	}
}

// unsafe says whether a character controls a terminal, changes the direction of text, or has no width.
func unsafe(c rune) bool {
	switch {
	case c == '\n' || c == '\t':
		return false
	case c < 0x20, c >= 0x7f && c <= 0x9f, c >= 0x200b && c <= 0x200f, c >= 0x202a && c <= 0x202e, c >= 0x2066 && c <= 0x2069,
		c == 0x061c, c == 0x2060, c == 0xfeff:
		return true
	}
	return false
}
