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
	"kugetsu/queue/ledger"
	"kugetsu/slots"
	"kugetsu/slots/machine"
	"kugetsu/slots/proc"
	"kugetsu/tick/settings"
)

const mb = 1_000_000

func TestAgentIsStartedOnlyWhereThereIsRoomForWhatTheOthersMayStillTake(t *testing.T) {
	for _, c := range []struct {
		name      string
		available int64
		used      []int64 // by the runs that there are
		want      string
	}{
		{"none runs and there is nothing", 0, nil, ""},
		{"one runs, and there is just enough for both", 1200 * mb, []int64{0}, ""},
		{"a byte less", 1200*mb - 1, []int64{0}, "memory: 1.1 GiB available, 572 MiB of it reserved for an agent that may still grow, and an agent needs 572 MiB"},
		{"it has all that it needs", 600 * mb, []int64{600 * mb}, ""},
		{"it has more, which gives nothing back", 599 * mb, []int64{2000 * mb}, "memory: 571 MiB available, and an agent needs 572 MiB"},
		{"it has a part", 800 * mb, []int64{400 * mb}, ""},
		{"two are young", 1500 * mb, []int64{100 * mb, 100 * mb}, "memory: 1.4 GiB available, 954 MiB of it reserved for 2 agents that may still grow, and an agent needs 572 MiB"},
		{"one is young, one is grown", 1100 * mb, []int64{100 * mb, 700 * mb}, ""},
		{"there is less than is spoken for", 100 * mb, []int64{0, 0}, "memory: 95 MiB available, 1.1 GiB of it reserved for 2 agents that may still grow, and an agent needs 572 MiB"},
	} {
		p := &capacity{t: &Tick{Settings: &settings.Settings{}}, occupied: newOccupied(), known: true, need: 600 * mb, available: c.available, used: map[string]int64{}}
		for n, used := range c.used {
			in := &slots.Intent{Item: "q_x", Run: n + 1}
			p.occupied.occupy(fmt.Sprint(n+1), in)
			p.used[in.RunName()] = used
		}
		if got := p.full(); got.err != nil || got.Text != c.want {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

func TestTooLittleDiskRefusesAlsoTheFirst(t *testing.T) {
	p := &capacity{t: &Tick{Settings: &settings.Settings{}}, occupied: newOccupied(), known: true, minFree: 512 * mb, free: 512*mb - 1}
	if got := p.full(); got.Kind != NoCapacity || got.Text != "disk: 488 MiB free where the state folder is, and MIN_FREE_DISK is 488 MiB" {
		t.Errorf("%+v", got)
	}
	p.free++
	if got := p.full(); got.Kind != Eligible {
		t.Errorf("%+v", got)
	}
	p.disk = os.ErrPermission
	if got := p.full(); got.Kind != CapacityUnknown || !errors.Is(got.err, os.ErrPermission) {
		t.Errorf("%+v", got)
	}
}

// ticker is a Tick of its own on a machine of which only /proc/meminfo is known, "" being one that cannot be read.
func ticker(t *testing.T, available string, s settings.Settings) *Tick {
	t.Helper()
	dir, root := t.TempDir(), t.TempDir()
	at := func(name string) string { return filepath.Join(dir, "queue", name) }
	q := &queue.Queue{
		Dirs:   queue.Dirs{Items: at("items"), PM: at("pm"), Finished: at("finished"), Bad: at("bad")},
		Events: &event.Box{New: at("new"), Seen: at("seen"), Undelivered: at("owed"), Now: time.Now},
		Ledger: &ledger.Ledger{Dir: filepath.Join(dir, "usage"), Now: time.Now},
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
	tick := ticker(t, "", settings.Settings{AgentMemory: 600 * mb, MaxAgents: 3})
	for issue := range 2 {
		_, err := tick.publish(issue, 50, nil)
		must(t, err)
	}
	el := tick.eligibility(newOccupied())
	if r := el.capacity.full(); r.Kind != Eligible {
		t.Errorf("none runs: %+v", r)
	}
	report := &Report{}
	err := tick.fill(t.Context(), tick.eligibility(withOccupied("1")), report)
	if fault.Code(err) != fault.Temp || fault.HintOf(err) == "" || strings.Count(err.Error(), "the available memory is not known") != 1 {
		t.Errorf("one runs: %v, exit code %d", err, fault.Code(err))
	}
	if len(report.Started) > 0 || len(report.Why) != 1 || !strings.Contains(report.Why[0], "/proc/meminfo") {
		t.Errorf("%+v", report)
	}
	tick.Settings.AgentMemory = 0
	if r := tick.eligibility(withOccupied("1")).capacity.full(); r.Kind != Eligible {
		t.Errorf("memory is not checked: %+v", r)
	}
}

// A run that has its memory leaves room: what it took is missing in what is available already.
func TestMemoryThatARunUsesIsNotReservedAgain(t *testing.T) {
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
	k := withOccupied("2") // not known which run, so the whole
	k.occupy("1", in)
	for begin := time.Now(); ; {
		p := tick.eligibility(k).capacity
		p.read()
		must(t, p.memory)
		reserved, growing := p.reserved()
		if used := 1200*mb - reserved; used > 0 && used < 100*mb && growing == 2 {
			return
		}
		if time.Since(begin) > time.Minute {
			t.Fatalf("%d bytes are reserved", reserved)
		}
	}
}

func withOccupied(names ...string) *occupied {
	k := newOccupied()
	for _, name := range names {
		k.occupy(name, nil)
	}
	return k
}

func TestPMAgentIsCountedLikeTheOthers(t *testing.T) {
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
		if r := tick.eligibility(withOccupied(c.held...)).capacity.full(); r.Kind != Eligible == c.want || !c.want && r.Kind != NoCapacity {
			t.Errorf("%v: %+v", c.held, r)
		}
	}
}

// What is planned is what a pass would do: each start takes room from the next, and both lanes share it.
func TestPlanCountsWhatItWouldStart(t *testing.T) {
	for _, c := range []struct {
		available string
		settings  settings.Settings
		want      []string // by item: "start", or the beginning of why not
	}{
		{"2000000", settings.Settings{AgentMemory: 600 * mb}, []string{"start", "start", "start",
			"memory: 1.9 GiB available, 1.7 GiB of it reserved for 3 agents that may still grow, and an agent needs 572 MiB", "memory: "}},
		{"1", settings.Settings{AgentMemory: 600 * mb}, []string{"start", "memory: 1.0 KiB available, 572 MiB of it reserved for an agent", "memory", "memory", "memory"}},
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
		view, err := tick.Snapshot()
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

func TestViewSaysThatMemoryIsUnknown(t *testing.T) {
	tick := ticker(t, "", settings.Settings{AgentMemory: 600 * mb, MaxAgents: 3})
	lock, err := slots.TryLock(tick.Home.SlotLock("2"))
	must(t, err)
	defer lock.Close()
	view, err := tick.Snapshot()
	must(t, err)
	if !strings.HasPrefix(view.Why, "the available memory is not known") || !slices.Contains(view.Problem, view.Why) {
		t.Errorf("%q, %q", view.Why, view.Problem)
	}
}

func TestAgentNeedsWhatNineOfTenOfItsLastRunsDidNotExceed(t *testing.T) {
	tick := ticker(t, "1500000", settings.Settings{AgentMemory: settings.Auto, MaxAgents: 3})
	n := 0
	ran := func(agent string, ago time.Duration, peak int64) {
		t.Helper()
		at := time.Now().Add(-ago)
		n++
		must(t, tick.Queue.Ledger.Add(ledger.Run{Name: fmt.Sprintf("%s.%d", queue.NewID(at), n), Agent: agent, NotifiedAt: at, EndedAt: at,
			Outcome: "ok", State: "completed", PeakMemory: peak}))
	}
	for i := range 20 { // 18 of 20 had 100 to 117 MB, two had more
		peak := int64(100+i) * mb
		if i >= 18 {
			peak = 5000 * mb
		}
		ran("claude", time.Duration(i)*time.Minute, peak)
	}
	ran("claude", 48*time.Hour, 9000*mb) // before the last 20
	for range 2 {
		ran("codex", time.Minute, 50*mb) // too few
	}
	for range 5 {
		ran("gemini", 20*24*time.Hour, 1400*mb) // long ago, and all that there are
	}
	ran("gemini", time.Minute, 0) // not measured
	for agent, want := range map[string]int64{"claude": 117 * mb, "codex": 600 * mb, "gemini": 1400 * mb, "opencode": 600 * mb} {
		if got := tick.MemoryOf(agent); got != want {
			t.Errorf("%s needs %d MB, not %d", agent, got/mb, want/mb)
		}
	}
	// A slot that is occupied, and nothing known of it, reserves the usual amount: 936 MB of 1536 are left.
	p := tick.eligibility(withOccupied("1")).capacity
	for agent, want := range map[string]string{"claude": "", "codex": "",
		"gemini": "memory: 1.4 GiB available, 572 MiB of it reserved for an agent that may still grow, and gemini needs 1.3 GiB by its last 5 runs"} {
		it := &queue.Item{ID: queue.NewID(time.Now()), IssueRef: "github.com/o/r#1", Agent: agent}
		if got := p.why(&candidate{it: it, agent: it.Agent}); got.Text != want {
			t.Errorf("%s: %q", agent, got.Text)
		}
	}
	if got := p.full(); got.Kind != Eligible {
		t.Errorf("one of an agent fits: %+v", got)
	}
	tick.Settings.AgentMemory = 700 * mb
	if got := tick.MemoryOf("claude"); got != 700*mb {
		t.Errorf("%d", got)
	}
}
