package faults

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kugetsu/contrib/built"
	"kugetsu/contrib/internal/cluster"
	"kugetsu/queue"
	"kugetsu/slots"
	"kugetsu/slots/proc"
	"kugetsu/slots/slurm"
)

// needCluster brings up a real Slurm cluster that ends with the test.
func needCluster(t *testing.T, group string) *cluster.Cluster {
	if why := cluster.Missing(); why != "" {
		skip(t, group, why)
	}
	dir, err := os.MkdirTemp("", "kugetsu-faults-slurm-*") // not the test's own folder, whose path is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	c, err := cluster.Start(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(c.Logs())
		}
		if err := errors.Join(c.Stop(), os.RemoveAll(dir)); err != nil {
			t.Error(err)
		}
	})
	return c
}

// on makes a world one whose runs are jobs of a cluster. Its sbatch notes each call with the name of the job, and then does what sbatch
// does, or what script says, with the arguments of sbatch and "$real".
func (w *world) on(c *cluster.Cluster, script string) {
	if script == "" {
		script = `exec "$real" "$@"`
	}
	own := filepath.Join(w.dir, "bin")
	w.must(os.Mkdir(own, 0o700))
	real := ""
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if _, err := os.Stat(filepath.Join(dir, "sbatch")); err == nil && real == "" {
			real = filepath.Join(dir, "sbatch")
		}
	}
	text := fmt.Sprintf("#!/bin/sh\nreal=%s calls=%s\nfor a; do case $a in --job-name=*) echo \"${a#*=}\" >>$calls;; esac; done\n%s\n", real, w.submitted(), script)
	w.must(os.WriteFile(filepath.Join(own, "sbatch"), []byte(text), 0o700))
	w.env = append(w.env, "KUGETSU_ENGINE=slurm", "SLURM_CONF="+c.Conf(), "SLURM_FENCE=10s", "AGENT_MEMORY=50M", "PATH="+own+":"+bin+":"+built.WithoutAgents(os.Getenv("PATH")))
}

// submitted is the file of the names with which sbatch was called.
func (w *world) submitted() string { return filepath.Join(w.dir, "submitted") }

// submittedOnce looks whether the name of no job was submitted twice: neither by the calls of sbatch, nor by what the cluster knows.
func (w *world) submittedOnce(c *cluster.Cluster) error {
	calls, err := os.ReadFile(w.submitted())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	known, err := c.Slurm("squeue", "-h", "-t", "all", "-o", "%j")
	if err != nil {
		return err
	}
	for what, text := range map[string]string{"sbatch was called": string(calls), "the cluster has": known} {
		times := map[string]int{}
		for _, name := range strings.Fields(text) {
			if times[name]++; times[name] > 1 && (what != "the cluster has" || w.has(name)) {
				return fmt.Errorf("%s twice for %s", what, name)
			}
		}
	}
	return nil
}

// has says whether a job is of an item of this world: the cluster is that of others, too.
func (w *world) has(name string) bool {
	for _, id := range w.ids {
		if strings.Contains(name, id) {
			return true
		}
	}
	return false
}

// awaitRest makes plain ticks until the world is at rest.
func (w *world) awaitRest() error {
	return await(func() error {
		w.kugetsu("tick")
		if why := w.unsettled(); why != "" {
			<-time.After(100 * time.Millisecond) // a tick asks the controller, which many ask
			return errors.New(why)
		}
		return nil
	})
}

// submitting is a world with two items that wait for a cluster.
func (w *world) submitting(c *cluster.Cluster, script string) {
	w.on(c, script)
	w.item(1)
	w.item(2)
}

// TestTickIsKilledAroundSbatch: a tick that hands items to a cluster dies before one of its system calls. The ticks after it find what the
// cluster has, submit nothing twice, and run nothing twice.
func TestTickIsKilledAroundSbatch(t *testing.T) {
	needStrace(t)
	c := needCluster(t, killed)
	w := newWorld(t)
	w.submitting(c, "")
	list := points(t, w, "tick")
	if err := w.awaitRest(); err != nil {
		t.Fatal(err)
	}
	w.close()
	sweep(t, killed, "tick, as it submits jobs to Slurm", "signal=KILL", sample(list, 6), func(w *world, inject []string) error {
		w.submitting(c, "")
		w.exec("strace", append(inject, filepath.Join(bin, "kugetsu"), "tick")...)
		return errors.Join(w.awaitRest(), w.submittedOnce(c), w.judge(completed))
	})
}

