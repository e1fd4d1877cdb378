package tick

import (
	"strings"
	"testing"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/outcome"
	"kugetsu/slots"
)

// withAgents makes a tick whose agents are all the same program, and an item that names several of them.
func withAgents(t *testing.T, now time.Time, agents ...string) (*Tick, *queue.Item) {
	tick := newTick(t, func() time.Time { return now })
	tick.Settings.AgentPrefix, tick.Settings.MaxAgents = "sh", 3
	id, err := tick.publish(1, 50, nil)
	must(t, err)
	_, it, err := tick.item(id)
	must(t, err)
	it.Agent, it.Agents = agents[0], agents
	return tick, it
}

// without leaves a tick no agent but command.
func without(t *testing.T, tick *Tick) {
	t.Setenv("PATH", t.TempDir())
	tick.Settings.AgentPrefix, tick.Settings.AgentCommand = "", "/bin/sh"
}

func TestFirstAgentThatMayStartIsChosen(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	until := func(d time.Duration) *time.Time { at := now.Add(d); return &at }
	hold := func(t *testing.T, tick *Tick, target HoldTarget, end *time.Time) {
		must(t, tick.writeHold(target, &Hold{Pause: Pause{Until: end, Reason: "a limit"}, Outcome: outcome.UsageLimit, Count: 1, Run: "r"}))
	}
	for _, tt := range []struct {
		name   string
		set    func(t *testing.T, tick *Tick, k *occupied)
		agent  string // "" for none
		kind   Kind   // of the reason, where there is none
		says   string // of the reason, or why none before it
		lasts  time.Duration
		agents string // "" for claude and codex
	}{
		{name: "nothing is in the way", set: func(*testing.T, *Tick, *occupied) {}, agent: "claude"},
		{name: "the first is on hold", set: func(t *testing.T, tick *Tick, k *occupied) {
			hold(t, tick, "claude", until(time.Hour))
		}, agent: "codex", says: "claude is on hold until "},
		{name: "the first is tried again by another run", set: func(t *testing.T, tick *Tick, k *occupied) {
			must(t, tick.writeHold("claude", &Hold{Pause: Pause{Until: until(-time.Hour)}, Outcome: outcome.Outage, Count: 1, Run: "r", Probe: "q_01kdz8q6p2v4x3w5y7a9b1c0d2.1"}))
			must(t, tick.Home.ClaimRun("q_01kdz8q6p2v4x3w5y7a9b1c0d2.1"))
			k.occupy("3", &slots.Intent{Item: "q_01kdz8q6p2v4x3w5y7a9b1c0d2", Run: 1, Session: "s"})
		}, agent: "codex", says: "tries it again"},
		{name: "the first is over its cap", set: func(t *testing.T, tick *Tick, k *occupied) {
			tick.Settings.MaxClaude = 1
			k.occupy("3", nil)
		}, agent: "codex", says: "1 of claude run"},
		{name: "the first is out of its hours", set: func(t *testing.T, tick *Tick, k *occupied) {
			tick.Settings.HoursClaude = "Mon 00:00-24:00"
		}, agent: "codex", says: "outside of the hours of claude until Mon"},
		{name: "the first is out of its budget", set: func(t *testing.T, tick *Tick, k *occupied) {
			past(t, tick, "claude", time.Hour, 0, outcome.OK)
			tick.Settings.MaxRunsClaude = 1
		}, agent: "codex", says: "MAX_RUNS_PER_DAY_CLAUDE is used up"},
		{name: "the first is none", agents: "nobody,codex", set: func(*testing.T, *Tick, *occupied) {}, agent: "codex", says: "no agent"},
		{name: "the first is not there", agents: "claude,command", set: func(t *testing.T, tick *Tick, k *occupied) {
			without(t, tick)
		}, agent: "command", says: "claude is passed over: not installed"},
		{name: "the first is not there, and a person is to say when the other may start", agents: "claude,command", set: func(t *testing.T, tick *Tick, k *occupied) {
			without(t, tick)
			hold(t, tick, "command", nil)
		}, kind: OnHold, says: "claude is passed over: not installed; command is on hold"},
		{name: "none is there", set: func(t *testing.T, tick *Tick, k *occupied) {
			without(t, tick)
		}, kind: NotInstalled, says: "the agent claude is not installed"},
		{name: "all are out: the one that ends first is the reason", set: func(t *testing.T, tick *Tick, k *occupied) {
			hold(t, tick, "claude", until(2*time.Hour))
			hold(t, tick, "codex", until(time.Hour))
		}, kind: OnHold, says: "a limit; codex is on hold until ", lasts: time.Hour},
		{name: "all are out: one that waits for a run comes first", set: func(t *testing.T, tick *Tick, k *occupied) {
			hold(t, tick, "claude", nil)
			tick.Settings.MaxCodex = 1
			k.occupy("3", nil)
		}, kind: AgentCap, says: "; 1 of codex run"},
		{name: "no other agent would help", set: func(t *testing.T, tick *Tick, k *occupied) {
			hold(t, tick, "host+github.com", until(time.Hour))
		}, kind: OnHold, says: "github.com is on hold", lasts: time.Hour},
		{name: "all slots are occupied", set: func(t *testing.T, tick *Tick, k *occupied) {
			tick.Settings.MaxAgents = 1
			k.occupy("1", nil)
		}, kind: SlotsOccupied, says: "the only slot"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			agents := "claude,codex"
			if tt.agents != "" {
				agents = tt.agents
			}
			tick, it := withAgents(t, now, strings.Split(agents, ",")...)
			tick.Settings.CloneURL = "{scheme}://{host}/{path}.git"
			k := newOccupied()
			tt.set(t, tick, k)
			el := tick.eligibility(k)
			c := el.candidate(queue.Dev, it)
			r := el.why(c)
			if tt.agent != "" {
				if r.Kind != Eligible || c.agent != tt.agent || !strings.Contains(c.passed, tt.says) || tt.says == "" && c.passed != "" {
					t.Fatalf("%s starts, since %q, not %s: %+v", c.agent, c.passed, tt.agent, r)
				}
				return
			}
			if r.Kind != tt.kind || !strings.Contains(r.Text, tt.says) || tt.lasts > 0 && !r.Until.Equal(now.Add(tt.lasts)) {
				t.Errorf("got %+v, want %s, %q", r, tt.kind, tt.says)
			}
		})
	}
}

// What a look foresees counts the agents that it chose, though no file says them yet: else a third item would find a cap open that
// the second one fills.
func TestChosenAgentsCountBeforeTheyAreOnRecord(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	tick, _ := withAgents(t, now, "claude", "codex")
	tick.Settings.CloneURL = "{scheme}://{host}/{path}.git"
	tick.Settings.MaxClaude, tick.Settings.MaxCodex = 1, 1
	el := tick.eligibility(newOccupied())
	var chosen []string
	for n := 2; n < 5; n++ {
		id, err := tick.publish(n, 50, nil)
		must(t, err)
		_, it, err := tick.item(id)
		must(t, err)
		it.Agent, it.Agents = "claude", []string{"claude", "codex"}
		c := el.candidate(queue.Dev, it)
		r := el.why(c)
		if r.Kind != Eligible {
			chosen = append(chosen, string(r.Kind))
			continue
		}
		el.starts(c)
		chosen = append(chosen, c.agent)
	}
	if got, want := strings.Join(chosen, " "), "claude codex "+string(AgentCap); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
