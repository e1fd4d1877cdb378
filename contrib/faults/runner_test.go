package faults

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"kugetsu/queue"
	"kugetsu/slots"
	"kugetsu/slots/proc"
)

// runner does what a tick does up to the hand-over, with the runner in strace's hands: it returns when the runner is
// gone, with its exit code and what it said.
func (w *world) runner(inject []string) (it *queue.Item, code int, out string) {
	e, it := w.item(1)
	w.hold("1", 1)
	in := slots.Intent{Item: it.ID, File: filepath.Base(e.Path), Run: 1, Session: session(1), Boot: slots.BootID()}
	w.must(w.home.WriteIntent("1", in))
	w.must(w.home.ClaimRun(in.RunName()))
	r, gate, err := os.Pipe()
	w.must(err)
	// -D: the runner is our child and strace its grandchild, so that the pid is the runner's.
	cmd := exec.Command("strace", append(append([]string{"-D"}, inject...), filepath.Join(bin, "kugetsu"), "run", in.RunName())...)
	cmd.Env = append(w.env, proc.Mark+"="+in.RunName())
	cmd.ExtraFiles = []*os.File{w.held[0].File(), w.held[1].File(), r}
	cmd.SysProcAttr = proc.Detach()
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	w.must(cmd.Start())
	w.must(r.Close())
	w.must(w.q.Notify(e, it, 1, cmd.Process.Pid))
	notes := w.q.Events
	task, err := json.Marshal(slots.Task{V: 1, Item: it.ID, Run: 1, Session: session(1), IssueRef: it.IssueRef, Message: it.Message,
		Timeout: patience, EnvFiles: []string{w.dir + "/default.env", w.dir + "/dev.env"}, Agent: slots.AgentTask{Preset: "command", Command: "env REC=" + w.record() + " " + filepath.Join(w.dir, "agent")},
		Workspace: slots.Workspace{Repo: "github.com+you+project", Local: filepath.Join(w.dir, "repo"), Branch: "fix/issue-1"},
		Events:    slots.Events{New: notes.New, Seen: notes.Seen, Owed: notes.Owed}})
	w.must(err)
	_, _ = gate.Write(task) // it may be dead already
	w.must(gate.Close())
	for _, l := range w.held {
		w.must(l.Close())
	}
	w.held = nil
	_ = cmd.Wait() // its exit code tells
	return it, cmd.ProcessState.ExitCode(), said.String()
}

// runnerPoints lists the system calls of a runner. Its agent and git are not followed.
func runnerPoints(t *testing.T) []point {
	w := newWorld(t)
	defer w.close()
	trace := filepath.Join(w.dir, "trace")
	it, _, _ := w.runner([]string{"-o", trace})
	w.must(w.settle())
	_, now, err := load(w, it.ID)
	w.must(err)
	if now.State != queue.Completed || now.Runs != 1 {
		t.Fatalf("a runner that nobody broke: %s after %d runs", now.State, now.Runs)
	}
	return readPoints(t, trace)
}

func load(w *world, id string) (queue.Entry, *queue.Item, error) {
	e, err := w.q.Find(id)
	if err != nil {
		return e, nil, err
	}
	it, err := w.q.Load(e)
	return e, it, err
}

// TestRunnerIsKilledAtEverySystemCall: the agent dies with its runner, and the item is run again, never beside it, until
// it is completed; an attempt is charged for each agent that started, but for one that started in the very instant.
func TestRunnerIsKilledAtEverySystemCall(t *testing.T) {
	needStrace(t)
	list := runnerPoints(t)
	sweep(t, killed, "the runner", "signal=KILL", sample(list, 40), func(w *world, inject []string) error {
		w.unseen = 1
		return killRunner(w, inject)
	})
	// Where something is about to be started, it is known what was not: a charge for it would be wrong.
	sweep(t, killed, "the runner, as it starts something", "signal=KILL", sample(only(list, "pipe2", "clone"), 10), killRunner)
}

