package tick

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kugetsu/queue/fault"
	"kugetsu/queue/issueref"
)

func TestRepositoryIsAURLOrAnObject(t *testing.T) {
	tick := newTick(t, time.Now)
	tick.Settings.BaseBranch, tick.Settings.WorktreeHook = "main", "make setup"
	must(t, os.WriteFile(filepath.Join(string(tick.Home), "repos.json"), []byte(`{
		"github.com/you/plain": "https://example.com/plain.git",
		"github.com/you/whole": {"url": "https://example.com/whole.git", "base": "next", "hook": "npm ci", "max": 2},
		"github.com/you/quiet": {"hook": ""}
	}`), 0o600))
	known, err := readRepos(tick.Home)
	must(t, err)
	for _, test := range []struct{ name, url, base, hook string }{
		{"plain", "https://example.com/plain.git", "main", "make setup"},
		{"whole", "https://example.com/whole.git", "next", "npm ci"},
		{"quiet", "https://github.com/you/quiet.git", "main", ""},
		{"other", "https://github.com/you/other.git", "main", "make setup"},
	} {
		tick.Settings.CloneURL = "{scheme}://{host}/{path}.git"
		w := tick.workspace(issueref.Ref{Host: "github.com", Repo: "you/" + test.name, Number: 1}, known)
		if w.URL != test.url || w.Base != test.base || w.Hook != test.hook {
			t.Errorf("%s: %+v", test.name, w)
		}
	}
	if most, limited := known.max("github.com/you/whole"); most != 2 || !limited {
		t.Errorf("whole: %d, %v", most, limited)
	}
	if _, limited := known.max("github.com/you/plain"); limited {
		t.Error("plain is limited")
	}
}

func TestRepositoryThatCannotBeUnderstoodIsAnError(t *testing.T) {
	for text, want := range map[string]string{
		`{"a/b/c": {"ulr": "x"}}`:     `unknown field "ulr"`,
		`{"a/b/c": {"max": -1}}`:      "max is -1",
		`{"a/b/c": {"max": "two"}}`:   "max cannot be a string",
		`{"you/project": "x"}`:        "write host/owner/repo",
		`{"a/b/c": 7}`:                `"a/b/c"`,
		`{"a/b/c": {"hook": "a 'b"}}`: "hook",

		`{"a/b/c": {"verify": "a | b"}}`: `"a/b/c": verify: the '|' at byte 3`,
		`{"a/b/c": {"verify": ""}}`:      "verify is empty: write a command, or false for none",
		`{"a/b/c": {"verify": " "}}`:     "verify is empty: write a command, or false for none",
		`{"a/b/c": {"verify": "A=1 b"}}`: "verify: only a shell sets a variable by NAME=value before a program",
		`{"a/b/c": {"hook": "A=1 b"}}`:   "hook: only a shell sets a variable by NAME=value before a program",
		`{"a/b/c": {"verify": true}}`:    "verify is neither a command nor false",
	} {
		tick := newTick(t, time.Now)
		must(t, os.WriteFile(filepath.Join(string(tick.Home), "repos.json"), []byte(text), 0o600))
		if _, err := readRepos(tick.Home); fault.Code(err) != fault.Config || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: exit code %d: %v", text, fault.Code(err), err)
		}
	}
}
