package tick

import (
	"kugetsu/queue"
	"kugetsu/slots/agent"
)

// arguments is the policy that an item's agents take its model and arguments. delegate checked them, so a bad value means that the
// file was damaged or written by hand. No run could start the item's agent, now or later.
type arguments struct{}

func (arguments) why(c *candidate) Reason {
	if why := badArguments(c.it); why != "" {
		return Reason{Kind: BadArguments, Text: why}
	}
	return Reason{}
}

func (arguments) starts(*candidate) {}

// badArguments says what is wrong with what an item asks of its agents, or "". An agent that is not known is no matter of its
// arguments.
func badArguments(it *queue.Item) string {
	if it.Model == "" && it.AgentArgs == "" {
		return ""
	}
	for _, name := range it.Choice() {
		if p, err := agent.Lookup(name); err == nil {
			if err := p.CheckArgs(it.Model, it.AgentArgs); err != nil {
				return "the agent cannot be started: " + err.Error()
			}
		}
	}
	return ""
}

// failArguments makes a pending item an error if its agents cannot be started as it asks, and returns true then.
func (t *Tick) failArguments(e queue.Entry, it *queue.Item, report *Report) (bool, error) {
	return t.failNever(e, it, badArguments(it), report)
}
