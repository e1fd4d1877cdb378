package tick

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"kugetsu/queue/event"
	"kugetsu/queue/terminal"
	"kugetsu/slots"
	"kugetsu/slots/agent"
	"kugetsu/slots/proc"
)

const (
	// notifyLimit limits one NOTIFY_COMMAND, deliverLimit all of a pass.
	notifyLimit  = 10 * time.Second
	deliverLimit = 30 * time.Second
)

// deliver gives undelivered events to NOTIFY_COMMAND, each until the command exits with 0. It is never called under tick.lock.
func (t *Tick) deliver(ctx context.Context) error {
	if t.Config != nil || t.Settings.NotifyCommand == "" {
		return nil
	}
	argv, err := agent.Split(t.Settings.NotifyCommand)
	if err != nil || len(argv) == 0 { // a value of blanks; any other bad value was refused as a setting
		return err
	}
	// One process delivers at a time: two would report every event twice.
	lock, err := slots.TryLock(filepath.Join(t.Queue.Events.Owed, "deliver.lock"))
	if errors.Is(err, slots.ErrBusy) {
		return nil
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	ctx, cancel := context.WithTimeout(ctx, deliverLimit)
	defer cancel()
	events, err := t.Queue.Events.Undelivered(t.Queue.SetAsideAs)
	if err != nil {
		return err
	}
	env, err := t.Environ()
	if err != nil {
		return err
	}
	var errs []error
	for _, ev := range events {
		if ctx.Err() != nil {
			break // the next pass delivers the rest
		}
		if err := tell(ctx, argv, env, ev); err != nil {
			// Only after an attempt: after a clock was set forward every event looks old.
			if t.Now().Sub(ev.At) > t.Settings.CleanupAge() {
				t.Log.Warn("an event could not be delivered in time and was given up", "event", ev.Name, "err", err)
				errs = append(errs, t.Queue.Events.Delivered(ev))
				continue
			}
			t.Log.Warn("NOTIFY_COMMAND failed; the event is kept", "event", ev.Name, "err", err)
			errs = append(errs, t.Queue.Events.Postpone(ev))
			continue
		}
		// After the command, not before: an event is delivered at least once. Its name lets a receiver recognize a repeat.
		errs = append(errs, t.Queue.Events.Delivered(ev))
	}
	return errors.Join(errs...)
}

func tell(ctx context.Context, argv, env []string, ev event.Event) error {
	data, err := json.Marshal(ev)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, notifyLimit)
	defer cancel()
	path, err := proc.LookPath(argv[0], env, "/")
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, path, argv[1:]...)
	cmd.Args[0], cmd.Env = argv[0], env
	cmd.Stdin = bytes.NewReader(append(data, '\n'))
	var said tail
	cmd.Stdout, cmd.Stderr = nil, &said
	cmd.SysProcAttr = proc.Detach()
	// The whole process group: a script that hangs usually waits for a program that it started.
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		if last := terminal.Clean(strings.TrimSpace(string(said))); last != "" {
			return fmt.Errorf("%w: %s", err, last)
		}
		return err
	}
	return nil
}

// tail keeps the last bytes of what is written to it.
type tail []byte

func (t *tail) Write(p []byte) (int, error) {
	all := append(*t, p...)
	*t = append((*t)[:0], all[max(0, len(all)-300):]...)
	return len(p), nil
}
