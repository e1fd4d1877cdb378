// Package terminal makes text safe to show: the text of an agent or an issue never reaches a terminal
// with its control characters. Raw, such text could move the cursor, rewrite earlier lines, set the
// clipboard, or show other words than it holds.
//
// Hidden characters are the control characters (C0, DEL, C1), those that change the direction of
// text, those without width, the line and paragraph separators, the tags block and the byte order
// mark. They are shown as escapes and not removed, so that a reader sees that something was there.
package terminal

import (
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// hidden reports whether r must not reach a terminal as it is.
func hidden(r rune) bool {
	switch {
	case r < 0x20, 0x7f <= r && r <= 0x9f: // C0, DEL, C1
	case r == 0x061c, 0x200b <= r && r <= 0x200f: // zero width, marks of direction
	case 0x2028 <= r && r <= 0x202e: // separators, embeddings and overrides of direction
	case r == 0x2060, 0x2066 <= r && r <= 0x2069: // word joiner, isolates of direction
	case r == 0xfeff, 0xe0000 <= r && r <= 0xe007f: // byte order mark, tags
	default:
		return false
	}
	return true
}

// Clean returns s for output on one line: hidden characters, also newline and tab, and bytes that
// are not UTF-8 become escapes as in Go (\n, \x1b, \u202e, \xff). All else is unchanged,
// backslashes too: the result is for reading, and cannot be decoded.
func Clean(s string) string {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		out = appendShown(out, r, s[i:i+n])
		i += n
	}
	return string(out)
}

// Line is Clean, cut to at most max bytes.
func Line(s string, max int) string {
	shown := Clean(s[:min(len(s), max)])
	if len(s) <= max && len(shown) <= max {
		return shown
	}
	return start(shown, min(len(shown)-1, max-len("…"))) + "…"
}

// appendShown appends r, whose encoding is raw, or its escape where r is hidden.
func appendShown(out []byte, r rune, raw string) []byte {
	switch {
	case r == utf8.RuneError && len(raw) == 1:
		return fmt.Appendf(out, `\x%02x`, raw[0])
	case hidden(r):
		quoted := strconv.QuoteRuneToASCII(r)
		return append(out, quoted[1:len(quoted)-1]...)
	}
	return append(out, raw...)
}

// JSON returns the encoded JSON b with every hidden character as a \u escape, as a surrogate pair
// above U+FFFF. It decodes to the same values. Newlines and tabs outside of strings, the layout of
// indented JSON, stay as they are.
func JSON(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		switch {
		case r == utf8.RuneError && n == 1:
			out = append(out, `\ufffd`...) // the json package decodes such a byte to this
		case r == '\n' || r == '\t':
			out = append(out, b[0])
		case r == '\r':
			out = append(out, ' ') // in valid JSON it can only be white space
		case r > 0xffff && hidden(r):
			hi, lo := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, hi, lo)
		case hidden(r):
			out = fmt.Appendf(out, `\u%04x`, r)
		default:
			out = append(out, b[:n]...)
		}
		b = b[n:]
	}
	return out
}
