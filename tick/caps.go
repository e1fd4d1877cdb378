package tick

import (
	"fmt"

	"kugetsu/queue"
	"kugetsu/queue/terminal"
)

// caps is the policy that the settings limit the runs of one agent, and the runs in one repository, that are under way. An item over
// its cap is passed over: the items behind it may start.
//
// A slot that is occupied by a run that cannot be read counts for every agent and repository: a cap is never exceeded, and that run
// ends some day.
type caps struct {
	t       *Tick
	slots   *occupied
	repos   repos
	counted map[string]bool // the items of the slots that were counted
	agents  map[string]int
	works   map[string]int // by repository
	unknown int
}

// count counts the runs in the slots, and the items that started since.
func (p *caps) count() {
	if p.counted == nil {
		p.counted, p.agents, p.works = map[string]bool{}, map[string]int{}, map[string]int{}
	}
	for item := range p.slots.items {
		if p.counted[item] {
			continue
		}
		p.counted[item] = true
		_, it, err := p.t.item(item)
		if err != nil {
			p.unknown++
			continue
		}
		p.add(it)
	}
}

func (p *caps) add(it *queue.Item) {
	p.agents[p.slots.agentOf(it)]++
	if repo := it.Ref().RepoPath(); repo != "" {
		p.works[repo]++
	}
}

// nameless is how many slots are occupied that name no item.
func (p *caps) nameless() int { return p.unknown + max(0, len(p.slots.slots)-len(p.slots.items)) }

func (p *caps) why(c *candidate) Reason {
	most, repo := p.t.Settings.MaxOf(c.agent), c.it.Ref().RepoPath()
	few, limited := p.repos.max(repo)
	if most == 0 && !limited {
		return Reason{}
	}
	p.count()
	if n := p.agents[c.agent] + p.nameless(); most > 0 && n >= most {
		return Reason{Kind: AgentCap, agent: c.agent, Text: fmt.Sprintf("%d of %s run, limit %d", n, c.agent, most)}
	}
	if n := p.works[repo] + p.nameless(); limited && n >= few {
		return Reason{Kind: RepositoryCap, Text: fmt.Sprintf("%s at work on %s, limit %d", terminal.Count(n, "run"), repo, few)}
	}
	return Reason{}
}

// starts counts an item that starts, before its slot names it.
func (p *caps) starts(c *candidate) {
	if p.counted == nil || p.counted[c.it.ID] {
		return // count reads what the slots hold when the first item asks
	}
	p.counted[c.it.ID] = true
	p.add(c.it)
}
