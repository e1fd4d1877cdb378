package tick

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"kugetsu/queue/spool"
	"kugetsu/slots"
)

// Dismissal is a file dismissed/<id>.json: a person has seen what needs them, and does not want to see it again. It is for the
// cause as it was. Another cause under the same id, as a new failure of the same item, is shown again.
type Dismissal struct {
	V     int       `json:"v"`
	Cause string    `json:"cause"`
	At    time.Time `json:"at"`
}

func dismissedDir(home slots.Dir) string { return filepath.Join(string(home), "dismissed") }

func dismissedFile(home slots.Dir, id string) spool.File[Dismissal] {
	return spool.File[Dismissal]{Path: filepath.Join(dismissedDir(home), id+".json"), Version: 1, Layout: spool.Line}
}

// Dismissed are the causes that were dismissed, by id. A file that cannot be read dismisses nothing.
func Dismissed(home slots.Dir) (map[string]string, error) {
	names, err := spool.List(dismissedDir(home))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	causes := map[string]string{}
	for _, name := range names {
		id, ok := strings.CutSuffix(name, ".json")
		if !ok {
			continue
		}
		d, err := dismissedFile(home, id).Read()
		if errors.Is(err, spool.ErrBad) || errors.Is(err, spool.ErrNewer) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if d != nil {
			causes[id] = d.Cause
		}
	}
	return causes, nil
}

// Dismiss records a dismissal. It needs no lock: the file of an id is replaced as a whole.
func Dismiss(home slots.Dir, id, cause string, now time.Time) error {
	if id == "" || filepath.Base(id) != id || strings.HasPrefix(id, ".") {
		return fmt.Errorf("%q is not an id", id)
	}
	if err := spool.MakeDirs(dismissedDir(home)); err != nil {
		return err
	}
	return dismissedFile(home, id).Write(&Dismissal{V: 1, Cause: cause, At: now.UTC()})
}

// forgetDismissed removes the dismissals that are older than CleanupAge, at which settled items are deleted. The item of such a dismissal
// is gone, or deserves to be seen again. It also sweeps the folder of the dismissals; last is the time of the last sweep.
func (t *Tick) forgetDismissed(last time.Time) error {
	names, err := spool.List(dismissedDir(t.Home))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	errs := []error{spool.Sweep(dismissedDir(t.Home), t.Now(), last)}
	for _, name := range names {
		id, ok := strings.CutSuffix(name, ".json")
		if !ok {
			continue
		}
		file := dismissedFile(t.Home, id)
		d, err := file.Read()
		if d != nil && t.Now().Sub(d.At) >= t.Settings.CleanupAge() {
			err = spool.Unlink(file.Path)
		}
		if !errors.Is(err, spool.ErrBad) && !errors.Is(err, spool.ErrNewer) { // they dismiss nothing, and are few
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
