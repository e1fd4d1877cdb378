// Package schedule installs, removes and shows what runs kugetsu tick every few minutes: a line in the crontab, units of
// systemd's user manager, or a launchd agent.
//
// What it keeps to:
//
//   - One state folder has one schedule. Two would harm nothing, since a second tick exits at once, but stop and status
//     would no longer be the whole truth.
//   - What others wrote is not touched: of a crontab every byte outside of one marked block stays, and a block that is
//     not as it was written is refused.
//   - No setting and no token is written into it, only paths and the interval: crontabs and unit files get shown around.
//   - The scheduler's own files are the truth. The record in the state folder only remembers what was asked for, so that
//     kugetsu status can tell that ticks are overdue without starting a process.
package schedule

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gofrs/flock"

	"kugetsu/queue/fault"
	"kugetsu/queue/spool"
	"kugetsu/slots/proc"
)

// Kind is what can run ticks.
type Kind string

// The three kinds.
const (
	Cron    Kind = "cron"
	Systemd Kind = "systemd"
	Launchd Kind = "launchd"
)

// Job is what is scheduled: the ticks of one state folder.
type Job struct {
	Name    string   // of units, labels and the crontab's block: kugetsu, but for a state folder that is not the default one
	Former  string   // what an older kugetsu called it, "" for the same
	Binary  string   // absolute path of kugetsu as it was called: a link that an upgrade turns stays one
	Dir     string   // the state folder
	Default bool     // it is the one that kugetsu finds without KUGETSU_DIR
	Watch   []string // folders in which an enqueued item appears
	Minutes int      // between two ticks, 1 to MaxMinutes
	Home    string   // the user's home folder, as the password file has it: what a scheduler gives
	User    string
}

// MaxMinutes is the longest interval: cron and OnCalendar= count within the hour. Where it is no divisor of 60 the last
// interval of the hour is shorter.
const MaxMinutes = 59

// New is the job of a state folder, for the program that runs now.
func New(dir string, watch []string, minutes int) (Job, error) {
	me, err := user.Current()
	if err != nil {
		return Job{}, fmt.Errorf("who am I: %w", err)
	}
	self, err := proc.Self()
	if err != nil {
		return Job{}, err
	}
	j := Job{Name: "kugetsu", Binary: self, Dir: dir, Watch: watch, Minutes: minutes, Home: me.HomeDir, User: me.Username}
	standard := filepath.Join(j.Home, ".kugetsu")
	if j.Default = dir == standard || spool.SameFolder(dir, standard); !j.Default {
		// Of the folder itself: one that is reached by two names, through a link, has one schedule. What runs ticks is given
		// the name that was used, which may be the shorter one.
		j.Name = named(real(dir))
	}
	if dir != standard && named(dir) != j.Name {
		j.Former = named(dir)
	}
	return j, nil
}

// named is the name of the schedule of a folder that is not the default one.
func named(dir string) string { return "kugetsu" + fmt.Sprintf("-%x", sha256.Sum256([]byte(dir)))[:9] }

func real(dir string) string {
	if path, err := filepath.EvalSymlinks(dir); err == nil {
		return path
	}
	return dir
}

// schedulers are all but one kind that may have something of this job's: under its name, and, of each kind, under the one
// that it had when a folder went by the name that was used.
func (j Job) schedulers(but Kind) (all []scheduler) {
	for _, k := range kinds() {
		if k != but {
			all = append(all, j.scheduler(k))
		}
	}
	if j.Former == "" {
		return all
	}
	former := j
	former.Name, former.Former = j.Former, ""
	return append(all, former.schedulers("")...)
}

