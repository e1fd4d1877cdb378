package command

import "errors"

// Prune ends sessions that are done, and deletes leftovers.
type Prune struct {
	DryRun bool `help:"Say what it would do, and why, and do nothing."`
	JSON   bool `name:"json" help:"Print JSON."`
}

// Help is its long help.
func (*Prune) Help() string {
	return longHelp(`
The command ends the sessions whose pull request is merged or closed, or whose branch is in its base, sessions without
a worktree, and worktrees without a session. The command also deletes run folders that no item names. A session that
holds work stays, and so does one of which something is not known; the reason is printed. MAX_WORKTREES and
MAX_WORKTREE_AGE_DAYS remove more.

First git fetches, also in a dry run: once for each repository, a minute at most. The command does not fetch in local
checkouts, whose remote-tracking branches are their owner's.`,
		codes{0: "done", 1: "something could not be removed", 75: "a lock is in the way"},
		"kugetsu prune --dry-run",
		"kugetsu prune")
}

// Run prunes, and names what it keeps.
func (c *Prune) Run(a *App) error {
	list, err := a.Tick.Sessions().Prune(a.Ctx, c.DryRun)
	if list != nil && a.Ctx.Err() == nil {
		runs, runsErr := a.Tick.PruneRuns(a.Ctx, c.DryRun)
		list, err = append(list, runs...), errors.Join(err, runsErr)
	}
	if c.JSON {
		return errors.Join(err, a.printJSON(list))
	}
	if err == nil && len(list) == 0 {
		a.say("there is no session and no leftover to look at")
	}
	errs, tell := []error{err}, a.did
	if c.DryRun { // what was asked for
		tell = a.print
	}
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
		errs = append(errs, tell("%s %s: %s\n", what, clean(p.IssueRef+p.Run), clean(p.Why)))
	}
	return errors.Join(errs...)
}
