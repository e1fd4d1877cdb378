// Package model checks the protocol of the state folder in every order of events, with the model checker Spin: protocol.pml.
package model

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"kugetsu/contrib/internal/rig"
)

var (
	full  = flag.Bool("full", false, "run the large configurations as well")
	table = flag.String("table", "", "write a table of what was found to this file")
)

// config is a world that is searched completely: no order of events in it may break a property.
type config struct {
	name  string
	flags string
	ends  bool // also show that every order of events comes to rest
	large bool // only with -full
	model string
}

// The models: of a run's life, of how a followed request becomes an item, of a run on a cluster, and of how an end comes to a pass.
const (
	protocol  = "protocol.pml"
	following = "follow.pml"
	cluster   = "slurm.pml"
	waking    = "wake.pml"
)

const unlocked = "-DNOLOCK -DPASSES=2 "

var configs = []config{
	{name: "two slots, two items of one session, no fault", flags: "-DKILLS=0"},
	{name: "the same: every order of events comes to rest", flags: "-DKILLS=0", ends: true},
	{name: "two slots, two items of one session, one kill", flags: "-DKILLS=1"},
	{name: "the same with one attempt: every order of events comes to rest", flags: "-DKILLS=1 -DMAX_ATTEMPTS=1", ends: true},
	{name: "two slots, one item, three kills", flags: "-DITEMS=1 -DKILLS=3"},
	{name: "two slots, two items of two sessions, one attempt, one kill", flags: "-DSHARED=1 -DMAX_ATTEMPTS=1"},
	{name: "one slot, one item that is delegated or started, a command, one kill", flags: "-DSLOTS=1 -DITEMS=1 -DARRIVE -DCOMMANDS=1"},
	{name: "one slot, one item, two commands: every order of events comes to rest", flags: "-DSLOTS=1 -DITEMS=1 -DCOMMANDS=2 -DKILLS=0", ends: true},
	{name: "two slots, one item, a slot file is lost, one kill", flags: "-DITEMS=1 -DLOSSES=1"},
	{name: "one slot, one item, a slot file is lost, one kill: every order of events comes to rest", flags: "-DSLOTS=1 -DITEMS=1 -DLOSSES=1", ends: true},
	{name: "two slots, one item, its file is deleted, one kill", flags: "-DITEMS=1 -DDELETIONS=1"},
	{name: "two slots, one item, an onlooker, one kill", flags: "-DITEMS=1 -DLOOKS=2"},
	{name: "two slots, one item, one step of the hand-over is refused, one kill", flags: "-DITEMS=1 -DREFUSED=1"},
	{name: "two slots, one item, an agent unlocks its lease, one kill", flags: "-DITEMS=1 -DUNLOCKS=1"},
	{name: "two slots, two items of one session, an agent unlocks a lock twice, one attempt, no kill", flags: "-DUNLOCKS=2 -DMAX_ATTEMPTS=1 -DKILLS=0"},
	{name: "two slots, one item, a runner hangs, one kill", flags: "-DITEMS=1 -DHANGS=1"},
	{name: "one slot, two items, a runner hangs whose lease was unlocked: every order of events comes to rest", flags: "-DSLOTS=1 -DRUNNERS=2 -DHANGS=1 -DUNLOCKS=1 -DMAX_ATTEMPTS=1 -DKILLS=0", ends: true},
	{name: "two passes that tick.lock keeps apart, two items, one attempt, one kill", flags: "-DPASSES=2 -DMAX_ATTEMPTS=1"},
	{name: "two passes without tick.lock, two slots, one item, one attempt, no kill", flags: unlocked + "-DITEMS=1 -DMAX_ATTEMPTS=1 -DKILLS=0"},

	{name: "a fingerprint, two passes that ask.lock keeps apart, the item moves, two kills", flags: "-DKILLS=2 -DMOVES", model: following},
	{name: "a fingerprint, two passes without ask.lock, two kills", flags: "-DKILLS=2 -DUNLOCKED", model: following},
	{name: "a request that stands after its item ended, two passes that ask.lock keeps apart, two kills", flags: "-DKILLS=2 -DSTANDS", model: following},
	{name: "a request that stands after its item ended, two passes without ask.lock, two kills", flags: "-DKILLS=2 -DSTANDS -DUNLOCKED", model: following},

	{name: "three runs end around a pass", flags: "-DRUNNERS=3", model: waking},
	{name: "four runs end around a pass", flags: "-DRUNNERS=4", model: waking, large: true},

	{name: "a run on a cluster, no fault", flags: "-DKILLS=0 -DLIES=0 -DTWICE=0 -DFAILS=0", model: cluster},
	{name: "a run on a cluster, sbatch fails once, one kill", flags: "-DLIES=0 -DTWICE=0", model: cluster},
	{name: "a run on a cluster, Slurm takes a job for gone once, and runs one twice", flags: "-DKILLS=0 -DFAILS=0", model: cluster},
	{name: "a run on a cluster, Slurm takes a job for gone once, one attempt, one kill", flags: "-DMAX_ATTEMPTS=1 -DTWICE=0 -DFAILS=0", model: cluster},
	{name: "a run on a cluster, one of each fault, one attempt", flags: "-DMAX_ATTEMPTS=1", model: cluster, large: true},

	{name: "two slots, one item, runs are verified, one kill", flags: "-DITEMS=1 -DVERIFIES", large: true},
	{name: "one slot, one item, runs are verified, a command, one kill: every order of events comes to rest", flags: "-DSLOTS=1 -DITEMS=1 -DVERIFIES -DCOMMANDS=1 -DMAX_ATTEMPTS=1", ends: true},
	{name: "two slots, two items of one session, two kills", flags: "-DKILLS=2", large: true},
	{name: "two slots, two items of one session, two kills, an onlooker", flags: "-DKILLS=2 -DLOOKS=1", large: true},
	{name: "two slots, two items of one session, one kill: every order of events comes to rest", flags: "-DKILLS=1", ends: true, large: true},
	{name: "two slots, two items of one session, an agent unlocks its lease, one kill", flags: "-DUNLOCKS=1 -DMAX_ATTEMPTS=1", large: true},
	{name: "two slots, two items of one session, a runner hangs, one kill", flags: "-DHANGS=1 -DMAX_ATTEMPTS=1", large: true},
	{name: "two passes without tick.lock, one item, an agent unlocks a lock twice, one attempt, no kill", flags: unlocked + "-DITEMS=1 -DMAX_ATTEMPTS=1 -DKILLS=0 -DUNLOCKS=2", large: true},
	{name: "two slots, two items of two sessions, one kill", flags: "-DSHARED=1", large: true},
	{name: "two slots, two items, a slot file is lost, one kill", flags: "-DLOSSES=1", large: true},
	{name: "two slots, two items, one step of the hand-over is refused, one kill", flags: "-DREFUSED=1", large: true},
	{name: "two slots, two items, an item's file is deleted, one kill", flags: "-DDELETIONS=1", large: true},
	{name: "two slots, two items that are delegated or started, a command, one attempt, one kill", flags: "-DARRIVE -DCOMMANDS=1 -DMAX_ATTEMPTS=1", large: true},
	{name: "two passes without tick.lock, two slots, one item, one kill", flags: unlocked + "-DITEMS=1", large: true},
	{name: "two passes without tick.lock, two slots, two items of one session, one attempt, no kill", flags: unlocked + "-DMAX_ATTEMPTS=1 -DKILLS=0", large: true},
	{name: "two passes without tick.lock, one slot, two items of one session, one attempt, one kill", flags: unlocked + "-DSLOTS=1 -DMAX_ATTEMPTS=1", large: true},
}

