package overview

import (
	"fmt"
	"time"

	"kugetsu/queue/terminal"
	"kugetsu/slots"
	"kugetsu/tick"
	"kugetsu/tick/schedule"
)

// Overdue says that a schedule was installed and no tick comes, or "". It reads one small file and starts no process. It does not
// look for the schedule itself, only for the time of the last tick. last is when that tick began; nil if there was none.
func Overdue(home slots.Dir, now time.Time, last *time.Time) string {
	r, err := schedule.ReadRecord(string(home))
	if err != nil {
		return err.Error()
	}
	if r == nil {
		return ""
	}
	if gone := schedule.Gone(r.Program); gone != "" {
		return gone
	}
	return Late(*r, now, last)
}

// Late says that ticks are overdue according to a record of the schedule, or "".
func Late(r schedule.Record, now time.Time, last *time.Time) string {
	if last == nil {
		last = new(time.Time)
	}
	if tick.ToCome(now, *last) || last.IsZero() && tick.ToCome(now, r.Since) { // the clock was set back, so it is not known how long no tick came
		return fmt.Sprintf("no tick came since the clock was set back: the last one is of %s, and %s should run one every %s; see kugetsu queue-daemon status",
			tick.Ago(now, *last), r.Kind, Minutes(r.Minutes))
	}
	if tick.ToCome(now, r.Since) { // the schedule was asked for by the same wrong clock
		r.Since = *last
	}
	late := r.Overdue(now, *last)
	if late == 0 {
		return ""
	}
	return fmt.Sprintf("ticks are overdue: none came for %s, and %s should run one every %s; see kugetsu queue-daemon status",
		tick.Duration(late), r.Kind, Minutes(r.Minutes))
}

// Minutes writes an interval.
func Minutes(n int) string {
	if n == 1 {
		return "minute"
	}
	return terminal.Count(n, "minute")
}

// NoTick says that no tick will come by itself, and what to type, or "". While an agent runs, the end of its run starts a tick.
// It reads small files and starts no process.
func NoTick(home slots.Dir, now time.Time, view *tick.View) string {
	if view.Busy() {
		return ""
	}
	if text := Unscheduled(home, now, view); text != "" {
		return text
	}
	if Overdue(home, now, view.Last) != "" {
		return "the schedule runs no ticks (kugetsu queue-daemon status): " + byHand(view, "kugetsu tick makes one now")
	}
	return ""
}

// ByHand says what a tick by hand does now: it starts what waits, or why it does not.
func ByHand(view *tick.View) string { return byHand(view, "kugetsu tick starts what waits now") }

func byHand(view *tick.View, does string) string {
	switch barred, alone := view.Barred(); {
	case barred.Kind == tick.Eligible:
		return does
	case alone:
		return "kugetsu tick does not start it now: " + line(barred.Told())
	default:
		return "kugetsu tick starts nothing now: " + line(barred.Told())
	}
}

// Unscheduled says that nothing runs ticks, and what to type, or "".
func Unscheduled(home slots.Dir, now time.Time, view *tick.View) string {
	r, err := schedule.ReadRecord(string(home))
	if r != nil || err != nil || tick.Scheduled(home, now) {
		return ""
	}
	return "no schedule, so nothing starts by itself: kugetsu queue-daemon start installs one, " + ByHand(view)
}

// Starts says when an item starts that waits only for a tick.
func Starts(home slots.Dir, now time.Time, view *tick.View) string {
	switch {
	case NoTick(home, now, view) != "":
		return "no tick comes by itself: kugetsu tick starts it"
	case Unscheduled(home, now, view) != "":
		return "the tick at the end of a run starts it"
	}
	return "the next tick starts it"
}

// next is when the schedule runs the next tick; nil if that is not known or overdue.
func next(home slots.Dir, now time.Time, last *time.Time) *time.Time {
	r, err := schedule.ReadRecord(string(home))
	if err != nil || r == nil || last == nil || Late(*r, now, last) != "" {
		return nil
	}
	at := schedule.Found{Kind: r.Kind, Minutes: r.Minutes}.Next(now, *last)
	if at.Before(now) {
		return nil
	}
	return &at
}
