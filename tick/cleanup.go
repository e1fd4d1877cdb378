package tick

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/spool"
	"kugetsu/tick/session"
)

const (
	// expireMost limits the items that one pass deletes, since tick.lock is locked meanwhile.
	expireMost = 50
	// expireEvents limits the events in the same way. Deleting one takes much less time.
	expireEvents = 5000
	// sweepEvery is how often a pass looks for temporary files and old events. It must be well below spool.TempAge.
	sweepEvery = 10 * time.Minute
)

// cleanUp deletes what is old enough: settled items with their runs, unless a live item waits for them, events, and temporary
// files of crashed writers. It is limited, since it runs under the lock; the next pass continues. due means that this pass
// should also sweep the rest, after the lock.
func (t *Tick) cleanUp() (due bool, err error) {
	if t.Config != nil {
		return false, nil // the retention times are not known
	}
	last, due, dueErr := t.sweepDue()
	// Before items are deleted: from them alone a lost ledger can be written anew.
	if err = t.keepLedger(due); err == nil {
		err = t.expire()
	}
	if dueErr != nil || !due {
		return false, errors.Join(err, dueErr)
	}
	errs := []error{err, t.Home.SweepTmp(t.Now())}
	for _, dir := range []string{t.Queue.Items, t.Queue.PM, t.Queue.Finished, t.Queue.Events.New, t.Queue.Events.Seen,
		t.Queue.Events.Undelivered, string(t.Home), filepath.Join(string(t.Home), "slots"), filepath.Join(string(t.Home), "sessions"),
		filepath.Join(string(t.Home), "agents"), t.Home.Holds(), t.Home.Reviews(), t.Home.Quotas(), t.Queue.Ledger.Dir} {
		errs = append(errs, spool.Sweep(dir, t.Now(), last))
	}
	errs = append(errs, t.forgetDismissed(last))
	return true, errors.Join(append(errs, t.Queue.Events.Expire(t.Settings.CleanupAge(), expireEvents))...)
}

// sweepDue is the time of the last sweep, and whether the next one is due. The time is that of the folder seen/, which only sweeps and
// the clearing of events change.
func (t *Tick) sweepDue() (last time.Time, due bool, err error) {
	info, err := os.Stat(t.Queue.Events.Seen)
	if err != nil {
		return last, false, err
	}
	last = info.ModTime()
	age := t.Now().Sub(last)
	if age >= 0 && age < sweepEvery { // a time in the future: the clock was set back
		return last, false, nil
	}
	return last, true, os.Chtimes(t.Queue.Events.Seen, t.Now(), t.Now())
}

// keepLedger looks whether the ledger is whole, and writes what is missing from the items. A folder that has none yet
// gets one in the first pass.
func (t *Tick) keepLedger(due bool) error {
	if begun, err := t.Queue.Ledger.Begun(); err != nil || begun && !due {
		return err
	}
	return t.Queue.KeepLedger()
}

func (t *Tick) expire() error {
	entries, err := t.Queue.SettledUnsorted()
	if err != nil {
		return err
	}
	var errs []error
	deleted := 0
	limit := t.Now().Add(-t.Settings.CleanupAge())
	young := queue.FirstID(limit)
	needed := sync.OnceValues(t.needed) // the live items are read only if there is something to delete
	for _, e := range entries {
		if deleted == expireMost {
			break
		}
		// The id has the time of enqueueing. A younger item cannot have been settled long enough ago and need not be read.
		if e.ID >= young {
			continue
		}
		old, err := t.settledBefore(e, limit)
		if err == nil && old {
			keep, unknown := needed()
			if unknown != nil {
				return errors.Join(append(errs, unknown)...)
			}
			if keep[e.ID] {
				continue
			}
			deleted++
			err = t.Forget(e)
		}
		if err != nil && !queue.IsAbsent(err) {
			errs = append(errs, fmt.Errorf("expire: %w", err))
		}
	}
	return errors.Join(errs...)
}

// settledBefore says whether an item was settled before a time.
func (t *Tick) settledBefore(e queue.Entry, limit time.Time) (bool, error) {
	it, err := t.Queue.Load(e)
	if err != nil {
		switch {
		case errors.Is(err, spool.ErrBad):
			return false, t.quarantine(e.Path, err)
		case errors.Is(err, queue.ErrNewer):
			return false, t.leaveAlone(filepath.Base(e.Path), err)
		}
		return false, err
	}
	return it.State.Settled() && it.CompletedAt != nil && it.CompletedAt.Before(limit), nil
}

// Forget deletes a settled item and its runs. The runs go first: in the other order a crash would leave folders that no item names.
func (t *Tick) Forget(e queue.Entry) error {
	runs, err := t.Home.Runs(e.ID)
	if err != nil {
		return err
	}
	for _, run := range runs {
		if err := t.Home.DropRun(run); err != nil {
			return err
		}
	}
	return t.Queue.Drop(e)
}

// Clear deletes the items that were settled before a time, except those for which a live item waits. It returns their number. The
// caller has tick.lock.
func (t *Tick) Clear(limit time.Time) (int, error) {
	if err := t.keepLedger(true); err != nil { // what is cleared cannot be counted again
		return 0, err
	}
	entries, err := t.Queue.Settled()
	if err != nil {
		return 0, err
	}
	var errs []error
	n := 0
	needed := sync.OnceValues(t.needed)
	for _, e := range entries {
		old, err := t.settledBefore(e, limit)
		if err == nil && old {
			keep, unknown := needed()
			if unknown != nil {
				return n, errors.Join(append(errs, unknown)...)
			}
			if keep[e.ID] {
				continue
			}
			if err = t.Forget(e); err == nil {
				n++
			}
		}
		errs = append(errs, err)
	}
	return n, errors.Join(errs...)
}

// PruneRuns removes old run folders that no item names, under tick.lock, so that no run is handed out meanwhile. The folders are
// listed before the items, since an item exists before its first run.
func (t *Tick) PruneRuns(ctx context.Context, dry bool) (list []session.Pruned, err error) {
	err = t.Locked(ctx, LockWait, func() error {
		runs, err := t.Home.AllRuns()
		if err != nil {
			return err
		}
		locations, err := t.Queue.Locations()
		if err != nil {
			return err
		}
		named, err := t.namedRuns()
		if err != nil {
			return err
		}
		for _, run := range runs {
			item, _, _ := strings.Cut(run, ".")
			if _, there := locations[item]; there || named[run] || t.Now().Sub(queue.IDTime(item)) < t.Settings.CleanupAge() {
				continue
			}
			if !dry {
				if err := t.Home.DropRun(run); err != nil {
					return err
				}
			}
			list = append(list, session.Pruned{Run: run, Removed: true, Why: "a run that no item names"})
		}
		return nil
	})
	if errors.Is(err, ErrLocked) {
		return list, Busy()
	}
	return list, err
}

// namedRuns are the runs that the slots name. A run may still be going on after its item was deleted.
func (t *Tick) namedRuns() (map[string]bool, error) {
	names, err := t.Home.Names()
	if err != nil {
		return nil, err
	}
	runs := map[string]bool{}
	for _, slot := range names {
		in, err := t.Home.ReadIntent(slot)
		if err != nil {
			return nil, err // it may name any of them
		}
		if in != nil {
			runs[in.RunName()] = true
		}
	}
	return runs, nil
}
