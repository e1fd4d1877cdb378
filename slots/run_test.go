package slots

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"kugetsu/queue/spool"
)

const (
	someItem = "q_01arz3ndektsv4rrffq69g5fav"
	someRun  = someItem + ".1"
)

func newDir(t *testing.T) Dir {
	t.Helper()
	d := Dir(t.TempDir())
	must(t, d.Make())
	return d
}

func TestMarkersAreReadBackAsTheyWereWritten(t *testing.T) {
	for _, m := range []Marker{
		{Phase: Exit}, {Phase: Started}, {Phase: Ended, Outcome: "ok", Code: 0}, {Phase: Ended, Outcome: "start_failed", Code: 0}, {Phase: Ended, Outcome: "failed", Code: 255}, {Phase: Ended, Outcome: "a_newer_one", Code: 7},
	} {
		if got, ok := parseMarker(m.name()); !ok || got != m {
			t.Errorf("%+v became %s, and that %+v", m, m.name(), got)
		}
	}
	for _, name := range []string{"", "end", "end.ok", "end.ok.", "end.ok.-1", "end.ok.1000", "end.OK.0", "end..0", "end.ok.0.1", "Exit", "started ", "log", "result.json"} {
		if m, ok := parseMarker(name); ok {
			t.Errorf("%q is taken for %+v", name, m)
		}
	}
}

func TestFurthestMarkerCounts(t *testing.T) {
	for _, c := range []struct {
		files []string
		want  Marker
	}{
		{nil, Marker{}},
		{[]string{"log", "result.json", "cancel", "tmp"}, Marker{}},
		{[]string{"exit", "log"}, Marker{Phase: Exit}},
		{[]string{"started", "log"}, Marker{Phase: Started}},
		{[]string{"end.failed.3"}, Marker{Phase: Ended, Outcome: "failed", Code: 3}},
		{[]string{"exit", "started"}, Marker{Phase: Started}},
		{[]string{"exit", "end.ok.0"}, Marker{Phase: Ended, Outcome: "ok", Code: 0}},
		{[]string{"started", "end.ok.0"}, Marker{Phase: Ended, Outcome: "ok", Code: 0}},
		{[]string{"exit", "started", "end.ok.0"}, Marker{Phase: Ended, Outcome: "ok", Code: 0}},
	} {
		d := newDir(t)
		must(t, os.Mkdir(d.RunDir(someRun), 0o700))
		for _, name := range c.files {
			must(t, os.WriteFile(filepath.Join(d.RunDir(someRun), name), nil, 0o600))
		}
		if got, err := d.ReadMarker(someRun); err != nil || got != c.want {
			t.Errorf("%v: %+v, %v", c.files, got, err)
		}
	}
}

func TestRunGoesForwardByRenamesAlone(t *testing.T) {
	d := newDir(t)
	if m, err := d.ReadMarker(someRun); err != nil || m.Phase != Missing {
		t.Errorf("%+v, %v", m, err)
	}
	must(t, d.ClaimRun(someRun))
	if err := d.ClaimRun(someRun); !errors.Is(err, fs.ErrExist) {
		t.Errorf("claimed twice: %v", err)
	}
	at := Marker{Phase: Exit}
	for _, next := range []Marker{{Phase: Started}, {Phase: Ended, Outcome: "ok", Code: 0}} {
		must(t, d.setMarker(someRun, at, next))
		if err := d.setMarker(someRun, at, next); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("from %s twice: %v", at.name(), err)
		}
		at = next
		if m, err := d.ReadMarker(someRun); err != nil || m != at {
			t.Errorf("%+v, %v", m, err)
		}
		names, err := spool.List(d.RunDir(someRun))
		if err != nil || len(names) != 1 {
			t.Errorf("%v, %v", names, err)
		}
	}
	// A run that ended is claimed for good.
	if err := d.ClaimRun(someRun); !errors.Is(err, fs.ErrExist) {
		t.Errorf("claimed after its end: %v", err)
	}
	must(t, d.DropRun(someRun))
	must(t, d.DropRun(someRun))
}

func TestFolderThatIsNoRunIsNotDropped(t *testing.T) {
	d := newDir(t)
	must(t, os.WriteFile(filepath.Join(string(d), "precious"), nil, 0o600))
	for _, name := range []string{"", ".", "..", "../precious", someItem, someItem + ".0", someItem + ".x", someRun + "/../../sessions", "../" + someRun} {
		if err := d.DropRun(name); err == nil {
			t.Errorf("%q was dropped", name)
		}
	}
	for _, path := range []string{string(d), filepath.Join(string(d), "precious"), d.runs(), d.sessions()} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
}

func TestRunsAreListedByNumber(t *testing.T) {
	d := newDir(t)
	other := "q_01arz3ndektsv4rrffq69g5faw"
	for _, name := range []string{RunName(someItem, 10), RunName(someItem, 9), RunName(someItem, 1), RunName(other, 2), someItem + ".x", someItem + ".01", someItem} {
		must(t, os.Mkdir(filepath.Join(d.runs(), name), 0o700))
	}
	got, err := d.Runs(someItem)
	want := []string{RunName(someItem, 1), RunName(someItem, 9), RunName(someItem, 10)}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := d.Runs("q_01arz3ndektsv4rrffq69g5fax"); err != nil || len(got) > 0 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestNewestRunIsTheOneThatSpokeLast(t *testing.T) {
	d := newDir(t)
	if run, err := d.NewestRun(); err != nil || run != "" {
		t.Errorf("%q, %v", run, err)
	}
	now := time.Now()
	for i, n := range []int{1, 3, 2} {
		run := RunName(someItem, n)
		must(t, os.Mkdir(d.RunDir(run), 0o700))
		must(t, os.WriteFile(d.LogPath(run), nil, 0o600))
		at := now.Add(time.Duration(i) * time.Second)
		must(t, os.Chtimes(d.LogPath(run), at, at))
	}
	must(t, os.Mkdir(d.RunDir(RunName(someItem, 4)), 0o700)) // without a log
	if run, err := d.NewestRun(); err != nil || run != RunName(someItem, 2) {
		t.Errorf("%q, %v", run, err)
	}
}

func TestCancelMarkIsMadeOnceAndStays(t *testing.T) {
	d := newDir(t)
	must(t, d.ClaimRun(someRun))
	for _, want := range []bool{false, true, true} {
		if got, err := d.Cancelled(someRun); err != nil || got != want {
			t.Errorf("%t, %v", got, err)
		}
		must(t, d.MarkCancelled(someRun))
	}
	if m, err := d.ReadMarker(someRun); err != nil || m.Phase != Exit {
		t.Errorf("%+v, %v", m, err)
	}
}
