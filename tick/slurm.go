package tick

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"kugetsu/queue"
	"kugetsu/queue/fault"
	"kugetsu/queue/outcome"
	"kugetsu/slots"
	"kugetsu/slots/agent"
	"kugetsu/slots/proc"
	"kugetsu/slots/slurm"
	"kugetsu/tick/settings"
)

// onSlurm is the engine of a Slurm cluster: a run is a job. The run's folder is the truth, and what Slurm says is a hint (see
// slots/cluster.go). So:
//
//   - A job's name is on record before sbatch, and is submitted once, ever. Whatever came of sbatch, the job is looked for by that name, and
//     a run whose job is not there is fenced before its item is tried again, under another name.
//   - A run is settled by its end marker, or where its job is gone and its runner cannot live on: it was fenced long enough ago, has
//     yielded, or never claimed the run.
//   - A controller that does not answer makes runs without an end marker unknown. They live, and nothing is started.
type onSlurm struct{ t *Tick }

// hearing is what one pass heard of Slurm: it asks once for all runs.
type hearing struct {
	pinged bool
	silent error
	asked  bool
	jobs   map[string][]slurm.Job
}

// Cluster is the cluster that starts runs, with the environment of a run: that of cron is poor.
func (t *Tick) Cluster() (*slurm.Cluster, error) {
	env, err := t.Environ()
	if err != nil {
		return nil, err
	}
	if t.Settings.SlurmConf != "" {
		env = append(env, "SLURM_CONF="+t.Settings.SlurmConf)
	}
	return &slurm.Cluster{Env: slurm.Environ(env), Dir: string(t.Home)}, nil
}

// Here says whether the runs of dev agents are started on this machine.
func (t *Tick) Here() bool { return t.engineFor(queue.Dev).here() }

// answers asks, once in a pass, whether a controller answers. The error says that it does not, and is of one line.
func (s onSlurm) answers(ctx context.Context) error {
	h := &s.t.heard
	if h.pinged {
		return h.silent
	}
	c, err := s.t.Cluster()
	if err == nil {
		err = c.Ping(ctx)
	}
	h.pinged, h.silent = true, err
	return err
}

// jobs are the jobs of a name, as they were when this pass asked first.
func (s onSlurm) jobs(ctx context.Context, name string) ([]slurm.Job, error) {
	h := &s.t.heard
	if err := s.answers(ctx); err != nil {
		return nil, err
	}
	if !h.asked {
		c, err := s.t.Cluster()
		if err == nil {
			h.jobs, err = c.Jobs(ctx)
		}
		h.asked = true
		if h.silent = err; err != nil {
			return nil, err
		}
	}
	return h.jobs[name], nil
}

func (onSlurm) here() bool { return false }

func (s onSlurm) intend(in *slots.Intent) {
	in.Engine, in.Job = settings.Slurm, s.t.Home.JobName(in.Item, in.Run)
}

func (s onSlurm) launch(ctx context.Context, p *reservation, task slots.Task, env []string) (*launch, error) {
	if err := s.t.Home.WriteOrder(slots.Order{Slot: p.name, Task: task, Env: env, Tick: s.t.Settings.SlurmTick, Disk: s.t.Settings.SlurmWorkdir}); err != nil {
		return nil, err
	}
	born := &queue.Runner{Timeout: task.Timeout, Verify: task.Verify.Timeout, Engine: settings.Slurm, Job: s.t.Home.JobName(task.Item, task.Run)}
	return &launch{born: born, begin: func() error { return s.submit(ctx, task, born.Job) }, close: func() error { return nil }}, nil
}

// submit submits the job of a run. After an error of sbatch it looks for the job: it may be there all the same, now or soon. If it is not,
// the run is fenced: a job that comes later does nothing.
func (s onSlurm) submit(ctx context.Context, task slots.Task, name string) error {
	self, err := proc.Self()
	if err != nil {
		return err
	}
	c, err := s.t.Cluster()
	if err != nil {
		return err
	}
	args, err := agent.Split(s.t.Settings.SlurmArgs)
	if err != nil {
		return err
	}
	run := task.Name()
	id, err := c.Submit(ctx, slurm.Order{Name: name, Args: args, Log: s.t.Home.LogPath(run), Time: slots.Limit(task.Timeout, task.Verify.Timeout) + slots.Slack,
		Memory: s.memory(task), License: s.t.Settings.SlurmLicense, Run: []string{self, string(s.t.Home), run}})
	if err == nil {
		s.t.Log.Debug("submitted", "run", run, "job", id)
		return nil
	}
	jobs, lookErr := c.Named(ctx, name)
	switch {
	case lookErr != nil:
		return fault.New(fault.Temp, "its slot is occupied until Slurm answers", "it is not known whether Slurm has the job of the run: %w", errors.Join(err, lookErr))
	case len(jobs) > 0:
		s.t.Log.Warn("sbatch failed, and the job is there", "run", run, "job", jobs[0].ID, "err", err)
		return nil
	}
	why := "Slurm did not take its job: " + err.Error()
	if _, err := s.fence(run, slots.Fence{Why: why}); err != nil {
		return err
	}
	return fault.New(fault.Temp, "correct SLURM_ARGS and SLURM_LICENSE, or ask who runs the cluster", "%s", why)
}

