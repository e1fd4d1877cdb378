package tick

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"kugetsu/queue"
	"kugetsu/queue/fault"
	"kugetsu/slots/agent"
	"kugetsu/slots/proc"
	"kugetsu/tick/settings"
)

// Installed looks for the program of an agent as a run does. The error says that it is not there, and asks for exit code 78. A program in
// the worktree, or behind a prefix, which may be a container's, cannot be found before a run: then the error is nil.
func (t *Tick) Installed(preset string) error {
	name := programOf(preset, t.Settings)
	if name == "" || strings.Contains(name, "{") || strings.Contains(name, "/") && !filepath.IsAbs(name) {
		return nil
	}
	env, err := t.agentEnviron(queue.Dev)
	if err != nil {
		return nil // told elsewhere
	}
	if filepath.IsAbs(name) { // LookPath takes it as it is
		var info os.FileInfo
		if info, err = os.Stat(name); err == nil && (!info.Mode().IsRegular() || info.Mode()&0o111 == 0) {
			err = fmt.Errorf("%s is not a program", name)
		}
	} else {
		_, err = proc.LookPath(name, env, "/")
	}
	if err == nil {
		return nil
	}
	const hint = "install it, or correct PATH in the file config; kugetsu doctor says more"
	if program := t.Stands(preset); program != "" {
		return fault.New(fault.Config, hint, "%s is not installed, so no item of the agent %s is started: %w", program, preset, err)
	}
	return fault.New(fault.Config, hint, "the agent %s is not installed, so none of its items is started: %w", preset, err)
}

// Stands names the program that stands in an agent's place, and the setting that says so; "" where the agent's own program is run. A
// person who is told that command is not installed would not know what to install.
func (t *Tick) Stands(preset string) string {
	switch program := programOf(preset, t.Settings); {
	case program == "":
	case t.Settings.AgentPrefix != "":
		return program + " of AGENT_PREFIX"
	case preset == "command":
		return program + " of AGENT_COMMAND"
	}
	return ""
}

// CanRun says whether a run can have this agent: the settings say how to run it, and its program is there.
func (t *Tick) CanRun(name string) bool {
	return Runnable(name, t.Settings) == nil && t.Installed(name) == nil
}

// PassedOver says whether an item goes on without one of its agents that cannot run: another one of them can.
func (t *Tick) PassedOver(name string, choice []string) bool {
	return slices.ContainsFunc(choice, func(other string) bool { return other != name && t.CanRun(other) })
}

// Missing is the error of an item's agent whose program is not there, nil for none. An item that has another agent does not wait for it.
func (t *Tick) Missing(name string, choice []string) error {
	err := t.Installed(name)
	if err != nil && t.PassedOver(name, choice) {
		if program := t.Stands(name); program != "" {
			return fmt.Errorf("%s is passed over: %s is not installed", name, program)
		}
		return fmt.Errorf("%s is passed over: not installed", name)
	}
	return err
}

// EditAgent is the command that gives a waiting item the agent of new items, where that can be run and the item's cannot. Else it is "":
// the settings lack something, which doctor says.
func (t *Tick) EditAgent(item string, choice []string) string {
	for _, name := range t.Settings.Agents() {
		if t.CanRun(name) && !slices.ContainsFunc(choice, t.CanRun) {
			return "kugetsu queue edit --agent " + name + " " + item
		}
	}
	return ""
}

// programOf is the first word of what is run for an agent, "" where that is not known.
func programOf(preset string, s *settings.Settings) string {
	p, err := agent.Lookup(preset)
	if err != nil {
		return ""
	}
	words := s.AgentPrefix
	if words == "" && preset == "command" {
		words = s.AgentCommand
	}
	if argv, err := agent.Split(words); err == nil && len(argv) > 0 {
		return argv[0]
	}
	switch {
	case preset == "command":
		return ""
	case p.Version != nil:
		return p.Version[0]
	}
	return preset
}

// programs is the policy that the program of an agent is there, and that the settings say how to run it. Each agent is looked
// for once for each list of agents.
type programs struct {
	t     *Tick
	known map[string]Reason // by lane, agent, and the item's list that it is of
}

func (p *programs) why(c *candidate) Reason {
	key := string(c.lane) + ": " + c.agent + " of " + strings.Join(c.it.Choice(), ",")
	r, known := p.known[key]
	if !known {
		if p.known == nil {
			p.known = map[string]Reason{}
		}
		if err := Runnable(c.agent, p.t.Settings); err != nil {
			r = Reason{Kind: Unrunnable, agent: c.agent, err: err}
		} else if !p.t.engineFor(c.lane).here() {
			p.known[key] = r // only a run finds out what its node has
			return r
		} else if err := p.t.Missing(c.agent, c.it.Choice()); err != nil {
			r = Reason{Kind: NotInstalled, agent: c.agent, Text: err.Error(), err: err}
		}
		p.known[key] = r
	}
	if r.Kind == Unrunnable {
		r.err = fmt.Errorf("%s: %w", c.it.ID, r.err)
		r.Text = r.err.Error()
	}
	return r
}

func (*programs) starts(*candidate) {}
