package settings

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"kugetsu/contrib/quick"
	"kugetsu/queue/fault"
)

func TestMain(m *testing.M) { os.Exit(quick.InMemory{M: m}.Run()) }

func TestValueOutOfBoundsIsToldAndTheDefaultTakesItsPlace(t *testing.T) {
	unset(t)
	for _, c := range []struct {
		line, problem string
	}{
		{"MAX_CONCURRENT_AGENTS=0", ""},
		{"MAX_CONCURRENT_AGENTS=-1", "MAX_CONCURRENT_AGENTS must be between 0 and 999, not -1"},
		{"MAX_ATTEMPTS=0", "MAX_ATTEMPTS must be between 1 and 1000, not 0"},
		{"MAX_ATTEMPTS=1e3", "MAX_ATTEMPTS: "},
		{"MAX_ATTEMPTS=99999999999999999999", "MAX_ATTEMPTS: "},
		{"QUEUE_DAEMON_INTERVAL_MINUTES=0", "QUEUE_DAEMON_INTERVAL_MINUTES must be between 1 and 59, not 0"},
		{"QUEUE_DAEMON_INTERVAL_MINUTES=59", ""},
		{"QUEUE_DAEMON_INTERVAL_MINUTES=60", "QUEUE_DAEMON_INTERVAL_MINUTES must be between 1 and 59, not 60"},
		{"QUEUE_CLEANUP_AGE_DAYS=0", "QUEUE_CLEANUP_AGE_DAYS must be between"},
		{"QUEUE_CLEANUP_AGE_DAYS=36500", ""},
		{"TASK_TIMEOUT_HOURS=0", "TASK_TIMEOUT_HOURS must be between"},
		{"TASK_TIMEOUT=-1h", "TASK_TIMEOUT must not be negative"},
		{"TASK_TIMEOUT=90", "TASK_TIMEOUT: "},
		{"RETRY_DELAY=-1s", "RETRY_DELAY must not be negative"},
		{"RETRY_DELAY=0", ""},
		{"QUEUE_DIR=queue", `QUEUE_DIR must be an absolute path, not "queue"`},
		{"QUEUE_ITEMS_DIR=./items", "QUEUE_ITEMS_DIR must be an absolute path"},
		{"QUEUE_DIR='/srv/a\nb'", "QUEUE_DIR is not UTF-8, or holds control characters"},
		{"AGENT_ARGS='-m \"x'", "AGENT_ARGS: the \" at byte 4 is never closed"},
		{"AGENT_ARGS_CODEX=a;b", "AGENT_ARGS_CODEX: the ';' at byte 2"},
		{"AGENT_COMMAND='a | b'", "AGENT_COMMAND: the '|' at byte 3"},
		{"AGENT_CONTINUE_COMMAND='a;b'", "AGENT_CONTINUE_COMMAND: "},
		{"AGENT_PREFIX='nice |'", "AGENT_PREFIX: the '|' at byte 6"},
		{"AGENT_PREFIX='prlimit --data=2147483648 --'", ""},
		{"AGENT_MEMORY=lots", `AGENT_MEMORY: "lots" is not a size`},
		{"WORKTREE_HOOK='npm ci && true'", "WORKTREE_HOOK: "},
		{"NOTIFY_COMMAND='curl > /dev/null'", "NOTIFY_COMMAND: "},
		{"KUGETSU_ENGINE=slurm", ""},
		{"KUGETSU_ENGINE=pbs", `KUGETSU_ENGINE must be local or slurm, not "pbs"`},
		{"KUGETSU_ENGINE_PM=", ""},
		{"SLURM_ARGS='-p main --gres=gpu:1 --time=30'", ""},
		{"SLURM_ARGS='main'", `SLURM_ARGS: "main" is no option`},
		{"SLURM_ARGS='-p main --wrap=x'", `SLURM_ARGS: "--wrap=x" is not for a run of kugetsu`},
		{"SLURM_ARGS='-p main -a 1-3'", `SLURM_ARGS: "-a" is not`},
		{"SLURM_ARGS='-p main -J x'", `SLURM_ARGS: "-J" is not`},
		{"SLURM_ARGS='-p main -- x'", `SLURM_ARGS: "--" is not`},
		{"SLURM_ARGS='-p main; rm'", "SLURM_ARGS: the ';'"},
		{"SLURM_LICENSE=agents", ""},
		{"SLURM_LICENSE=agents:2", "SLURM_LICENSE must be the name of one license"},
		{"SLURM_CONF=slurm.conf", "SLURM_CONF must be an absolute path"},
		{"SLURM_WORKDIR=/scratch/you", ""},
		{"SLURM_WORKDIR='$TMPDIR'", "SLURM_WORKDIR must be an absolute path"},
		{"SLURM_FENCE=10s", ""},
		{"SLURM_FENCE=9s", "SLURM_FENCE must be 10s or more"},
		{"WORKTREE_HOOK='sh -c \"npm ci && true\"'", ""},
	} {
		set, source := read(t, c.line)
		err := source.Err(set)
		if (err != nil) != (c.problem != "") || err != nil && !strings.Contains(err.Error(), c.problem) {
			t.Errorf("%s: %v", c.line, err)
		}
		if err == nil {
			continue
		}
		if *set != *defaults(t) {
			t.Errorf("%s: %+v", c.line, set)
		}
		if fault.Code(err) != fault.Config {
			t.Errorf("%s: exit code %d", c.line, fault.Code(err))
		}
	}
}

