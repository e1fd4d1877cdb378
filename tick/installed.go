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
	return fault.New(fault.Config, "install it, or correct PATH in the file config; kugetsu doctor says more", "the agent %s is not installed, so none of its items is started: %w", preset, err)
}

// EditAgent is the command that gives a waiting item the agent of new items, where that can be run and the item's cannot. Else it is "":
// the settings lack something, which doctor says.
func (t *Tick) EditAgent(item string, choice []string) string {
	lacks := func(name string) bool { return Runnable(name, t.Settings) != nil || t.Installed(name) != nil }
	for _, name := range t.Settings.Agents() {
		if !lacks(name) && !slices.ContainsFunc(choice, func(own string) bool { return !lacks(own) }) {
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
// for once.
type programs struct {
	t     *Tick
	known map[string]Reason // by agent
}

func (p *programs) why(c *candidate) Reason {
	r, known := p.known[c.agent]
	if !known {
		if p.known == nil {
			p.known = map[string]Reason{}
		}
		if err := Runnable(c.agent, p.t.Settings); err != nil {
			r = Reason{Kind: Unrunnable, agent: c.agent, err: err}
		} else if err := p.t.Installed(c.agent); err != nil {
			r = Reason{Kind: NotInstalled, agent: c.agent, Text: err.Error(), err: err}
		}
		p.known[c.agent] = r
	}
	if r.Kind == Unrunnable {
		r.err = fmt.Errorf("%s: %w", c.it.ID, r.err)
		r.Text = r.err.Error()
	}
	return r
}

func (*programs) starts(*candidate) {}
