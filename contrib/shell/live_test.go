package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kugetsu/contrib/internal/rig"
)

// queueOf makes a state folder with items, and with files that would do harm if a shell expanded what they say. It puts kugetsu first
// on PATH, and returns the ids of the items.
func queueOf(t *testing.T) (waiting, cancelled string) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	state := filepath.Join(dir, "state")
	for name, value := range map[string]string{"KUGETSU_DIR": state, "KUGETSU_AGENT": "command", "AGENT_COMMAND": "true", "GOFLAGS": ""} {
		t.Setenv(name, value)
	}
	if err := os.Symlink(rig.Kugetsu(t), filepath.Join(dir, "kugetsu")); err != nil {
		t.Fatal(err)
	}
	kugetsu := func(args ...string) string {
		out, err := exec.Command(filepath.Join(dir, "kugetsu"), args...).Output()
		if err != nil {
			t.Fatalf("%q: %v", args, err)
		}
		return strings.TrimSpace(string(out))
	}
	waiting = kugetsu("delegate", "you/shop#31", "$(touch harm)")
	cancelled = kugetsu("delegate", "git.lan/you/shop#7", "x")
	kugetsu("queue", "cancel", cancelled)
	item, err := os.ReadFile(filepath.Join(state, "queue", "items", "50-"+waiting+".json"))
	if err != nil {
		t.Fatal(err)
	}
	other := "q_01arz3ndektsv4rrffq69g5fav"
	for path, data := range map[string]string{
		"queue/items/50-" + other + ".json":           strings.ReplaceAll(strings.ReplaceAll(string(item), waiting, other), "shop#31", "$(touch harm)#3"),
		"queue/items/50-$(touch harm).json":           string(item),
		"sessions/github.com+you+`touch harm`@4.json": `{"v":1,"issue_ref":"github.com/you/` + "`touch harm`" + `#4"}`,
	} {
		if err := os.WriteFile(filepath.Join(state, path), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return waiting, cancelled
}

func TestShellsOfferWhatTheQueueHolds(t *testing.T) {
	waiting, cancelled := queueOf(t)
	end := func(id string) string { return id[len(id)-4:] }
	if end(waiting) == end(cancelled) {
		t.Skip("two ids end alike, once in a million")
	}
	for shell, ask := range map[string]func(words ...string) []string{
		"bash": func(words ...string) []string {
			script := `. ./kugetsu.bash; COMP_WORDS=(kugetsu "$@"); COMP_CWORD=$#; _kugetsu; printf '%s\n' "${COMPREPLY[@]}"`
			return sorted(run(t, "bash", append([]string{"--norc", "-c", script, "bash"}, words...)...))
		},
		"zsh": func(words ...string) []string {
			script := `compdef() { : }
				_describe() { : }
				compadd() { print -l -- "${(@)@[2,-1]}" }
				source ./_kugetsu; words=(kugetsu "$@"); CURRENT=$#words; PREFIX=${words[-1]}; _kugetsu; true`
			out := sorted(run(t, "zsh", append([]string{"-f", "-c", script, "zsh"}, words...)...))
			return slices.DeleteFunc(out, func(w string) bool { return !strings.HasPrefix(w, words[len(words)-1]) }) // as compadd does
		},
		"fish": func(words ...string) []string {
			typed := strings.Join(words, " ")
			return fishOffers(t, typed)[typed]
		},
	} {
		t.Run(shell, func(t *testing.T) {
			for _, c := range []struct{ typed, want string }{
				{"queue cancel you", "you/shop#31"},
				{"cancel you", "you/shop#31"},
				{"queue cancel github.com/", "github.com/you/shop#31"},
				{"queue cancel git.", ""}, // it is settled
				{"queue retry git.", "git.lan/you/shop#7"},
				{"queue show gi", "git.lan/you/shop#7 github.com/you/shop#31"},
				{"logs q_", cancelled + " " + waiting},
				{"queue edit " + end(waiting), end(waiting)},
				{"retry " + end(waiting), ""},
				{"delegate --after " + end(cancelled), end(cancelled)},
				{"delegate --agent co", "codex command"},
				{"delegate you/s", "you/shop#31"},
				{"path y", ""},
			} {
				want := sorted(c.want)
				if got := ask(strings.Split(c.typed, " ")...); !slices.Equal(got, want) {
					t.Errorf("%q: %q, want %q", c.typed, got, want)
				}
			}
			for _, kind := range []string{"queue cancel", "queue show", "destroy", "delegate"} {
				ask(append(strings.Fields(kind), "")...)
			}
			if _, err := os.Stat("harm"); err == nil {
				t.Error("a file's text was executed")
			}
		})
	}
}

// The key must answer at once, and change nothing: where there is no state folder none is made.
func TestCompletionMakesNoStateFolder(t *testing.T) {
	queueOf(t)
	missing := filepath.Join(t.TempDir(), "none")
	t.Setenv("KUGETSU_DIR", missing)
	if out, err := exec.Command("kugetsu", "complete", "item").CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v: %s", err, out)
	}
	if _, err := os.Stat(missing); err == nil {
		t.Error("it was made")
	}
}