// wrong is a fault that is seeded into the protocol: the search must notice it.
type wrong struct {
	flag, flags string
	name        string
	want        string // the properties that may notice it
	ends        bool   // shows only in an order of events that never comes to rest
	model       string
}

var wrongs = []wrong{
	{flag: "MARKER_FIRST", name: "the marker is read before the lease is probed", want: "P3"},
	{flag: "GATE_FIRST", name: "the task passes the gate before the item is notified", want: "P4"},
	{flag: "NO_LEASE", name: "a slot is settled without its lock", flags: "-DITEMS=1", want: "P3 P5"},
	{flag: "NOT_INHERITED", name: "the agent does not inherit the lease", want: "P2 P3"},
	{flag: "UNLOCK", name: "a pass unlocks what it passed on, instead of closing it", want: "P1 P2 P3"},
	{flag: "NO_SLOT_LOCK", name: "the free slots are counted and not locked; no tick.lock", flags: unlocked + "-DSLOTS=1 -DSHARED=1 -DKILLS=0", want: "P1"},
	{flag: "NO_SESSION", name: "no lock of the session; a slot file is lost", flags: "-DLOSSES=1 -DMAX_ATTEMPTS=1", want: "P2"},
	{flag: "INTENT_OVERWRITTEN", name: "an intent that appeared since reconcile is overwritten; no tick.lock", flags: unlocked + "-DSLOTS=1 -DITEMS=1 -DKILLS=0", want: "P7"},
	{flag: "NEXT_NUMBER", name: "a run folder that is there makes the pass take the next number; no tick.lock", flags: unlocked + "-DITEMS=1 -DKILLS=0 -DMAX_RUN=4", want: "P3 P6"},
	{flag: "STARTED_FIRST", name: "the marker says started before the agent is started", want: "P6"},
	{flag: "RECORD_LAST", name: "the end is recorded after the locks were let go", want: "P3 P7"},
	{flag: "ANY_RUN", name: "a slot is settled whichever run of the item it names", want: "P3 P7"},
	{flag: "EMPTY_FIRST", name: "the slot is emptied before its run is settled, and no pass looks for items that no slot names", want: "P5"},
	{flag: "ERROR_FIRST", name: "a failure is written as an error first and as pending after", want: "P3"},
	{flag: "VOID_COUNTED", name: "a run without an agent is counted as an attempt", want: "P6"},
	{flag: "ORPHANS_LEFT", name: "what a dead runner left is not ended", want: "P5"},
	{flag: "RUNNER_NOT_ASKED", name: "a free lease is taken for a dead runner; an agent unlocks it", flags: "-DITEMS=1 -DUNLOCKS=2 -DKILLS=0", want: "P1 P3 P7"},
	{flag: "MARKER_SECOND", name: "the marker is read before the runner is asked for; an agent unlocks its lease", flags: "-DITEMS=1 -DUNLOCKS=2 -DKILLS=0", want: "P3"},
	{flag: "HUNG_LEFT", name: "a runner that does not answer is left", flags: "-DITEMS=1 -DHANGS=1 -DKILLS=0", want: "P5"},
	{flag: "OVERDUE_UNMARKED", name: "a runner that does not answer is ended, and nothing says why", flags: "-DITEMS=1 -DHANGS=1 -DKILLS=0", want: "P9"},
	{flag: "UNNAMED_NO_LOCK", name: "an item that no slot names is settled without the session's lock; no tick.lock", flags: unlocked + "-DITEMS=1 -DKILLS=0", want: "P3"},
	{flag: "UNNAMED_STALE", name: "an item that no slot names is settled as it was read before its session was locked; no tick.lock", flags: unlocked + "-DITEMS=1 -DKILLS=0", want: "P3"},
	{flag: "CANCEL_FORGOTTEN", name: "settling does not look for the cancel mark", flags: "-DCOMMANDS=1 -DITEMS=1 -DKILLS=0", want: "P8"},
	{flag: "EDIT_STALE", name: "an item is edited as it was read before tick.lock was locked", flags: "-DPASSES=2 -DCOMMANDS=1 -DITEMS=1 -DSLOTS=1 -DMAX_ATTEMPTS=1 -DKILLS=0", want: "P3 P4"},
	{flag: "RETRY_WRITTEN_FIRST", name: "retry rewrites the item before it moves it back", flags: "-DCOMMANDS=1 -DITEMS=1", want: "P5"},
	{flag: "VERIFIER_NOT_INHERITED", name: "the verifier does not inherit the lease", flags: "-DVERIFIES -DITEMS=1 -DSLOTS=1 -DMAX_ATTEMPTS=1", want: "P3"},
	{flag: "VERIFIED_AFTER_RECORD", name: "a run is recorded as ok first and verified after", flags: "-DVERIFIES -DITEMS=1 -DSLOTS=1 -DMAX_ATTEMPTS=1", want: "P3 P2"},
	{flag: "PUBLISHED_FIRST", name: "the item of a followed request is published before the intent", want: "P10", model: following},
	{flag: "INTENT_REPLACED", name: "an intent that is there is replaced; no ask.lock", flags: "-DUNLOCKED -DKILLS=0", want: "P10", model: following},
	{flag: "ONE_PLACE", name: "the item of an intent is looked for under one name alone", flags: "-DMOVES", want: "P10", model: following},
	{flag: "SAID_FIRST", name: "an intent says that it is published before the item is", want: "P11", model: following},
	{flag: "ONE_LOOK", name: "a person is told after one look of the forge", flags: "-DSTANDS -DKILLS=0", want: "P12", model: following},
	{flag: "END_READ_LATE", name: "how an item ended is read after the forge was asked", flags: "-DSTANDS -DKILLS=0", want: "P12", model: following},
	{flag: "NEED_RECORDED_FIRST", name: "that a person is needed is on record before the event", flags: "-DSTANDS", want: "P13", model: following},
	{flag: "NEED_UNNAMED", name: "the event that a person is needed has a new name each time", flags: "-DSTANDS", want: "P13", model: following},
	{flag: "SUBMITTED_AGAIN", name: "a job whose sbatch failed is submitted again without a look for it", flags: "-DKILLS=0 -DLIES=0 -DTWICE=0 -DMAX_ATTEMPTS=1", want: "P14", model: cluster},
	{flag: "NO_CLAIM", name: "a job does not claim its run, and Slurm runs it twice", flags: "-DKILLS=0 -DLIES=0 -DFAILS=0", want: "P15", model: cluster},
	{flag: "NO_FENCE", name: "a run whose job is taken for gone is settled without the fence", flags: "-DKILLS=0 -DTWICE=0 -DFAILS=0", want: "P15 P16", model: cluster},
	{flag: "NO_WAIT", name: "a run is settled as soon as it is fenced", flags: "-DKILLS=0 -DTWICE=0 -DFAILS=0", want: "P15", model: cluster},
	{flag: "NOT_LOOKED_FOR", name: "a runner does not look for the fence", flags: "-DKILLS=0 -DTWICE=0 -DFAILS=0", want: "P15", model: cluster},
	{flag: "SILENT_IS_GONE", name: "a controller that does not answer makes every job gone", flags: "-DKILLS=0 -DLIES=0 -DTWICE=0 -DFAILS=0", want: "P17", model: cluster},
	{flag: "LOOKED_FIRST", name: "a runner looks for a tick that waits before it records its end", want: "P18", model: waking},
	{flag: "TAKEN_BACK_LATE", name: "a tick says that it waits until its look is over", want: "P18", model: waking},
	{flag: "FOLDER_KEPT", name: "an unused run folder that is in the way is not removed; a slot file is lost", flags: "-DLOSSES=1 -DITEMS=1 -DSLOTS=1", want: "rest", ends: true},
}

