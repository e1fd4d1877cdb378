package queue

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"kugetsu/queue/event"
	"kugetsu/queue/spool"
)

// many makes items to be published, and publishes the one that must not be there.
func many(t *testing.T, q *Queue, n, there int) []New {
	t.Helper()
	var list []New
	for i := range n {
		it := &Item{ID: NewID(noon), Agent: "command", IssueRef: fmt.Sprintf("github.com/you/project#%d", i+1), Message: "work", Mode: Auto,
			PendingSince: noon, After: []string{}, History: []Run{}}
		list = append(list, New{Item: it, Lane: Dev, Priority: DefaultPriority})
	}
	if there >= 0 {
		if _, err := q.Publish(list[there].Item, Dev, DefaultPriority); err != nil {
			t.Fatal(err)
		}
	}
	return list
}

// published lists the ids of the items, after making sure that each has its event and that no event has none, and that nothing else
// is left.
func published(t *testing.T, q *Queue) []string {
	t.Helper()
	live, err := q.Live(Dev)
	if err != nil {
		t.Fatal(err)
	}
	ids, events := []string{}, []string{}
	for _, e := range live {
		if it, err := q.Load(e); err != nil || it.State != Pending {
			t.Fatal(it, err)
		}
		ids, events = append(ids, e.ID), append(events, event.Name(e.ID, 0, event.TaskQueued)+".json")
	}
	for dir, want := range map[string]int{q.Items: len(ids), q.Events.New: len(ids), q.Events.Undelivered: len(ids)} {
		names, err := spool.List(dir)
		if err != nil || len(names) != want || dir != q.Items && strings.Join(names, " ") != strings.Join(events, " ") {
			t.Errorf("%s: %v, %v; the items are %v", dir, names, err, ids)
		}
	}
	return ids
}

func TestManyItemsArePublishedInTheirOrderWithTheirEvents(t *testing.T) {
	for _, n := range []int{1, 3, 30} {
		q := newQueue(t, time.Now)
		list := many(t, q, n, -1)
		if done, err := q.PublishAll(list); done != n || err != nil {
			t.Fatal(done, err)
		}
		for i, id := range published(t, q) {
			if id != list[i].Item.ID {
				t.Errorf("item %d of %d is %s, not %s", i+1, n, id, list[i].Item.ID)
			}
		}
	}
}

func TestManyItemsArePublishedUpToTheOneThatCannotBe(t *testing.T) {
	q := newQueue(t, time.Now)
	list := many(t, q, 30, 20) // its name is in use
	if done, err := q.PublishAll(list); done != 20 || !errors.Is(err, fs.ErrExist) {
		t.Fatal(done, err)
	}
	if ids := published(t, q); len(ids) != 21 {
		t.Errorf("%d items, not 20 and the one that was there", len(ids))
	}
	q = newQueue(t, time.Now)
	list = many(t, q, 30, -1)
	list[20].Item.Message = strings.Repeat(`"`, MaxMessage) // it is too large
	if done, err := q.PublishAll(list); done != 20 || err == nil || !strings.Contains(err.Error(), fmt.Sprint(MaxItem)) {
		t.Fatal(done, err)
	}
	if ids := published(t, q); len(ids) != 20 {
		t.Errorf("%d items, not 20", len(ids))
	}
}
