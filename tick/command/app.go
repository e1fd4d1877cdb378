// Package command holds the commands. Each is a struct with its flags, its help and its Run, in a file of its name.
//
// The rules of all commands: data goes to stdout and everything else to stderr. --json prints the same data with the field
// names of the files. An error is one line in lower case, without a full stop; a second line is its hint. Main prints both.
// Text of an agent, an issue or a file name is printed only through package terminal.
//
// fault.Code takes the first code in an error tree. Where errors are joined, the one that decides the exit code stands first.
package command

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/event"
	"kugetsu/queue/ledger"
	"kugetsu/slots"
	"kugetsu/tick"
	"kugetsu/tick/digest"
	"kugetsu/tick/metrics"
	"kugetsu/tick/page"
	"kugetsu/tick/settings"
)

// App is the context that every command runs in.
type App struct {
	Ctx        context.Context
	Home       slots.Dir
	Settings   *settings.Settings
	Config     error // errors in the settings; Tick.Config holds these and the errors in the user's other files
	Tick       *tick.Tick
	Queue      *queue.Queue
	Stdin      io.Reader
	Stdout     io.Writer
	Stderr     io.Writer
	Terminal   bool // stdout is a terminal
	Width      int  // columns of that terminal; 0 where that is not known
	Verbose    bool
	Quiet      bool // a command that acts does not say what it did
	Now        func() time.Time
	Log        *slog.Logger
	Version    string
	ends       queue.Ends // of all ids, as they were at the time listed: see short
	listed     time.Time
	siblingsOf map[string][]sibling // live items by session: see siblings
	warned     map[string]bool      // agents of whose missing program the user was warned
}

// Open makes missing folders of the state folder, and the queue and the tick that work on them.
func (a *App) Open(source *settings.Source) error {
	a.setPaths(source)
	if err := a.Home.Make(); err != nil {
		return err
	}
	if err := errors.Join(a.safe(), a.there()); err != nil { // before an empty mount point looks like a queue
		return err
	}
	if err := a.Queue.Make(); err != nil {
		return err
	}
	return a.owned(true)
}

// setPaths sets the paths of the queue and the tick. It makes no folder.
func (a *App) setPaths(source *settings.Source) {
	s := a.Settings
	dir := s.QueueDir
	if dir == "" {
		dir = filepath.Join(string(a.Home), "queue")
	}
	items := s.QueueItemsDir
	if items == "" {
		items = filepath.Join(dir, "items")
	}
	notes := filepath.Join(string(a.Home), "notifications")
	a.Queue = &queue.Queue{
		Dirs: queue.Dirs{Items: items, PM: filepath.Join(dir, "pm"), Finished: filepath.Join(dir, "finished"), Bad: filepath.Join(dir, "bad")},
		Events: &event.Box{New: filepath.Join(notes, "new"), Seen: filepath.Join(notes, "seen"), Undelivered: filepath.Join(notes, "owed"),
			Now: a.Now},
		Ledger: &ledger.Ledger{Dir: a.Home.Usage(), Now: a.Now},
		Now:    a.Now,
	}
	if s.NotifyCommand != "" {
		a.Queue.Events.Wanted = s.NotifyEvents.Has
	}
	a.Tick = &tick.Tick{Home: a.Home, Queue: a.Queue, Settings: s, Source: source, Config: errors.Join(a.Config, tick.CheckFiles(a.Home)),
		Now: a.Now, Log: a.Log}
	a.Tick.Digest = func() error { return digest.Send(a.Tick) }
	a.Tick.Metrics = func(changed bool) error { return metrics.Refresh(a.Tick, changed) }
	a.Tick.Page = func() error { return page.Refresh(a.Tick) }
}

// LogTo changes where log messages go.
func (a *App) LogTo(log *slog.Logger) { a.Log, a.Tick.Log = log, log }
