package ledger

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func (l *Ledger) want(t *testing.T, what string, want ...Total) {
	t.Helper()
	got, err := l.Totals()
	must(t, err)
	if !slices.Equal(got, want) {
		t.Errorf("%s: %+v, not %+v", what, got, want)
	}
}

func TestTotalsCountEachRunOfAllTimeOnce(t *testing.T) {
	l := newLedger(t)
	l.want(t, "nothing")
	r := run(1, 48*time.Hour)
	must(t, l.Add(r))
	must(t, l.Add(r)) // settled again after a crash
	must(t, l.Add(run(2, 0)))
	failed := run(3, 0)
	failed.Outcome, failed.Cost, failed.Ran = "failed", nil, nil
	must(t, l.Add(failed))
	ok := Total{Agent: "claude", Outcome: "ok", Runs: 2, Seconds: 1180}
	ok.Cost.Add(*r.Cost)
	ok.Cost.Add(*r.Cost)
	l.want(t, "three runs", Total{Agent: "claude", Outcome: "failed", Runs: 1}, ok)

	// A day that was not changed is not read again.
	day := l.Path(&r)
	info, err := os.Stat(day)
	must(t, err)
	whole, err := os.ReadFile(day)
	must(t, err)
	must(t, os.WriteFile(day, make([]byte, info.Size()), 0o600))
	must(t, os.Chtimes(day, info.ModTime(), info.ModTime()))
	l.want(t, "a day as it was", Total{Agent: "claude", Outcome: "failed", Runs: 1}, ok)
	must(t, os.WriteFile(day, whole, 0o600))

	// A day that was deleted as too old still counts, however often the totals are asked for.
	must(t, os.Remove(day))
	for range 2 {
		l.want(t, "after a day was deleted", Total{Agent: "claude", Outcome: "failed", Runs: 1}, ok)
	}
	must(t, l.Add(run(4, 0)))
	ok.Runs, ok.Seconds = 3, 1770
	ok.Cost.Add(*r.Cost)
	l.want(t, "and another run", Total{Agent: "claude", Outcome: "failed", Runs: 1}, ok)

	// If the file is damaged, the totals are counted anew from the days that are there.
	must(t, os.WriteFile(filepath.Join(l.Dir, "totals.json"), []byte("{"), 0o600))
	got, err := l.Totals()
	must(t, err)
	if len(got) != 2 || got[1].Runs != 2 {
		t.Errorf("%+v", got)
	}
}

func TestTotalsOfADayThatCannotBeReadAreThoseBefore(t *testing.T) {
	l := newLedger(t)
	r := run(1, 0)
	must(t, l.Add(r))
	before, err := l.Totals()
	must(t, err)
	must(t, os.Remove(l.Path(&r)))
	must(t, os.Mkdir(l.Path(&r), 0o700))
	l.want(t, "a folder in its place", before...)
	must(t, os.Remove(l.Path(&r)))
	must(t, l.Add(r))
	must(t, l.Add(run(2, 0)))
	if now, err := l.Totals(); err != nil || now[0].Runs != 2 {
		t.Errorf("%+v, %v", now, err)
	}
}
