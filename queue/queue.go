package queue

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"kugetsu/queue/event"
	"kugetsu/queue/fault"
	"kugetsu/queue/spool"
)

// Dirs are the folders of a queue. Items, PM, Finished and Bad must lie on one file system: files are renamed between
// them.
type Dirs struct {
	Items, PM, Finished, Bad string
}

// Queue is the items and events of one state folder.
type Queue struct {
	Dirs
	Events *event.Box
	Now    func() time.Time
}

// Lane is one of the two folders of live items.
type Lane string

// The lanes: dev agents take slots, the PM agent has a lane of its own.
const (
	Dev Lane = "dev"
	PM  Lane = "pm"
)

// Lanes lists them.
var Lanes = []Lane{Dev, PM}

// Entry is an item's file: what can be known without reading it.
type Entry struct {
	ID       string
	Priority int // 00 first, 99 last
	Path     string
}

// DefaultPriority stands in the file name of an item that asks for none.
const DefaultPriority = 50

// Folders lists the folders of the items, a parent before its children.
func (q *Queue) Folders() []string {
	return []string{filepath.Dir(q.PM), q.Items, q.PM, q.Finished, q.Bad}
}

// Make makes the folders.
func (q *Queue) Make() error {
	return errors.Join(spool.MakeDirs(q.Folders()...), q.Events.Make())
}

func (q *Queue) dir(lane Lane) string {
	if lane == PM {
		return q.PM
	}
	return q.Items
}

func fileName(priority int, id string) string { return fmt.Sprintf("%02d-%s.json", priority, id) }

var itemName = regexp.MustCompile(`^(\d\d)-(q_[0-9a-z]{26})\.json$`)

// parseName reads an entry from a path; false for what no item would be called.
func parseName(path string) (Entry, bool) {
	m := itemName.FindStringSubmatch(filepath.Base(path))
	if m == nil || !IsID(m[2]) {
		return Entry{}, false
	}
	priority, _ := strconv.Atoi(m[1])
	return Entry{ID: m[2], Priority: priority, Path: path}, true
}

func list(dir string) ([]Entry, error) {
	names, err := spool.List(dir)
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for _, name := range names {
		if e, ok := parseName(filepath.Join(dir, name)); ok {
			entries = append(entries, e)
		}
	}
	return entries, nil
}

// Live lists a lane in run order.
func (q *Queue) Live(lane Lane) ([]Entry, error) { return list(q.dir(lane)) }

// Settled lists finished/, by priority and age.
func (q *Queue) Settled() ([]Entry, error) { return list(q.Finished) }

// Load reads the item of an entry. Errors wrap fs.ErrNotExist, spool.ErrBad or ErrNewer; any other means unknown.
func (q *Queue) Load(e Entry) (*Item, error) {
	data, err := spool.Read(e.Path)
	if err != nil {
		return nil, err
	}
	return decode(e.ID, data)
}

// Find looks an id up: live in either lane, else finished. The error wraps fs.ErrNotExist when no file has the id.
//
// The live lanes come first, and finished/ last: an item moves in that direction while we look (only retry moves one
// back, under tick.lock).
//
// An item that is renamed, for another priority, or moved while the folders are listed, may be in none of the listings: they
// are listed again until nothing in them changed meanwhile.
func (q *Queue) Find(id string) (e Entry, err error) {
	err = q.again(func() error { e, err = q.find(id); return err })
	return e, err
}

const (
	// quiet is how long a folder must have been as it is for its time to tell of a change: the kernel's clock is that coarse.
	quiet = 10 * time.Millisecond
	// looks bounds how often the folders are looked at again: other items may come and go all the time.
	looks = 50
)

// again looks until something is found, or the folders did not change during a look that found nothing.
func (q *Queue) again(look func() error) error {
	for n := 1; ; n++ {
		before := q.changed()
		calm := time.Since(before) > quiet || time.Until(before) > quiet // a clock that was set back
		err := look()
		if !IsAbsent(err) || n == looks || calm && q.changed().Equal(before) {
			return err
		}
		time.Sleep(quiet)
	}
}

// Changed says whether an item may have changed since a look that began at a time: each change is a rename, which the time of
// a folder tells.
func (q *Queue) Changed(since time.Time) bool { return !q.changed().Add(quiet).Before(since) }

// changed is when one of the folders changed last; the zero time where that is not known.
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

// Places says where every item lies: Find for all of them at once.
func (q *Queue) Places() (map[string]Entry, error) {
	places := map[string]Entry{}
	for _, dir := range []string{q.Items, q.PM, q.Finished} { // in the order of Find, for its reason
		entries, err := list(dir)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if _, there := places[e.ID]; !there {
				places[e.ID] = e
			}
		}
	}
	return places, nil
}

