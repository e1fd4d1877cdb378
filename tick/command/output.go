package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/fault"
	"kugetsu/queue/pattern"
	"kugetsu/queue/terminal"
	"kugetsu/tick"
)

func (a *App) print(format string, args ...any) error {
	_, err := fmt.Fprintf(a.Stdout, format, args...)
	return unprinted(err)
}

// errUnprinted is in the error of a failed write to stdout. A command completes its work all the same.
var errUnprinted = errors.New("stdout")

// unprinted makes the error of a failed write to stdout.
func unprinted(err error) error {
	if err == nil {
		return nil
	}
	err = fault.New(fault.Temp, "the command did its work; only its output is missing", "%w: %w", errUnprinted, err)
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

// table prints rows in columns, as the terminal has room for them; nothing when there are no rows.
func (a *App) table(columns []terminal.Column, rows [][]string) error {
	return unprinted(terminal.Table{Columns: columns, Rows: rows}.Write(a.Stdout, a.Width))
}

// issueColumn is the column of a reference, which gives way by its host where a reference without one means that host.
func (a *App) issueColumn() terminal.Column {
	return terminal.Column{Name: "ISSUE", Short: func(ref string) string { return strings.TrimPrefix(ref, a.Settings.GitServer+"/") }}
}

func duration(d time.Duration) string { return tick.Duration(d) }

// did prints what a command did, where a script may read it: a line that begins with the id, or a number.
func (a *App) did(format string, args ...any) error {
	if a.Quiet {
		return nil
	}
	return a.print(format, args...)
}

// say tells a person what a command did, or that there is nothing to show.
func (a *App) say(format string, args ...any) {
	if !a.Quiet {
		a.note("%s", clean(fmt.Sprintf(format, args...)))
	}
}

// sayEmpty tells, of a list without a row, what would fill it.
func (a *App) sayEmpty(rows [][]string, format string, args ...any) {
	if len(rows) == 0 {
		a.say(format, args...)
	}
}

// note is a line on stderr.
func (a *App) note(format string, args ...any) { fmt.Fprintf(a.Stderr, format+"\n", args...) }

func clean(s string) string { return terminal.Clean(s) }

func ago(now, t time.Time) string { return tick.Ago(now, t) }

// since is how long ago a time is. A clock that was set back leaves times in the future.
func since(now, t time.Time) string {
	if tick.ToCome(now, t) {
		return "in the future"
	}
	return duration(now.Sub(t))
}

func issueOrPM(ref string) string {
	if ref == "" {
		return "(pm)"
	}
	return ref
}

// short is an id as it is shown: on a terminal its shortest unique end, whole elsewhere. An item that is gone keeps its whole id.
func (a *App) short(id string) string {
	if !a.Terminal || id == "" {
		return id
	}
	if short, known := a.ends.Short(id); known {
		return short
	}
	if queue.IDTime(id).Before(a.listed.Add(-time.Minute)) { // it was not there then, and is not new
		return id
	}
	if now := a.Now(); now.Sub(a.listed) > time.Second { // of ten thousand that are enqueued now, not each is worth a listing
		ids, err := a.Queue.IDs()
		if err != nil {
			return id
		}
		a.ends, a.listed = queue.NewEnds(ids), now
	} else {
		a.ends.Add(id)
	}
	short, known := a.ends.Short(id)
	if !known {
		return id
	}
	return short
}

// itemID is what may be an id in a text.
var itemID = pattern.Lazy(`\bq_[0-9a-z]+\b`)

// shortIDs is a text of kugetsu's own with each id in it as short shows it.
func shortIDs(text string, short func(id string) string) string {
	return itemID().ReplaceAllStringFunc(text, func(word string) string {
		if !queue.IsID(word) {
			return word
		}
		return short(word)
	})
}

// clip cuts a word for an error message.
func clip(s string) string { return terminal.Short(s, 60) }

func stamp(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05 MST") }