// properties says what protocol.pml asserts.
var properties = map[string]string{
	"P1":   "never more agents than slots",
	"P2":   "never two agents in one session",
	"P3":   "what is over stays so: a settled item, a finished run; and what lives is not settled",
	"P4":   "no agent whose item is not on record as notified with this run",
	"P5":   "nothing is stuck at rest",
	"P6":   "no counted attempt without an agent; attempts and run numbers are bounded",
	"P7":   "a used run folder is kept, an intent not overwritten, and every end can be recorded",
	"P8":   "what was cancelled is not retried",
	"P9":   "a run whose runner was ended is not retried",
	"P10":  "a fingerprint never has two items",
	"P11":  "at rest a fingerprint has one item",
	"P12":  "no person is told of an item whose agent pushed",
	"P13":  "a person is told once of an item whose agent pushed nothing",
	"P14":  "the name of a job is submitted once",
	"P15":  "on a cluster: never two agents in one session, and no run is settled while its agent lives",
	"P16":  "on a cluster: a recorded end is what an item is settled by",
	"P17":  "on a cluster: nothing is stuck at rest, and run numbers are bounded",
	"P18":  "every end is seen by a pass that begins after it",
	"rest": "every order of events comes to rest",
}

func TestMain(m *testing.M) {
	rig.FullOnly("a search through all states")
	code := m.Run()
	if err := writeTable(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func TestPropertiesHoldInEveryOrderOfEvents(t *testing.T) {
	needsSpin(t)
	rows = make([]string, len(configs))
	for n, c := range configs {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			if c.large && !*full {
				rows[n] = fmt.Sprintf("| %s | `%s` | | not run: only with -full |", c.name, c.flags)
				t.Skip("large: only with -full")
			}
			t.Parallel()
			found := search(t, c.model, c.flags, c.ends)
			t.Logf("%s states in %s", thousands(found.states), found.took)
			result := "no error"
			switch {
			case found.err != "":
				result = "**" + found.err + "**"
				t.Errorf("%s\n%s", found.err, found.story)
			case !found.complete:
				result = "not complete: " + found.why
				t.Errorf("the search was not complete: %s", found.why)
			case found.states < 10000 && c.model == "", found.states < 500:
				t.Errorf("only %d states: that is not the protocol", found.states)
			}
			rows[n] = fmt.Sprintf("| %s | `%s` | %s | %s |", c.name, c.flags, thousands(found.states), result)
		})
	}
}

