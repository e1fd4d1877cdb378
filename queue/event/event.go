// Package event keeps one file per event, until a user clears it and NOTIFY_COMMAND has taken it.
package event

import (
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kugetsu/queue/outcome"
	"kugetsu/queue/spool"
)

// Type is the kind of an event.
type Type string

// The types of events.
const (
	TaskQueued      Type = "task_queued"       // enqueued, or put back by hand
	TaskDequeued    Type = "task_dequeued"     // handed to a runner
	TaskStarted     Type = "task_started"      // its agent runs
	TaskRetry       Type = "task_retry"        // the run failed, the item is pending again
	TaskCompleted   Type = "task_completed"    // settled as completed
	TaskError       Type = "task_error"        // settled as an error
	Verified        Type = "verified"          // its agent was done, and the command that verifies it exited with 0
	Unverified      Type = "unverified"        // its agent was done, and that command said no
	TaskCancelled   Type = "task_cancelled"    // settled as an error, since a person asked for it
	CIFailed        Type = "ci_failed"         // checks of a session's pull request failed, and its agent gets that as a task
	ChangesWanted   Type = "changes_requested" // a reviewer requests changes, and its agent gets that as a task
	Conflict        Type = "conflict"          // the request conflicts with its base, and its agent gets that as a task
	PRReady         Type = "pr_ready"          // the request is green, approved and mergeable: a person may merge it
	NeedsHuman      Type = "needs_human"       // FOLLOW_MAX tasks were made of a request, or its last one did not help, and it still is not ready; or a host does not show what is followed
	QueueEmpty      Type = "queue_empty"       // the last item that waited or ran is settled
	AgentHeld       Type = "agent_held"        // this agent, or this host, is on hold: a usage limit, refused credentials, a server that is down
	AgentLifted     Type = "agent_lifted"      // a run got through: this agent, or this host, is on hold no longer
	RoomLow         Type = "room_low"          // nothing more is started: too little disk or memory
	RoomBack        Type = "room_back"         // there is enough disk and memory again
	AgentMissing    Type = "agent_missing"     // the program of this agent is not there: none of its items is started
	AgentBack       Type = "agent_back"        // it is there again
	VerifierMissing Type = "verifier_missing"  // the command that verifies runs in a repository cannot be started: none of the repository's items is started
	VerifierBack    Type = "verifier_back"     // the command is there again, or another one is named
	FileBad         Type = "file_bad"          // a file could not be read as an item: it was quarantined, or left alone
	Digest          Type = "digest"            // what was done since the last digest, once a day: DIGEST_AT
	Test            Type = "test"              // a person asked for it: kugetsu notify test
)

// types are the types that may be chosen. By default NOTIFY_COMMAND is told of what a person acts on or waits for.
var types = []struct {
	Type
	told bool
}{
	{TaskQueued, false}, {TaskDequeued, false}, {TaskStarted, false}, {TaskRetry, false},
	{TaskCompleted, true}, {TaskError, true}, {TaskCancelled, false}, {Verified, false}, {Unverified, false},
	{CIFailed, false}, {ChangesWanted, false}, {Conflict, false}, {PRReady, true}, {NeedsHuman, true}, {QueueEmpty, true},
	{AgentHeld, true}, {AgentLifted, true}, {RoomLow, true}, {RoomBack, true}, {AgentMissing, true}, {AgentBack, true}, {VerifierMissing, true}, {VerifierBack, true}, {FileBad, true}, {Digest, true},
}

// Event is one file in notifications/. Its name is made of the item, the run and the type. A repeat after a crash has the same
// name: each event is delivered at least once, and a receiver recognises a repeat.
type Event struct {
	V        int    `json:"v"`
	Name     string `json:"name"`
	Type     Type   `json:"type"`
	Item     string `json:"item,omitempty"`
	IssueRef string `json:"issue_ref,omitempty"`
	Agent    string `json:"agent,omitempty"`
	Run      int    `json:"run"`
	State    string `json:"state,omitempty"`
	Text     string `json:"text,omitempty"`     // the agent's final message, or the error; of a digest, what is most important in it, in lines
	Markdown string `json:"markdown,omitempty"` // of a digest, all of it
	outcome.Evidence
	At time.Time `json:"at"`
}

// Box is the folders of events.
type Box struct {
	New, Seen, Undelivered string          // not yet cleared; cleared; not yet taken by NOTIFY_COMMAND
	Wanted                 func(Type) bool // says whether NOTIFY_COMMAND is told of a type: a new event of that type begins as undelivered; nil without a command
	Now                    func() time.Time
}

