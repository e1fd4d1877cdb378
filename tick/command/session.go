package command

import (
	"errors"
	"strings"

	"kugetsu/queue/fault"
	"kugetsu/queue/issueref"
	"kugetsu/queue/terminal"
	"kugetsu/slots"
)

// Destroy ends an issue's session.
type Destroy struct {
	Ref   string `arg:"" name:"issue-ref" help:"The issue."`
	Force bool   `help:"Keep what was not pushed at refs below refs/kugetsu/, and destroy the rest."`
	JSON  bool   `name:"json" help:"Print JSON."`
}

// Run removes worktree, branch and session, and prints the refs at which work was kept.
func (c *Destroy) Run(a *App) error {
	ref, err := a.ref(c.Ref)
	if err != nil {
		return err
	}
	kept, err := a.Tick.Destroy(a.Ctx, ref, c.Force)
	if c.JSON && err == nil {
		return a.printJSON(map[string]any{"issue_ref": ref.String(), "kept": append([]string{}, kept...)})
	}
	errs := []error{err} // what was kept is told also where it went no further
	for _, name := range kept {
		errs = append(errs, a.print("%s\n", terminal.Clean(name)))
	}
	return errors.Join(errs...)
}

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

// Restore brings back what was kept.
type Restore struct {
	Ref  string `arg:"" name:"issue-ref" help:"The issue."`
	At   string `arg:"" optional:"" name:"ref" help:"A ref below refs/kugetsu/ (default: the issue's newest snapshot)."`
	List bool   `help:"List what is kept of the issue, the newest first."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Run restores, or lists.
func (c *Restore) Run(a *App) error {
	ref, err := a.ref(c.Ref)
	if err != nil {
		return err
	}
	if !c.List {
		at, err := a.Tick.Restore(a.Ctx, ref, c.At)
		if err != nil {
			return err
		}
		if c.JSON {
			return a.printJSON(map[string]string{"issue_ref": ref.String(), "ref": at})
		}
		return a.print("%s\n", terminal.Clean(at))
	}
	list, err := a.Tick.Kept(a.Ctx, ref)
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(append([]slots.Kept{}, list...))
	}
	rows := [][]string{{"DATE", "REF", "WHAT"}} // a run's ref is named after its item and its number
	for _, k := range list {
		what, _, _ := strings.Cut(k.Message, "\n")
		switch {
		case k.Changed:
			what = "(changed since kugetsu wrote it) " + what
		case !k.Recorded:
			what = "(not on record) " + what
		}
		rows = append(rows, []string{k.Date, k.Ref, short(what, 100)})
	}
	return a.table(rows)
}

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

// SetPR stores which pull request is an issue's.
type SetPR struct {
	Ref string `arg:"" name:"issue-ref" help:"The issue."`
	URL string `arg:"" name:"url" help:"The URL of its pull or merge request."`
}

// Run stores it. No run replaces it.
func (c *SetPR) Run(a *App) error {
	ref, err := a.ref(c.Ref)
	if err != nil {
		return err
	}
	if err := issueref.CheckURL(c.URL); err != nil {
		return fault.New(fault.Usage, "https://github.com/owner/repo/pull/12", "%w", err)
	}
	return a.Tick.SetPR(ref, c.URL)
}
