package ledger

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kugetsu/contrib/quick"
	"kugetsu/queue/outcome"
	"kugetsu/queue/spool"
)

func TestMain(m *testing.M) { os.Exit(quick.InMemory{M: m}.Run()) }

var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

func newLedger(t testing.TB) *Ledger {
	t.Helper()
	l := &Ledger{Dir: t.TempDir(), Now: func() time.Time { return noon }}
	must(t, l.Checked()) // as the first pass does
	return l
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// run makes a run of the item with number n. It was handed over so long before noon, and took ten minutes.
func run(n int, ago time.Duration) Run {
	ran := 590.0
	at := noon.Add(-ago)
	return Run{Name: fmt.Sprintf("q_%026d.1", n), IssueRef: "github.com/you/shop#31", Agent: "claude", Slot: "1", NotifiedAt: at, EndedAt: at.Add(10 * time.Minute),
		Waited: 12.345, Ran: &ran, Outcome: "ok", State: "completed", Cost: &outcome.Cost{USD: 0.25, Input: 1200, Output: 300}}
}

// numbers returns the numbers of the items whose runs are there.
func (l *Ledger) numbers(t *testing.T, from time.Time) []int {
	t.Helper()
	runs, err := l.Since(from)
	must(t, err)
	numbers := []int{}
	for _, r := range runs {
		var n int
		_, err := fmt.Sscanf(r.Item(), "q_%d", &n)
		must(t, err)
		numbers = append(numbers, n)
	}
	return numbers
}

func TestRunThatIsRecordedTwiceCountsOnceAsItWasLast(t *testing.T) {
	l := newLedger(t)
	must(t, l.Add(run(1, time.Hour)))
	must(t, l.Add(run(2, time.Hour)))
	again := run(1, time.Hour)
	again.Outcome = "cancelled"
	must(t, l.Add(again))
	runs, err := l.Since(noon.Add(-24 * time.Hour))
	must(t, err)
	if len(runs) != 2 || runs[0].Outcome != "cancelled" || runs[1].Outcome != "ok" || *runs[1].Cost != (outcome.Cost{USD: 0.25, Input: 1200, Output: 300}) || *runs[1].Ran != 590 {
		t.Errorf("%+v", runs)
	}
}

func TestSinceFindsRunsThatEndedLaterThanTheirDay(t *testing.T) {
	l := newLedger(t)
	long := run(1, 72*time.Hour)
	long.EndedAt = noon.Add(-time.Hour)
	must(t, l.Add(long))
	must(t, l.Add(run(2, 72*time.Hour)))
	must(t, l.Add(run(3, 30*time.Minute)))
	must(t, l.Add(run(4, 30*24*time.Hour)))
	old := filepath.Join(l.Dir, "2026-10-29.jsonl")
	must(t, os.Chtimes(old, noon.Add(-30*24*time.Hour), noon.Add(-30*24*time.Hour)))
	if got := l.numbers(t, noon.Add(-2*time.Hour)); !slices.Equal(got, []int{1, 3}) {
		t.Errorf("since two hours ago: %v", got)
	}
	if got := l.numbers(t, noon.Add(-31*24*time.Hour)); !slices.Equal(got, []int{4, 1, 2, 3}) {
		t.Errorf("since a month ago: %v", got)
	}
}

func TestLineThatACrashToreIsLeftOutAndTheNextStandsAlone(t *testing.T) {
	l := newLedger(t)
	must(t, l.Add(run(1, time.Hour)))
	path := filepath.Join(l.Dir, "2026-11-28.jsonl")
	whole, err := os.ReadFile(path)
	must(t, err)
	for cut := range len(whole) {
		must(t, os.WriteFile(path, slices.Concat(whole, whole[:cut]), 0o600))
		must(t, l.Add(run(2, time.Hour)))
		if got := l.numbers(t, noon.Add(-24*time.Hour)); !slices.Equal(got, []int{1, 2}) {
			t.Fatalf("cut after %d bytes: %v", cut, got)
		}
	}
}

func TestCheckNoticesWhatIsLostOrDamagedAndRebuildRepairsIt(t *testing.T) {
	day := "2026-11-28.jsonl"
	for _, tt := range []struct {
		name  string
		harm  func(t *testing.T, path string)
		whole bool
		want  []int // of runs 1 to 4, of which the items know 2 and 3
	}{
		{"nothing", func(*testing.T, string) {}, true, []int{4, 1, 2}},
		{"the day is gone", func(t *testing.T, path string) { must(t, os.Remove(path)) }, false, []int{4, 2, 3}},
		{"the notes are gone", func(t *testing.T, path string) { must(t, os.Remove(filepath.Join(filepath.Dir(path), "days.json"))) }, false, []int{4, 1, 2, 3}},
		{"the notes are damaged", func(t *testing.T, path string) {
			must(t, os.WriteFile(filepath.Join(filepath.Dir(path), "days.json"), []byte("{"), 0o600))
		}, false, []int{4, 1, 2, 3}},
		{"a line is damaged", func(t *testing.T, path string) {
			data, err := os.ReadFile(path)
			must(t, err)
			must(t, os.WriteFile(path, []byte(strings.Replace(string(data), `"ended_at":"2026`, `"ended_at":"20x6`, 1)), 0o600))
		}, false, []int{4, 2, 3}},
		{"it is not text", func(t *testing.T, path string) { must(t, os.WriteFile(path, []byte("\x00\x00\xff"), 0o600)) }, false, []int{4, 2, 3}},
		{"it is emptied", func(t *testing.T, path string) { must(t, os.WriteFile(path, []byte("\n"), 0o600)) }, false, []int{4, 2, 3}},
		{"a newer kugetsu wrote a line", func(t *testing.T, path string) {
			must(t, spool.Append(path, []byte(`{"v":2,"run":["any"],"ended_at":5}`+"\n")))
		}, true, []int{4, 1, 2}},
	} {
		l := newLedger(t)
		must(t, l.Add(run(4, 48*time.Hour)))
		must(t, l.Add(run(1, time.Hour)))
		must(t, l.Add(run(2, time.Hour)))
		tt.harm(t, filepath.Join(l.Dir, day))
		found, err := l.Check()
		must(t, err)
		if found.Whole != tt.whole || len(found.Bad) > 0 {
			t.Errorf("%s: %+v", tt.name, found)
		}
		if !found.Whole {
			must(t, l.Rebuild([]Run{run(2, time.Hour), run(3, time.Hour), run(5, Keep+time.Hour)}, found.Damaged))
		}
		must(t, l.Checked())
		if got := l.numbers(t, noon.Add(-Keep)); !slices.Equal(got, tt.want) {
			t.Errorf("%s: runs %v, not %v", tt.name, got, tt.want)
		}
		if found, err := l.Check(); !found.Whole || err != nil {
			t.Errorf("%s: the ledger is not whole: %v", tt.name, err)
		}
		if data, err := os.ReadFile(filepath.Join(l.Dir, day)); tt.name[0] == 'a' && tt.whole && (err != nil || !strings.Contains(string(data), `"v":2`)) {
			t.Errorf("%s: the line is gone: %v", tt.name, err)
		}
	}
}

func TestBrokenLineIsLostWhereNothingElseKnowsItsRun(t *testing.T) {
	const day = "2026-11-28.jsonl"
	known, other := run(1, time.Hour), run(2, time.Hour)
	whole, err := other.line()
	must(t, err)
	broken := strings.Replace(strings.TrimSpace(string(whole)), `"ended_at":"2026`, `"ended_at":"20x6`, 1)
	for _, tt := range []struct {
		name, line string
		items      []Run // that the items know
		want       bool
	}{
		{"a number that is none", broken, nil, true},
		{"the items know its run", broken, []Run{other}, false},
		{"another line knows its run", strings.ReplaceAll(broken, other.Name, known.Name), nil, false},
		{"a run that is named like none", strings.ReplaceAll(broken, other.Name, "q_?.1"), []Run{other}, true},
		{"it is not text", "\xff\xfe", nil, true},
		{"a hole that a power cut leaves", "\x00\x00\x00", nil, false},
		{"an empty line", "", nil, false},
	} {
		l := newLedger(t)
		must(t, l.Add(known))
		must(t, spool.Append(filepath.Join(l.Dir, day), []byte(tt.line+"\n")))
		got, err := l.Lost(day, tt.items)
		must(t, err)
		if want := tt.line + "\n"; tt.want && string(got) != want || !tt.want && len(got) > 0 {
			t.Errorf("%s: %q is lost", tt.name, got)
		}
	}
	for cut := range len(whole) - 1 { // a line that lacks only its newline is no record either, and by then the items know its run
		l := newLedger(t)
		must(t, l.Add(known))
		must(t, spool.Append(filepath.Join(l.Dir, day), whole[:cut+1]))
		must(t, l.Add(other))
		if got, err := l.Lost(day, nil); err != nil || len(got) > 0 {
			t.Errorf("torn after %d bytes: %q, %v", cut+1, got, err)
		}
	}
}

func TestCheckNamesWhatIsNoFileOfADay(t *testing.T) {
	l := newLedger(t)
	path := filepath.Join(l.Dir, "2026-11-28.jsonl")
	must(t, os.Mkdir(path, 0o700))
	found, err := l.Check()
	must(t, err)
	if found.Whole || !slices.Equal(found.Bad, []string{path}) {
		t.Errorf("%+v", found)
	}
	if err := l.Add(run(1, time.Hour)); err == nil || !strings.Contains(err.Error(), "not a state file: a folder") {
		t.Error(err)
	}
}

func TestDaysAreRemovedAfterAYearAFewAPass(t *testing.T) {
	l := newLedger(t)
	for n := range expireMost + 2 {
		must(t, l.Add(run(n, Keep+time.Duration(n+1)*24*time.Hour)))
	}
	must(t, l.Add(run(99, Keep-24*time.Hour)))
	for _, want := range []int{3, 1, 1} {
		must(t, l.Checked())
		names, err := l.days()
		must(t, err)
		if len(names) != want {
			t.Errorf("%d days are left, not %d: %v", len(names), want, names)
		}
		if found, err := l.Check(); !found.Whole || err != nil {
			t.Errorf("an old day looks lost: %v", err)
		}
	}
}

// The statistics of five days of 10,000 runs.
func BenchmarkSinceOf50000Runs(b *testing.B) {
	l := newLedger(b)
	for d := range 5 {
		var text []byte
		for n := range 10_000 {
			r := run(d*10_000+n, time.Duration(d)*24*time.Hour)
			line, err := r.line()
			must(b, err)
			text = append(text, line...)
		}
		must(b, spool.Write(filepath.Join(l.Dir, day(noon.Add(-time.Duration(d)*24*time.Hour))), text))
	}
	for b.Loop() {
		if runs, err := l.Since(noon.Add(-7 * 24 * time.Hour)); err != nil || len(runs) != 50_000 {
			b.Fatal(len(runs), err)
		}
	}
}

// A settle on a day that has 10,000 runs: appended, as it is done, and with the file replaced, for comparison.
func BenchmarkAddToADayOf10000Runs(b *testing.B) {
	l := newLedger(b)
	var text []byte
	for n := range 10_000 {
		r := run(n, time.Hour)
		line, err := r.line()
		must(b, err)
		text = append(text, line...)
	}
	path := filepath.Join(l.Dir, "2026-11-28.jsonl")
	must(b, spool.Write(path, text))
	b.Run("appended", func(b *testing.B) {
		for b.Loop() {
			must(b, l.Add(run(1, time.Hour)))
		}
	})
	b.Run("replaced", func(b *testing.B) {
		for b.Loop() {
			must(b, spool.Write(path, text))
		}
	})
}
