package tick

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/event"
	"kugetsu/queue/ledger"
	"kugetsu/queue/outcome"
	"kugetsu/slots"
	"kugetsu/tick/settings"
)

// As when tick.lock was deleted while it was held: this pass read the item, and another one settled it before this one
// had the session's lock.
func TestPassThatReadAnItemTooEarlyDoesNotSettleItAgain(t *testing.T) {
	for _, c := range []struct {
		name    string
		outcome outcome.Outcome
		filed   bool
	}{
		{"completed and filed", outcome.OK, true},
		{"completed", outcome.OK, false},
		{"to be retried", outcome.Failed, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			at := func(name string) string { return filepath.Join(dir, "queue", name) }
			q := &queue.Queue{
				Dirs:   queue.Dirs{Items: at("items"), PM: at("pm"), Finished: at("finished"), Bad: at("bad")},
				Events: &event.Box{New: at("new"), Seen: at("seen"), Undelivered: at("owed"), Now: time.Now},
				Ledger: &ledger.Ledger{Dir: filepath.Join(dir, "usage"), Now: time.Now},
				Now:    time.Now,
			}
			tick := &Tick{Home: slots.Dir(dir), Queue: q, Settings: &settings.Settings{MaxAttempts: 3}, Source: settings.Open(dir, true), Now: time.Now, Log: slog.New(slog.DiscardHandler)}
			must(t, tick.Home.Make())
			must(t, q.Make())
			it := &queue.Item{ID: queue.NewID(time.Now()), IssueRef: "github.com/o/r#1", Agent: "command", Message: "m", Mode: queue.Auto}
			e, err := q.Publish(it, queue.Dev, queue.DefaultPriority)
			must(t, err)
			must(t, q.Notify(e, it, 1, 1, nil))
			early, err := q.Load(e)
			must(t, err)

			must(t, q.Settle(e, it, queue.Result{Run: queue.Run{Run: 1, Outcome: c.outcome}}, tick.policy()))
			if c.filed {
				_, err = q.File(e)
				must(t, err)
			}
			must(t, tick.settleUnnamed(context.Background(), e, early, newOccupied(), &Report{}))

			found, err := q.Find(it.ID)
			must(t, err)
			now, err := q.Load(found)
			must(t, err)
			if now.State != it.State || now.Attempts != it.Attempts || len(now.History) != 1 || now.History[0].Outcome != c.outcome {
				t.Errorf("it was %s after %d attempts and is %s after %d: %+v", it.State, it.Attempts, now.State, now.Attempts, now.History)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
