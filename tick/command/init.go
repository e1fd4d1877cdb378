package command

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"kugetsu/queue/spool"
	"kugetsu/slots"
	"kugetsu/tick/settings"
)

// Init makes the state folder ready.
type Init struct {
	PM bool `name:"pm" help:"Make the PM agent's session too: what is delegated without an issue goes to it."`
}

// Run makes what is missing and touches nothing that is there.
func (c *Init) Run(a *App) error {
	home := string(a.Home)
	if err := spool.MakeDirs(filepath.Join(home, "env"), filepath.Join(home, "prompts")); err != nil {
		return err
	}
	for _, file := range []struct{ name, text string }{
		{"config", settings.Example(os.Getenv("PATH"))},
		{"env/default.env", "# KEY=value, for git, the hook and every agent: tokens go here.\n"},
		{"env/dev.env", "# KEY=value, for dev agents.\n"},
		{"env/pm-agent.env", "# KEY=value, for the PM agent.\n"},
		{"prompts/dev.md", slots.DevPrompt},
		{"prompts/pm.md", slots.PMPrompt},
	} {
		path := filepath.Join(home, file.name)
		there, err := spool.Exists(path)
		if err != nil {
			return err
		}
		if there {
			continue
		}
		if err := spool.Publish(path, []byte(file.text)); err != nil {
			return err
		}
		fmt.Fprintf(a.Stderr, "made %s\n", path)
	}
	if !c.PM {
		return nil
	}
	s, err := a.Home.ReadSession(slots.PMSession)
	if err != nil || s != nil {
		return err
	}
	return a.Home.WriteSession(slots.PMSession, &slots.Session{Type: "pm_agent", Agent: a.Settings.Agent,
		Worktree: a.Home.Worktree(slots.PMSession), CreatedAt: time.Now().UTC()})
}
