package tick

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/spool"
	"kugetsu/slots"
)

// golden is part of a state folder that a released version wrote: see package queue's test.
const golden = slots.Dir("../queue/testdata/golden")

func TestFilesOfAReleasedVersionAreReadAndWrittenByteForByte(t *testing.T) {
	tick := &Tick{Home: slots.Dir(t.TempDir()), Queue: &queue.Queue{}}
	if err := tick.Home.Make(); err != nil {
		t.Fatal(err)
	}
	during := time.Date(2026, 11, 29, 4, 0, 0, 0, time.UTC)
	pause, err := ReadPause(golden, during)
	if err != nil || pause == nil {
		t.Fatalf("the pause is %v: %v", pause, err)
	}
	if err := WritePause(tick.Home, *pause); err != nil {
		t.Fatal(err)
	}
	holds, held, err := Holds(golden)
	if err != nil || len(held) != 2 {
		t.Fatalf("the holds are %v: %v", held, err)
	}
	for _, name := range held {
		if err := tick.writeHold(name, holds[name]); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"paused", "holds/claude.json", "holds/opencode.json"} {
		want, errWant := os.ReadFile(filepath.Join(string(golden), path))
		got, errGot := os.ReadFile(filepath.Join(string(tick.Home), path))
		if errWant != nil || errGot != nil {
			t.Fatal(errWant, errGot)
		}
		if string(got) != string(want) {
			t.Errorf("%s was\n%sand is written as\n%s", path, want, got)
		}
	}
}

func TestReposOfAReleasedVersionAreRead(t *testing.T) {
	known, err := readRepos(golden)
	want := repos{"127.0.0.1:8931/you/project": {URL: "/home/you/project"}, "127.0.0.1:8931/you/gone": {URL: "/home/you/nowhere"}}
	if err != nil || !reflect.DeepEqual(known, want) {
		t.Errorf("the repositories are %v: %v", known, err)
	}
}

// The outcome of a run is in two files: what the runner told and the item's history say the same.
func TestResultsOfAReleasedVersionAreWhatTheirItemsKeep(t *testing.T) {
	q := &queue.Queue{Dirs: queue.Dirs{Items: filepath.Join(string(golden), "queue/items"), Finished: filepath.Join(string(golden), "queue/finished")}}
	q.PM = q.Items
	tick := &Tick{Home: golden, Queue: q}
	runs, err := spool.List(filepath.Join(string(golden), "runs"))
	if err != nil || len(runs) == 0 {
		t.Fatalf("%d runs: %v", len(runs), err)
	}
	for _, run := range runs {
		id, _, _ := strings.Cut(run, ".")
		e, err := q.Find(id)
		if err != nil {
			t.Fatal(err)
		}
		it, err := q.Load(e)
		if err != nil {
			t.Fatal(err)
		}
		kept := it.History[0]
		got := queue.Result{Run: queue.Run{Run: kept.Run, Outcome: kept.Outcome, Counted: kept.Counted}}
		tick.addReport(&got, run)
		if !reflect.DeepEqual(got.Run, kept) {
			t.Errorf("%s told\n%+v\nand its item keeps\n%+v", run, got.Run, kept)
		}
	}
}
