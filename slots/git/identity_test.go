package git

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"unicode"
)

func TestUserWhoRefusesGuessesGetsNoDefaultIdentity(t *testing.T) {
	for value, refuse := range map[string]bool{"": true, "\ntrue": true, "\nYes": true, "\n1": true, "\n2": true, "\n": false, "\nFalse": false, "\noff": false, "\n0": false, "\nno": false} {
		n := namedIn(parseConfig("user.useconfigonly" + value + "\x00"))
		if n.ConfigOnly != refuse || (len(n.Missing(nil, Identity{})) == 0) != refuse || len(n.Missing(nil, Identity{"A", "a"})) != 4 {
			t.Errorf("%q: %t", value, n.ConfigOnly)
		}
	}
	want := "[GIT_AUTHOR_EMAIL=kugetsu@localhost GIT_AUTHOR_NAME=kugetsu GIT_COMMITTER_EMAIL=kugetsu@localhost GIT_COMMITTER_NAME=kugetsu]"
	if got := fmt.Sprint(namedIn(parseConfig("")).Missing(nil, Identity{})); got != want {
		t.Errorf("the default: %s", got)
	}
}

func TestIdentityIsRead(t *testing.T) {
	for text, want := range map[string]Identity{
		"":                {},
		"You <you@x>":     {"You", "you@x"},
		"Jörg M. <j@x>":   {"Jörg M.", "j@x"},
		"b[bot] <1+b@x>":  {"b[bot]", "1+b@x"},
		"kugetsu <local>": {"kugetsu", "local"},
	} {
		if got, err := ParseIdentity(text); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"You", "you@x", "<you@x>", " <you@x>", "You <>", "You<you@x>", "You <you@x", "You <you@x> x", "A <b> <c>", "You <y@x z>",
		"You\n <y@x>", "You\x00 <y@x>", "... <y@x>", "You <.>", "You\u202e <y@x>", "\xff <y@x>"} {
		if got, err := ParseIdentity(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

// FuzzIdentity: a text that is taken for an identity is one to git, unchanged but for what git strips from its ends. Whatever git's
// configuration says, the variables that are missing are among four, each once.
func FuzzIdentity(f *testing.F) {
	for _, text := range []string{"You <you@x>", "b[bot] <1+b@x>", ", <x>", "a <b> c", "'\" <\\>", "ü <ü@ü>"} {
		f.Add(text, "user.name\nYou\x00user.email\nyou@x\x00", "EMAIL=x")
	}
	f.Add("", "author.name\n\x00user.useconfigonly\x00x\x00", "GIT_AUTHOR_NAME=")
	f.Fuzz(func(t *testing.T, text, answer, variable string) {
		id, err := ParseIdentity(text)
		if err != nil {
			if words := err.Error(); strings.ContainsFunc(words, unicode.IsControl) || len(words) > 2000 {
				t.Errorf("%q", words)
			}
			return
		}
		named := namedIn(parseConfig(answer))
		missing := named.Missing([]string{variable}, id)
		names := map[string]bool{}
		for _, kv := range missing {
			name, _, _ := strings.Cut(kv, "=")
			names[name] = true
		}
		if len(names) != len(missing) || len(missing) > 4 {
			t.Errorf("%q", missing)
		}
		if text == "" {
			return
		}
		cmd := exec.Command("git", "var", "GIT_AUTHOR_IDENT")
		cmd.Env = []string{"GIT_AUTHOR_NAME=" + id.Name, "GIT_AUTHOR_EMAIL=" + id.Email, "GIT_CONFIG_NOSYSTEM=1", "HOME=/"}
		out, err := cmd.CombinedOutput()
		if err != nil || strings.Contains(string(out), " <>") || strings.HasPrefix(string(out), "<") {
			t.Errorf("%q is %s to git: %v", text, out, err)
		}
	})
}
