package command

// Enqueue is delegate with the reference as an argument: the message is not searched for one.
type Enqueue struct {
	New
	Wait
	Ref     string   `arg:"" name:"issue-ref" complete:"issue" help:"host/owner/repo#n, owner/repo#n, or the URL of an issue or pull request."`
	Message []string `arg:"" help:"What to do; - reads it from stdin."`
}

// Help is its long help.
func (*Enqueue) Help() string {
	return longHelp(`
This is kugetsu delegate for scripts: the issue must be given, and the message is not searched for one.`,
		codes{0: "enqueued, or queued already", 75: "the lock was busy for 10 s, or the disk is full"},
		`kugetsu queue enqueue owner/repo#12 "Fix the crash described in the issue."`,
		"kugetsu queue enqueue --not-before 22:00 owner/repo#12 -")
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
