package command

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/fault"
	"kugetsu/queue/terminal"
	"kugetsu/slots"
	"kugetsu/slots/transcript"
	"kugetsu/tick/overview"
)

// Logs shows what an agent printed.
type Logs struct {
	ID     string `arg:"" optional:"" complete:"item" help:"An id, a part of one, or an issue reference; the newest run without one."`
	Follow bool   `short:"f" help:"Wait for a run that has not started, go on through retries, and end with the item."`
	Number int    `name:"run" help:"An earlier run than the newest." placeholder:"N"`
	Raw    bool   `help:"Byte for byte, control characters and all."`
}

// Help is its long help.
func (*Logs) Help() string {
	return longHelp(`
The command shows the output of a run, the newest run if no id is given. On a terminal the events of claude, codex,
gemini and opencode are shown for reading: words, a line for each call of a tool, errors, how the run ended. Elsewhere
the output is as the agent printed it, without control characters. -f waits for a run that has not started, goes on
through retries, and ends with the item, whose end is the exit code. With --run, -f ends with that run. An id may be any
part of an id that fits one item, or an issue.`,
		codes{0: "shown; with -f: and the item completed", 1: "there is no such item or run, or nothing has run; with -f: the item ended in an error"},
		"kugetsu logs -f owner/repo#12",
		"kugetsu logs --run 1 owner/repo#12")
}

// Run shows the log of a run.
func (c *Logs) Run(a *App) error {
	run, err := c.which(a)
	if err != nil {
		return err
	}
	if err := c.show(a, run); err != nil || !c.Follow || c.Number > 0 {
		return err
	}
	return c.goOn(a, run)
}

// show shows the log of a run, with -f until the run has ended.
func (c *Logs) show(a *App, run string) error {
	if c.Raw {
		return c.copy(a, run, a.Stdout)
	}
	if it := a.itemOf(run); c.renders(a, it) {
		return c.render(a, run, it)
	}
	return c.copy(a, run, terminal.Writer(a.Stdout))
}

// renders says whether the runs of an item are shown as a person reads them.
func (c *Logs) renders(a *App, it *queue.Item) bool {
	return !c.Raw && a.Terminal && it != nil && transcript.Renders(it.Agent)
}

// render shows the events of an agent as a person reads them, and how the run ended. A run that is followed is not settled when its
// log ends: goOn says it then.
func (c *Logs) render(a *App, run string, it *queue.Item) error {
	dir := "" // without it, paths are shown whole
	if ref := it.Ref(); !ref.IsZero() {
		dir = a.Home.WorksAt(ref.Session())
	}
	w := transcript.NewWriter(terminal.Writer(a.Stdout), it.Agent, dir)
	if err := errors.Join(c.copy(a, run, w), w.Close()); err != nil {
		return err
	}
	if c.Follow && c.Number == 0 {
		return nil
	}
	_, err := c.end(a, run, a.itemOf(run))
	return err
}

// end says how a run ended; false where the item does not know it yet.
func (c *Logs) end(a *App, run string, it *queue.Item) (known bool, err error) {
	if !c.renders(a, it) {
		return false, nil
	}
	for _, r := range it.History {
		if slots.RunName(it.ID, r.Run) == run {
			return true, a.print("%s\n", clean(describe(r)))
		}
	}
	return false, nil
}

// goOn shows the runs that follow a run, until the item is settled. The error says how it ended, unless it completed.
func (c *Logs) goOn(a *App, run string) error {
	for {
		said := false
		next, it, err := a.nextRun(run, func(it *queue.Item) (err error) {
			if !said {
				said, err = c.end(a, run, it)
			}
			return err
		})
		switch {
		case err != nil:
			return err
		case next != "":
			a.say("run %s begins", shortIDs(next, a.short))
			if err := c.show(a, next); err != nil {
				return err
			}
			run = next
			continue
		case it == nil: // it was cleared
			return nil
		case it.State == queue.Completed:
			a.say("%s %s: completed", a.short(it.ID), issueOrPM(it.IssueRef))
			return nil
		}
		why := "error" // an item written by hand may have no text
		if it.Error != nil {
			why = *it.Error
		}
		return fault.New(fault.Failed, "kugetsu show "+a.short(it.ID), "%s %s: %s", a.short(it.ID), issueOrPM(it.IssueRef), terminal.Short(clean(why), 200))
	}
}

