package slurm

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"kugetsu/contrib/internal/cluster"
	"kugetsu/contrib/internal/rig"
)

// TestClusterThatIsWell has the stories in which the cluster does what it should. They share one.
func TestClusterThatIsWell(t *testing.T) {
	t.Parallel()
	c := up(t)
	for name, story := range map[string]func(*testing.T, *cluster.Cluster){
		"six items take three slots on both nodes": sixItems,
		"a job that waits is cancelled":            cancelsWhatWaits,
		"a job that runs is cancelled":             cancelsWhatRuns,
		"an agent takes too long":                  takesTooLong,
		"an agent takes too much memory":           takesTooMuch,
		"a person ends a job with scancel":         endedByHand,
		"a license bounds what Slurm starts":       licensed,
		"doctor asks a node":                       doctorAsks,
		"Slurm's own limit is the shorter one":     meetsSlurmsLimit,
		"the end of a run starts a tick":           ticksOnTheNode,
		"worktrees are on the nodes' own disks":    worksOnScratch,
		"a job on a node's own disk is ended":      endedOnScratch,
		"a job's limit is shortened as it runs":    meetsAShorterLimit,
		"submodules keep a worktree off that disk": worksHereWithSubmodules,
		"a job on a node's own disk is killed":     killedOnScratch,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			story(t, c)
		})
	}
}

func sixItems(t *testing.T, c *cluster.Cluster) {
	w := newWorld(t, c, "SLURM_ARGS=-c 6") // of 16: a node has room for two
	var ids []string
	for n := range 6 {
		// The first three end when all three have begun, and the others at once.
		ids = append(ids, w.delegate(n+1, fmt.Sprintf(`while [ -d %[1]s ] && [ "$(grep -c begin %[1]s/record)" -lt 3 ]; do sleep 0.05; done`, w.dir)))
	}
	for _, id := range ids {
		it := w.completed(id)
		if last := it.History[len(it.History)-1]; last.Job == "" || !slices.Contains(w.began(id), last.Node) {
			t.Errorf("%s ran as job %q on %q, and began on %q", id, last.Job, last.Node, w.began(id))
		}
	}
	if most := w.atOnce(); most != 3 {
		t.Errorf("%d agents worked at the same time, want 3", most)
	}
	nodes := map[string]bool{}
	for _, l := range w.record() {
		nodes[l[2]] = true
	}
	if len(nodes) != 2 {
		t.Errorf("the nodes used are %v", nodes)
	}
	for n := range 6 {
		cmd := exec.Command("git", "log", "-1", "--format=%s", fmt.Sprintf("fix/issue-%d", n+1))
		cmd.Env, cmd.Dir = w.env, filepath.Join(w.dir, "repo")
		if out, err := cmd.CombinedOutput(); err != nil || string(out) != "work of "+ids[n]+".1\n" {
			t.Errorf("the last commit of issue %d is %q, %v", n+1, out, err)
		}
	}
	if jobs := w.jobs("%i"); len(jobs) != 6 {
		t.Errorf("there were %d jobs", len(jobs))
	}
}

func cancelsWhatWaits(t *testing.T, c *cluster.Cluster) {
	w := newWorld(t, c, "SLURM_ARGS=--begin=now+1hour")
	id := w.delegate(1, "true")
	w.kugetsu(0, "tick")
	w.until("status shows the job", func() bool {
		return regexp.MustCompile(`queued in Slurm as job \d+ \(BeginTime\)`).MatchString(w.kugetsu(0, "status"))
	})
	w.kugetsu(0, "queue", "cancel", id)
	w.outcomes(id, w.ended(id), "cancelled")
	if states := w.jobs("%T"); !slices.Equal(states, []string{"CANCELLED"}) {
		t.Errorf("the jobs are %q", states)
	}
	if n := len(w.began(id)); n != 0 {
		t.Errorf("%d agents began", n)
	}
}

func cancelsWhatRuns(t *testing.T, c *cluster.Cluster) {
	w := newWorld(t, c)
	id := w.delegate(1, w.waitFor("never"))
	w.kugetsu(0, "tick")
	w.until("the agent works", func() bool { return len(w.began(id)) == 1 })
	if node, status := w.began(id)[0], w.kugetsu(0, "status"); !regexp.MustCompile(`job \d+ on ` + node).MatchString(status) {
		t.Errorf("status does not show the node:\n%s", status)
	}
	w.kugetsu(0, "queue", "cancel", id)
	w.outcomes(id, w.ended(id), "cancelled")
	w.until("the job is over", func() bool { // cancelled or, where its runner was quicker, completed
		states := w.jobs("%T")
		return len(states) == 1 && (states[0] == "CANCELLED" || states[0] == "COMPLETED")
	})
}

