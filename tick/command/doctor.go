package command

import (
	"fmt"
	"os"
	"strings"

	"kugetsu/queue/fault"
	"kugetsu/queue/issueref"
	"kugetsu/slots/proc"
	"kugetsu/tick/doctor"
	"kugetsu/tick/settings"
)

// Doctor checks all that a tick depends on.
type Doctor struct {
	Fix  bool   `help:"Repair modes, missing folders and files, a missing PATH in the config, and git's records of worktrees that are gone."`
	JSON bool   `name:"json" help:"Print JSON."`
	Ref  string `arg:"" name:"issue-ref" optional:"" complete:"issue" help:"Ask the remote of this issue's repository, too."`
}

// Help is its long help.
func (*Doctor) Help() string {
	return longHelp(`
The command checks, in the small environment that cron gives, all that a tick depends on. A line is printed for each
thing that is wrong: level (warn, error), fact, remedy. Where one thing is the reason of many, only that one is printed.
-v and --json print every check.

With an issue the command also asks the remote of that repository whether it answers and takes pushes: by a push of
nothing, and a dry run of that; and each forge, of the issue, of sessions and of repos.json, whether it takes the token
for it. --fix changes neither a worktree nor an item.`,
		codes{0: "no finding is an error", 1: "a finding is an error"},
		"kugetsu doctor owner/repo#12",
		"kugetsu doctor --fix")
}

// cronPath is the PATH that cron gives.
const cronPath = "/usr/bin:/bin"

// Run examines, and fails where something is an error.
func (c *Doctor) Run(a *App) error {
	_, _ = proc.Self() // before PATH is changed; what needs it has the error
	shell := a.useCronEnv()
	found, believed := doctor.Home(string(a.Home), c.Fix)
	if believed {
		var source *settings.Source
		a.Settings, source, a.Config = settings.Load(string(a.Home), true)
		if err := source.Unreadable(); err != nil { // not even the path of the queue is known
			found = append(found, doctor.Unreadable(string(a.Home), err))
		} else {
			a.setPaths(source) // files in the state folder decide how a reference is read
			var ref issueref.Ref
			if c.Ref != "" {
				var err error
				if ref, err = a.ref(c.Ref); err != nil {
					return err
				}
			}
			exam := &doctor.Exam{Ctx: a.Ctx, Tick: a.Tick, Shell: shell, Issue: ref, Fix: c.Fix, Now: a.Now,
				Owned: func() error { return a.owned(false) }, Ticks: a.ticks}
			found = append(found, exam.Run()...)
		}
	}
	if err := c.show(a, found); err != nil {
		return err
	}
	errs := 0
	for _, f := range found {
		if f.Level == doctor.Error && f.Cause == "" {
			errs++
		}
	}
	switch errs {
	case 0:
		return nil
	case 1:
		return fault.New(fault.Failed, "", "doctor found an error")
	}
	return fault.New(fault.Failed, "", "doctor found %d errors", errs)
}

// useCronEnv replaces the environment of this process by the one that cron gives, so that the checks see what a tick of cron's sees.
// It cannot be undone. KUGETSU_DIR stays: a schedule that is not for ~/.kugetsu sets it. useCronEnv returns PATH and the settings
// that were in the environment.
func (a *App) useCronEnv() map[string]string {
	shell := map[string]string{"PATH": os.Getenv("PATH")}
	for _, key := range settings.Keys() {
		if v := os.Getenv(key); v != "" {
			shell[key] = v
		}
	}
	keep := []string{"HOME", "KUGETSU_DIR"}
	values := make([]string, len(keep))
	for i, key := range keep {
		values[i] = os.Getenv(key)
	}
	os.Clearenv()
	_ = os.Setenv("PATH", cronPath) // fails only for an invalid name
	for i, key := range keep {
		if values[i] != "" {
			_ = os.Setenv(key, values[i])
		}
	}
	return shell
}

func (c *Doctor) show(a *App, found []doctor.Finding) error {
	if c.JSON {
		return a.printJSON(found)
	}
	if !a.Verbose {
		found = doctor.Brief(found, c.Ref != "")
	}
	for _, f := range found {
		line := fmt.Sprintf("%-5s %s", f.Level, f.Check)
		switch {
		case f.Check == "":
			line = fmt.Sprintf("%-5s %s", f.Level, f.What)
		case f.What != "":
			line += ": " + f.What
		}
		switch {
		case f.Level == doctor.Fixed:
			line += "; done: " + f.Remedy
		case f.Remedy != "":
			line += "; do: " + f.Remedy
		}
		if f.Cause != "" {
			line += "; because of: " + f.Cause
		}
		if err := a.print("%s\n", clean(strings.TrimSpace(line))); err != nil {
			return err
		}
	}
	return nil
}
