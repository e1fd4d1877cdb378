package slots

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"kugetsu/queue/fault"
	"kugetsu/queue/outcome"
	"kugetsu/slots/agent"
	"kugetsu/slots/proc"
)

// errMarker is wrapped when the agent's start could not be recorded.
var errMarker = errors.New("the agent's start could not be recorded")

// ending is how the wait for an agent ended.
type ending int

const (
	exited ending = iota
	tookTooLong
	showedNothing
	parked  // it waits in its process for a limit or a server, so it is ended and tried again later
	outgrew // it has taken more memory than it may
	interrupted
	wasCancelled
)

// saysEnding is the reason in the log for ending an agent.
var saysEnding = map[ending]string{tookTooLong: "it took too long", showedNothing: "it showed no progress",
	parked: "it waits for a limit or a server", outgrew: "it has taken too much memory", interrupted: "it was told to end"}

// agentRun is the agent's process and its output.
type agentRun struct {
	r       *Runner
	w       *ready
	cmd     *exec.Cmd
	preset  agent.Preset
	parser  agent.Parser
	meter   meter
	mu      sync.Mutex // guards parser
	readers sync.WaitGroup
	pipes   []*os.File
	exit    chan *os.ProcessState
	state   *os.ProcessState // how the process ended; nil while that is not known
	begun   time.Time
	talk    chan string  // the conversation id, when it is known
	alive   chan bool    // progress; true where the model answered
	park    chan bool    // the agent waits for too long
	waits   string       // the reason to wait that the run's folder has
	found   agent.Report // of a parked agent: the reason why it waited
	worked  atomic.Bool  // the model answered
	memory  memory
	killing sync.WaitGroup
	killed  chan error // endProcesses is through
}

// start starts the agent and records that it started.
func (r *Runner) start(ctx context.Context, w *ready) (*agentRun, error) {
	argv, stdin, preset, err := r.command(ctx, w)
	if err != nil {
		return nil, err
	}
	defer stdin.Close()
	if argv, err = prefixed(r.task.Agent.Prefix, argv); err != nil {
		return nil, err
	}
	path, err := proc.LookPath(argv[0], w.agentEnv, w.dir)
	if err != nil && !strings.Contains(argv[0], "/") { // the tick found the program before: the fault is the machine's, not the task's
		return nil, fault.New(fault.Config, "", "%w", err)
	}
	if err != nil {
		return nil, err
	}
	a := &agentRun{r: r, w: w, preset: preset, parser: preset.Parser(clockIn(w.agentEnv)), exit: make(chan *os.ProcessState, 1), talk: make(chan string, 1),
		alive: make(chan bool, 1), park: make(chan bool, 1), killed: make(chan error, 1)}
	a.cmd = &exec.Cmd{
		Path: path, Args: argv, Dir: w.dir, Env: w.agentEnv, Stdin: stdin,
		ExtraFiles: []*os.File{r.slot, r.session}, SysProcAttr: proc.Attach(),
	}
	outR, outW, err := stream(preset.Prompted)
	if err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	errR, errW, err := stream(preset.Prompted)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start: %w", err), outR.Close(), outW.Close())
	}
	a.cmd.Stdout, a.cmd.Stderr = outW, errW
	a.pipes = []*os.File{outR, errR}
	a.begun = time.Now()
	if err = errFenced; !r.fenced() {
		err = a.cmd.Start()
	}
	err = errors.Join(err, outW.Close(), errW.Close())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", argv[0], err), outR.Close(), errR.Close())
	}
	proc.Watch(a.cmd.Process.Pid)
	go func() {
		_ = a.cmd.Wait() // ProcessState says more than the error
		proc.Watched()
		a.exit <- a.cmd.ProcessState
	}()
	a.readers.Add(2)
	go a.read(outR, preset.Prompted, a.parser.Stdout)
	go a.read(errR, preset.Prompted, a.parser.Stderr)

	started := Marker{Phase: Started}
	if err := r.setMarker(started); err != nil {
		// An agent whose start is not recorded must not run: the next tick would run it again without counting an attempt.
		return nil, errors.Join(errMarker, err, r.endProcesses())
	}
	at := time.Now().UTC()
	r.result.StartedAt = &at
	r.tellStarted()
	return a, nil
}

