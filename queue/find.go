package queue

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kugetsu/queue/fault"
	"kugetsu/queue/spool"
	"kugetsu/queue/terminal"
)

// Find looks an id up: live in either lane, else finished. The error wraps fs.ErrNotExist when no file has the id.
//
// The live lanes are listed first, and finished/ last: items move in that direction (only retry moves one back, under
// tick.lock).
//
// An item that is renamed or moved during the listing may be in none of the lists. So the folders are listed again until
// nothing in them changed meanwhile.
func (q *Queue) Find(id string) (e Entry, err error) {
	err = q.again(func() error { e, err = q.find(id); return err })
	return e, err
}

const (
	// quiet is how old the time of a folder must be before an equal time means that nothing changed: the kernel's clock for
	// files is that coarse.
	quiet = 10 * time.Millisecond
	// tries bounds how often the folders are listed: other items may come and go all the time.
	tries = 50
)

// again calls find until it finds something, or until the folders did not change during a call that found nothing.
func (q *Queue) again(find func() error) error {
	for n := 1; ; n++ {
		before := q.changed()
		calm := time.Since(before) > quiet || time.Until(before) > quiet // a clock that was set back
		err := find()
		if !IsAbsent(err) || n == tries || calm && q.changed().Equal(before) {
			return err
		}
		time.Sleep(quiet)
	}
}

// Changed says whether an item may have changed since a time. Each change is a rename, and that sets the time of a folder.
func (q *Queue) Changed(since time.Time) bool { return !q.changed().Add(quiet).Before(since) }

// changed is when a folder of items changed last; the zero time where that is not known.
func (q *Queue) changed() (last time.Time) {
	for _, dir := range []string{q.Items, q.PM, q.Finished} {
		info, err := os.Stat(dir)
		if err != nil {
			return time.Time{}
		}
		if info.ModTime().After(last) {
			last = info.ModTime()
		}
	}
	return last
}

func (q *Queue) find(id string) (Entry, error) {
	for _, dir := range []string{q.Items, q.PM, q.Finished} {
		entries, err := list(dir)
		if err != nil {
			return Entry{}, err
		}
		for _, e := range entries {
			if e.ID == id {
				return e, nil
			}
		}
	}
	return Entry{}, fmt.Errorf("%s: %w", id, fs.ErrNotExist)
}

// Each calls visit for every item, until it says no: first the live ones, then the settled ones. An item that is filed meanwhile
// may be visited twice. Files that cannot be read are passed over, since the tick reports them.
func (q *Queue) Each(visit func(*Item) bool) error {
	for _, dir := range []string{q.Items, q.PM, q.Finished} {
		entries, err := list(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if it, err := q.Load(e); err == nil && !visit(it) {
				return nil
			}
		}
	}
	return nil
}

// Locations maps every id to its entry: Find for all items at once.
func (q *Queue) Locations() (map[string]Entry, error) {
	locations := map[string]Entry{}
	for _, dir := range []string{q.Items, q.PM, q.Finished} { // the order of Find, for the same reason
		entries, err := list(dir)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if _, there := locations[e.ID]; !there {
				locations[e.ID] = e
			}
		}
	}
	return locations, nil
}

// FindHinted is Find for a caller that knows an earlier name of the item's file. Where that name is still good no folder is
// listed. A name of another item is ignored.
func (q *Queue) FindHinted(id, file string) (Entry, error) {
	if hinted, ok := parseName(file); ok && hinted.ID == id && file == filepath.Base(file) {
		for _, dir := range []string{q.Items, q.PM, q.Finished} {
			hinted.Path = filepath.Join(dir, file)
			if there, err := spool.Exists(hinted.Path); err != nil || there {
				return hinted, err
			}
		}
	}
	return q.Find(id)
}

// Lane says in which lane an entry is live; false where it is settled.
func (q *Queue) Lane(e Entry) (Lane, bool) {
	switch filepath.Dir(e.Path) {
	case q.Items:
		return Dev, true
	case q.PM:
		return PM, true
	}
	return "", false
}

// Resolve finds the item that a user means by a word: an id, a part of an id that fits a single item, or an issue. For an
// issue that is its live item, or else its newest settled one. isIssue says whether a reference names the issue; it is nil
// where the word is not a reference. The error asks for exit code 1.
func (q *Queue) Resolve(word string, isIssue func(ref string) bool) (e Entry, err error) {
	sure := false
	_ = q.again(func() error {
		e, sure, err = q.resolve(word, isIssue)
		if !sure {
			return fs.ErrNotExist
		}
		return nil
	})
	return e, err
}

// resolve lists the folders once. sure means that an item which is renamed or moved just now cannot change the answer.
func (q *Queue) resolve(word string, isIssue func(ref string) bool) (e Entry, sure bool, err error) {
	var live, settled []Entry
	for _, dir := range []string{q.Items, q.PM, q.Finished} {
		entries, err := list(dir)
		if err != nil {
			return Entry{}, true, err
		}
		for _, e := range entries {
			switch {
			case isIssue != nil:
				it, err := q.Load(e)
				if err != nil || !isIssue(it.IssueRef) {
					continue // the tick reports what cannot be read
				}
			case word == "" || !strings.Contains(e.ID, strings.ToLower(word)): // an unset variable of a script must match no item
				continue
			}
			if dir == q.Finished {
				settled = append(settled, e)
			} else {
				live = append(live, e)
			}
		}
	}
	byAge := func(a, b Entry) int { return strings.Compare(a.ID, b.ID) }
	slices.SortFunc(settled, byAge)
	switch {
	case isIssue != nil && len(live) == 0 && len(settled) > 0:
		return settled[len(settled)-1], false, nil
	case isIssue != nil && len(live) > 0:
		settled = nil
	}
	found := append(live, settled...)
	// An item that was filed between two listings is in both: the later entry is right.
	slices.SortStableFunc(found, byAge)
	for n := len(found) - 1; n > 0; n-- {
		if found[n].ID == found[n-1].ID {
			found = slices.Delete(found, n-1, n)
		}
	}
	if isIssue == nil {
		found = endsIn(strings.ToLower(word), found)
	}
	switch len(found) {
	case 0:
		return Entry{}, false, fault.New(fault.Failed, "kugetsu queue list --all shows every id", "no item %q", terminal.Clip(word, 80))
	case 1:
		return found[0], isIssue != nil || found[0].ID == word, nil
	}
	ids := make([]string, 0, 5)
	for _, e := range found {
		if len(ids) == 4 {
			ids = append(ids, "…")
			break
		}
		ids = append(ids, e.ID)
	}
	return Entry{}, true, fault.New(fault.Usage, "give more of the id: "+strings.Join(ids, " "), "%q fits %d items", terminal.Clip(word, 80), len(found))
}