// Make makes the folders.
func (b *Box) Make() error {
	return spool.MakeDirs(filepath.Dir(b.New), b.New, b.Seen, b.Undelivered)
}

// Wants says whether NOTIFY_COMMAND is told of events of a type.
func (b *Box) Wants(kind Type) bool { return b.Wanted != nil && b.Wanted(kind) }

// Name is the name of a run's event: the same every time.
func Name(item string, run int, kind Type) string { return fmt.Sprintf("%s.%d.%s", item, run, kind) }

// Bad makes the event that a file was quarantined.
func Bad(file string, why error) Event {
	return Event{Name: string(FileBad) + "." + SafeName(file), Type: FileBad, Text: fmt.Sprintf("%s was quarantined in bad/: %v", file, why)}
}

// LeftAlone makes the event that a file was written by a newer version and stays where it is.
func LeftAlone(file string, why error) Event {
	return Event{Name: string(FileBad) + "." + SafeName(file), Type: FileBad, Text: fmt.Sprintf("%s was left alone: %v", file, why)}
}

// SafeName makes a plain file name of any file name, which another program may have chosen. Different names stay different.
func SafeName(s string) string {
	safe := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_', r == '.':
			return r
		}
		return '_'
	}, s)
	if safe == s && len(s) <= 100 {
		return s
	}
	return fmt.Sprintf("%s.%08x", safe[:min(len(safe), 91)], crc32.ChecksumIEEE([]byte(s)))
}

// Put writes an event, durably. The file for NOTIFY_COMMAND comes before the one that the user sees, so that no crash leaves an
// event that is shown but never delivered.
func (b *Box) Put(ev Event) error {
	ev.V, ev.At = 1, b.Now().UTC()
	if b.Wants(ev.Type) {
		if err := file(b.Undelivered, ev.Name).Write(&ev); err != nil {
			return err
		}
	}
	return file(b.New, ev.Name).Write(&ev)
}

// Draft is an event that was not put yet.
type Draft struct{ undelivered, shown *spool.Draft } // undelivered is nil where NOTIFY_COMMAND is not told

// Draft writes an event for PutDrafts, in a batch that its caller then syncs.
func (b *Box) Draft(batch *spool.Batch, ev Event) (*Draft, error) {
	ev.V, ev.At = 1, b.Now().UTC()
	d := &Draft{}
	var err error
	if b.Wants(ev.Type) {
		if d.undelivered, err = file(b.Undelivered, ev.Name).Draft(batch, &ev); err != nil {
			return nil, err
		}
	}
	d.shown, err = file(b.New, ev.Name).Draft(batch, &ev)
	return d, err
}

// PutDrafts puts events that were drafted and synced, durably: as Put, those for NOTIFY_COMMAND first.
func (b *Box) PutDrafts(drafts []*Draft) error {
	told := false
	for _, d := range drafts {
		if d.undelivered != nil {
			told = true
			if err := d.undelivered.Replace(); err != nil {
				return err
			}
		}
	}
	if told {
		if err := spool.SyncDir(b.Undelivered); err != nil {
			return err
		}
	}
	for _, d := range drafts {
		if err := d.shown.Replace(); err != nil {
			return err
		}
	}
	return spool.SyncDir(b.New)
}

// Retract removes an event whose transition failed.
func (b *Box) Retract(name string) error {
	return errors.Join(spool.Unlink(file(b.Undelivered, name).Path), spool.Unlink(file(b.New, name).Path))
}

// PutOnce is Put, but does nothing if the event was written before, even if a user cleared it since.
func (b *Box) PutOnce(ev Event) error {
	for _, dir := range []string{b.New, b.Seen} {
		if there, err := spool.Exists(file(dir, ev.Name).Path); err != nil || there {
			return err
		}
	}
	return b.Put(ev)
}

// Find returns the event of a name, cleared or not; nil if there is none.
func (b *Box) Find(name string) (*Event, error) {
	ev, err := read(b.New, name)
	if ev != nil || err != nil {
		return ev, err
	}
	return read(b.Seen, name)
}

