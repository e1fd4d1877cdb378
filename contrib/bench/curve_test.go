package bench

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/spool"
	"kugetsu/slots"
	"kugetsu/slots/proc"
)

// crowd is how many slots the simulation has, the most that MAX_CONCURRENT_AGENTS may be, ahead how many items wait then.
const (
	crowd = 999
	ahead = 100_000
	wants = 10 // exits a second
)

// costs are what the parts of a pass take under tick.lock, in milliseconds, measured here.
type costs struct {
	pass   float64 // a look at all slots, which are occupied
	list   float64 // each item that waits, where a slot is free
	settle float64 // each run that ended
	hand   float64 // each item that is handed over
}

// occupied fills slots with runs that live, to all appearances: this process is their runner and has their leases.
func (x *bench) occupied(s *state, n int) []*slots.Lock {
	x.Helper()
	home := slots.Dir(s.home)
	now := time.Now()
	s.now = now.UTC()
	var held []*slots.Lock
	for k := range n {
		e, it := s.enqueue()
		it.IssueRef = fmt.Sprintf("github.com/you/other#%d", k+1) // Notify writes it
		name, session := strconv.Itoa(k+1), fmt.Sprintf("github.com+you+other@%d", k+1)
		in := slots.Intent{Item: it.ID, File: filepath.Base(e.Path), Run: 1, Session: session, Boot: proc.BootID()}
		pid := os.Getpid()
		x.must(home.WriteIntent(name, in), home.ClaimRun(in.RunName()), os.Rename(filepath.Join(home.RunDir(in.RunName()), "exit"), filepath.Join(home.RunDir(in.RunName()), "started")),
			s.q.Notify(e, it, 1, pid, &queue.Runner{Birth: proc.Birth(pid), Clock: proc.Clock(), Timeout: time.Hour}))
		for _, path := range []string{home.SlotLock(name), home.SessionLock(session)} {
			l, err := slots.TryLock(path)
			x.must(err)
			held = append(held, l)
		}
	}
	return held
}

// crowded measures a pass that looks at all slots, all occupied, and what each run that ended adds.
func (x *bench) crowded(program string) (pass, ended sample) {
	n, some := x.size(crowd), min(10, x.size(crowd)/2)
	s := folder(x.TB, 0, 0)
	held := x.occupied(s, n)
	defer func() {
		for _, l := range held {
			_ = l.Close()
		}
	}()
	tick := func(most int) sample {
		took, _ := x.once(s.env("MAX_CONCURRENT_AGENTS="+strconv.Itoa(most)), "", program, "tick")
		return took
	}
	var all []sample
	for range rounds {
		all = append(all, tick(n))
	}
	if live := s.waiting(); live != n {
		x.Fatalf("%d of %d runs are left", live, n)
	}
	pass = medians([]side{{}}, [][]sample{all})[0].sample
	live, err := s.q.Live(queue.Dev)
	x.must(err)
	for k, e := range live[:some] {
		dir := slots.Dir(s.home).RunDir(slots.RunName(e.ID, 1))
		x.must(os.Rename(filepath.Join(dir, "started"), filepath.Join(dir, "end.ok.0")), held[2*k].Close(), held[2*k+1].Close())
	}
	took := tick(n - some) // no slot is free, so that nothing starts
	if done := s.completed(); done != some {
		x.Fatalf("%d of %d runs were settled", done, some)
	}
	return pass, sample{max(0, took.cpu-pass.cpu) / float64(some), max(0, took.wall-pass.wall) / float64(some)}
}

// flow is what becomes of the slots at a rate of exits.
type flow struct {
	busy   float64 // the share of the time in which tick.lock is locked
	starts float64 // a second
	empty  float64 // slots, on average
	queue  int     // ticks that waited for the lock at once, at most
}

// simulate lets runs end at random, at so many a second while all slots are occupied, for ten minutes. An end starts a tick, unless one
// waits; with each, it always does. Ticks make their passes one after the other; a pass settles what ended until it began, and fills what
// is free.
func simulate(c costs, rate float64, each bool) (f flow) {
	const end = 600_000.0 // milliseconds
	chance := rand.New(rand.NewPCG(1, 2))
	occupied, waiting, free := crowd, ahead, 0.0
	ticks, ended := 0, 0 // ticks that wait, runs that no pass has settled
	now, next := 0.0, 0.0
	exits := func(until float64) {
		for {
			if next == 0 {
				next = now + chance.ExpFloat64()*1000/rate*crowd/float64(max(1, occupied))
			}
			if next > until || occupied == 0 {
				break
			}
			occupied--
			ended++
			if each || ticks == 0 {
				ticks++
			}
			now, next = next, 0
			f.queue = max(f.queue, ticks)
		}
		now = until
	}
	started, busy := 0, 0.0
	for now < end {
		if ticks == 0 {
			if next == 0 {
				exits(now)
			}
			free += (next - now) * float64(crowd-occupied)
			exits(next)
			continue
		}
		hand := min(crowd-occupied, waiting)
		took := c.pass + c.settle*float64(ended) + c.hand*float64(hand)
		ticks, ended = ticks-1, 0
		if hand > 0 {
			took += c.list * float64(waiting)
		}
		took = max(took, 0.01)
		free += took * float64(crowd-occupied)
		exits(now + took)
		busy += took
		occupied, waiting, started = occupied+hand, waiting-hand, started+hand
	}
	return flow{busy: min(1, busy/now), starts: float64(started) / now * 1000, empty: free / now, queue: f.queue}
}

