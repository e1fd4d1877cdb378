package terminal

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func withoutHost(ref string) string { return strings.TrimPrefix(ref, "github.com/") }

func tasks() Table {
	return Table{
		Columns: []Column{{Name: "ID"}, {Name: "RUNS", Drops: true}, {Name: "ISSUE", Short: withoutHost}, {Name: "WHY", Gives: 2}, {Name: "MESSAGE", Gives: 1}},
		Rows: [][]string{
			{"a1b2", "1", "github.com/you/shop#9", "retry 2 of 3 in 34s: git fetch: Could not resolve host", "Repair the basket, which loses what was put in first"},
			{"c3d4", "12", "git.lan/月掴/店#10", "", "月掴月掴月掴月掴月掴月掴月掴月掴月掴月掴月掴月掴"},
			{"e5f6", "0", "github.com/you/shop#11", "paused", "clean \x1b[2J up"},
		},
	}
}

func written(t *testing.T, table Table, width int) string {
	t.Helper()
	var b strings.Builder
	if err := table.Write(&b, width); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTableGivesWayInItsOrder(t *testing.T) {
	for width, want := range map[int]string{
		0: `
ID    RUNS  ISSUE                   WHY                                                     MESSAGE
a1b2  1     github.com/you/shop#9   retry 2 of 3 in 34s: git fetch: Could not resolve host  Repair the basket, which loses what was put in first
c3d4  12    git.lan/月掴/店#10                                                              月掴月掴月掴月掴月掴月掴月掴月掴月掴月掴月掴月掴
e5f6  0     github.com/you/shop#11  paused                                                  clean \x1b[2J up
`,
		120: `
ID    RUNS  ISSUE                   WHY                                                     MESSAGE
a1b2  1     github.com/you/shop#9   retry 2 of 3 in 34s: git fetch: Could not resolve host  Repair the basket, which lo…
c3d4  12    git.lan/月掴/店#10                                                              月掴月掴月掴月掴月掴月掴月…
e5f6  0     github.com/you/shop#11  paused                                                  clean \x1b[2J up
`,
		80: `
ID    RUNS  ISSUE               WHY                             MESSAGE
a1b2  1     you/shop#9          retry 2 of 3 in 34s: git fetc…  Repair the bask…
c3d4  12    git.lan/月掴/店#10                                  月掴月掴月掴月…
e5f6  0     you/shop#11         paused                          clean \x1b[2J up
`,
		60: `
ID    ISSUE               WHY               MESSAGE
a1b2  you/shop#9          retry 2 of 3 in…  Repair the bask…
c3d4  git.lan/月掴/店#10                    月掴月掴月掴月…
e5f6  you/shop#11         paused            clean \x1b[2J up
`,
		30: `
ID    ISSUE               WHY…
a1b2  you/shop#9          ret…
c3d4  git.lan/月掴/店#10…
e5f6  you/shop#11         pau…
`,
	} {
		if got := written(t, tasks(), width); got != want[1:] {
			t.Errorf("%d columns:\n%s", width, got)
		}
	}
}

func TestTableIsNeverWiderThanTheTerminal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var table Table
		for i := range rapid.IntRange(1, 6).Draw(t, "columns") {
			c := Column{Name: fmt.Sprint("C", i), Gives: rapid.IntRange(0, 3).Draw(t, "gives"), Drops: rapid.Bool().Draw(t, "drops")}
			if rapid.Bool().Draw(t, "short") {
				c.Short = withoutHost
			}
			table.Columns = append(table.Columns, c)
		}
		for range rapid.IntRange(1, 4).Draw(t, "rows") {
			row := make([]string, len(table.Columns))
			for i := range row {
				row[i] = rapid.StringOf(rapid.RuneFrom([]rune("ab 月👍é\n\x1b"))).Draw(t, "cell")
			}
			table.Rows = append(table.Rows, row)
		}
		width := rapid.IntRange(1, 200).Draw(t, "width")
		var b strings.Builder
		if err := table.Write(&b, width); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
		if len(lines) != len(table.Rows)+1 {
			t.Fatalf("%d rows became %d lines", len(table.Rows), len(lines))
		}
		for _, line := range lines {
			if Width(line) > width || Clean(line) != line {
				t.Fatalf("%q in %d columns", line, width)
			}
		}
	})
}

func TestEmptyTableIsNothing(t *testing.T) {
	if got := written(t, Table{Columns: []Column{{Name: "ID"}}}, 80); got != "" {
		t.Errorf("%q", got)
	}
}
