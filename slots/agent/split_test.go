package agent

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"kugetsu/queue/fault"
)

// splits are lines of plain words, which a shell splits the same way.
var splits = []struct {
	line string
	want []string
}{
	{``, nil},
	{" \t\n ", nil},
	{`-m provider/model`, []string{"-m", "provider/model"}},
	{`  a   b  `, []string{"a", "b"}},
	{`'a b' "c d" e\ f`, []string{"a b", "c d", "e f"}},
	{`a'b'"c"d`, []string{"abcd"}},
	{`'' "" x`, []string{"", "", "x"}},
	{`'a\b' 'a"b'`, []string{`a\b`, `a"b`}},
	{`"a\d" "a\\b" "a\"b" "\$HOME"`, []string{`a\d`, `a\b`, `a"b`, `$HOME`}},
	{`'$HOME' \$x '` + "`" + `' '|' \; '~'`, []string{"$HOME", "$x", "`", "|", ";", "~"}},
	{`a#b issue'#'1 '#'x \# ''#`, []string{"a#b", "issue#1", "#x", "#", "#"}},
	{`a~ --dir=~x`, []string{"a~", "--dir=~x"}},
	{"a\\\nb \"c\\\nd\"", []string{"ab", "cd"}},
	{"'two\nlines'", []string{"two\nlines"}},
	{`{"json":[1,2]} x`, []string{`{json:[1,2]}`, "x"}},
	{`*.go [ab] what? !`, []string{"*.go", "[ab]", "what?", "!"}},
	{`--model=月掴 "é"`, []string{"--model=月掴", "é"}},
	{"raw\xff\xfe", []string{"raw\xff\xfe"}},
}

func TestSplitMakesTheWordsOfAShell(t *testing.T) {
	for _, tt := range splits {
		got, err := Split(tt.line)
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("Split(%q) = %q, %v, want %q", tt.line, got, err, tt.want)
		}
	}
}

func TestRealShellMakesTheSameWords(t *testing.T) {
	for _, tt := range splits {
		if tt.want == nil { // printf prints its format once even without words
			continue
		}
		out, err := exec.Command("/bin/sh", "-fc", `printf '%s\0' `+tt.line).Output()
		if err != nil {
			t.Fatalf("%q: %v", tt.line, err)
		}
		got := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
		if !slices.Equal(got, tt.want) {
			t.Errorf("a shell makes %q of %q, the table says %q", got, tt.line, tt.want)
		}
	}
}

func TestSplitRefusesWhatOnlyAShellUnderstands(t *testing.T) {
	for line, want := range map[string]string{
		`a 'b`:            `the ' at byte 3 is never closed`,
		`a "b`:            `the " at byte 3 is never closed`,
		`"a\"`:            `the " at byte 1 is never closed`,
		`a \`:             `a backslash ends the line`,
		`a | b`:           `'|' at byte 3`,
		`a && b`:          `'&' at byte 3`,
		`a; b`:            `';' at byte 2`,
		`a >log`:          `'>' at byte 3`,
		`a <in`:           `'<' at byte 3`,
		`(a)`:             `'(' at byte 1`,
		`$HOME/bin/a`:     `'$' at byte 1`,
		`a "x $y"`:        `'$' at byte 6`,
		"a `b`":           "'`' at byte 3",
		"\"`b`\"":         "'`' at byte 2",
		`~/bin/a`:         `'~' at byte 1`,
		`-m x # the best`: `'#' at byte 6`,
		"a\x00b":          `'\x00' at byte 2`,
		"'a' \"\x00\"":    `'\x00' at byte 6`,
	} {
		_, err := Split(line)
		if err == nil || !strings.Contains(err.Error(), want) || fault.Code(err) != fault.Config {
			t.Errorf("Split(%q): %v, want an error of the configuration that says %q", line, err, want)
		}
	}
}

func TestPatternOutsideOfQuotesIsFound(t *testing.T) {
	for line, want := range map[string]int{
		`ls *.md`:              4,
		`prettier src/**/*.ts`: 14,
		`ls '*.md' "*" \*`:     0,
		`[ -f done ] what?`:    0,
		``:                     0,
	} {
		if got := Pattern(line); got != want {
			t.Errorf("Pattern(%q) = %d, want %d", line, got, want)
		}
	}
}

func TestErrorDoesNotRepeatTheSetting(t *testing.T) {
	for _, line := range []string{`--token s3cret 'x`, `--token s3cret | x`, `--token s3cret \`} {
		if _, err := Split(line); err == nil || strings.Contains(err.Error()+fault.HintOf(err), "s3cret") {
			t.Errorf("Split(%q): %v", line, err)
		}
	}
}

func FuzzSplit(f *testing.F) {
	for _, tt := range splits {
		f.Add(tt.line)
	}
	f.Fuzz(func(t *testing.T, s string) {
		words, err := Split(s)
		if err != nil && words != nil {
			t.Errorf("Split(%q) = %q with the error %v", s, words, err)
		}
		// Whatever stands in single quotes is one word, and comes out as it went in.
		s = strings.NewReplacer("'", "", "\x00", "").Replace(s)
		if words, err := Split("x '" + s + "' y"); err != nil || !slices.Equal(words, []string{"x", s, "y"}) {
			t.Errorf("Split of quoted %q = %q, %v", s, words, err)
		}
	})
}

func TestProgramIsNoVariable(t *testing.T) {
	for line, refused := range map[string]bool{
		"A=secret make": true, "_a1= make": true, "A=b": true,
		"env A=b make": false, "make A=b": false, "./a=b": false, "1=b": false, "": false,
	} {
		words, err := Command(line)
		if (err != nil) != refused || !refused && !slices.Equal(words, first(Split(line))) {
			t.Errorf("%s: %q, %v", line, words, err)
		}
		if refused && (strings.Contains(err.Error(), "secret") || !strings.Contains(fault.HintOf(err), "env NAME=value")) {
			t.Errorf("%s: %v; %s", line, err, fault.HintOf(err))
		}
	}
}

func first(words []string, _ error) []string { return words }
