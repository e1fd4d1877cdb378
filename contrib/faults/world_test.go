// Package faults breaks kugetsu at every system call that it makes, with real processes, and looks whether plain ticks
// bring the state back to what was promised.
//
//	go test ./contrib/faults            a sample of the points, as CI does
//	go test ./contrib/faults -full -timeout 2h    all of them; -table FILE writes the table that contrib/doc/design.md links.
//	                                   With -rows FOLDER several processes can share the work, a -run each
//
// It needs strace, and says so where that is missing. The sweeps take up to a third less in a PID namespace
// (unshare -pf --mount-proc), where kugetsu meets few other processes.
package faults

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"kugetsu/contrib/built"
	"kugetsu/contrib/internal/rig"
	"kugetsu/queue"
	"kugetsu/queue/event"
	"kugetsu/queue/ledger"
	"kugetsu/queue/outcome"
	"kugetsu/slots"
	"kugetsu/slots/proc"
)

var full = flag.Bool("full", false, "try every point, not a sample")

// patience bounds every wait; the machine may be busy.
const patience = rig.Patience

// limit is MAX_CONCURRENT_AGENTS in every world.
const limit = 3

// bin is the folder of the kugetsu under test.
var bin string

func TestMain(m *testing.M) {
	rig.FullOnly("every system call fails once, and storms")
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "kugetsu-faults-*")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		bin = dir
		if err := rig.Install(filepath.Join(dir, "kugetsu")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		code := m.Run()
		if err := writeTable(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return code
	}())
}

