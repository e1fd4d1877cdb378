package terminal

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestClippedTextIsValidAndFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")) + rapid.String().Draw(t, "text")
		max := rapid.IntRange(len("…"), 40).Draw(t, "max")
		got := Clip(s, max)
		if len(got) > max || strings.ToValidUTF8(got, "") != got {
			t.Fatalf("%q", got)
		}
		if valid := strings.ToValidUTF8(s, "\uFFFD"); len(valid) <= max && got != valid {
			t.Fatalf("%q was cut to %q", s, got)
		}
	})
}

func TestPlainTextIsReadable(t *testing.T) {
	for _, tt := range []struct{ s, want string }{
		{" plain\ttext \r\n\r\nnext ", "plain\ttext \n\nnext"},
		{"\x1b[93m\x1b[1m! \x1b[0mcareful", "! careful"},
		{"\x1b]0;a title\x07shown \x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "shown link"},
		{"10%\r50%\rdone", "10%\n50%\ndone"},
		{"a\x00b\x07c\u009bd\x7f", "abcd"},
		{"cut \xe6\x9c", "cut \ufffd"},
		{"月掴 👍🏽", "月掴 👍🏽"},
	} {
		if got := Plain(tt.s); got != tt.want {
			t.Errorf("Plain(%q) = %q, want %q", tt.s, got, tt.want)
		}
	}
}

func TestWidthIsThatOfATerminal(t *testing.T) {
	for s, want := range map[string]int{"": 0, "abc": 3, "é": 1, "e\u0301": 1, "月掴": 4, "👍🏽": 2, "🇩🇪": 2, "a…": 2, "−1 ✓": 4} {
		if got := Width(s); got != want {
			t.Errorf("Width(%q) = %d, want %d", s, got, want)
		}
	}
}

func TestShortTextIsItsFirstLineCut(t *testing.T) {
	for _, tt := range []struct {
		in   string
		n    int
		want string
	}{
		{"fix the crash", 20, "fix the crash"},
		{"\n\n  fix the crash  \nin detail", 20, "fix the crash …"},
		{"fix the crash", 8, "fix the…"},
		{"fix the crash", 9, "fix the…"},
		{"月掴月掴", 8, "月掴月掴"},
		{"月掴月掴", 7, "月掴月…"},
		{"月掴月掴", 6, "月掴…"},
		{"👍🏽👍🏽👍🏽", 5, "👍🏽👍🏽…"},
		{"x", 0, "…"},
	} {
		if got := Short(tt.in, tt.n); got != tt.want {
			t.Errorf("Short(%q, %d) = %q, want %q", tt.in, tt.n, got, tt.want)
		}
	}
}

func TestFittedLineIsNoWiderThanAsked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringOf(rapid.RuneFrom([]rune("ab 月👍é\u0301🏽🇩"))).Draw(t, "text")
		n := rapid.IntRange(1, 20).Draw(t, "columns")
		if got := Fit(s, n); Width(got) > n || Width(s) <= n && got != s {
			t.Fatalf("%q in %d columns became %q", s, n, got)
		}
	})
}
