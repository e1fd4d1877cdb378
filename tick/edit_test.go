package tick

import (
	"strings"
	"sync"
	"testing"
	"time"

	"kugetsu/queue"
)

// An item that is edited while a pass claims it either gets the new text before it is started or is not changed: there is one item,
// it is started once, and what its record says is what its run got.
func TestEditBesideAPassIsBeforeTheStartOrNotAtAll(t *testing.T) {
	tick := newTick(t, time.Now)
	before, refused := 0, 0
	for n := range 12 {
		tick.Settings.MaxAgents = n + 1
		id, err := tick.publish(n+1, 50, nil)
		must(t, err)
		var report Report
		var passErr, editErr error
		pass := func() { report, passErr = tick.Run(t.Context(), time.Minute) }
		edit := func() {
			editErr = tick.Edit(t.Context(), id, func(it *queue.Item, _ int) (int, error) {
				it.Message = "edited"
				return n, nil
			})
		}
		switch n % 3 {
		case 0:
			edit()
			pass()
		case 1:
			pass()
			edit()
		default:
			var both sync.WaitGroup
			both.Go(pass)
			both.Go(edit)
			both.Wait()
		}
		must(t, passErr)
		if len(report.Started) != 1 {
			t.Fatalf("%d items were started", len(report.Started))
		}
		e, it, err := tick.item(id)
		must(t, err)
		want, priority := "edited", n
		switch {
		case editErr == nil:
			before++
		case strings.HasSuffix(editErr.Error(), "is running: only a waiting item can be edited"):
			want, priority = "m", 50
			refused++
		default:
			t.Fatal(editErr)
		}
		if it.State != queue.Notified || it.Runs != 1 || it.Message != want || e.Priority != priority {
			t.Fatalf("%s, run %d, priority %d, %q; edited: %v", it.State, it.Runs, e.Priority, it.Message, editErr)
		}
	}
	if before == 0 || refused == 0 {
		t.Errorf("%d edits came before the pass, %d after", before, refused)
	}
}

func TestEditRefusesAnItemThatWouldWaitForItself(t *testing.T) {
	tick := newTick(t, time.Now)
	publish := func(after ...string) string {
		id, err := tick.publish(1, 50, nil, after...)
		must(t, err)
		return id
	}
	one := publish()
	two := publish(one)
	three := publish(two)
	gone := publish()
	four := publish(three, gone)
	e, _, err := tick.item(gone)
	must(t, err)
	must(t, tick.Queue.Quarantine(e.Path, err))
	e, it, err := tick.item(two) // settled: it may be retried
	must(t, err)
	must(t, tick.Queue.Cancel(e, it))
	_, err = tick.Queue.File(e)
	must(t, err)
	wait := func(id string, after ...string) error {
		return tick.Edit(t.Context(), id, func(it *queue.Item, priority int) (int, error) {
			it.After = after
			return priority, nil
		})
	}
	for _, on := range []string{one, three, four} {
		if err := wait(one, on); err == nil || !strings.Contains(err.Error(), "would wait for itself: "+one) {
			t.Errorf("it may wait for %s: %v", on, err)
		}
	}
	if err := wait(four, three, one, gone); err != nil {
		t.Error(err)
	}
}
