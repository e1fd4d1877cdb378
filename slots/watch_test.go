package slots_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"kugetsu/slots"
	"kugetsu/slots/proc"
)

// A runner watches its agent, and a pass watches the runner. The agents here are shell scripts, which stop their runner,
// unlock their lease, and leave behind what no signal reaches.

// newShellWorld is a world whose agent is a shell that reads its script from stdin.
func newShellWorld(t *testing.T, settings ...string) *world {
	if runtime.GOOS != "linux" {
		t.Skip("only on Linux a run's processes can be found")
	}
	return newWorld(t, append([]string{"AGENT_COMMAND=bash -s"}, settings...)...)
}

func (w *world) await(what string, so func() bool) {
	w.t.Helper()
	for begin := time.Now(); !so(); <-time.After(5 * time.Millisecond) {
		if time.Since(begin) > patience {
			w.t.Fatalf("after %s it is not so: %s", patience, what)
		}
	}
}

func (w *world) tick() {
	w.t.Helper()
	if code, _, errOut := w.kugetsu("tick"); code != 0 {
		w.t.Fatalf("tick: exit code %d: %s", code, errOut)
	}
}

// settled makes passes, as cron would, until an item is settled.
func (w *world) settled(id string) item {
	w.t.Helper()
	w.await(id+" is settled", func() bool {
		w.tick()
		state := w.item(id).State
		return state == "completed" || state == "error"
	})
	return w.item(id)
}

func (w *world) wantOnly(it item, state, outcome string) {
	w.t.Helper()
	if it.State != state || len(it.History) != 1 || it.History[0].Outcome != outcome {
		w.t.Errorf("not one run that ended as %s: %s", outcome, it)
	}
}

// number is the pid that a script put into a file.
func (w *world) number(name string) (pid int) {
	w.t.Helper()
	w.await(name+" is there", func() bool {
		data, err := os.ReadFile(filepath.Join(w.seen, name))
		pid, _ = strconv.Atoi(strings.TrimSpace(string(data)))
		return err == nil && pid > 0
	})
	return pid
}

// stopped says whether a process is stopped.
func (w *world) stopped(pid int) {
	w.await(fmt.Sprintf("%d is stopped", pid), func() bool { return proc.Stopped(pid) })
}

// older makes the run of an item so much older, by the clock that its limit goes by. The item's own tick is at rest.
func (w *world) older(id string, by time.Duration) {
	w.t.Helper()
	path := filepath.Join(w.state, "queue", "items", "50-"+id+".json")
	var all map[string]any
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, &all)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	runner := all["runner"].(map[string]any)
	runner["clock"] = int64(proc.Clock()-by) | 1
	if data, err = json.Marshal(all); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		w.t.Fatal(err)
	}
}

// leaves is a script that leaves work, and servers of all kinds: with the mark, with the lease alone.
func (w *world) leaves() string {
	return fmt.Sprintf(`echo half done >work.txt
setsid sh -c 'echo $$ >%[1]s/marked; exec sleep 600' 3>&- 4>&- </dev/null >/dev/null 2>&1 &
setsid env -i sh -c 'echo $$ >%[1]s/heir; exec /bin/sleep 600' </dev/null >/dev/null 2>&1 &
until test -s %[1]s/marked && test -s %[1]s/heir; do :; done
`, w.seen)
}

func (w *world) gone(names ...string) {
	w.t.Helper()
	for _, name := range names {
		pid := w.number(name)
		w.await(fmt.Sprintf("%s (%d) is gone", name, pid), func() bool { return proc.Birth(pid) == "" })
	}
}

// kept looks whether the work of a run is at a ref.
func (w *world) kept(ref string) {
	w.t.Helper()
	out, err := exec.Command("git", "-C", filepath.Join(filepath.Dir(w.state), "project"), "show", ref+":work.txt").CombinedOutput()
	if err != nil || string(out) != "half done\n" {
		w.t.Errorf("%s: %v: %s", ref, err, out)
	}
}