func takesTooLong(t *testing.T, c *cluster.Cluster) {
	w := newWorld(t, c, "TASK_TIMEOUT=2s")
	id := w.delegate(1, w.waitFor("never"))
	w.outcomes(id, w.ended(id), "timeout")
	w.completed(w.delegate(1, "true"))
}

func takesTooMuch(t *testing.T, c *cluster.Cluster) {
	if !c.Cgroup {
		t.Skip("no control groups of version 1 here that a test may use, so Slurm bounds no memory")
	}
	w := newWorld(t, c, "AGENT_MEMORY=150M")
	id := w.delegate(1, `head -c 400M /dev/zero | tail >/dev/null`)
	w.outcomes(id, w.ended(id), "outgrown")
	w.completed(w.delegate(2, "true"))
}

// The cluster has three licenses, for all users together.
func licensed(t *testing.T, c *cluster.Cluster) {
	w := newWorld(t, c, "MAX_CONCURRENT_AGENTS=5", "SLURM_LICENSE=agents")
	var ids []string
	for n := range 5 {
		ids = append(ids, w.delegate(n+1, w.waitFor("go")))
	}
	w.kugetsu(0, "tick")
	w.until("three agents work, and two jobs wait for a license", func() bool {
		waits := regexp.MustCompile(`queued in Slurm as job \d+ \(Licenses\)`).FindAllString(w.kugetsu(0, "status"), -1)
		return len(waits) == 2 && w.atOnce() == 3
	})
	w.touch("go")
	for _, id := range ids {
		w.completed(id)
	}
	if most := w.atOnce(); most != 3 {
		t.Errorf("%d agents worked at the same time, want 3", most)
	}
}

func doctorAsks(t *testing.T, c *cluster.Cluster) {
	w := newWorld(t, c, "SLURM_WORKDIR="+c.Scratch())
	_, out := w.try("doctor", "-v") // its exit code is that of all that it looks at
	for _, want := range []string{`n\d-\d+ has ` + c.Scratch() + ` for itself`, `the node n\d-\d+ has the state folder and this program`, `file locks reach from here to n\d`, `the cluster has no accounting`} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("doctor does not say %q:\n%s", want, out)
		}
	}
	shared := filepath.Join(w.dir, "shared")
	must(t, os.Mkdir(shared, 0o700))
	for disk, want := range map[string]string{shared: "SLURM_WORKDIR is no disk of n", "/nowhere": "SLURM_WORKDIR cannot be used on this node: mkdir /nowhere/kugetsu-"} {
		must(t, os.WriteFile(filepath.Join(w.dir, "state", "config"), []byte("KUGETSU_ENGINE=slurm\nSLURM_CONF="+c.Conf()+"\nSLURM_WORKDIR="+disk+"\n"), 0o600))
		if code, out := w.try("doctor"); code == 0 || !strings.Contains(out, want) {
			t.Errorf("with SLURM_WORKDIR=%s doctor says, with exit code %d:\n%s", disk, code, out)
		}
	}
	must(t, os.WriteFile(filepath.Join(w.dir, "state", "config"), []byte("KUGETSU_ENGINE=slurm\nSLURM_CONF="+c.Conf()+"\nSLURM_ARGS=-p nowhere\n"), 0o600))
	if code, out := w.try("doctor"); code == 0 || !strings.Contains(out, "a job cannot be submitted") {
		t.Errorf("of a partition that is not there doctor says, with exit code %d:\n%s", code, out)
	}
}

func meetsSlurmsLimit(t *testing.T, c *cluster.Cluster) {
	if !*full {
		t.Skip("it takes two minutes: -full tries it")
	}
	w := newWorld(t, c, "SLURM_ARGS=--time=1")
	id := w.delegate(1, w.waitFor("never"))
	it := w.ended(id)
	w.outcomes(id, it, "timeout")
	if !strings.Contains(it.History[0].Summary, "TIMEOUT") {
		t.Errorf("the history says %+v", it.History)
	}
}

func endedByHand(t *testing.T, c *cluster.Cluster) {
	w := newWorld(t, c)
	id := w.delegate(1, w.waitFor("go"))
	w.kugetsu(0, "tick")
	w.until("the agent works", func() bool { return len(w.began(id)) == 1 })
	if _, err := c.Slurm("scancel", w.jobs("%i")[0]); err != nil {
		t.Fatal(err)
	}
	w.until("the job is gone", func() bool { return slices.Equal(w.jobs("%T"), []string{"CANCELLED"}) })
	w.touch("go") // for the next run
	w.completed(id, "lost")
}