func TestSeededFaultIsNoticed(t *testing.T) {
	needsSpin(t)
	faults = make([]string, len(wrongs))
	for n, w := range wrongs {
		t.Run(w.flag, func(t *testing.T) {
			t.Parallel()
			found := search(t, w.model, "-DWRONG_"+w.flag+" "+w.flags, w.ends)
			t.Logf("noticed by %s after %s states", found.property, thousands(found.states))
			if found.err == "" || found.property == "" || !strings.Contains(w.want, found.property) {
				t.Errorf("%s: got %q by property %q, want %s\n%s", w.name, found.err, found.property, w.want, found.why)
			}
			noticed := "**not noticed**"
			if found.err != "" {
				noticed = found.property + ": " + properties[found.property]
			}
			faults[n] = fmt.Sprintf("| %s | `%s` | %s |", w.name, strings.TrimSpace("-DWRONG_"+w.flag+" "+w.flags), noticed)
		})
	}
}

func TestFaultsOfTheModelAreTried(t *testing.T) {
	var text []byte
	for _, model := range []string{protocol, following, cluster, waking} {
		one, err := os.ReadFile(model)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, one...)
	}
	there, tried := map[string]bool{}, map[string]bool{}
	for _, m := range regexp.MustCompile(`def WRONG_(\w+)`).FindAllSubmatch(text, -1) {
		there[string(m[1])] = true
	}
	for _, w := range wrongs {
		tried[w.flag] = true
	}
	if !maps.Equal(there, tried) {
		t.Errorf("the model has %v, tried are %v", there, tried)
	}
}

