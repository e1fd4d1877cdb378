package tick

import (
	"fmt"
	"slices"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/ledger"
	"kugetsu/tick/settings"
)

// budgetWindow is the time over which a budget holds: the last 24 hours at any moment, not a calendar day.
const budgetWindow = 24 * time.Hour

// grain is less than any cost, in dollars, and more than a sum of costs may be wrong by: ten times $0.10 are a little less than a dollar.
const grain = 1e-6

// used is what one run takes from the budgets: itself, when it is handed over, and its cost, once it ended.
type used struct {
	run   string // "" in a plan
	agent string
	at    time.Time
	usd   float64
}

// budgets is the policy that the runs and costs of the last 24 hours stay within the budgets. The ledger has the runs that ended; the
// slots have the runs under way, whose cost is not known yet. An unknown cost never blocks: a run without a figure costs nothing, and if
// the ledger cannot be read everything may start.
type budgets struct {
	t     *Tick
	slots *occupied
	known bool
	runs  []used
	costs []used
}

// read counts what the last 24 hours used: once for a pass, before it starts anything. Later starts are counted by starts.
func (b *budgets) read() {
	if b.known {
		return
	}
	b.known = true
	now := b.t.Now()
	ended, err := b.t.Queue.Ledger.Since(now.Add(-budgetWindow))
	if err != nil {
		b.t.Log.Warn("the budgets are not known", "err", err)
	}
	seen := map[string]bool{}
	for _, r := range ended {
		seen[r.Name] = true
		if r.Began() {
			b.runs = b.add(b.runs, used{run: r.Name, agent: r.Agent, at: r.NotifiedAt})
		}
		if r.Cost != nil && r.Cost.USD > 0 {
			b.costs = b.add(b.costs, used{run: r.Name, agent: r.Agent, at: r.EndedAt, usd: r.Cost.USD})
		}
	}
	for run := range b.slots.runs {
		if seen[run] {
			continue
		}
		_, it, err := b.t.item(ledger.ItemOf(run))
		if err != nil {
			continue
		}
		at := now
		if it.State == queue.Notified && it.NotifiedAt != nil {
			at = *it.NotifiedAt
		}
		b.runs = b.add(b.runs, used{run: run, agent: b.slots.agentOf(it), at: at})
	}
	byTime := func(a, b used) int { return a.at.Compare(b.at) }
	slices.SortFunc(b.runs, byTime)
	slices.SortFunc(b.costs, byTime)
}

// add adds what lies in the window. A clock that was set back leaves runs in the future, which would block for longer than a day.
func (b *budgets) add(list []used, u used) []used {
	now := b.t.Now()
	if !u.at.After(now.Add(-budgetWindow)) || ToCome(now, u.at) {
		return list
	}
	return append(list, u)
}

// over is why no more of an agent may start, or with "" of all agents. The keys are the names of the two settings.
func (b *budgets) over(kind Kind, agent string, runs int, usd float64, suffix string) Reason {
	if b.t.AnyHour || runs == 0 && usd == 0 {
		return Reason{}
	}
	b.read()
	of := func(list []used) []used {
		return slices.DeleteFunc(slices.Clone(list), func(u used) bool { return agent != "" && u.agent != agent })
	}
	var reasons []Reason
	reason := func(leaves used, format string, args ...any) {
		until := leaves.at.Add(budgetWindow)
		text := fmt.Sprintf(format, args...) + " until " + until.Local().Format("Mon 15:04")
		reasons = append(reasons, Reason{Kind: kind, Text: text, Until: &until})
	}
	if began := of(b.runs); runs > 0 && len(began) >= runs {
		reason(began[len(began)-runs], "MAX_RUNS_PER_DAY%s is used up (%s)", suffix, usedOf("%d", len(began), runs))
	}
	if spent := of(b.costs); usd > 0 {
		rest, sum := 0.0, 0.0
		for _, u := range spent {
			sum += u.usd
		}
		for _, u := range slices.Backward(spent) { // the newest that alone use the budget up: the oldest of them has to leave
			if rest += u.usd; rest > usd-grain {
				reason(u, "MAX_COST_PER_DAY%s is used up (%s)", suffix, usedOf("$%.2f", sum, usd))
				break
			}
		}
	}
	if len(reasons) == 0 {
		return Reason{}
	}
	return slices.MaxFunc(reasons, func(a, b Reason) int { return a.Until.Compare(*b.Until) })
}

// usedOf is how much of a limit is used. "3 of 2" would be no sentence where the limit was lowered, or a run cost more than was left.
func usedOf[N int | float64](format string, used, limit N) string {
	between := " of "
	if used > limit {
		between = " used, limit "
	}
	return fmt.Sprintf(format+between+format, used, limit)
}

// full is why nothing at all may start.
func (b *budgets) full() Reason {
	s := b.t.Settings
	return b.over(DailyBudget, "", s.MaxRuns, float64(s.MaxCost), "")
}

func (b *budgets) why(*candidate) Reason { return b.full() }

// starts counts a run that starts.
func (b *budgets) starts(c *candidate) {
	if b.known {
		b.runs = append(b.runs, used{agent: c.agent, at: b.t.Now()})
	}
}

// agentBudgets is the policy of the budgets of each agent. An item over it is passed over: those of other agents go on.
type agentBudgets struct{ all *budgets }

func (p agentBudgets) why(c *candidate) Reason {
	runs, usd := p.all.t.Settings.BudgetOf(c.agent)
	r := p.all.over(AgentBudget, c.agent, runs, float64(usd), settings.Suffix(c.agent))
	r.agent = c.agent
	return r
}

func (agentBudgets) starts(*candidate) {} // all counts it
