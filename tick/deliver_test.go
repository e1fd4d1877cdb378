package tick

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/event"
	"kugetsu/slots"
	"kugetsu/tick/settings"
)

func TestTickIsNeverHeldUpForLongByNotifyCommand(t *testing.T) {
	if notifyLimit > deliverLimit || deliverLimit > time.Minute {
		t.Errorf("one command may take %s, all of a pass %s", notifyLimit, deliverLimit)
	}
}

func TestHangingNotifyCommandIsEndedWithAllItStarted(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "hang.sh")
	// What hangs is a program that the script started, and it ignores SIGTERM.
	text := "trap '' TERM\n(trap '' TERM; exec sleep 1000) &\necho $! > " + dir + "/pid.tmp && mv " + dir + "/pid.tmp " + dir + "/pid\nwait\n"
	if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { // as if the time were up, as soon as it hangs
		for ; ctx.Err() == nil; poll() {
			if _, err := os.Stat(filepath.Join(dir, "pid")); err == nil {
				cancel()
			}
		}
	}()
	err := tell(ctx, []string{"sh", script}, []string{"PATH=/usr/bin:/bin"}, event.Event{Name: "x"})
	cancel()
	if err == nil {
		t.Fatal("it ended well")
	}
	data, err := os.ReadFile(filepath.Join(dir, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	for begin := time.Now(); ; poll() { // init buries it in its own time
		if syscall.Kill(pid, 0) != nil || zombie(pid) {
			return
		}
		if time.Since(begin) > time.Minute {
			t.Fatalf("process %d is left", pid)
		}
	}
}

// poll gives way between two looks at a condition.
func poll() { <-time.After(10 * time.Millisecond) }

func zombie(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && strings.Contains(string(stat), ") Z ")
}

func TestComplaintOfNotifyCommandIsTheEndOfItsOutput(t *testing.T) {
	for _, c := range []struct{ script, want string }{
		{"echo no route >&2; exit 1", "exit status 1: no route"},
		{"exit 3", "exit status 3"},
		{"printf '\\033[31mred\\n' >&2; exit 1", `exit status 1: \x1b[31mred`},
		{"yes 'and so on' | head -c 1000000 >&2; echo the end >&2; exit 1", "the end"},
		{"kill -9 $$", "signal: killed"},
	} {
		err := tell(t.Context(), []string{"sh", "-c", c.script}, []string{"PATH=/usr/bin:/bin"}, event.Event{Name: "x"})
		if err == nil || !strings.HasSuffix(err.Error(), c.want) || len(err.Error()) > 400 {
			t.Errorf("%s: %v", c.script, err)
		}
	}
}

func TestNotifyCommandThatDoesNotReadTheEventHasTakenIt(t *testing.T) {
	ev := event.Event{Name: "x", Text: strings.Repeat("long ", 100_000)} // more than a pipe holds
	if err := tell(t.Context(), []string{"true"}, []string{"PATH=/usr/bin:/bin"}, ev); err != nil {
		t.Error(err)
	}
}

func TestEventIsGivenUpForItsAgeOnlyAfterATry(t *testing.T) {
	dir := t.TempDir()
	told := filepath.Join(dir, "told")
	box := &event.Box{New: dir + "/new", Seen: dir + "/seen", Undelivered: dir + "/owed", Wanted: func(event.Type) bool { return true },
		Now: func() time.Time { return time.Now().AddDate(-1, 0, 0) }}
	if err := box.Make(); err != nil {
		t.Fatal(err)
	}
	if err := box.Put(event.Event{Name: "old", Type: event.TaskCompleted}); err != nil {
		t.Fatal(err)
	}
	tick := &Tick{Home: slots.Dir(dir), Queue: &queue.Queue{Events: box}, Source: settings.Open(dir, true), Now: time.Now,
		Log: slog.New(slog.DiscardHandler), Settings: &settings.Settings{CleanupDays: 7, NotifyCommand: "sh -c 'cat >>" + told + "; exit 1'"}}
	for range 2 { // the second pass has nothing to tell any more
		if err := tick.deliver(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if data, err := os.ReadFile(told); err != nil || strings.Count(string(data), `"name":"old"`) != 1 {
		t.Errorf("told: %s %v", data, err)
	}
	if left, err := box.ToDeliver(func(_, name string, why error) error { return fmt.Errorf("%s: %w", name, why) }); err != nil || len(left) > 0 {
		t.Errorf("owed: %v %v", left, err)
	}
}
