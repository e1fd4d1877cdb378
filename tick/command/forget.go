package command

// Forget deletes a ref.
type Forget struct {
	At    string `arg:"" name:"ref" help:"A ref below refs/kugetsu/, as restore --list shows it."`
	Issue string `help:"The issue that it is kept of (default: the one that has it on record)." placeholder:"ISSUE-REF"`
}

// Run deletes it.
func (c *Forget) Run(a *App) error {
	if c.Issue == "" {
		return a.Tick.ForgetKept(a.Ctx, c.At, nil)
	}
	ref, err := a.ref(c.Issue)
	if err != nil {
		return err
	}
	return a.Tick.ForgetKept(a.Ctx, c.At, &ref)
}
