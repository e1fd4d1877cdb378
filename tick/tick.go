// Package tick is one pass over the queue: lock, reconcile, fill, clean up, deliver, ask, exit. There is no daemon: cron or a
// systemd timer runs a pass now and then, and every runner starts one as its last act.
//
// An item changes and a slot is given out only here, under tick.lock and with the same count: by Run, and by Dispatch for start
// and continue. The package joins items (queue) and runs (slots). Those two packages do not know each other.
package tick

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/sys/unix"

	"kugetsu/queue"
	"kugetsu/queue/fault"
	"kugetsu/queue/outcome"
	"kugetsu/queue/spool"
	"kugetsu/slots"
	"kugetsu/slots/machine"
	"kugetsu/tick/session"
	"kugetsu/tick/settings"
)

// Tick is the folder, the settings and the machine that a pass works on.
type Tick struct {
	Home     slots.Dir
	Queue    *queue.Queue
	Settings *settings.Settings
	Source   *settings.Source
	Config   error           // an error in the configuration: nothing is started then, but dead runs are reconciled
	Machine  machine.Machine // its free memory and disk limit the number of agents, as the slots do
	Now      func() time.Time
	AnyHour  bool                     // a person wants a start outside of the hours, beyond the budgets and into the reserve, too
	Digest   func() error             // tells the event digest where that is due; nil: there is none. As Page, it is called through here
	Page     func() error             // writes STATUS_PAGE where that is due; nil: there is no page. Package page builds on this one, so it is called through here
	Metrics  func(changed bool) error // writes METRICS_FILE where that is due, always where the pass changed something; nil: there is none
	Log      *slog.Logger

	heard hearing // of a cluster, by the pass or the look that is under way
}

// Report says what a pass did.
type Report struct {
	Settled  []Settled `json:"settled"`
	Started  []Started `json:"started"`
	Occupied int       `json:"held"` // slots of dev agents that were occupied at the end
	Why      []string  `json:"why"`  // why not more was started

	standing    []Reason // that keep items waiting through many passes, see condition
	standingNew bool     // no earlier pass told of one of them
}

// Settled is an item whose run ended. Without an outcome the item had no run: an item that it waits for ended in an error.
type Settled struct {
	Item     string          `json:"item"`
	IssueRef string          `json:"issue_ref"`
	Run      int             `json:"run"`
	Outcome  outcome.Outcome `json:"outcome"`
	State    queue.State     `json:"state"`
}

// Started is an item that was handed to a runner.
type Started struct {
	Item     string `json:"item"`
	IssueRef string `json:"issue_ref"`
	Run      int    `json:"run"`
	Slot     string `json:"slot"`
}

// ErrLocked is returned when another process kept tick.lock for longer than the caller was willing to wait.
var ErrLocked = errors.New("tick.lock is locked by another kugetsu")

// Run is one pass. It waits for the lock for at most that long. Without a wait, ErrLocked is the usual answer while another pass
// is under way, and that pass does the work. An error of one item or slot stops no other; errors are joined at the end.
func (t *Tick) Run(ctx context.Context, wait time.Duration) (Report, error) {
	report := Report{Settled: []Settled{}, Started: []Started{}, Why: []string{}}
	sweep := false
	n := notice{tick: t, until: time.Now().Add(wait / 2)}
	defer n.end()
	err := locked(ctx, t.lockPath(), wait, n.waits, func() error {
		n.end() // first: a run whose runner saw the notice has ended, and is seen below
		// Status shows the time of the last pass. The lock's own file carries it, so nothing more is written.
		if err := os.Chtimes(t.lockPath(), t.Now(), t.Now()); err != nil {
			t.Log.Warn("the time of this pass could not be kept", "err", err)
		}
		k, err := t.reconcile(ctx, &report)
		el := t.eligibility(k)
		err = errors.Join(err, t.fill(ctx, el, &report))
		err = errors.Join(err, t.tellConditions(el, &report))
		report.Occupied = k.dev
		var cleanErr error
		sweep, cleanErr = t.cleanUp()
		return errors.Join(err, cleanErr)
	})
	if errors.Is(err, ErrLocked) {
		return report, err
	}
	// After the lock: to read what a digest says takes a while, and a NOTIFY_COMMAND, a forge or a git that hangs must not keep a slot
	// empty. The digest before the events, which it is one of.
	if t.Digest != nil {
		err = errors.Join(err, t.Digest())
	}
	err = errors.Join(err, t.deliver(ctx), t.Sessions().AskReviews(ctx))
	if err := t.Home.Sweep(ctx); err != nil {
		t.Log.Warn("the files of ended runs are left", "err", err)
	}
	if sweep {
		err = errors.Join(err, t.Sessions().Bound(ctx)) // this uses the forges' answers
	}
	// Last, so that they show what the pass learned of forges and events. The pass did its work, whether they are written or not.
	if t.Page != nil {
		if err := t.Page(); err != nil {
			t.Log.Warn("the page was not written", "err", err)
		}
	}
	if t.Metrics != nil {
		if err := t.Metrics(len(report.Settled)+len(report.Started) > 0); err != nil {
			t.Log.Warn("the metrics were not written", "err", err)
		}
	}
	return report, err
}

