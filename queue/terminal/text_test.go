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

func TestLineThatIsCutInItsMiddleKeepsTheCause(t *testing.T) {
	for _, tt := range []struct {
		in   string
		n    int
		want string
	}{
		{"git fetch: Could not resolve host", 40, "git fetch: Could not resolve host"},
		{"start_failed: git fetch origin: Could not resolve host: git.lan", 40, "start_failed: git f…esolve host: git.lan"},
		{"the repository of 月掴月掴月掴月掴月掴: 그리고 아무 말도", 31, "the repository o…리고 아무 말도"},
		{"git fetch: Could not resolve host", 20, "git fetch: Could no…"},
	} {
		if got := FitEnds(tt.in, tt.n); got != tt.want {
			t.Errorf("FitEnds(%q, %d) = %q of %d, want %q", tt.in, tt.n, got, Width(got), tt.want)
		}
	}
}

func TestReasonHasALineOfItsOwnWhereOneLineIsTooNarrow(t *testing.T) {
	const what, why = "you/shop#4 failed, 3d ago", "start_failed: git fetch origin: Could not resolve host"
	for width, want := range map[int]string{
		0:  what + ": " + why,
		81: what + ": " + why,
		80: what + "\n  " + why,
		40: what + "\n  start_failed: git…ld not resolve host",
		20: "you/shop#4 failed,…\n  start_failed: git…",
	} {
		if got := strings.Join(Because(what, why, width), "\n"); got != want {
			t.Errorf("%d columns:\n%s\nwant\n%s", width, got, want)
		}
	}
	if got := Because("a\x1b[2Jb", "", 80); len(got) != 1 || got[0] != `a\x1b[2Jb` {
		t.Errorf("%q", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOf(rapid.RuneFrom([]rune("ab 月👍é\n\x1b")))
		width := rapid.IntRange(1, 100).Draw(t, "width")
		for _, line := range Because(text.Draw(t, "what"), text.Draw(t, "why"), width) {
			if Width(line) > width {
				t.Fatalf("%q in %d columns", line, width)
			}
		}
	})
}

func TestFittedLineIsNoWiderThanAsked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringOf(rapid.RuneFrom([]rune("ab 月👍é\u0301🏽🇩"))).Draw(t, "text")
		n := rapid.IntRange(1, 40).Draw(t, "columns")
		for _, got := range []string{Fit(s, n), FitEnds(s, n)} {
			if Width(got) > n || Width(s) <= n && got != s || strings.Count(got, "…") > 1 {
				t.Fatalf("%q in %d columns became %q", s, n, got)
			}
		}
	})
}
