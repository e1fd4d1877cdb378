package command

import (
	"errors"

	"kugetsu/queue/terminal"
)

// Destroy ends an issue's session.
type Destroy struct {
	Ref   string `arg:"" name:"issue-ref" complete:"session" help:"The issue."`
	Force bool   `help:"Keep what was not pushed at refs below refs/kugetsu/, and destroy the rest."`
	JSON  bool   `name:"json" help:"Print JSON."`
}

// Help is its long help.
func (*Destroy) Help() string {
	return longHelp(`
The command removes the worktree, the branch and the conversation of an issue. The command refuses, and says why,
while the session holds uncommitted, untracked or unpushed work, a live item or an open pull request. --force keeps
the work at refs first and prints the refs; kugetsu restore brings it back. A live item must be cancelled before, also
with --force.`,
		codes{0: "removed", 1: "refused", 75: "something runs there, or a lock of git is in the way"},
		"kugetsu destroy owner/repo#12",
		"kugetsu destroy --force owner/repo#12")
}

// Run removes worktree, branch and session, and prints the refs at which work was kept.
func (c *Destroy) Run(a *App) error {
	ref, err := a.ref(c.Ref)
	if err != nil {
		return err
	}
	kept, err := a.Tick.Sessions().Destroy(a.Ctx, ref, c.Force)
	if c.JSON && err == nil {
		return a.printJSON(map[string]any{"issue_ref": ref.String(), "kept": append([]string{}, kept...)})
	}
	if err == nil {
		a.say("the session of %s is ended", ref)
	}
	errs := []error{err} // the refs are printed also after an error
	for _, name := range kept {
		errs = append(errs, a.print("%s\n", terminal.Clean(name)))
	}
	return errors.Join(errs...)
}
