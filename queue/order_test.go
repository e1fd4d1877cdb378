package queue

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"testing"
	"time"
)

// After a crash between the event and the item, or between the item and the move, the next tick repeats the same event.
func TestDependencyThatFailsIsToldUnderOneNameHoweverOftenItIsTried(t *testing.T) {
	now := noon
	q := newQueue(t, func() time.Time { now = now.Add(time.Second); return now })
	it := &Item{ID: NewID(noon), IssueRef: "github.com/you/project#1", Message: "m", PendingSince: noon}
	e, err := q.Publish(it, Dev, DefaultPriority)
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(e.Path)
	if err != nil {
		t.Fatal(err)
	}
	fail := func() {
		t.Helper()
		it, err := q.Load(e)
		if err != nil {
			t.Fatal(err)
		}
		if err := q.FailDependency(e, it, "q_x ended in an error"); err != nil {
			t.Fatal(err)
		}
	}
	fail()
	if err := os.WriteFile(e.Path, before, 0o600); err != nil { // the first write was done, the second was not
		t.Fatal(err)
	}
	fail()
	if names := told(t, q); len(names) != 1 {
		t.Errorf("it was told as %v", names)
	}

	// After a retry by hand a second failure, without a run in between, is another event.
	it, err = q.Load(e)
	if err != nil || it.State != Errored || *it.Error != "dependency: q_x ended in an error" || it.CompletedAt == nil {
		t.Fatalf("%+v, %v", it, err)
	}
	if e, err = q.File(e); err == nil {
		e, err = q.Retry(e, it)
	}
	if err != nil {
		t.Fatal(err)
	}
	fail()
	if names := told(t, q); len(names) != 2 {
		t.Errorf("twice it was told as %v", names)
	}
}

// told lists the names of the error events.
func told(t *testing.T, q *Queue) []string {
	t.Helper()
	events, bad, err := q.Events.List()
	if err != nil || bad > 0 {
		t.Fatal(err, bad)
	}
	var names []string
	for _, ev := range events {
		if ev.Type == "task_error" {
			names = append(names, ev.Name)
		}
	}
	return names
}

func TestMoveDeletesNoOtherFile(t *testing.T) {
	q := newQueue(t, time.Now)
	it := &Item{ID: NewID(noon), Message: "m"}
	e, err := q.Publish(it, Dev, 50)
	if err != nil {
		t.Fatal(err)
	}
	copied := q.dir(Dev) + "/" + fileName(10, it.ID)
	if err := os.WriteFile(copied, []byte("a copy made by hand"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := q.Move(e, 10); !errors.Is(err, fs.ErrExist) {
		t.Errorf("it was moved over another: %v", err)
	}
	if _, err := q.Load(e); err != nil {
		t.Error(err)
	}
}

func TestLiveItemIsSeenWhateverVersionWroteIt(t *testing.T) {
	q := newQueue(t, time.Now)
	for name, data := range map[string]string{
		"50-q_01arz3ndektsv4rrffq69g5fav.json": `{"v":99,"id":7,"state":{"x":1},"issue_ref":"github.com/you/project#1","after":["a","b"]}`,
		"50-q_01arz3ndektsv4rrffq69g5fbw.json": `{"v":1,"state":"pending","message":"m"}`,
		"50-q_01arz3ndektsv4rrffq69g5fcx.json": `{"issue_ref":"github.com/you/project#2"`,
	} {
		if err := os.WriteFile(q.Items+"/"+name, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(q.PM+"/50-q_01arz3ndektsv4rrffq69g5fdy.json", 0o700); err != nil {
		t.Fatal(err)
	}
	var seen []Public
	if err := q.LivePublic(func(_ string, p Public) { seen = append(seen, p) }); err != nil {
		t.Fatal(err)
	}
	if len(seen) != 3 || seen[0].IssueRef != "github.com/you/project#1" || !slices.Equal(seen[0].After, []string{"a", "b"}) ||
		seen[1].Message != "m" || seen[1].State != Pending || seen[2].IssueRef != "" {
		t.Errorf("%+v", seen)
	}
	// A dependency that may only be hidden is not taken for absent.
	if err := os.RemoveAll(q.PM); err != nil {
		t.Fatal(err)
	}
	if err := q.LivePublic(func(string, Public) {}); err == nil {
		t.Error("a lane that is gone was taken for an empty one")
	}
}
