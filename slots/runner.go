package slots

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"kugetsu/queue/event"
	"kugetsu/queue/fault"
	"kugetsu/queue/issueref"
	"kugetsu/queue/outcome"
	"kugetsu/queue/spool"
	"kugetsu/slots/agent"
	"kugetsu/slots/forge"
	"kugetsu/slots/git"
	"kugetsu/slots/proc"
	"kugetsu/slots/worktree"
)

const (
	// killGrace is how long the processes of a run get between SIGTERM and SIGKILL.
	killGrace = 5 * time.Second
	// killLimit bounds the wait for processes that even SIGKILL does not end (stuck in the kernel). Then the runner
	// gives up without a record: the processes that are left have the lease, so the slot stays occupied, as it should. Processes
	// of another user, which may not be signalled, have killGrace to end. Nothing depends on whether they do.
	killLimit = time.Minute
	// lookEvery is how often a runner looks for its cancel mark, for the case that no signal reached it, and whether the
	// agent is parked.
	lookEvery = time.Second
	// prepareLimit bounds clone, fetch, worktree and hook.
	prepareLimit = 30 * time.Minute
)

// Limit is how long a run may take from its fork to its end, with this timeout of its agent and this one of its verification. It is the
// sum of all bounds of the runner. If a run takes longer by more than Slack, its runner does not answer.
func Limit(timeout, verify time.Duration) time.Duration {
	const ends = 2 // the agent's processes are ended first, and then all that is left below the runner
	limit := 2*GateTimeout + prepareLimit + timeout + ends*killLimit + drain + keepLimit + 2*tellLimit + dropLimit
	if verify > 0 {
		limit += verify + ends*killLimit + drain
	}
	return limit
}

// Slack is how long beyond its Limit a run is left alone: its runner may be about to notice.
const Slack = 30 * time.Second

// Runner is one run: the process that the tick forked, and all that it starts.
type Runner struct {
	home          Dir
	name          string
	task          *Task
	slot, session *os.File
	log           *logFile
	tmp           string   // TMPDIR
	env           []string // of git and hook
	git           *worktree.Git
	marker        Marker
	result        Result
	said          string        // the agent's last words
	left          []proc.Left   // processes that the run leaves behind, since they may not be signalled
	grace         time.Duration // how long its processes get between SIGTERM and SIGKILL
	cluster       *onCluster    // nil for a runner that a tick forked
}

var errCancelled = errors.New("cancelled")

