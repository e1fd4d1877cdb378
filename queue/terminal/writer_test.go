package terminal

import (
	"errors"
	"io"
	"strings"
	"testing"
)

// through writes the chunks one by one and returns what came out.
func through(t *testing.T, chunks ...string) string {
	t.Helper()
	var out strings.Builder
	w := Writer(&out)
	for _, c := range chunks {
		if n, err := w.Write([]byte(c)); n != len(c) || err != nil {
			t.Fatalf("Write(%q) = %d, %v", c, n, err)
		}
	}
	return out.String()
}

func TestWriterMakesAStreamSafe(t *testing.T) {
	long := strings.Repeat("x", maxSequence)
	for _, tt := range []struct{ what, in, want string }{
		{"text", "two\n\tlines 月 \\n\n", "two\n\tlines 月 \\n\n"},
		{"line end of other systems", "a\r\nb\r\n", "a\nb\n"},
		{"lone carriage return", "10%\r20%\r\r\n", "10%\\r20%\\r\n"},
		{"hidden characters", "\x00\b\u202e\u009b31m\xff\ufeff.", `\x00\b\u202e\u009b31m\xff\ufeff.`},

		{"colours", "a\x1b[1;31mred\x1b[0mb", "aredb"},
		{"private CSI", "\x1b[?25l\x1b[2J\x1b[ q.", "."},
		{"title ended by BEL", "\x1b]0;title\a.", "."},
		{"link ended by ST", "\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"},
		{"DCS, SOS, PM, APC", "\x1bPq\x1b\\\x1bXa\x1b\\\x1b^b\x1b\\\x1b_c\x1b\\.", "."},
		{"two and three characters", "\x1b7\x1bc\x1b(B\x1b#8.", "."},
		{"not ASCII in a title", "\x1b]0;月\xff\a.", "."},
		{"sequence between CR and LF", "\r\x1b[K\n", "\\r\n"},
		{"sequence within a character", "\xe2\x1b[m\x80\xae.", `\xe2\x80\xae.`},

		{"ESC before no sequence", "\x1b\n\x1b月\x1b\x1b[m.", "\\x1b\n\\x1b月\\x1b."},
		{"CSI broken by a newline", "\x1b[31\nnext", "\\x1b[31\nnext"},
		{"CSI broken by a letter of another script", "\x1b[31月", `\x1b[31月`},
		{"CSI broken by a sequence", "\x1b[3\x1b[31mred", `\x1b[3red`},
		{"title without an end", "\x1b]0;title\nnext", "\\x1b]0;title\nnext"},
		{"title without an end before CR LF", "\x1b]0;title\r\nnext", "\\x1b]0;title\nnext"},
		{"title broken by a sequence", "\x1b]0;title\x1b[31mred", `\x1b]0;titlered`},
		{"title with hidden characters and no end", "\x1b]\u202e\xff\n", `\x1b]\u202e\xff` + "\n"},
		{"the longest title", "\x1b]" + long[3:] + "\a.", "."},
		{"too long a title", "\x1b]" + long[2:] + "\a.", `\x1b]` + long[2:] + `\a.`},
		{"too long a title, cut before a character", "\x1b]" + long[4:] + "月.", `\x1b]` + long[4:] + "月."},
		{"too long a CSI", "\x1b[" + strings.Repeat("1", maxSequence) + "m", `\x1b[` + strings.Repeat("1", maxSequence) + "m"},

		{"nothing yet of what has only begun", "a\x1b]0;b", "a"},
	} {
		got := through(t, tt.in)
		if got != tt.want {
			t.Errorf("%s: %.60q became %.60q, want %.60q", tt.what, tt.in, got, tt.want)
		}
		if got := through(t, strings.Split(tt.in, "")...); got != tt.want {
			t.Errorf("%s: character by character %.60q became %.60q", tt.what, tt.in, got)
		}
		if got := through(t, bytewise(tt.in)...); got != tt.want {
			t.Errorf("%s: byte by byte %.60q became %.60q", tt.what, tt.in, got)
		}
	}
}

func bytewise(s string) []string {
	var all []string
	for i := range len(s) {
		all = append(all, s[i:i+1])
	}
	return all
}

func TestWriterHoldsLittle(t *testing.T) {
	w := &writer{w: io.Discard}
	for _, chunk := range []string{
		strings.Repeat("\x1b]", 1<<17),
		"\x1b]" + strings.Repeat("x", 1<<17),
		"\x1bP" + strings.Repeat("\x00", 1<<17),
		strings.Repeat("\xe2\x80", 1<<17),
	} {
		if _, err := w.Write([]byte(chunk)); err != nil {
			t.Fatal(err)
		}
		// A slice that grew may have twice the capacity that was needed. A sequence that is given up on is shown, with up to four
		// bytes for each byte that was held.
		if rest := cap(w.seq) + cap(w.out) + cap(w.rest); rest > 2*(maxSequence+maxOut+4*maxSequence) {
			t.Errorf("%d bytes held after %.10q…", rest, chunk)
		}
	}
}

type failing struct{ err error }

func (f failing) Write(p []byte) (int, error) { return 0, f.err }

func TestWriterPassesErrorsOn(t *testing.T) {
	errFull := errors.New("disk full")
	for _, in := range []string{"a", strings.Repeat("a", 2*maxOut)} {
		if n, err := Writer(failing{errFull}).Write([]byte(in)); n != 0 || err != errFull {
			t.Errorf("got %d, %v", n, err)
		}
		if n, err := Writer(failing{nil}).Write([]byte(in)); n != 0 || err != io.ErrShortWrite {
			t.Errorf("a short write: got %d, %v", n, err)
		}
	}
}

func FuzzWriter(f *testing.F) {
	for _, s := range []string{
		"a\x1b[1;31mred\x1b[0mb\r\n", "\x1b]8;;x\x1b\\l\x1b]8;;\a", "\r\r\n\x1b\x1b\r", "\xe2\x80\xae月\x1b[\xe6", "\x1b]\x1b[31m\n\x1bP\u202e\n",
	} {
		f.Add(s, []byte{1})
		f.Add(s, []byte{2, 0, 3})
	}
	f.Fuzz(func(t *testing.T, in string, cuts []byte) {
		out := through(t, in)
		checkSafe(t, out, "\n\t")
		if plain := strings.NewReplacer("\n", "", "\t", "").Replace(in); isSafe(plain) && out != in {
			t.Errorf("%q became %q", in, out)
		}
		var chunks []string
		rest := in
		for _, c := range cuts {
			n := min(int(c), len(rest))
			chunks = append(chunks, rest[:n])
			rest = rest[n:]
		}
		if got := through(t, append(chunks, rest)...); got != out {
			t.Errorf("%q in one piece became %q, in pieces %q", in, out, got)
		}
	})
}
