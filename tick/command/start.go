package command

import "kugetsu/queue"

// Start dispatches a new item now, past the queue.
type Start struct {
	New
	Ref     string   `arg:"" name:"issue-ref" help:"The issue."`
	Message []string `arg:"" help:"What to do; - reads it from stdin."`
}

// Run dispatches, or exits 2.
func (c *Start) Run(a *App) error { return c.dispatch(a, c.Ref, c.Message, queue.Start) }

func (c *New) dispatch(a *App, word string, words []string, mode queue.Mode) error {
	ref, err := a.ref(word)
	if err != nil {
		return err
	}
	message, err := a.message(words)
	if err != nil {
		return err
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