// Sessions looks after the sessions.
func (t *Tick) Sessions() *session.Keeper {
	return &session.Keeper{Home: t.Home, Queue: t.Queue, Settings: t.Settings, Config: t.Config, Now: t.Now, Log: t.Log,
		Environ: t.Environ, Workspaces: t.workspaces, InUse: t.sessionInUse, Follow: t.follows}
}

// Folders are those in which kugetsu keeps its own files.
func (t *Tick) Folders() []string {
	return []string{string(t.Home), t.Settings.QueueDir, t.Settings.QueueItemsDir}
}

func (t *Tick) lockPath() string { return filepath.Join(string(t.Home), "tick.lock") }

// Locked calls do under tick.lock.
func (t *Tick) Locked(ctx context.Context, wait time.Duration, do func() error) (err error) {
	return locked(ctx, t.lockPath(), wait, nil, do)
}

// locked calls do when it has locked the file. waits, if not nil, is called each time before it waits.
func locked(ctx context.Context, path string, wait time.Duration, waits func(), do func() error) (err error) {
	deadline, deleted := time.Now().Add(wait), 0
	lock := flock.New(path, flock.SetFlag(os.O_CREATE|os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK)) // the flags: opening a FIFO must not hang
	for {
		got, err := lock.TryLock()
		if err != nil {
			return &spool.Error{Op: "lock", Path: path, Err: err}
		}
		if got && sameFile(lock, path) {
			break
		}
		if got { // the file was deleted after we opened it: our lock excludes no other process
			if err := lock.Unlock(); err != nil {
				return &spool.Error{Op: "unlock", Path: path, Err: err}
			}
			if deleted++; deleted < 3 {
				continue
			}
			// Deleted again and again: report the lock as busy.
		}
		if !time.Now().Before(deadline) {
			return ErrLocked
		}
		if waits != nil {
			waits()
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(5 * time.Millisecond):
		}
	}
	defer func() {
		if unlockErr := lock.Unlock(); unlockErr != nil {
			err = errors.Join(err, &spool.Error{Op: "unlock", Path: path, Err: unlockErr})
		}
	}()
	return do()
}

func sameFile(lock *flock.Flock, path string) bool {
	ours, err := lock.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(path)
	return err == nil && os.SameFile(ours, named)
}

// LastPass is when the last pass began. It is the zero time if there was no pass.
func LastPass(home slots.Dir) (time.Time, error) {
	info, err := os.Stat(filepath.Join(string(home), "tick.lock"))
	if errors.Is(err, fs.ErrNotExist) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime().UTC(), nil
}

// clockSlack is by how much two clocks may differ.
const clockSlack = time.Minute

// ToCome says of the time of a past event that it lies in the future: the clock was ahead then and was set back.
func ToCome(now, t time.Time) bool { return t.After(now.Add(clockSlack)) }

// scheduledAge is how long after a scheduled tick another one is expected, whatever runs them.
const scheduledAge = 3 * time.Hour

func scheduledPath(home slots.Dir) string { return filepath.Join(string(home), "scheduled") }

// MarkScheduled records that ticks are scheduled. A schedule that was installed by hand is known by this mark alone. The mark is
// the time of an empty file.
func (t *Tick) MarkScheduled() {
	path := scheduledPath(t.Home)
	err := spool.Publish(path, nil)
	if errors.Is(err, fs.ErrExist) {
		err = os.Chtimes(path, t.Now(), t.Now())
	}
	if err != nil {
		t.Log.Warn("the time of this scheduled pass could not be kept", "err", err)
	}
}

// Scheduled says whether a scheduled tick ran recently.
func Scheduled(home slots.Dir, now time.Time) bool {
	info, err := os.Stat(scheduledPath(home))
	return err == nil && now.Sub(info.ModTime()).Abs() < scheduledAge
}

// policy is the rule for retries.
func (t *Tick) policy() queue.Policy {
	return queue.Policy{MaxAttempts: t.Settings.MaxAttempts, RetryDelay: t.Settings.RetryDelay, Spread: rand.Float64()}
}

// Busy is the error of a command that could not get tick.lock.
func Busy() error {
	return fault.New(fault.Temp, "try again; kugetsu status shows what runs", "%w", ErrLocked)
}