// command makes the agent's argv and opens its stdin.
func (r *Runner) command(ctx context.Context, w *ready) (argv []string, stdin *os.File, preset agent.Preset, err error) {
	preset, err = agent.Lookup(r.task.Agent.Preset)
	if err != nil {
		return nil, nil, preset, err
	}
	major, err := r.home.major(ctx, r, preset, w.agentEnv)
	if err != nil {
		return nil, nil, preset, err
	}
	w.changeAgent(preset.Name)
	text, err := r.text(ctx, preset, w)
	if err != nil {
		return nil, nil, preset, err
	}
	message, err := r.writeInput("message", r.task.Message)
	if err != nil {
		return nil, nil, preset, err
	}
	stdin = message
	if preset.Prompted {
		if stdin, err = r.writeInput("input", text); err != nil {
			return nil, nil, preset, errors.Join(err, message.Close())
		}
		if err := message.Close(); err != nil {
			return nil, nil, preset, errors.Join(err, stdin.Close())
		}
	}
	if err := r.writeRefusal(w); err != nil {
		return nil, nil, preset, errors.Join(err, stdin.Close())
	}
	argv, err = preset.Argv(agent.Call{
		Worktree: w.dir, IssueRef: r.task.IssueRef, Session: r.task.Session, MessageFile: message.Name(),
		Title: "kugetsu " + first(r.task.IssueRef, r.task.Session), Writable: w.made.Writable(), Conversation: w.session.Conversation, Continue: w.existed,
		Major: major, Args: r.task.Agent.Args, Model: r.task.Agent.Model,
		Command: r.task.Agent.Command, ContinueCommand: r.task.Agent.ContinueCommand,
	})
	if err != nil {
		return nil, nil, preset, errors.Join(err, stdin.Close())
	}
	return argv, stdin, preset, nil
}

// takeLine gives a line to the parser, and tells wait about a new conversation, progress or a parked agent.
func (a *agentRun) takeLine(line []byte, parse func([]byte) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	before := a.parser.Conversation()
	progress := parse(line)
	if id := a.parser.Conversation(); id != before {
		tell(a.talk, id)
	}
	if progress {
		a.worked.Store(true)
		tell(a.alive, true)
	}
	if a.parser.Parked() {
		tell(a.park, true)
	}
}

// tell sends without waiting: a value that is in the channel already says the same.
func tell[T any](c chan T, v T) {
	select {
	case c <- v:
	default:
	}
}

// read copies the agent's output to the log as it comes, and gives its lines to the parser. Lines longer than MaxLine are logged
// whole and not parsed. Where the parser does not know progress, any output is progress.
func (a *agentRun) read(pipe *os.File, known bool, parse func(line []byte) bool) {
	defer a.readers.Done()
	var line []byte
	tooLong := false
	buf := make([]byte, 64<<10)
	for {
		n, err := pipe.Read(buf)
		_, _ = a.r.log.Write(buf[:n])
		if n > 0 && !known {
			tell(a.alive, false)
		}
		for rest := buf[:n]; len(rest) > 0; {
			part, after, whole := bytes.Cut(rest, []byte("\n"))
			if !tooLong {
				line = append(line, part...)
			}
			if tooLong = len(line) > agent.MaxLine; tooLong {
				line = line[:0]
			}
			if whole {
				if !tooLong {
					a.takeLine(line, parse)
				}
				line, tooLong = line[:0], false
			}
			rest = after
		}
		if err != nil {
			if len(line) > 0 {
				a.takeLine(line, parse)
			}
			if !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrDeadlineExceeded) {
				a.r.log.say("reading the agent's output: %v", err)
			}
			return
		}
	}
}

// wait waits for the end of the agent's process. It ends the agent when its time is over, when it is parked, or when the run is
// cancelled or interrupted.
func (a *agentRun) wait(ctx context.Context) ending {
	on := a.setAlarms()
	defer on.stop()
	end, done, park := exited, ctx.Done(), a.park
	for {
		select {
		case a.state = <-a.exit:
			// endProcesses must be through: the tick that this process starts as its last act is one of its children, too.
			a.killing.Wait()
			if on.overdue() { // this process was stopped meanwhile: it is not known when the agent ended, only that the time is over
				return tookTooLong
			}
			return end
		case err := <-a.killed:
			a.killing.Wait()
			if a.livesOn(err) {
				return end
			}
			continue
		case id := <-a.talk:
			a.remember(id)
			continue
		case answered := <-a.alive:
			if end == exited && a.r.task.Idle > 0 {
				on.idle.Reset(a.r.task.Idle)
			}
			a.answer(answered)
			continue
		case <-on.child:
			proc.Reap()
			continue
		case <-on.look.C:
			a.askAgain()
			continue
		case <-on.measure.C:
			a.memory.measure(a.r)
			continue
		case taken := <-a.memory.measured:
			a.memory.note(a.r, taken)
			if end != exited || !a.memory.over(a.r) {
				continue
			}
			end, a.r.grace = outgrew, outgrownGrace
		case <-on.timeout.C:
			end = a.orParked(tookTooLong)
		case <-on.idle.C:
			end = a.orParked(showedNothing)
		case <-park:
			if end = a.orParked(exited); end == exited { // the agent goes on meanwhile
				continue
			}
		case <-done:
			end = interrupted
		}
		on.stopTime()
		done, park = nil, nil
		a.kill(end)
	}
}

// kill begins to end the processes of the run. killed says when that is done.
func (a *agentRun) kill(why ending) {
	a.r.log.say("ending the agent: %s", saysEnding[why])
	a.killing.Go(func() { a.killed <- a.r.endProcesses() })
}

// alarms are the clocks and the signal that wake wait, beside what the agent itself does.
type alarms struct {
	timeout, idle, measure *time.Timer
	look                   *time.Ticker
	child                  chan os.Signal
}