// FindHinted is Find for a caller who knows what the item's file was called: no folder is listed when it still is. A file
// name that is not that of the item is no hint.
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

// Lane says in which lane an entry is live; false when it is settled.
func (q *Queue) Lane(e Entry) (Lane, bool) {
	switch filepath.Dir(e.Path) {
	case q.Items:
		return Dev, true
	case q.PM:
		return PM, true
	}
	return "", false
}

// Resolve finds what a user means by a word: an id, any part of one that fits a single item, or an issue (isIssue says
// of a reference whether it means that one; nil when the word is no reference), whose live item it is, or else its
// newest settled one. The error
// asks for exit code 1.
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

// resolve looks once. Sure: no item that is renamed or moved just now could make it another.
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
					continue // what cannot be read is nobody's issue; the tick reports it
				}
			case word == "" || !strings.Contains(e.ID, strings.ToLower(word)): // an unset variable in a script means no item
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
	// One that was filed between two listings is in both: it is where it was seen last.
	slices.SortStableFunc(found, byAge)
	for n := len(found) - 1; n > 0; n-- {
		if found[n].ID == found[n-1].ID {
			found = slices.Delete(found, n-1, n)
		}
	}
	switch len(found) {
	case 0:
		return Entry{}, false, fault.New(fault.Failed, "kugetsu queue list --all shows every id", "no item %q", clip(word, 80))
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
	return Entry{}, true, fault.New(fault.Failed, "give more of the id: "+strings.Join(ids, " "), "%q fits %d items", clip(word, 80), len(found))
}

// Publish puts a new item into its lane: pending, durable, visible as a whole or not at all. It needs no lock, since it
// cannot overwrite another.
func (q *Queue) Publish(it *Item, lane Lane, priority int) (Entry, error) {
	data, err := it.encodeNew()
	if err != nil {
		return Entry{}, err
	}
	e := Entry{ID: it.ID, Priority: priority, Path: filepath.Join(q.dir(lane), fileName(priority, it.ID))}
	// The event first: a crash between the two leaves an event about an item that never came to be, which harms nobody.
	// The other way round an event would be missing, and at least once is the promise.
	ev := about(it, event.TaskQueued, "")
	if err := q.Events.Put(ev); err != nil {
		return Entry{}, err
	}
	switch err := spool.Publish(e.Path, data); {
	case errors.Is(err, fs.ErrExist): // the event is that of the item that is there
		return Entry{}, err
	case err != nil:
		return Entry{}, errors.Join(err, q.Events.Retract(ev.Name))
	}
	return e, nil
}

// save replaces an item's file. Only the holder of tick.lock may. Of a history that is too long the oldest run goes in which
// no agent began, or else the oldest, but never one of the last, which settle counts; of one that does not fit the older half.
func (q *Queue) save(e Entry, it *Item) error {
	for len(it.History) > keepRuns {
		older := it.History[:len(it.History)-maxVoids-1]
		i := max(0, slices.IndexFunc(older, func(r Run) bool { return r.Outcome == Void }))
		it.History = slices.Delete(it.History, i, i+1)
	}
	data, err := it.encode()
	for err == nil && len(data) > spool.MaxFile && len(it.History) > 0 {
		it.History = it.History[(len(it.History)+1)/2:]
		data, err = it.encode()
	}
	if err != nil {
		return err
	}
	return spool.Write(e.Path, data)
}

// Notify records that a run was handed to the runner pid: the one write of pending → notified. r tells that process from
// others, nil where that is not known.
//
// Before it the runner waits at its gate and does nothing; a crash just before leaves a gate that closes without a task,
// so nothing ran and the item is still pending. A crash just after leaves a notified item whose lease and marker tell
// the next tick everything.
func (q *Queue) Notify(e Entry, it *Item, run, pid int, r *Runner) error {
	it.notify(run, pid, r, q.Now())
	if err := q.Events.Put(about(it, event.TaskDequeued, "")); err != nil {
		return err
	}
	return q.save(e, it)
}

