package command

import (
	"kugetsu/queue/fault"
	"kugetsu/queue/issueref"
)

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
