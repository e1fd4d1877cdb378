// Package ledger keeps what each run was and cost: a line of JSON for each run, in a file for each day.
//
// The day is the day on which the run was handed to its runner, in UTC. The item says when that was until the run is settled. So a
// settle that is repeated after a crash writes into the same file, however late it is. The last line of a run counts, so a run that is
// settled twice counts once. A line stays when its item is cleared.
//
// All other files change by an atomic rename; a line is appended, for two reasons. First, a day may have 10,000 runs, three
// megabytes. To replace such a file for each run would take twenty times as long as the settle. Second, a line that a crash tears
// is never the only record of its run. The line is written before the item, so the next tick settles the run again and writes
// another line.
//
// A reader skips broken lines. If a day's file has a broken line, or is gone, it is made anew from the items that are left, by an
// atomic rename: see Rebuild. Before that, a broken line whose run is recorded nowhere else is quarantined: see Lost.
package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"kugetsu/queue/outcome"
	"kugetsu/queue/pattern"
	"kugetsu/queue/spool"
)

// Version is the format of a line that this code writes. A line of a higher one is left alone.
const Version = 1

// Keep is how long a day's file is kept: a year, and enough more to compare a month with the same month of the year before.
const Keep = 400 * 24 * time.Hour

// Run is a line: a run that ended. Names and meanings of the fields are a public format and stay for ever.
type Run struct {
	V          int           `json:"v"`
	Name       string        `json:"run"` // <item>.<n>, the key
	IssueRef   string        `json:"issue_ref,omitempty"`
	Agent      string        `json:"agent"`
	Slot       string        `json:"slot,omitempty"` // "" where no slot named the run any more
	NotifiedAt time.Time     `json:"notified_at"`    // handed to a runner
	EndedAt    time.Time     `json:"ended_at"`
	Waited     float64       `json:"waited_seconds"`              // from the enqueueing, or the end of the run before, to NotifiedAt
	Ran        *float64      `json:"ran_seconds,omitempty"`       // from the start of the agent to its end; nil if no agent is known to have begun
	Outcome    string        `json:"outcome"`                     // of the run
	State      string        `json:"state"`                       // of the item, after the run was settled; Cancelled where the item is an error only because a person ended it
	Cost       *outcome.Cost `json:"cost,omitempty"`              // nil where the agent told none
	PeakMemory int64         `json:"peak_memory_bytes,omitempty"` // the most that its processes had together; 0: not measured
}

// Cancelled is the state of an item that a person ended. Its file says error.
const Cancelled = string(outcome.Cancelled)

// Item is the id of the run's item.
func (r *Run) Item() string { return ItemOf(r.Name) }

// ItemOf is the id of the item that a run's name has.
func ItemOf(run string) string {
	item, _, _ := strings.Cut(run, ".")
	return item
}

// Began says whether an agent worked in the run. If the runner could not write a report, the outcome alone says so.
func (r *Run) Began() bool {
	row, _ := outcome.Outcome(r.Outcome).Row()
	return r.Ran != nil || row.Began == outcome.Always
}

// sound says whether a decoded line is a record.
func (r *Run) sound() bool {
	return len(r.Name) > 29 && r.Name[:2] == "q_" && r.Name[28] == '.' && !r.NotifiedAt.IsZero() && !r.EndedAt.IsZero()
}

// Ledger is the folder of the days.
type Ledger struct {
	Dir string
	Now func() time.Time
}

const suffix = ".jsonl"

var dayName = pattern.Lazy(`^\d{4}-\d\d-\d\d\.jsonl$`)

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) + suffix }

// Path is the file of the day of a record.
func (l *Ledger) Path(r *Run) string { return filepath.Join(l.Dir, day(r.NotifiedAt)) }

func (r *Run) line() ([]byte, error) {
	r.V = Version
	r.NotifiedAt, r.EndedAt = r.NotifiedAt.UTC().Truncate(time.Millisecond), r.EndedAt.UTC().Truncate(time.Millisecond)
	data, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("the ledger's line of %s: %w", r.Name, err)
	}
	return append(data, '\n'), nil
}

// Add records a run, durably. The caller holds tick.lock. The error wraps spool.ErrBad where something else is in the place of
// the day's file.
//
// A new day is noted before its file is made: if it were not noted, the loss of its file would not be seen.
func (l *Ledger) Add(r Run) error {
	line, err := r.line()
	if err != nil {
		return err
	}
	there, err := spool.Exists(l.Path(&r))
	if err != nil {
		return err
	}
	if !there {
		if err := l.note(day(r.NotifiedAt)); err != nil {
			return err
		}
	}
	return spool.Append(l.Path(&r), line)
}

