package tick

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kugetsu/queue"
	"kugetsu/slots"
	"kugetsu/slots/agent"
)

// told writes what an agent's account of a lane was told.
func told(t *testing.T, tick *Tick, preset string, lane queue.Lane, windows ...agent.Window) {
	t.Helper()
	env, err := tick.agentEnviron(lane)
	must(t, err)
	path := filepath.Join(tick.Home.Quotas(), preset+".json")
	var file struct {
		V        int                       `json:"v"`
		Accounts map[string][]agent.Window `json:"accounts"`
	}
	if data, err := os.ReadFile(path); err == nil {
		must(t, json.Unmarshal(data, &file))
	} else {
		file.Accounts = map[string][]agent.Window{}
	}
	file.V, file.Accounts[slots.Account(preset, env)] = 1, windows
	data, err := json.Marshal(file)
	must(t, err)
	must(t, os.WriteFile(path, data, 0o600))
}

func TestQuotaReserveKeepsAnAgentFromStarting(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	five := agent.Window{Name: "five_hour", Used: 85, Reset: now.Add(2 * time.Hour), At: now}
	week := agent.Window{Name: "seven_day", Used: 81, Reset: now.Add(60 * time.Hour), At: now}
	with := func(w agent.Window, used float64) agent.Window { w.Used = used; return w }
	for _, tt := range []struct {
		name, agent, reserve string
		windows              []agent.Window
		after                time.Duration
		now                  bool
		want                 string // a part of the reason; "" for none
		until                time.Time
	}{
		{"off", "claude", "", []agent.Window{five}, 0, false, "", time.Time{}},
		{"nothing is known", "claude", "20", nil, 0, false, "", time.Time{}},
		{"less is left than is kept", "claude", "20", []agent.Window{five}, 0, false, "claude has used 85 % of its 5h, and QUOTA_RESERVE keeps 20 %, until ", five.Reset},
		{"as much is left as is kept", "claude", "20", []agent.Window{with(five, 80)}, 0, false, "", time.Time{}},
		{"the window that is reset last counts", "claude", "20", []agent.Window{five, week}, 0, false, "81 % of its week", week.Reset},
		{"only the window that is named", "claude", "five_hour=20", []agent.Window{five, week}, 0, false, "85 % of its 5h", five.Reset},
		{"no window that is named", "claude", "month=50", []agent.Window{five, week}, 0, false, "", time.Time{}},
		{"the reset has come", "claude", "20", []agent.Window{five}, 2 * time.Hour, false, "", time.Time{}},
		{"a second before the reset", "claude", "20", []agent.Window{five}, 2*time.Hour - time.Second, false, "until ", five.Reset},
		{"another agent", "codex", "20", []agent.Window{five}, 0, false, "", time.Time{}},
		{"a person says so", "claude", "20", []agent.Window{five}, 0, true, "", time.Time{}},
		{"a hostile file", "claude", "20", []agent.Window{with(five, 1e6), {Name: "seven_day", Used: 99, Reset: now.AddDate(900, 0, 0), At: now}}, 0, false, "", time.Time{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tick := newTick(t, func() time.Time { return now.Add(tt.after) })
			if tt.reserve != "" {
				must(t, tick.Settings.Reserve.UnmarshalText([]byte(tt.reserve)))
			}
			tick.AnyHour = tt.now
			if tt.windows != nil {
				told(t, tick, "claude", queue.Dev, tt.windows...)
			}
			r := (&quotas{t: tick}).why(&candidate{it: &queue.Item{Agent: tt.agent}, agent: tt.agent, lane: queue.Dev})
			if tt.want == "" && r.Kind == Eligible {
				return
			}
			if r.Kind != QuotaReserve || tt.want == "" || !strings.Contains(r.Text, tt.want) || !r.Until.Equal(tt.until) {
				t.Errorf("got %+v, want %q until %s", r, tt.want, tt.until)
			}
		})
	}
}

