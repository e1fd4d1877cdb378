package ledger

import (
	"bytes"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"kugetsu/queue/pattern"
	"kugetsu/queue/spool"
)

// noted is the file days.json: the days whose files are there. If it is missing, or names a day that has no file, the ledger may
// lack runs.
type noted struct {
	Days []string `json:"days"`
}

func (l *Ledger) notes() spool.File[noted] {
	return spool.File[noted]{Path: filepath.Join(l.Dir, "days.json"), Layout: spool.Line}
}

// note adds a day to the notes. Without notes it does nothing, since the ledger is about to be rebuilt.
func (l *Ledger) note(name string) error {
	n, err := l.notes().ReadGood()
	if n == nil || err != nil || slices.Contains(n.Days, name) {
		return err
	}
	n.Days = append(n.Days, name)
	return l.notes().Write(n)
}

// Begun says whether the ledger was ever complete. The folder of an older kugetsu, and one that was lost, has no notes.
func (l *Ledger) Begun() (bool, error) { return spool.Exists(l.notes().Path) }

// Findings are what Check found.
type Findings struct {
	Whole   bool     // no run can be missing
	Bad     []string // the paths where something else is in the place of a file
	Damaged []string // the names of the files that have something else than records
}

// Check says whether runs may be missing: a day that was noted is gone, or what changed since the last check is damaged. The caller
// holds tick.lock.
func (l *Ledger) Check() (found Findings, err error) {
	n, err := l.notes().ReadGood()
	if err != nil {
		return found, err
	}
	names, err := l.days()
	if err != nil {
		return found, err
	}
	if n == nil {
		n = &noted{}
	} else {
		found.Whole = true
	}
	for _, name := range n.Days {
		found.Whole = found.Whole && slices.Contains(names, name)
	}
	last, err := spool.Changed(l.notes().Path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return found, err
	}
	for _, name := range names {
		path := filepath.Join(l.Dir, name)
		changed, err := spool.Changed(path)
		if err != nil {
			return found, err
		}
		if changed.Before(last.Add(-time.Second)) { // the time of a file may be coarse
			continue
		}
		f, err := l.read(name)
		switch {
		case errors.Is(err, spool.ErrBad):
			found.Whole, found.Bad = false, append(found.Bad, path)
		case err != nil:
			return found, err
		case f.damaged:
			found.Whole, found.Damaged = false, append(found.Damaged, name)
		}
	}
	return found, nil
}

// Lost returns the broken lines of a day whose runs are known from nowhere else: neither from another line, nor from the items. A line
// that a crash tore is not among them, since its run is settled again.
func (l *Ledger) Lost(name string, runs []Run) ([]byte, error) {
	f, err := l.read(name)
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for _, r := range append(f.runs, runs...) {
		known[r.Name] = true
	}
	var lost []byte
	for _, line := range f.broken {
		if m := runIn().FindSubmatch(line); m == nil && !tornEarly(line) || m != nil && !known[string(m[1])] {
			lost = append(append(lost, line...), '\n')
		}
	}
	return lost, nil
}

var (
	head  = []byte(`{"v":1,"run":"`)
	runIn = pattern.Lazy(`"run":"(q_[0-9a-z]{26}\.[0-9]+)"`)
)

// tornEarly says whether a crash tore the line before the end of its run's name, or left a hole of zero bytes in its place.
func tornEarly(line []byte) bool {
	name, begun := bytes.CutPrefix(line, head)
	return bytes.HasPrefix(head, line) || begun && !bytes.ContainsRune(name, '"') || len(bytes.Trim(line, "\x00")) == 0
}

// Checked notes which days there are, for the next Check, and removes the days that are older than Keep, a few at most. The caller
// holds tick.lock, and has rebuilt what Check found missing. A day leaves the notes before its file is removed: in the other order
// a crash would look like a loss.
func (l *Ledger) Checked() error {
	names, err := l.days()
	if err != nil {
		return err
	}
	old := 0
	for old < min(len(names), expireMost) && names[old] < day(l.Now().Add(-Keep)) {
		old++
	}
	n, err := l.notes().ReadGood()
	if err != nil {
		return err
	}
	if n != nil && slices.Equal(n.Days, names[old:]) {
		err = spool.Touch(l.notes().Path, l.Now())
	} else {
		err = l.notes().Write(&noted{Days: append([]string{}, names[old:]...)})
	}
	errs := []error{err}
	for _, name := range names[:old] {
		if err == nil {
			errs = append(errs, spool.Unlink(filepath.Join(l.Dir, name)))
		}
	}
	return errors.Join(errs...)
}

// expireMost bounds how many days one pass removes.
const expireMost = 10

// Rebuild adds the runs that the ledger lacks; runs are all that the items know. It also drops each line that is no record from the
// damaged files. It may be stopped anywhere and repeated, since each file is replaced as a whole. The caller holds tick.lock.
func (l *Ledger) Rebuild(runs []Run, damaged []string) error {
	runs = slices.DeleteFunc(runs, func(r Run) bool { return l.Now().Sub(r.NotifiedAt) > Keep })
	names, err := l.days()
	if err != nil {
		return err
	}
	oldest := l.Now()
	for _, r := range runs {
		if r.NotifiedAt.Before(oldest) {
			oldest = r.NotifiedAt
		}
	}
	// An item does not know when a run of its history was handed over. That was a while before the run's agent began, and may have
	// been on the day before. Files that are older than that cannot have any of the runs, and need not be read.
	from := day(oldest.Add(-24 * time.Hour))
	files, there := map[string]file{}, map[string]bool{}
	for _, name := range names {
		if name < from && !slices.Contains(damaged, name) {
			continue
		}
		f, err := l.read(name)
		if err != nil {
			return err
		}
		files[name] = f
		for _, r := range f.runs {
			there[r.Name] = true
		}
	}
	changed := map[string]bool{}
	for name, f := range files {
		changed[name] = f.damaged
	}
	for _, r := range runs {
		if there[r.Name] {
			continue
		}
		line, err := r.line()
		if err != nil {
			return err
		}
		name := day(r.NotifiedAt)
		f := files[name]
		f.lines = append(f.lines, bytes.TrimSuffix(line, []byte{'\n'}))
		files[name], changed[name], there[r.Name] = f, true, true
	}
	for name, f := range files {
		if changed[name] {
			if err := l.replace(name, f); err != nil {
				return err
			}
		}
	}
	return nil
}

// replace replaces the file of a day, and removes one that has no line any more.
func (l *Ledger) replace(name string, f file) error {
	path := filepath.Join(l.Dir, name)
	if len(f.lines) == 0 {
		return spool.Remove(path)
	}
	return spool.Write(path, append(bytes.Join(f.lines, []byte{'\n'}), '\n'))
}