// TestTickThatSettlesOnSlurmIsKilled: the same of a tick that meets runs whose jobs are gone, and one that has ended.
func TestTickThatSettlesOnSlurmIsKilled(t *testing.T) {
	needStrace(t)
	c := needCluster(t, killed)
	w := newWorld(t)
	w.met(c)
	list := points(t, w, "tick")
	if err := w.awaitRest(); err != nil {
		t.Fatal(err)
	}
	w.close()
	sweep(t, killed, "tick, as it meets runs whose jobs are gone", "signal=KILL", sample(list, 6), func(w *world, inject []string) error {
		w.met(c)
		w.exec("strace", append(inject, filepath.Join(bin, "kugetsu"), "tick")...)
		return errors.Join(w.awaitRest(), w.submittedOnce(c), w.judge(completed))
	})
}

// met is a world with runs on a cluster that does not know their jobs: one was not claimed, one was claimed by a runner that has yielded,
// and one has ended.
func (w *world) met(c *cluster.Cluster) {
	w.on(c, "")
	w.job("1", 1, "exit")
	w.item(4)
	claimed := w.job("2", 2, "claimed.7.abcd")
	w.must(os.WriteFile(filepath.Join(w.home.RunDir(claimed), "yielded"), nil, 0o600))
	w.job("3", 3, "end.ok.0")
	w.paid[3] = 1 // its agent started
}

// job puts run 1 of an item, which is on a cluster, into a slot.
func (w *world) job(slot string, n int, marker string) (run string) {
	e, it := w.item(n)
	name := w.home.JobName(it.ID, 1)
	in := slots.Intent{Item: it.ID, File: filepath.Base(e.Path), Run: 1, Session: session(n), Engine: "slurm", Job: name}
	w.must(w.home.WriteIntent(slot, in))
	w.must(w.home.ClaimRun(in.RunName()))
	if marker != "exit" {
		w.must(os.Rename(filepath.Join(w.home.RunDir(in.RunName()), "exit"), filepath.Join(w.home.RunDir(in.RunName()), marker)))
	}
	w.must(w.q.Notify(e, it, 1, 0, onCluster(name)))
	return in.RunName()
}

// TestSbatchFailsAndTheJobLands: sbatch fails although its job is there, or comes later, or never. The job's name alone decides.
func TestSbatchFailsAndTheJobLands(t *testing.T) {
	c := needCluster(t, refused)
	for _, f := range sbatchFails {
		t.Run(strings.ReplaceAll(f.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			defer w.close()
			err := w.failing(c, f.script, f.runs)
			passed := 1
			if err != nil {
				t.Error(err)
				passed = 0
			}
			report(result{group: refused, name: f.name, points: 1, passed: passed})
		})
	}
}

// sbatchFails are ways in which the first call of sbatch fails; runs is how many runs the item has in the end.
var sbatchFails = []struct {
	name, script string
	runs         int
}{
	{"sbatch fails, and the job is there", `"$real" "$@"; [ $(wc -l <$calls) -gt 1 ] || exit 1`, 1},
	{"sbatch fails, and the job comes later", `if [ $(wc -l <$calls) -gt 1 ]; then exec "$real" "$@"; fi
cat >$calls.script
for a; do shift; [ "$a" = /dev/stdin ] && a=$calls.script; set -- "$@" "$a"; done
(until [ -e $calls.go ]; do sleep .1; done; "$real" "$@" >$calls.late 2>&1; echo $? >>$calls.late) >/dev/null 2>&1 &
exit 1`, 2},
	{"sbatch fails, and there is no job", `[ $(wc -l <$calls) -gt 1 ] || exit 1; exec "$real" "$@"`, 2},
}

