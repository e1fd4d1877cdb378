package tick

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"kugetsu/queue/event"
	"kugetsu/queue/fault"
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
	lock, err := slots.TryLock(filepath.Join(t.Queue.Events.Undelivered, "deliver.lock"))
	if errors.Is(err, slots.ErrBusy) {
		return nil
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	ctx, cancel := context.WithTimeout(ctx, deliverLimit)
	defer cancel()
	events, err := t.Queue.Events.ToDeliver(t.Queue.QuarantineAs)
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
		if !t.Queue.Events.Wants(ev.Type) { // NOTIFY_EVENTS was another when it was written
			errs = append(errs, t.Queue.Events.Delivered(ev))
			continue
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

// TestNotify gives an event of the type test to NOTIFY_COMMAND, and keeps nothing of it. The error says what the command printed.
func (t *Tick) TestNotify(ctx context.Context) error {
	if t.Config != nil {
		return t.Config
	}
	argv, err := agent.Split(t.Settings.NotifyCommand)
	if err == nil && len(argv) == 0 {
		err = fault.New(fault.Config, "set it in the file config: a program that takes an event as JSON on stdin", "there is no NOTIFY_COMMAND")
	}
	if err != nil {
		return err
	}
	env, err := t.Environ()
	if err != nil {
		return err
	}
	now := t.Now().UTC()
	ev := event.Event{V: 1, Name: fmt.Sprintf("test.%d", now.Unix()), Type: event.Test, Text: "this is a test: NOTIFY_COMMAND works", At: now}
	if err := tell(ctx, argv, env, ev); err != nil {
		return fault.New(fault.Failed, "it gets JSON on stdin, and must exit with 0 within 10 s", "NOTIFY_COMMAND failed: %w", err)
	}
	return nil
}

func tell(ctx context.Context, argv, env []string, ev event.Event) error {
	data, err := json.Marshal(ev)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, notifyLimit, fmt.Errorf("it did not end in %s", notifyLimit))
	defer cancel()
	path, err := proc.LookPath(argv[0], env, "/")
	if err != nil {
		return err
	}
	_, err = proc.Child{Path: path, Args: argv, Env: env, Stdin: bytes.NewReader(append(data, '\n'))}.Output(ctx)
	return err
}
