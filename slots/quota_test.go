package slots

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kugetsu/slots/agent"
)

// used makes a window of five hours that is used so far.
func used(percent float64, now time.Time) agent.Window {
	return agent.Window{Name: "five_hour", Used: percent, Reset: now.Add(time.Hour), At: now}
}

func TestQuotaIsKeptForEachAccount(t *testing.T) {
	d, now := Dir(t.TempDir()), time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	must(t, d.Make())
	note := func(account string, w agent.Window, at time.Time) {
		t.Helper()
		must(t, d.noteQuota(context.Background(), "claude", account, []agent.Window{w}, at))
	}
	known := func(account string, at time.Time) float64 {
		t.Helper()
		windows, err := d.Quota("claude", account, at)
		must(t, err)
		if len(windows) == 0 {
			return -1
		}
		return windows[0].Used
	}
	if got := known("a", now); got != -1 {
		t.Errorf("%g is known of what was never told", got)
	}
	note("a", used(10, now), now)
	note("b", used(20, now), now)
	if a, b := known("a", now), known("b", now); a != 10 || b != 20 {
		t.Errorf("%g and %g, want 10 and 20", a, b)
	}
	if got := known("a", now.Add(time.Hour)); got != -1 {
		t.Errorf("%g is known after the reset", got)
	}
	// The reset had passed when its line was read. What was told before counts no more all the same.
	over := used(95, now.Add(time.Minute))
	over.Reset = now.Add(time.Minute)
	note("a", over, now.Add(2*time.Minute))
	if got := known("a", now.Add(2*time.Minute)); got != -1 {
		t.Errorf("%g is known of a window that is over", got)
	}
	later := now.Add(2 * time.Hour)
	note("b", used(30, later), later)
	if data, err := os.ReadFile(d.quotaFile("claude").Path); err != nil || strings.Contains(string(data), `"a"`) {
		t.Errorf("what is stale is kept: %s, %v", data, err)
	}
	for _, damaged := range []string{"", "{", "[]", `{"v":1,"accounts":{"b":[{"name":"five_hour","used":-9}]}}`, `{"v":1,"accounts":{"b":[{"name":"\u001b[2J","used":99,"reset":"2026-11-28T13:00:00Z"}]}}`} {
		must(t, os.WriteFile(d.quotaFile("claude").Path, []byte(damaged), 0o600))
		if got := known("b", now); got != -1 {
			t.Errorf("%g is known by %q", got, damaged)
		}
		note("b", used(40, now), now)
		if got := known("b", now); got != 40 {
			t.Errorf("%g after %q, want 40", got, damaged)
		}
	}
}

// told is a parser of a program that tells of windows.
type told struct {
	agent.Parser
	windows []agent.Window
}

func (p told) Quota() []agent.Window { return p.windows }
func (told) Conversation() string    { return "" }

func TestQuotaWhoseResetHasPassedWhenItIsReadEndsWhatWasKnown(t *testing.T) {
	d, now := Dir(t.TempDir()), time.Now()
	must(t, d.Make())
	must(t, d.noteQuota(context.Background(), "claude", "a", []agent.Window{used(85, now.Add(-time.Minute))}, now))
	over := used(86, now.Add(-time.Second))
	over.Reset = now.Add(-time.Second)
	log, err := openLog(filepath.Join(t.TempDir(), "log"), LogCap)
	must(t, err)
	a := &agentRun{r: &Runner{home: d, task: &Task{Account: "a"}, log: log}, preset: agent.Preset{Name: "claude"}, parser: told{windows: []agent.Window{over}}}
	a.sayQuota(true)
	if windows, err := d.Quota("claude", "a", time.Now()); err != nil || len(windows) > 0 {
		t.Errorf("%+v is known, %v", windows, err)
	}
}

func TestQuotaOfRunsThatEndAtOnceIsLostByNone(t *testing.T) {
	d, now := Dir(t.TempDir()), time.Now()
	must(t, d.Make())
	var all sync.WaitGroup
	for _, account := range []string{"a", "b", "c", "d"} {
		all.Go(func() {
			if err := d.noteQuota(context.Background(), "claude", account, []agent.Window{used(10, now)}, now); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	q, err := d.quotaFile("claude").Read()
	if err != nil || len(q.Accounts) != 4 {
		t.Errorf("%+v, %v", q, err)
	}
}

func TestAccountFollowsFromTheEnvironment(t *testing.T) {
	of := func(preset string, env ...string) string { return Account(preset, env) }
	base := of("claude", "HOME=/h", "PATH=/bin")
	for _, tt := range []struct {
		name string
		env  []string
		same bool
	}{
		{"another PATH", []string{"HOME=/h", "PATH=/usr/bin"}, true},
		{"an empty token", []string{"HOME=/h", "ANTHROPIC_API_KEY="}, true},
		{"another home", []string{"HOME=/i"}, false},
		{"another folder of settings", []string{"HOME=/h", "CLAUDE_CONFIG_DIR=/c"}, false},
		{"a token", []string{"HOME=/h", "CLAUDE_CODE_OAUTH_TOKEN=t"}, false},
		{"the token of another agent", []string{"HOME=/h", "OPENAI_API_KEY=t"}, true},
	} {
		if got := of("claude", tt.env...); (got == base) != tt.same {
			t.Errorf("%s: %q beside %q", tt.name, got, base)
		}
	}
	if of("opencode", "HOME=/h") != "" || of("nobody") != "" {
		t.Error("an agent that tells nothing has an account")
	}
	if got := of("claude", "CLAUDE_CODE_OAUTH_TOKEN=sk-secret"); strings.Contains(got, "secret") {
		t.Errorf("a token is a name: %q", got)
	}
}

func TestQuotaOfCodexIsReadFromTheFileOfItsThread(t *testing.T) {
	home, now := t.TempDir(), time.Now()
	preset, err := agent.Lookup("codex")
	must(t, err)
	env := []string{"HOME=/nowhere", "CODEX_HOME=" + home}
	m := &meter{}
	const thread = "0199a213-81c0-7800-8aa1-bbab2a035a53"
	read := func() []agent.Window { return m.read(preset.Record, env, thread, now) }
	if got := read(); got != nil {
		t.Errorf("without a file: %+v", got)
	}
	folder := filepath.Join(home, "sessions", "2026", "09", "02")
	must(t, os.MkdirAll(folder, 0o700))
	path := filepath.Join(folder, "rollout-2026-09-02T10-00-00-"+thread+".jsonl")
	write := func(percent float64) {
		t.Helper()
		line, err := json.Marshal(map[string]any{"timestamp": now, "payload": map[string]any{"type": "token_count", "rate_limits": map[string]any{
			"primary": map[string]any{"used_percent": percent, "window_minutes": 300, "resets_at": now.Add(time.Hour).Unix()}}}})
		must(t, err)
		old, _ := os.ReadFile(path)
		must(t, os.WriteFile(path, append(append(old, strings.Repeat("x", recordTail)+"\n"...), append(line, '\n')...), 0o600))
	}
	write(10)
	if got := read(); len(got) != 1 || got[0].Used != 10 {
		t.Errorf("%+v, want 10", got)
	}
	if got := read(); got != nil {
		t.Errorf("a file that did not grow was read again: %+v", got)
	}
	write(20)
	if got := read(); len(got) != 1 || got[0].Used != 20 {
		t.Errorf("%+v, want 20", got)
	}
	must(t, os.Remove(path))
	must(t, os.Symlink("/dev/zero", path))
	if got := read(); got != nil {
		t.Errorf("a link was read: %+v", got)
	}
}
