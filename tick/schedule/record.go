package schedule

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"kugetsu/queue/spool"
)

// Record is schedule.json in the state folder: what was asked for, and since when.
type Record struct {
	V       int       `json:"v"`
	Kind    Kind      `json:"kind"`
	Minutes int       `json:"interval_minutes"`
	Since   time.Time `json:"since"`
	Program string    `json:"program,omitempty"` // that the schedule runs
}

func recordFile(dir string) spool.File[Record] {
	return spool.File[Record]{Path: filepath.Join(dir, "schedule.json"), Version: 1, Layout: spool.Line}
}

// ReadRecord is what was asked for, nil for no schedule.
func ReadRecord(dir string) (*Record, error) { return recordFile(dir).Read() }

// Overdue says for how long no tick has been there that should have been: 0 as long as it is no more than two intervals.
// A machine that slept was not late: it is told all the same, until the next tick.
func (r Record) Overdue(now, last time.Time) time.Duration {
	if last.Before(r.Since) {
		last = r.Since
	}
	if late := now.Sub(last); late > 2*time.Duration(r.Minutes)*time.Minute {
		return late
	}
	return 0
}

// Gone says that the program of a schedule is not there any more, as after an upgrade that removed it, or "".
func Gone(program string) string {
	if program == "" {
		return ""
	}
	if _, err := os.Stat(program); errors.Is(err, fs.ErrNotExist) {
		return "the schedule runs " + program + ", which is not there any more: kugetsu queue-daemon start"
	}
	return ""
}

// remember records what is asked for. The time stays where nothing changes: start again is not a new beginning.
func (j Job) remember(k Kind) error {
	r := Record{V: 1, Kind: k, Minutes: j.Minutes, Since: time.Now().UTC(), Program: j.Binary}
	if old, err := ReadRecord(j.Dir); err == nil && old != nil && old.Kind == k && old.Minutes == j.Minutes {
		if old.Program == j.Binary {
			return nil
		}
		r.Since = old.Since
	}
	return recordFile(j.Dir).Write(&r)
}

func (j Job) forget() error { return spool.Remove(recordFile(j.Dir).Path) }
