package bench

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"kugetsu/contrib/internal/rig"
	"kugetsu/queue"
	"kugetsu/slots"
)

// row is a piece of work that a user waits for.
type row struct {
	work   string
	before string // what it was before, and which source says so: see sources
	unit   string // of the samples, "" for milliseconds
	times  int    // in each round
	reach  reach
	sides  func(x *bench, program string) []side // kugetsu first, and then what it must reach a multiple of; the program under test where none is named
}

// The sources of what was before.
const (
	byHand  = " ᵃ" // by hand
	byTable = " ᵇ" // by the table that stood here before
)

const sources = "Before: ᵃ by hand, on the same kind of machine, idle, when the marks were set; ᵇ by the table that stood here until then, CPU / wall, on a busy machine."

var rows = []row{
	{work: "version", before: "5–6" + byHand + ", 12.6 / 13.5" + byTable, times: 9, reach: reach{times: 2}, sides: besideHello("\n", "version")},
	{work: "tick, nothing to do", before: "5–6" + byHand + ", 12.9 / 13.9" + byTable, times: 9, reach: reach{times: 2}, sides: besideHello("", "tick")},
	{work: "delegate, durable", before: "8" + byHand + ", 18.1 / 29.9" + byTable, times: 9, reach: reach{times: 3}, sides: delegateOne},
	{work: "delegate --from, 10,000 lines", before: "10,000" + byHand, reach: reach{most: 2000}, sides: delegateMany},
	{work: "agent's end to next agent's start", before: "25.6" + byHand, reach: reach{most: 12}, sides: handover},
	{work: "300 × true in 3 slots, worktrees there", before: "5,400–6,200" + byHand, reach: reach{most: 2700}, sides: hundreds},
	{work: "tick that fills 3 slots, 10,000 waiting", before: "50" + byHand, sides: fills(10_000)},
	{work: "tick that fills 3 slots, 50,000 waiting", before: "201" + byHand, sides: fills(50_000)},
	{work: "tick that fills 3 slots, 100,000 waiting", reach: reach{most: 60}, sides: fills(100_000)},
	{work: "status, 1,000 waiting", before: "33" + byHand, times: 3, reach: reach{most: 20}, sides: statusOf(1000, 0)},
	{work: "status, 10,000 waiting", before: "300" + byHand, times: 3, reach: reach{most: 20}, sides: statusOf(10_000, 0)},
	{work: "status, 10,000 waiting, 10,000 ended", before: "52.9 / 96.5" + byTable, times: 3, reach: reach{times: 1, more: 50}, sides: statusOf(10_000, 10_000)},
	{work: "status, 50,000 waiting", before: "1,750" + byHand, times: 3, reach: reach{most: 20}, sides: statusOf(50_000, 0)},
	{work: "queue list, 50,000 waiting", before: "3,000" + byHand, sides: list},
	{work: "queue list, its first line", before: "3,000" + byHand, reach: reach{most: 50}, sides: firstLine},
	{work: "queue stats, 10,000 waiting, 40,000 ended", before: "1,000" + byHand, reach: reach{most: 100}, sides: stats(10_000, 40_000)},
	{work: "notify list, 50,000 events", before: "1,700" + byHand, sides: notifications},
	{work: "new worktree, 50,000 files", before: "3,400–4,000" + byHand, reach: reach{times: 1.1}, sides: newWorktree},
	{work: "run in it that changes nothing", before: "190–290" + byHand, reach: reach{times: 1.1}, sides: unchanged},
	{work: "memory of a runner, its own / RSS", before: "2.0 / 9.6" + byHand, unit: "MB", reach: reach{most: 8}, sides: memory},
}

// bench is what the rows share.
type bench struct {
	testing.TB
	whole  bool // the sizes that the rows name; else small ones
	dir    string
	built  map[string]string
	shared map[[2]int]*state

	figures map[string]sample // of kugetsu, by the work of the row
}

func newBench(tb testing.TB, whole bool) *bench {
	return &bench{TB: tb, whole: whole, dir: tb.TempDir(), built: map[string]string{}, shared: map[[2]int]*state{}, figures: map[string]sample{}}
}

func (x *bench) must(errs ...error) {
	x.Helper()
	if err := errors.Join(errs...); err != nil {
		x.Fatal(err)
	}
}

// size is how many there are in a row: few where only the benchmarks themselves are tried.
func (x *bench) size(n int) int {
	if x.whole {
		return n
	}
	return min(n, 12)
}