// check refuses paths that no crontab, unit file or plist can hold.
func (j Job) check() error {
	if proc.OfGoRun(j.Binary) {
		return fault.New(fault.Failed, "go install . and call that, by its name", "%s was built by go run, which removes it: nothing can be scheduled to run it", j.Binary)
	}
	for _, path := range append([]string{j.Binary, j.Dir}, j.Watch...) {
		control := func(r rune) bool { return r < ' ' || r == 0x7f }
		if !utf8.ValidString(path) || strings.ContainsFunc(path, control) || strings.TrimRight(path, ` \`) != path {
			return fault.New(fault.Failed, "move it to a plain path", "%q cannot be written into a schedule", path)
		}
	}
	return nil
}

// Found is a schedule that is installed.
type Found struct {
	Kind    Kind
	Program []string // how it runs kugetsu, as arguments; empty where that cannot be read out of it
	Minutes int      // between two ticks; 0 when it was changed by hand and this is not known
	Current bool     // it is what Start would write now
	Problem string   // why it does not do its work, as far as that can be seen; else ""
}

// scheduler is how one kind is used.
type scheduler interface {
	// works is nil where this kind can be used at all.
	works(context.Context) error
	// find is nil when nothing of the job's name is installed.
	find(context.Context) (*Found, error)
	install(context.Context) error
	// remove does nothing where nothing is installed.
	remove(context.Context) error
}

// kinds lists, best first, what this system may have.
func kinds() []Kind {
	if runtime.GOOS == "darwin" {
		return []Kind{Launchd, Cron}
	}
	return []Kind{Systemd, Cron}
}

func (j Job) scheduler(k Kind) scheduler {
	switch k {
	case Cron:
		return cron{j}
	case Systemd:
		return systemd{j}
	}
	return launchd{j}
}

// Start installs the schedule and returns of which kind it is: the one that is asked for, or, with "", the one that is
// installed already, or else the first that works. What another kind has installed is removed first. Done again it
// changes nothing.
func (j Job) Start(ctx context.Context, want Kind) (Kind, error) {
	if err := j.check(); err != nil {
		return "", err
	}
	unlock, err := j.lock(ctx)
	if err != nil {
		return "", err
	}
	defer unlock()
	k, err := j.choose(ctx, want)
	if err != nil {
		return "", err
	}
	for _, other := range j.schedulers(k) {
		if err := other.remove(ctx); err != nil {
			return "", fmt.Errorf("another schedule could not be removed, so nothing was installed: %w", err)
		}
	}
	// Recorded before it is there: what was asked for and did not come to be is then told as overdue.
	if err := j.remember(k); err != nil {
		return "", err
	}
	return k, j.scheduler(k).install(ctx)
}

// Idle says why a schedule of that kind that was just installed does no work yet, or "".
func Idle(k Kind) string {
	if k == Cron {
		return noCron()
	}
	return ""
}

// choose says which kind to use.
func (j Job) choose(ctx context.Context, want Kind) (Kind, error) {
	if want != "" {
		for _, k := range kinds() {
			if k == want {
				return want, j.scheduler(want).works(ctx)
			}
		}
		return "", fault.New(fault.Usage, fmt.Sprintf("%v are", kinds()), "%s is not used on this system", want)
	}
	if found, err := j.Find(ctx); err == nil && len(found) > 0 && j.scheduler(found[0].Kind).works(ctx) == nil {
		return found[0].Kind, nil
	}
	var why []error
	for _, k := range kinds() {
		err := j.scheduler(k).works(ctx)
		if err == nil {
			return k, nil
		}
		why = append(why, fmt.Errorf("%s: %w", k, err))
	}
	return "", fault.New(fault.Failed, "install cron, or let anything else run kugetsu tick every few minutes", "no scheduler can be used here: %w", errors.Join(why...))
}

// Stop removes what is installed, of whatever kind. Done again it changes nothing.
func (j Job) Stop(ctx context.Context) error {
	unlock, err := j.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	var errs []error
	for _, s := range j.schedulers("") {
		errs = append(errs, s.remove(ctx))
	}
	if err := errors.Join(errs...); err != nil {
		return err // what is still recorded is told as overdue
	}
	return j.forget()
}

// Find shows what is installed: nothing, one schedule, or more where somebody helped.
func (j Job) Find(ctx context.Context) ([]Found, error) {
	var all []Found
	var errs []error
	for _, s := range j.schedulers("") {
		f, err := s.find(ctx)
		if err != nil {
			errs = append(errs, err)
		}
		if f != nil {
			all = append(all, *f)
		}
	}
	return all, errors.Join(errs...)
}

// Next is when the next tick of a schedule is due, if the last one was then.
func (f Found) Next(now, last time.Time) time.Time {
	interval := time.Duration(f.Minutes) * time.Minute
	if f.Kind == Launchd { // counts from when it was loaded, which nobody tells
		if last.After(now) { // the clock was set back
			last = now
		}
		return last.Add(interval)
	}
	next := now.Local().Truncate(time.Minute).Add(time.Minute) // its minutes are those of the local clock
	for next.Minute()%f.Minutes != 0 {
		next = next.Add(time.Minute)
	}
	return next.UTC()
}

// lockLimit is how long the schedule of another state folder is waited for.
const lockLimit = 10 * time.Second

// lock keeps other kugetsus of this user from editing the crontab meanwhile, those of other state folders too: what is
// locked is the user's home folder itself.
func (j Job) lock(ctx context.Context) (unlock func(), err error) {
	dir := j.Home
	if info, err := os.Stat(dir); err != nil || !info.IsDir() { // nobody's home is not there
		dir = j.Dir
	}
	l := flock.New(dir, flock.SetFlag(os.O_RDONLY))
	ctx, cancel := context.WithTimeout(ctx, lockLimit)
	defer cancel()
	if _, err := l.TryLockContext(ctx, 10*time.Millisecond); err != nil {
		return nil, fault.New(fault.Temp, "try again", "another kugetsu changes the schedule: lock %s: %w", dir, err)
	}
	return func() { _ = l.Unlock() }, nil // nothing was written to it
}
