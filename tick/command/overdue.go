package command

import (
	"time"

	"kugetsu/tick"
	"kugetsu/tick/overview"
	"kugetsu/tick/schedule"
)

// What the commands say of the schedule is said by package overview. These are its questions, asked of this state folder.

func (a *App) overdue(last *time.Time) string { return overview.Overdue(a.Home, a.Now(), last) }

func (a *App) late(r schedule.Record, last *time.Time) string {
	return overview.Late(r, a.Now(), last)
}

func (a *App) noTick(view *tick.View) string { return overview.NoTick(a.Home, a.Now(), view) }

func (a *App) starts(view *tick.View) string { return overview.Starts(a.Home, a.Now(), view) }