// folder is a state folder that no row changes.
func (x *bench) folder(waiting, completed int) *state {
	waiting, completed = x.size(waiting), x.size(completed)
	key := [2]int{waiting, completed}
	if x.shared[key] == nil {
		x.shared[key] = folder(x.TB, waiting, completed)
	}
	return x.shared[key]
}

// program is kugetsu: the one that is named, else the one under test.
func (x *bench) program(named string) string {
	if named != "" {
		return named
	}
	return rig.Kugetsu(x.TB)
}

// tool is a program of this folder, or hello, the smallest Go program that prints a line.
func (x *bench) tool(name string) string {
	if x.built[name] == "" {
		path, source := filepath.Join(x.dir, name), "kugetsu/contrib/bench/"+name
		if name == "hello" {
			source = filepath.Join(x.dir, "hello.go")
			x.must(os.WriteFile(source, []byte("package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println(\"hello\") }\n"), 0o600))
		}
		cmd := exec.Command("go", "build", "-o", path, source)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			x.Fatalf("go build %s: %v\n%s", source, err, out)
		}
		x.built[name] = path
	}
	return x.built[name]
}

// once runs a program that prints a text, and tells what it took.
func (x *bench) once(env []string, want, program string, args ...string) (sample, string) {
	x.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = env
	begin := time.Now()
	out, err := cmd.CombinedOutput()
	took := time.Since(begin)
	if err != nil || !strings.Contains(string(out), want) {
		x.Fatalf("%s %q: %v, and it does not print %q:\n%.2000s", program, args, err, want, out)
	}
	return sample{ms(cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()), ms(took)}, string(out)
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// command is a side that runs kugetsu in a folder.
func (x *bench) command(name string, s *state, want, program string, args ...string) side {
	return side{name: name, once: func() sample {
		took, _ := x.once(s.env(), want, program, args...)
		return took
	}}
}

// installed says whether a peer is there.
func installed(name string) bool {
	_, err := exec.LookPath(name)
	return err == nil
}

func besideHello(want string, args ...string) func(*bench, string) []side {
	return func(x *bench, program string) []side {
		s := x.folder(0, 0)
		return []side{x.command("kugetsu", s, want, x.program(program), args...), x.command("hello", s, "hello", x.tool("hello"))}
	}
}

func delegateOne(x *bench, program string) []side {
	s, jobs := folder(x.TB, 0, 0), x.TempDir()
	program = x.program(program)
	sides := []side{{name: "kugetsu", once: func() sample {
		before := s.waiting()
		took, id := x.once(s.env(), "q_", program, "delegate", "you/shop#7", "Repair the basket.")
		if e, err := s.q.Find(strings.TrimSpace(id)); err != nil || s.waiting() != before+1 {
			x.Fatalf("%q is not there: %v %v", id, e, err)
		}
		return took
	}}}
	if installed("nq") {
		sides = append(sides, side{name: "nq", once: func() sample {
			took, job := x.once(s.env("NQDIR="+jobs), ",", "nq", "true")
			if _, err := os.Stat(filepath.Join(jobs, strings.TrimSpace(job))); err != nil {
				x.Fatal(err)
			}
			return took
		}})
	}
	return sides
}

func delegateMany(x *bench, program string) []side {
	lines, n := filepath.Join(x.TempDir(), "tasks.jsonl"), x.size(10_000)
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, `{"issue_ref":"you/shop#%d","message":"Repair the basket."}`+"\n", i+1)
	}
	x.must(os.WriteFile(lines, b.Bytes(), 0o600))
	program = x.program(program)
	return []side{{name: "kugetsu", once: func() sample {
		s := folder(x.TB, 0, 0)
		took, out := x.once(s.env(), "q_", program, "delegate", "--from", lines)
		locations, err := s.q.Locations()
		x.must(err)
		ids := strings.Fields(out)
		for _, id := range ids {
			if _, there := locations[id]; !there {
				x.Fatalf("%s was printed and is not there", id)
			}
		}
		if len(ids) != n || len(locations) != n {
			x.Fatalf("%d lines, %d ids, %d items", n, len(ids), len(locations))
		}
		x.must(os.RemoveAll(s.home))
		return took
	}}}
}

// issues is how many worktrees the items take turns in.
const issues = 6

// drain lets all that waits run, with the processes that it needs: what they took, for all n items.
func (x *bench) drain(s *state, program string, n int, env ...string) sample {
	x.Helper()
	before := s.completed()
	took, _ := x.once(s.env(env...), "", x.tool("tree"), program, "tick")
	if done := s.completed() - before; done != n || s.waiting() > 0 {
		x.Fatalf("%d of %d items completed, %d wait", done, n, s.waiting())
	}
	return took
}

