package command

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	"kugetsu/queue/spool"
	"kugetsu/slots"
	"kugetsu/tick/doctor"
	"kugetsu/tick/settings"
)

// Init makes the state folder ready.
type Init struct {
	PM bool `name:"pm" help:"Make the PM agent's session too: what is delegated without an issue goes to it."`
}

// Help is its long help.
func (*Init) Help() string {
	return longHelp(`
The command makes the state folder with a commented config that has your PATH, without the parts that cron has no use
for, with env files and with prompts. The command asks nothing, changes no file that is there, and says what to do
next.`,
		codes{0: "the state folder is ready"},
		"kugetsu init",
		"kugetsu init --pm")
}

// Run makes missing files and changes no existing one. It asks nothing, and prints what the user must set.
func (c *Init) Run(a *App) error {
	home, path := string(a.Home), os.Getenv("PATH")
	for _, file := range doctor.Files(path) {
		there, err := spool.Exists(filepath.Join(home, file.Name))
		if err == nil && !there {
			if err = file.Make(a.Home); err == nil {
				a.say("made %s", filepath.Join(home, file.Name))
			}
		}
		if err != nil {
			return err
		}
	}
	if c.PM {
		if err := c.session(a); err != nil {
			return err
		}
	}
	c.tell(a, path)
	return nil
}

func (c *Init) session(a *App) error {
	s, err := a.Home.ReadSession(slots.PMSession)
	if err != nil || s != nil {
		return err
	}
	return a.Home.WriteSession(slots.PMSession, &slots.Session{Type: "pm_agent", Agent: a.Settings.Agents()[0],
		Worktree: a.Home.Worktree(slots.PMSession), CreatedAt: time.Now().UTC()})
}

// tell says which agents there are, what is missing for cron to find them, and what to do next.
func (c *Init) tell(a *App, path string) {
	config := filepath.Join(string(a.Home), "config")
	var names []string
	for _, f := range doctor.Agents(path) {
		names = append(names, f.Name+" ("+f.Path+")")
	}
	switch {
	case len(names) > 0:
		a.say("found %s", strings.Join(names, ", "))
	case a.Settings.AgentCommand == "":
		a.say("no agent found on PATH: install one, or set AGENT_COMMAND and KUGETSU_AGENT=command in %s", config)
	}
	// The config may be older than the installed agents. It is the user's: Run does not change it.
	old := settings.Open(string(a.Home), true).File("PATH")
	missing, line := doctor.Lacking(path, old)
	switch {
	case old == "":
		a.say("%s sets no PATH, and cron's PATH is short; add the line: %s", config, doctor.PathLine(doctor.SearchPath(path)))
	case len(missing) > 0:
		a.say("the PATH in %s lacks %s; write: %s", config, missing[0].Path, line)
	}
	a.say("next: kugetsu queue-daemon start lets ticks run; kugetsu doctor owner/repo#12 checks all of it; kugetsu delegate --tick owner/repo#12 \"what to do\" begins")
}
