package tick

import (
	"cmp"
	"fmt"
	"iter"
	"strings"

	"kugetsu/queue"
	"kugetsu/queue/outcome"
	"kugetsu/slots"
	"kugetsu/slots/agent"
)

// holds is the policy of agents and hosts on hold: none of their items starts before the end of the hold, and then one alone.
type holds struct {
	t        *Tick
	occupied *occupied
	repos    repos // they say which host an item needs

	all   map[HoldTarget]*Hold
	list  []HoldTarget        // sorted
	hosts bool                // a host is among them
	begun map[HoldTarget]bool // an item of this pass is the probe
}

// read reads all holds. It leaves out a hold whose probe has had an answer.
func (p *holds) read() error {
	all, list, err := Holds(p.t.Home)
	if err != nil {
		return err
	}
	p.all, p.list, p.hosts = all, list, false
	for _, target := range list {
		h := all[target]
		if p.occupied.runs[h.Probe] {
			tries, answered, err := p.t.tries(target, h.Probe)
			if err != nil {
				return err
			}
			if answered {
				delete(all, target)
				continue
			}
			if !tries {
				h.Probe = "" // in this snapshot only: another run may try
			}
		}
		p.hosts = p.hosts || target.IsHost()
	}
	return nil
}

// inForce are the reasons of the holds that have not ended.
func (p *holds) inForce() (list []string) {
	for _, target := range p.list {
		if h := p.all[target]; h != nil && !h.ended(p.t.Now()) {
			list = append(list, h.Text(target))
		}
	}
	return list
}

// of are the holds that concern an item.
func (p *holds) of(it *queue.Item, agent string) []HoldTarget {
	var list []HoldTarget
	if p.all[HoldTarget(agent)] != nil {
		list = append(list, HoldTarget(agent))
	}
	for _, target := range p.list {
		if target.Model() != "" && target.Agent() == agent && p.all[target] != nil && p.t.mayUse(it, target) {
			list = append(list, target)
		}
	}
	if p.hosts {
		if host := p.t.hostFor(it, p.repos); p.all[host] != nil {
			list = append(list, host)
		}
	}
	return list
}

// mayUse says whether an item may use a family of an agent's models. It may not if it names a model of another family. But if its last
// run met the limit of this family, it may: it uses more models than it names, as subagents do, and would meet the limit again at once.
func (t *Tick) mayUse(it *queue.Item, target HoldTarget) bool {
	if last := it.Last(); last != nil && last.Outcome == outcome.UsageLimit {
		return true
	}
	p, err := agent.Lookup(target.Agent())
	if err != nil {
		return true
	}
	of := p.Family(p.ModelOf(it.Model, cmp.Or(it.AgentArgs, t.Settings.Args(p.Name))))
	return of == "" || of == target.Model()
}

func (p *holds) why(c *candidate) Reason {
	for _, target := range p.of(c.it, c.agent) {
		agent := c.agent
		if target.IsHost() { // another agent needs it as well
			agent = ""
		}
		switch h := p.all[target]; {
		case !h.ended(p.t.Now()):
			return Reason{Kind: OnHold, agent: agent, Text: h.Text(target), Hint: h.Remedy(target), Until: h.Until}
		case p.begun[target]:
			return Reason{Kind: Behind, agent: agent, Text: "an item before it tries " + target.Name() + " again"}
		case p.occupied.runs[h.Probe]:
			return Reason{Kind: Probing, agent: agent, Text: fmt.Sprintf("%s was on hold: run %s tries it again", target.Name(), h.Probe)}
		}
	}
	return Reason{}
}

func (p *holds) starts(c *candidate) {
	for _, target := range p.of(c.it, c.agent) {
		if p.begun == nil {
			p.begun = map[HoldTarget]bool{}
		}
		p.begun[target] = true
	}
}

// tries says whether a run still tries its hold, and whether it had an answer. A run that could continue without the remote's host
// gives no answer about that host once its agent has begun.
func (t *Tick) tries(target HoldTarget, run string) (tries, answered bool, err error) {
	if !target.IsHost() {
		answered, err = t.Home.Answered(run)
		return !answered, answered, err
	}
	if answered, err = t.Home.Fetched(run); err != nil || answered {
		return false, answered, err
	}
	marker, err := t.Home.ReadMarker(run)
	return marker.Phase == slots.Exit || marker.Phase == slots.Claimed, false, err
}

// lastToTry moves items to the end that were the last to meet a hold which has ended: a dead server, or refused credentials. If
// another item tries first, its result tells whether the server or the item was at fault.
func (p *holds) lastToTry(entries iter.Seq[queue.Entry]) iter.Seq[queue.Entry] {
	met := map[string]bool{}
	for _, h := range p.all {
		if h.Outcome == outcome.UsageLimit || !h.ended(p.t.Now()) {
			continue
		}
		if item, _, _ := strings.Cut(h.Run, "."); item != "" {
			met[item] = true
		}
	}
	if len(met) == 0 {
		return entries
	}
	return func(yield func(queue.Entry) bool) {
		var last []queue.Entry
		for e := range entries {
			if met[e.ID] {
				last = append(last, e)
			} else if !yield(e) {
				return
			}
		}
		for _, e := range last {
			if !yield(e) {
				return
			}
		}
	}
}

// probe records that a run is the probe of the holds that concern its item, and says of which kind they are. It is written before
// the intent: a crash between the two leaves a probe that no slot names, and the next item becomes the probe. In the other order
// two runs could try at once.
func (p *holds) probe(it *queue.Item, run string) (ofAgent, ofHost bool, err error) {
	for _, target := range p.of(it, it.Agent) {
		h := p.all[target]
		h.Probe = run
		if err := p.t.writeHold(target, h); err != nil {
			return false, false, err
		}
		ofHost = ofHost || target.IsHost()
		ofAgent = ofAgent || !target.IsHost()
	}
	return ofAgent, ofHost, nil
}
