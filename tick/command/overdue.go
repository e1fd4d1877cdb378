package command

import (
	"fmt"
	"time"

	"kugetsu/queue/terminal"
	"kugetsu/tick"
	"kugetsu/tick/schedule"
)

// overdue says that a schedule was installed and no tick comes, or "". It reads one small file and starts no process. It does
// not check whether the schedule is still installed: it counts whether ticks come.
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
	if tick.ToCome(now, *last) || last.IsZero() && tick.ToCome(now, r.Since) { // how long no tick came is not known
		return fmt.Sprintf("no tick came since the clock was set back: the last one is of %s, and %s should run one every %s; see kugetsu queue-daemon status",
			ago(now, *last), r.Kind, minutes(r.Minutes))
	}
	if tick.ToCome(now, r.Since) { // the schedule was asked for by the same wrong clock
		r.Since = *last
	}
	late := r.Overdue(now, *last)
	if late == 0 {
		return ""
	}
	return fmt.Sprintf("ticks are overdue: none came for %s, and %s should run one every %s; see kugetsu queue-daemon status", duration(late), r.Kind, minutes(r.Minutes))
}

func minutes(n int) string {
	if n == 1 {
		return "minute"
	}
	return terminal.Count(n, "minute")
}

// noTick says that no tick will come by itself, and what to type, or "". While an agent runs, the end of its run starts a tick.
// It reads small files and starts no process.
func (a *App) noTick(view *tick.View) string {
	if view.Busy() {
		return ""
	}
	if text := a.unscheduled(); text != "" {
		return text
	}
	if a.overdue(view.Last) != "" {
		return "no tick comes, though one was to (kugetsu queue-daemon status): kugetsu tick makes one now"
	}
	return ""
}

// unscheduled says that nothing runs ticks, and what to type, or "".
func (a *App) unscheduled() string {
	r, err := schedule.ReadRecord(string(a.Home))
	if r != nil || err != nil || tick.Scheduled(a.Home, a.Now()) {
		return ""
	}
	return "no schedule, so nothing starts by itself: kugetsu queue-daemon start installs one, kugetsu tick starts what waits now"
}

// starts says when an item starts that waits only for a tick.
func (a *App) starts(view *tick.View) string {
	switch {
	case a.noTick(view) != "":
		return "no tick comes by itself: kugetsu tick starts it"
	case a.unscheduled() != "":
		return "the tick at the end of a run starts it"
	}
	return "the next tick starts it"
}
