package command

import (
	"bytes"
	"strings"
	"testing"

	"kugetsu/queue/ledger"
	"kugetsu/queue/outcome"
	"kugetsu/queue/terminal"
	"kugetsu/tick/settings"
)

// On a narrow terminal the name gives way, then the tokens: never what runs took and cost.
func TestStatsFitTheTerminal(t *testing.T) {
	sum := &ledger.Sum{Runs: 120, OK: 90, Judged: 100, Waited: &ledger.Spread{Median: 65, P90: 7200}, Ran: &ledger.Spread{Median: 3599, P90: 86000},
		Cost: outcome.Cost{USD: 123.45, Input: 1_200_000_000, Output: 30_000_000}}
	s := &queueStats{Sums: ledger.Sums{Total: *sum, Outcomes: map[string]int{"ok": 90, "failed": 10, "cancelled": 20},
		Agents: map[string]*ledger.Sum{"opencode": sum}, Repositories: map[string]*ledger.Sum{"github.com/a-company/its-warehouse": sum}}}
	for _, c := range []struct {
		width int
		row   string
	}{
		{60, "a-compan…  120   90%  1m05s/2h00m     59m59s/23h53m  $123.45"},
		{80, "a-company/its-war…  120   90%  1m05s/2h00m     59m59s/23h53m  $123.45  1.2G  30M"},
		{200, "github.com/a-company/its-warehouse  120   90%  1m05s/2h00m     59m59s/23h53m  $123.45  1.2G  30M"},
	} {
		var out bytes.Buffer
		a := &App{Stdout: &out, Terminal: true, Width: c.width, Settings: &settings.Settings{GitServer: "github.com"}}
		if err := a.printStats(s, "7d"); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(out.String(), "\n")
		for _, line := range lines {
			if terminal.Width(line) > c.width {
				t.Errorf("%d: %q", c.width, line)
			}
		}
		if !strings.Contains(out.String(), "\n"+c.row+"\n") {
			t.Errorf("%d: no row %q in\n%s", c.width, c.row, out.String())
		}
	}
}
