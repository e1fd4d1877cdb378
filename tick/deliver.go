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
	"time"

	"kugetsu/queue/event"
	"kugetsu/queue/fault"
	"kugetsu/queue/terminal"
	"kugetsu/slots"
	"kugetsu/slots/agent"
	"kugetsu/slots/proc"
)

const (
	// notifyLimit bounds one NOTIFY_COMMAND, deliverLimit all of a pass.
	notifyLimit  = 10 * time.Second
	deliverLimit = 30 * time.Second
)

// deliver gives the events that are owed to NOTIFY_COMMAND, each until it exits 0. Never under tick.lock.
func (t *Tick) deliver(ctx context.Context) error {
	if t.Config != nil || t.Settings.NotifyCommand == "" {
		return nil
	}
	argv, err := agent.Split(t.Settings.NotifyCommand)
	if err != nil || len(argv) == 0 {
		return fault.New(fault.Config, "", "NOTIFY_COMMAND: %w", errors.Join(err, errors.New("it is not a command")))
	}
	// One deliverer: two would tell everything twice.
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
	events, err := t.Queue.Events.Undelivered(t.Queue.Bad)
	if err != nil {
		return err
	}
	env, err := t.environ()
	if err != nil {
		return err
	}
	var errs []error
	for _, ev := range events {
		if ctx.Err() != nil {
			break // the rest is the next pass's
		}
		if t.Now().Sub(ev.At) > t.Settings.CleanupAge() {
			t.Log.Warn("an event could not be delivered in time and was given up", "event", ev.Name)
			errs = append(errs, t.Queue.Events.Delivered(ev))
			continue
		}
		if err := tell(ctx, argv, env, ev); err != nil {
			t.Log.Warn("NOTIFY_COMMAND failed; the event is kept", "event", ev.Name, "err", err)
			errs = append(errs, t.Queue.Events.Postpone(ev))
			continue
		}
		// After the command, not before: at least once is the promise. Its name lets a receiver know a repeat.
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
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = env
	cmd.Stdin = bytes.NewReader(append(data, '\n'))
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = nil, &said
	cmd.SysProcAttr = proc.Detach()
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		last := said.String()
		last = terminal.Clean(strings.TrimSpace(last[max(0, len(last)-300):]))
		return fmt.Errorf("%w: %s", err, last)
	}
	return nil
}
