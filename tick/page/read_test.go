package page

import (
	"bytes"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/event"
	"kugetsu/queue/ledger"
	"kugetsu/slots"
	"kugetsu/tick"
	"kugetsu/tick/settings"
)

func newTick(t *testing.T) (*tick.Tick, *time.Time) {
	t.Helper()
	home, at := t.TempDir(), time.Now().UTC()
	in := func(names ...string) string { return filepath.Join(append([]string{home}, names...)...) }
	s, source, err := settings.Load(home, true)
	if err != nil {
		t.Fatal(err)
	}
	clock := func() time.Time { return at }
	q := &queue.Queue{Dirs: queue.Dirs{Items: in("queue", "items"), PM: in("queue", "pm"), Finished: in("queue", "finished"), Bad: in("queue", "bad")},
		Events: &event.Box{New: in("notifications", "new"), Seen: in("notifications", "seen"), Undelivered: in("notifications", "owed"), Now: clock},
		Ledger: &ledger.Ledger{Dir: slots.Dir(home).Usage(), Now: clock}, Now: clock}
	tk := &tick.Tick{Home: slots.Dir(home), Queue: q, Settings: s, Source: source, Now: clock, Log: slog.New(slog.DiscardHandler)}
	if err := tk.Home.Make(); err != nil {
		t.Fatal(err)
	}
	if err := q.Make(); err != nil {
		t.Fatal(err)
	}
	return tk, &at
}

func TestRefreshWritesOnceAMinute(t *testing.T) {
	tk, at := newTick(t)
	if err := Refresh(tk); err != nil { // without STATUS_PAGE there is nothing to do
		t.Fatal(err)
	}
	tk.Settings.StatusPage = filepath.Join(t.TempDir(), "status.html")
	written := func() []byte {
		t.Helper()
		if err := Refresh(tk); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(tk.Settings.StatusPage)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	first := written()
	if !bytes.Contains(first, []byte("the next one is expected by")) {
		t.Error("the page does not say when the next one is expected")
	}
	*at = at.Add(50 * time.Second)
	if !bytes.Equal(written(), first) {
		t.Error("the page was written twice in a minute")
	}
	*at = at.Add(11 * time.Second)
	if bytes.Equal(written(), first) {
		t.Error("the page was not written again after a minute")
	}
	*at = at.Add(-time.Hour) // the clock was set back, and the file is of the future
	if again := written(); !bytes.Contains(again, []byte(at.Format(time.RFC3339))) {
		t.Error("the page is not written again after the clock was set back")
	}
	tk.Settings.StatusPage = filepath.Join(t.TempDir(), "missing", "status.html")
	if err := Refresh(tk); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("a folder that is not there: %v", err)
	}
}

func TestShadesAreHoursAndHoldsAndThePause(t *testing.T) {
	tk, at := newTick(t)
	tk.Settings.RunHours = settings.Hours(at.Add(-2*time.Hour).Local().Format("15:04") + "-" + at.Add(2*time.Hour).Local().Format("15:04"))
	since, until := at.Add(-time.Hour), at.Add(time.Hour)
	if err := tick.WritePause(tk.Home, tick.Pause{Since: &since, Until: &until, Reason: "lunch"}); err != nil {
		t.Fatal(err)
	}
	hold := `{"until":null,"since":"` + since.Format(time.RFC3339Nano) + `","reason":"401","outcome":"auth","count":1,"run":"q.1","probe":""}`
	if err := os.WriteFile(filepath.Join(tk.Home.Holds(), "claude.json"), []byte(hold), 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := shades(tk)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range list {
		got = append(got, s.Says)
	}
	if len(got) != 3 || got[0] != "outside of RUN_HOURS" || !strings.Contains(got[1], "lunch") || !strings.Contains(got[2], "claude is on hold") {
		t.Errorf("%q", got)
	}
	if !list[1].From.Equal(since) || !list[1].Until.Equal(*at) {
		t.Errorf("the pause is shown from %s to %s", list[1].From, list[1].Until)
	}
}

// The page may be written at any time, also while a tick works.
func TestReadTakesNoLockAndWritesNothing(t *testing.T) {
	tk, _ := newTick(t)
	before := tree(t, string(tk.Home))
	if _, err := Read(tk); err != nil {
		t.Fatal(err)
	}
	if after := tree(t, string(tk.Home)); !slices.Equal(before, after) {
		t.Errorf("%q became %q", before, after)
	}
}

func tree(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		names = append(names, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
