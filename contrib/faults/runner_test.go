package faults

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"kugetsu/queue"
	"kugetsu/slots"
	"kugetsu/slots/proc"
)

// runner does what a tick does up to the hand-over, and runs the runner below strace. It returns when the runner is gone, with the
// runner's exit code and output.
func (w *world) runner(inject []string) (it *queue.Item, code int, out string) {
	e, it := w.item(1)
	w.hold("1", 1)
	in := slots.Intent{Item: it.ID, File: filepath.Base(e.Path), Run: 1, Session: session(1), Boot: proc.BootID()}
	w.must(w.home.WriteIntent("1", in))
	w.must(w.home.ClaimRun(in.RunName()))
	r, gate, err := os.Pipe()
	w.must(err)
	// With -D the runner is the child of this process and strace its grandchild, so the pid is the runner's.
	cmd := exec.Command("strace", append(append([]string{"-D"}, inject...), filepath.Join(bin, "kugetsu"), "run", in.RunName())...)
	cmd.Env = append(w.env, proc.Mark+"="+in.RunName())
	cmd.ExtraFiles = []*os.File{w.held[0].File(), w.held[1].File(), r}
	cmd.SysProcAttr = proc.Detach()
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	w.must(cmd.Start())
	w.must(r.Close())
	w.must(w.q.Notify(e, it, 1, cmd.Process.Pid, nil))
	notes := w.q.Events
	var verify slots.VerifyTask
	if w.verifier != "" {
		verify = slots.VerifyTask{Command: w.verifier, By: "VERIFY_COMMAND", Timeout: patience}
	}
	task, err := json.Marshal(slots.Task{V: 1, Verify: verify, Item: it.ID, Run: 1, Session: session(1), IssueRef: it.IssueRef, Message: it.Message,
		Timeout: patience, EnvFiles: []string{w.dir + "/default.env", w.dir + "/dev.env"}, Agent: slots.AgentTask{Preset: "command", Command: "env REC=" + w.record() + " " + filepath.Join(w.dir, "agent")},
		Workspace: slots.WorkspaceSettings{Repo: "github.com+you+project", Local: filepath.Join(w.dir, "repo"), Branch: "fix/issue-1"},
		Events:    slots.Events{New: notes.New, Seen: notes.Seen, Undelivered: notes.Undelivered}})
	w.must(err)
	_, _ = gate.Write(task) // it may be dead already
	w.must(gate.Close())
	w.letGo()
	_ = cmd.Wait() // its exit code tells
	return it, cmd.ProcessState.ExitCode(), said.String()
}

// runnerPoints lists the system calls of a runner. Its agent and git are not followed.
func runnerPoints(t *testing.T) []point {
	w := newWorld(t)
	defer w.close()
	trace := filepath.Join(w.dir, "trace")
	it, _, _ := w.runner([]string{"-y", "-o", trace})
	w.must(w.settle())
	_, now, err := load(w, it.ID)
	w.must(err)
	if now.State != queue.Completed || now.Runs != 1 {
		t.Fatalf("a runner that was not broken: %s after %d runs", now.State, now.Runs)
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

// TestRunnerIsKilledAtEverySystemCall: the agent dies with its runner. The item is run again, never beside the dead run, until it
// is completed. An attempt is counted for each agent that started, except perhaps one that started in that very instant.
func TestRunnerIsKilledAtEverySystemCall(t *testing.T) {
	needStrace(t)
	list := runnerPoints(t)
	sweep(t, killed, "the runner", "signal=KILL", sample(list, 40), func(w *world, inject []string) error {
		w.unseen = 1
		return killRunner(w, inject)
	})
	// A point that fails here lies before a start, so nothing was started, and a counted attempt would be wrong.
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

// verifying has the runs of a world verified. The command notes that it ran, and whether it was alone on its issue.
func (w *world) verifying() {
	path := filepath.Join(w.dir, "verify")
	w.must(os.WriteFile(path, []byte(`#!/bin/sh
exec 9>"$REC.issue.${KUGETSU_ISSUE##*#}"
flock -n 9 || echo "not alone $KUGETSU_RUN, as it is verified" >>"$REC"
echo "$KUGETSU_RUN" >>"$REC.verified"
`), 0o700))
	w.verifier = "env REC=" + w.record() + " " + path
	w.env = append(w.env, "VERIFY_COMMAND="+w.verifier)
}

// wasVerified checks that the run with which each item completed was verified.
func (w *world) wasVerified() error {
	noted, err := os.ReadFile(w.record() + ".verified")
	if err != nil {
		return err
	}
	for _, id := range w.ids {
		_, it, err := load(w, id)
		if err != nil {
			return err
		}
		last := it.Last()
		if last == nil || !last.Verified() || !bytes.Contains(noted, []byte(slots.RunName(id, it.Runs)+"\n")) {
			return fmt.Errorf("%s completed, and its last run was not verified: %+v", id, last)
		}
	}
	return nil
}

// TestRunnerThatVerifiesIsKilledAtEverySystemCall: a run has not ended while the command that verifies it runs. If its runner is
// killed then, the run is lost. The item runs again and is verified again, never beside the processes that the dead runner left.
func TestRunnerThatVerifiesIsKilledAtEverySystemCall(t *testing.T) {
	needStrace(t)
	w := newWorld(t)
	w.verifying()
	trace := filepath.Join(w.dir, "trace")
	w.runner([]string{"-y", "-o", trace})
	w.must(w.settle())
	w.must(w.wasVerified())
	list := readPoints(t, trace)
	w.close()
	if !*full {
		list = list[len(list)/2:] // the first half is the same for any runner
	}
	sweep(t, killed, "the runner, of a run that is verified", "signal=KILL", sample(list, 4), func(w *world, inject []string) error {
		w.unseen = 1
		w.verifying()
		if err := killRunner(w, inject); err != nil {
			return err
		}
		return w.wasVerified()
	})
}

// TestRunnerMeetsEveryErrorAtEverySystemCall: if a system call of the runner fails, the run is repeated and the item completes. No
// attempt is counted if the error says that the machine had no room for the agent. Another error, EACCES, may cost one.
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
