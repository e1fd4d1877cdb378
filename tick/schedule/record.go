package schedule

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"kugetsu/queue/spool"
)

// Record is schedule.json in the state folder: the schedule that was asked for, and since when.
type Record struct {
	V       int       `json:"v"`
	Kind    Kind      `json:"kind"`
	Minutes int       `json:"interval_minutes"`
	Since   time.Time `json:"since"`
	Program string    `json:"program,omitempty"` // the kugetsu that the schedule runs
}

func recordFile(dir string) spool.File[Record] {
	return spool.File[Record]{Path: filepath.Join(dir, "schedule.json"), Version: 1, Layout: spool.Line}
}

// ReadRecord returns the record, nil where no schedule was asked for.
func ReadRecord(dir string) (*Record, error) { return recordFile(dir).Read() }

// Overdue returns how long ago the last tick was if that is more than two intervals, else 0. After a machine slept, ticks are
// overdue until the next one comes.
func (r Record) Overdue(now, last time.Time) time.Duration {
	if last.Before(r.Since) {
		last = r.Since
	}
	if late := now.Sub(last); late > 2*time.Duration(r.Minutes)*time.Minute {
		return late
	}
	return 0
}

// Gone returns a problem where the program of a schedule does not exist any more, as after an upgrade that removed it, else "".
func Gone(program string) string {
	if program == "" {
		return ""
	}
	if _, err := os.Stat(program); errors.Is(err, fs.ErrNotExist) {
		return "the schedule runs " + program + ", which does not exist any more; kugetsu queue-daemon start installs it again"
	}
	return ""
}

// remember writes the record. Since stays as it is if kind and interval do: a second start does not reset the time from which
// ticks are overdue.
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
