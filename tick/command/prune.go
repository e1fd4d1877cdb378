package command

import "errors"

// Prune removes what is done with.
type Prune struct {
	DryRun bool `help:"Say what it would do, and why, and do nothing."`
	JSON   bool `name:"json" help:"Print JSON."`
}

// Run prunes, and names what it keeps.
func (c *Prune) Run(a *App) error {
	list, err := a.Tick.Prune(a.Ctx, c.DryRun)
	if c.JSON {
		return errors.Join(err, a.printJSON(list))
	}
	errs := []error{err}
	for _, p := range list {
		what := "kept"
		switch {
		case p.Removed && c.DryRun:
			what = "would remove"
		case p.Removed:
			what = "removed"
		case c.DryRun:
			what = "would keep"
		}
		errs = append(errs, a.print("%s %s: %s\n", what, clean(p.IssueRef+p.Run), clean(p.Why)))
	}
	return errors.Join(errs...)
}
