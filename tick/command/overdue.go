package command

import (
	"cmp"
	"time"

	"kugetsu/tick"
	"kugetsu/tick/overview"
	"kugetsu/tick/schedule"
)

// Package overview has all words about the schedule. These functions ask it about this state folder.

func (a *App) overdue(last *time.Time) string { return overview.Overdue(a.Home, a.Now(), last) }

func (a *App) late(r schedule.Record, last *time.Time) string {
	return overview.Late(r, a.Now(), last)
}

// noTick says that no tick comes by itself, and whether one by hand would start an item, as if that item were the only one.
func (a *App) noTick(view *tick.View, id string) (string, error) {
	none := overview.NoTick(a.Home, a.Now(), view)
	if none == "" {
		return "", nil
	}
	alone, err := a.Tick.Alone(id) // only now: else it costs a listing
	if err != nil {
		return "", err
	}
	return cmp.Or(overview.NoTick(a.Home, a.Now(), alone), none), nil
}

func (a *App) starts(view *tick.View) string { return overview.Starts(a.Home, a.Now(), view) }