// A runner that is stopped for longer than its agent may take is told to go on: it records the timeout itself.
func TestRunnerThatIsStoppedGoesOn(t *testing.T) {
	t.Parallel()
	w := newShellWorld(t, "TASK_TIMEOUT=1s", "MAX_ATTEMPTS=1")
	id := w.delegate(1, w.leaves()+"kill -STOP $PPID; exit 0")
	w.tick()
	if it := w.settled(id); len(it.History) != 1 || it.History[0].Outcome != "timeout" && it.History[0].Outcome != "ok" { // a slow machine
		t.Errorf("%s", it)
	}
	w.kept("refs/kugetsu/" + id + "/1")
	w.gone("marked", "heir")
	w.nothingLeft()
}

// A runner that does not answer keeps its slot for as long as all its limits allow together, and no longer. What it left is
// kept before the next agent starts.
func TestRunnerBeyondItsLimitIsEnded(t *testing.T) {
	t.Parallel()
	w := newShellWorld(t)
	id := w.delegate(1, `test "${KUGETSU_RUN##*.}" = 1 || exit 0`+"\n"+w.leaves()+"kill -STOP $PPID; exec sleep 600")
	w.tick()
	pid := w.item(id).ForkPID
	w.number("heir")
	w.stopped(pid)
	w.older(id, slots.Limit(time.Hour, 0)-time.Minute)
	w.stoppedAgain(pid)
	w.tick()
	if it := w.item(id); it.State != "notified" {
		t.Fatalf("ended within its limit: %s", it)
	}
	w.older(id, slots.Limit(time.Hour, 0)+time.Second)
	for _, args := range [][]string{{"status"}, {"doctor"}} {
		if _, out, _ := w.kugetsu(args...); !strings.Contains(out, "beyond its limit") {
			t.Errorf("%v says nothing of it: %s", args, out)
		}
	}
	w.older(id, slots.Limit(time.Hour, 0)+slots.Slack+time.Second)
	it := w.settled(id)
	w.wantOnly(it, "error", "timeout")
	if !strings.Contains(it.History[0].Summary, "did not answer") {
		t.Errorf("the summary is %q", it.History[0].Summary)
	}
	w.gone("marked", "heir")
	w.nothingLeft()
	if data, err := os.ReadFile(filepath.Join(w.state, "worktrees", "github.com+you+project@1", "work.txt")); err != nil || string(data) != "half done\n" {
		t.Errorf("its work is %q, %v", data, err)
	}
	if code, _, errOut := w.kugetsu("queue", "retry", id); code != 0 {
		t.Fatal(errOut)
	}
	w.drain()
	w.kept("refs/kugetsu/" + id + "/2-before")
}

