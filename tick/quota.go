package tick

import (
	"fmt"
	"time"

	"kugetsu/queue"
	"kugetsu/slots"
	"kugetsu/slots/agent"
)

// quotas is the policy that QUOTA_RESERVE of an agent's quota is left for a person. While less is left of a window, no run of
// that agent starts until the window's reset; runs under way go on. The policy knows the windows that earlier runs of the account were
// told of. An unknown window never blocks: of an agent that tells nothing, in a file that cannot be read, after its reset.
type quotas struct {
	t     *Tick
	envs  map[queue.Lane][]string // of the agents of a lane, nil where that is not known
	known map[account][]agent.Window
}

type account struct {
	agent string
	lane  queue.Lane
}

// of is what is known of the quota of an agent in a lane: the env files make accounts. Each is read once.
func (p *quotas) of(preset string, lane queue.Lane) []agent.Window {
	key := account{preset, lane}
	windows, known := p.known[key]
	if known {
		return windows
	}
	if p.known == nil {
		p.known = map[account][]agent.Window{}
	}
	if name := p.account(preset, lane); name != "" {
		var err error
		if windows, err = p.t.Home.Quota(preset, name, p.t.Now()); err != nil {
			p.t.Log.Warn("the quota is not known", "agent", preset, "err", err)
		}
	}
	p.known[key] = windows
	return windows
}

// account is the name of the account that an agent of a lane uses, "" where that is not known or does not matter.
func (p *quotas) account(preset string, lane queue.Lane) string {
	env, known := p.envs[lane]
	if !known {
		if p.envs == nil {
			p.envs = map[queue.Lane][]string{}
		}
		var err error
		if env, err = p.t.agentEnviron(lane); err != nil {
			env = nil // told elsewhere
		}
		p.envs[lane] = env
	}
	if env == nil {
		return ""
	}
	return slots.Account(preset, env)
}

// agentEnviron is the environment of the agents of a lane, but for what each run adds.
func (t *Tick) agentEnviron(lane queue.Lane) ([]string, error) {
	env, err := t.Environ()
	if err != nil {
		return nil, err
	}
	return slots.WithFiles(env, t.envFiles(lane)...)
}

// envFiles are the env files of the agents of a lane. The first is that of git and the hook, too.
func (t *Tick) envFiles(lane queue.Lane) []string {
	own := "dev.env"
	if lane == queue.PM {
		own = "pm-agent.env"
	}
	return []string{t.Home.EnvFile("default.env"), t.Home.EnvFile(own)}
}

func (p *quotas) why(c *candidate) Reason {
	if p.t.AnyHour || p.t.Settings.Reserve == "" {
		return Reason{}
	}
	var r Reason
	for _, w := range p.of(c.agent, c.lane) {
		keep := p.t.Settings.Reserve.Of(w.Name)
		if 100-w.Used >= keep || r.Until != nil && !w.Reset.After(*r.Until) {
			continue
		}
		kind, _ := agent.KindOfWindow(w.Name)
		r = Reason{Kind: QuotaReserve, agent: c.agent, Until: &w.Reset, Text: fmt.Sprintf("%s has used %.0f %% of its %s, and QUOTA_RESERVE keeps %.0f %%, until %s",
			c.agent, w.Used, kind.Short, keep, w.Reset.Local().Format("Mon 15:04"))}
	}
	return r
}

func (*quotas) starts(*candidate) {}

// Quota is what is known of the quota of an agent's account.
type Quota struct {
	Agent   string         `json:"agent"`
	Lane    queue.Lane     `json:"lane,omitempty"` // of the agents that use the account, where the other lane uses another one
	Windows []agent.Window `json:"windows"`
	Text    string         `json:"text"` // one line, for people
}

// Quotas lists the known quotas of the accounts that are used now, sorted by agent.
func (t *Tick) Quotas() []Quota {
	list := []Quota{}
	p := &quotas{t: t}
	for _, name := range agent.Names() {
		same := p.account(name, queue.Dev) == p.account(name, queue.PM)
		for _, lane := range queue.Lanes {
			windows := p.of(name, lane)
			if len(windows) == 0 || same && lane == queue.PM {
				continue
			}
			q := Quota{Agent: name, Windows: windows, Text: name}
			if !same {
				q.Lane = lane
				q.Text += " (" + string(lane) + ")"
			}
			for i, w := range windows {
				kind, _ := agent.KindOfWindow(w.Name)
				if i > 0 {
					q.Text += " ·"
				}
				q.Text += fmt.Sprintf(" %s %.0f %% until %s", kind.Short, w.Used, clock(t.Now(), w.Reset))
			}
			list = append(list, q)
		}
	}
	return list
}

// clock is a time ahead as people say it: the next time at which a clock shows an hour, a day of the week, or a date.
func clock(now, at time.Time) string {
	now, at = now.Local(), at.Local()
	switch {
	case at.Before(now.AddDate(0, 0, 1)):
		return at.Format("15:04")
	case at.Before(now.AddDate(0, 0, 6)):
		return at.Format("Mon")
	}
	return at.Format("2 Jan")
}
