// Package schedule installs, removes and shows what runs kugetsu tick every few minutes: a line in the crontab, units of
// systemd's user manager, or a launchd agent.
//
// The rules of the package:
//
//   - One state folder has one schedule. Two would harm nothing, since a second tick exits at once, but stop and status
//     would then show one of them only.
//   - The text of others stays. Every byte of a crontab outside of one marked block is kept, and a block that was edited is
//     refused.
//   - A schedule holds paths and the interval, no setting and no token: crontabs and unit files are shown to other people.
//   - The scheduler's own files say whether a schedule is installed. The record in the state folder says which one was asked
//     for, so that kugetsu status can tell that ticks are overdue without starting a process.
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
	Name    string   // of units, labels and the crontab's block: kugetsu, or kugetsu-<hash> for another state folder than the default one
	Former  string   // the name that an older kugetsu used, "" where it is the same
	Binary  string   // absolute path of kugetsu as it was called; links are not resolved, so that an upgrade may turn them
	Dir     string   // the state folder
	Default bool     // Dir is the folder that kugetsu finds without KUGETSU_DIR
	Watch   []string // folders in which an enqueued item appears
	Minutes int      // between two ticks, 1 to MaxMinutes
	Home    string   // the user's home folder in the password file, which a scheduler gives as HOME
	User    string
}

// MaxMinutes is the longest interval: cron and OnCalendar= count within the hour. If the interval does not divide 60, the last
// one of each hour is shorter.
const MaxMinutes = 59

// New is the job of a state folder, for the program that runs now.
func New(dir string, watch []string, minutes int) (Job, error) {
	me, err := user.Current()
	if err != nil {
		return Job{}, fmt.Errorf("the current user cannot be looked up: %w", err)
	}
	self, err := proc.Self()
	if err != nil {
		return Job{}, err
	}
	j := Job{Name: "kugetsu", Binary: self, Dir: dir, Watch: watch, Minutes: minutes, Home: me.HomeDir, User: me.Username}
	standard := filepath.Join(j.Home, ".kugetsu")
	if j.Default = dir == standard || spool.SameFolder(dir, standard); !j.Default {
		// The name comes from the resolved path, so that a folder with two names (one is a link) has one schedule. KUGETSU_DIR in
		// the schedule is the path as it was given, which may be the shorter one.
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

// schedulers returns every scheduler but those of one kind that may have a schedule of this job, under its present name and
// under its former one.
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
		return fault.New(fault.Failed, "run go install . and call the installed kugetsu", "%s was built by go run, which deletes it: no schedule can run it", j.Binary)
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
	Program []string // the command that runs kugetsu, as arguments; empty where the schedule does not show it
	Minutes int      // between two ticks; 0 when the schedule was changed by hand and does not show it
	Current bool     // it is the same that Start would write now
	Problem string   // why no tick comes, as far as kugetsu can see; else ""
}

// scheduler is how one kind is used.
type scheduler interface {
	// works returns nil where this kind can be used.
	works(context.Context) error
	// find returns nil when no schedule with the job's name is installed.
	find(context.Context) (*Found, error)
	install(context.Context) error
	// remove does nothing where no schedule is installed.
	remove(context.Context) error
}

// kinds lists the kinds that this system may have, the best one first.
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

// Start installs the schedule and returns its kind: the wanted one, or, with "", the one that is installed already, or else
// the first that works. Schedules of other kinds are removed first. A second Start changes nothing.
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
	// The record comes first: if the installation then fails, status says that ticks are overdue.
	if err := j.remember(k); err != nil {
		return "", err
	}
	return k, j.scheduler(k).install(ctx)
}

// Idle returns why a schedule that was just installed starts no tick yet, or "".
func Idle(k Kind) string {
	if k == Cron {
		return noCron()
	}
	return ""
}

// choose returns the kind to use.
func (j Job) choose(ctx context.Context, want Kind) (Kind, error) {
	if want != "" {
		for _, k := range kinds() {
			if k == want {
				return want, j.scheduler(want).works(ctx)
			}
		}
		return "", fault.New(fault.Usage, fmt.Sprintf("use one of %v", kinds()), "%s is not used on this system", want)
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
	return "", fault.New(fault.Failed, "install cron, or let another program run kugetsu tick every few minutes", "no scheduler can be used here: %w", errors.Join(why...))
}

// Stop removes the schedule, of whatever kind. A second Stop changes nothing.
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
		return err // the record stays, so status says that ticks are overdue
	}
	return j.forget()
}

// Find returns the schedules that are installed: none or one, and more where a user installed another by hand.
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

// Next returns when the next tick of a schedule is due; last is the time of the last one.
func (f Found) Next(now, last time.Time) time.Time {
	interval := time.Duration(f.Minutes) * time.Minute
	if f.Kind == Launchd { // it counts from the time it was loaded, which launchctl does not print
		if last.After(now) { // the clock was set back
			last = now
		}
		return last.Add(interval)
	}
	next := now.Local().Truncate(time.Minute).Add(time.Minute) // cron and systemd count minutes of the local clock
	for next.Minute()%f.Minutes != 0 {
		next = next.Add(time.Minute)
	}
	return next.UTC()
}

// lockLimit is how long a job waits for one of another state folder that changes the schedule.
const lockLimit = 10 * time.Second

// lock keeps other kugetsu processes of this user from editing the crontab at the same time. It locks the home folder itself,
// since jobs of other state folders edit the same crontab.
func (j Job) lock(ctx context.Context) (unlock func(), err error) {
	dir := j.Home
	if info, err := os.Stat(dir); err != nil || !info.IsDir() { // the user nobody has no home folder
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