// days lists the files of the folder, the oldest first.
func (l *Ledger) days() ([]string, error) {
	names, err := spool.List(l.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return slices.DeleteFunc(names, func(name string) bool { return !dayName().MatchString(name) }), err
}

// Since returns the runs that were handed over, or that ended, at or after a time, each once, in the order in which they were
// recorded. A line that is no record is left out. No lock is needed.
//
// A run is in the file of the day on which it was handed over, and it may have ended many days later. But a file that was not
// changed since that time has no such run.
func (l *Ledger) Since(from time.Time) ([]Run, error) {
	names, err := l.days()
	if err != nil {
		return nil, err
	}
	var days [][]Run
	for _, name := range names {
		if name < day(from) {
			changed, err := spool.Changed(filepath.Join(l.Dir, name))
			if err != nil || changed.Before(from.Add(-time.Second)) { // the time of the file may be coarse
				continue
			}
		}
		f, err := l.read(name)
		switch {
		case errors.Is(err, spool.ErrBad), errors.Is(err, fs.ErrNotExist): // the tick quarantines a bad file; a missing one was deleted as too old
		case err != nil:
			return nil, err
		default:
			days = append(days, f.runs)
		}
	}
	all := slices.Concat(days...)
	return slices.DeleteFunc(last(all), func(r Run) bool { return r.NotifiedAt.Before(from) && r.EndedAt.Before(from) }), nil
}

// last keeps the last record of each run, in the place of the run's first record.
func last(all []Run) []Run {
	at, n := make(map[string]int, len(all)), 0
	for i := range all {
		if before, there := at[all[i].Name]; there {
			all[before] = all[i]
			continue
		}
		at[all[i].Name] = n
		if n < i {
			all[n] = all[i]
		}
		n++
	}
	return all[:n]
}

// file is what a day's file holds.
type file struct {
	runs    []Run
	lines   [][]byte // all that are whole, also those of a newer kugetsu
	broken  [][]byte // the others
	damaged bool     // the file has broken or empty lines
}

// maxDay bounds a day's file: a quarter of a million runs.
const maxDay = 64 << 20

func (l *Ledger) read(name string) (file, error) {
	data, err := spool.ReadUpTo(filepath.Join(l.Dir, name), maxDay)
	if err != nil {
		return file{}, err
	}
	// A day of 10,000 runs is three megabytes. The statistics of weeks are read on all processors.
	parts := split(data, max(1, min(runtime.NumCPU(), len(data)/(64<<10))))
	files := make([]file, len(parts))
	var all sync.WaitGroup
	for i, part := range parts {
		all.Go(func() { files[i] = parse(part) })
	}
	all.Wait()
	if len(files) == 1 {
		return files[0], nil
	}
	n := 0
	for _, part := range files {
		n += len(part.lines)
	}
	f := file{runs: make([]Run, 0, n), lines: make([][]byte, 0, n)}
	for _, more := range files {
		f.runs, f.lines, f.broken = append(f.runs, more.runs...), append(f.lines, more.lines...), append(f.broken, more.broken...)
		f.damaged = f.damaged || more.damaged
	}
	return f, nil
}

// split cuts data into n parts of about the same size, each of whole lines.
func split(data []byte, n int) (parts [][]byte) {
	for ; n > 1; n-- {
		cut := bytes.IndexByte(data[len(data)/n:], '\n')
		if cut < 0 {
			break
		}
		cut += len(data)/n + 1
		parts, data = append(parts, data[:cut]), data[cut:]
	}
	return append(parts, data)
}

// parse reads lines. An empty line is damage, too: no record is missing there, but kugetsu writes no empty line.
func parse(data []byte) (f file) {
	text := string(data) // one copy: the strings of the runs are parts of it
	n := bytes.Count(data, []byte{'\n'})
	f.runs, f.lines = make([]Run, 0, n), make([][]byte, 0, n)
	for len(data) > 0 {
		line, rest, whole := bytes.Cut(data, []byte{'\n'})
		f.runs = append(f.runs, Run{}) // each run is read in its place, without a copy: there are many
		r, n := &f.runs[len(f.runs)-1], len(f.runs)-1
		var err error
		if !r.quick(text[len(text)-len(data):][:len(line)]) {
			*r = Run{}
			err = spool.DecodeVersion(line, Version, r, &r.V)
		}
		data = rest
		switch {
		case whole && len(line) == 0:
			f.damaged = true
		case !whole:
			f.broken, f.damaged = append(f.broken, line), true
		case errors.Is(err, spool.ErrNewer):
			f.lines = append(f.lines, line)
		case err != nil || !r.sound():
			f.broken, f.damaged = append(f.broken, line), true
		default:
			f.lines = append(f.lines, line)
			continue
		}
		f.runs = f.runs[:n]
	}
	return f
}

// Amend changes the state of the item in the line of its last run, for an item that ended later, without another run. ended is when
// that run ended. If the line is gone, Amend does nothing.
func (l *Ledger) Amend(run string, ended time.Time, state string) error {
	runs, err := l.Since(ended.Add(-time.Second))
	if err != nil {
		return err
	}
	for _, r := range runs {
		if r.Name == run && r.State != state {
			r.State = state
			return l.Add(r)
		}
	}
	return nil
}