// build builds kugetsu into a folder.
func build(dir string, flags ...string) error {
	cmd := exec.Command("go", append(append([]string{"build"}, flags...), "-o", filepath.Join(dir, "kugetsu"), "kugetsu")...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // a dynamic linker has system calls of its own
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

// world is a state folder of its own, with a repository and an agent that notes when it begins and ends.
type world struct {
	t    testing.TB
	dir  string
	home slots.Dir
	q    *queue.Queue
	env  []string
	ids  []string // of the items that must be settled in the end
	paid []int    // attempts that each item had when the world began
	held []*slots.Lock
	ends []func() // functions that end the processes which were started here
	// unpaid is how many starts of an agent may not be counted as attempts: the runner was killed in the instant between the start
	// and the record of it.
	unpaid int
	// unseen is how many counted starts the agent may not have noted: the agent was killed with its runner before its first line.
	unseen int
	// relied says whether a tick waited when the run ended, so that its runner could rely on it.
	relied bool
	// verifier is the command that verifies the runs, if one does.
	verifier string
	// before is put before kugetsu: a program that gives it another user, limits, or another boot id.
	before []string
	// unmount takes away the disk that the state folder is on, if it has one of its own.
	unmount func()
}

// note is how each agent begins. It notes that the agent began. It locks a file of the agent's issue, and one of as many files as
// there may be agents. So the agent itself knows when it is not alone in its worktree, or is one too many. The kernel drops both
// locks when the agent dies, however it dies.
const note = `#!/bin/sh
echo "begin $KUGETSU_RUN" >>"$REC"
exec 9>"$REC.issue.${KUGETSU_ISSUE##*#}"
flock -n 9 || echo "not alone $KUGETSU_RUN" >>"$REC"
for k in 1 2 3; do
	exec 8>"$REC.slot.$k"
	flock -n 8 && break
	k=
done
test -n "$k" || echo "one too many $KUGETSU_RUN" >>"$REC"
`

const agent = note + "cat >/dev/null\n"

func newWorld(t testing.TB) *world { return newWorldOn(t, nil) }

// newWorldOn makes a world whose state folder is on a disk of its own, which mount mounts at state.
func newWorldOn(t testing.TB, mount func(state string) (unmount func())) *world {
	dir, err := os.MkdirTemp("", "kugetsu-world-*")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: dir, home: slots.Dir(filepath.Join(dir, "state"))}
	queueDir := filepath.Join(string(w.home), "queue")
	notes := filepath.Join(string(w.home), "notifications")
	w.q = &queue.Queue{Dirs: queue.Dirs{Items: queueDir + "/items", PM: queueDir + "/pm", Finished: queueDir + "/finished", Bad: queueDir + "/bad"},
		Events: &event.Box{New: notes + "/new", Seen: notes + "/seen", Undelivered: notes + "/owed", Now: time.Now},
		Ledger: &ledger.Ledger{Dir: w.home.Usage(), Now: time.Now}, Now: time.Now}
	w.env = []string{"HOME=" + dir, "KUGETSU_DIR=" + string(w.home), "PATH=" + bin + ":" + built.WithoutAgents(os.Getenv("PATH")), "KUGETSU_AGENT=command",
		"AGENT_COMMAND=env REC=" + w.record() + " " + filepath.Join(dir, "agent"), fmt.Sprintf("MAX_CONCURRENT_AGENTS=%d", limit),
		"RETRY_DELAY=1ms",
		// The disks are small, and the tests fill them. Memory is read, and is enough on every machine.
		"MIN_FREE_DISK=0", "AGENT_MEMORY=1",
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1"}
	w.must(os.WriteFile(filepath.Join(dir, "agent"), []byte(agent), 0o700))
	w.must(os.MkdirAll(string(w.home), 0o700))
	if mount != nil {
		w.unmount = mount(string(w.home))
	}
	w.must(w.home.Make())
	w.must(w.q.Make())
	w.must(w.q.KeepLedger()) // as in a folder that was used before: the first pass does not make up for a line that a settle leaves out
	repo := filepath.Join(dir, "repo")
	for _, args := range [][]string{{"init", "-q", "-b", "main", repo}, {"-C", repo, "commit", "-q", "--allow-empty", "-m", "first"}} {
		cmd := exec.Command("git", args...)
		cmd.Env = append(w.env, "GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@localhost", "GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@localhost")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	w.must(os.WriteFile(filepath.Join(string(w.home), "repos.json"), fmt.Appendf(nil, `{"github.com/you/project": %q}`, repo), 0o600))
	return w
}

func (w *world) record() string { return filepath.Join(w.dir, "record") }

func (w *world) must(err error) {
	if err != nil {
		w.t.Helper()
		w.t.Fatal(err)
	}
}

// close ends all processes of the world's runs and removes the world.
func (w *world) close() {
	w.release()
	runs, _ := os.ReadDir(filepath.Join(string(w.home), "runs"))
	alive, err := proc.Runs()
	for _, run := range runs {
		if err != nil || len(alive[run.Name()]) > 0 {
			w.end(run.Name())
		}
	}
	if w.unmount != nil {
		w.unmount()
	}
	// A tick that a runner started may not have begun: it would make the folder again.
	if err := awaited("no process uses the state folder", func() bool { return !inUse(string(w.home)) }); err != nil {
		w.t.Log(err)
	}
	for begin := time.Now(); os.RemoveAll(w.dir) != nil && time.Since(begin) < patience; {
		<-time.After(5 * time.Millisecond)
	}
}

// inUse says whether a process has a state folder in its environment.
func inUse(state string) bool {
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range files {
		env, _ := os.ReadFile(file) // it may be gone by now
		if bytes.Contains(append(env, 0), []byte("KUGETSU_DIR="+state+"\x00")) {
			return true
		}
	}
	return false
}

// release ends the processes that stand for runs, and gives up the leases that this process has.
func (w *world) release() {
	for _, stop := range w.ends {
		stop()
	}
	w.ends = nil
	w.letGo()
}

// letGo closes the leases of this process; a process that inherited them keeps them.
func (w *world) letGo() {
	for _, l := range w.held {
		w.must(l.Close())
	}
	w.held = nil
}

func (w *world) end(run string) {
	ctx, cancel := contextFor(patience)
	defer cancel()
	if err := proc.Kill(ctx, proc.Run{Name: run}, nil); err != nil {
		w.t.Log(err)
	}
}

// item publishes an item on issue n.
func (w *world) item(n int) (queue.Entry, *queue.Item) {
	now := time.Now().UTC()
	it := &queue.Item{ID: queue.NewID(now), IssueRef: fmt.Sprintf("github.com/you/project#%d", n), Agent: "command", Message: "work",
		Mode: queue.Auto, PendingSince: now, After: []string{}, History: []queue.Run{}}
	e, err := w.q.Publish(it, queue.Dev, queue.DefaultPriority)
	w.must(err)
	w.ids, w.paid = append(w.ids, it.ID), append(w.paid, 0)
	return e, it
}

func session(n int) string { return fmt.Sprintf("github.com+you+project@%d", n) }

// nobody is a pid that no process has, for the fork_pid of a runner that is gone.
const nobody = 1<<22 - 2

// inSlot makes a slot name run 1 of an item, with its marker. notified says whether the item was handed over.
func (w *world) inSlot(slot string, n int, marker string, notified bool) (queue.Entry, *queue.Item) {
	e, it := w.item(n)
	in := slots.Intent{Item: it.ID, File: filepath.Base(e.Path), Run: 1, Session: session(n), Boot: proc.BootID()}
	w.must(w.home.WriteIntent(slot, in))
	w.must(w.home.ClaimRun(in.RunName()))
	if marker != "exit" {
		w.must(os.Rename(filepath.Join(w.home.RunDir(in.RunName()), "exit"), filepath.Join(w.home.RunDir(in.RunName()), marker)))
	}
	if notified {
		w.must(w.q.Notify(e, it, 1, nobody, nil))
	}
	if marker != "exit" { // its agent started, so settling it counts an attempt
		w.paid[len(w.paid)-1] = 1
	}
	return e, it
}

// hold locks the lease of a slot and a session in this process, which makes the run alive.
func (w *world) hold(slot string, n int) {
	for _, path := range []string{w.home.SlotLock(slot), w.home.SessionLock(session(n))} {
		l, err := slots.TryLock(path)
		w.must(err)
		w.held = append(w.held, l)
	}
}

// crowd fills the world with an item in every state that a tick can meet. finish ends the run that is alive.
func (w *world) crowd() (finish func()) {
	w.inSlot("1", 1, "end.ok.0", true)          // ended, not settled: must never run again
	w.inSlot("2", 2, "started", true)           // lost: runs again, as run 2
	w.inSlot("3", 3, "exit", false)             // its dispatch died: runs as run 1
	w.inSlot("4", 4, "exit", true)              // its runner died at the gate: runs as run 2
	e, it := w.inSlot("5", 5, "end.ok.0", true) // settled, not filed
	w.must(w.q.Settle(e, it, queue.Result{Run: queue.Run{Run: 1, Outcome: outcome.OK, EndedAt: time.Now().UTC()}}, queue.Policy{MaxAttempts: 3}))
	alive, stop := w.running("6", 6) // running, in a slot beyond the limit
	w.item(7)                        // waiting
	w.item(8)
	bad := filepath.Join(w.q.Items, "50-"+queue.NewID(time.Now())+".json")
	w.must(os.WriteFile(bad, []byte("{"), 0o600))
	return func() {
		dir := w.home.RunDir(alive)
		if err := os.Rename(filepath.Join(dir, "started"), filepath.Join(dir, "end.ok.0")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			w.t.Fatal(err)
		}
		stop()
	}
}

// orphaned is a crowd, and a run whose runner is gone, but not a process that the run started. That process is ended, and the item
// runs as run 2.
func (w *world) orphaned() (finish func()) {
	finish = w.crowd()
	_, it := w.inSlot("7", 9, "started", true)
	w.holder("7", 9, slots.RunName(it.ID, 1))
	return finish
}

// running puts a run into a slot. A process has its lease and looks like its runner. stop ends the process.
func (w *world) running(slot string, n int) (run string, stop func()) {
	e, it := w.inSlot(slot, n, "started", false)
	run = slots.RunName(it.ID, 1)
	pid, stop := w.holder(slot, n, run)
	w.must(w.q.Notify(e, it, 1, pid, nil))
	return run, stop
}

// holder starts a process of a run that has its lease and does nothing.
func (w *world) holder(slot string, n int, run string) (pid int, stop func()) {
	cmd := exec.Command("cat")
	stdin, err := cmd.StdinPipe()
	w.must(err)
	w.hold(slot, n)
	cmd.Env = append(os.Environ(), proc.Mark+"="+run)
	for _, l := range w.held {
		cmd.ExtraFiles = append(cmd.ExtraFiles, l.File())
	}
	w.must(cmd.Start())
	w.letGo()
	stop = sync.OnceFunc(func() {
		_ = stdin.Close() // that ends the process, if it is still there
		_ = cmd.Wait()    // a tick may have ended it by a signal
	})
	w.ends = append(w.ends, stop)
	return cmd.Process.Pid, stop
}

// kugetsu runs a command to its end, and returns its exit code and its output.
func (w *world) kugetsu(args ...string) (int, string) { return w.exec("kugetsu", args...) }

func (w *world) exec(name string, args ...string) (int, string) {
	if name == "kugetsu" {
		line := append(append([]string{}, w.before...), filepath.Join(bin, name))
		name, args = line[0], append(line[1:], args...)
	}
	ctx, cancel := contextFor(2 * patience) // a command that hangs is an error, too
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env, cmd.WaitDelay = w.env, patience
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Fatalf("%s %v: %v", name, args, err)
	}
	return cmd.ProcessState.ExitCode(), noSchedule.ReplaceAllString(string(out), "")
}

// noSchedule matches what delegate adds where no schedule is installed, as in all of these worlds.
var noSchedule = regexp.MustCompile(`(?m)^warning: no schedule, so nothing starts by itself: .*\n`)

// settle makes plain ticks until every item is settled and filed, every slot is empty, and no process is left.
func (w *world) settle() error {
	for begin := time.Now(); ; {
		w.kugetsu("tick")
		why := w.unsettled()
		if why == "" {
			return nil
		}
		if time.Since(begin) > patience {
			return fmt.Errorf("after %s of ticks: %s", patience, why)
		}
		w.stir()
	}
}

// stir waits until a slot names another run than before, where any names one, or for as long as a run mostly takes. A tick that comes
// sooner finds nothing to do.
func (w *world) stir() {
	before := w.inSlots()
	for begin := time.Now(); ; {
		<-time.After(5 * time.Millisecond)
		if before == "" || w.inSlots() != before || time.Since(begin) > 100*time.Millisecond {
			return
		}
	}
}

// inSlots is what the slots name, as text that changes with it.
func (w *world) inSlots() string {
	files, _ := filepath.Glob(filepath.Join(string(w.home), "slots", "*.json"))
	var named strings.Builder
	for _, file := range files {
		in, _ := os.ReadFile(file) // it may be gone by now
		fmt.Fprintf(&named, "%s: %s\n", file, in)
	}
	return named.String()
}

// await waits until a condition holds, and returns what was still in its way if it never did.
func await(what func() error) error {
	for begin := time.Now(); ; <-time.After(5 * time.Millisecond) {
		err := what()
		if err == nil {
			return nil
		}
		if time.Since(begin) > patience {
			return fmt.Errorf("after %s: %w", patience, err)
		}
	}
}

// awaited is await for a condition without reasons.
func awaited(what string, so func() bool) error {
	return await(func() error {
		if !so() {
			return fmt.Errorf("it is not so: %s", what)
		}
		return nil
	})
}

// unsettled says what keeps the world from being at rest.
func (w *world) unsettled() string {
	for _, dir := range []string{w.q.Items, w.q.PM} {
		if left, _ := filepath.Glob(filepath.Join(dir, "*.json")); len(left) > 0 {
			return "in the queue: " + filepath.Base(left[0])
		}
	}
	if left, _ := filepath.Glob(filepath.Join(string(w.home), "slots", "*.json")); len(left) > 0 {
		return "a slot names a run: " + left[0]
	}
	alive, err := proc.Runs() // all at once: a listing of the processes for each run would take longer than the rest
	if err != nil {
		return err.Error()
	}
	runs, _ := os.ReadDir(filepath.Join(string(w.home), "runs"))
	for _, run := range runs {
		if len(alive[run.Name()]) > 0 {
			return "a process is left of " + run.Name()
		}
	}
	return ""
}

// judge checks whether the promises were kept. Every item is there and ended in a state that it may have. No run ran twice. As many
// attempts are counted as agents started, so no agent ran for an item whose only run had ended. There were never more agents than
// the limit, and never two in one worktree.
func (w *world) judge(mayEnd map[queue.State]bool) error {
	var errs []error
	complain := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	data, err := os.ReadFile(w.record())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		complain("%w", err)
	}
	for i, id := range w.ids {
		e, err := w.q.Find(id)
		if err != nil {
			complain("item %d is lost: %w", i+1, err)
			continue
		}
		it, err := w.q.Load(e)
		if err != nil {
			complain("item %d: %w", i+1, err)
		} else if !mayEnd[it.State] {
			text, _ := json.Marshal(it)
			complain("item %d is %s: %s", i+1, it.State, text)
		} else if started := w.paid[i] + bytes.Count(data, []byte("begin "+id+".")); it.Attempts > started+w.unseen || it.Attempts < started-w.unpaid {
			history, _ := json.Marshal(it.History)
			complain("item %d has %d attempts, but its agent started %d times: %s", i+1, it.Attempts, started, history)
		} else if err := w.judgeLedger(it); err != nil {
			complain("item %d: %w", i+1, err)
		}
	}
	return errors.Join(append(errs, w.judgeRecord())...)
}

// judgeLedger checks that the ledger has each run of an item that came to rest, as the item has it, and no other run of it.
func (w *world) judgeLedger(it *queue.Item) error {
	lines, err := w.q.Ledger.Since(time.Time{})
	if err != nil {
		return err
	}
	counted := map[string]string{}
	for _, r := range lines {
		if r.Item() == it.ID {
			counted[r.Name] = r.Outcome
		}
	}
	ended := map[string]string{}
	for _, r := range it.History {
		ended[slots.RunName(it.ID, r.Run)] = string(r.Outcome)
	}
	if !maps.Equal(counted, ended) {
		return fmt.Errorf("the ledger has the runs %v, and the item has %v", counted, ended)
	}
	return nil
}

// judgeRecord checks what the agents noted: no run twice, never more of them than the limit, never two in a worktree.
func (w *world) judgeRecord() error {
	data, err := os.ReadFile(w.record())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var errs []error
	complain := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	begun := map[string]bool{}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		run, ok := strings.CutPrefix(line, "begin ")
		switch {
		case !ok:
			complain("%s", line)
		case begun[run]:
			complain("%s ran twice", run)
		}
		begun[run] = true
	}
	if len(errs) > 0 {
		complain("record:\n%s", data)
	}
	return errors.Join(errs...)
}

var completed = map[queue.State]bool{queue.Completed: true}