// memory is what a job gets, in bytes; 0 for what the site gives. Slurm ends a job that takes more. So half as much again is added to what
// the last runs of an agent tell: one of ten took more.
func (s onSlurm) memory(task slots.Task) int64 {
	need := s.t.MemoryOf(task.Agent.Preset)
	if s.t.Settings.AgentMemory == settings.Auto {
		need += need / 2
	}
	return max(need, task.MaxMemory)
}

// fence fences a run, and keeps what was known of its job at the first time.
func (s onSlurm) fence(run string, f slots.Fence) (slots.Marker, error) {
	marker, err := s.t.Home.Fence(run)
	if err != nil || marker.Phase != slots.Fenced {
		return marker, err
	}
	known, err := s.t.Home.ReadFence(run)
	if err != nil || known != nil && known.Age(s.t.Now()) >= 0 { // else the clock was set back
		return marker, err
	}
	f.At = s.t.Now().UTC()
	if known != nil {
		f.Why, f.State = known.Why, known.State
	}
	return marker, s.t.Home.WriteFence(run, f)
}

func (s onSlurm) look(ctx context.Context, _ string, _ *slots.Intent, it *queue.Item) (marker slots.Marker, lives bool, err error) {
	run := slots.RunName(it.ID, it.Runs)
	// Slurm first and then the marker: a run records its end before its job ends.
	jobs, silent := s.jobs(ctx, it.Runner.Job)
	if marker, err = s.t.Home.ReadMarker(run); err != nil || marker.Phase == slots.Ended {
		return marker, false, err
	}
	if silent != nil {
		s.t.Log.Warn("a run is left as it is", "run", run, "err", silent)
		return marker, true, nil
	}
	if lives, err := s.working(ctx, run, marker, jobs); err != nil || lives {
		return marker, true, err
	}
	return s.gone(ctx, run, it, jobs)
}

// working says whether a job of a run is not over. If the run is fenced, that job came late, or its node was back: it is ended.
func (s onSlurm) working(ctx context.Context, run string, marker slots.Marker, jobs []slurm.Job) (bool, error) {
	for _, j := range jobs {
		if j.Over() {
			continue
		}
		if marker.Phase == slots.Fenced {
			s.t.Log.Warn("a job of a run that was taken for lost is there: it is ended", "run", run, "job", j.ID)
			c, err := s.t.Cluster()
			if err == nil {
				err = c.End(ctx, jobs)
			}
			return true, err
		}
		return true, nil
	}
	return false, nil
}

// gone fences a run whose job is gone, and says whether its runner may live on all the same.
func (s onSlurm) gone(ctx context.Context, run string, it *queue.Item, jobs []slurm.Job) (marker slots.Marker, lives bool, err error) {
	f := slots.Fence{Why: "Slurm does not know its job any more"}
	var last slurm.Job
	if len(jobs) > 0 {
		last = jobs[len(jobs)-1]
	} else if known, err := s.t.Home.ReadFence(run); err == nil && known == nil { // else it was asked for before
		if c, err := s.t.Cluster(); err == nil && it.NotifiedAt != nil {
			last, _ = c.Accounted(ctx, it.Runner.Job, *it.NotifiedAt)
		}
	}
	if last.ID != "" {
		f.State, f.Why = last.State, jobEnd(last)
	}
	if marker, waits, err := s.mayEnd(run, last); err != nil || waits {
		return marker, true, err
	}
	if marker, err = s.fence(run, f); err != nil || marker.Phase == slots.Ended {
		return marker, false, err
	}
	if marker.Was == slots.Exit { // no job claimed it, and none can
		return marker, false, nil
	}
	if yielded, err := s.t.Home.Yielded(run); err != nil || yielded {
		return marker, false, err
	}
	known, err := s.t.Home.ReadFence(run)
	if err != nil || known == nil {
		return marker, true, err
	}
	return marker, known.Age(s.t.Now()) < s.t.Settings.SlurmFence, nil
}

// mayEnd says whether a run whose job is said to be completed may be about to record its end. A controller that was killed may start a job
// once more, whose second start did nothing, and which is over when that is; the runner of the first one goes on, until Slurm finds it on its
// node. A runner whose job is over records its end, or yields, before that.
func (s onSlurm) mayEnd(run string, last slurm.Job) (marker slots.Marker, waits bool, err error) {
	if last.State != "COMPLETED" || last.Ended.IsZero() || s.t.Now().Sub(last.Ended).Abs() >= s.t.Settings.SlurmFence { // or a clock is wrong
		return marker, false, nil
	}
	marker, err = s.t.Home.ReadMarker(run)
	if err != nil || marker.Phase != slots.Claimed && marker.Phase != slots.Started {
		return marker, false, err
	}
	yielded, err := s.t.Home.Yielded(run)
	return marker, !yielded, err
}

