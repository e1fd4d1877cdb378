// Package event keeps what happened as one file per event, until a user clears it and NOTIFY_COMMAND has taken it.
package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kugetsu/queue/spool"
)

// Type says what happened.
type Type string

// The types of events.
const (
	TaskQueued    Type = "task_queued"    // enqueued, or put back by hand
	TaskDequeued  Type = "task_dequeued"  // handed to a runner
	TaskStarted   Type = "task_started"   // its agent runs
	TaskCompleted Type = "task_completed" // settled, done
	TaskError     Type = "task_error"     // settled, not done
	TaskRetry     Type = "task_retry"     // the run failed, the item is pending again
	AgentHeld     Type = "agent_held"     // nothing of this agent, or of this host, is started: a usage limit, credentials, a server that is down
	RoomLow       Type = "room_low"       // too little disk or memory: nothing more is started
	RoomBack      Type = "room_back"      // that is over
	FileBad       Type = "file_bad"       // a file could not be read as an item and was set aside, or left alone
)

// Event is one file in notifications/. Its name is made of the item, the run and the type: a repeat after a crash has
// the same name, so each event is told at least once and a receiver can recognise a repeat.
type Event struct {
	V        int    `json:"v"`
	Name     string `json:"name"`
	Type     Type   `json:"type"`
	Item     string `json:"item,omitempty"`
	IssueRef string `json:"issue_ref,omitempty"`
	Agent    string `json:"agent,omitempty"`
	Run      int    `json:"run"`
	State    string `json:"state,omitempty"`
	Text     string `json:"text,omitempty"` // the agent's final message, or the error
	Evidence
	At time.Time `json:"at"`
}

// Evidence is what a run that ended can show for it. All texts are strangers': they hold no character that a terminal
// would obey, and are short.
type Evidence struct {
	Changes *Changes `json:"changes,omitempty"` // nil: not known
	Refused []string `json:"refused,omitempty"` // permissions, the newest last, a few at most
	PRURL   string   `json:"pr_url,omitempty"`  // of the issue's pull request, as it was known at the run's end
	Ref     string   `json:"ref,omitempty"`     // where uncommitted work was kept
}

// Changes is what a run left in its worktree.
type Changes struct {
	From       string   `json:"from,omitempty"`        // the commit that the run began with; "" on a branch without any
	To         string   `json:"to,omitempty"`          // the commit that it ended with
	Commits    int      `json:"commits"`               // made in the run
	Subjects   []string `json:"subjects,omitempty"`    // what the newest of them say, newest first, a few at most
	Diff       *Diff    `json:"diff,omitempty"`        // from From to all that stood there at the end, uncommitted or not; nil: not known
	Dirty      int      `json:"dirty"`                 // files with uncommitted changes
	DirtyFiles []string `json:"dirty_files,omitempty"` // the first few of them
}

// Diff is how much changed.
type Diff struct {
	Files      int `json:"files"`
	Insertions int `json:"insertions"`
	Deletions  int `json:"deletions"`
}

// Box is the folders of events.
type Box struct {
	New, Seen, Owed string // not yet cleared; cleared; not yet taken by NOTIFY_COMMAND
	Tell            bool   // there is a NOTIFY_COMMAND: new events are owed to it
	Now             func() time.Time
}

// Make makes the folders.
func (b *Box) Make() error {
	return spool.MakeDirs(filepath.Dir(b.New), b.New, b.Seen, b.Owed)
}

// Name is what the event of a run is called: the same every time.
func Name(item string, run int, kind Type) string { return fmt.Sprintf("%s.%d.%s", item, run, kind) }

// Bad makes the event that a file was set aside.
func Bad(file string, why error) Event {
	return Event{Name: string(FileBad) + "." + safeName(file), Type: FileBad, Text: fmt.Sprintf("%s was set aside in bad/: %v", file, why)}
}

// LeftAlone makes the event that a file is not ours to judge and stays where it is.
func LeftAlone(file string, why error) Event {
	return Event{Name: string(FileBad) + "." + safeName(file), Type: FileBad, Text: fmt.Sprintf("%s was left alone: %v", file, why)}
}

