// Package command is the commands: one struct each, with its flags, its help and its Run, driving the packages below.
//
// What every command keeps to: data goes to stdout and everything else to stderr; --json prints the same data with the
// field names of the files; an error is one line in lower case, without a full stop, and a second line is its hint
// where there is a remedy. main prints both. What an agent, an issue or a file name brought is never printed without
// package terminal.
package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"syscall"
	"text/tabwriter"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/event"
	"kugetsu/queue/fault"
	"kugetsu/queue/terminal"
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

func (a *App) print(format string, args ...any) error {
	_, err := fmt.Fprintf(a.Stdout, format, args...)
	return unprinted(err)
}

// errUnprinted is wrapped where stdout did not take what was done: the work goes on, whole.
var errUnprinted = errors.New("stdout")

// unprinted is the error when stdout does not take what was done: it was done all the same.
func unprinted(err error) error {
	if err == nil {
		return nil
	}
	err = fault.New(fault.Temp, "it was done; only the output is missing", "%w: %w", errUnprinted, err)
	if errors.Is(err, syscall.EPIPE) { // the reader, such as head, has enough
		return fault.Told(err)
	}
	return err
}

// printJSON prints a value as JSON in which no string has a control character that a terminal would obey.
func (a *App) printJSON(v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = a.Stdout.Write(append(terminal.JSON(data), '\n'))
	return unprinted(err)
}

// table prints rows in columns, the first being the heading; nothing when there are no others.
func (a *App) table(rows [][]string) error {
	if len(rows) < 2 {
		return nil
	}
	w := tabwriter.NewWriter(a.Stdout, 0, 8, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			if i > 0 {
				fmt.Fprint(w, "\t")
			}
			fmt.Fprint(w, terminal.Clean(cell))
		}
		fmt.Fprintln(w)
	}
	return unprinted(w.Flush())
}

// find resolves a word, and reads the item.
func (a *App) find(word string) (queue.Entry, *queue.Item, error) {
	e, err := a.resolve(word)
	if err != nil {
		return e, nil, err
	}
	it, err := a.Queue.Load(e)
	if queue.IsAbsent(err) { // filed between the two
		if e, err = a.Queue.Find(e.ID); err == nil {
			it, err = a.Queue.Load(e)
		}
	}
	return e, it, err
}

// duration prints how long ago or how long a thing is, in at most two units.
func duration(d time.Duration) string {
	d = max(d, 0).Round(time.Second)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd", d/(24*time.Hour))
}
