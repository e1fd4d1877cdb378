package envfile

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

// The rules are those of docker compose. The examples of its documentation are among the cases.
func TestValueIsReadByTheDocumentedRules(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		// The examples of the documentation.
		{`V=VAL`, `VAL`},
		{`V="VAL"`, `VAL`},
		{`V='VAL'`, `VAL`},
		{`V=VAL # comment`, `VAL`},
		{`V=VAL# not a comment`, `VAL# not a comment`},
		{`V="VAL # not a comment"`, `VAL # not a comment`},
		{`V="VAL" # comment`, `VAL`},
		{`V='$OTHER'`, `$OTHER`},
		{`V='${OTHER}'`, `${OTHER}`},
		{`V='Let\'s go!'`, `Let's go!`},
		{`V="{\"hello\": \"json\"}"`, `{"hello": "json"}`},
		{`V="some\tvalue"`, "some\tvalue"},
		{`V='some\tvalue'`, `some\tvalue`},
		{`V=some\tvalue`, `some\tvalue`},
		{"V='SOME\nVALUE'", "SOME\nVALUE"},

		// A # that is no remark.
		{`V=s3cr#t`, `s3cr#t`},
		{`V=word#`, `word#`},
		{`V=#ff0000`, `#ff0000`},
		{`V=a#b # c`, `a#b`},
		{`V='a # b'`, `a # b`},
		{`V='a'# b`, `a`},
		{`V="a"	# b`, `a`},
		{`V=José # me`, `José`},
		{`V=日本 # x`, `日本`},
		{`V=O'Brien # me`, `O'Brien`},

		// Quotes in a value that is not quoted as a whole.
		{`V={"a": "b"}`, `{"a": "b"}`},
		{`V=x --say "two words"`, `x --say "two words"`},
		{`V=x --say 'two words' # c`, `x --say 'two words'`},
		{`V=say "hi there"`, `say "hi there"`},
		{`V=Conan O'Brien`, `Conan O'Brien`},
		{`V=5" disk`, `5" disk`},
		{`V="it's"`, `it's`},
		{`V='say "x"'`, `say "x"`},

		// Spaces, =, nothing at all.
		{`V=a=b==`, `a=b==`},
		{`V=postgres://u:p@h/d?x=1&y=2`, `postgres://u:p@h/d?x=1&y=2`},
		{`  V = spaced out  `, `spaced out`},
		{"V=trailing tab\t", `trailing tab`},
		{`V=" kept "`, ` kept `},
		{`V=`, ``},
		{`V=""`, ``},
		{`V=''`, ``},
		{`V= 'x'`, `x`},
		{`V=C:\new\dir`, `C:\new\dir`},
		{`V=a\`, `a\`},
		{`V="a\\nb"`, `a\nb`},
		{`V="\d+\."`, `\d+\.`},
		{`V="a\nb"`, "a\nb"},
		{`V="\$5"`, `$5`},
		{`V="\$HOME"`, `$HOME`},
		{`V='pa$$w0rd'`, `pa$$w0rd`},
		{`V=~/x`, `~/x`},
		{"V=`date`", "`date`"},
		{"export V=x", "x"},
		{"export\tV=x", "x"},
		{"V=a\tb", "a\tb"},

		// Lines and files.
		{"V=x\r\n", `x`},
		{"V='x'\r\nW=1\r\n", `x`},
		{"V=x # y\r\n", `x`},
		{"\ufeffV=x", `x`},
		{"# V=y\n\n \t\nV=x\n # z", `x`},
		{"V=1\nV=2", `2`},
		{"V=\"-----BEGIN KEY-----\nMIIE+/=\n# no remark\n-----END KEY-----\n\"\nW=1", "-----BEGIN KEY-----\nMIIE+/=\n# no remark\n-----END KEY-----\n"},
		{"V='{\n  \"a\": \"$b\"\n}'", "{\n  \"a\": \"$b\"\n}"},
	} {
		vars, bad := Parse([]byte(c.text))
		got, there := "", false
		for _, v := range vars {
			if v.Name == "V" {
				got, there = v.Value, true
			}
		}
		if len(bad) > 0 || !there || got != c.want {
			t.Errorf("%q: %q, %v, want %q", c.text, got, bad, c.want)
		}
	}
}

// Single quotes would make a PATH that leads nowhere of one that is not expanded.
func TestDollarInAPathIsNotToBePutInQuotes(t *testing.T) {
	for text, want := range map[string]string{
		"PATH=$PATH:/opt/bin":         "only a shell would expand the $: write out what it stands for",
		"PATH=\"$PATH:/opt/bin\"":     "only a shell would expand the $: write out what it stands for",
		"export QUEUE_DIR=$HOME/q":    "only a shell would expand the $: write out what it stands for",
		"STATUS_PAGE=${HOME}/s":       "only a shell would expand the $: write out what it stands for",
		"GOPATH_TOKEN=$x":             "only a shell would expand the $: write out what it stands for, or put the value in single quotes",
		"AGENT_COMMAND=\"x $PATH_A\"": "only a shell would expand the $: write out what it stands for, or put the value in single quotes, or write \\$",
	} {
		if _, bad := Parse([]byte(text)); len(bad) != 1 || bad[0].Why != want {
			t.Errorf("%q: %v, not %q", text, bad, want)
		}
	}
}

// The reason names the line, and never quotes the text.
func TestValueThatWouldBeCutIsRefused(t *testing.T) {
	for _, c := range []struct {
		text, why string
		line      int
	}{
		{"V", "has no =", 1},
		{"\n\nexport V", "has no =", 3},
		{"V: x", "has no =", 1},
		{"=secret", "the name before the =", 1},
		{"export =secret", "the name before the =", 1},
		{"1V=secret", "the name before the =", 1},
		{"V W=secret", "the name before the =", 1},
		{"VÄ=secret", "the name before the =", 1},
		{"https://u:secret@h/?a=b", "the name before the =", 1},
		{"V='secret", "never closed", 1},
		{"X=1\nV=\"secret\nY=2", "never closed", 2},
		{"V='secret\\'", "never closed", 1},
		{"V='secret'tail", "something follows the quote", 1},
		{"V=\"/opt/a b/x\" --secret", "something follows the quote", 1},
		{"V='a' 'secret'", "something follows the quote", 1},
		{"V='a\nW='secret'", "something follows the quote", 1},
		{"V=$secret", "expand the $", 1},
		{"V=secret$", "expand the $", 1},
		{"V=sec$$ret", "expand the $", 1},
		{"V=${secret}", "expand the $", 1},
		{"V=\"$secret\"", "expand the $", 1},
		{"V=\"a\nb $secret\"", "expand the $", 1},
		{"V=$2y$10$secret # bcrypt", "expand the $", 1},
		{"V=secret\t# remark", "a tab precedes the #", 1},
		{"V= # secret", "a # begins the value", 1},
		{"V=x --say \"issue #3\" secret", "may be a remark", 1},
		{"V={\"a\": \"b #secret\"}", "may be a remark", 1},
		{"V=secret\x00", "NUL", 1},
		{"V='secret\x00'", "NUL", 1},
		{"V=\"secret\\0\"", "\\0 in double quotes", 1},
		{"V=\"C:\\0secret\"", "\\0 in double quotes", 1},
		{"V=\"\\bsecret\\b\"", "\\b in double quotes", 1},
		{"V=secret\rW=2", "control character", 1},
		{"V=secret\x1b[2J", "control character", 1},
		{"V=secret\xff", "not UTF-8", 1},
		{"V='secret\n\xff'", "not UTF-8", 1},
		{"\xff\xfeV\x00=\x00s\x00", "not UTF-8", 1}, // UTF-16
		{"V=secret\u00a0", "not ASCII", 1},
		{"V=\u00a0secret", "not ASCII", 1},
		{"V=" + strings.Repeat("s", 128<<10), "longer than", 1},
	} {
		vars, bad := Parse([]byte(c.text + "\nGOOD=1\n"))
		if len(bad) == 0 || bad[0].Line != c.line || !strings.Contains(bad[0].Why, c.why) {
			t.Errorf("%q: %v, %v", c.text, vars, bad)
			continue
		}
		if err := Error(bad); strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the error quotes it: %v", c.text, err)
		}
		if vars[len(vars)-1].Name != "GOOD" {
			t.Errorf("%q took the next line with it: %v", c.text, vars)
		}
	}
}

func TestBadLinesAreNamedUpToANumber(t *testing.T) {
	_, bad := Parse([]byte(strings.Repeat("x\n", 100)))
	if len(bad) != 100 {
		t.Fatalf("%d", len(bad))
	}
	if err := Error(bad).Error(); !strings.HasPrefix(err, "line 1: ") || !strings.HasSuffix(err, "; and 95 lines more") || !errors.Is(Error(bad), ErrBad) {
		t.Error(err)
	}
}

// FuzzParse: whatever is in a file, no value holds what was not written, lines are told from 1 on, and a value can be handed
// to a program.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"A=b", "A='b\nc'", "A=\"\\n\"", "\ufeffA=1\r\n", "export A=b # c", "A=$b", "x\n\"", "A=\"\\\"\nB='", "A='\\", "A=\xc2", "A=\u2028"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		vars, bad := Parse(data)
		lines := 1 + strings.Count(string(data), "\n")
		for _, p := range bad {
			if p.Line < 1 || p.Line > lines || p.Why == "" {
				t.Errorf("%q: %v", data, p)
			}
		}
		for _, v := range vars {
			if v.Name == "" || v.Line < 1 || v.Line > lines || strings.ContainsRune(v.Value, 0) || !utf8.ValidString(v.Value) {
				t.Errorf("%q: %+v", data, v)
			}
			if v.Literal && !strings.Contains(strings.ReplaceAll(string(data), `\'`, `'`), v.Value) {
				t.Errorf("%q: %+v", data, v)
			}
		}
	})
}