// Run is the life of a runner. Its order is the product:
//
// The caller's goroutine must be locked to its thread: the agent dies with the thread that started it.
//
//  1. Wait at the gate. Without a task nothing was done, and nothing is done.
//  2. Prepare the worktree. Slow work happens here and not under tick.lock.
//  3. Start the agent, and only then rename the marker to started. A crash between the two is no attempt. In the other order an
//     agent that never started would count as one.
//  4. Wait for the agent, a timeout, too much memory or a cancellation. Then end all processes that are left of the run.
//  5. Keep the uncommitted work. Then verify a run whose agent said ok, and end all that this leaves: what the command does to the
//     worktree is neither the agent's work nor can it harm that. The marker is started until then.
//  6. Write the result, rename the marker to end.…: in this order, since a run that is recorded as ended is never looked at again.
//  7. Close the session's lock, then the slot's: when the slot is free, so is the session.
//  8. Start a tick, which settles this run and refills the slot, where none waits that will.
func Run(ctx context.Context, home Dir, name string) error {
	slot, session, gate, err := inherited()
	if err != nil {
		return err
	}
	_, _ = proc.Self() // now, since an upgrade may come while the agent works; what needs it has the error
	if err := proc.BecomeSubreaper(); err != nil {
		return fmt.Errorf("subreaper: %w", err)
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer stop()

	task, err := readTask(gate)
	if errors.Is(err, errNoTask) {
		return nil
	}
	if err != nil {
		return err
	}
	if task.Name() != name {
		return fault.New(fault.Failed, "", "the gate of %s brought the task of %s", name, task.Name())
	}
	if err := gate.Close(); err != nil {
		return fmt.Errorf("gate: %w", err)
	}
	log, err := openLog(home.LogPath(name), LogCap)
	if err != nil {
		return err
	}
	r := &Runner{home: home, name: name, task: task, slot: slot, session: session, log: log, marker: Marker{Phase: Exit}, grace: killGrace}
	return r.run(ctx)
}

func (r *Runner) run(ctx context.Context) error {
	ended := r.work(ctx)
	r.cleanTmp()
	if r.fenced() {
		r.log.say("%v", errFenced)
		ended = false
	}
	if !ended {
		r.yield()
		// A signal ended the run, and it was not cancelled: most likely the machine shuts down. The marker stays as it is, so the
		// next tick settles the run as lost or void, and retries it.
		return nil
	}
	r.result.EndedAt = time.Now().UTC()
	if err := r.home.writeResult(r.name, r.result); err != nil {
		r.log.say("the result could not be written: %v", err) // the marker has the outcome
	}
	code := 0
	if r.result.ExitCode != nil {
		code = *r.result.ExitCode
	}
	end := Marker{Phase: Ended, Outcome: r.result.Outcome, Code: code}
	if err := r.setMarker(end); err != nil {
		if r.cluster != nil && errors.Is(err, fs.ErrNotExist) { // just now
			r.log.say("%v", errFenced)
			r.yield()
			return nil
		}
		return err
	}
	for _, lock := range []*os.File{r.session, r.slot} {
		if err := r.letGo(lock); err != nil {
			return fmt.Errorf("lease: %w", err)
		}
	}
	return r.wake()
}

// letGo gives up a lock of the lease. A process of another user that is left may have inherited the lock, and would keep the slot
// for as long as it lives. So this is the one place where a lock is unlocked: the run is over and recorded, and all other
// processes that had the lock are gone.
func (r *Runner) letGo(lock *os.File) error {
	if len(r.left) > 0 {
		if err := unix.Flock(int(lock.Fd()), unix.LOCK_UN); err != nil {
			return errors.Join(err, lock.Close())
		}
	}
	return lock.Close()
}

// work does the run and fills the result. It returns false where the run was interrupted and there is nothing to record.
func (r *Runner) work(ctx context.Context) bool {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go r.watchCancel(ctx, cancel)
	if r.cluster != nil && r.isCancelled() { // no signal came, as a job that waits gets none
		cancel(errCancelled)
	}

	ready, err := r.prepare(ctx)
	if err != nil {
		return r.notStarted(ctx, err)
	}
	// Before an agent costs anything. But a program that an agent took away is that agent's to bring back.
	if _, err := r.verifier(ready); err != nil && !(ready.red && r.tookVerifier(ready)) {
		ready.undo()
		return r.notStarted(ctx, err)
	}
	r.noteKilled()
	run, err := r.start(ctx, ready)
	if err != nil {
		if errors.Is(err, errMarker) || errors.Is(err, errFenced) { // the agent was ended again: neither "started" nor "not started" would be true
			r.log.say("%v", err)
			return false
		}
		ready.undo()
		return r.notStarted(ctx, err)
	}
	end := run.wait(ctx)
	if err := r.endProcesses(); err != nil {
		r.log.say("%v", err)
		return false
	}
	run.memory.end(r)
	report := run.report()
	if r.fenced() {
		r.pushBack(ready)
		return false
	}
	if end == interrupted {
		if r.isCancelled() {
			end = wasCancelled
		} else {
			r.log.say("%s", r.saysInterrupted())
			r.pushBack(ready)
			return false
		}
	}
	r.judge(run, report, end)
	ready.session.note(report)
	if err := r.home.mark(r.name, keepingMark); err != nil {
		r.log.say("%v", err) // without the mark a command that cancels the run waits for a shorter time
	}
	idle, pull := r.keepWork(ready), ready.session.PRURL
	r.findPull(ctx, ready, report.Summary+"\n"+report.Words)
	r.result.PRURL = ready.session.PRURL
	// A new pull request may be that of another branch: such a run is not idle.
	if idle && ready.session.PRURL == pull && r.task.ExpectChanges && r.result.Outcome == outcome.OK {
		r.refute(outcome.Failed, "made no changes")
	}
	if r.fenced() || r.result.Outcome == outcome.OK && !r.verify(ctx, ready) {
		r.handOver(ready)
		return false
	}
	r.tellLeft()
	if r.saveSession(ready) == nil {
		r.dropScratch(ready)
	}
	return true
}

// judge fills the result from what the agent reported and how its process ended.
func (r *Runner) judge(run *agentRun, report agent.Report, end ending) {
	r.result.Outcome, r.result.Summary = report.Outcome, report.Summary
	r.result.Refused = shown(report.Refused)
	r.result.Cost, r.result.PeakMemory = &report.Cost, run.memory.peak
	if !report.Reset.IsZero() {
		r.result.Reset = &report.Reset
	}
	r.result.Model, r.result.Unpaid = report.Model, report.Unpaid
	r.result.Worked = run.worked.Load()
	switch {
	case end == parked:
	case end == outgrew:
		r.result.Outcome, r.result.Summary = outcome.Outgrown, run.memory.tooMuch(r)
	case end == exited && report.Outcome == outcome.Failed && r.tooLarge():
		r.result.Outcome, r.result.Summary = outcome.Outgrown, "took more memory than its job has, by AGENT_MEMORY and MAX_AGENT_MEMORY: a process was killed"
	case (report.Outcome == outcome.UsageLimit || report.Outcome == outcome.Outage) && end != wasCancelled: // the agent gave up just as its time was over
	case end == tookTooLong:
		r.result.Outcome = outcome.Timeout
		r.result.Summary = fmt.Sprintf("took longer than %s", r.task.Timeout)
	case end == showedNothing:
		r.result.Outcome = outcome.Stalled
		r.result.Summary = fmt.Sprintf("showed no progress for %s", r.task.Idle)
	case end == wasCancelled:
		r.result.Outcome = outcome.Cancelled
	}
	r.said = report.Words
	if r.result.Outcome == outcome.OK {
		r.said = cmp.Or(r.said, report.Summary) // a program without words of a model
	} else {
		r.result.Words = r.said
	}
}

// refute gives a run whose agent said ok another outcome. The summary is the cause then, with what was noted behind the agent's last
// words, and these stand apart: what a person reads first is not the agent's.
func (r *Runner) refute(o outcome.Outcome, cause string) {
	noted := strings.TrimPrefix(r.result.Summary, r.said)
	r.result.Outcome, r.result.Summary, r.result.Words = o, strings.TrimSpace(cause+noted), r.said
}

// findPull looks for the session's pull request. The forge knows the one of the session's branch; else the agent's last words say
// which one was opened. A request that a person set stays.
func (r *Runner) findPull(ctx context.Context, w *ready, text string) {
	ref := r.task.issue()
	if ref.IsZero() || w.session.PRSet {
		return // the PM agent's runs are about no issue
	}
	found, err := w.session.findRequest(ctx, w.agentEnv)
	switch {
	case found != nil:
		w.session.PRURL = found.URL
		return
	case err != nil && !errors.Is(err, forge.ErrUnasked):
		r.log.say("the forge could not be asked for the pull request of %s: %v", w.session.Branch, err)
	}
	if url := issueref.FindPull(text, ref); url != "" {
		w.session.PRURL = url
	}
}

// watchCancel ends the run when it is marked as cancelled, also where no signal reaches this process; and when it is fenced.
func (r *Runner) watchCancel(ctx context.Context, cancel context.CancelCauseFunc) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(lookEvery):
			if r.isCancelled() {
				cancel(errCancelled)
			}
			if r.fenced() {
				cancel(errFenced)
			}
		}
	}
}

