package command

import "kugetsu/queue/issueref"

// Forget deletes a ref.
type Forget struct {
	At    string `arg:"" name:"ref" help:"A ref below refs/kugetsu/, as restore --list shows it."`
	Issue string `help:"The issue that it is kept of (default: the one that has it on record)." placeholder:"ISSUE-REF"`
}

// Help is its long help.
func (*Forget) Help() string {
	return longHelp(`
The command deletes a ref below refs/kugetsu/, such as a snapshot that holds a secret. The objects go with git's next
collection: git gc --prune=now in the repository, while no agent works there.`,
		codes{0: "deleted", 1: "there is no such ref", 75: "something runs there"},
		"kugetsu forget refs/kugetsu/q_01kdz8q6p2v4x3w5y7a9b1c0d2/1",
		"kugetsu forget --issue owner/repo#12 refs/kugetsu/issue-12/1")
}

// Run deletes it.
func (c *Forget) Run(a *App) error {
	var of *issueref.Ref
	if c.Issue != "" {
		ref, err := a.ref(c.Issue)
		if err != nil {
			return err
		}
		of = &ref
	}
	err := a.Tick.Sessions().ForgetKept(a.Ctx, c.At, of)
	if err == nil {
		a.say("%s is deleted", c.At)
	}
	return err
}
