package command

import (
	"strings"

	"kugetsu/queue/terminal"
	"kugetsu/slots"
)

// Restore brings back what was kept.
type Restore struct {
	Ref  string `arg:"" name:"issue-ref" complete:"session" help:"The issue."`
	At   string `arg:"" optional:"" name:"ref" help:"A ref below refs/kugetsu/ (default: the issue's newest snapshot)."`
	List bool   `help:"List what is kept of the issue, the newest first."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Help is its long help.
func (*Restore) Help() string {
	return longHelp(`
The command brings the files that were kept at a ref back into the issue's worktree, which is made where it is
missing, and the commits under them where the branch can be moved forward to them. Without a ref it takes the newest
snapshot of the issue that kugetsu has on record. Files come back as unstaged changes; a file that was staged and then
changed again comes back as both.

Where the worktree has all of it, the command says so and changes nothing.

The command refuses over uncommitted files, where it would overwrite a file that git ignores, and a ref that was
changed since kugetsu wrote it. --list says of each ref whether it is on record.`,
		codes{0: "restored, or listed", 1: "refused, or nothing is kept", 75: "something runs there"},
		"kugetsu restore --list owner/repo#12",
		"kugetsu restore owner/repo#12")
}

// Run restores, or lists.
func (c *Restore) Run(a *App) error {
	ref, err := a.ref(c.Ref)
	if err != nil {
		return err
	}
	if !c.List {
		at, changed, err := a.Tick.Sessions().Restore(a.Ctx, ref, c.At)
		if err != nil {
			return err
		}
		if c.JSON {
			return a.printJSON(map[string]string{"issue_ref": ref.String(), "ref": at})
		}
		if changed {
			a.say("the work is back in the worktree of %s", ref)
		} else {
			a.say("nothing to bring back: the worktree of %s has all that is at the ref", ref)
		}
		return a.print("%s\n", terminal.Clean(at))
	}
	list, err := a.Tick.Sessions().Kept(a.Ctx, ref)
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(append([]slots.Kept{}, list...))
	}
	var rows [][]string // a run's ref is named after its item and its number
	for _, k := range list {
		what, _, _ := strings.Cut(k.Message, "\n")
		switch {
		case k.Changed:
			what = "(changed since kugetsu wrote it) " + what
		case !k.Recorded:
			what = "(not on record) " + what
		}
		rows = append(rows, []string{k.Date, k.Ref, terminal.Short(what, 100)})
	}
	a.sayEmpty(rows, "nothing is kept of %s: a run that leaves uncommitted files keeps them at a ref", ref)
	return a.table([]terminal.Column{{Name: "DATE"}, {Name: "REF"}, {Name: "WHAT", Gives: 1}}, rows)
}