// The env files make accounts: the quota of one says nothing of the other.
func TestQuotaReserveIsOfTheAccountThatRunsWouldUse(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	tick := newTick(t, func() time.Time { return now })
	must(t, tick.Settings.Reserve.UnmarshalText([]byte("20")))
	used := func(percent float64) agent.Window {
		return agent.Window{Name: "five_hour", Used: percent, Reset: now.Add(2 * time.Hour), At: now}
	}
	closed := func(lane queue.Lane) bool {
		return (&quotas{t: tick}).why(&candidate{it: &queue.Item{Agent: "claude"}, agent: "claude", lane: lane}).Kind == QuotaReserve
	}
	told(t, tick, "claude", queue.Dev, used(85))
	if !closed(queue.Dev) || !closed(queue.PM) {
		t.Error("both lanes use the account, and it is not kept")
	}
	must(t, os.MkdirAll(filepath.Join(string(tick.Home), "env"), 0o700))
	must(t, os.WriteFile(tick.Home.EnvFile("pm-agent.env"), []byte("CLAUDE_CODE_OAUTH_TOKEN=pm\n"), 0o600))
	if !closed(queue.Dev) || closed(queue.PM) {
		t.Error("the other account is kept, too, or the first is not")
	}
	told(t, tick, "claude", queue.PM, used(90))
	must(t, os.WriteFile(tick.Home.EnvFile("dev.env"), []byte("CLAUDE_CODE_OAUTH_TOKEN=dev\n"), 0o600))
	if closed(queue.Dev) || !closed(queue.PM) {
		t.Error("a new account is kept, or the other one is not")
	}
	must(t, os.Remove(tick.Home.EnvFile("dev.env")))
	if !closed(queue.Dev) {
		t.Error("what was told of the first account is forgotten")
	}
}

func TestQuotasAreThoseOfTheAccountsInUse(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.Local)
	tick := newTick(t, func() time.Time { return now })
	five := agent.Window{Name: "five_hour", Used: 62, Reset: now.Add(140 * time.Minute), At: now}
	week := agent.Window{Name: "seven_day", Used: 81, Reset: now.AddDate(0, 0, 6).Add(-time.Hour), At: now}
	month := agent.Window{Name: "month", Used: 7, Reset: now.AddDate(0, 0, 20), At: now}
	texts := func() (texts []string) {
		for _, q := range tick.Quotas() {
			texts = append(texts, q.Text)
		}
		return texts
	}
	want := func(lines ...string) {
		t.Helper()
		if got := strings.Join(texts(), "\n"); got != strings.Join(lines, "\n") {
			t.Errorf("got %q, want %q", got, lines)
		}
	}
	want()
	told(t, tick, "claude", queue.Dev, five, week)
	told(t, tick, "codex", queue.Dev, month)
	want("claude 5h 62 % until 14:20 · week 81 % until Fri", "codex month 7 % until 18 Dec")

	// Late at night, too, an hour is more than a day.
	now = now.Add(11*time.Hour + 30*time.Minute)
	five.Reset, five.At = now.Add(3*time.Hour), now
	told(t, tick, "claude", queue.Dev, five, week)
	want("claude 5h 62 % until 02:30 · week 81 % until Fri", "codex month 7 % until 18 Dec")
	now = now.Add(-11*time.Hour - 30*time.Minute)
	five.Reset, five.At = now.Add(140*time.Minute), now
	told(t, tick, "claude", queue.Dev, five, week)

	must(t, os.MkdirAll(filepath.Join(string(tick.Home), "env"), 0o700))
	must(t, os.WriteFile(tick.Home.EnvFile("pm-agent.env"), []byte("CLAUDE_CODE_OAUTH_TOKEN=t\n"), 0o600))
	told(t, tick, "claude", queue.PM, month)
	want("claude (dev) 5h 62 % until 14:20 · week 81 % until Fri", "claude (pm) month 7 % until 18 Dec", "codex month 7 % until 18 Dec")
}