// curveText measures the costs that the table does not have, and tells what becomes of 1,000 slots.
func curveText(x *bench) string {
	need := []string{"version", "tick, nothing to do", "tick that fills 3 slots, 10,000 waiting", "tick that fills 3 slots, 100,000 waiting",
		"300 × true in 3 slots, worktrees there", "memory of a runner, its own / RSS"}
	for _, work := range need {
		if _, there := x.figures[work]; !there {
			return "## A thousand slots\n\nNot computed: it needs the whole table.\n"
		}
	}
	at := func(i int) sample { return x.figures[need[i]] }
	program := x.program("")
	pass, ended := x.crowded(program)
	var c costs
	if few, many := x.size(10_000), x.size(100_000); many > few {
		c.list = max(0, at(3).wall-at(2).wall) / float64(many-few)
	}
	c.hand = max(0.1, (at(2).wall-at(1).wall-c.list*float64(x.size(10_000)))/3)
	c.pass, c.settle = max(0.1, pass.wall-at(0).wall), ended.wall
	perItem, own := at(4).cpu/float64(x.size(300)), at(5)

	paused := x.folder(50_000, 0)
	x.once(paused.env(), "", program, "pause")
	blocked, _ := x.once(paused.env(), "", program, "tick")
	x.once(paused.env(), "", program, "resume")

	var syncs []float64
	for range 50 {
		begin := time.Now()
		x.must(spool.Write(filepath.Join(x.dir, "sync"), []byte("x")))
		syncs = append(syncs, ms(time.Since(begin)))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "## A thousand slots\n\n%d slots, %d items waiting, by the costs that were measured in this run: a pass over %d occupied slots keeps tick.lock for %.1f ms;\n"+
		"each item that waits adds %.2f µs to a pass that has a free slot, each run that ended %.1f ms, each hand-over %.1f ms.\n\n",
		crowd, ahead, crowd, c.pass, c.list*1000, c.settle, c.hand)
	b.WriteString("| exits a second | tick.lock is locked | starts a second | slots empty, on average | ticks that wait, at most | if each exit started a tick: locked | starts | empty | wait |\n|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, rate := range []float64{1, 2, 5, wants, 20, 50} {
		f, g := simulate(c, rate, false), simulate(c, rate, true)
		fmt.Fprintf(&b, "| %g | %.0f%% | %.1f | %.0f | %d | %.0f%% | %.1f | %.0f | %d |\n", rate, 100*f.busy, f.starts, f.empty, f.queue, 100*g.busy, g.starts, g.empty, g.queue)
	}
	type limit struct {
		what string
		rate float64
	}
	alone := c.pass + c.list*ahead + c.settle + c.hand
	limits := []limit{
		{fmt.Sprintf("tick.lock: a pass that settles one run and starts one keeps it for %.0f ms, where no two exits share one", alone), 1000 / alone},
		{"tick.lock, where one pass settles and starts many: settle and hand-over alone", 1000 / (c.settle + c.hand)},
		{fmt.Sprintf("%d processors: an item costs %.1f ms of them, beside its agent, and its tick %.1f ms for the slots", runtime.NumCPU(), perItem, pass.cpu),
			1000 * float64(runtime.NumCPU()) / (perItem + pass.cpu)},
	}
	slices.SortFunc(limits, func(a, b limit) int { return int(math.Copysign(1, a.rate-b.rate)) })
	b.WriteString("\nWhat breaks first, and at how many exits a second:\n\n")
	for i, l := range limits {
		fmt.Fprintf(&b, "%d. %s: **%.1f**\n", i+1, l.what, l.rate)
	}
	fmt.Fprintf(&b, "\nBeside these: %d runners have %.1f GB of memory of their own (%.1f GB resident, most of it shared), without their agents. A tick that waits for "+
		"tick.lock asks 200 times a second, and gives up after 60 s: the next exit starts another. A durable write waits %.2f ms for this disk. "+
		"While the queue is paused, or its hours are closed, each pass reads all that waits: %.0f ms of the processor for %d items, %.0f ms on the wall.\n",
		crowd, own.cpu*crowd/1024, own.wall*crowd/1024, median(syncs), blocked.cpu, x.size(50_000), blocked.wall)
	return b.String()
}
