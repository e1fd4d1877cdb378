package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"kugetsu/queue/fault"
	"kugetsu/queue/spool"
	"kugetsu/queue/terminal"
	"kugetsu/tick"
	"kugetsu/tick/doctor"
	"kugetsu/tick/schedule"
)

// job is what is scheduled for this state folder.
func (a *App) job() (schedule.Job, error) {
	return schedule.New(string(a.Home), []string{a.Queue.Items, a.Queue.PM}, a.Settings.Interval)
}

// overdue says that a schedule was asked for and no tick comes, or "". It reads one small file and starts no process:
// whether the schedule is still installed is not looked at, since what counts is whether ticks come.
func (a *App) overdue(last *time.Time) string {
	r, err := schedule.ReadRecord(string(a.Home))
	if err != nil {
		return err.Error()
	}
	if r == nil {
		return ""
	}
	if gone := schedule.Gone(r.Program); gone != "" {
		return gone
	}
	return a.late(*r, last)
}

// late says that ticks are overdue by a record, or "".
func (a *App) late(r schedule.Record, last *time.Time) string {
	if last == nil {
		last = new(time.Time)
	}
	now := a.Now()
	if tick.ToCome(now, *last) || last.IsZero() && tick.ToCome(now, r.Since) { // since when is not known, and any tick would change it
		return fmt.Sprintf("no tick came since the clock was set back: the last one is %s, and %s was to run one every %s; see kugetsu queue-daemon status",
			ago(now, *last), r.Kind, minutes(r.Minutes))
	}
	if tick.ToCome(now, r.Since) { // the schedule was asked for by the same wrong clock
		r.Since = *last
	}
	late := r.Overdue(now, *last)
	if late == 0 {
		return ""
	}
	return fmt.Sprintf("ticks are overdue: none for %s, and %s was to run one every %s; see kugetsu queue-daemon status", duration(late), r.Kind, minutes(r.Minutes))
}

func minutes(n int) string {
	if n == 1 {
		return "minute"
	}
	return fmt.Sprintf("%d minutes", n)
}

// DaemonStart installs the schedule.
type DaemonStart struct {
	With schedule.Kind `help:"cron, systemd or launchd (default: what is installed, else what works)." enum:",cron,systemd,launchd" default:"" placeholder:"KIND"`
}

// Run installs it.
func (c *DaemonStart) Run(a *App) error {
	if a.Config != nil { // the interval might be another
		return a.Config
	}
	j, err := a.job()
	if err != nil {
		return err
	}
	k, err := j.Start(a.Ctx, c.With)
	if err != nil {
		return err
	}
	a.note("there is no daemon: %s runs kugetsu tick every %s", k, minutes(j.Minutes))
	if idle := schedule.Idle(k); idle != "" {
		a.note("warning: %s", idle)
	}
	a.warnUnseen()
	if k == schedule.Systemd && !schedule.Lingers(j.User) {
		a.note("warning: %s", notLingering)
	}
	return a.print("%s\n", k)
}

const notLingering = "lingering is off: without a login there are no ticks, and logging out ends the agents; loginctl enable-linger turns it on"

// warnUnseen tells of settings that the ticks of a scheduler will not have: it gives them none of this environment.
func (a *App) warnUnseen() {
	var keys []string
	for _, kv := range a.Tick.Source.Environ() {
		if key, value, _ := strings.Cut(kv, "="); a.Tick.Source.File(key) != value {
			keys = append(keys, key)
		}
	}
	if len(keys) > 0 {
		a.note("warning: the ticks go by the file config, where these are not as in this environment: %s", strings.Join(keys, ", "))
	}
}

// note is a line on stderr.
func (a *App) note(format string, args ...any) { fmt.Fprintf(a.Stderr, format+"\n", args...) }

// DaemonStop removes the schedule.
type DaemonStop struct{}

// Run removes it. What runs goes on.
func (c *DaemonStop) Run(a *App) error {
	j, err := a.job()
	if err != nil {
		return err
	}
	if err := j.Stop(a.Ctx); err != nil {
		return err
	}
	a.note("there is no daemon, and no schedule now: what runs goes on, and each run's end starts a tick")
	return nil
}

// DaemonRestart removes the schedule and installs it.
type DaemonRestart struct{ DaemonStart }

// Run does both, with what was installed unless told otherwise.
func (c *DaemonRestart) Run(a *App) error {
	if a.Config != nil {
		return a.Config
	}
	j, err := a.job()
	if err != nil {
		return err
	}
	if found, err := j.Find(a.Ctx); err == nil && len(found) > 0 && c.With == "" {
		c.With = found[0].Kind
	}
	if err := j.Stop(a.Ctx); err != nil {
		return err
	}
	return c.DaemonStart.Run(a)
}

// DaemonStatus shows the schedule.
type DaemonStatus struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// scheduled is the schedule as --json shows it.
type scheduled struct {
	Kind    schedule.Kind `json:"schedule"` // "" for none
	Minutes int           `json:"interval_minutes"`
	Last    *time.Time    `json:"last_tick"`
	Next    *time.Time    `json:"next_due"`
	Overdue bool          `json:"overdue"`
	Problem []string      `json:"problems"`
}