var compiler string

func needsSpin(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("spin"); err != nil {
		t.Skip("spin is not installed (Debian: apt-get install spin)")
	}
	for _, name := range []string{"cc", "gcc"} {
		if path, err := exec.LookPath(name); err == nil {
			compiler = path
			return
		}
	}
	t.Skip("there is no C compiler")
}

// finding is the result of a search.
type finding struct {
	states   int
	complete bool
	why      string // why the search is not complete
	err      string // what the checker says is wrong
	property string // of the header of its model
	story    string // the events that led to it
	took     time.Duration
}

// memory in MB, depth in steps and time bound a search. A search that meets a bound is not complete, and fails.
const (
	memory = 3000
	depth  = 100000
	limit  = 8 * time.Minute
)

var (
	states  = regexp.MustCompile(`(?m)^\s*([0-9.e+]+) states, stored`)
	errs    = regexp.MustCompile(`errors: (\d+)`)
	problem = regexp.MustCompile(`(?m)^pan:1: (.*?) \(at depth`)
	at      = regexp.MustCompile(`\.pml:(\d+), Error: assertion violated`)
	named   = regexp.MustCompile(`/\* (P\d+)`)
)

// search makes the checker for a world and lets it search the whole world, or until an error. With ends it searches for an order of
// events that never comes to rest, otherwise for one that breaks an assertion.
func search(t *testing.T, model, flags string, ends bool) finding {
	t.Helper()
	dir := t.TempDir()
	name := cmp.Or(model, protocol)
	model, err := filepath.Abs(name)
	if err != nil {
		t.Fatal(err)
	}
	run := func(limit time.Duration, name string, args ...string) string {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && (!errors.As(err, &exit) || ctx.Err() != nil) {
			t.Fatalf("%s %s: %v, %v\n%s", name, strings.Join(args, " "), err, ctx.Err(), out)
		}
		return string(out)
	}
	defines := append(strings.Fields(flags), "-P"+compiler+" -E -x c") // otherwise it asks for gcc
	said := run(limit, "spin", append(append([]string{"-a"}, defines...), model)...)
	what, how := "-DSAFETY", []string{fmt.Sprintf("-m%d", depth)}
	if ends {
		what, how = "-DNP", append(how, "-l")
	}
	level := "-O0" // the small worlds do not win back the time that an optimised build takes
	if *full {
		level = "-O2"
	}
	said += run(limit, compiler, level, "-w", what, "-DCOLLAPSE", "-DVECTORSZ=512", fmt.Sprintf("-DMEMLIM=%d", memory), "-o", "pan", "pan.c")
	begun := time.Now()
	out := run(limit, filepath.Join(dir, "pan"), how...)
	f := finding{took: time.Since(begun).Round(10 * time.Millisecond)}
	m, n := states.FindStringSubmatch(out), errs.FindStringSubmatch(out)
	if m == nil || n == nil {
		t.Fatalf("this is not what the checker says:\n%s%s", said, out)
	}
	count, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	f.states = int(count)
	for _, sign := range []string{"max search depth too small", "out of memory", "Search not completed", "-DMEMLIM", "reached -DMEMLIM", "Bit statespace", "interrupted"} {
		if strings.Contains(out, sign) {
			f.why += sign + "; "
		}
	}
	f.complete = f.why == ""
	if n[1] == "0" {
		return f
	}
	f.err = "an error that is not named"
	if p := problem.FindStringSubmatch(out); p != nil {
		f.err = p[1]
	}
	f.story = run(limit, "spin", append(append([]string{"-t", "-T"}, defines...), "-k", name+".trail", model)...)
	if strings.HasPrefix(f.err, "non-progress cycle") {
		f.property = "rest"
		return f
	}
	text, err := os.ReadFile(model)
	if err != nil {
		t.Fatal(err)
	}
	if line := at.FindStringSubmatch(f.story); line != nil {
		n, _ := strconv.Atoi(line[1])
		if p := named.FindStringSubmatch(strings.Split(string(text), "\n")[n-1]); p != nil {
			f.property = p[1]
		}
	}
	return f
}