// jobEnd says how a job ended.
func jobEnd(j slurm.Job) string {
	text := "Slurm ended its job " + j.ID
	if j.Node != "" {
		text += " on " + j.Node
	}
	text += ": " + j.State
	if j.Reason != "" && j.Reason != "None" {
		text += " (" + j.Reason + ")"
	}
	return text
}

// looks is true until the run is settled: only a pass asks Slurm.
func (onSlurm) looks(*queue.Item) bool { return true }

func (s onSlurm) tell(ctx context.Context, it *queue.Item) {
	c, err := s.t.Cluster()
	if err == nil {
		var jobs []slurm.Job
		if jobs, err = c.Named(ctx, it.Runner.Job); err == nil {
			err = c.Tell(ctx, jobs)
		}
	}
	if err != nil {
		s.t.Log.Warn("the job was not told; its runner looks for the mark by itself", "run", slots.RunName(it.ID, it.Runs), "err", err)
	}
}

func (s onSlurm) end(ctx context.Context, _ string, _ *slots.Intent, it *queue.Item) error {
	return s.endNamed(ctx, it.Runner.Job)
}

func (s onSlurm) endNamed(ctx context.Context, name string) error {
	c, err := s.t.Cluster()
	if err != nil {
		return err
	}
	jobs, err := c.Named(ctx, name)
	if err != nil {
		return err
	}
	return c.End(ctx, jobs)
}

// forsake ends a run whose item is gone. Its session is another run's only when the runner cannot live on.
func (s onSlurm) forsake(ctx context.Context, in *slots.Intent) (gone bool, err error) {
	it := &queue.Item{ID: in.Item, Runs: in.Run, Runner: &queue.Runner{Engine: in.Engine, Job: in.Job}}
	jobs, err := s.jobs(ctx, in.Job)
	if err != nil {
		return false, err
	}
	marker, err := s.fence(in.RunName(), slots.Fence{Why: "its item is gone"})
	if err != nil {
		return false, err
	}
	if lives, err := s.working(ctx, in.RunName(), marker, jobs); err != nil || lives {
		return false, err
	}
	if marker.Phase == slots.Ended {
		return true, nil
	}
	_, lives, err := s.gone(ctx, in.RunName(), it, jobs)
	return !lives, err
}

// why is by what was known of the job when the run was fenced. A first failure of the machine is not the item's fault, as a first restart
// of this machine is not.
func (s onSlurm) why(it *queue.Item, marker slots.Marker, _ string, r *queue.Result) error {
	run := slots.RunName(it.ID, it.Runs)
	f, err := s.t.Home.ReadFence(run)
	if err != nil {
		return err
	}
	if f == nil {
		f = &slots.Fence{Why: "its job is gone"}
	}
	r.Outcome, r.Summary = outcome.Void, "no agent was started: "+f.Why
	if marker.Was != slots.Started {
		return nil
	}
	r.Outcome, r.StartedAt, r.Summary = outcome.Lost, it.NotifiedAt, f.Why
	switch f.State {
	case "TIMEOUT", "DEADLINE":
		r.Outcome = outcome.Timeout
	case "OUT_OF_MEMORY":
		r.Outcome = outcome.Outgrown
	case "NODE_FAIL", "BOOT_FAIL", "PREEMPTED":
		r.Rebooted = true
	case "CANCELLED":
		r.Summary += ", which kugetsu had not asked for; kugetsu queue cancel ends a task"
	}
	return nil
}

func (s onSlurm) place(run string) (job, node string) {
	claim, err := s.t.Home.ReadClaim(run)
	if err != nil || claim == nil {
		return "", ""
	}
	return claim.Job, claim.Node
}

// Queued says why the jobs of runs wait that are not claimed, by the name of the slot. It asks Slurm only if there are such.
func (t *Tick) tellQueued(ctx context.Context, v *View) {
	for i := range v.Slots {
		s := &v.Slots[i]
		if s.Engine != settings.Slurm || !s.Occupied || s.Job != "" {
			continue
		}
		jobs, err := onSlurm{t}.jobs(ctx, s.jobName)
		if err != nil {
			v.problem("slot %s: %v", s.Slot, err)
			return
		}
		for _, j := range jobs {
			if !j.Over() {
				s.Job, s.Node, s.Queued = j.ID, j.Node, cmp.Or(j.Reason, strings.ToLower(j.State))
			}
		}
	}
}

// Where says where a run is that is not on this machine; "" for one that is.
func (s SlotView) Where() string {
	switch {
	case s.Engine == "" || s.Job == "":
		return ""
	case s.Queued != "":
		return fmt.Sprintf("queued in Slurm as job %s (%s)", s.Job, s.Queued)
	}
	return fmt.Sprintf("job %s on %s", s.Job, s.Node)
}

// silence keeps the items of a lane from starting whose engine does not answer.
type silence struct{ t *Tick }

func (p silence) of(lane queue.Lane) Reason {
	if err := p.t.engineFor(lane).answers(context.Background()); err != nil {
		return Reason{Kind: EngineSilent, Text: err.Error()}
	}
	return Reason{}
}

func (p silence) why(c *candidate) Reason { return p.of(c.lane) }

func (silence) starts(*candidate) {}