// failing lets one item run whose first sbatch fails.
func (w *world) failing(c *cluster.Cluster, script string, runs int) error {
	w.on(c, script)
	_, first := w.item(1)
	w.kugetsu("tick")
	w.must(os.WriteFile(w.submitted()+".go", nil, 0o600))
	err := w.awaitRest()
	if _, statErr := os.Stat(w.submitted() + ".script"); statErr == nil && err == nil { // the job that came late is to be over, too
		// It ran and did nothing, or a tick that met it as it waited has cancelled it.
		err = awaited("the late job is over", func() bool {
			out, err := c.Slurm("squeue", "-h", "-t", "all", "-n", w.home.JobName(first.ID, 1), "-o", "%T")
			return err == nil && slurm.Job{State: out}.Over()
		})
	}
	_, it, loadErr := load(w, first.ID)
	if loadErr == nil && it.Runs != runs {
		loadErr = fmt.Errorf("it took %d runs, not %d", it.Runs, runs)
	}
	return errors.Join(err, loadErr, w.submittedOnce(c), w.judge(completed))
}

// TestHarnessNoticesAJobThatIsSubmittedTwice: kugetsus that do not look for a job whose sbatch failed.
func TestHarnessNoticesAJobThatIsSubmittedTwice(t *testing.T) {
	c := needCluster(t, broken)
	again := alone(func(w *world) error { return w.failing(c, sbatchFails[0].script, sbatchFails[0].runs) })
	mustNotice(t,
		wrongWay{"a job whose sbatch failed is submitted again", "tick/slurm.go",
			[]string{"	jobs, lookErr := c.Named(ctx, name)\n", "	if err = s.submit(ctx, task, name); err == nil {\n\t\treturn nil\n\t}\n\tjobs, lookErr := c.Named(ctx, name)\n"},
			"twice for kg-", again},
		wrongWay{"a job whose sbatch failed is taken for one that is not there", "tick/slurm.go",
			[]string{"case len(jobs) > 0:\n\t\ts.t.Log.Warn(\"sbatch failed", "case len(jobs) > 99:\n\t\ts.t.Log.Warn(\"sbatch failed"},
			"it took 2 runs, not 1", again},
	)
}

// goesOn is an agent that goes on until a file is there.
const goesOn = note + `cat >/dev/null
case $KUGETSU_RUN in *.1) touch "$REC.begun"; until [ -e "$REC.go" ]; do sleep .1; done;; esac
`

// completedTooSoon lets Slurm say of a run that its job is completed while its runner lives: as a controller does that was killed, and has
// started the job once more, which did nothing. The agent goes on for some time, or until it is ended.
func completedTooSoon(c *cluster.Cluster, ends bool, outcomes ...string) func(w *world) error {
	return func(w *world) error {
		w.on(c, "")
		w.must(os.WriteFile(filepath.Join(w.dir, "agent"), []byte(goesOn), 0o700))
		run := w.job("1", 1, "exit")
		w.must(w.home.WriteOrder(w.order("", w.env)))
		name := w.home.JobName(w.ids[0], 1)
		runner := exec.Command(filepath.Join(bin, "kugetsu"), "job", run)
		runner.Env = append(w.env, "SLURM_JOB_ID=999999", "SLURMD_NODENAME=here", proc.Mark+"="+run)
		runner.SysProcAttr = proc.Detach()
		w.must(runner.Start())
		defer func() { _ = runner.Wait() }() // its marker tells
		if err := awaited("the agent begins", func() bool { _, err := os.Stat(w.record() + ".begun"); return err == nil }); err != nil {
			return err
		}
		if _, err := c.Slurm("sbatch", "-J", name, "-D", string(w.home), "-o", "/dev/null", "--mem=10", "--wrap", "true"); err != nil {
			return err
		}
		if err := awaited("the job is completed", func() bool {
			out, err := c.Slurm("squeue", "-h", "-t", "all", "-n", name, "-o", "%T")
			return err == nil && out == "COMPLETED"
		}); err != nil {
			return err
		}
		w.kugetsu("tick")
		marker, err := w.home.ReadMarker(run)
		if err != nil || marker.Phase != slots.Started {
			return fmt.Errorf("the marker is %+v, %v", marker, err)
		}
		if ends {
			w.must(os.WriteFile(w.record()+".go", nil, 0o600))
		}
		err = w.awaitRest()
		_, it, loadErr := load(w, w.ids[0])
		if err = errors.Join(err, loadErr); err != nil {
			return err
		}
		var got []string
		for _, r := range it.History {
			got = append(got, string(r.Outcome))
		}
		if !slices.Equal(got, outcomes) {
			err = fmt.Errorf("its runs ended as %q, not %q", got, outcomes)
		}
		return errors.Join(err, w.judge(completed))
	}
}

