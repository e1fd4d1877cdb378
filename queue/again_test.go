package queue

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// An item that is there all the time is found at every time, however often it gets another priority or moves between the
// folders.
func TestFindMeetsAnItemThatMoves(t *testing.T) {
	q := newQueue(t, time.Now)
	it := &Item{ID: someID, After: []string{}}
	e, err := q.Publish(it, Dev, 50)
	fatal(t, err)
	for n := range 200 { // others to list
		other := &Item{ID: NewID(time.Now()), After: []string{}}
		if _, err := q.Publish(other, Dev, n%100); err != nil {
			t.Fatal(err)
		}
	}
	stop := make(chan struct{})
	var mover sync.WaitGroup
	mover.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			to := filepath.Join([]string{q.Items, q.PM, q.Finished}[n/7%3], fmt.Sprintf("%02d-%s.json", n*37%100, someID))
			if err := os.Rename(e.Path, to); err != nil {
				t.Error(err)
				return
			}
			e.Path = to
		}
	})
	for range 300 {
		if _, err := q.Find(someID); err != nil {
			t.Errorf("find: %v", err)
			break
		}
		if _, err := q.Resolve(someID, nil); err != nil {
			t.Errorf("resolve: %v", err)
			break
		}
	}
	close(stop)
	mover.Wait()
	if _, err := q.Find(NewID(time.Now())); !IsAbsent(err) {
		t.Errorf("what is nowhere is %v", err)
	}
}
