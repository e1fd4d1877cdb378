package bench

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"kugetsu/contrib/internal/rig"
)

var (
	tableFlag  = flag.String("table", "", "write what commands cost into this file")
	beforeFlag = flag.String("before", "", "a kugetsu of an earlier commit, to compare with")
)

// rounds is how often all commands are run in turns, and in each round as often as a row says.
const rounds = 5

// row is a command that a user waits for, and the folder in which it is run.
type row struct {
	name               string
	waiting, completed int
	args               []string
	want               string // what it prints: a command that fails looks fast
	times              int    // in each round
}

var rows = []row{
	{"version", 0, 0, []string{"version"}, "\n", 9},
	{"tick, nothing to do", 0, 0, []string{"tick"}, "", 9},
	{"delegate", 0, 0, []string{"delegate", "you/shop#7", "Repair the basket."}, "q_", 9},
	{"delegate, 10,000 waiting", 10_000, 0, []string{"delegate", "you/shop#7", "Repair the basket."}, "q_", 5},
	{"status", 0, 0, []string{"status"}, "0 of 3 slots occupied, 0 waiting", 9},
	{"status, 10,000 waiting, 10,000 ended", 10_000, 10_000, []string{"status"}, "0 of 3 slots occupied, 10000 waiting", 5},
	{"queue stats, the same", 10_000, 10_000, []string{"queue", "stats"}, ": 10000 runs, 100% succeeded", 3},
	{"queue list, the same", 10_000, 10_000, []string{"queue", "list"}, "Repair the basket.", 1},
}

// TestTable writes RESULTS.md:
//
//	go test ./contrib/bench -run Table -table RESULTS.md -before KUGETSU
//
// Without -table it runs the small rows once, so that the benchmarks keep working.
func TestTable(t *testing.T) {
	if testing.Short() {
		t.Skip("left out with -short: it measures commands that the scripts try")
	}
	n, all := rounds, rows
	if *tableFlag == "" {
		n, all = 1, slices.DeleteFunc(slices.Clone(rows), func(r row) bool { return r.waiting+r.completed > 0 })
	}
	after := rig.Kugetsu(t)
	before := *beforeFlag
	if before == "" {
		before = after
	}
	hello, shared := hello(t), map[string]*state{}
	var b strings.Builder
	for _, r := range all {
		size := fmt.Sprint(r.waiting, r.completed, r.args[0] == "delegate") // those that change a folder have their own
		if shared[size] == nil {
			shared[size] = folder(t, r.waiting, r.completed)
		}
		of, ofOther := shared[size], shared[size]
		var floor, old, now cost
		if *tableFlag == "" {
			r.times = 1
		}
		for range n * r.times {
			floor.measure(t, hello, of.home)
			old.measure(t, before, of.home, r.args...)
			now.measure(t, after, ofOther.home, r.args...)
		}
		for _, c := range []*cost{&old, &now} {
			if !strings.Contains(c.printed, r.want) {
				t.Errorf("%s does not print %q:\n%s", r.name, r.want, c.printed)
			}
		}
		fmt.Fprintf(&b, "| %s | %.1f | %.1f | %.2f | %.1f | %.1f | %.1f |\n", r.name, median(old.cpu), median(now.cpu), median(now.cpu)/median(old.cpu),
			median(now.cpu)/median(floor.cpu), median(old.wall), median(now.wall))
	}
	if *tableFlag == "" || t.Failed() {
		return
	}
	text := fmt.Sprintf("# Speed\n\nWritten by `go test ./contrib/bench -run Table -table FILE -before KUGETSU`, not by hand, on %s with %d processors and %s.\n\n"+
		"Medians of %d rounds, in which the programs took turns, in milliseconds: of the processor's time (user and system), and on the wall.\n"+
		"hello is the smallest Go program that prints a line. Each command printed what it should.\n\n"+
		"| command | before | after | after/before | after/hello | before, wall | after, wall |\n|---|--:|--:|--:|--:|--:|--:|\n%s",
		runtime.GOOS, runtime.NumCPU(), runtime.Version(), n, b.String())
	if err := os.WriteFile(*tableFlag, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// median is in milliseconds.
func median(of []time.Duration) float64 {
	slices.Sort(of)
	return ms(of, 50)
}

// hello builds the smallest program.
func hello(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	source, program := filepath.Join(dir, "main.go"), filepath.Join(dir, "hello")
	if err := os.WriteFile(source, []byte("package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println(\"hello\") }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "build", "-o", program, source).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}