// TestJobThatIsCompletedWhileItsRunnerLives: the run has SLURM_FENCE to record its end. After that it is taken for lost, and tried again.
func TestJobThatIsCompletedWhileItsRunnerLives(t *testing.T) {
	c := needCluster(t, identity)
	try(t, identity, "Slurm says that a job is completed whose runner is about to end", 1, func(t *testing.T) {
		if err := alone(completedTooSoon(c, true, "ok"))(t); err != nil {
			t.Error(err)
		}
	})
	try(t, identity, "Slurm says that a job is completed whose runner goes on", 1, func(t *testing.T) {
		if err := alone(completedTooSoon(c, false, "lost", "ok"))(t); err != nil {
			t.Error(err)
		}
	})
}

// onCluster is what identifies the run of a job in its item.
func onCluster(name string) *queue.Runner {
	return &queue.Runner{Timeout: time.Hour, Engine: "slurm", Job: name}
}

// stubborn is an agent whose first run goes on until it is killed, whatever it is told.
const stubborn = note + `cat >/dev/null
case $KUGETSU_RUN in *.1) trap '' TERM; touch "$REC.begun"; while :; do sleep .1; done;; esac
`

// lostNode kills the daemon of the node on which a run is, so that Slurm takes the run for gone, whose processes live. The run is tried
// again, and its two agents are never there at once: each would note it.
func lostNode(c *cluster.Cluster) func(w *world) error {
	return func(w *world) (err error) {
		w.on(c, "")
		w.must(os.WriteFile(filepath.Join(w.dir, "agent"), []byte(stubborn), 0o700))
		_, it := w.item(1)
		w.kugetsu("tick")
		run := slots.RunName(it.ID, 1)
		if err := awaited("the agent begins", func() bool { _, err := os.Stat(w.record() + ".begun"); return err == nil }); err != nil {
			return err
		}
		claim, err := w.home.ReadClaim(run)
		if err != nil || claim == nil {
			return fmt.Errorf("the run says not where it is: %v", err)
		}
		w.must(c.EndSlurmd(claim.Node, "KILL"))
		defer func() { err = errors.Join(err, c.StartSlurmd(claim.Node), c.AwaitIdle()) }()
		var met error
		err = await(func() error {
			if met = w.judgeRecord(); met != nil {
				return nil // the first agent goes on for ever
			}
			w.kugetsu("tick")
			if why := w.unsettled(); why != "" {
				<-time.After(100 * time.Millisecond)
				return errors.New(why)
			}
			return nil
		})
		if met != nil {
			return met
		}
		w.unpaid = 1 // the first failure of a node does not count
		return errors.Join(err, w.submittedOnce(c), w.judge(completed))
	}
}

// far are changes by which neither a lock nor a process of a run reaches the machine of the tick, as on a real cluster they may not. Here
// the nodes are on one machine, and a tick would end what is left of a run that it settles.
var far = map[string][]string{
	"slots/cluster.go":  {"file, err := spool.Lock(ctx, path, nil)", "file, err := (*os.File)(nil), error(fs.ErrPermission)"},
	"tick/reconcile.go": {"return proc.Kill(ctx, t.Home.Processes(run), nil)", "return ctx.Err()"},
}