func (r *Runner) isCancelled() bool {
	marked, err := r.home.Cancelled(r.name)
	if err != nil {
		r.log.say("%v", err)
	}
	return marked
}

// notStarted fills the result of a run whose agent could not be started.
func (r *Runner) notStarted(ctx context.Context, err error) bool {
	if endErr := r.endProcesses(); endErr != nil {
		r.log.say("%v", endErr)
		return false
	}
	var failed *git.Error
	var exit *exec.ExitError
	if errors.As(err, &failed) && errors.As(err, &exit) { // the log has its words already
		r.log.say("%s failed, so no agent was started", failed.Op)
	} else {
		r.log.say("%v", err)
	}
	if ctx.Err() != nil {
		r.result.Outcome = outcome.Cancelled
		return r.isCancelled()
	}
	r.result.Outcome, r.result.Summary = outcome.StartFailed, err.Error()
	r.tellLeft()
	if errors.Is(err, errVerifier) && !git.OfHost(err) {
		r.result.Outcome, r.result.Unverifiable = outcome.Unverifiable, r.task.Verify.Command
		return true
	}
	// A full disk at night must not use up the attempts of all items that wait. Nor must a line of an env file that was changed
	// after the tick had read it.
	if git.OfHost(err) || fault.Code(err) == fault.Config {
		r.result.Outcome = outcome.Void
		return true
	}
	if failed != nil {
		r.result.Permanent = failed.Permanent
		if failed.Unreachable && r.task.Workspace.Host != "" { // a network that is down is not the task's fault
			r.result.Outcome, r.result.Host = outcome.Outage, r.task.Workspace.Host
		}
	}
	return true
}

