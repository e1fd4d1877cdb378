package schedule

import (
	"encoding/json"
	"errors"
	"fmt"
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

func recordPath(dir string) string { return filepath.Join(dir, "schedule.json") }

// ReadRecord is what was asked for, nil for no schedule.
func ReadRecord(dir string) (*Record, error) {
	var r Record
	err := spool.ReadVersion(recordPath(dir), 1, &r)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &r, nil
}

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
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("schedule: %w", err)
	}
	return spool.Write(recordPath(j.Dir), append(data, '\n'))
}

func (j Job) forget() error { return spool.Remove(recordPath(j.Dir)) }
