package main

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"kugetsu/contrib/internal/rig"
	"kugetsu/contrib/quick"
	"kugetsu/tick/command"
)

func TestMain(m *testing.M) { os.Exit(quick.InMemory{M: m}.Run()) }

var asked = sync.OnceValues(grammar)

func theGrammar(t *testing.T) command.Node {
	t.Helper()
	kugetsu = []string{rig.Kugetsu(t)}
	g, err := asked()
	if err != nil {
		t.Fatal(err)
	}
	if len(g.Commands) < 10 {
		t.Fatalf("the grammar has %d commands", len(g.Commands))
	}
	return g
}

func TestGeneratedFilesAreOfThisGrammar(t *testing.T) {
	g := theGrammar(t)
	for _, f := range written {
		if have, err := os.ReadFile(f.name); err != nil || string(have) != f.make(g) {
			t.Errorf("%s is stale, %v: go run ./contrib/shell", f.name, err)
		}
	}
}

func TestTableOfSettingsIsOfTheTags(t *testing.T) {
	page, err := os.ReadFile("../doc/settings.md")
	if err != nil {
		t.Fatal(err)
	}
	if fresh, err := withTable(string(page), theGrammar(t)); err != nil || fresh != string(page) {
		t.Errorf("contrib/doc/settings.md is stale, %v: go run ./contrib/shell", err)
	}
}

// run runs a program where it is installed, and skips where it is not.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("%v", err)
	}
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "HOME="+t.TempDir(), "TERM=dumb", "MANROFFSEQ=")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	return string(out)
}

func TestManualPageIsClean(t *testing.T) {
	for _, c := range [][]string{
		{"groff", "-man", "-Tutf8", "-ww", "-z", "kugetsu.1"},
		{"mandoc", "-T", "lint", "-W", "warning", "kugetsu.1"},
		{"man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", "kugetsu.1"},
	} {
		t.Run(c[0], func(t *testing.T) {
			out := run(t, c[0], c[1:]...)
			if c[0] == "man" { // the page itself is on stdout
				out = ""
				for line := range strings.SplitSeq(run(t, c[0], c[1:]...), "\n") {
					if strings.Contains(line, "warning") || strings.Contains(line, "kugetsu.1:") {
						out += line
					}
				}
			}
			if out != "" {
				t.Error(out)
			}
		})
	}
}

func TestManualPageNamesEveryCommandAndSetting(t *testing.T) {
	g := theGrammar(t)
	text := run(t, "groff", "-man", "-Tascii", "-P-cbou", "kugetsu.1")
	for _, p := range places(g)[1:] {
		if len(p.Commands) == 0 && !strings.Contains(text, "kugetsu "+p.words) {
			t.Errorf("it lacks %q", p.words)
		}
		if len(p.Commands) == 0 && !strings.Contains(p.Detail, "\nExamples:\n") {
			t.Errorf("the help of %q has no example", p.words)
		}
	}
	for _, f := range g.Flags {
		if f.Key != "" && !strings.Contains(text, f.Key) {
			t.Errorf("it lacks %s", f.Key)
		}
	}
}

// wanted is what is offered at a place.
func wanted(p place, g command.Node) (commands, flags []string) {
	for _, c := range p.Commands {
		commands = append(commands, c.Name)
	}
	for _, f := range p.flags(g) {
		flags = append(flags, "--"+f.Name)
	}
	slices.Sort(commands)
	slices.Sort(flags)
	return commands, flags
}

func sorted(out string) []string {
	words := strings.Fields(out)
	slices.Sort(words)
	return slices.Compact(words)
}

func TestBashOffersAtEveryPlaceWhatThereIs(t *testing.T) {
	g := theGrammar(t)
	ask := func(words ...string) []string {
		script := `. ./kugetsu.bash; COMP_WORDS=(kugetsu "$@"); COMP_CWORD=$#; _kugetsu; printf '%s\n' "${COMPREPLY[@]}"`
		return sorted(run(t, "bash", append([]string{"--norc", "-c", script, "bash"}, words...)...))
	}
	for _, p := range places(g) {
		commands, flags := wanted(p, g)
		if got, want := ask(append(strings.Fields(p.words), "")...), sorted(strings.Join(append(commands, flags...), " ")); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", p.words, got, want)
		}
		if got := ask(append(strings.Fields(p.words), "--")...); !slices.Equal(got, flags) {
			t.Errorf("%q --: %v, want %v", p.words, got, flags)
		}
	}
	for _, c := range []struct{ typed, want string }{
		{"que", "queue queue-daemon"},
		{"queue ca", "cancel"},
		{"queue list --state comp", "completed"},
		{"delegate --agent ", ""},                           // a name that the grammar does not know
		{"delegate --priority 5 some words --js", "--json"}, // arguments lead nowhere
		{"delegate queue --js", "--json"},                   // one that is called as a command is
		{"delegate -- --js", ""},                            // a message
		{"none such", ""},
	} {
		words := strings.Split(c.typed, " ")
		if got := strings.Join(ask(words...), " "); got != c.want {
			t.Errorf("%q: %q, want %q", c.typed, got, c.want)
		}
	}
	if out := run(t, "bash", "--norc", "-c", ". ./kugetsu.bash; complete -p kugetsu"); !strings.Contains(out, "-F _kugetsu") {
		t.Errorf("bash would not ask: %q", out)
	}
}

