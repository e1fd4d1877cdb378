package command

// Enqueue is delegate by hand: the reference is not searched for.
type Enqueue struct {
	New
	Wait
	Ref     string   `arg:"" name:"issue-ref" help:"host/owner/repo#n, owner/repo#n, or the URL of an issue or pull request."`
	Message []string `arg:"" help:"What to do; - reads it from stdin."`
}

// Run enqueues.
func (c *Enqueue) Run(a *App) error {
	ref, err := a.ref(c.Ref)
	if err != nil {
		return err
	}
	message, err := a.message(c.Message)
	if err != nil {
		return err
	}
	id, err := c.enqueue(a, ref, message, &c.Wait)
	if err != nil {
		return err
	}
	return a.tellWhen(id)
}
