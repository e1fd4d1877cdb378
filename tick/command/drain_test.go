package command

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/event"
)

// A drain goes on while an item that is settled lies among the live ones: queue stats would count it as running.
func TestDrainWaitsUntilASettledItemIsMoved(t *testing.T) {
	dir := t.TempDir()
	at := func(parts ...string) string { return filepath.Join(append([]string{dir}, parts...)...) }
	q := &queue.Queue{
		Dirs:   queue.Dirs{Items: at("queue", "items"), PM: at("queue", "pm"), Finished: at("queue", "finished"), Bad: at("queue", "bad")},
		Events: &event.Box{New: at("new"), Seen: at("seen"), Undelivered: at("owed"), Wanted: func(event.Type) bool { return true }, Now: time.Now},
		Now:    time.Now,
	}
	if err := q.Make(); err != nil {
		t.Fatal(err)
	}
	it := &queue.Item{ID: queue.NewID(time.Now()), IssueRef: "github.com/you/project#1", Message: "m", Agent: "command", State: queue.Pending}
	e, err := q.Publish(it, queue.Dev, 50)
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	a := &App{Queue: q, Stderr: &said, Now: time.Now}
	d := &drain{App: a, watched: map[string]queue.State{it.ID: queue.Notified}}
	if err := q.Cancel(e, it); err != nil { // rewrites the item in place
		t.Fatal(err)
	}
	if err := d.progress(); d.live != 1 || d.running != 0 || d.failed != 0 || err != nil {
		t.Errorf("not moved yet: %d live, %d running, %d failed, %v", d.live, d.running, d.failed, err)
	}
	if err := os.Rename(e.Path, filepath.Join(q.Finished, filepath.Base(e.Path))); err != nil {
		t.Fatal(err)
	}
	if err := d.progress(); d.live != 0 || d.failed != 1 || err != nil {
		t.Errorf("moved: %d live, %d failed, %v", d.live, d.failed, err)
	}
}
