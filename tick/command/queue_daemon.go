package command

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"kugetsu/queue/fault"
	"kugetsu/tick"
	"kugetsu/tick/doctor"
	"kugetsu/tick/overview"
	"kugetsu/tick/schedule"
)

// job is what is scheduled for this state folder.
func (a *App) job() (schedule.Job, error) {
	return schedule.New(string(a.Home), []string{a.Queue.Items, a.Queue.PM}, a.Settings.Interval)
}

// DaemonStart installs the schedule.
type DaemonStart struct {
	With schedule.Kind `help:"cron, systemd or launchd (default: the installed one, else the first that works)." enum:",cron,systemd,launchd" default:"" placeholder:"KIND"`
}

// Help is its long help.
func (*DaemonStart) Help() string {
	return longHelp(`
There is no daemon. The command installs a schedule that runs kugetsu tick every QUEUE_DAEMON_INTERVAL_MINUTES, and
prints which. Without --with the installed kind stays, or else one that works is chosen: systemd, cron, launchd on
macOS. There are never two.`,
		codes{0: "installed", 1: "no scheduler works here", 75: "another kugetsu, or an editor, changes the schedule"},
		"kugetsu queue-daemon start",
		"kugetsu queue-daemon start --with cron")
}

// Run installs it.
func (c *DaemonStart) Run(a *App) error {
	if a.Config != nil { // the interval may be wrong
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
	a.say("%s now runs kugetsu tick every %s", k, overview.Minutes(j.Minutes))
	if idle := schedule.Idle(k); idle != "" {
		a.note("warning: %s", idle)
	}
	a.warnUnseen()
	if k == schedule.Systemd && !schedule.Lingers(j.User) {
		a.note("warning: %s", notLingering)
	}
	return a.did("%s\n", k)
}

const notLingering = "lingering is off: no tick comes while you are logged out, and a logout ends the agents; loginctl enable-linger turns it on"

// warnUnseen names settings of this environment that the ticks of a scheduler will not have.
func (a *App) warnUnseen() {
	var keys []string
	for _, kv := range a.Tick.Source.Environ() {
		if key, value, _ := strings.Cut(kv, "="); a.Tick.Source.File(key) != value {
			keys = append(keys, key)
		}
	}
	if len(keys) > 0 {
		a.note("warning: scheduled ticks read the file config, where these settings differ from this environment: %s", strings.Join(keys, ", "))
	}
}

// DaemonStop removes the schedule.
type DaemonStop struct{}

// Help is its long help.
func (*DaemonStop) Help() string {
	return longHelp(`
The command removes the schedule, of whatever kind. Running agents go on, and each run's end starts a tick.`,
		codes{0: "removed, or none was installed", 1: "it could not be removed", 75: "another kugetsu, or an editor, changes the schedule"},
		"kugetsu queue-daemon stop")
}

// Run removes it. What runs goes on.
func (c *DaemonStop) Run(a *App) error {
	j, err := a.job()
	if err != nil {
		return err
	}
	if err := j.Stop(a.Ctx); err != nil {
		return err
	}
	a.say("no schedule is installed now; running agents go on, and the end of each run starts a tick")
	return nil
}

// DaemonRestart removes the schedule and installs it.
type DaemonRestart struct{ DaemonStart }

// Run does both, and keeps the kind of schedule without --with.
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

// Help is its long help.
func (*DaemonRestart) Help() string {
	return longHelp(`
The command removes the schedule and installs it anew: after an upgrade, or when the interval was changed.`,
		codes{0: "installed", 1: "no scheduler works here", 75: "another kugetsu, or an editor, changes the schedule"},
		"kugetsu queue-daemon restart",
		"kugetsu queue-daemon restart --with systemd")
}

// DaemonStatus shows the schedule.
type DaemonStatus struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Help is its long help.
func (*DaemonStatus) Help() string {
	return longHelp(`
The command shows which schedule is installed, the interval, the last tick, and when the next one is due.`,
		codes{0: "installed, and ticks come", 1: "none is installed, or ticks are overdue by more than two intervals"},
		"kugetsu queue-daemon status",
		"kugetsu queue-daemon status --json")
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

// Run shows it. The error says that no schedule is installed or that ticks are overdue.
func (c *DaemonStatus) Run(a *App) error {
	j, err := a.job()
	if err != nil {
		return err
	}
	found, err := j.Find(a.Ctx)
	s, wrong := a.inspectSchedule(j, found)
	if err != nil { // a schedule that cannot be read is not absent
		wrong = err
	}
	if c.JSON {
		return errors.Join(a.printJSON(s), wrong)
	}
	text := "none"
	switch {
	case s.Kind != "" && s.Minutes > 0:
		text = fmt.Sprintf("%s, every %s", s.Kind, overview.Minutes(s.Minutes))
	case s.Kind != "":
		text = string(s.Kind) + ", at an interval that was changed by hand"
	}
	if s.Kind != "" {
		a.say("there is no daemon: %s runs kugetsu tick", s.Kind)
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

// inspectSchedule makes the view of the schedules that were found, and the error to exit with.
func (a *App) inspectSchedule(j schedule.Job, found []schedule.Found) (s scheduled, wrong error) {
	s.Problem = []string{}
	last, err := tick.LastPass(a.Home)
	if err != nil {
		return s, err
	}
	if !last.IsZero() {
		s.Last = &last
	}
	if len(found) == 0 {
		return s, fault.New(fault.Failed, "kugetsu queue-daemon start installs one", "no schedule is installed, so nothing runs kugetsu tick")
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
			s.Problem = append(s.Problem, fmt.Sprintf("%s: the schedule is not the one of these settings and this program; kugetsu queue-daemon start installs that", f.Kind))
		}
	}
	if len(found) > 1 {
		s.Problem = append(s.Problem, "two schedules are installed; kugetsu queue-daemon restart leaves one")
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
		wrong = fault.New(fault.Failed, "see kugetsu queue-daemon logs, and check that the scheduler itself runs", "%s", late)
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
	s, _ := a.inspectSchedule(j, found)
	installed := doctor.Installed{Kind: string(s.Kind), Overdue: s.Overdue, Problem: s.Problem}
	if len(found) > 0 {
		installed.Program = found[0].Program
	}
	return installed, err
}
