package tick

import (
	"errors"
	"fmt"
	"slices"

	"github.com/dustin/go-humanize"

	"kugetsu/queue"
	"kugetsu/queue/fault"
	"kugetsu/queue/ledger"
	"kugetsu/slots/agent"
	"kugetsu/slots/machine"
	"kugetsu/tick/settings"
)

// capacity is the policy that the machine has memory and disk for one more agent. A slot alone does not make an agent fit:
// three agents that just began use little memory, and will use more.
type capacity struct {
	t        *Tick
	occupied *occupied
	known    bool // the rest was read

	need      int64            // bytes, AGENT_MEMORY; 0: memory is not checked
	auto      *peaks           // AGENT_MEMORY is auto: need is what an agent needs of which too little is known; else nil
	available int64            // bytes
	used      map[string]int64 // bytes, by run
	memory    error            // why the memory, available or used, is not known

	minFree int64 // bytes, MIN_FREE_DISK; 0: the disk is not checked
	free    int64 // bytes
	disk    error // why the free disk is not known
}

// read reads the machine, once.
func (p *capacity) read() {
	if p.known {
		return
	}
	p.known = true
	p.need, p.minFree = int64(p.t.Settings.AgentMemory), int64(p.t.Settings.MinFreeDisk)
	if p.t.Settings.AgentMemory == settings.Auto {
		p.need, p.auto = int64(settings.UsualMemory), &peaks{t: p.t}
	}
	if p.minFree > 0 {
		p.free, p.disk = machine.FreeDisk(string(p.t.Home))
	}
	if p.need == 0 {
		return
	}
	p.available, p.memory = p.t.Machine.Available()
	if errors.Is(p.memory, errors.ErrUnsupported) { // on this system only the slots limit the agents
		p.need, p.memory = 0, nil
		return
	}
	if p.memory == nil && p.here() > 0 {
		p.used, p.memory = machine.Used()
	}
}

// here is how many slots are occupied whose runs are on this machine.
func (p *capacity) here() int { return len(p.occupied.slots) - len(p.occupied.away) }

// needOf is what an agent needs, in bytes, and how that is known: "" for AGENT_MEMORY itself.
func (p *capacity) needOf(agent string) (bytes int64, how string) {
	if p.auto == nil {
		return p.need, ""
	}
	need, runs := p.auto.of(agent)
	if need == 0 {
		return p.need, ""
	}
	return need, fmt.Sprintf(" by its last %d runs", runs)
}

// ofRun is what the agent of a run needs.
func (p *capacity) ofRun(run string) int64 {
	if p.auto == nil {
		return p.need
	}
	_, it, err := p.t.item(ledger.ItemOf(run))
	if err != nil {
		return p.need
	}
	need, _ := p.needOf(p.occupied.agentOf(it))
	return need
}

// reserved is the memory that the runs may still take, and how many of them may. Every occupied slot reserves what its agent needs,
// less the present use of its run. A run that began an instant ago, or that is not known, reserves all of it.
func (p *capacity) reserved() (bytes int64, runs int) {
	reserve := func(need, used int64) {
		if left := need - used; left > 0 {
			bytes += left
			runs++
		}
	}
	for run := range p.occupied.runs {
		if p.occupied.awayRuns[run] {
			continue
		}
		reserve(p.ofRun(run), p.used[run])
	}
	for range len(p.occupied.slots) - len(p.occupied.runs) { // those that are away name their runs
		reserve(p.need, 0)
	}
	return bytes, runs
}

// full is why not one more agent may start, whichever it is; the zero Reason if one may.
func (p *capacity) full() Reason {
	p.read()
	if !p.t.engineFor(queue.Dev).here() {
		return p.lacksDisk()
	}
	r := p.lacks("")
	if p.auto == nil || r.Kind == Eligible {
		return r
	}
	if slices.ContainsFunc(agent.Names(), func(name string) bool { return p.lacks(name).Kind == Eligible }) {
		return Reason{}
	}
	return r
}

// lacks is why one more of an agent must not start; the zero Reason if it may. Unknown is not enough. The first agent may always run:
// memory does not stop it, known or not. "" is an agent of which nothing is known.
func (p *capacity) lacks(agent string) Reason {
	p.read()
	if r := p.lacksDisk(); r.Kind != Eligible {
		return r
	}
	const wait = "wait for an agent to end, or lower AGENT_MEMORY (reserved for each agent; 0 turns the check off)"
	switch {
	case p.need == 0 || p.here() == 0:
		return Reason{}
	case p.memory != nil:
		return unknownCapacity("the available memory is not known", wait, p.memory)
	}
	reserved, growing := p.reserved()
	need, how := p.needOf(agent)
	if p.available-reserved >= need {
		return Reason{}
	}
	spoken := ""
	if growing > 0 {
		agents := "an agent"
		if growing > 1 {
			agents = fmt.Sprintf("%d agents", growing)
		}
		spoken = fmt.Sprintf("%s of it reserved for %s that may still grow, ", size(reserved), agents)
	}
	whose := "an agent"
	if how != "" {
		whose = agent
	}
	return Reason{Kind: NoCapacity, Hint: wait,
		Text: fmt.Sprintf("memory: %s available, %sand %s needs %s%s", size(p.available), spoken, whose, size(need), how)}
}

// lacksDisk is why no agent must start for want of disk; the zero Reason if there is enough.
func (p *capacity) lacksDisk() Reason {
	const space = "free some space, or lower MIN_FREE_DISK"
	switch {
	case p.disk != nil:
		return unknownCapacity("the free disk is not known", space, p.disk)
	case p.free < p.minFree:
		return Reason{Kind: NoCapacity, Hint: space,
			Text: fmt.Sprintf("disk: %s free where the state folder is, and MIN_FREE_DISK is %s", size(p.free), size(p.minFree))}
	}
	return Reason{}
}

func unknownCapacity(text, hint string, err error) Reason {
	err = fmt.Errorf("%s: %w", text, err)
	return Reason{Kind: CapacityUnknown, Text: err.Error(), err: fault.New(fault.Temp, hint, "nothing more is started: %w", err)}
}

func (p *capacity) why(c *candidate) Reason {
	if !p.t.engineFor(c.lane).here() { // memory is the cluster's to give
		p.read()
		return p.lacksDisk()
	}
	return p.lacks(c.agent)
}

func (*capacity) starts(*candidate) {} // its slot counts

// size prints bytes.
func size(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }
