// Package command is the commands: one struct each, with its flags, its help and its Run, driving the packages below.
//
// What every command keeps to: data goes to stdout and everything else to stderr; --json prints the same data with the
// field names of the files; an error is one line in lower case, without a full stop, and a second line is its hint
// where there is a remedy. main prints both. What an agent, an issue or a file name brought is never printed without
// package terminal.
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
	"kugetsu/slots"
	"kugetsu/tick"
	"kugetsu/tick/settings"
)

// App is what the commands work with.
type App struct {
	Ctx      context.Context
	Home     slots.Dir
	Settings *settings.Settings
	Config   error // what is wrong with the settings; Tick.Config is that and what is wrong with the user's other files
	Tick     *tick.Tick
	Queue    *queue.Queue
	Stdin    io.Reader
	Stdout   io.Writer
	Stderr   io.Writer
	Terminal bool // stdout is a terminal
	Verbose  bool
	Now      func() time.Time
	Log      *slog.Logger
	Version  string
	warned   map[string]bool // agents whose program is not there
}

// Open makes the folders of the state folder, where they are missing, and what works on them.
func (a *App) Open(source *settings.Source) error {
	a.place(source)
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

// place knows where all is, and makes nothing.
func (a *App) place(source *settings.Source) {
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
		Events: &event.Box{New: filepath.Join(notes, "new"), Seen: filepath.Join(notes, "seen"), Owed: filepath.Join(notes, "owed"),
			Tell: s.NotifyCommand != "", Now: a.Now},
		Now: a.Now,
	}
	a.Tick = &tick.Tick{Home: a.Home, Queue: a.Queue, Settings: s, Source: source, Config: errors.Join(a.Config, tick.CheckFiles(a.Home)),
		Now: a.Now, Log: a.Log}
}

// LogTo changes where it is told what happens.
func (a *App) LogTo(log *slog.Logger) { a.Log, a.Tick.Log = log, log }