// List returns the events that were not cleared, the oldest first, and the number of files that could not be read as events.
func (b *Box) List() (events []Event, bad int, err error) {
	names, err := spool.List(b.New)
	if err != nil {
		return nil, 0, err
	}
	for _, name := range names {
		name, ok := strings.CutSuffix(name, ".json")
		if !ok {
			continue
		}
		ev, err := read(b.New, name)
		switch {
		case err != nil:
			bad++
		case ev != nil: // else it was cleared meanwhile
			events = append(events, *ev)
		}
	}
	sortByTime(events)
	return events, bad, nil
}

func file(dir, name string) spool.File[Event] {
	return spool.File[Event]{Path: filepath.Join(dir, name+".json"), Version: 1}
}

// read reads an event from a folder; nil if it is gone.
func read(dir, name string) (*Event, error) {
	ev, err := file(dir, name).Read()
	if ev != nil && ev.Name != name {
		return nil, fmt.Errorf("%s: %w: its name is %q", file(dir, name).Path, spool.ErrBad, ev.Name[:min(len(ev.Name), 60)])
	}
	return ev, err
}

// Clear marks events as seen and returns how many.
func (b *Box) Clear() (int, error) {
	names, err := spool.List(b.New)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, name := range names {
		if !strings.HasSuffix(name, ".json") {
			continue
		}
		err := spool.Rename(filepath.Join(b.New, name), filepath.Join(b.Seen, name))
		if errors.Is(err, fs.ErrNotExist) { // another clear moved it
			continue
		}
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func sortByTime(events []Event) {
	slices.SortFunc(events, func(a, b Event) int {
		if c := a.At.Compare(b.At); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
}

// ToDeliver returns the events that NOTIFY_COMMAND has not taken, the oldest first, and last those that it refused. A file that is
// not an event would block the others for ever. So it is passed to quarantine, with a name for bad/ that says what it was.
func (b *Box) ToDeliver(quarantine func(path, name string, why error) error) ([]Event, error) {
	names, err := spool.List(b.Undelivered)
	if err != nil {
		return nil, err
	}
	type undelivered struct {
		Event
		since time.Time // when it was written, or last refused
	}
	var list []undelivered
	for _, base := range names {
		name, ok := strings.CutSuffix(base, ".json")
		if !ok {
			continue
		}
		path := filepath.Join(b.Undelivered, base)
		ev, err := read(b.Undelivered, name)
		switch {
		case errors.Is(err, spool.ErrBad):
			if err := quarantine(path, "event."+SafeName(base), err); err != nil {
				return nil, err
			}
		case errors.Is(err, spool.ErrNewer):
		case err != nil:
			return nil, err
		case ev != nil:
			since := ev.At
			if info, err := os.Lstat(path); err == nil {
				since = info.ModTime()
			}
			list = append(list, undelivered{*ev, since})
		}
	}
	// The clock of a file system ticks a few hundred times a second, so the files of one pass may have the same time.
	slices.SortStableFunc(list, func(a, b undelivered) int { return cmp.Or(a.since.Compare(b.since), a.At.Compare(b.At)) })
	events := make([]Event, len(list))
	for i, o := range list {
		events[i] = o.Event
	}
	return events, nil
}

// ReadUndelivered reads a file of the folder of undelivered events, nil where it is gone.
func (b *Box) ReadUndelivered(file string) (*Event, error) {
	return read(b.Undelivered, strings.TrimSuffix(file, ".json"))
}

// Delivered records that NOTIFY_COMMAND took an event. A crash just before makes it be delivered again.
func (b *Box) Delivered(ev Event) error { return spool.Remove(file(b.Undelivered, ev.Name).Path) }

// Postpone puts an event that NOTIFY_COMMAND refused behind the others: an event that is never taken must not block them.
func (b *Box) Postpone(ev Event) error {
	return spool.Touch(file(b.Undelivered, ev.Name).Path, b.Now())
}

// Expire deletes the events that are older than age, cleared or not, so that events that are never cleared do not fill the disk. It
// deletes no more than most of them, since it runs under tick.lock. The next call goes on.
func (b *Box) Expire(age time.Duration, most int) error {
	var errs []error
	for _, dir := range []string{b.Seen, b.New} {
		names, err := spool.List(dir)
		if err != nil {
			return err
		}
		for _, name := range names {
			if most == 0 {
				break
			}
			info, err := os.Lstat(filepath.Join(dir, name))
			if err != nil || b.Now().Sub(info.ModTime()) < age || !strings.HasSuffix(name, ".json") {
				continue
			}
			errs = append(errs, spool.Unlink(filepath.Join(dir, name)))
			most--
		}
	}
	return errors.Join(errs...)
}