// safeName makes a file name of any file name: it may hold what a stranger wrote. Different ones stay different.
func safeName(s string) string {
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

// Put makes an event durable. What is owed to NOTIFY_COMMAND is written before what the user sees, so that no crash
// leaves an event that is shown but never delivered.
func (b *Box) Put(ev Event) error {
	ev.V, ev.At = 1, b.Now().UTC()
	data, err := json.Marshal(ev)
	if err != nil {
		return fmt.Errorf("%s: %w", ev.Name, err)
	}
	if b.Tell {
		if err := spool.Write(b.owedPath(ev.Name), data); err != nil {
			return err
		}
	}
	return spool.Write(filepath.Join(b.New, ev.Name+".json"), data)
}

func (b *Box) owedPath(name string) string { return filepath.Join(b.Owed, name+".json") }

// Retract takes an event back whose transition did not come to be.
func (b *Box) Retract(name string) error {
	return errors.Join(spool.Unlink(b.owedPath(name)), spool.Unlink(filepath.Join(b.New, name+".json")))
}

// PutOnce is Put for an event that may have been told before, and cleared since: then nothing is done.
func (b *Box) PutOnce(ev Event) error {
	for _, dir := range []string{b.New, b.Seen} {
		if there, err := spool.Exists(filepath.Join(dir, ev.Name+".json")); err != nil || there {
			return err
		}
	}
	return b.Put(ev)
}

// List returns the events that were not cleared, oldest first, and the number of files that could not be read as one.
func (b *Box) List() (events []Event, bad int, err error) {
	names, err := spool.List(b.New)
	if err != nil {
		return nil, 0, err
	}
	for _, name := range names {
		if !strings.HasSuffix(name, ".json") {
			continue
		}
		ev, err := readEvent(filepath.Join(b.New, name))
		switch {
		case errors.Is(err, fs.ErrNotExist): // cleared while we looked
		case err != nil:
			bad++
		default:
			events = append(events, ev)
		}
	}
	sortByTime(events)
	return events, bad, nil
}

func readEvent(path string) (Event, error) {
	var ev Event
	if err := spool.ReadVersion(path, 1, &ev); err != nil {
		return Event{}, err
	}
	if ev.Name+".json" != filepath.Base(path) {
		return Event{}, fmt.Errorf("%s: %w: its name is %q", path, spool.ErrBad, ev.Name[:min(len(ev.Name), 60)])
	}
	return ev, nil
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
		if errors.Is(err, fs.ErrNotExist) { // another clear had it
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

// Undelivered returns the events that NOTIFY_COMMAND has not taken: the oldest first, those it refused behind them. A
// file that is no event is set aside, under a name that says what it was, so that it cannot stand in the way of the
// others for ever.
func (b *Box) Undelivered(setAside func(path, name string, why error) error) ([]Event, error) {
	names, err := spool.List(b.Owed)
	if err != nil {
		return nil, err
	}
	type owed struct {
		Event
		since time.Time // it was told, or last refused
	}
	var list []owed
	for _, name := range names {
		if !strings.HasSuffix(name, ".json") {
			continue
		}
		path := filepath.Join(b.Owed, name)
		ev, err := readEvent(path)
		switch {
		case errors.Is(err, spool.ErrBad):
			if err := setAside(path, "event."+safeName(name), err); err != nil {
				return nil, err
			}
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, spool.ErrNewer):
		case err != nil:
			return nil, err
		default:
			since := ev.At
			if info, err := os.Lstat(path); err == nil {
				since = info.ModTime()
			}
			list = append(list, owed{ev, since})
		}
	}
	slices.SortStableFunc(list, func(a, b owed) int { return a.since.Compare(b.since) })
	events := make([]Event, len(list))
	for i, o := range list {
		events[i] = o.Event
	}
	return events, nil
}

// Delivered records that NOTIFY_COMMAND took an event. A crash just before makes it be delivered again.
func (b *Box) Delivered(ev Event) error { return spool.Remove(b.owedPath(ev.Name)) }

// Postpone puts an event behind the others, after NOTIFY_COMMAND refused it: one that is never taken must not keep them
// back.
func (b *Box) Postpone(ev Event) error { return spool.Touch(b.owedPath(ev.Name), b.Now()) }

// Expire deletes the cleared events older than age, and the uncleared ones older than ten times that: a user who
// never looks should not pay for it with a full disk.
func (b *Box) Expire(age time.Duration) error {
	var errs []error
	for dir, limit := range map[string]time.Duration{b.Seen: age, b.New: 10 * age} {
		names, err := spool.List(dir)
		if err != nil {
			return err
		}
		for _, name := range names {
			info, err := os.Lstat(filepath.Join(dir, name))
			if err != nil || b.Now().Sub(info.ModTime()) < limit || !strings.HasSuffix(name, ".json") {
				continue
			}
			errs = append(errs, spool.Unlink(filepath.Join(dir, name)))
		}
	}
	return errors.Join(errs...)
}