// buildFar builds a kugetsu with those changes, too.
func buildFar(t *testing.T, dir string, replace map[string]string) error {
	for file, changes := range far {
		path, err := filepath.Abs(filepath.Join("..", "..", file))
		if err != nil {
			return err
		}
		from := path
		if replace[path] != "" {
			from = replace[path]
		}
		if replace[path], err = change(t, from, changes...); err != nil {
			return err
		}
	}
	return buildChanged(t, dir, replace)
}

// TestRunOnALostNodeIsFenced: with locks that reach across the nodes, and without.
func TestRunOnALostNodeIsFenced(t *testing.T) {
	c := needCluster(t, identity)
	try(t, identity, "a node is lost, and the run on it lives", 1, func(t *testing.T) {
		if err := alone(lostNode(c))(t); err != nil {
			t.Error(err)
		}
	})
	right := bin
	defer func() { bin = right }()
	bin = t.TempDir()
	if err := buildFar(t, bin, map[string]string{}); err != nil {
		t.Fatal(err)
	}
	try(t, identity, "a node is lost that no lock and no signal reaches, and the run on it lives", 1, func(t *testing.T) {
		if err := alone(lostNode(c))(t); err != nil {
			t.Error(err)
		}
	})
}

// TestHarnessNoticesAFenceThatDoesNotHold: the same without locks and signals, on kugetsus that do not look for the fence, or do not wait.
func TestHarnessNoticesAFenceThatDoesNotHold(t *testing.T) {
	c := needCluster(t, broken)
	mustNoticeBuilt(t, buildFar,
		wrongWay{"a runner does not look for the fence", "slots/cluster.go",
			[]string{"	for range 2 {\n\t\tm, err := r.home.ReadMarker(r.name)", "	if r.task != nil {\n\t\treturn false\n\t}\n	for range 2 {\n\t\tm, err := r.home.ReadMarker(r.name)"},
			"not alone", alone(lostNode(c))},
		wrongWay{"a run is tried again as soon as it is fenced", "tick/slurm.go",
			[]string{"known.Age(s.t.Now()) < s.t.Settings.SlurmFence, nil", "false, nil"},
			"not alone", alone(lostNode(c))},
	)
}

// leavingWork is an agent whose first run commits a file and leaves another one uncommitted. Each later run notes whether it finds both.
const leavingWork = note + `cat >/dev/null
if ! [ -e "$REC.left" ]; then
	echo work >done.txt
	git add done.txt
	git -c user.name=t -c user.email=t@localhost commit -q -m work
	echo left >left.txt
	touch "$REC.left"
elif [ "$(cat left.txt)" = left ] && [ "$(git log -1 --format=%s)" = work ]; then
	echo "$KUGETSU_RUN" >>"$REC.found"
else
	{ echo "$KUGETSU_RUN"; ls; git log --oneline; } >>"$REC.missed"
fi
exit 0
`

// onDisk is a world in which the first run of an item has its worktree on the disk of a node. That run is started here and not by Slurm, so
// it can be broken. Another item is for the same issue. It returns when the runner is gone.
func (w *world) onDisk(c *cluster.Cluster, disk string, inject []string) {
	w.on(c, "")
	w.env = append(w.env, "SLURM_WORKDIR="+disk)
	w.must(os.WriteFile(filepath.Join(w.dir, "agent"), []byte(leavingWork), 0o700))
	run := w.job("1", 1, "exit")
	w.item(1)
	w.must(w.home.WriteOrder(w.order(disk, w.env)))
	env := w.env
	w.env = append(w.env, "SLURM_JOB_ID=999999", "SLURMD_NODENAME=here", proc.Mark+"="+run)
	w.exec("strace", append(inject, filepath.Join(bin, "kugetsu"), "job", run)...)
	w.env = env
}