// nextRun waits for the run after a run of an item, and says meanwhile why the item waits. If the item is settled without another run, it
// returns "" and the item; if the item is gone, "" and nil. seen is called with the item each time it is read.
func (a *App) nextRun(run string, seen func(*queue.Item) error) (next string, it *queue.Item, err error) {
	id, number, _ := strings.Cut(run, ".")
	n, err := strconv.Atoi(number)
	if err != nil {
		return "", nil, fmt.Errorf("%s is not a run: %w", run, err)
	}
	tell, file := a.tellWaiting(), ""
	for {
		e, err := a.Queue.FindHinted(id, file)
		if err == nil {
			file = filepath.Base(e.Path)
			it, err = a.Queue.Load(e)
		}
		if err == nil {
			if err := seen(it); err != nil {
				return "", nil, err
			}
		}
		switch {
		case queue.IsAbsent(err) && file == "":
			return "", nil, nil
		case err != nil && !queue.IsAbsent(err):
			return "", nil, err
		case err != nil: // it was moved meanwhile
			file = ""
		case it.Runs > n: // also where the item is settled by now: each run is shown
			return slots.RunName(id, n+1), it, nil
		case it.State.Settled():
			return "", it, nil
		case it.State == queue.Pending:
			tell(it)
		}
		select {
		case <-a.Ctx.Done():
			return "", it, fault.New(fault.Failed, "", "interrupted; %s goes on", id)
		case <-time.After(pollEvery):
		}
	}
}

// itemOf is the item of a run; nil where it is gone.
func (a *App) itemOf(run string) *queue.Item {
	id, _, _ := strings.Cut(run, ".")
	_, it, err := a.find(id)
	if err != nil {
		return nil // it was cleared, or cannot be read, and its log is there all the same
	}
	return it
}

// nothingRan is the error of a log that is not there, since no item ever ran.
func (a *App) nothingRan() error {
	view, err := a.Tick.Glance(mostWaiting)
	if err != nil {
		return err
	}
	hint := overview.ByHand(view)
	if len(view.Waiting) == 0 {
		hint = `kugetsu delegate owner/repo#12 "what to do" enqueues a task`
	}
	return fault.New(fault.Failed, hint, "nothing has run yet")
}

// which finds the run to show, and waits for it with -f.
func (c *Logs) which(a *App) (string, error) {
	if c.Number < 0 || c.Number > 0 && c.ID == "" {
		return "", fault.New(fault.Usage, "kugetsu logs --run 1 <id>", "--run is the number of one of an item's runs")
	}
	if c.ID == "" {
		run, err := a.Home.NewestRun()
		if err == nil && run == "" {
			err = a.nothingRan()
		}
		return run, err
	}
	e, it, err := a.find(c.ID)
	if err != nil {
		return "", err
	}
	for {
		runs, err := a.Home.Runs(e.ID)
		if err != nil {
			return "", err
		}
		if c.Number > 0 {
			for _, run := range runs {
				if run == slots.RunName(e.ID, c.Number) {
					return run, nil
				}
			}
			return "", fault.New(fault.Failed, "kugetsu queue show "+e.ID, "there is no run %d of %s", c.Number, e.ID)
		}
		if len(runs) > 0 {
			return runs[len(runs)-1], nil
		}
		switch {
		case it.State.Settled() && it.Runs > 0:
			return "", fault.New(fault.Failed, "kugetsu queue show "+e.ID, "the logs of %s are gone", e.ID)
		case it.State.Settled():
			return "", fault.New(fault.Failed, "kugetsu queue retry "+e.ID+" puts it back", "%s never ran, so it has no log: %s", e.ID, terminal.Short(clean(listed{Item: it}.why()), 200))
		case !c.Follow:
			return "", fault.New(fault.Failed, "kugetsu logs -f "+e.ID+" waits for it", "%s has not run yet", e.ID)
		}
		select {
		case <-a.Ctx.Done():
			return "", fault.New(fault.Failed, "", "interrupted")
		case <-time.After(pollEvery):
		}
		if _, now, err := a.find(e.ID); err == nil {
			it = now
		}
	}
}

// copy shows a log, and with -f what is added to it until the run has ended.
func (c *Logs) copy(a *App, run string, out io.Writer) error {
	var offset int64
	for {
		over, err := c.over(a, run) // asked before the log is read, so that all of the log is shown
		if err != nil {
			return err
		}
		n, err := copyFrom(a.Home, run, offset, out)
		if err != nil {
			return err
		}
		offset = n
		if !c.Follow || over {
			return nil
		}
		select {
		case <-a.Ctx.Done():
			return nil
		case <-time.After(pollEvery):
		}
	}
}

// over says whether a run has ended.
func (c *Logs) over(a *App, run string) (bool, error) {
	marker, err := a.Home.ReadMarker(run)
	if err != nil || marker.Phase == slots.Ended {
		return true, err
	}
	views, err := a.Tick.SnapshotSlots()
	if err != nil {
		return true, err
	}
	for _, s := range views {
		if s.Occupied && slots.RunName(s.Item, s.Run) == run {
			return false, nil
		}
	}
	return true, nil
}

// copyFrom copies a log from an offset and returns the offset of its end. A file that became shorter was cut to its newest half
// and is copied from its new beginning. Of a file that is larger than a log may be, the newest part is copied.
func copyFrom(home slots.Dir, run string, offset int64, out io.Writer) (int64, error) {
	f, err := home.OpenLog(run)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("log: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, fmt.Errorf("log: %w", err)
	}
	if info.Size() < offset {
		offset = 0
	}
	offset = max(offset, info.Size()-slots.LogCap-slots.LogCap/4)
	n, err := io.Copy(out, io.NewSectionReader(f, offset, info.Size()-offset))
	return offset + n, err
}
