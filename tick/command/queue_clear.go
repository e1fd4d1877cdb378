package command

import (
	"errors"
	"time"

	"kugetsu/tick"
)

// QueueClear deletes what is settled.
type QueueClear struct {
	OlderThan string `help:"Only what was settled longer ago (7d, 12h; 0 is everything). Default: QUEUE_CLEANUP_AGE_DAYS." placeholder:"AGE"`
	JSON      bool   `name:"json" help:"Print JSON."`
}

// Help is its long help.
func (*QueueClear) Help() string {
	return longHelp(`
The command deletes completed items and errors with their runs and logs. An item that a live item waits for stays.`,
		codes{0: "done", 75: "the lock was busy for 10 s"},
		"kugetsu queue clear",
		"kugetsu queue clear --older-than 12h")
}

// Run deletes old completed and error items with their runs.
func (c *QueueClear) Run(a *App) error {
	if a.Config != nil {
		return a.Config
	}
	age := a.Settings.CleanupAge()
	if c.OlderThan != "" {
		var err error
		if age, err = parseAge(c.OlderThan); err != nil {
			return err
		}
	}
	n := 0
	err := a.Tick.Locked(a.Ctx, tick.LockWait, func() (err error) {
		n, err = a.Tick.Clear(a.Now().Add(-age).Add(time.Nanosecond))
		return err
	})
	if errors.Is(err, tick.ErrLocked) {
		return tick.Busy()
	}
	err = errors.Join(err, a.Home.Sweep(a.Ctx))
	if c.JSON {
		return errors.Join(a.printJSON(map[string]int{"deleted": n}), err)
	}
	return errors.Join(a.did("%d deleted\n", n), err)
}
