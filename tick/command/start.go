package command

import "kugetsu/queue"

// Start dispatches a new item now, past the queue.
type Start struct {
	New
	Now     bool     `name:"now" help:"Outside of RUN_HOURS, beyond the budgets of a day, and into QUOTA_RESERVE, too."`
	Ref     string   `arg:"" name:"issue-ref" complete:"issue" help:"The issue."`
	Message []string `arg:"" help:"What to do; - reads it from stdin."`
}

// Help is its long help.
func (*Start) Help() string {
	return longHelp(`
The command starts an agent on an issue at once, past the queue, and returns. The command is refused where the issue
has a session or waits in the queue.`,
		codes{0: "started", 2: "no slot is free", 75: "a limit, a hold, the hours or a lock is in the way for now"},
		`kugetsu start owner/repo#12 "Fix the crash described in the issue."`,
		`kugetsu start --agent claude --timeout 2h owner/repo#12 "Fix the crash."`)
}

// Run dispatches, or exits 2.
func (c *Start) Run(a *App) error {
	a.Tick.AnyHour = c.Now
	return c.dispatch(a, c.Ref, c.Message, queue.Start)
}

func (c *New) dispatch(a *App, word string, words []string, mode queue.Mode) error {
	ref, err := a.ref(word)
	if err != nil {
		return err
	}
	message := followUp(ref)
	if len(words) > 0 {
		if message, err = a.message(words); err != nil {
			return err
		}
	}
	it, err := c.item(a, ref, message, mode)
	if err != nil {
		return err
	}
	if _, err := a.Tick.Dispatch(a.Ctx, it, c.Priority); err != nil {
		return err
	}
	return a.announce(it, it.ID, c.Priority, c.JSON)
}
