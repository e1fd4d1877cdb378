package tick

import "kugetsu/tick/settings"

// outside is why nothing is started outside of hours; the zero Reason inside of them, or where a person said so (--now).
func (t *Tick) outside(kind Kind, key string, hours settings.Hours) Reason {
	now := t.Now()
	if t.AnyHour || hours.Open(now) {
		return Reason{}
	}
	next := hours.Next(now)
	return Reason{Kind: kind, Text: "outside of " + key + " until " + next.Local().Format("Mon 15:04"), Until: &next}
}

// agentHours is the policy that an agent starts within its own hours. A run that began goes on when they end.
type agentHours struct{ t *Tick }

func (p agentHours) why(c *candidate) Reason {
	r := p.t.outside(AgentHours, "the hours of "+c.agent, p.t.Settings.HoursOf(c.agent))
	r.agent = c.agent
	return r
}

func (agentHours) starts(*candidate) {}
