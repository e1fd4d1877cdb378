package digest

import (
	"path/filepath"
	"time"

	"kugetsu/queue/spool"
	"kugetsu/slots"
	"kugetsu/tick/overview"
)

// Mark is what a digest has shown, so that the next digest leaves it out. There are two marks. The file digest/shown belongs to kugetsu
// digest --since last, and digest/sent to the digest that a tick sends. So a digest that a person asks for takes nothing out of the next
// digest that is sent. A digest of the last hours changes neither mark.
type Mark struct {
	V     int                  `json:"v"`
	Day   string               `json:"day,omitempty"` // in digest/sent: of which day, in local time, the digest was told
	At    time.Time            `json:"at"`
	Items map[string]time.Time `json:"items"` // the settled items that were read then, and when each was settled
}

// late is how long before the mark an item may have ended and still be new. An item is read only once it is filed, and after a
// crash that may be later: the item says when it was settled, but the next tick files it.
const late = 24 * time.Hour

func dir(home slots.Dir) string { return filepath.Join(string(home), "digest") }

func markFile(home slots.Dir, name string) spool.File[Mark] {
	return spool.File[Mark]{Path: filepath.Join(dir(home), name), Version: 1, Layout: spool.Line}
}

func shown(home slots.Dir) spool.File[Mark] { return markFile(home, "shown") }

func sent(home slots.Dir) spool.File[Mark] { return markFile(home, "sent") }

// Last reads the mark of what was shown; nil for none. A damaged mark counts as none, so some tasks are shown again.
func Last(home slots.Dir) (*Mark, error) { return shown(home).ReadGood() }

// Since is when a digest begins that goes on from the mark. If the clock was set back, the mark may lie in the future.
func (m *Mark) Since(now time.Time) time.Time {
	if m.At.After(now) {
		return now
	}
	return m.At
}

// new says whether an item is to be shown. Without a mark it is if it ended after since.
func (m *Mark) new(one overview.Done, since time.Time) bool {
	if m == nil {
		return one.At.After(since)
	}
	return one.At.After(since.Add(-late)) && !m.Items[one.Item].Equal(one.At) // an item that ended again is new
}

// Shown moves the mark of what was shown to this digest. It is called after the printing: a crash between the two shows some tasks
// twice, but leaves no task out.
func (d *Digest) Shown(home slots.Dir, last *Mark) error {
	if err := spool.MakeDirs(dir(home)); err != nil {
		return err
	}
	if last != nil {
		if err := spool.Sweep(dir(home), d.At, last.At); err != nil {
			return err
		}
	}
	m := d.mark(d.At)
	return shown(home).Write(&m)
}

// mark is the mark of this digest, as if it was made at that time. Items that were settled later are left for the next digest.
func (d *Digest) mark(at time.Time) Mark {
	m := Mark{V: 1, At: at, Items: map[string]time.Time{}}
	for _, one := range d.settled {
		if one.At.After(at.Add(-late)) && !one.At.After(at) {
			m.Items[one.Item] = one.At
		}
	}
	return m
}
