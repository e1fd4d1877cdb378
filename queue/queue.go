package queue

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kugetsu/queue/event"
	"kugetsu/queue/ledger"
	"kugetsu/queue/outcome"
	"kugetsu/queue/spool"
)

// Dirs are the folders of a queue. All must lie on one file system: files are renamed between them.
type Dirs struct {
	Items, PM, Finished, Bad string
}

// Queue is the items and events of one state folder.
type Queue struct {
	Dirs
	Events *event.Box
	Ledger *ledger.Ledger
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

// Entry is an item's file, as far as its name tells.
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

// parseName reads an entry from a path; false where the name is not that of an item's file: 50-q_….json. (Not by an expression,
// which would take most of the time of listing ten thousand items.)
func parseName(path string) (Entry, bool) {
	name := path
	if i := strings.LastIndexByte(path, filepath.Separator); i >= 0 {
		name = path[i+1:]
	}
	name, isJSON := strings.CutSuffix(name, ".json")
	digit := func(n int) bool { return name[n] >= '0' && name[n] <= '9' }
	if !isJSON || len(name) < 3 || !digit(0) || !digit(1) || name[2] != '-' || !IsID(name[3:]) {
		return Entry{}, false
	}
	return Entry{ID: name[3:], Priority: int(name[0]-'0')*10 + int(name[1]-'0'), Path: path}, true
}

func list(dir string) ([]Entry, error) {
	names, err := spool.List(dir)
	return entries(dir, names), err
}

func entries(dir string, names []string) []Entry {
	entries := make([]Entry, 0, len(names))
	dir = filepath.Clean(dir) + string(filepath.Separator) // once: joining ten thousand paths takes milliseconds
	for _, name := range names {
		if e, ok := parseName(name); ok {
			e.Path = dir + name
			entries = append(entries, e)
		}
	}
	return entries
}

// Live lists a lane in run order.
func (q *Queue) Live(lane Lane) ([]Entry, error) { return list(q.dir(lane)) }

// Line is the names in a lane, listed once.
type Line struct {
	Entries iter.Seq[Entry] // in run order; the first are found without sorting all. They can be walked once
	All     int             // how many they are
	Foreign []string        // the paths that end in .json and are not those of items: see ForeignFiles
}

// Ahead is Live for a caller that may need only the first of a long lane. It leaves out the ids that keep refuses; keep is asked for
// each, in any order, and nil keeps all.
func (q *Queue) Ahead(lane Lane, keep func(id string) bool) (Line, error) {
	dir := q.dir(lane)
	names, err := spool.Unsorted(dir)
	if err != nil {
		return Line{}, err
	}
	var l Line
	names = slices.DeleteFunc(names, func(name string) bool {
		e, ok := parseName(name)
		if !ok && strings.HasSuffix(name, ".json") {
			l.Foreign = append(l.Foreign, filepath.Join(dir, name))
		}
		return !ok || keep != nil && !keep(e.ID)
	})
	slices.Sort(l.Foreign)
	l.All = len(names)
	l.Entries = func(yield func(Entry) bool) {
		for name := range spool.Smallest(names) {
			e, _ := parseName(filepath.Join(dir, name))
			if !yield(e) {
				return
			}
		}
	}
	return l, nil
}

// Settled lists finished/, by priority and age.
func (q *Queue) Settled() ([]Entry, error) { return list(q.Finished) }

// SettledUnsorted is Settled in any order.
func (q *Queue) SettledUnsorted() ([]Entry, error) {
	names, err := spool.Unsorted(q.Finished)
	return entries(q.Finished, names), err
}

// Newest lists the n items of finished/ that were settled last, the newest first, and says how many there are. An item's file is
// written last when the item is settled, and filing keeps its time. Each is called with every id, in any order.
func (q *Queue) Newest(n int, each func(id string)) (newest []Entry, all int, err error) {
	names, all, err := spool.Newest(q.Finished, n, func(name string) bool {
		e, ok := parseName(name)
		if ok {
			each(e.ID)
		}
		return ok
	})
	for _, name := range names {
		e, _ := parseName(filepath.Join(q.Finished, name))
		newest = append(newest, e)
	}
	return newest, all, err
}

// Load reads the item of an entry. Errors wrap fs.ErrNotExist, spool.ErrBad or ErrNewer; any other means unknown.
func (q *Queue) Load(e Entry) (*Item, error) {
	data, err := spool.Read(e.Path)
	if err != nil {
		return nil, err
	}
	return decode(e.ID, data)
}

// Loaded is an entry with what Load returned for it.
type Loaded struct {
	Entry
	Item *Item
	Err  error
}

// LoadAll is Load for each of several entries, in their order. All processors read: for a person who waits for a long list.
func (q *Queue) LoadAll(entries []Entry) []Loaded {
	all := make([]Loaded, len(entries))
	spool.Each(len(entries), func(i int) {
		it, err := q.Load(entries[i])
		all[i] = Loaded{entries[i], it, err}
	})
	return all
}

// Publish puts a new item into its lane: pending, durable, visible as a whole or not at all. It needs no lock, since it
// cannot overwrite another item.
func (q *Queue) Publish(it *Item, lane Lane, priority int) (Entry, error) {
	data, err := it.encodeNew()
	if err != nil {
		return Entry{}, err
	}
	e := Entry{ID: it.ID, Priority: priority, Path: filepath.Join(q.dir(lane), fileName(priority, it.ID))}
	// The event comes first: a crash between the two writes leaves an event about an item that was never published, and
	// does no harm. In the other order an event could be lost, and the promise is: at least once.
	ev := about(it, event.TaskQueued, "")
	if err := q.Events.Put(ev); err != nil {
		return Entry{}, err
	}
	switch err := spool.Publish(e.Path, data); {
	case errors.Is(err, fs.ErrExist): // the event belongs to the item that is there
		return Entry{}, err
	case err != nil:
		return Entry{}, errors.Join(err, q.Events.Retract(ev.Name))
	}
	return e, nil
}

// save replaces an item's file. Only the holder of tick.lock may call it.
//
// If the history exceeds keepRuns, the oldest void run is dropped, else the oldest run, but none of the last maxVoids+1:
// settle counts those. If the item still exceeds spool.MaxFile, the older half of the history is dropped.
func (q *Queue) save(e Entry, it *Item) error {
	for len(it.History) > keepRuns {
		older := it.History[:len(it.History)-maxVoids-1]
		i := max(0, slices.IndexFunc(older, func(r Run) bool { return r.Outcome == outcome.Void }))
		it.History = slices.Delete(it.History, i, i+1)
	}
	if v := it.version(); v == 3 || it.V == 3 { // a run on a cluster begins or is settled
		it.V = v
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

// Notify records that a run was handed to the runner pid: the one write of pending → notified. r identifies that process, or the job of a
// cluster that pid 0 stands for; it is nil where that is not known.
//
// Before this write the runner waits at its gate. A crash just before it closes the gate without a task: nothing ran, and
// the item is still pending. A crash just after it leaves a notified item, and its lease and marker tell the next tick how
// far the run came.
func (q *Queue) Notify(e Entry, it *Item, run, pid int, r *Runner) error {
	it.notify(run, pid, r, q.Now())
	if err := q.Events.Put(about(it, event.TaskDequeued, "")); err != nil {
		return err
	}
	return q.save(e, it)
}

// Settle records how a run ended, in one write. The caller holds the slot's and the session's lock.
//
// The event comes first, as in Publish. Its name is made of item, run and type: after a crash before the last write the next
// tick repeats the others under the same name. So it is with the run's line in the ledger, of which the last counts. If
// the item came first, a crash could leave a run that is never counted.
func (q *Queue) Settle(e Entry, it *Item, r Result, p Policy) error {
	if it.State != Notified || it.Runs != r.Run.Run {
		return fmt.Errorf("%s: run %d is not there to be settled (%s, run %d)", it.ID, r.Run.Run, it.State, it.Runs)
	}
	r.Evidence = bounded(r.Evidence)
	used := it.ledger(r.Run, it.NotifiedAt)
	it.settle(r, p, q.Now())
	used.Slot, used.State = r.Slot, it.ending()
	if r.StartedAt != nil {
		// The runner wrote this event when the agent started, unless it was killed before.
		if err := q.Events.PutOnce(about(it, event.TaskStarted, "")); err != nil {
			return err
		}
	}
	if err := q.tellVerified(it, r); err != nil {
		return err
	}
	kind, text := event.TaskCompleted, r.Summary
	switch it.State {
	case Pending:
		kind = event.TaskRetry
	case Errored:
		kind, text = it.errored(), *it.Error
	}
	ev := about(it, kind, text)
	ev.Evidence = r.Evidence
	if err := q.Events.Put(ev); err != nil {
		return err
	}
	if err := q.count(used); err != nil {
		return err
	}
	return q.save(e, it)
}

// tellVerified tells how the operator's command judged a run. Like the event of the run's end it comes before the item.
func (q *Queue) tellVerified(it *Item, r Result) error {
	if r.Verification == nil {
		return nil
	}
	kind, text := event.Verified, r.Verification.Command+", in "+r.Verification.Took().Round(time.Second).String()
	if !r.Verified() {
		kind, text = event.Unverified, r.Verification.Command+": "+r.Verification.Why
	}
	ev := about(it, kind, text)
	ev.Evidence = r.Evidence
	return q.Events.Put(ev)
}

// Cancel settles a pending item as an error, without a run.
func (q *Queue) Cancel(e Entry, it *Item) error {
	if it.State != Pending {
		return fmt.Errorf("%s is %s, not pending", it.ID, it.State)
	}
	it.finish(Errored, string(outcome.Cancelled), q.Now())
	if err := q.Events.Put(q.byHand(about(it, it.errored(), *it.Error))); err != nil {
		return err
	}
	if err := q.amend(it); err != nil {
		return err
	}
	return q.save(e, it)
}

// File moves a settled item to finished/ and keeps its name. A crash before the rename leaves a settled item in its lane: the
// next tick files it. A crash after it leaves nothing to do.
//
// Where no other item waits or runs, the event that the queue is empty comes first: a crash between the two writes makes the
// next tick repeat both under the same name.
func (q *Queue) File(e Entry) (Entry, error) {
	if err := q.tellEmpty(e); err != nil {
		return e, err
	}
	to := filepath.Join(q.Finished, filepath.Base(e.Path))
	if err := spool.Rename(e.Path, to); err != nil {
		return e, err
	}
	e.Path = to
	return e, nil
}

// tellEmpty tells that the queue is empty, if the entry is the last one in its lanes. A person who cancels the last item knows it.
// The lanes are read no further than the first other item: this is asked for each item that ends, whatever waits.
func (q *Queue) tellEmpty(e Entry) error {
	for _, lane := range Lanes {
		more, err := spool.Any(q.dir(lane), func(name string) bool {
			other, ok := parseName(name)
			return ok && other.ID != e.ID
		})
		if err != nil || more {
			return err
		}
	}
	it, err := q.Load(e)
	if err != nil || it.Cancelled() {
		return err
	}
	ev := about(it, event.QueueEmpty, "nothing waits or runs")
	ev.Name = fmt.Sprintf("%s.%d", ev.Name, it.PendingSince.UnixMilli()) // a retry empties it again
	return q.Events.PutOnce(ev)
}

// Retry puts a settled item back into its lane.
//
// The item is moved first and rewritten second. A crash between the two leaves a settled item in its lane: the next tick
// files it again, as if the retry had not been asked for. In the other order a pending item would lie in finished/, where
// no tick looks for one.
func (q *Queue) Retry(e Entry, it *Item) (Entry, error) {
	to := Entry{ID: e.ID, Priority: e.Priority, Path: filepath.Join(q.dir(it.Lane()), filepath.Base(e.Path))}
	if err := spool.Rename(e.Path, to.Path); err != nil {
		return e, err
	}
	it.retry(q.Now())
	if err := q.Events.Put(q.byHand(about(it, event.TaskQueued, ""))); err != nil {
		return to, err
	}
	return to, q.save(to, it)
}

// byHand makes the name of an event unique by its time: a user may ask for the same several times between two runs, and each
// request is an event.
func (q *Queue) byHand(ev event.Event) event.Event {
	ev.Name = fmt.Sprintf("%s.%d", ev.Name, q.Now().UnixMilli())
	return ev
}

// Drop deletes a settled item. The caller deletes the item's runs before: in the other order a crash would leave run folders
// that no item names.
func (q *Queue) Drop(e Entry) error {
	if filepath.Dir(e.Path) != q.Finished {
		return fmt.Errorf("%s is not settled", e.ID)
	}
	return spool.Remove(e.Path)
}

// Quarantine quarantines a file that cannot be read as an item: it is moved to bad/, and reported once. The caller holds
// tick.lock.
func (q *Queue) Quarantine(path string, why error) error {
	return q.QuarantineAs(path, filepath.Base(path), why)
}

// QuarantineAs is Quarantine with another name in bad/, which says what the file was.
func (q *Queue) QuarantineAs(path, base string, why error) error {
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

// ForeignFiles lists the foreign files of a lane: they end in .json, but their names are not those of items. The tick quarantines
// them.
func (q *Queue) ForeignFiles(lane Lane) ([]string, error) {
	l, err := q.Ahead(lane, nil)
	return l.Foreign, err
}

// IsAbsent says whether an error of Load or Find means that the item is not there. Any other error means: not known.
func IsAbsent(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// errored is the type of the event that an item became an error.
func (it *Item) errored() event.Type {
	if it.Cancelled() {
		return event.TaskCancelled
	}
	return event.TaskError
}

// about makes an event of an item's newest run.
func about(it *Item, kind event.Type, text string) event.Event {
	return event.Event{Name: event.Name(it.ID, it.Runs, kind), Type: kind, Item: it.ID, IssueRef: it.IssueRef,
		Agent: it.Agent, Run: it.Runs, State: string(it.State), Text: text}
}
