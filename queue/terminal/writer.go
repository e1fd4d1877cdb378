package terminal

import (
	"io"
	"unicode/utf8"
)

const (
	// maxSequence is the longest escape sequence, in bytes, that is dropped. Anything longer is text
	// behind a stray escape character, and is shown.
	maxSequence = 4 << 10
	// maxOut is how much output, in bytes, is gathered before it is written.
	maxOut = 32 << 10
)

// Writer returns a writer that makes a stream, such as an agent's log, safe to show and passes it
// on to w. Hidden characters and bytes that are not UTF-8 become escapes as in Clean, but newline
// and tab pass, "\r\n" becomes "\n", and the escape sequences of terminals (colours, titles) are
// dropped whole. One that does not end within 4 KiB or before the next control character, for
// instance a newline, is shown instead.
//
// The output does not depend on how the stream is cut into calls of Write. So an unfinished
// character or escape sequence is kept back until it is complete, and at the end of the stream it
// is dropped. Write returns len(p), or 0 and the error of w.
func Writer(w io.Writer) io.Writer {
	return &writer{w: w}
}

type writer struct {
	w     io.Writer
	state state
	rest  []byte // the first bytes of a character
	seq   []byte // the sequence so far, from its escape character on
	out   []byte // shown, not written yet
}

// state is the context of the next character.
type state int

const (
	text         state = iota
	carriage           // a carriage return, perhaps of "\r\n"
	escape             // ESC
	intermediate       // ESC and intermediate characters: a final one ends it
	control            // ESC [ and parameters: a final character ends it
	str                // ESC and one of ] P X ^ _, then a string: BEL or ESC \ ends it
	strEscape          // a string and ESC
)

func (w *writer) Write(p []byte) (int, error) {
	rest := p
	if len(w.rest) > 0 {
		rest = append(w.rest, p...)
		w.rest = nil
	}
	for utf8.FullRune(rest) {
		r, n := utf8.DecodeRune(rest)
		w.next(r, string(rest[:n]))
		rest = rest[n:]
		if len(w.out) >= maxOut {
			if err := w.flush(); err != nil {
				return 0, err
			}
		}
	}
	w.rest = append(w.rest, rest...)
	if err := w.flush(); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (w *writer) flush() error {
	if len(w.out) == 0 {
		return nil
	}
	n, err := w.w.Write(w.out)
	if err == nil && n < len(w.out) {
		err = io.ErrShortWrite
	}
	w.out = w.out[:0]
	return err
}

// next takes one character, whose encoding is raw.
func (w *writer) next(r rune, raw string) {
	if w.state >= escape && w.continues(r, raw) {
		return
	}
	if w.state == carriage && r != '\n' {
		w.out = append(w.out, `\r`...)
	}
	w.state = text
	switch r {
	case '\n', '\t':
		w.out = append(w.out, raw...)
	case '\r':
		w.state = carriage
	case '\x1b':
		w.state = escape
		w.seq = append(w.seq, raw...)
	default:
		w.out = appendShown(w.out, r, raw)
	}
}

// continues reports whether r belongs to the sequence that has begun. If not, there was no sequence:
// the text so far is shown, and r follows it.
func (w *writer) continues(r rune, raw string) bool {
	following, ends := follow(w.state, r)
	if following == text && !ends || len(w.seq)+len(raw) > maxSequence {
		if w.state == strEscape {
			// ESC did not end the string, so it begins a sequence of its own.
			w.seq = w.seq[:len(w.seq)-1]
			w.show()
			w.state = escape
			w.seq = append(w.seq, '\x1b')
			return w.continues(r, raw)
		}
		w.show()
		return false
	}
	w.state = following
	w.seq = append(w.seq, raw...)
	if ends {
		w.seq = w.seq[:0]
	}
	return true
}

// follow returns the state after r inside of a sequence: text where the sequence ends with r, and
// where r cannot be part of it. ECMA-48 defines the classes of characters.
func follow(s state, r rune) (following state, ends bool) {
	final := 0x30 <= r && r <= 0x7e
	switch s {
	case escape:
		switch r {
		case '[':
			return control, false
		case ']', 'P', 'X', '^', '_':
			return str, false
		}
		fallthrough
	case intermediate:
		if 0x20 <= r && r <= 0x2f {
			return intermediate, false
		}
		return text, final
	case control:
		if 0x20 <= r && r <= 0x3f {
			return control, false
		}
		return text, final
	case str:
		switch {
		case r == '\x1b':
			return strEscape, false
		case r >= 0x20:
			return str, false
		}
		return text, r == '\a'
	case strEscape:
		return text, r == '\\'
	}
	return text, false
}

// show writes out text that looked like a sequence and is none.
func (w *writer) show() {
	for b := w.seq; len(b) > 0; {
		r, n := utf8.DecodeRune(b)
		w.out = appendShown(w.out, r, string(b[:n]))
		b = b[n:]
	}
	w.seq = w.seq[:0]
	w.state = text
}