// stoppedAgain keeps a process from going on until the test is over, whatever tells it to: as a debugger would.
func (w *world) stoppedAgain(pid int) {
	birth := proc.Birth(pid)
	over := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for proc.Tell(pid, func() bool { return proc.Birth(pid) == birth }, syscall.SIGSTOP) {
			select {
			case <-over:
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	w.t.Cleanup(func() { close(over); <-done })
}

// queue cancel tells a stopped runner to go on, so that it keeps the work; and it ends one that does not answer even then.
func TestCancelEndsARunnerThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	for _, again := range []bool{false, true} {
		t.Run(fmt.Sprintf("stopped again: %t", again), func(t *testing.T) {
			t.Parallel()
			w := newShellWorld(t)
			id := w.delegate(1, w.leaves()+"kill -STOP $PPID; exec sleep 600")
			w.tick()
			pid := w.item(id).ForkPID
			w.number("heir")
			w.stopped(pid)
			if again {
				w.stoppedAgain(pid)
			}
			if code, _, errOut := w.kugetsu("queue", "cancel", id); code != 0 {
				t.Errorf("cancel: exit code %d: %s", code, errOut)
			}
			w.wantOnly(w.item(id), "error", "cancelled")
			if !again {
				w.kept("refs/kugetsu/" + id + "/1")
			}
			w.gone("marked", "heir")
			w.nothingLeft()
		})
	}
}

// An agent that unlocks what it inherited is not taken for dead: its run occupies its slot, its session and its worktree until
// it ends, and is settled once. Where its runner is killed after that, it is lost, as any other.
func TestUnlockedLeaseIsNoDeadRun(t *testing.T) {
	t.Parallel()
	for _, locks := range []string{"3", "4", "3 4"} {
		for _, killed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, killed: %t", locks, killed), func(t *testing.T) {
				t.Parallel()
				w := newShellWorld(t, "MAX_CONCURRENT_AGENTS=1")
				id := w.delegate(1, fmt.Sprintf(`test "${KUGETSU_RUN##*.}" = 1 || exit 0
for fd in %[1]s; do flock -u $fd; done
(trap "" TERM; exec setsid sh -c 'echo $$ >%[2]s/left; exec sleep 600') &
until test -s %[2]s/left; do :; done
echo $$ >%[2]s/unlocked
until test -e %[2]s/go; do sleep 0.05; done
echo . >>%[2]s/done`, locks, w.seen))
				w.tick()
				w.number("unlocked")
				other, same := w.delegate(2, "echo . >>"+w.seen+"/other"), w.delegate(1, "exit 0")
				for range 3 {
					w.tick()
				}
				for _, id := range []string{other, same} {
					if it := w.item(id); it.Runs != 0 {
						t.Errorf("it was started beside a run whose lease was unlocked: %s", it)
					}
				}
				if it := w.item(id); it.State != "notified" || it.Runs != 1 {
					t.Fatalf("a run that lives was settled: %s", it)
				}
				if _, out, _ := w.kugetsu("status"); !strings.Contains(out, "\n1 of 1 slots occupied") {
					t.Errorf("status: %s", out)
				}
				if code, _, errOut := w.kugetsu("restore", "you/project#1"); code != 75 {
					t.Errorf("restore in the worktree of a run: exit code %d: %s", code, errOut)
				}
				if killed {
					pid := w.item(id).ForkPID
					if !proc.Signal(pid, proc.Run{Name: id + ".1"}, syscall.SIGKILL) {
						t.Fatal("its runner is not there")
					}
				} else if err := os.WriteFile(filepath.Join(w.seen, "go"), nil, 0o600); err != nil {
					t.Fatal(err)
				}
				it := w.settled(id)
				if !killed {
					w.wantOnly(it, "completed", "ok")
				} else if len(it.History) != 2 || it.History[0].Outcome != "lost" || it.State != "completed" {
					t.Errorf("not lost and done again: %s", it)
				}
				w.drain()
				w.gone("left")
				w.nothingLeft()
				if n := len(w.lines("done")); !killed && n != 1 {
					t.Errorf("it was done %d times", n)
				}
			})
		}
	}
}

