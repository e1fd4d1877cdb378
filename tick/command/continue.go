package command

import "kugetsu/queue"

// Continue dispatches a new item now, in the session.
type Continue struct {
	New
	Ref     string   `arg:"" name:"issue-ref" help:"The issue."`
	Message []string `arg:"" optional:"" help:"What to do; - reads it from stdin. Without one the agent looks for new comments and finishes."`
}

// followUp is the message of a continue without one.
const followUp = "Look for new comments on the issue and its pull request, do what they ask for, and finish what is not finished."

// Run dispatches, or exits 2.
func (c *Continue) Run(a *App) error {
	if len(c.Message) == 0 {
		c.Message = []string{followUp}
	}
	return c.dispatch(a, c.Ref, c.Message, queue.Continue)
}
