package queue

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"kugetsu/queue/spool"
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

func TestItemsThatAreLoadedTogetherKeepTheirOrderAndTheirErrors(t *testing.T) {
	q := newQueue(t, time.Now)
	var entries []Entry
	for n := range 50 {
		e, err := q.Publish(&Item{ID: NewID(time.Unix(int64(n), 0)), IssueRef: fmt.Sprintf("github.com/you/project#%d", n+1)}, Dev, DefaultPriority)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
	}
	if err := errors.Join(os.Remove(entries[7].Path), os.WriteFile(entries[30].Path, []byte("{"), 0o600)); err != nil {
		t.Fatal(err)
	}
	all := q.LoadAll(entries)
	for n, e := range entries {
		switch l := all[n]; {
		case l.Entry != e:
			t.Errorf("%d is %s, not %s", n, l.ID, e.ID)
		case n == 7 && IsAbsent(l.Err), n == 30 && errors.Is(l.Err, spool.ErrBad):
		case l.Err != nil || l.Item.ID != e.ID:
			t.Errorf("%d: %+v, %v", n, l.Item, l.Err)
		}
	}
	if len(all) != len(entries) || len(q.LoadAll(nil)) != 0 {
		t.Errorf("%d of %d", len(all), len(entries))
	}
}