func ticksOnTheNode(t *testing.T, c *cluster.Cluster) {
	w := newWorld(t, c, "SLURM_TICK=true", "MAX_CONCURRENT_AGENTS=1")
	first, second := w.delegate(1, "true"), w.delegate(2, "true")
	w.kugetsu(0, "tick")
	w.kugetsu(0, "queue", "wait", first, second, "--timeout", rig.Patience.String()) // nothing here makes a pass
	w.completed(first)
	w.completed(second)
}

func TestNodeThatLosesPowerGivesItsRunToTheOther(t *testing.T) {
	t.Parallel()
	c := up(t)
	w := newWorld(t, c)
	id := w.delegate(1, w.waitFor("go"))
	w.kugetsu(0, "tick")
	w.until("the agent works", func() bool { return len(w.began(id)) == 1 })
	node := w.began(id)[0]
	must(t, c.CutPower(node))
	w.touch("go")
	it := w.completed(id, "lost")
	if nodes := w.began(id); len(nodes) != 2 || nodes[1] == node {
		t.Errorf("the agents began on %q", nodes)
	}
	if !strings.Contains(it.History[0].Summary, "NODE_FAIL") || it.History[0].Node != node {
		t.Errorf("the history says %+v", it.History)
	}
}

// The daemon of the node is dead, so Slurm says that the node failed. But the agent works on.
func TestNodeThatOnlySeemsToFailNeverHasASecondAgentBesideItsOwn(t *testing.T) {
	t.Parallel()
	c := up(t)
	w := newWorld(t, c)
	id := w.delegate(1, w.waitFor("go"))
	w.kugetsu(0, "tick")
	w.until("the agent works", func() bool { return len(w.began(id)) == 1 })
	node := w.began(id)[0]
	must(t, c.EndSlurmd(node, "KILL"))
	w.until("Slurm says that the node failed", func() bool { return slices.Equal(w.jobs("%T"), []string{"NODE_FAIL"}) })
	w.until("a second agent works", func() bool { w.kugetsu(0, "tick"); return len(w.began(id)) == 2 })
	if nodes := w.began(id); nodes[1] == node {
		t.Errorf("the agents began on %q", nodes)
	}
	w.touch("go")
	w.completed(id, "lost") // and no agent said that it was not alone
}

// The same with worktrees on the nodes' own disks: the runner that was taken for lost brings back what its agent had left.
func TestNodeThatOnlySeemsToFailBringsBackItsWork(t *testing.T) {
	t.Parallel()
	c := up(t)
	w := onScratch(t, c)
	id := w.delegate(1, "case $KUGETSU_RUN in *.1)\n"+w.leaves()+w.waitFor("never")+";; esac\n"+finds+"exit 0")
	w.kugetsu(0, "tick")
	w.until("the agent has left its work", func() bool {
		return len(w.began(id)) == 1 && strings.Contains(w.scratchFile(c.Nodes[0], "c"), "untracked")
	})
	must(t, c.EndSlurmd(c.Nodes[0], "KILL"))
	w.until("Slurm says that the node failed", func() bool {
		return strings.Contains(strings.Join(w.jobs("%T"), " "), "NODE_FAIL")
	})
	w.on(c.Nodes[1])
	w.completed(id, "lost")
	must(t, c.StartSlurmd(c.Nodes[0]))
	must(t, c.AwaitIdle())
	for _, node := range c.Nodes {
		if left := w.scratch(node); left != "" {
			t.Errorf("%s has\n%s", node, left)
		}
	}
}

func TestControllerThatIsAwayStopsNothingThatRuns(t *testing.T) {
	t.Parallel()
	c := up(t)
	w := newWorld(t, c, "MAX_CONCURRENT_AGENTS=2")
	runs, ends, waits := w.delegate(1, w.waitFor("later")), w.delegate(2, w.waitFor("go")), w.delegate(3, "true")
	w.kugetsu(0, "tick")
	w.until("two agents work", func() bool { return len(w.began(runs)) == 1 && len(w.began(ends)) == 1 })
	must(t, c.EndController("TERM"))
	w.touch("go")
	w.until("an agent is done", func() bool { return slices.ContainsFunc(w.record(), func(l []string) bool { return l[0] == "end" }) })
	// A run with the mark of its end is settled; the slot that this frees is not filled.
	w.completed(ends)
	if status := w.kugetsu(0, "status"); !strings.Contains(status, "Slurm does not answer") {
		t.Errorf("status says\n%s", status)
	}
	for range 3 {
		w.kugetsu(0, "tick")
	}
	if a, b := w.item(runs), w.item(waits); a.State != "notified" || b.State != "pending" || len(w.began(waits)) > 0 {
		t.Errorf("what runs is %s, what waits is %s", a.State, b.State)
	}
	must(t, c.StartController())
	w.completed(waits)
	w.touch("later")
	w.completed(runs)
}

