package tick

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/event"
	"kugetsu/queue/fault"
	"kugetsu/slots"
	"kugetsu/slots/machine"
	"kugetsu/slots/proc"
	"kugetsu/tick/settings"
)

const mb = 1_000_000

func TestAnAgentIsStartedOnlyWhereThereIsRoomForWhatTheOthersMayStillTake(t *testing.T) {
	for _, c := range []struct {
		name      string
		available int64
		used      []int64 // by the runs that there are
		want      string
	}{
		{"none runs and there is nothing", 0, nil, ""},
		{"one runs, and there is just enough for both", 1200 * mb, []int64{0}, ""},
		{"a byte less", 1200*mb - 1, []int64{0}, "memory: 1.2 GB available, 600 MB of it for an agent that may still grow, and an agent needs 600 MB"},
		{"it has all that it needs", 600 * mb, []int64{600 * mb}, ""},
		{"it has more, which gives nothing back", 599 * mb, []int64{2000 * mb}, "memory: 599 MB available, and an agent needs 600 MB"},
		{"it has a part", 800 * mb, []int64{400 * mb}, ""},
		{"two are young", 1500 * mb, []int64{100 * mb, 100 * mb}, "memory: 1.5 GB available, 1.0 GB of it for 2 agents that may still grow, and an agent needs 600 MB"},
		{"one is young, one is grown", 1100 * mb, []int64{100 * mb, 700 * mb}, ""},
		{"there is less than is spoken for", 100 * mb, []int64{0, 0}, "memory: 100 MB available, 1.2 GB of it for 2 agents that may still grow, and an agent needs 600 MB"},
	} {
		r := &room{need: 600 * mb, available: c.available, running: len(c.used)}
		for _, used := range c.used {
			r.reserve(used)
		}
		if got, err := r.full(); err != nil || got != c.want {
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
	}
}

func TestTooLittleDiskRefusesAlsoTheFirst(t *testing.T) {
	r := &room{minFree: 512 * mb, free: 512*mb - 1}
	if got, err := r.full(); err != nil || got != "disk: 512 MB free where the state folder is, and MIN_FREE_DISK is 512 MB" {
		t.Errorf("%q, %v", got, err)
	}
	r.free++
	if got, err := r.full(); err != nil || got != "" {
		t.Errorf("%q, %v", got, err)
	}
	r.disk = os.ErrPermission
	if got, err := r.full(); !errors.Is(err, os.ErrPermission) {
		t.Errorf("%q, %v", got, err)
	}
}

// ticker is a Tick of its own on a machine of which only /proc/meminfo is known, "" being one that cannot be read.
func ticker(t *testing.T, available string, s settings.Settings) *Tick {
	t.Helper()
	dir, root := t.TempDir(), t.TempDir()
	at := func(name string) string { return filepath.Join(dir, "queue", name) }
	q := &queue.Queue{
		Dirs:   queue.Dirs{Items: at("items"), PM: at("pm"), Finished: at("finished"), Bad: at("bad")},
		Events: &event.Box{New: at("new"), Seen: at("seen"), Owed: at("owed"), Now: time.Now},
		Now:    time.Now,
	}
	s.MaxAttempts, s.AgentCommand = 3, "sh"
	k := &Tick{Home: slots.Dir(dir), Queue: q, Settings: &s, Source: settings.Open(dir, true), Machine: machine.Machine{Root: root}, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	must(t, k.Home.Make())
	must(t, q.Make())
	if available != "" {
		must(t, os.Mkdir(filepath.Join(root, "proc"), 0o700))
		must(t, os.WriteFile(filepath.Join(root, "proc", "meminfo"), []byte("MemAvailable: "+available+" kB\n"), 0o600))
	}
	return k
}

func TestUnknownMemoryIsAnErrorOnceAndStopsNothingWhereNoneRuns(t *testing.T) {
	tick := ticker(t, "", settings.Settings{AgentMemory: 600 * mb})
	k, report := newTaken(), &Report{}
	if err := tick.admit(k, report); err != nil {
		t.Errorf("none runs: %v", err)
	}
	k.hold("1", nil)
	err := tick.admit(k, report)
	if !errors.Is(err, errStop) || fault.Code(err) != fault.Temp || fault.HintOf(err) == "" || !strings.Contains(err.Error(), "the available memory is not known") {
		t.Errorf("one runs: %v, exit code %d", err, fault.Code(err))
	}
	if err := tick.admit(k, report); !errors.Is(err, errNoRoom) || errors.Is(err, errStop) {
		t.Errorf("the other lane: %v", err)
	}
	if len(report.Why) != 1 || !strings.Contains(report.Why[0], "/proc/meminfo") {
		t.Errorf("%q", report.Why)
	}
	tick.Settings.AgentMemory = 0
	if err := tick.admit(newHeld("1"), report); err != nil {
		t.Errorf("memory is not counted: %v", err)
	}
}

// A run that has its memory leaves room: what it took is missing in what is available already.
func TestWhatARunUsesByNowIsNotReservedAgain(t *testing.T) {
	tick := ticker(t, "2000000", settings.Settings{AgentMemory: 600 * mb})
	in := &slots.Intent{Item: queue.NewID(time.Now()), Run: 1, Session: "s"}
	cmd := exec.Command("cat")
	cmd.Env = append(os.Environ(), proc.Mark+"="+in.RunName())
	stdin, err := cmd.StdinPipe()
	must(t, err)
	must(t, cmd.Start())
	defer func() { must(t, stdin.Close()); must(t, cmd.Wait()) }()
	if used, err := machine.Used(); err != nil || used == nil {
		t.Skipf("what a run uses is not known on this system: %v", err)
	}
	k := newHeld("2") // not known which run, so the whole
	k.hold("1", in)
	for begin := time.Now(); ; {
		r := tick.room(k)
		must(t, r.unknown)
		if used := 1200*mb - r.reserved; used > 0 && used < 100*mb && r.growing == 2 {
			return
		}
		if time.Since(begin) > time.Minute {
			t.Fatalf("%d bytes are reserved", r.reserved)
		}
	}
}

func newHeld(names ...string) *taken {
	k := newTaken()
	for _, name := range names {
		k.hold(name, nil)
	}
	return k
}

func TestThePMAgentIsCountedLikeTheOthers(t *testing.T) {
	for _, c := range []struct {
		held []string
		want bool
	}{
		{nil, true},
		{[]string{"1"}, true},
		{[]string{slots.PMSlot}, true},
		{[]string{"1", slots.PMSlot}, false},
		{[]string{"1", "2"}, false},
	} {
		tick := ticker(t, "1300000", settings.Settings{AgentMemory: 600 * mb, MaxAgents: 3})
		report := &Report{}
		err := tick.admit(newHeld(c.held...), report)
		if (err == nil) != c.want || !c.want && (!errors.Is(err, errNoRoom) || fault.Code(err) != fault.Temp || len(report.Why) != 1) {
			t.Errorf("%v: %v, %q", c.held, err, report.Why)
		}
	}
}

// What is planned is what a pass would do: each start takes room from the next, and both lanes share it.
func TestAPlanCountsWhatItWouldStart(t *testing.T) {
	for _, c := range []struct {
		available string
		settings  settings.Settings
		want      []string // by item: "start", or the beginning of why not
	}{
		{"2000000", settings.Settings{AgentMemory: 600 * mb}, []string{"start", "start", "start",
			"memory: 2.0 GB available, 1.8 GB of it for 3 agents that may still grow, and an agent needs 600 MB", "memory: "}},
		{"1", settings.Settings{AgentMemory: 600 * mb}, []string{"start", "memory: 1.0 kB available, 600 MB of it for an agent", "memory", "memory", "memory"}},
		{"", settings.Settings{AgentMemory: 600 * mb}, []string{"start", "the available memory is not known", "the", "the", "the"}},
		{"", settings.Settings{}, []string{"start", "start", "start", "start", "start"}},
		{"9000000", settings.Settings{AgentMemory: 600 * mb, MinFreeDisk: 1 << 50}, []string{"disk: ", "disk: ", "disk: ", "disk: ", "disk: "}},
	} {
		c.settings.MaxAgents = 4
		tick := ticker(t, c.available, c.settings)
		for n := range c.want {
			it := &queue.Item{ID: queue.NewID(time.Now()), IssueRef: fmt.Sprintf("github.com/o/r#%d", n+1), Agent: "command", Message: "m", Mode: queue.Auto}
			lane := queue.Dev
			if n == len(c.want)-1 {
				it.IssueRef, lane = "", queue.PM
			}
			_, err := tick.Queue.Publish(it, lane, queue.DefaultPriority)
			must(t, err)
		}
		view, err := tick.Look()
		must(t, err)
		plan := view.Plan()
		if len(plan) != len(c.want) {
			t.Fatalf("%q", plan)
		}
		for n, want := range c.want {
			_, why, _ := strings.Cut(plan[n], ": ")
			started := strings.HasPrefix(plan[n], "would start ")
			if want == "start" != started || !started && !strings.HasPrefix(why, want) {
				t.Errorf("%s kB available: %q, not %q", c.available, plan[n], want)
			}
		}
		// With nothing running only the disk keeps the first from starting.
		if (view.Why != "") != strings.HasPrefix(c.want[0], "disk") || slices.Contains(view.Problem, view.Why) {
			t.Errorf("%s kB available: %q, %q", c.available, view.Why, view.Problem)
		}
	}
}

func TestAViewSaysThatMemoryIsUnknown(t *testing.T) {
	tick := ticker(t, "", settings.Settings{AgentMemory: 600 * mb, MaxAgents: 3})
	lock, err := slots.TryLock(tick.Home.SlotLock("2"))
	must(t, err)
	defer lock.Close()
	view, err := tick.Look()
	must(t, err)
	if !strings.HasPrefix(view.Why, "the available memory is not known") || !slices.Contains(view.Problem, view.Why) {
		t.Errorf("%q, %q", view.Why, view.Problem)
	}
}