func defaults(t *testing.T) *Settings {
	set, source := read(t, "")
	if err := source.Err(set); err != nil {
		t.Fatal(err)
	}
	return set
}

func TestDurationWinsOverWholeHours(t *testing.T) {
	for _, c := range []struct {
		set  Settings
		want time.Duration
	}{
		{Settings{TaskHours: 1}, time.Hour},
		{Settings{TaskHours: 5}, 5 * time.Hour},
		{Settings{TaskHours: 5, TaskTimeout: 90 * time.Second}, 90 * time.Second},
	} {
		if got := c.set.Timeout(); got != c.want {
			t.Errorf("%+v: %s", c.set, got)
		}
	}
}

func TestStateFolderIsNamedOrInHome(t *testing.T) {
	for _, c := range []struct {
		dir, home, want string
	}{
		{"", "/home/you", "/home/you/.kugetsu"},
		{"/srv/queue", "/home/you", "/srv/queue"},
		{"/srv//queue/../queue/", "", "/srv/queue"},
		{"relative", "/home/you", ""},
		{"./x", "/home/you", ""},
		{"~/x", "/home/you", ""},
		{"/srv/caf\u00e9", "", "/srv/caf\u00e9"},
		{"/srv/caf\xe9", "", ""},
		{"", "/home/caf\xe9", ""},
		{"/srv/a\nb", "", ""},
		{"/srv/a\x1b[2J", "", ""},
		{"", "", ""},
		{"", "relative", ""},
	} {
		t.Setenv("KUGETSU_DIR", c.dir)
		t.Setenv("HOME", c.home)
		got, err := Home()
		if got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%+v: %q, %v", c, got, err)
		}
		if err != nil && (fault.Code(err) != fault.Config || fault.HintOf(err) == "") {
			t.Errorf("%+v: exit code %d, hint %q", c, fault.Code(err), fault.HintOf(err))
		}
	}
}

func TestMissingFileIsNoConfiguration(t *testing.T) {
	unset(t)
	_, source := parse(t, Open(filepath.Join(t.TempDir(), "nowhere"), true))
	if err := source.Unreadable(); err != nil {
		t.Error(err)
	}
}

func TestArgumentsOfOneAgentDoNotReachAnother(t *testing.T) {
	unset(t)
	for _, c := range []struct{ lines, preset, want string }{
		{"AGENT_ARGS=-a", "opencode", "-a"},
		{"AGENT_ARGS=-a", "claude", ""},
		{"AGENT_ARGS=-a\nKUGETSU_AGENT=claude", "claude", "-a"},
		{"AGENT_ARGS=-a\nKUGETSU_AGENT=claude", "opencode", ""},
		{"AGENT_ARGS=-a\nAGENT_ARGS_OPENCODE=-o", "opencode", "-o"},
		{"AGENT_ARGS=-a\nAGENT_ARGS_CLAUDE=-c", "claude", "-c"},
		{"AGENT_ARGS_CODEX=-x", "codex", "-x"},
		{"AGENT_ARGS_GEMINI=-g", "gemini", "-g"},
		{"AGENT_ARGS_GEMINI=-g", "command", ""},
	} {
		set, source := read(t, c.lines)
		if err := source.Err(set); err != nil {
			t.Fatal(err)
		}
		if got := set.Args(c.preset); got != c.want {
			t.Errorf("%q: %s gets %q, want %q", c.lines, c.preset, got, c.want)
		}
	}
}

