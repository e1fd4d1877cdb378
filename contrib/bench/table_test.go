package bench

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"
)

var (
	tableFlag  = flag.String("table", "", "write what a user waits for into this file")
	beforeFlag = flag.String("before", "", "a kugetsu of an earlier commit, to be measured in the same rounds")
	partFlag   = flag.String("part", "", "only the rows whose names have this text")
)

// rounds is how often all sides of a row take turns, and in each round as often as the row says.
const rounds = 5

// TestTable writes RESULTS.md: see the package. Without -table it runs each row once and small, so that the benchmarks keep working.
func TestTable(t *testing.T) {
	if testing.Short() {
		t.Skip("with -short: it runs agents")
	}
	whole := *tableFlag != ""
	x := newBench(t, whole)
	var b strings.Builder
	begin, loadBefore := time.Now(), load()
	for _, r := range rows {
		if !strings.Contains(r.work, *partFlag) {
			continue
		}
		b.WriteString(r.measure(x))
		t.Logf("%s: %s", time.Since(begin).Round(time.Second), r.work)
	}
	calls := callTable(x)
	curve := curveText(x)
	text := fmt.Sprintf("# Speed\n\nWritten by `go test ./contrib/bench -run Table -table FILE`, not by hand, on %s with %d processors and %s.\n"+
		"The load was %s before and %s after, all files were on %s: see [what the figures mean](#what-the-figures-mean).\n\n%s\n%s\n%s\n%s\n%s",
		runtime.GOOS, runtime.NumCPU(), runtime.Version(), loadBefore, load(), fileSystem(x.TempDir()), head+b.String(), meaning, tried, calls, curve)
	if !whole {
		t.Log(text) // of sizes that mean nothing
		return
	}
	x.must(os.WriteFile(*tableFlag, []byte(text), 0o644))
}

// fileSystem is the kind of that of a folder.
func fileSystem(dir string) string {
	out, err := exec.Command("findmnt", "-T", dir, "-n", "-o", "FSTYPE").Output()
	if err != nil {
		return "a file system that is not known"
	}
	kind, _, _ := strings.Cut(string(out), "\n") // it says one for each mount there
	return kind
}

const head = "| work | before | now: CPU | wall | peer or floor | its CPU | wall | ratio: CPU | wall | must reach | reached? |\n" +
	"|---|--:|--:|--:|---|--:|--:|--:|--:|---|---|\n"

const meaning = `## What the figures mean

Medians of five rounds in which the programs took turns, in milliseconds, unless a row has another unit. CPU is the time of the
processor, of user and system. In rows with runs it is that of all processes that the work needed, their gits and ticks too; of
"agent's end" it is for one item. "new worktree" has the time on the wall until the agent begins, and the CPU of the whole run.

"reached?" judges by the time on the wall, of a ratio by both times on the wall, in the same rounds. A machine that is busy makes
that longer: so "by CPU alone" says where the processor's time is short enough and the wall's is not. Waits for the disk are in the wall
alone, and on tmpfs there are none. A disk may take several times as much of the processor to make 50,000 files where no others were deleted just
before, git's or kugetsu's.

hello is the smallest Go program that prints a line. nq, tsp (task-spooler) and parallel are Debian's. They keep no record that outlives
a power cut, and no worktrees. Every row proves its work: the runs ended ok, the items are there, the output has its lines.

` + sources + `
`

// measure measures a row, and tells it as lines of the table.
func (r row) measure(x *bench) string {
	times, n := r.times, rounds
	if !x.whole {
		times, n = 1, 1
	}
	sides := r.sides(x, "")
	if *beforeFlag != "" {
		old := r.sides(x, *beforeFlag)[0]
		old.name = "kugetsu before"
		sides = append(sides, old)
	}
	var taken [][]sample
	for range n {
		taken = append(taken, round(sides, times))
	}
	all := medians(sides, taken)
	x.figures[r.work] = all[0].sample
	unit := cmp.Or(r.unit, "ms")
	peer := ""
	if len(all) > 1 {
		peer = all[1].name
	}
	figure := func(n float64) string {
		switch {
		case n == 0:
			return "–"
		case n >= 1000:
			return fmt.Sprintf("%d,%03d", int(n+0.5)/1000, int(n+0.5)%1000)
		}
		return fmt.Sprintf("%.1f", n)
	}
	ratio := func(ours, theirs float64) string {
		if theirs == 0 {
			return "–"
		}
		return fmt.Sprintf("%.2f", ours/theirs)
	}
	var b strings.Builder
	work, before, cpu, wall, must, reached := r.work, cmp.Or(r.before, "–"), figure(all[0].cpu), figure(all[0].wall), r.reach.text(peer, unit), r.reach.reached(all, unit)
	if r.unit != "" {
		work += ", " + r.unit
	}
	if len(all) == 1 {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | – | | | | | %s | %s |\n", work, before, cpu, wall, must, reached)
	}
	for _, p := range all[1:] {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", work, before, cpu, wall, p.name, figure(p.cpu), figure(p.wall),
			ratio(all[0].cpu, p.cpu), ratio(all[0].wall, p.wall), must, reached)
		work, before, cpu, wall, must, reached = "", "", "", "", "", ""
	}
	return b.String()
}

// load is how busy the machine is.
func load() string {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "not known"
	}
	return strings.Fields(string(data))[0]
}
