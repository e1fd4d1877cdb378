package tick

import (
	"errors"
	"path/filepath"
	"time"

	"kugetsu/queue/spool"
	"kugetsu/slots"
)

// Pause is the file paused. While it exists nothing is started; runs continue.
type Pause struct {
	Until  *time.Time `json:"until"` // nil: until resume
	Since  *time.Time `json:"since"` // when it was written, if it has an end
	Reason string     `json:"reason"`
}

// String is the pause as a reason to wait.
func (p *Pause) String() string {
	return "paused" + p.rest()
}

// rest is the end of the pause and its reason.
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

func pauseFile(home slots.Dir) spool.File[Pause] {
	return spool.File[Pause]{Path: filepath.Join(string(home), "paused"), Layout: spool.Line}
}

// ReadPause is the pause in force, nil for none. A file that cannot be understood pauses: a person may have written it.
func ReadPause(home slots.Dir, now time.Time) (*Pause, error) {
	p, err := pauseFile(home).Read()
	if errors.Is(err, spool.ErrBad) { // for example `touch paused`
		return &Pause{}, nil
	}
	if p == nil || p.ended(now) {
		return nil, err
	}
	return p, nil
}

// ended says whether the pause has ended.
func (p *Pause) ended(now time.Time) bool {
	return p.Until != nil && (!now.Before(*p.Until) || p.early(now))
}

// early says whether the clock was set back to before the pause by more than the length of the pause. Its end would still come, but
// a pause of an hour is not meant to last a year. A clock that was set back by less extends the pause by its own length at most.
func (p *Pause) early(now time.Time) bool {
	return p.Since != nil && p.Since.Sub(now) > p.Until.Sub(*p.Since)
}

// WritePause begins a pause.
func WritePause(home slots.Dir, p Pause) error { return pauseFile(home).Write(&p) }

// Resume ends a pause. It returns false if there was none.
func Resume(home slots.Dir) (bool, error) { return pauseFile(home).Remove() }
