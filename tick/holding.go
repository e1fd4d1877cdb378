package tick

import (
	"fmt"
	"iter"
	"strings"

	"kugetsu/queue"
	"kugetsu/queue/outcome"
	"kugetsu/slots"
)

// holds is the policy of agents and hosts on hold: none of their items starts before the end of the hold, and then one alone.
type holds struct {
	t        *Tick
	occupied *occupied
	repos    repos // they say which host an item needs

	all   map[Held]*Hold
	list  []Held        // sorted
	hosts bool          // a host is among them
	begun map[Held]bool // an item of this pass is the probe
}

// read reads all holds. It leaves out a hold whose probe has had an answer.
func (p *holds) read() error {
	all, list, err := Holds(p.t.Home)
	if err != nil {
		return err
	}
	p.all, p.list, p.hosts = all, list, false
	for _, held := range list {
		h := all[held]
		if p.occupied.runs[h.Probe] {
			tries, answered, err := p.t.tries(held, h.Probe)
			if err != nil {
				return err
			}
			if answered {
				delete(all, held)
				continue
			}
			if !tries {
				h.Probe = "" // in this snapshot only: another run may try
			}
		}
		p.hosts = p.hosts || held.IsHost()
	}
	return nil
}

// inForce are the reasons of the holds that have not ended.
func (p *holds) inForce() (list []string) {
	for _, held := range p.list {
		if h := p.all[held]; h != nil && !h.ended(p.t.Now()) {
			list = append(list, h.Text(held))
		}
	}
	return list
}

// of are the holds that concern an item.
func (p *holds) of(it *queue.Item, agent string) []Held {
	var list []Held
	if p.all[Held(agent)] != nil {
		list = append(list, Held(agent))
	}
	if p.hosts {
		if host := p.t.hostFor(it, p.repos); p.all[host] != nil {
			list = append(list, host)
		}
	}
	return list
}

func (p *holds) why(c *candidate) Reason {
	for _, held := range p.of(c.it, c.agent) {
		agent := c.agent
		if held.IsHost() { // another agent needs it as well
			agent = ""
		}
		switch h := p.all[held]; {
		case !h.ended(p.t.Now()):
			return Reason{Kind: OnHold, agent: agent, Text: h.Text(held), Hint: h.Remedy(held), Until: h.Until}
		case p.begun[held]:
			return Reason{Kind: Behind, agent: agent, Text: "an item before it tries " + held.Name() + " again"}
		case p.occupied.runs[h.Probe]:
			return Reason{Kind: Probing, agent: agent, Text: fmt.Sprintf("%s was on hold: run %s tries it again", held.Name(), h.Probe)}
		}
	}
	return Reason{}
}

func (p *holds) starts(c *candidate) {
	for _, held := range p.of(c.it, c.agent) {
		if p.begun == nil {
			p.begun = map[Held]bool{}
		}
		p.begun[held] = true
	}
}

// tries says whether a run still tries its hold, and whether it had an answer. A run that could continue without the remote's host
// gives no answer about that host once its agent has begun.
func (t *Tick) tries(held Held, run string) (tries, answered bool, err error) {
	if !held.IsHost() {
		answered, err = t.Home.Answered(run)
		return !answered, answered, err
	}
	if answered, err = t.Home.Fetched(run); err != nil || answered {
		return false, answered, err
	}
	marker, err := t.Home.ReadMarker(run)
	return marker.Phase == slots.Exit, false, err
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
	for _, held := range p.of(it, it.Agent) {
		h := p.all[held]
		h.Probe = run
		if err := p.t.writeHold(held, h); err != nil {
			return false, false, err
		}
		ofHost = ofHost || held.IsHost()
		ofAgent = ofAgent || !held.IsHost()
	}
	return ofAgent, ofHost, nil
}