// standing is a folder in which the worktrees are there.
func (x *bench) standing(program string, files, worktrees int) (s *state, repo string) {
	s = folder(x.TB, 0, 0)
	repo = s.repository(files)
	s.delegate(program, worktrees, worktrees)
	x.drain(s, program, worktrees)
	return s, repo
}

func handover(x *bench, program string) []side {
	program = x.program(program)
	s, _ := x.standing(program, 1, issues)
	agent, times, n := x.tool("agent"), filepath.Join(x.TempDir(), "times"), x.size(60)
	gap := func(run func() sample) func() sample {
		return func() sample {
			x.must(os.RemoveAll(times))
			took := run()
			return sample{took.cpu / float64(n+1), median(x.gaps(times, n+1))}
		}
	}
	sides := []side{{name: "kugetsu", once: gap(func() sample {
		s.delegate(program, n+1, issues)
		return x.drain(s, program, n+1, "MAX_CONCURRENT_AGENTS=1", "AGENT_COMMAND="+agent+" "+times)
	})}}
	if installed("tsp") {
		sides = append(sides, side{name: "tsp", once: gap(func() sample {
			took, _ := x.once(s.env("TS_SOCKET="+x.dir+"/gaps.sock", "TMPDIR="+x.dir), "", x.tool("tree"), "sh", "-c",
				fmt.Sprintf("tsp sleep 1; i=0; while [ $i -le %d ]; do tsp %s %s; i=$((i+1)); done; tsp -w; tsp -K", n, agent, times))
			return took
		})})
	}
	return sides
}

// gaps reads when the agents began and ended: the times between one's end and the next one's begin, in milliseconds.
func (x *bench) gaps(path string, want int) []float64 {
	data, err := os.ReadFile(path)
	x.must(err)
	var out []float64
	var last, begun, ended int64
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	for i, line := range lines {
		_, err := fmt.Sscan(line, &begun, &ended)
		x.must(err)
		if i > 0 {
			out = append(out, float64(begun-last)/1e6)
		}
		last = ended
	}
	if len(lines) != want {
		x.Fatalf("%d agents ran, not %d", len(lines), want)
	}
	return out
}

func hundreds(x *bench, program string) []side {
	program = x.program(program)
	s, _ := x.standing(program, 1, issues)
	n, tree := x.size(300), x.tool("tree")
	shell := func(name, script string) side {
		return side{name: name, once: func() sample {
			dir := x.TempDir()
			took, _ := x.once(s.env("TS_SOCKET="+dir+"/s", "TMPDIR="+dir, "N="+strconv.Itoa(n), "DIR="+dir), fmt.Sprintf("done: %d\n", n), tree, "sh", "-c", script)
			return took
		}}
	}
	sides := []side{{name: "kugetsu", once: func() sample {
		s.delegate(program, n, issues)
		return x.drain(s, program, n)
	}}}
	if installed("parallel") {
		sides = append(sides, shell("parallel", `seq $N | parallel --will-cite -j3 --joblog $DIR/log true; echo done: $(awk 'NR > 1 && $7 == 0' $DIR/log | wc -l)`))
	}
	if installed("tsp") {
		sides = append(sides, shell("tsp", `tsp -S 3; i=0; while [ $i -lt $N ]; do tsp true; i=$((i+1)); done >/dev/null; for i in 1 2 3; do tsp -w $((N-i)); done; `+
			`echo done: $(tsp | awk '$2 == "finished" && $4 == 0' | wc -l); tsp -K`))
	}
	return append(sides, shell("plain loop", `i=0; while [ $i -lt $N ]; do /bin/true || exit 1; i=$((i+1)); done; echo done: $i`))
}