// killRunner kills the runner of an item's first run.
func killRunner(w *world, inject []string) error {
	w.unpaid = 1
	w.runner(inject)
	if err := w.settle(); err != nil {
		return err
	}
	if err := w.judge(completed); err != nil {
		return err
	}
	runs, err := w.home.Runs(w.ids[0])
	if err == nil && len(runs) > 2 {
		err = fmt.Errorf("%d runs after one kill", len(runs))
	}
	return err
}

// TestRunnerMeetsEveryErrorAtEverySystemCall: a run whose runner cannot do what it must is run again and completes. No
// attempt is charged when the machine had no room for the agent to start; an error that says nothing of the kind, EACCES,
// may cost one.
func TestRunnerMeetsEveryErrorAtEverySystemCall(t *testing.T) {
	needStrace(t)
	failed(t, "the runner", runnerPoints(t), 40, func(w *world, inject []string) error {
		w.unpaid, w.unseen = 1, 1
		return failRunner(w, inject)
	})
}

// failRunner makes a system call of the runner of an item's first run fail.
func failRunner(w *world, inject []string) error {
	_, code, out := w.runner(inject)
	if err := oneLine(code, out, 0, 1, 75); err != nil {
		return err
	}
	if err := w.settle(); err != nil {
		return err
	}
	return w.judge(completed)
}

// TestCancelIsKilledAtEverySystemCall: afterwards the item is cancelled, or is as if cancel had not been asked for.
func TestCancelIsKilledAtEverySystemCall(t *testing.T) {
	needStrace(t)
	w := newWorld(t)
	_, it := w.item(1)
	list := points(t, w, "queue", "cancel", it.ID)
	w.close()
	either := map[queue.State]bool{queue.Completed: true, queue.Errored: true}
	sweep(t, killed, "queue cancel", "signal=KILL", sample(list, 20), func(w *world, inject []string) error {
		_, it := w.item(1)
		code, out := w.exec("strace", append(inject, filepath.Join(bin, "kugetsu"), "queue", "cancel", it.ID)...)
		if err := w.settle(); err != nil {
			return err
		}
		if err := w.judge(either); err != nil {
			return err
		}
		_, it, err := load(w, it.ID)
		if err == nil && code == 0 && it.State != queue.Errored {
			err = fmt.Errorf("exit code 0, and the item is %s: %s", it.State, out)
		}
		return err
	})
}

// TestClearIsKilledAtEverySystemCall: afterwards an item is whole or gone, and a second clear leaves nothing behind.
func TestClearIsKilledAtEverySystemCall(t *testing.T) {
	needStrace(t)
	finished := func(w *world) {
		for n := range 2 {
			e, it := w.inSlot("1", n+1, "end.ok.0", true)
			w.must(w.q.Settle(e, it, queue.Result{Run: queue.Run{Run: 1, Outcome: queue.OK, EndedAt: time.Now()}}, queue.Policy{MaxAttempts: 3}))
			_, err := w.q.File(e)
			w.must(err)
			w.must(w.home.Empty("1"))
		}
	}
	clear := []string{"queue", "clear", "--older-than", "0"}
	w := newWorld(t)
	finished(w)
	list := points(t, w, clear...)
	w.close()
	sweep(t, killed, "queue clear", "signal=KILL", sample(list, 20), func(w *world, inject []string) error {
		finished(w)
		w.exec("strace", append(append(inject, filepath.Join(bin, "kugetsu")), clear...)...)
		left, err := w.q.Settled()
		if err != nil {
			return err
		}
		for _, e := range left {
			if _, err := w.q.Load(e); err != nil {
				return err
			}
		}
		if code, out := w.kugetsu(clear...); code != 0 {
			return fmt.Errorf("the second clear: exit code %d: %s", code, out)
		}
		for _, dir := range []string{w.q.Finished, filepath.Join(string(w.home), "runs")} {
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				return fmt.Errorf("left in %s: %v %w", dir, left, err)
			}
		}
		return nil
	})
}