func TestValueIsReadAsThatOfAFlag(t *testing.T) {
	unset(t)
	words := []string{"true", "False", "YES", "0", "1", "maybe", "90s", "-1m", "5", "1.5", "07", "a b", " a ", "a,b", "-", "--", `a"b\c`, "caf\u00e9\u2028", "\xff\xfe", "08:00",
		"25:00", "Mon-Fri 22:00-07:00", "20", "five_hour=10", "ci,review", "draft", "12.50", "$3", "600M", "auto", "all", "-task_retry", "/srv/x", "x.prom"}
	for _, word := range words {
		for _, key := range Keys() {
			t.Setenv(key, word)
		}
		read(t, "") // compares
	}
}

func TestFlagOfASettingIsKnownByItsName(t *testing.T) {
	var g struct{ Settings }
	parser, err := kong.New(&g, Options(Open(t.TempDir(), true))...)
	if err != nil {
		t.Fatal(err)
	}
	for _, flag := range parser.Model.Flags {
		key := flag.Tag.Get("key") != ""
		for _, word := range []string{"--" + flag.Name, "--" + flag.Name + "=x", "--no-" + flag.Name} {
			if IsFlag(word) != key {
				t.Errorf("%s: %v", word, !key)
			}
		}
	}
	for _, word := range []string{"max-attempts", "-max-attempts", "--", "--no-", "--verbose", ""} {
		if IsFlag(word) {
			t.Errorf("%q is the flag of a setting", word)
		}
	}
}

func TestNumbersAreDecimal(t *testing.T) {
	unset(t)
	for _, c := range []struct {
		word string
		want int
		bad  bool
	}{
		{"010", 10, false},
		{"08", 8, false},
		{"009", 9, false},
		{"0", 0, false},
		{"+5", 5, false},
		{"0x10", 3, true},
		{"0b11", 3, true},
		{"0o7", 3, true},
		{"1_0", 3, true},
		{"1e1", 3, true},
		{"1.0", 3, true},
		{"１０", 3, true}, // digits, but none of ASCII's
		{"99999999999999999999", 3, true},
	} {
		set, source := read(t, "MAX_CONCURRENT_AGENTS='"+c.word+"'\n")
		if err := source.Err(set); set.MaxAgents != c.want || (err != nil) != c.bad {
			t.Errorf("the file, %s: %d, %v", c.word, set.MaxAgents, err)
		}
		t.Setenv("MAX_CONCURRENT_AGENTS", c.word)
		set, source = read(t, "")
		if err := source.Err(set); set.MaxAgents != c.want || (err != nil) != c.bad {
			t.Errorf("the environment, %s: %d, %v", c.word, set.MaxAgents, err)
		}
		t.Setenv("MAX_CONCURRENT_AGENTS", "")
		var g struct{ Settings }
		parser, err := kong.New(&g, Options(source)...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parser.Parse([]string{"--max-concurrent-agents", c.word}); (err != nil) != c.bad || g.MaxAgents != c.want && !c.bad {
			t.Errorf("a flag, %s: %d, %v", c.word, g.MaxAgents, err)
		}
	}
	for _, word := range []string{"0x10", "1_000", "0b1M", "1e3", "0x1p4"} {
		if err := new(Size).UnmarshalText([]byte(word)); err == nil {
			t.Errorf("%s is a size", word)
		}
	}
	for _, word := range []string{"0x10m", "1_0m"} {
		set, source := read(t, "TASK_TIMEOUT="+word+"\n")
		if source.Err(set) == nil {
			t.Errorf("%s is a duration", word)
		}
	}
}

func TestWorktreesOfNodesAreNotInTheFolderThatAllNodesShare(t *testing.T) {
	unset(t)
	home := t.TempDir()
	for dir, bad := range map[string]bool{home: true, home + "/scratch": true, home + "/../" + filepath.Base(home): true, home + ".scratch": false} {
		if err := os.WriteFile(filepath.Join(home, "config"), []byte("SLURM_WORKDIR="+dir+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		set, source := parse(t, Open(home, true))
		err := source.Err(set)
		if bad != (err != nil && strings.Contains(err.Error(), "SLURM_WORKDIR must not be in KUGETSU_DIR")) || bad == (set.SlurmWorkdir != "") {
			t.Errorf("%s: %q, %v", dir, set.SlurmWorkdir, err)
		}
	}
}