// order is what the job of the first run of the first item is to do.
func (w *world) order(disk string, env []string) slots.Order {
	notes := w.q.Events
	return slots.Order{Slot: "1", Env: env, Disk: disk, Task: slots.Task{Item: w.ids[0], Run: 1, Session: session(1), IssueRef: "github.com/you/project#1",
		Message: "work", Timeout: patience, EnvFiles: []string{w.dir + "/default.env", w.dir + "/dev.env"},
		Agent:     slots.AgentTask{Preset: "command", Command: "env REC=" + w.record() + " " + filepath.Join(w.dir, "agent")},
		Workspace: slots.WorkspaceSettings{Repo: "github.com+you+project", Local: filepath.Join(w.dir, "repo"), Branch: "fix/issue-1"},
		Events:    slots.Events{New: notes.New, Seen: notes.Seen, Undelivered: notes.Undelivered}}}
}

// TestRunnerOnANodesDiskIsKilled: it dies before one of its system calls. The runs after it are on the same node, or on another one. On the
// same node they find all that its agent had left. On another one they find what the runner had brought back, and the rest is on its disk.
func TestRunnerOnANodesDiskIsKilled(t *testing.T) {
	needStrace(t)
	c := needCluster(t, killed)
	w := newWorld(t)
	trace := filepath.Join(w.dir, "trace")
	disk := filepath.Join(w.dir, "disk")
	w.must(os.Mkdir(disk, 0o700))
	w.onDisk(c, disk, []string{"-y", "-o", trace})
	if err := errors.Join(w.awaitRest(), w.found(disk, true)); err != nil {
		t.Fatalf("a runner that was not broken: %v", err)
	}
	list := readPoints(t, trace)
	w.close()
	for _, where := range []struct {
		name string
		same bool
		most int
	}{{"the runner on a node's disk", true, 8}, {"the runner on the disk of a node that gets no job again", false, 4}} {
		sweep(t, killed, where.name, "signal=KILL", sample(list, where.most), func(w *world, inject []string) error {
			disk := c.Scratch() // each node has another one there
			if where.same {
				disk = filepath.Join(w.dir, "disk")
				w.must(os.Mkdir(disk, 0o700))
			}
			w.unpaid, w.unseen = 1, 1
			w.onDisk(c, disk, inject)
			return errors.Join(w.awaitRest(), w.judge(completed), w.found(disk, where.same))
		})
	}
}

// TestHarnessNoticesWorkThatIsNotBroughtBack: a kugetsu that removes the worktree and does not say what was in it.
func TestHarnessNoticesWorkThatIsNotBroughtBack(t *testing.T) {
	needStrace(t)
	c := needCluster(t, broken)
	mustNotice(t, wrongWay{"what was left on a node's disk is kept, and not brought back", "slots/scratch.go",
		[]string{"	w.whole = kept == nil && head == nil\n	w.session.leave(snap)\n", "	w.whole = kept == nil && head == nil\n"}, "missed",
		alone(func(w *world) error {
			disk := filepath.Join(w.dir, "disk")
			w.must(os.Mkdir(disk, 0o700))
			w.onDisk(c, disk, []string{"-o", filepath.Join(w.dir, "trace")})
			return errors.Join(w.awaitRest(), w.found(disk, true))
		})})
}

// found looks whether what the first agent left was found by each later one, and by one at least. Where these were on other nodes, it may be
// on the disk of the first instead. No disk has anything else.
func (w *world) found(disk string, same bool) error {
	if _, err := os.Stat(w.record() + ".left"); errors.Is(err, fs.ErrNotExist) {
		return nil // it was ended before
	}
	_, err := os.Stat(w.record() + ".found")
	missed, _ := os.ReadFile(w.record() + ".missed")
	id := strings.Split(w.home.JobName(w.ids[0], 1), "-")[1]
	left, globErr := filepath.Glob(filepath.Join(disk, "kugetsu-"+id, "*", "left.txt"))
	switch {
	case globErr != nil:
		return globErr
	case same && (err != nil || len(missed) > 0 || len(left) > 0):
		return fmt.Errorf("it was not found (%v), or missed: %q; the disk has %q", err, missed, left)
	case !same && (err != nil || len(missed) > 0) && len(left) == 0:
		return fmt.Errorf("it was not found (%v), or missed: %q, and is not on the disk", err, missed)
	}
	return nil
}