// Settle records how a run ended: one write, decided before. The caller holds the slot's and the session's lock.
//
// The event comes first, as in Publish: its name is made of item, run and type, so a crash between the two makes the
// next tick repeat both under the same name.
func (q *Queue) Settle(e Entry, it *Item, r Result, p Policy) error {
	if it.State != Notified || it.Runs != r.Run.Run {
		return fmt.Errorf("%s: run %d is not there to be settled (%s, run %d)", it.ID, r.Run.Run, it.State, it.Runs)
	}
	r.Evidence = bounded(r.Evidence)
	it.settle(r, p, q.Now())
	if r.StartedAt != nil {
		// The runner told it when it happened, or was killed before it could.
		if err := q.Events.PutOnce(about(it, event.TaskStarted, "")); err != nil {
			return err
		}
	}
	kind, text := event.TaskCompleted, r.Summary
	switch it.State {
	case Pending:
		kind = event.TaskRetry
	case Errored:
		kind, text = event.TaskError, *it.Error
	}
	ev := about(it, kind, text)
	ev.Evidence = r.Evidence
	if err := q.Events.Put(ev); err != nil {
		return err
	}
	return q.save(e, it)
}

// Cancel settles a pending item as an error, without a run.
func (q *Queue) Cancel(e Entry, it *Item) error {
	if it.State != Pending {
		return fmt.Errorf("%s is %s, not pending", it.ID, it.State)
	}
	it.finish(Errored, string(Cancelled), q.Now())
	if err := q.Events.Put(q.byHand(about(it, event.TaskError, *it.Error))); err != nil {
		return err
	}
	return q.save(e, it)
}

// File moves a settled item to finished/, the name kept. A crash before leaves a settled item in its lane, which the
// tick that meets it files; after it, nothing is left to do.
func (q *Queue) File(e Entry) (Entry, error) {
	to := filepath.Join(q.Finished, filepath.Base(e.Path))
	if err := spool.Rename(e.Path, to); err != nil {
		return e, err
	}
	e.Path = to
	return e, nil
}

// Retry puts a settled item back into its lane.
//
// Moved first, rewritten second: a crash between leaves a settled item in its lane, which the next tick files again, as
// if retry had never been asked for. The other way round a pending item would lie in finished/, where no tick looks.
func (q *Queue) Retry(e Entry, it *Item) (Entry, error) {
	lane := Dev
	if it.IssueRef == "" {
		lane = PM
	}
	to := Entry{ID: e.ID, Priority: e.Priority, Path: filepath.Join(q.dir(lane), filepath.Base(e.Path))}
	if err := spool.Rename(e.Path, to.Path); err != nil {
		return e, err
	}
	it.retry(q.Now())
	if err := q.Events.Put(q.byHand(about(it, event.TaskQueued, ""))); err != nil {
		return to, err
	}
	return to, q.save(to, it)
}

// byHand names the event of what a user asked for: it may be asked for several times between two runs, and each is told.
func (q *Queue) byHand(ev event.Event) event.Event {
	ev.Name = fmt.Sprintf("%s.%d", ev.Name, q.Now().UnixMilli())
	return ev
}

// Drop deletes a settled item. Its runs are the caller's to delete, before: the other way round a crash would leave run
// folders that nothing names.
func (q *Queue) Drop(e Entry) error {
	if filepath.Dir(e.Path) != q.Finished {
		return fmt.Errorf("%s is not settled", e.ID)
	}
	return spool.Remove(e.Path)
}

// SetAside moves what cannot be read as an item to bad/ and reports it once. Under tick.lock.
func (q *Queue) SetAside(path string, why error) error {
	return q.SetAsideAs(path, filepath.Base(path), why)
}

// SetAsideAs is SetAside under a name that says what it was.
func (q *Queue) SetAsideAs(path, base string, why error) error {
	to := filepath.Join(q.Bad, base)
	for n := 2; ; n++ {
		taken, err := spool.Exists(to)
		if err != nil {
			return err
		}
		if !taken {
			break
		}
		to = filepath.Join(q.Bad, fmt.Sprintf("%s.%d", base, n))
	}
	if err := q.Events.Put(event.Bad(base, why)); err != nil {
		return err
	}
	return spool.Rename(path, to)
}

// Strays lists what lies in a lane with the name of a state file but no item's: set aside by the tick.
func (q *Queue) Strays(lane Lane) ([]string, error) {
	names, err := spool.List(q.dir(lane))
	if err != nil {
		return nil, err
	}
	var strays []string
	for _, name := range names {
		path := filepath.Join(q.dir(lane), name)
		if _, ok := parseName(path); !ok && strings.HasSuffix(name, ".json") {
			strays = append(strays, path)
		}
	}
	return strays, nil
}

// IsAbsent says whether an error of Load or Find means that the item is not there, as opposed to unknown.
func IsAbsent(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// about makes an event of an item's newest run.
func about(it *Item, kind event.Type, text string) event.Event {
	return event.Event{Name: event.Name(it.ID, it.Runs, kind), Type: kind, Item: it.ID, IssueRef: it.IssueRef,
		Agent: it.Agent, Run: it.Runs, State: string(it.State), Text: text}
}
