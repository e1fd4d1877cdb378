package queue

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// An item that is filed between the listings of two folders is in both.
func TestItemThatIsFiledMeanwhileIsFoundOnce(t *testing.T) {
	q := newQueue(t, time.Now)
	var ids []string
	for n := range 2 {
		it := &Item{ID: NewID(time.Unix(int64(n), 0)), IssueRef: "github.com/you/project#1"}
		e, err := q.Publish(it, Dev, DefaultPriority)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Link(e.Path, filepath.Join(q.Finished, filepath.Base(e.Path))); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, it.ID)
	}
	for _, id := range ids {
		if e, err := q.Resolve(id, nil); err != nil || e.ID != id || filepath.Dir(e.Path) != q.Finished {
			t.Errorf("%+v, %v", e, err)
		}
	}
	if _, err := q.Resolve("q_", nil); err == nil || err.Error() != `"q_" fits 2 items` {
		t.Errorf("two items: %v", err)
	}
}
