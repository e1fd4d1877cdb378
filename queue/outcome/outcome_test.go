package outcome

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// contrib/doc/outcomes.md has a line for each outcome. If a run with the outcome is no attempt, the line says so.
func TestOutcomesAreEachExplainedToPeople(t *testing.T) {
	data, err := os.ReadFile("../../contrib/doc/outcomes.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range Rows {
		line := regexp.MustCompile("(?m)^\\| `" + string(r.Outcome) + "` \\|.*$").FindString(string(data))
		if line == "" {
			t.Errorf("outcomes.md has no line for %s", r.Outcome)
		}
		if none := strings.Contains(strings.ToLower(line), "no attempt"); r.Outcome != Lost && r.Outcome != Cancelled && none == r.Counts {
			t.Errorf("counts %t, but outcomes.md says: %s", r.Counts, line)
		}
	}
}

func TestRowsAreWhole(t *testing.T) {
	var seen []Outcome
	for _, r := range Rows {
		if slices.Contains(seen, r.Outcome) {
			t.Errorf("%s has two rows", r.Outcome)
		}
		seen = append(seen, r.Outcome)
		if r.Then == 0 || r.Mark == "" {
			t.Errorf("nothing follows from %s: %+v", r.Outcome, r)
		}
		if whole := r.One != "" && r.Many != "" && strings.Count(r.Command, "%s") == 1; whole != (r.Need != "") {
			t.Errorf("a need of %s cannot be told: %+v", r.Outcome, r)
		}
		if r.Then == Holds && r.Counts {
			t.Errorf("%s uses up the attempts of what waits for a hold", r.Outcome)
		}
	}
	if r, known := Outcome("newer").Row(); known || !r.Counts || r.Then != Retries {
		t.Errorf("an outcome of a newer kugetsu: %+v", r)
	}
}
