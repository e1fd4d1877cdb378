package command

import (
	"kugetsu/queue/fault"
	"kugetsu/queue/issueref"
)

// SetPR stores which pull request is an issue's.
type SetPR struct {
	Ref string `arg:"" name:"issue-ref" complete:"session" help:"The issue."`
	URL string `arg:"" name:"url" help:"The URL of its pull or merge request; none for none."`
}

// Help is its long help.
func (*SetPR) Help() string {
	return longHelp(`
Normally the command is not needed: kugetsu finds the pull request whose head is the session's branch. A URL that is
set here stays, until none takes it back.`,
		codes{0: "stored", 1: "the issue has no session", 75: "a lock is busy"},
		"kugetsu set-pr owner/repo#12 https://github.com/owner/repo/pull/13",
		"kugetsu set-pr owner/repo#12 none",
		"kugetsu set-pr git.example.com/owner/repo#12 https://git.example.com/owner/repo/pulls/13")
}

// Run stores it. No run replaces it.
func (c *SetPR) Run(a *App) error {
	ref, err := a.ref(c.Ref)
	if err != nil {
		return err
	}
	if c.URL == "none" {
		if err := a.Tick.Sessions().SetPR(ref, ""); err != nil {
			return err
		}
		a.say("no pull request of %s is set: kugetsu finds it once a run has opened it", ref)
		return nil
	}
	if err := issueref.CheckURL(c.URL); err != nil {
		return fault.New(fault.Usage, "https://github.com/owner/repo/pull/12, or none to take back what was set", "%w", err)
	}
	err = a.Tick.Sessions().SetPR(ref, c.URL)
	if err == nil {
		a.say("the pull request of %s is %s", ref, c.URL)
	}
	return err
}
