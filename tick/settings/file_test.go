package settings

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"kugetsu/queue/fault"
)

// read parses settings as main does: from the config file, the environment and flags.
func read(t *testing.T, file string, args ...string) (*Settings, *Source) {
	t.Helper()
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, "config"), []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	return parse(t, Open(home, true), args...)
}

func parse(t *testing.T, source *Source, args ...string) (*Settings, *Source) {
	t.Helper()
	twin := *source
	var g struct{ Settings }
	parser, err := kong.New(&g, Options(source)...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(args); err != nil {
		t.Fatal(err)
	}
	if len(args) == 0 { // kong and Fill do the same
		var set Settings
		twin.Fill(&set)
		if set != g.Settings || !slices.Equal(twin.problems, source.problems) || !slices.Equal(twin.known, source.known) {
			t.Errorf("kong: %+v\n%+v\nFill: %+v\n%+v", g.Settings, source.problems, set, twin.problems)
		}
	}
	return &g.Settings, source
}

// unset takes every setting out of this process's environment.
func unset(t *testing.T) {
	t.Helper()
	_, source := parse(t, Open(t.TempDir(), true))
	for _, key := range source.known {
		if _, there := os.LookupEnv(key); there {
			t.Setenv(key, os.Getenv(key)) // so that the test restores it
			if err := os.Unsetenv(key); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestLineOfTheFileIsOneSetting(t *testing.T) {
	unset(t)
	for _, c := range []struct {
		line, want string // AGENT_ARGS afterwards
		problem    string
	}{
		{"AGENT_ARGS=plain", "plain", ""},
		{"AGENT_ARGS=-m a/b --c", "-m a/b --c", ""},
		{"  AGENT_ARGS = spaced out  ", "spaced out", ""},
		{"export AGENT_ARGS=exported", "exported", ""},
		{"AGENT_ARGS='in single quotes'", "in single quotes", ""},
		{`AGENT_ARGS="in \"double\" quotes"`, `in "double" quotes`, ""},
		{"AGENT_ARGS=a # comment", "a", ""},
		{"AGENT_ARGS='a#none'", "a#none", ""},
		{"# AGENT_ARGS=a", "", ""},
		{"", "", ""},
		{"\t", "", ""},
		{"AGENT_ARGS=", "", ""},
		{"AGENT_ARGS=a\r", "a", ""},
		{"AGENT_ARGS=a=b", "a=b", ""},
		{"AGENT_ARGS=1\nAGENT_ARGS=2", "2", ""},
		{`AGENT_ARGS=x --say "two words"`, `x --say "two words"`, ""},
		{"\ufeffAGENT_ARGS=a", "a", ""},
		{"AGENT_ARGS='-a\n-b'", "-a\n-b", ""},
		{"AGENT_ARGS=`date`", "", "line 1: only a shell would expand this"},

		{"AGENT_ARGS=$HOME", "", "line 1: only a shell would expand the $: write out what it stands for, or put the value in single quotes"},
		{"PATH=~/bin", "", "line 1: only a shell would expand this: write it out"},
		{"AGENT_ARGS=a/$HOME/b", "", "line 1: only a shell"},
		{`AGENT_ARGS="$HOME"`, "", "line 1: only a shell"},
		{`AGENT_ARGS="it's $HOME"`, "", "line 1: only a shell"},
		{"AGENT_ARGS=${HOME}", "", "line 1: only a shell"},
		{"AGENT_ARGS=$(date)", "", "line 1: only a shell"},
		{"AGENT_ARGS=`date`", "", "line 1: only a shell"},
		{"AGENT_ARGS='a' $B", "", "line 1: something follows the quote"},
		{"AGENT_ARGS=~/bin", "", "line 1: only a shell"},
		{`AGENT_ARGS="~/bin"`, "", "line 1: only a shell"},
		{"AGENT_ARGS=/bin:~/bin", "", "line 1: only a shell"},
		{"export AGENT_ARGS=$HOME", "", "line 1: only a shell"},
		{"AGENT_ARGS = $HOME", "", "line 1: only a shell"},
		{"AGENT_ARGS=a # $HOME", "a", ""},
		{"AGENT_ARGS=costs 5$", "", "line 1: only a shell would expand the $"},
		{`AGENT_ARGS='a \$B'`, `a \$B`, ""},
		{"AGENT_ARGS=a~b", "a~b", ""},

		{"AGENT_ARGS", "", "line 1: it has no ="},
		{"=a", "", "line 1: the name before the = is not made"},
		{"1=a", "", "line 1: the name before the = is not made"},
		{"AGENT-ARGS=a", "", "line 1: unknown setting AGENT-ARGS (did you mean AGENT_ARGS?)"},
		{"AGENT_ARGS='a", "", "line 1: the quote that begins the value is never closed"},
		{`AGENT_ARGS="a`, "", "line 1: the quote that begins the value is never closed"},
		{"AGENT_ARGS=a\x00b", "", "line 1: it holds a NUL byte"},
		{"\n\nNONE_SUCH=a", "", "line 3: unknown setting NONE_SUCH"},
		{"agent_args=a", "", "line 1: unknown setting agent_args (did you mean AGENT_ARGS?)"},
		{"KUGETSU_DIR=/x", "", "line 1: KUGETSU_DIR cannot be set in the file that lies in it"},
	} {
		set, source := read(t, c.line)
		err := source.Err(set)
		switch {
		case c.problem == "" && err != nil:
			t.Errorf("%q: %v", c.line, err)
		case c.problem == "" && set.AgentArgs != c.want:
			t.Errorf("%q: %q", c.line, set.AgentArgs)
		case c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem)):
			t.Errorf("%q: %v, not %q", c.line, err, c.problem)
		case c.problem != "" && (fault.Code(err) != fault.Config || fault.HintOf(err) == "" || strings.Contains(err.Error(), "\n")):
			t.Errorf("%q: exit code %d, hint %q, %q", c.line, fault.Code(err), fault.HintOf(err), err)
		case strings.HasPrefix(c.line, "PATH=") && strings.Contains(err.Error(), "single quotes"):
			t.Errorf("%q: %v: in quotes it would be a folder that is not there", c.line, err)
		}
	}
}

func TestRemovedSettingsSayWhatToDoInstead(t *testing.T) {
	unset(t)
	for key, instead := range removed {
		set, source := read(t, key+"=1\n")
		err := source.Err(set)
		if err == nil || !strings.Contains(err.Error(), key+" is no longer a setting: "+instead) {
			t.Errorf("%s: %v", key, err)
		}
		if instead == "" {
			t.Errorf("%s does not say what to do instead", key)
		}
	}
}

func TestFlagWinsOverTheEnvironmentAndThatOverTheFile(t *testing.T) {
	unset(t)
	for _, c := range []struct {
		file, env, flag string
		want            int
		bad             bool
	}{
		{"", "", "", 3, false},
		{"5", "", "", 5, false},
		{"", "7", "", 7, false},
		{"5", "7", "", 7, false},
		{"5", "7", "9", 9, false},
		{"", "", "9", 9, false},
		{"five", "", "", 3, true},
		{"5", "seven", "", 3, true},
		{"five", "7", "", 7, false}, // the environment wins, so the file's value is not read
		{"five", "", "9", 9, false},
		{"1000", "", "", 3, true},
		{"5", "-1", "", 3, true},
	} {
		t.Setenv("MAX_CONCURRENT_AGENTS", c.env)
		var args []string
		if c.flag != "" {
			args = []string{"--max-concurrent-agents=" + c.flag}
		}
		set, source := read(t, "MAX_CONCURRENT_AGENTS="+c.file, args...)
		if err := source.Err(set); (err != nil) != c.bad || set.MaxAgents != c.want {
			t.Errorf("%+v: %d, %v", c, set.MaxAgents, err)
		}
	}
}

func TestBadValueNamesItsPlaceOnce(t *testing.T) {
	unset(t)
	t.Setenv("RETRY_DELAY", "soon")
	set, source := read(t, "MAX_ATTEMPTS=many\n")
	err := source.Err(set)
	if err == nil {
		t.Fatal("it is not told")
	}
	for _, want := range []string{"the environment: RETRY_DELAY: ", "/config: line 1: MAX_ATTEMPTS: "} {
		if strings.Count(err.Error(), want) != 1 {
			t.Errorf("%q is not told once in %q", want, err)
		}
	}
	if set.RetryDelay != time.Minute || set.MaxAttempts != 3 {
		t.Errorf("%+v", set)
	}
}

func TestValueOutOfBoundsNamesItsPlace(t *testing.T) {
	unset(t)
	t.Setenv("MAX_CONCURRENT_AGENTS", "-1")
	set, source := read(t, "# one\nMAX_ATTEMPTS=0\n\nQUEUE_DIR=queue\n")
	err := source.Err(set)
	if err == nil {
		t.Fatal("it is not told")
	}
	for _, want := range []string{"the environment: MAX_CONCURRENT_AGENTS must be", "/config: line 2: MAX_ATTEMPTS must be", "/config: line 4: QUEUE_DIR must be"} {
		if strings.Count(err.Error(), want) != 1 {
			t.Errorf("%q is not told once in %q", want, err)
		}
	}
}

func TestHintOfABadConfigurationIsWhatToCorrect(t *testing.T) {
	unset(t)
	for _, c := range []struct{ file, delay, hint string }{
		{"# one\nMAX_ATTEMPTS=0\n", "", "correct line 2 of {}: nothing is started before that"},
		{"MAX_ATTEMPTS=0\nNONE_SUCH=1\n'\n", "", "correct lines 1, 2, 3 of {}: nothing is started before that"},
		{"", "soon", "correct RETRY_DELAY in the environment: nothing is started before that"},
		{"MAX_ATTEMPTS=0\n", "soon", "correct RETRY_DELAY in the environment, and line 1 of {}: nothing is started before that"},
	} {
		t.Setenv("RETRY_DELAY", c.delay)
		set, source := read(t, c.file)
		if got, want := fault.HintOf(source.Err(set)), strings.ReplaceAll(c.hint, "{}", source.path); got != want {
			t.Errorf("%q: %q, not %q", c.file, got, want)
		}
	}
	t.Setenv("RETRY_DELAY", "")
	set, source := read(t, "", "--max-attempts=0")
	source.flags = map[string]string{"MAX_ATTEMPTS": "0"}
	if got := fault.HintOf(source.Err(set)); got != "correct the command line: nothing is started before that" {
		t.Errorf("%q", got)
	}
}

func TestFileThatIsNotBelievedIsNotRead(t *testing.T) {
	unset(t)
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, "config"), []byte("MAX_CONCURRENT_AGENTS=5\nWHAT=ever\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	set, source := parse(t, Open(home, false))
	if err := source.Err(set); err != nil || set.MaxAgents != 3 {
		t.Errorf("%v, %d", err, set.MaxAgents)
	}
}

func TestExampleIsAValidFileThatShowsEverySetting(t *testing.T) {
	unset(t)
	text := Example("/usr/bin:/it's/bin", "")
	set, source := read(t, text)
	if err := source.Err(set); err != nil {
		t.Error(err)
	}
	if got := source.File("PATH"); got != "/usr/bin:/its/bin" {
		t.Errorf("PATH is %q", got)
	}

	// With every example line in force, the settings are the same.
	lines := strings.Split(text, "\n")
	shown := map[string]bool{}
	for i, line := range lines {
		if key, _, ok := strings.Cut(strings.TrimPrefix(line, "#"), "="); ok && !strings.Contains(key, " ") {
			lines[i], shown[key] = strings.TrimPrefix(line, "#"), true
		}
	}
	all, source := read(t, strings.Join(lines, "\n"))
	if err := source.Err(all); err != nil {
		t.Error(err)
	}
	if *all != *set {
		t.Errorf("%+v is not %+v", all, set)
	}
	for _, key := range source.known {
		if !shown[key] {
			t.Errorf("%s is not shown", key)
		}
	}
}

func TestEnvironmentPassesOnSettingsAlone(t *testing.T) {
	unset(t)
	t.Setenv("MAX_ATTEMPTS", "5")
	t.Setenv("AGENT_ARGS", "")
	t.Setenv("CANARY", "1")
	t.Setenv("PATH", "/tmp")
	t.Setenv("LANG", "tlh")
	_, source := read(t, "MAX_CONCURRENT_AGENTS=5\n")
	if got := strings.Join(source.Environ(), " "); got != "MAX_ATTEMPTS=5" {
		t.Errorf("%q", got)
	}
}
