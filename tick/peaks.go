package tick

import (
	"cmp"
	"math"
	"slices"
	"time"

	"kugetsu/queue/ledger"
	"kugetsu/tick/settings"
)

const (
	// peakRuns is the number of an agent's newest runs that its need is computed from. With fewer than fewPeaks runs the need is not known.
	peakRuns, fewPeaks = 20, 3
	// manyRuns is after how many runs of all agents no older ones are read: a pass must stay short.
	manyRuns = 2000
)

// peakTimes are the times back to which the ledger is read, one after the other, until there are enough runs of an agent.
var peakTimes = []time.Duration{24 * time.Hour, 7 * 24 * time.Hour, 30 * 24 * time.Hour}

// peaks is what agents need by the memory that their last runs had at most.
type peaks struct {
	t     *Tick
	read  int // how many of the peakTimes were read
	runs  []ledger.Run
	known map[string]peak
}

type peak struct {
	bytes int64
	runs  int
}

// of is what nine of ten of the last runs of an agent did not exceed, and how many runs those are; 0 where too few are known.
func (p *peaks) of(agent string) (bytes int64, runs int) {
	if found, there := p.known[agent]; there {
		return found.bytes, found.runs
	}
	sizes := p.sizes(agent)
	for len(sizes) < peakRuns && p.read < len(peakTimes) && len(p.runs) < manyRuns {
		p.more()
		sizes = p.sizes(agent)
	}
	found := peak{runs: len(sizes)}
	if len(sizes) >= fewPeaks {
		slices.Sort(sizes)
		found.bytes = sizes[int(math.Ceil(0.9*float64(len(sizes))))-1]
	}
	if p.known == nil {
		p.known = map[string]peak{}
	}
	p.known[agent] = found
	return found.bytes, found.runs
}

// more reads further back. A ledger that cannot be read says nothing.
func (p *peaks) more() {
	now := p.t.Now()
	runs, err := p.t.Queue.Ledger.Since(now.Add(-peakTimes[p.read]))
	p.read++
	if err != nil {
		p.t.Log.Warn("what agents need is not known", "err", err)
		return
	}
	p.runs = runs
}

// sizes are the peaks of the newest runs of an agent, as far as they were read.
func (p *peaks) sizes(agent string) (sizes []int64) {
	var of []ledger.Run
	for _, r := range p.runs {
		if r.Agent == agent && r.PeakMemory > 0 {
			of = append(of, r)
		}
	}
	slices.SortStableFunc(of, func(a, b ledger.Run) int { return cmp.Or(b.EndedAt.Compare(a.EndedAt), cmp.Compare(b.Name, a.Name)) })
	for _, r := range of[:min(len(of), peakRuns)] {
		sizes = append(sizes, r.PeakMemory)
	}
	return sizes
}

// MemoryOf is what an agent needs before it starts, in bytes; 0 where memory is not checked.
func (t *Tick) MemoryOf(agent string) int64 {
	if t.Settings.AgentMemory != settings.Auto {
		return int64(t.Settings.AgentMemory)
	}
	need, _ := (&peaks{t: t}).of(agent)
	return cmp.Or(need, int64(settings.UsualMemory))
}