// TestControllerThatIsKilledLosesNothingAndRepeatsNothing kills the controller around the start of a job. It saves its state late, so
// that it may know less than happened: it starts a job again that ran, or knows nothing of one that it had taken.
func TestControllerThatIsKilledLosesNothingAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	c := up(t)
	instants := []time.Duration{0, 600 * time.Millisecond, 1200 * time.Millisecond}
	if *full {
		instants = nil
		for n := range 10 {
			instants = append(instants, time.Duration(n*n)*70*time.Millisecond)
		}
	}
	repeated := 0
	for _, after := range instants {
		t.Run(after.String(), func(t *testing.T) {
			w := newWorld(t, c, "MAX_ATTEMPTS=5")
			id := w.delegate(1, "sleep 3")
			// It saves its state at once after five quiet seconds, and else five seconds after the last time. So it will have saved that
			// there is a job, and not that the job was started.
			w.until("the controller has saved nothing for some time", func() bool {
				saved, err := os.Stat(filepath.Join(c.Dir, "state", "job_state"))
				return err != nil || time.Since(saved.ModTime()) > 6*time.Second
			})
			w.kugetsu(0, "tick")
			if after > 0 {
				w.until("the job runs", func() bool { return slices.Equal(w.jobs("%T"), []string{"RUNNING"}) })
			}
			t0 := time.Now()
			w.until("the instant", func() bool { return time.Since(t0) >= after })
			must(t, c.EndController("KILL"))
			must(t, c.StartController())
			it := w.ended(id)
			if it.State != "completed" {
				t.Errorf("%s is %s: %+v", id, it.State, it)
			}
			// It may start the job once more, also after the run has ended. A node on which it finds a job that it did not expect is drained.
			w.until("every job is over", func() bool {
				c.Resume()
				return !slices.ContainsFunc(w.jobs("%T"), func(state string) bool {
					return slices.Contains([]string{"PENDING", "CONFIGURING", "RUNNING", "COMPLETING"}, state)
				})
			})
			// A run that was fenced in the instant in which its agent was done is lost, and is tried again. Each other run did nothing.
			for i, r := range it.History {
				if last := i == len(it.History)-1; last != (r.Outcome == "ok") || !last && r.Outcome != "void" && r.Outcome != "lost" {
					t.Errorf("run %d ended as %s: %+v", r.Run, r.Outcome, it.History)
				}
			}
			logs, err := filepath.Glob(filepath.Join(w.dir, "state", "runs", "*", "log"))
			must(t, err)
			for _, log := range logs {
				if text, err := os.ReadFile(log); err != nil || strings.Contains(string(text), "does nothing") {
					repeated++
					t.Logf("%v\n%s", err, text)
				}
			}
			t.Logf("killed after %s: %+v, jobs %q", after, it.History, w.jobs("%i %T"))
			must(t, c.AwaitIdle())
		})
	}
	if t.Logf("%d jobs ran once more", repeated); *full && repeated == 0 {
		t.Error("no job ran once more, so that this was not tried")
	}
}

// slowSbatch says that it was called, waits, and is then what it is called.
const slowSbatch = `#!/bin/sh
W=$(dirname "$(dirname "$0")")
echo called >>"$W/called"
while [ -d "$W" ] && ! [ -e "$W/frozen" ]; do sleep 0.05; done
PATH=${PATH#*:} exec sbatch "$@"
`

// The controller takes the job and does not answer in time: sbatch fails, and the job is there.
func TestJobThatLandedAlthoughSbatchFailedIsNotSubmittedAgain(t *testing.T) {
	t.Parallel()
	c := up(t)
	w := newWorld(t, c)
	must(t, os.WriteFile(filepath.Join(w.dir, "bin", "sbatch"), []byte(slowSbatch), 0o700))
	id := w.delegate(1, "true")
	ticked := make(chan string, 1)
	go func() {
		_, out := w.try("tick")
		ticked <- out
	}()
	w.until("sbatch is called", func() bool { return w.there("called") })
	must(t, c.Freeze())
	w.touch("frozen")
	t.Logf("the tick said:\n%s", <-ticked)
	must(t, c.Thaw())
	w.completed(id)
	if n, jobs := len(w.began(id)), w.jobs("%j %T"); n != 1 || len(jobs) != 1 {
		t.Errorf("%d agents, jobs %q", n, jobs)
	}
}
