package command

import (
	"kugetsu/queue"
	"kugetsu/queue/issueref"
)

// Continue dispatches a new item now, in the session.
type Continue struct {
	New
	Now     bool     `name:"now" help:"Outside of RUN_HOURS, beyond the budgets of a day, and into QUOTA_RESERVE, too."`
	Ref     string   `arg:"" name:"issue-ref" complete:"issue" help:"The issue, or a task by its name or an id."`
	Message []string `arg:"" optional:"" help:"What to do; - reads it from stdin. Without one the agent looks for new comments and finishes."`
}

// Help is its long help.
func (*Continue) Help() string {
	return longHelp(`
The command goes on with an issue at once, past the queue, in the issue's worktree and conversation, and returns. What
is missing of those is made. Without a message the agent looks for new comments and finishes.`,
		codes{0: "started", 2: "no slot is free", 75: "a limit, a hold, the hours or a lock is in the way for now"},
		"kugetsu continue owner/repo#12",
		`kugetsu continue owner/repo#12 "The test fails on macOS."`)
}

// followUp is the message of a continue without one.
func followUp(ref issueref.Ref) string {
	of := "the issue and its pull request"
	if ref.Task != "" {
		of = "the pull request of this branch"
	}
	return "Look for new comments on " + of + ", do what they ask for, and finish what is not finished."
}

// Run dispatches, or exits 2.
func (c *Continue) Run(a *App) error {
	a.Tick.AnyHour = c.Now
	return c.dispatch(a, c.Ref, c.Message, queue.Continue)
}
