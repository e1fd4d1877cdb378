// Package bench measures what a user waits for.
//
//	go test -bench . -benchtime 100x ./contrib/bench
//
// BenchmarkHandover prints the time between the end of one agent and the start of the next in the same slot, the worktree
// being there already. Where task-spooler (tsp) is installed, the same is measured with it in the same run and the ratio
// is printed: it has a resident server, no worktrees, no record on disk, and so is what there is to come near to.
//
// BenchmarkStatus and BenchmarkStats print what a look at a full folder costs more than one at an empty folder, in the same run:
//
//	go test -bench 'Status|Stats' -benchtime 11x ./contrib/bench
//
// TestTable writes RESULTS.md, what commands cost beside those of an earlier commit and beside the smallest Go program:
//
//	go test ./contrib/bench -run Table -table $PWD/contrib/bench/RESULTS.md -before KUGETSU
package bench

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kugetsu/contrib/internal/rig"
)

// issues is how many worktrees the items take turns in.
const issues = 4

func BenchmarkHandover(b *testing.B) {
	dir := b.TempDir()
	bin := filepath.Join(dir, "bin")
	if err := rig.Install(filepath.Join(bin, "kugetsu")); err != nil {
		b.Fatal(err)
	}
	run(b, nil, "go", "build", "-o", bin+"/agent", "kugetsu/contrib/bench/agent")
	agent := filepath.Join(bin, "agent")

	ours := kugetsu(b, dir, agent)
	b.ReportMetric(ms(ours, 50), "ms/handover")
	b.ReportMetric(ms(ours, 90), "ms/handover-p90")
	b.ReportMetric(0, "ns/op") // a whole item, with its delegate: says nothing here
	if tsp, err := exec.LookPath("tsp"); err == nil {
		theirs := spooler(b, dir, tsp, agent)
		b.ReportMetric(ms(theirs, 50), "ms/tsp")
		b.ReportMetric(ms(ours, 50)/ms(theirs, 50), "x/tsp")
	} else {
		b.Log("no ratio: tsp (Debian's task-spooler) is not installed")
	}
}

// kugetsu runs b.N items through one slot and returns the gaps between them.
func kugetsu(b *testing.B, dir, agent string) []time.Duration {
	repo, times := filepath.Join(dir, "repo"), filepath.Join(dir, "kugetsu.times")
	run(b, nil, "git", "init", "-q", "-b", "main", repo)
	run(b, nil, "git", "-C", repo, "-c", "user.name=b", "-c", "user.email=b@localhost", "commit", "-q", "--allow-empty", "-m", "first")
	env := append(os.Environ(), "KUGETSU_DIR="+dir+"/state", "MAX_CONCURRENT_AGENTS=1", "KUGETSU_AGENT=command", "AGENT_MEMORY=0", "MIN_FREE_DISK=0",
		"AGENT_COMMAND="+agent+" "+times, "HOME="+dir)
	cli := func(args ...string) { run(b, env, filepath.Join(dir, "bin", "kugetsu"), args...) }
	cli("init")
	if err := os.WriteFile(dir+"/state/repos.json", fmt.Appendf(nil, `{"github.com/you/project": %q}`, repo), 0o600); err != nil {
		b.Fatal(err)
	}
	delegate := func(n int) {
		for i := range n {
			cli("delegate", fmt.Sprintf("you/project#%d", i%issues+1), "nothing")
		}
	}
	delegate(issues) // the worktrees
	cli("tick")
	cli("queue", "wait", "--all")
	if err := os.Remove(times); err != nil {
		b.Fatal(err)
	}
	delegate(b.N + 1)
	b.ResetTimer()
	cli("tick", "--wait") // the tick that the last run started may have the lock
	cli("queue", "wait", "--all")
	b.StopTimer()
	return gaps(b, times, b.N+1)
}

// spooler does the same with task-spooler.
func spooler(b *testing.B, dir, tsp, agent string) []time.Duration {
	times := filepath.Join(dir, "tsp.times")
	env := append(os.Environ(), "TS_SOCKET="+dir+"/tsp.sock", "TMPDIR="+dir)
	defer run(b, env, tsp, "-K")
	run(b, env, tsp, "sleep", "1") // lets all be queued first
	for range b.N + 1 {
		run(b, env, tsp, agent, times)
	}
	run(b, env, tsp, "-w")
	return gaps(b, times, b.N+1)
}

// gaps reads when the agents began and ended, and returns the times between one's end and the next one's begin.
func gaps(b *testing.B, path string, want int) []time.Duration {
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	var out []time.Duration
	var last, begun, ended int64
	n := 0
	for in := bufio.NewScanner(f); in.Scan(); n++ {
		if _, err := fmt.Sscan(in.Text(), &begun, &ended); err != nil {
			b.Fatal(err)
		}
		if n > 0 {
			out = append(out, time.Duration(begun-last))
		}
		last = ended
	}
	if n != want {
		b.Fatalf("%d agents ran, not %d", n, want)
	}
	slices.Sort(out)
	return out
}

// ms is a percentile in milliseconds.
func ms(sorted []time.Duration, percent int) float64 {
	return float64(sorted[(len(sorted)-1)*percent/100].Microseconds()) / 1000
}

func run(b *testing.B, env []string, name string, args ...string) {
	cmd := exec.Command(name, args...)
	cmd.Env = env
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}