func (a *agentRun) setAlarms() alarms {
	w := alarms{
		// The time counts from the start of the agent, which may have stopped this process since. It is the monotonic clock: a wall
		// clock that is set forward ends nothing early.
		timeout: time.NewTimer(time.Until(a.begun.Add(a.r.task.Timeout))),
		idle:    time.NewTimer(a.r.task.Idle),
		look:    time.NewTicker(lookEvery),
		child:   make(chan os.Signal, 1),
	}
	if a.r.task.Idle == 0 {
		w.idle.Stop()
	}
	signal.Notify(w.child, syscall.SIGCHLD)
	a.memory.begin()
	w.measure = a.memory.next
	return w
}

// overdue says whether the timeout is over and wait has not met it.
func (w alarms) overdue() bool {
	select {
	case <-w.timeout.C:
		return true
	default:
		return false
	}
}

// stopTime stops the clocks that end the agent.
func (w alarms) stopTime() {
	w.timeout.Stop()
	w.idle.Stop()
}

func (w alarms) stop() {
	w.stopTime()
	w.measure.Stop()
	w.look.Stop()
	signal.Stop(w.child)
}

// livesOn says, after endProcesses returned err, whether the agent itself cannot be ended: it is another user's, or stuck in the
// kernel.
func (a *agentRun) livesOn(err error) bool {
	if err != nil {
		a.r.log.say("%v", err)
		return true
	}
	return slices.ContainsFunc(a.r.left, func(p proc.Left) bool { return p.PID == a.cmd.Process.Pid })
}

// askAgain asks the parser whether the agent waits for a limit. Such a program may print nothing more.
func (a *agentRun) askAgain() {
	a.mu.Lock()
	tooLong := a.parser.Parked()
	a.mu.Unlock()
	a.sayWaits()
	a.sayQuota(false)
	if tooLong {
		tell(a.park, true)
	}
}

// orParked is parked where the agent waits for a limit or a server, else the other. The reason is noted here, before the agent
// is ended: while it ends it may print another one.
func (a *agentRun) orParked(other ending) ending {
	a.mu.Lock()
	defer a.mu.Unlock()
	found, waits := a.parser.Waiting()
	if !waits {
		return other
	}
	a.found = found
	return parked
}

// sayWaits records the reason why the agent waits, for status.
func (a *agentRun) sayWaits() {
	a.mu.Lock()
	found, _ := a.parser.Waiting()
	a.mu.Unlock()
	if found.Summary == a.waits {
		return
	}
	a.waits = found.Summary
	if err := a.r.home.setWaits(a.r.name, a.waits); err != nil {
		a.r.log.say("%v", err) // only status lacks the reason
	}
}

// remember saves the conversation's id as soon as it is known: a run that is killed can then be resumed.
func (a *agentRun) remember(id string) {
	a.w.session.Conversation = id
	if err := a.r.writeSession(a.w.session); err != nil {
		a.r.log.say("%v", err)
	}
}

// answer records, once, that the model answers: items that wait for this run to try the agent need not wait for its end.
func (a *agentRun) answer(answered bool) {
	if !answered || !a.r.task.Probe {
		return
	}
	a.r.task.Probe = false
	if err := a.r.home.setAnswered(a.r.name); err != nil {
		a.r.log.say("%v", err) // the run's end will tell it
	}
}

// drain is how long the agent's output is waited for after its last process is gone.
const drain = 2 * time.Second

// report judges the run. No process of the run is left.
func (a *agentRun) report() agent.Report {
	for _, pipe := range a.pipes {
		if err := pipe.SetReadDeadline(time.Now().Add(drain)); err != nil {
			a.r.log.say("%v", err)
		}
	}
	a.readers.Wait()
	for _, pipe := range a.pipes {
		_ = pipe.Close() // only read from
	}
	exit := agent.Exit{}
	if a.state != nil {
		status, _ := a.state.Sys().(syscall.WaitStatus)
		exit.Code = status.ExitStatus()
		if status.Signaled() {
			exit.Signal = status.Signal()
			exit.Code = 128 + int(exit.Signal)
			a.r.result.Signal = unix.SignalName(exit.Signal)
		}
	}
	a.r.result.ExitCode = &exit.Code
	if id := a.parser.Conversation(); id != "" {
		a.w.session.Conversation = id
	}
	report := a.parser.Report(exit)
	a.sayQuota(true)
	if a.found.Outcome != "" { // the cost and the refused permissions stay as the parser reports them
		report.Outcome, report.Summary, report.Reset = a.found.Outcome, a.found.Summary, a.found.Reset
	}
	if a.state == nil { // unknown is never a success
		report.Outcome, report.Summary = outcome.Failed, "how the agent's process ended is not known"
	}
	if last := report.Refused.Last(); report.Outcome == outcome.OK && last != "" {
		report.Summary = strings.TrimSpace(report.Summary + "\n(a permission was refused on the way: " + last + ")")
	}
	return report
}
