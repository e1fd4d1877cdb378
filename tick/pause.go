package tick

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"kugetsu/queue/spool"
	"kugetsu/slots"
)

// Pause is the file paused: while it is there nothing is started. What runs goes on.
type Pause struct {
	Until  *time.Time `json:"until"` // nil: until resume
	Since  *time.Time `json:"since"` // of one that has an end: when it was asked for
	Reason string     `json:"reason"`
}

// String says it for status and for a tick's report.
func (p *Pause) String() string {
	return "paused" + p.rest()
}

// rest says until when, and why.
func (p *Pause) rest() string {
	text := ""
	if p.Until != nil {
		text += " until " + p.Until.Local().Format("2006-01-02 15:04:05")
	}
	if p.Reason != "" {
		text += ": " + p.Reason
	}
	return text
}

func pausePath(home slots.Dir) string { return filepath.Join(string(home), "paused") }

// ReadPause is the pause in force, nil for none. A file that cannot be understood pauses: somebody meant it to.
func ReadPause(home slots.Dir, now time.Time) (*Pause, error) {
	p := &Pause{}
	switch err := spool.ReadJSON(pausePath(home), p); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.Is(err, spool.ErrBad): // `touch paused`, say
		return &Pause{}, nil
	case err != nil:
		return nil, err
	}
	if p.over(now) {
		return nil, nil
	}
	return p, nil
}

// over says whether its time is up.
func (p *Pause) over(now time.Time) bool {
	return p.Until != nil && (!now.Before(*p.Until) || p.early(now))
}

// early says whether the clock was set back to before the pause by more than the pause is long: its end would come, but
// who asked for an hour does not mean a year. A clock that was set back by less makes it longer, at most by its own
// length.
func (p *Pause) early(now time.Time) bool {
	return p.Since != nil && p.Since.Sub(now) > p.Until.Sub(*p.Since)
}

// WritePause holds the fill.
func WritePause(home slots.Dir, p Pause) error {
	data, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("pause: %w", err)
	}
	return spool.Write(pausePath(home), append(data, '\n'))
}

// Resume lifts the hold; false when there was none.
func Resume(home slots.Dir) (bool, error) {
	there, err := spool.Exists(pausePath(home))
	if err != nil || !there {
		return false, err
	}
	return true, spool.Remove(pausePath(home))
}
