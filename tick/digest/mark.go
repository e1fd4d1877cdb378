package digest

import (
	"path/filepath"
	"time"

	"kugetsu/queue/spool"
	"kugetsu/slots"
	"kugetsu/tick/overview"
)

// Mark is the file digest/shown: what the last digest since the last one has shown. Only such a digest moves it, so that a look at
// the last hours takes nothing away from the next.
type Mark struct {
	V     int                  `json:"v"`
	At    time.Time            `json:"at"`
	Items map[string]time.Time `json:"items"` // the settled items that were read then, and when each was settled
}

// late is how much earlier than the mark an item may have ended that is new all the same. An item says when it was settled, but is
// read only once it is filed, which a tick that died leaves to the next one.
const late = 24 * time.Hour

func dir(home slots.Dir) string { return filepath.Join(string(home), "digest") }

func markFile(home slots.Dir) spool.File[Mark] {
	return spool.File[Mark]{Path: filepath.Join(dir(home), "shown"), Version: 1, Layout: spool.Line}
}

// Last reads the mark, nil where there is none. One that is damaged counts as none: its loss shows some tasks again.
func Last(home slots.Dir) (*Mark, error) { return markFile(home).ReadGood() }

// new says whether an item is to be shown. Without a mark that is so if it ended after since.
func (m *Mark) new(one overview.Done, since time.Time) bool {
	if m == nil {
		return one.At.After(since)
	}
	return one.At.After(since.Add(-late)) && !m.Items[one.Item].Equal(one.At) // an item that ended again is new
}

// Shown moves the mark to this digest. It comes after the printing: a crash between the two shows tasks twice, never not at all.
func (d *Digest) Shown(home slots.Dir, last *Mark) error {
	if err := spool.MakeDirs(dir(home)); err != nil {
		return err
	}
	m := Mark{V: 1, At: d.At, Items: map[string]time.Time{}}
	for _, one := range d.settled {
		if one.At.After(d.At.Add(-late)) {
			m.Items[one.Item] = one.At
		}
	}
	if last != nil {
		if err := spool.Sweep(dir(home), d.At, last.At); err != nil {
			return err
		}
	}
	return markFile(home).Write(&m)
}
