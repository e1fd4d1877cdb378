package tick

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"kugetsu/queue/event"
	"kugetsu/queue/fault"
	"kugetsu/queue/spool"
)

// lack is room.json: the machine has no room for one more agent, though one waits. It is told when that begins, and when it
// is over: when nothing waits for room any more, and there is some. So a queue that memory alone bounds is told of once.
type lack struct {
	V     int       `json:"v"`
	Since time.Time `json:"since"`
	Why   string    `json:"why"`
}

func (l lack) event(kind event.Type, text string) event.Event {
	return event.Event{Name: fmt.Sprintf("%s.%d", kind, l.Since.Unix()), Type: kind, Text: text}
}

func (t *Tick) lackPath() string { return filepath.Join(string(t.Home), "room.json") }

// tellRoom tells of a lack that this pass met, or that is over. The file first: the event's name comes from it, so that a
// crash between the two repeats no event under another name.
func (t *Tick) tellRoom(k *taken, report *Report) error {
	var l lack
	err := spool.ReadVersion(t.lackPath(), 1, &l)
	known := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, spool.ErrBad) {
		return err
	}
	switch {
	case k.lack != "":
		if !known {
			l = lack{V: 1, Since: t.Now().UTC(), Why: k.lack}
			data, err := json.Marshal(l)
			if err != nil {
				return fmt.Errorf("room: %w", err)
			}
			if err := spool.Write(t.lackPath(), append(data, '\n')); err != nil {
				return err
			}
			t.Log.Info("nothing more is started", "why", k.lack)
		}
		report.lack, report.lackHint, report.lackNew = k.lack, k.lackHint, !known
		return t.Queue.Events.PutOnce(l.event(event.RoomLow, "nothing more is started: "+l.Why))
	case !known:
		return nil
	}
	if why, err := t.room(k).full(); why != "" || err != nil { // nothing asks for room, and there is none
		return nil
	}
	if err := t.Queue.Events.Put(l.event(event.RoomBack, "there is room again for an agent; it was: "+l.Why)); err != nil {
		return err
	}
	t.Log.Warn("there is room again for an agent", "was", l.Why)
	return spool.Unlink(t.lackPath())
}

// Lack is the error (exit code 75) that the machine had no room for an agent which waits, nil when it had; and whether that
// is new.
func (r *Report) Lack() (err error, begins bool) {
	if r.lack == "" {
		return nil, false
	}
	return fault.New(fault.Temp, r.lackHint, "nothing more is started: %s", r.lack), r.lackNew
}
