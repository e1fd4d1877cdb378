package command

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"kugetsu/queue/fault"
	"kugetsu/queue/spool"
	"kugetsu/queue/terminal"
)

// DaemonLogs shows what the ticks said.
type DaemonLogs struct {
	Follow bool `short:"f" help:"Print new lines as they are added."`
	Lines  int  `short:"n" default:"100" help:"Number of the newest lines to print." placeholder:"N"`
}

// Help is its long help.
func (*DaemonLogs) Help() string {
	return longHelp(`
The command shows the newest lines of tick.log, without control characters: what the scheduled ticks and the runners'
ticks said.`,
		codes{0: "shown"},
		"kugetsu queue-daemon logs -f",
		"kugetsu queue-daemon logs -n 20")
}

// tailMost limits how much of tick.log and of tick.log.old is read, each. Neither should be larger.
const tailMost = 2 << 20

// Run shows the newest lines, without control characters: an error may quote any text.
func (c *DaemonLogs) Run(a *App) error {
	if c.Lines < 0 {
		return fault.New(fault.Usage, "kugetsu queue-daemon logs -n 20", "--lines must not be negative")
	}
	out := terminal.Writer(a.Stdout)
	log, err := a.openTickLog("")
	if err != nil {
		return err
	}
	older, err := a.openTickLog(".old")
	if err != nil {
		return err
	}
	var text []byte
	for _, f := range []*os.File{older, log} {
		part, err := tail(f)
		if err != nil {
			return err
		}
		text = append(text, part...)
	}
	if older != nil {
		_ = older.Close() // only read from
	}
	if len(text) == 0 && !c.Follow {
		a.note("no tick has printed anything yet: a tick with nothing to do prints nothing")
	}
	if _, err := out.Write(lastLines(text, c.Lines)); err != nil || !c.Follow {
		return unprinted(err)
	}
	return c.follow(a, log, out)
}

// follow shows added lines. A log that grew too large is renamed, and a new one begins: the rest of the old one is shown first.
func (c *DaemonLogs) follow(a *App, log *os.File, out io.Writer) error {
	for {
		now, err := a.openTickLog("")
		if err != nil {
			return err
		}
		if log != nil { // the new log is opened before the old one is read, so that all of the old one is shown
			if _, err := io.Copy(out, log); err != nil {
				return err
			}
		}
		if now != nil && (log == nil || !same(log, now)) {
			log, now = now, log
			if _, err := io.Copy(out, log); err != nil {
				return err
			}
		}
		if now != nil {
			_ = now.Close() // only read from
		}
		select {
		case <-a.Ctx.Done():
			return nil
		case <-time.After(pollEvery):
		}
	}
}

func same(a, b *os.File) bool {
	x, errA := a.Stat()
	y, errB := b.Stat()
	return errA == nil && errB == nil && os.SameFile(x, y)
}

// openTickLog opens tick.log, or the older one; nil when there is none.
func (a *App) openTickLog(suffix string) (*os.File, error) {
	f, err := spool.Open(a.Home.TickLog()+suffix, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return f, err
}

// tail reads the newest part of a log and leaves the file at its end.
func tail(f *os.File) ([]byte, error) {
	if f == nil {
		return nil, nil
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(max(0, info.Size()-tailMost), io.SeekStart); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(f, tailMost))
}

// lastLines is the last n lines of a text.
func lastLines(text []byte, n int) []byte {
	lines := slices.Collect(bytes.Lines(text))
	return bytes.Join(lines[max(0, len(lines)-n):], nil)
}