// fills measures a pass that fills three slots. Its agents wait for a FIFO, so that no other pass comes meanwhile.
func fills(waiting int) func(*bench, string) []side {
	return func(x *bench, program string) []side {
		program = x.program(program)
		s := folder(x.TB, x.size(waiting), 0)
		s.repository(1)
		fifo, first := filepath.Join(x.TempDir(), "fifo"), filepath.Join(x.TempDir(), "first")
		x.must(syscall.Mkfifo(fifo, 0o600))
		ours := side{name: "kugetsu", once: func() sample {
			before := s.completed()
			x.must(os.RemoveAll(first))
			cmd := exec.Command(x.tool("tree"), program, "tick", "--json")
			cmd.Env = s.env("AGENT_COMMAND=cat "+fifo, "TREE_FIRST="+first)
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			x.must(cmd.Start())
			rig.Until(x.TB, "the pass ended", func() bool { _, err := os.Stat(first); return err == nil }, out.String)
			if n := strings.Count(out.String(), `"slot": `); n != 3 {
				x.Fatalf("%d slots were filled:\n%s", n, out.String())
			}
			data, err := os.ReadFile(first)
			x.must(err)
			var cpu, wall time.Duration
			_, err = fmt.Sscan(string(data), &cpu, &wall)
			x.must(err)
			x.once(s.env(), "", program, "pause")
			rig.Until(x.TB, "the agents ended", func() bool {
				if w, err := os.OpenFile(fifo, os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
					x.must(w.Close())
				}
				return s.completed() == before+3
			}, out.String)
			x.must(cmd.Wait())
			x.once(s.env(), "", program, "resume")
			return sample{ms(cpu), ms(wall)}
		}}
		return []side{ours, {name: "ls -U of the names", once: func() sample {
			took, out := x.once(s.env(), "q_", "ls", "-U", s.q.Items)
			if strings.Count(out, "\n") != s.waiting() {
				x.Fatal("ls does not print the names")
			}
			return took
		}}}
	}
}

func statusOf(waiting, completed int) func(*bench, string) []side {
	return func(x *bench, program string) []side {
		program = x.program(program)
		return []side{x.command("kugetsu", x.folder(waiting, completed), fmt.Sprintf("0 of 3 slots occupied, %d waiting", x.size(waiting)), program, "status"),
			x.command("status, empty", x.folder(0, 0), "0 of 3 slots occupied, 0 waiting", program, "status")}
	}
}

func list(x *bench, program string) []side {
	s, program := x.folder(50_000, 0), x.program(program)
	return []side{{name: "kugetsu", once: func() sample {
		took, out := x.once(s.env(), "Repair the basket.", program, "queue", "list")
		if n := strings.Count(out, "\n"); n != s.waiting()+1 {
			x.Fatalf("%d lines", n)
		}
		return took
	}}, parse(x, s.q.Items, func() any { return new(queue.Item) })}
}

// parse is a floor: read and parse all files of a folder.
func parse(x *bench, dir string, value func() any) side {
	return side{name: "read and parse all", once: func() sample {
		begin, cpu := time.Now(), ownTime(x)
		names, err := os.ReadDir(dir)
		x.must(err)
		for _, name := range names {
			data, err := os.ReadFile(filepath.Join(dir, name.Name()))
			x.must(err, json.Unmarshal(data, value()))
		}
		return sample{ms(ownTime(x) - cpu), ms(time.Since(begin))}
	}}
}

