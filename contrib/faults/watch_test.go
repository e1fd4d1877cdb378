package faults

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"kugetsu/queue"
	"kugetsu/slots"
	"kugetsu/slots/proc"
)

// freed makes an agent note its pid and stay until the world is set free.
const freed = `echo $$ >"$REC.pid.$KUGETSU_RUN.tmp" && mv "$REC.pid.$KUGETSU_RUN.tmp" "$REC.pid.$KUGETSU_RUN"
until test -e "$REC.free"; do sleep 0.05; done
`

// unlocking: an agent unlocks some of the locks that it inherited, and works on.
func unlocking(w *world, locks string) error {
	w.behave("for fd in " + locks + "; do flock -u $fd; done\n" + freed)
	_, it := w.item(1)
	w.kugetsu("tick")
	if _, err := w.agentOf(it.ID, 1); err != nil {
		return err
	}
	w.item(1) // on the same issue: a second agent would not be alone
	for range 3 {
		w.kugetsu("tick")
		if got := w.outcomes(it.ID); got != "" {
			return fmt.Errorf("its runner lives, and it was settled: %s", got)
		}
	}
	w.free()
	if err := w.settle(); err != nil {
		return err
	}
	return errors.Join(w.judge(completed), w.wantOutcomes(it.ID, "ok+"), w.wantOutcomes(w.ids[1], "ok+"), w.cleanedUp())
}

// hanging: an agent stops its runner, and time passes beyond every limit of the run.
func hanging(w *world) error {
	// Not before the runner has recorded that it began: agentOf waits for that.
	w.behave(unless + "until test -e \"$KUGETSU_DIR/runs/$KUGETSU_RUN/started\"; do sleep 0.05; done\nkill -STOP $PPID\n" + serve)
	_, it := w.item(1)
	w.kugetsu("tick")
	if _, err := w.agentOf(it.ID, 1); err != nil {
		return err
	}
	w.free()
	runner, err := w.runnerOf(it.ID)
	if err != nil {
		return err
	}
	if err := awaited("the runner is stopped", func() bool { return proc.Stopped(runner) }); err != nil {
		return err
	}
	e, now, err := load(w, it.ID)
	if err != nil {
		return err
	}
	now.Runner.Clock -= slots.Limit(now.Runner.Timeout, now.Runner.Verify) + slots.Slack + time.Second
	data, err := json.Marshal(now)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(w.dir, "older"), data, 0o600); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(w.dir, "older"), e.Path); err != nil {
		return err
	}
	w.item(1)
	if err := w.settle(); err != nil {
		return err
	}
	return errors.Join(w.judge(map[queue.State]bool{queue.Completed: true, queue.Errored: true}), w.wantOutcomes(it.ID, "timeout+"),
		w.wantOutcomes(w.ids[1], "ok+"), w.cleanedUp())
}

// TestWatcherIsWatched: neither a lease that is unlocked nor a runner that hangs breaks a promise.
func TestWatcherIsWatched(t *testing.T) {
	if runtime.GOOS != "linux" {
		skip(t, leftover, "only on Linux a run's processes can be found")
	}
	inWorlds(t, leftover, 5, []inWorld{
		{"an agent unlocks the slot, the session or both, and works on", []func(*world) error{
			func(w *world) error { return unlocking(w, "3") },
			func(w *world) error { return unlocking(w, "4") },
			func(w *world) error { return unlocking(w, "3 4") }}},
		{"a runner is stopped by its agent, beyond all limits of the run", []func(*world) error{hanging}},
	})
}

func TestHarnessNoticesAnUnwatchedWatcher(t *testing.T) {
	if runtime.GOOS != "linux" {
		skip(t, leftover, "only on Linux a run's processes can be found")
	}
	mustNotice(t,
		wrongWay{"a free lease is taken for a dead runner", "tick/engine.go", []string{"alive := l.t.unlocked(it)", "alive := false"},
			"its runner lives, and it was settled", alone(func(w *world) error { return unlocking(w, "3 4") })},
		wrongWay{"a runner that was ended is not marked", "tick/runner.go", []string{"t.Home.MarkOverdue(run)", "error(nil)"},
			"ended as \"lost+", alone(hanging)},
	)
}