// endProcesses ends all processes of this run, except those that it may not signal.
func (r *Runner) endProcesses() error {
	ctx, cancel := context.WithTimeout(context.Background(), killLimit)
	defer cancel()
	isRunner := IsRunner(r.lockPath())
	left, err := proc.End(ctx, func() ([]proc.Process, error) { return proc.Below(ctx, r.name, isRunner) }, r.grace)
	if err == nil {
		r.left = left
	}
	return err
}

// lockPath is the real path of the lock of this run's slot; "" on macOS, where that cannot be asked.
func (r *Runner) lockPath() string {
	lock, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", r.slot.Fd()))
	if err != nil {
		return ""
	}
	return lock
}

// maxLeft is how many of the processes that are left are named.
const maxLeft = 5

// tellLeft reports the processes that the run leaves behind.
func (r *Runner) tellLeft() {
	if len(r.left) == 0 {
		return
	}
	var names []string
	for _, p := range r.left[:min(len(r.left), maxLeft)] {
		names = append(names, fmt.Sprintf("%d of uid %d", p.PID, p.UID))
	}
	text := fmt.Sprintf("%d processes of other users are left, which kugetsu may not end: %s", len(r.left), strings.Join(names, ", "))
	r.log.say("%s", text)
	r.result.Summary = strings.TrimSpace(r.result.Summary + "\n(" + text + ")")
}

// Processes tells the processes of a run from others. Processes of the same run in another state folder are others: this folder
// may be a copy, and the run go on in the original. Where a folder was moved, its processes name a folder that is gone.
func (d Dir) Processes(run string) proc.Run {
	return proc.Run{Name: run, Elsewhere: func(home string) bool { return !spool.SameFolder(home, string(d)) && hasRun(home, run) }}
}

// hasRun says whether a path that a process names is a state folder with that run. It looks for the run's marker, not for its
// folder: after the state folder was moved, an agent may make the old folder again by writing to its TMPDIR.
func hasRun(home, run string) bool {
	if !filepath.IsAbs(home) {
		return false
	}
	m, err := Dir(home).ReadMarker(run)
	if errors.Is(err, fs.ErrPermission) { // it is not this user's
		return false
	}
	return err != nil || m.Phase != Missing // after an error it is not known: a process is left rather than ended by mistake
}

// IsRunner says whether a process is the runner of another run, and not one that only claims so. A runner inherited the lease of
// a slot other than this one, by the real path of the lock; and its run is there and has not ended. Processes below such a
// runner are for it to end.
func IsRunner(lock string) func(pid int, home, run string) bool {
	return func(pid int, home, run string) bool {
		if !runName().MatchString(run) || !filepath.IsAbs(home) {
			return false
		}
		m, err := Dir(home).ReadMarker(run)
		if errors.Is(err, fs.ErrPermission) || err == nil && (m.Phase == Missing || m.Phase == Ended) {
			return false
		}
		slots, err := filepath.EvalSymlinks(Dir(home).slots())
		return err == nil && proc.Inherited(pid, slots+"/") && !proc.Inherited(pid, lock)
	}
}

// ref is the ref of the uncommitted work of a run: refs/kugetsu/<item>/<n>.
func ref(run string) string { return "refs/kugetsu/" + strings.Replace(run, ".", "/", 1) }

func (r *Runner) saveSession(w *ready) error {
	w.session.LastUsedAt = time.Now().UTC()
	r.result.Conversation = w.session.Conversation
	err := r.writeSession(w.session)
	if err != nil {
		r.log.say("%v", err)
	}
	return err
}

func (r *Runner) cleanTmp() {
	if err := r.home.DropTmp(r.name); err != nil {
		r.log.say("%v", err)
	}
}

// tellStarted emits the event that the agent runs. Settling emits it again in case this fails.
func (r *Runner) tellStarted() {
	ev := r.task.Events
	box := event.Box{New: ev.New, Seen: ev.Seen, Undelivered: ev.Undelivered, Wanted: func(event.Type) bool { return ev.Tell }, Now: time.Now}
	err := box.Put(event.Event{Name: event.Name(r.task.Item, r.task.Run, event.TaskStarted), Type: event.TaskStarted,
		Item: r.task.Item, IssueRef: r.task.IssueRef, Agent: r.task.Agent.Preset, Run: r.task.Run, State: "notified"})
	if err != nil {
		r.log.say("%v", err)
	}
}