// Run shows it. That nothing is installed, or that ticks are overdue, is the error.
func (c *DaemonStatus) Run(a *App) error {
	j, err := a.job()
	if err != nil {
		return err
	}
	found, err := j.Find(a.Ctx)
	s, wrong := a.look(j, found)
	if err != nil { // unknown is not absent
		wrong = err
	}
	if c.JSON {
		return errors.Join(a.printJSON(s), wrong)
	}
	text := "none"
	switch {
	case s.Kind != "" && s.Minutes > 0:
		text = fmt.Sprintf("%s, every %s", s.Kind, minutes(s.Minutes))
	case s.Kind != "":
		text = string(s.Kind) + ", at times of its own"
	}
	if s.Kind != "" {
		a.note("there is no daemon: %s runs kugetsu tick", s.Kind)
	}
	errs := []error{a.print("schedule:  %s\n", text)}
	last, next := "never", "not known"
	if s.Last != nil {
		last = ago(a.Now(), *s.Last)
	}
	if s.Next != nil {
		next = "in " + duration(s.Next.Sub(a.Now()))
	}
	errs = append(errs, a.print("last tick: %s\nnext due:  %s\n", last, next))
	for _, p := range s.Problem {
		errs = append(errs, a.print("problem:   %s\n", clean(p)))
	}
	return errors.Join(append(errs, wrong)...)
}

// look makes of what was found what is shown, and what is wrong with it.
func (a *App) look(j schedule.Job, found []schedule.Found) (s scheduled, wrong error) {
	s.Problem = []string{}
	last, err := tick.LastPass(a.Home)
	if err != nil {
		return s, err
	}
	if !last.IsZero() {
		s.Last = &last
	}
	if len(found) == 0 {
		return s, fault.New(fault.Failed, "kugetsu queue-daemon start installs one", "there is no daemon, and nothing that runs kugetsu tick is installed")
	}
	f := found[0]
	s.Kind, s.Minutes = f.Kind, f.Minutes
	if f.Minutes > 0 {
		next := f.Next(a.Now(), last)
		s.Next = &next
	}
	for _, f := range found {
		if f.Problem != "" {
			s.Problem = append(s.Problem, fmt.Sprintf("%s: %s", f.Kind, f.Problem))
		}
		if !f.Current {
			s.Problem = append(s.Problem, fmt.Sprintf("%s: it is not what kugetsu queue-daemon start would install now, with these settings and this program", f.Kind))
		}
	}
	if len(found) > 1 {
		s.Problem = append(s.Problem, "two schedules are installed: kugetsu queue-daemon restart leaves one")
	}
	if f.Kind == schedule.Systemd && !schedule.Lingers(j.User) {
		s.Problem = append(s.Problem, notLingering)
	}
	late := a.overdue(s.Last)
	if r, err := schedule.ReadRecord(j.Dir); err == nil && r == nil && s.Last != nil && s.Minutes > 0 { // installed by hand
		late = a.late(schedule.Record{Kind: s.Kind, Minutes: s.Minutes}, s.Last)
	}
	if late != "" {
		s.Overdue = true
		wrong = fault.New(fault.Failed, "kugetsu queue-daemon logs shows what the ticks said; is the scheduler itself running?", "%s", late)
	}
	return s, wrong
}

// ticks is what doctor asks of the schedule.
func (a *App) ticks(ctx context.Context) (doctor.Installed, error) {
	j, err := a.job()
	if err != nil {
		return doctor.Installed{}, err
	}
	found, err := j.Find(ctx)
	s, _ := a.look(j, found)
	installed := doctor.Installed{Kind: string(s.Kind), Overdue: s.Overdue, Problem: s.Problem}
	if len(found) > 0 {
		installed.Program = found[0].Program
	}
	return installed, err
}

// DaemonLogs shows what the ticks said.
type DaemonLogs struct {
	Follow bool `short:"f" help:"Go on with what is added."`
	Lines  int  `short:"n" default:"100" help:"How many of the newest lines." placeholder:"N"`
}

// tailMost bounds what is read of tick.log and of the older one that is kept, each: more than either should have.
const tailMost = 2 << 20

// Run shows the newest lines, without control characters: what is wrong may quote anything.
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
		a.note("no tick has said anything yet: one that has nothing to do says nothing")
	}
	if _, err := out.Write(lastLines(text, c.Lines)); err != nil || !c.Follow {
		return unprinted(err)
	}
	return c.follow(a, log, out)
}

// follow shows what is added. A log that grew too large is renamed and a new one begun: of the old one the rest is shown
// first.
func (c *DaemonLogs) follow(a *App, log *os.File, out io.Writer) error {
	for {
		now, err := a.openTickLog("")
		if err != nil {
			return err
		}
		if log != nil { // asked for before it is read: what was written before the rename is shown
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
	path := a.Home.TickLog() + suffix
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &spool.Error{Op: "open", Path: path, Err: err}
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%w: not a regular file", spool.ErrBad)
	}
	if err != nil {
		_ = f.Close() // only looked at
		return nil, &spool.Error{Op: "open", Path: path, Err: err}
	}
	return f, nil
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
