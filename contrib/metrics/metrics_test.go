package metrics

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"kugetsu/queue/ledger"
	"kugetsu/queue/outcome"
	"kugetsu/tick/metrics"
	"kugetsu/tick/overview"
)

// text is a file of metrics in which each metric has a value, and strangers' texts are in labels.
func text() []byte {
	now := time.Date(2026, 11, 29, 8, 0, 0, 0, time.UTC)
	hostile := "a\"} 1\nkugetsu_healthy 1\n\\\x1b\u202e\xff"
	m := metrics.Metrics{Overview: &overview.Overview{Capacity: overview.Capacity{LastTick: &now, Limit: 3}, Needs: []overview.Need{{Kind: overview.Failed}}},
		Home: hostile, Agents: []string{"claude", "codex"}, OnHold: []metrics.Hold{{Name: "claude"}, {Name: hostile, Host: true}}, Oldest: &now,
		Totals: []ledger.Total{{Agent: hostile, Outcome: hostile, Runs: 1}, {Agent: "claude", Outcome: "ok", Runs: 1 << 40, Seconds: 0.001, Cost: outcome.Cost{USD: 1e-7}}}}
	return m.Text()
}

func promtool(t *testing.T, stdin []byte, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed (Debian's package prometheus has it): it is what checks the metrics and the rules")
	}
	cmd := exec.Command(path, args...)
	cmd.Stdin = bytes.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil || bytes.Contains(out, []byte("FAILED")) {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestMetricsAreWellFormedForPrometheus(t *testing.T) {
	promtool(t, text(), "check", "metrics")
}

func TestAlertRulesAreValidAndDoAsTheirTestSays(t *testing.T) {
	promtool(t, nil, "check", "rules", "rules.yml")
	promtool(t, nil, "test", "rules", "rules_test.yml")
}

var (
	declared = regexp.MustCompile(`(?m)^# TYPE (\S+) `)
	named    = regexp.MustCompile(`\bkugetsu_[a-z_]+`)
	alert    = regexp.MustCompile(`alert: (\w+)`)
	matched  = regexp.MustCompile(`(kind|outcome|state)(?:=|!=|=~|!~)\\?"([a-z_|]+)\\?"`)
)

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func written() (names []string) {
	for _, m := range declared.FindAllSubmatch(text(), -1) {
		names = append(names, string(m[1]))
	}
	return names
}

// What the dashboard and the rules ask for is something that kugetsu writes, down to the values of labels.
func TestDashboardAndRulesUseMetricsThatAreWritten(t *testing.T) {
	names := written()
	values := map[string][]string{"state": {"waiting", "running", "settled"}}
	for _, k := range overview.Kinds() {
		values["kind"] = append(values["kind"], string(k))
	}
	var bad []string
	for _, r := range outcome.Rows {
		values["outcome"] = append(values["outcome"], string(r.Outcome))
		if r.Counts && r.Outcome != outcome.OK {
			bad = append(bad, string(r.Outcome))
		}
	}
	if want := `outcome=~"` + strings.Join(bad, "|") + `"`; !strings.Contains(read(t, "rules.yml"), want) {
		t.Errorf("rules.yml does not count %s as failures", want)
	}
	var stops []string
	for _, k := range overview.Kinds() {
		if k.Stops() {
			stops = append(stops, string(k))
		}
	}
	if want := strings.Join(stops, "|"); strings.Count(read(t, "rules.yml"), `"`+want) != 2 {
		t.Errorf("rules.yml does not take %s for what stops tasks", want)
	}
	for file, least := range map[string]int{"dashboard.json": 13, "rules.yml": 6, "rules_test.yml": 6} {
		used := named.FindAllString(read(t, file), -1)
		for _, name := range used {
			if !slices.Contains(names, name) {
				t.Errorf("%s uses %s, which is not written", file, name)
			}
		}
		slices.Sort(used)
		if n := len(slices.Compact(used)); n < least {
			t.Errorf("%s uses %d metrics", file, n)
		}
		for _, m := range matched.FindAllStringSubmatch(read(t, file), -1) {
			for value := range strings.SplitSeq(m[2], "|") {
				if !slices.Contains(values[m[1]], value) {
					t.Errorf("%s asks for %s %q, which there is not", file, m[1], value)
				}
			}
		}
	}
	var dashboard struct {
		Panels []struct {
			ID      int
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, "dashboard.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	for i, p := range dashboard.Panels {
		if p.ID != i+1 || len(p.Targets) == 0 {
			t.Errorf("panel %+v", p)
		}
	}
}

// The expressions of the dashboard are checked as rules are.
func TestDashboardAsksInPromQL(t *testing.T) {
	var rules strings.Builder
	rules.WriteString("groups:\n- name: dashboard\n  rules:\n")
	for _, m := range regexp.MustCompile(`"expr": ("(?:[^"\\]|\\.)*")`).FindAllStringSubmatch(read(t, "dashboard.json"), -1) {
		rules.WriteString("  - record: r\n    labels: {n: \"" + strings.Repeat("x", rules.Len()) + "\"}\n    expr: " + m[1] + "\n")
	}
	file := t.TempDir() + "/rules.yml"
	if err := os.WriteFile(file, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, nil, "check", "rules", file)
}

func TestReadmeListsEveryMetricAndTheTestEveryAlert(t *testing.T) {
	listed := named.FindAllString(read(t, "README.md"), -1)
	for _, name := range written() {
		if !slices.Contains(listed, name) {
			t.Errorf("README has no %s", name)
		}
	}
	for _, name := range listed {
		if !slices.Contains(written(), name) {
			t.Errorf("README has %s, which is not written", name)
		}
	}
	for _, m := range alert.FindAllStringSubmatch(read(t, "rules.yml"), -1) {
		if !regexp.MustCompile(`alertname: ` + m[1] + `\n +exp_alerts`).MatchString(read(t, "rules_test.yml")) {
			t.Errorf("no test makes %s fire", m[1])
		}
	}
}
