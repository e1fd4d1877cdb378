package event

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kugetsu/queue/spool"
)

// box is a Box whose clock stands still until it is moved.
type box struct {
	*Box
	t   *testing.T
	now time.Time
}

func newBox(t *testing.T) *box {
	dir := t.TempDir()
	b := &box{t: t, now: time.Now()}
	b.Box = &Box{
		New: filepath.Join(dir, "notes", "new"), Seen: filepath.Join(dir, "notes", "seen"), Undelivered: filepath.Join(dir, "notes", "owed"),
		Wanted: func(Type) bool { return true }, Now: func() time.Time { return b.now },
	}
	must(t, b.Make())
	return b
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (b *box) put(name string) {
	b.t.Helper()
	must(b.t, b.Put(Event{Name: name, Type: TaskQueued}))
	b.age(name, 0)
}

// age sets the times of an event's files to this long before the box's clock.
func (b *box) age(name string, by time.Duration) {
	b.t.Helper()
	at := b.now.Add(-by)
	for _, dir := range []string{b.New, b.Seen, b.Undelivered} {
		if err := os.Chtimes(filepath.Join(dir, name+".json"), at, at); err != nil && !os.IsNotExist(err) {
			b.t.Fatal(err)
		}
	}
}

func (b *box) listed() []string {
	b.t.Helper()
	events, _, err := b.List()
	must(b.t, err)
	return names(events)
}

func (b *box) owed() []string {
	b.t.Helper()
	events, err := b.ToDeliver(nil)
	must(b.t, err)
	return names(events)
}

func names(events []Event) []string {
	var names []string
	for _, ev := range events {
		names = append(names, ev.Name)
	}
	return names
}

func (b *box) want(what string, got []string, want ...string) {
	b.t.Helper()
	if !slices.Equal(got, want) {
		b.t.Errorf("%s: %v, not %v", what, got, want)
	}
}

func TestEventsAreListedInTheOrderTheyHappened(t *testing.T) {
	b := newBox(t)
	b.put("z")
	b.now = b.now.Add(time.Second)
	b.put("a")
	b.put("b")
	b.want("listed", b.listed(), "z", "a", "b")

	// An event that is put again under its name is still one event, and its time is now.
	b.now = b.now.Add(time.Second)
	b.put("z")
	b.want("listed", b.listed(), "a", "b", "z")
}

func TestFileThatIsNoEventIsCountedAndHidesNone(t *testing.T) {
	b := newBox(t)
	b.put("good")
	must(t, os.WriteFile(filepath.Join(b.New, "junk.json"), []byte("{"), 0o600))
	must(t, os.WriteFile(filepath.Join(b.New, "another.json"), []byte(`{"name":"good"}`), 0o600))
	must(t, unix.Mkfifo(filepath.Join(b.New, "fifo.json"), 0o600))
	must(t, os.WriteFile(filepath.Join(b.New, "good.json4711"), nil, 0o600))
	events, bad, err := b.List()
	if err != nil || bad != 3 || len(events) != 1 {
		t.Errorf("%v, %d bad, %v", events, bad, err)
	}
}

func TestClearingMarksAsSeenAndOwesNothingLess(t *testing.T) {
	b := newBox(t)
	b.put("a")
	b.put("b")
	for want := 2; want >= 0; want -= 2 {
		if n, err := b.Clear(); err != nil || n != want {
			t.Errorf("%d cleared, %v", n, err)
		}
	}
	b.want("listed", b.listed())
	b.want("owed", b.owed(), "a", "b")
}

func TestEventThatWasToldIsNotToldOnceMore(t *testing.T) {
	b := newBox(t)
	ev := Event{Name: "x", Type: TaskStarted}
	must(t, b.PutOnce(ev))
	events, err := b.ToDeliver(nil)
	must(t, err)
	must(t, b.Delivered(events[0]))
	must(t, b.PutOnce(ev))
	b.want("owed", b.owed())
	if _, err := b.Clear(); err != nil {
		t.Fatal(err)
	}
	must(t, b.PutOnce(ev))
	b.want("listed", b.listed())
	b.want("owed", b.owed())
}

func TestRetractedEventWasNeverTold(t *testing.T) {
	b := newBox(t)
	b.put("a")
	must(t, b.Retract("a"))
	must(t, b.Retract("a"))
	b.want("listed", b.listed())
	b.want("owed", b.owed())
}

func TestEventsWithoutACommandAreNotOwed(t *testing.T) {
	b := newBox(t)
	b.Wanted = nil
	b.put("a")
	b.want("listed", b.listed(), "a")
	b.want("owed", b.owed())
}

func TestRefusedEventIsToldAfterTheOthers(t *testing.T) {
	b := newBox(t)
	for _, name := range []string{"a", "b", "c"} {
		b.put(name)
		b.now = b.now.Add(time.Second)
	}
	b.want("owed", b.owed(), "a", "b", "c")
	events, err := b.ToDeliver(nil)
	must(t, err)
	must(t, b.Postpone(events[0]))
	b.want("owed", b.owed(), "b", "c", "a")
	must(t, b.Delivered(events[1]))
	must(t, b.Delivered(events[1]))
	b.now = b.now.Add(time.Second)
	b.put("d")
	b.want("owed", b.owed(), "c", "a", "d")
}

func TestEventsOfOneTickOfTheFileClockAreToldInTheOrderTheyHappened(t *testing.T) {
	b := newBox(t)
	written := b.now
	for _, name := range []string{"c", "a", "b"} {
		b.put(name)
		must(t, os.Chtimes(filepath.Join(b.Undelivered, name+".json"), written, written))
		b.now = b.now.Add(time.Millisecond)
	}
	b.want("owed", b.owed(), "c", "a", "b")
}

func TestFileThatIsNoEventIsSetAsideAndHoldsUpNone(t *testing.T) {
	b := newBox(t)
	b.put("good")
	must(t, os.WriteFile(filepath.Join(b.Undelivered, "junk.json"), []byte("{"), 0o600))
	must(t, os.Symlink("/dev/zero", filepath.Join(b.Undelivered, "\x1b zeros.json")))
	must(t, os.WriteFile(filepath.Join(b.Undelivered, "deliver.lock"), nil, 0o600))
	newer := filepath.Join(b.Undelivered, "newer.json")
	must(t, os.WriteFile(newer, []byte(`{"v":99,"name":["newer"]}`), 0o600))
	bad := t.TempDir()
	for range 2 {
		events, err := b.ToDeliver(func(path, name string, why error) error {
			return spool.Rename(path, filepath.Join(bad, name))
		})
		must(t, err)
		b.want("owed", names(events), "good")
	}
	aside, err := spool.List(bad)
	must(t, err)
	b.want("set aside", aside, "event.__zeros.json.5dd36f42", "event.junk.json")
	if there, err := spool.Exists(newer); err != nil || !there {
		t.Errorf("an event of a newer kugetsu was not left alone: %v", err)
	}
}

func TestEventsExpireWhetherClearedOrNot(t *testing.T) {
	b := newBox(t)
	day := 24 * time.Hour
	for _, name := range []string{"seen-old", "seen-new"} {
		b.put(name)
	}
	if _, err := b.Clear(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"new", "old", "older", "oldest"} {
		b.put(name)
	}
	b.age("seen-old", 8*day)
	b.age("seen-new", 6*day)
	b.age("new", 6*day)
	b.age("old", 8*day)
	b.age("older", 9*day)
	b.age("oldest", 80*day)
	must(t, os.WriteFile(filepath.Join(b.Seen, "not ours"), nil, 0o600))
	b.age("not ours", 100*day)
	must(t, b.Expire(7*day, 2))
	seen, err := spool.List(b.Seen)
	must(t, err)
	b.want("seen", seen, "not ours", "seen-new.json")
	if left := b.listed(); len(left) != 3 {
		t.Errorf("two were to be deleted, and these are left: %v", left)
	}
	must(t, b.Expire(7*day, 100))
	b.want("listed", b.listed(), "new")
}

func TestNameOfABadFileIsFitForAFile(t *testing.T) {
	b := newBox(t)
	for _, file := range []string{"x.json", "../../x", "\x1b[31m.json", strings.Repeat("é", 200), "", "..", "a b\nc"} {
		ev := Bad(file, errors.New("why"))
		must(t, b.Put(ev))
		if filepath.Base(ev.Name) != ev.Name || len(ev.Name) > 200 {
			t.Errorf("%q is told as %q", file, ev.Name)
		}
	}
	events, bad, err := b.List()
	if err != nil || bad > 0 || len(events) != 7 {
		t.Errorf("%d events, %d bad, %v", len(events), bad, err)
	}
}

func TestNamesTellItemRunAndTypeApart(t *testing.T) {
	seen := map[string]bool{}
	for _, item := range []string{"q_a", "q_b"} {
		for run := range 12 {
			for _, kind := range []Type{TaskQueued, TaskDequeued, TaskStarted, TaskCompleted, TaskError, TaskRetry} {
				name := Name(item, run, kind)
				if seen[name] || name != fmt.Sprintf("%s.%d.%s", item, run, kind) {
					t.Errorf("%s", name)
				}
				seen[name] = true
			}
		}
	}
}
