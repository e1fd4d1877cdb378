package terminal

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// forbidden is the set of hidden characters, written down a second time as pairs of first and last.
var forbidden = [][2]rune{
	{0x00, 0x1f},
	{0x7f, 0x9f},
	{0x061c, 0x061c},
	{0x200b, 0x200d},
	{0x200e, 0x200f},
	{0x2028, 0x2029},
	{0x202a, 0x202e},
	{0x2060, 0x2060},
	{0x2066, 0x2069},
	{0xfeff, 0xfeff},
	{0xe0000, 0xe007f},
}

// checkSafe fails if anything but plain text and the characters of allowed is in out.
func checkSafe(t *testing.T, out, allowed string) {
	t.Helper()
	if !utf8.ValidString(out) {
		t.Errorf("not UTF-8: %q", out)
	}
	for i, r := range out {
		for _, f := range forbidden {
			if f[0] <= r && r <= f[1] && !strings.ContainsRune(allowed, r) {
				t.Errorf("%U at %d of %q", r, i, out)
			}
		}
	}
}

// isSafe reports whether s needs no change: text with none of the hidden characters.
func isSafe(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, hidden) < 0
}

func TestExactlyTheHiddenCharactersAreHidden(t *testing.T) {
	want := make(map[rune]bool)
	for _, f := range forbidden {
		for r := f[0]; r <= f[1]; r++ {
			want[r] = true
		}
	}
	for r := rune(0); r <= utf8.MaxRune; r++ {
		if hidden(r) != want[r] {
			t.Errorf("hidden(%U) = %v", r, !want[r])
		}
	}
}

func TestCleanShowsHiddenCharactersAndKeepsTheRest(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"", ""},
		{"plain text", "plain text"},
		{"月掴 é 👍🏽 \ufffd", "月掴 é 👍🏽 \ufffd"},
		{`back\slash \n "quotes"`, `back\slash \n "quotes"`},
		{"two\nlines\tand\r\n", `two\nlines\tand\r\n`},
		{"\x00\a\b\v\f\x1b\x7f", `\x00\a\b\v\f\x1b\x7f`},
		{"\x1b[31mred", `\x1b[31mred`},
		{"\u0085\u009b", `\u0085\u009b`},
		{"\u061c\u200b\u200d\u200e\u202e\u2060\u2066\ufeff", `\u061c\u200b\u200d\u200e\u202e\u2060\u2066\ufeff`},
		{"\u2028\u2029", `\u2028\u2029`},
		{"\U000e0001\U000e007f", `\U000e0001\U000e007f`},
		{"a\xffb\xe6\x9c", `a\xffb\xe6\x9c`},
		{"\xc2\x1b\x9b", `\xc2\x1b\x9b`},
	} {
		if got := Clean(tt.in); got != tt.want {
			t.Errorf("Clean(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"plain", "\x1b]0;t\a", "\u202e\u009b\xff", "\U000e0041\u2028\ufeff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		out := Clean(in)
		checkSafe(t, out, "")
		if isSafe(in) && out != in {
			t.Errorf("Clean(%q) = %q", in, out)
		}
		if again := Clean(out); again != out {
			t.Errorf("cleaned twice %q became %q", out, again)
		}
	})
}

func TestLineIsCleanAndFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")) + rapid.String().Draw(t, "text")
		max := rapid.IntRange(len("…"), 40).Draw(t, "max")
		got, clean := Line(s, max), Clean(s)
		if len(got) > max || Clean(got) != got {
			t.Fatalf("%q", got)
		}
		if len(clean) <= max && got != clean {
			t.Fatalf("%q was cut to %q", clean, got)
		}
	})
}

func TestJSONWritesHiddenCharactersAsEscapes(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{`{"a":"b \u001b\n\\ é 月"}`, `{"a":"b \u001b\n\\ é 月"}`},
		{"{\n\t\"a\": 1\n}\n", "{\n\t\"a\": 1\n}\n"},
		{"[1,\r\n2]\r", "[1, \n2] "},
		{"\"\x7f\u009b\u202e\u2028\ufeff\"", `"\u007f\u009b\u202e\u2028\ufeff"`},
		{"\"\U000e0041\"", `"\udb40\udc41"`},
		{"{\"k\u200b\":\"\\\\\u200b\"}", `{"k\u200b":"\\\u200b"}`},
		{"\"\xff\"", `"\ufffd"`},
		// Text that is no JSON is not repaired, and is made harmless all the same.
		{"\x1b[2J", `\u001b[2J`},
	} {
		if got := string(JSON([]byte(tt.in))); got != tt.want {
			t.Errorf("JSON(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestJSONOfEveryCharacterDecodesToTheSame(t *testing.T) {
	var all strings.Builder
	for r := rune(' '); r <= utf8.MaxRune; r++ {
		if utf8.ValidRune(r) && r != '"' && r != '\\' {
			all.WriteRune(r)
		}
	}
	out := JSON([]byte(`"` + all.String() + `"`))
	checkSafe(t, string(out), "")
	var got string
	if err := json.Unmarshal(out, &got); err != nil || got != all.String() {
		t.Errorf("it decodes to something else, %v", err)
	}
}

func FuzzJSON(f *testing.F) {
	for _, s := range []string{
		`{"a":["b",1,null,true,{"c":"\u202e"}]}`, "{\r\n\t\"\u202e\": \"\U000e0041\\\\\u009b\xff\"\r\n}", "\"\\\u202e\"", "\x1b",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		kept := string(in)
		out := JSON(in)
		if string(in) != kept {
			t.Error("the input was changed")
		}
		checkSafe(t, string(out), "\n\t")
		if !json.Valid(in) {
			return
		}
		var before, after any
		errBefore, errAfter := json.Unmarshal(in, &before), json.Unmarshal(out, &after)
		if !reflect.DeepEqual(before, after) || fmt.Sprint(errBefore) != fmt.Sprint(errAfter) {
			t.Errorf("%q became %q: %v (%v) and %v (%v)", in, out, before, errBefore, after, errAfter)
		}
	})
}