// fishOffers is what fish offers behind each of what was typed. One fish answers all: its start takes longer than the rest.
func fishOffers(t *testing.T, typed ...string) map[string][]string {
	for n, words := range typed {
		typed[n] = "kugetsu " + words
	}
	script := `source kugetsu.fish; for typed in $argv; echo "$typed"; complete -C $typed; printf '\0'; end`
	out := run(t, "fish", append([]string{"--no-config", "-c", script}, typed...)...)
	offers := map[string][]string{}
	for answer := range strings.SplitSeq(strings.TrimSuffix(out, "\x00"), "\x00") {
		question, lines, _ := strings.Cut(answer, "\n")
		var words []string
		for line := range strings.SplitSeq(strings.TrimSpace(lines), "\n") {
			word, _, _ := strings.Cut(line, "\t") // the description
			words = append(words, word)
		}
		offers[strings.TrimPrefix(question, "kugetsu ")] = sorted(strings.Join(words, " "))
	}
	if len(offers) != len(typed) {
		t.Errorf("fish answered %d of %d", len(offers), len(typed))
	}
	return offers
}

func TestFishOffersAtEveryPlaceWhatThereIs(t *testing.T) {
	want := map[string][]string{}
	for _, p := range places(theGrammar(t)) {
		commands, flags := wanted(p, theGrammar(t))
		typed := p.words
		if typed != "" {
			typed += " "
		}
		if len(commands) > 0 {
			want[typed] = commands
		}
		want[typed+"--"] = flags
	}
	for typed, words := range map[string]string{
		"queue list --state comp": "completed", "delegate words --js": "--json", "delegate -- --js": "", "delegate queue --js": "--json",
	} {
		want[typed] = sorted(words)
	}
	got := fishOffers(t, slices.Collect(maps.Keys(want))...)
	for typed := range want {
		if !slices.Equal(got[typed], want[typed]) {
			t.Errorf("%q: %v, want %v", typed, got[typed], want[typed])
		}
	}
}

// zsh's completion runs in its line editor alone: one is started on a terminal of its own, and the key is pressed.
const zshSession = `
zmodload zsh/zpty
zpty kugetsu zsh -f -i
zpty -w kugetsu "PS1=READY; PS2=; autoload -U compinit; compinit -D -u; $1; bindkey '^I' complete-word; COLUMNS=200; echo LOAD''ED"
zpty -r kugetsu line '*LOADED*READY*'
zpty -w -n kugetsu "kugetsu $2"$'\t'$'\x05'" ; echo DO''NE"$'\n'
zpty -r kugetsu line $'*\r\nDONE*'
print -r -- $line
zpty -d kugetsu
`

func TestZshCompletesOnATerminal(t *testing.T) {
	for typed, want := range map[string]string{
		"queue canc": "queue cancel", "delegate --unless": "delegate --unless-queued", "queue list --state compl": "--state completed", "vers": "kugetsu version",
	} {
		if testing.Short() && typed != "queue canc" { // a terminal's zsh reads all completions that there are
			continue
		}
		for _, load := range []string{"fpath=($PWD $fpath); autoload -U _kugetsu; compdef _kugetsu kugetsu", "source ./_kugetsu"} {
			run(t, "zsh", "-f", "-c", "true") // or skip
			out := run(t, "timeout", "60", "zsh", "-f", "-c", zshSession, "zsh", load, typed)
			if !strings.Contains(strings.ReplaceAll(out, "\a", ""), want) { // it rings where it goes on without being asked
				t.Errorf("%s: %q becomes %q, want %q", load, typed, out, want)
			}
		}
	}
}

func TestZshOffersAtEveryPlaceWhatThereIs(t *testing.T) {
	g := theGrammar(t)
	// Its helpers are replaced by what shows their arguments; what they do with them is zsh's own.
	script := `compdef() { : }
		_describe() { local -a shown; shown=("${(@P)${@[-1]}}"); print -l -- "${(@)shown%%:*}" }
		source ./_kugetsu; words=(kugetsu "$@"); CURRENT=$#words; PREFIX=${words[-1]}; _kugetsu`
	for _, p := range places(g) {
		commands, flags := wanted(p, g)
		got := sorted(run(t, "zsh", append([]string{"-f", "-c", script, "zsh"}, append(strings.Fields(p.words), "-")...)...))
		want := sorted(strings.Join(append(commands, flags...), " "))
		if !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", p.words, got, want)
		}
	}
}

func TestGeneratorWritesWhereItIsTold(t *testing.T) {
	if !testing.Short() {
		kugetsu = []string{"go", "run", "kugetsu"} // as the generator does by itself
	}
	dir := t.TempDir()
	if err := write(dir); err != nil {
		t.Fatal(err)
	}
	for _, f := range written {
		if info, err := os.Stat(filepath.Join(dir, f.name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", f.name, err)
		}
	}
}