// What carries the mark of another run, one that ended or one that lives, belongs to the run below whose runner it is.
func TestForgedMarkKeepsNoSlot(t *testing.T) {
	t.Parallel()
	for _, lives := range []bool{false, true} {
		t.Run(fmt.Sprintf("lives: %t", lives), func(t *testing.T) {
			t.Parallel()
			w := newShellWorld(t, "MAX_ATTEMPTS=1")
			old := w.delegate(1, "test "+fmt.Sprint(lives)+" = false || until test -e "+w.seen+"/go; do sleep 0.05; done")
			w.tick()
			if !lives {
				w.settled(old)
			}
			id := w.delegate(2, fmt.Sprintf(`KUGETSU_RUN=%s.1 setsid sh -c 'echo $$ >%[2]s/left; exec sleep 600' </dev/null >/dev/null 2>&1 &
until test -s %[2]s/left; do :; done`, old, w.seen))
			w.tick()
			w.wantOnly(w.settled(id), "completed", "ok")
			w.gone("left")
			if err := os.WriteFile(filepath.Join(w.seen, "go"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			w.wantOnly(w.settled(old), "completed", "ok")
			w.nothingLeft()
		})
	}
}

// The runner's pid may be another's by now, of the same run even: a birth tells it.
func TestReusedPidIsNotTheRunner(t *testing.T) {
	t.Parallel()
	w := newShellWorld(t)
	id := w.delegate(1, `test "${KUGETSU_RUN##*.}" = 1 || exit 0
setsid sh -c 'echo $$ >`+w.seen+`/left; exec sleep 600' </dev/null >/dev/null 2>&1 &
exec sleep 600`)
	w.tick()
	left := w.number("left")
	if !proc.Signal(w.item(id).ForkPID, proc.Run{Name: id + ".1"}, syscall.SIGKILL) {
		t.Fatal("its runner is not there")
	}
	path := filepath.Join(w.state, "queue", "items", "50-"+id+".json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// The leftover carries the run's mark and has its lease, and now the pid, but another birth.
	text := strings.Replace(string(data), fmt.Sprintf(`"fork_pid": %d,`, w.item(id).ForkPID), fmt.Sprintf(`"fork_pid": %d,`, left), 1)
	if text == string(data) {
		t.Fatalf("no fork_pid: %s", data)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if it := w.settled(id); len(it.History) != 2 || it.History[0].Outcome != "lost" || it.State != "completed" {
		t.Errorf("not lost and done again: %s", it)
	}
	w.gone("left")
	w.nothingLeft()
}

// What an agent leaves behind as another user, a service that it started with sudo, decides nothing: neither how the run
// ended, nor when, and it keeps no slot, even if it inherited the lease.
func TestRootsLeftoverDecidesNothing(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to play both users")
	}
	setpriv, err := exec.LookPath("setpriv")
	if err != nil {
		t.Skip("needs setpriv")
	}
	for _, how := range []string{"exit 0", "exec sleep 600", "exec SUDO sleep 600"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			w := newShellWorld(t, "TASK_TIMEOUT=10s", "MAX_ATTEMPTS=2", "USER=nobody")
			bin, _ := binary()
			const uid = 65534
			dir := filepath.Dir(w.state)
			sudo := filepath.Join(dir, "sudo")
			data, err := os.ReadFile(setpriv)
			if err != nil {
				t.Fatal(err)
			}
			for _, args := range [][]string{{"chown", "-R", fmt.Sprint(uid), dir}, {"chmod", "711", dir, filepath.Dir(dir), bin}} {
				if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
			}
			if err := os.WriteFile(sudo, data, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(sudo, 0o755|os.ModeSetuid); err != nil {
				t.Fatal(err)
			}
			w.as = []string{setpriv, fmt.Sprintf("--reuid=%d", uid), fmt.Sprintf("--regid=%d", uid), "--clear-groups"}
			become := sudo + " --reuid=0 --regid=0 --clear-groups"
			id := w.delegate(1, fmt.Sprintf(`echo half done >work.txt
%s sh -c 'echo $$ >%s/left; exec setsid sleep 600' </dev/null >/dev/null 2>&1 &
until test -s %[2]s/left; do :; done
%[3]s`, become, w.seen, strings.Replace(how, "SUDO", become, 1)))
			w.tick()
			pid := w.number("left")
			birth := proc.Birth(pid)
			defer func() { // and what the last of them became
				proc.Tell(pid, func() bool { return proc.Birth(pid) == birth }, syscall.SIGKILL)
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				defer cancel()
				if err := proc.Kill(ctx, proc.Run{Name: id + ".1"}, nil); err != nil {
					t.Error(err)
				}
			}()
			it := w.settled(id)
			want := map[bool][2]string{true: {"completed", "ok"}, false: {"error", "timeout"}}[how == "exit 0"]
			w.wantOnly(it, want[0], want[1])
			if !strings.Contains(it.History[0].Summary, fmt.Sprintf("%d of uid 0", pid)) {
				t.Errorf("the summary does not name %d: %q", pid, it.History[0].Summary)
			}
			if proc.Birth(pid) != birth {
				t.Error("it is gone: nothing was shown")
			}
			w.await("the slot is free", func() bool { // the runner gives it up behind the settling
				_, out, _ := w.kugetsu("status")
				return strings.Contains(out, "\n0 of 3 slots occupied, 0 waiting")
			})
			next := w.delegate(1, "exit 0")
			w.wantOnly(w.settled(next), "completed", "ok")
		})
	}
}
