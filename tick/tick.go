// Package tick is one pass over the queue: lock, reconcile, fill, clean up, deliver, ask, exit. There is no daemon; cron or a
// systemd timer runs a pass now and then, and every runner starts one as its last act.
//
// Whoever changes an item or gives out a slot does it here, under tick.lock, with the same count: Run, and Dispatch for
// start and continue. The package joins items (queue) and runs (slots), which do not know each other.
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
	"kugetsu/queue/spool"
	"kugetsu/slots"
	"kugetsu/slots/machine"
	"kugetsu/tick/settings"
)

// Tick is what a pass works on.
type Tick struct {
	Home     slots.Dir
	Queue    *queue.Queue
	Settings *settings.Settings
	Source   *settings.Source
	Config   error           // what is wrong with the configuration: nothing is started, but what died is reconciled
	Machine  machine.Machine // what it has to spare decides, beside the slots, how many agents there are
	Now      func() time.Time
	Log      *slog.Logger
}

// Report says what a pass did.
type Report struct {
	Settled []Settled `json:"settled"`
	Started []Started `json:"started"`
	Held    int       `json:"held"` // slots of dev agents taken when it ended
	Why     []string  `json:"why"`  // why not more was started

	lack, lackHint string // why the machine has no room for an agent that waits, and what to do
	lackNew        bool   // no pass before told of that
}

// Settled is an item whose run ended; without an outcome it is one that waited in vain for another.
type Settled struct {
	Item     string        `json:"item"`
	IssueRef string        `json:"issue_ref"`
	Run      int           `json:"run"`
	Outcome  queue.Outcome `json:"outcome"`
	State    queue.State   `json:"state"`
}

// Started is an item that was handed to a runner.
type Started struct {
	Item     string `json:"item"`
	IssueRef string `json:"issue_ref"`
	Run      int    `json:"run"`
	Slot     string `json:"slot"`
}

// ErrLocked is returned when another process holds tick.lock and did not let go of it in time.
var ErrLocked = errors.New("another kugetsu holds tick.lock")

// Run is one pass. It waits for the lock for that long; with no wait, ErrLocked is the usual answer while another pass
// is under way, which does the work. Errors of a single item or slot stop nothing else; they are joined at the end.
func (t *Tick) Run(ctx context.Context, wait time.Duration) (Report, error) {
	report := Report{Settled: []Settled{}, Started: []Started{}, Why: []string{}}
	sweep := false
	err := t.Locked(ctx, wait, func() error {
		// The time of the last pass, for status. It is told by the lock's own file, so that nothing more is written.
		if err := os.Chtimes(t.lockPath(), t.Now(), t.Now()); err != nil {
			t.Log.Warn("the time of this pass could not be kept", "err", err)
		}
		taken, err := t.reconcile(ctx, &report)
		err = errors.Join(err, t.fill(ctx, taken, &report))
		err = errors.Join(err, t.tellRoom(taken, &report))
		report.Held = taken.dev
		var cleanErr error
		sweep, cleanErr = t.cleanUp()
		return errors.Join(err, cleanErr)
	})
	if errors.Is(err, ErrLocked) {
		return report, err
	}
	// After the lock: a NOTIFY_COMMAND that hangs must not keep a slot empty, nor a forge or a git that does.
	err = errors.Join(err, t.deliver(ctx), t.askReviews(ctx))
	if err := t.Home.Sweep(ctx); err != nil {
		t.Log.Warn("the files of ended runs are left", "err", err)
	}
	if sweep {
		err = errors.Join(err, t.boundWorktrees(ctx)) // with what the forges said
	}
	return report, err
}

func (t *Tick) lockPath() string { return filepath.Join(string(t.Home), "tick.lock") }

// Locked does something under tick.lock.
func (t *Tick) Locked(ctx context.Context, wait time.Duration, do func() error) (err error) {
	return locked(ctx, t.lockPath(), wait, do)
}

func locked(ctx context.Context, path string, wait time.Duration, do func() error) (err error) {
	deadline, deleted := time.Now().Add(wait), 0
	lock := flock.New(path, flock.SetFlag(os.O_CREATE|os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK)) // a FIFO must not hang us
	for {
		held, err := lock.TryLock()
		if err != nil {
			return &spool.Error{Op: "lock", Path: path, Err: err}
		}
		if held && sameFile(lock, path) {
			break
		}
		if held { // somebody deleted the file after we had opened it: what we hold excludes nobody
			if err := lock.Unlock(); err != nil {
				return &spool.Error{Op: "unlock", Path: path, Err: err}
			}
			if deleted++; deleted < 3 {
				continue
			}
			// Again and again: then it is as if somebody else held it.
		}
		if !time.Now().Before(deadline) {
			return ErrLocked
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
	held, err := lock.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(path)
	return err == nil && os.SameFile(held, named)
}

// LastPass is when the last pass began; the zero time when there was none.
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

// ToCome says of the time of something that happened that it is still to come: the clock was ahead then, and was set back.
func ToCome(now, t time.Time) bool { return t.After(now.Add(clockSlack)) }

// scheduledAge is how long after a scheduled tick another is to be expected, whatever runs them.
const scheduledAge = 3 * time.Hour

func scheduledPath(home slots.Dir) string { return filepath.Join(string(home), "scheduled") }

// MarkScheduled remembers that something runs ticks, which a schedule that was installed by hand is known by: the time of an
// empty file tells it.
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

// Scheduled says whether a scheduled tick came of late.
func Scheduled(home slots.Dir, now time.Time) bool {
	info, err := os.Stat(scheduledPath(home))
	return err == nil && now.Sub(info.ModTime()).Abs() < scheduledAge
}

// policy is how failures are retried.
func (t *Tick) policy() queue.Policy {
	return queue.Policy{MaxAttempts: t.Settings.MaxAttempts, RetryDelay: t.Settings.RetryDelay, Spread: rand.Float64()}
}

// Busy is the error for a command that needed tick.lock.
func Busy() error {
	return fault.New(fault.Temp, "try again; kugetsu status shows what runs", "%w", ErrLocked)
}