// ownTime is the time of the processor that this process took.
func ownTime(x *bench) time.Duration {
	var use syscall.Rusage
	x.must(syscall.Getrusage(syscall.RUSAGE_SELF, &use))
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

// firstLine measures until the first line of the list is there. The list must be whole all the same.
func firstLine(x *bench, program string) []side {
	s, program := x.folder(50_000, 0), x.program(program)
	return []side{{name: "kugetsu", once: func() sample {
		cmd := exec.Command(program, "queue", "list")
		cmd.Env = s.env()
		out, err := cmd.StdoutPipe()
		x.must(err)
		begin := time.Now()
		x.must(cmd.Start())
		lines := bufio.NewReader(out)
		heading, err := lines.ReadString('\n')
		took := sample{ms(processorTime(x, cmd.Process.Pid)), ms(time.Since(begin))}
		x.must(err)
		n := 0
		for ; err == nil; n++ {
			_, err = lines.ReadString('\n')
		}
		x.must(cmd.Wait())
		if n-1 != s.waiting() || !strings.HasPrefix(heading, "ID") {
			x.Fatalf("%q and %d lines", heading, n-1)
		}
		return took
	}}, x.command("hello", s, "hello", x.tool("hello"))}
}

func stats(waiting, completed int) func(*bench, string) []side {
	return func(x *bench, program string) []side {
		s, program := x.folder(waiting, completed), x.program(program)
		return []side{x.command("kugetsu", s, fmt.Sprintf(": %d runs, 100%% succeeded", x.size(completed)), program, "queue", "stats"),
			x.command("stats, empty", x.folder(0, 0), "no run ended", program, "queue", "stats")}
	}
}

func notifications(x *bench, program string) []side {
	s, program, n := folder(x.TB, 0, 0), x.program(program), x.size(50_000)
	s.events(n)
	return []side{{name: "kugetsu", once: func() sample {
		took, out := x.once(s.env(), "task_queued", program, "notify", "list")
		if lines := strings.Count(out, "task_queued"); lines != n {
			x.Fatalf("%d of %d events", lines, n)
		}
		return took
	}}, parse(x, s.q.Events.New, func() any { return new(map[string]any) })}
}

func newWorktree(x *bench, program string) []side {
	program = x.program(program)
	s := folder(x.TB, 0, 0)
	repo := s.repository(x.size(50_000))
	agent, times, theirs, n := x.tool("agent"), filepath.Join(x.TempDir(), "times"), filepath.Join(x.TempDir(), "worktree"), 0
	return []side{{name: "kugetsu", once: func() sample {
		n++
		x.must(os.RemoveAll(times))
		x.once(s.env(), "q_", program, "delegate", fmt.Sprintf("you/shop#%d", n), "nothing")
		begin := time.Now().UnixNano()
		took := x.drain(s, program, 1, "AGENT_COMMAND="+agent+" "+times)
		data, err := os.ReadFile(times)
		x.must(err)
		var begun, ended int64
		_, err = fmt.Sscan(string(data), &begun, &ended)
		x.must(err)
		return sample{took.cpu, float64(begun-begin) / 1e6}
	}}, {name: "git worktree add", once: func() sample {
		took, _ := x.once(s.env(), "", x.tool("tree"), "git", "-C", repo, "worktree", "add", "-q", "-b", fmt.Sprintf("b%d", n), theirs)
		s.git("-C", repo, "worktree", "remove", "--force", theirs)
		return took
	}}}
}

func unchanged(x *bench, program string) []side {
	program = x.program(program)
	s, _ := x.standing(program, x.size(50_000), 1)
	sess, err := slots.Dir(s.home).ReadSession("github.com+you+shop@1")
	x.must(err)
	return []side{{name: "kugetsu", once: func() sample {
		s.delegate(program, 1, 1)
		return x.drain(s, program, 1)
	}}, {name: "git status", once: func() sample {
		took, out := x.once(s.env(), "", x.tool("tree"), "git", "-C", sess.Worktree, "status", "--porcelain")
		if out != "" {
			x.Fatalf("the worktree was changed: %.200s", out)
		}
		return took
	}}}
}

// memory measures a runner while its agent works.
func memory(x *bench, program string) []side {
	program = x.program(program)
	s, _ := x.standing(program, 1, 1)
	fifo := filepath.Join(x.TempDir(), "fifo")
	x.must(syscall.Mkfifo(fifo, 0o600))
	return []side{{name: "kugetsu", once: func() sample {
		before := s.completed()
		s.delegate(program, 1, 1)
		x.once(s.env("AGENT_COMMAND=cat "+fifo), "", program, "tick")
		live, err := s.q.Live(queue.Dev)
		x.must(err)
		it, err := s.q.Load(live[0])
		x.must(err)
		rig.Until(x.TB, "the agent works", func() bool {
			m, err := slots.Dir(s.home).ReadMarker(slots.RunName(it.ID, 1))
			return err == nil && m.Phase == slots.Started
		})
		took := residentSet(x, *it.ForkPID)
		rig.Until(x.TB, "the run ended", func() bool {
			if w, err := os.OpenFile(fifo, os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
				x.must(w.Close())
			}
			return s.completed() == before+1
		})
		return took
	}}, {name: "hello", once: func() sample {
		cmd := exec.Command(x.tool("hello"))
		x.must(cmd.Run())
		return sample{0, float64(cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss) / 1024}
	}}}
}

// processorTime is what all threads of a process took until now. It is 0 where /proc does not tell.
func processorTime(x *bench, pid int) (all time.Duration) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	x.must(err)
	for _, path := range threads {
		data, err := os.ReadFile(path)
		if err != nil { // the thread ended
			continue
		}
		n, err := strconv.ParseInt(strings.Fields(string(data))[0], 10, 64)
		x.must(err)
		all += time.Duration(n)
	}
	return all
}

// residentSet is a process's own memory, and all of it that is resident, in megabytes.
func residentSet(x *bench, pid int) sample {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	x.must(err)
	field := func(name string) float64 {
		lines := strings.Split(string(data), "\n")
		i := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, name+":") })
		if i < 0 {
			x.Fatalf("no %s of process %d", name, pid)
		}
		n, err := strconv.ParseFloat(strings.Fields(lines[i])[1], 64)
		x.must(err)
		return n / 1024
	}
	return sample{field("RssAnon"), field("VmRSS")}
}