func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + " " + s[i:]
	}
	return s
}

var rows, faults []string

func writeTable() error {
	if *table == "" {
		return nil
	}
	version := "spin unknown"
	if out, err := exec.Command("spin", "-V").Output(); err == nil {
		version = strings.TrimSpace(string(out))
	}
	how := "without the large worlds"
	if *full {
		how = "all of it"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# The protocol in every order of events\n\nWritten by `go test ./contrib/model -full -table FILE`, not by hand: %s, %s.\n\n"+
		"[protocol.pml](protocol.pml) is a model of the steps of a pass, a runner and its agent, [follow.pml](follow.pml)\n"+
		"one of how a followed pull request becomes an item and may need a person, [slurm.pml](slurm.pml) one of a run on a\n"+
		"cluster, and [wake.pml](wake.pml) one of how the end of a run comes to a pass. Their headers name the properties, and\n"+
		"the parts of kugetsu that are left out. Each row is a world that was searched completely: every order of its steps, with\n"+
		"a kill before any of them, ends in a state where nothing is broken or stuck.\n\n"+
		"| world | flags | states | result |\n|---|---|--:|---|\n%s\n\n"+
		"## The protocol is wrong on purpose, which must be noticed\n\n| fault | flags | property that noticed it |\n|---|---|---|\n%s\n",
		version, how, strings.Join(rows, "\n"), strings.Join(faults, "\n"))
	return os.WriteFile(*table, []byte(b.String()), 0o644)
}
