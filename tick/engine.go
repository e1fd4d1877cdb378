package tick

import (
	"context"
	"syscall"

	"kugetsu/queue"
	"kugetsu/queue/outcome"
	"kugetsu/slots"
	"kugetsu/slots/proc"
	"kugetsu/tick/settings"
)

// engine starts runs, says which of them live, ends one, and says why one ended. A pass asks the engine that started a run, whatever the
// settings say by then: the run's item and its slot name it.
type engine interface {
	// intend adds to an intent what leads to its run.
	intend(in *slots.Intent)
	// answers says whether runs can be started and asked for; its error is of one line.
	answers(ctx context.Context) error
	// here says whether the runs are on this machine, and take its memory and its programs.
	here() bool
	// launch makes the runner of a run ready (c.). It does nothing before its item is notified (d.) and the launch begins (e.).
	launch(ctx context.Context, p *reservation, task slots.Task, env []string) (*launch, error)
	// look says how far the run of a notified item came, and whether it lives. in is nil where no slot names the run. The caller has found
	// the lease free. A run that is not known to be gone lives.
	look(ctx context.Context, slot string, in *slots.Intent, it *queue.Item) (marker slots.Marker, lives bool, err error)
	// looks is look without a question that takes time and without a repair, for views and for commands that only must not be in the way.
	looks(it *queue.Item) bool
	// tell tells the runner of a run that was marked as cancelled. The runner looks for the mark, too.
	tell(ctx context.Context, it *queue.Item)
	// end ends the run of a notified item whose runner does not answer.
	end(ctx context.Context, slot string, in *slots.Intent, it *queue.Item) error
	// forsake ends a run whose item is gone, and says whether nothing of it can be left.
	forsake(ctx context.Context, in *slots.Intent) (gone bool, err error)
	// place is the job and the node of a run; "" for this machine, and while no job has begun.
	place(run string) (job, node string)
	// why fills the outcome of a run that recorded no end. Boot is that of the kernel under which the run began; "" where it is not known.
	why(it *queue.Item, marker slots.Marker, boot string, r *queue.Result) error
}

// launch is a runner that is ready.
type launch struct {
	pid   int           // of the runner; 0: it is no process of this machine
	born  *queue.Runner // what identifies the run's process
	begin func() error  // lets the runner begin
	close func() error
}

// engineFor is the engine that starts the runs of a lane.
func (t *Tick) engineFor(lane queue.Lane) engine {
	name := t.Settings.Engine
	if lane == queue.PM {
		name = t.Settings.EnginePM
	}
	return t.engineNamed(name)
}

// engineOf is the engine that started the newest run of a notified item.
func (t *Tick) engineOf(it *queue.Item) engine {
	if it.Runner == nil {
		return local{t}
	}
	return t.engineNamed(it.Runner.Engine)
}

// engineNamed is the engine of a name; "" is this machine. A file that names another one is of a newer version, and not read.
func (t *Tick) engineNamed(name string) engine {
	if name == settings.Slurm {
		return onSlurm{t}
	}
	return local{t}
}

// local is the engine of this machine: the runner is a process that the pass forks. It lives while its lease is locked, or the process
// itself lives.
type local struct{ t *Tick }

func (local) intend(*slots.Intent) {}

func (local) answers(context.Context) error { return nil }

func (local) here() bool { return true }

func (local) place(string) (job, node string) { return "", "" }

func (l local) forsake(ctx context.Context, in *slots.Intent) (gone bool, err error) {
	err = l.t.endMarked(ctx, in.RunName())
	return err == nil, err
}

func (l local) launch(_ context.Context, p *reservation, task slots.Task, env []string) (*launch, error) {
	pid, gate, err := l.t.Home.Launch(task.Name(), p.slot, p.sessLock, env)
	if err != nil {
		return nil, err
	}
	born := &queue.Runner{Birth: proc.Birth(pid), Clock: proc.Clock(), Timeout: task.Timeout, Verify: task.Verify.Timeout}
	return &launch{pid: pid, born: born, begin: func() error { return gate.Send(task) }, close: gate.Close}, nil
}

// look asks in this order: the lease, which the caller did, the runner, the marker. So a run that ends between two of them is never taken
// for lost.
func (l local) look(ctx context.Context, slot string, in *slots.Intent, it *queue.Item) (marker slots.Marker, lives bool, err error) {
	run := slots.RunName(it.ID, it.Runs)
	alive := l.t.unlocked(it)
	if marker, err = l.t.Home.ReadMarker(run); err != nil || !alive || marker.Phase == slots.Ended {
		return marker, false, err
	}
	l.t.Log.Warn("a runner is alive and its lease was unlocked", "run", run, "pid", *it.ForkPID)
	ended, err := l.t.watch(ctx, slot, in, it)
	return marker, err != nil || !ended, err
}

func (l local) looks(it *queue.Item) bool { return l.t.unlocked(it) }

func (l local) tell(_ context.Context, it *queue.Item) {
	// A stopped runner is continued, or it would not get the signal.
	if it.ForkPID != nil && !proc.Tell(*it.ForkPID, l.t.ours(it), syscall.SIGTERM, syscall.SIGCONT) {
		l.t.Log.Debug("the runner is gone or cannot be signalled; it looks for the mark by itself", "run", slots.RunName(it.ID, it.Runs))
	}
}

func (l local) end(ctx context.Context, slot string, in *slots.Intent, it *queue.Item) error {
	if it.ForkPID == nil || !l.t.ours(it)() {
		return nil
	}
	l.t.Log.Warn("the runner of a cancelled run does not answer: it is ended", "run", slots.RunName(it.ID, it.Runs), "pid", *it.ForkPID)
	return l.t.endRunner(ctx, slot, in, it)
}

func (local) why(it *queue.Item, marker slots.Marker, boot string, r *queue.Result) error {
	if marker.Phase != slots.Started {
		r.Outcome, r.Summary = outcome.Void, "no agent was started"
		return nil
	}
	r.Outcome, r.StartedAt = outcome.Lost, it.NotifiedAt
	r.Summary = "its runner was killed"
	now := proc.BootID() // "" if it cannot be read: unknown does not mean different
	if r.Rebooted = boot != "" && now != "" && boot != now; r.Rebooted {
		r.Summary = "the machine was restarted"
	}
	return nil
}
