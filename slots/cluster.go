package slots

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"kugetsu/queue/fault"
	"kugetsu/queue/spool"
	"kugetsu/slots/machine"
	"kugetsu/slots/proc"
)

// A run on a cluster has no lease from birth: a lock may not reach from one machine to another. Its marker is the right to run instead.
// The marker is one file, which each of these moves only away from where it is, so that one of several that try has moved it:
//
//	exit → claimed.<job>.<token>     the job, as its first act. Whatever starts the job a second time finds no marker exit
//	claimed.… → started              the runner, when the agent's process exists
//	claimed.…, started → end.…       the runner, as its last act
//	exit, claimed.…, started →       the fence, by a pass that learned that the job is gone: the job can neither begin nor record
//	fenced.<what it was>             an end from then on
//
// What tells that a job is gone may be wrong, and its runner may live. So the runner looks for the fence each second, before its agent
// starts, and before each write for its session. It ends its agent then, says so by a mark, and does nothing more.
//
// Where locks reach across the machines, the runner has the slot's and the session's locked as well. Nothing relies on that.

// Kept on the way from the job's environment to that of its runner and agent: what says which devices are the job's.
var ofJob = []string{"SLURM_CONF", "SLURM_JOB_ID", "SLURM_JOB_NODELIST", "SLURMD_NODENAME", "SLURM_CPUS_ON_NODE", "CUDA_VISIBLE_DEVICES",
	"ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK", "GPU_DEVICE_ORDINAL"}

// Order is the file job.json of a run: all that a job must know. It is for this user alone to read, and holds no secret: env files are
// read by the runner.
type Order struct {
	V    int      `json:"v"`
	Slot string   `json:"slot"`
	Task Task     `json:"task"`
	Env  []string `json:"env"`  // of the runner
	Tick bool     `json:"tick"` // the end of the run starts a tick where the run was
	Disk string   `json:"disk"` // SLURM_WORKDIR
}

func (d Dir) order(run string) spool.File[Order] {
	return spool.File[Order]{Path: filepath.Join(d.RunDir(run), "job.json"), Version: 1}
}

// WriteOrder writes the file of what a run's job is to do. The run's folder was made just now.
func (d Dir) WriteOrder(o Order) error {
	o.V, o.Task.V = 1, 1
	return d.order(o.Task.Name()).Publish(&o)
}

// ReadOrder reads the file of what a run's job is to do.
func (d Dir) ReadOrder(run string) (*Order, error) { return d.order(run).Read() }

// Claim is the file claim.json of a run: where it is, or was. It only informs.
type Claim struct {
	V    int       `json:"v"`
	Job  string    `json:"job"`
	Node string    `json:"node"`
	At   time.Time `json:"at"`
}

func (d Dir) claimFile(run string) spool.File[Claim] {
	return spool.File[Claim]{Path: filepath.Join(d.RunDir(run), "claim.json"), Version: 1, Layout: spool.Line}
}

// ReadClaim says where a run is, or was; nil where no job claimed it.
func (d Dir) ReadClaim(run string) (*Claim, error) { return d.claimFile(run).ReadGood() }

// Fence is the file fence.json of a run: since when it is fenced, and what was known of its job then.
type Fence struct {
	V     int           `json:"v"`
	At    time.Time     `json:"at"`
	Boot  string        `json:"boot"`  // of the machine that fenced it,
	Clock time.Duration `json:"clock"` // and its clock then, which cannot be set
	Why   string        `json:"why"`   // how the job came to be gone, for people
	State string        `json:"state"` // of the job; "" for one that is not known
}

func (d Dir) fenceFile(run string) spool.File[Fence] {
	return spool.File[Fence]{Path: filepath.Join(d.RunDir(run), "fence.json"), Version: 1, Layout: spool.Line}
}

// ReadFence says since when a run is fenced; nil where the file is not there, which is written after the marker was moved.
func (d Dir) ReadFence(run string) (*Fence, error) { return d.fenceFile(run).ReadGood() }

// WriteFence says that a run is fenced since now.
func (d Dir) WriteFence(run string, f Fence) error {
	f.V, f.Boot, f.Clock = 1, proc.BootID(), proc.Clock()
	if err := d.requireDir(run); err != nil {
		return err
	}
	return d.fenceFile(run).Write(&f)
}

// Age is for how long a run has been fenced, at least; negative where the clock was set back since.
func (f *Fence) Age(now time.Time) time.Duration {
	if clock := proc.Clock(); f.Boot != "" && f.Boot == proc.BootID() && clock > 0 {
		return clock - f.Clock
	}
	return now.Sub(f.At)
}

// Yielded says whether a runner that was fenced, or told to end, has ended all that it had started.
func (d Dir) Yielded(run string) (bool, error) { return d.marked(run, yieldedMark) }

// Fence takes the marker of a run whose job is gone, unless the run has ended. The marker that it returns is that of the run now.
func (d Dir) Fence(run string) (Marker, error) {
	const tries = 3 // the runner renames it twice
	for range tries {
		m, err := d.ReadMarker(run)
		if err != nil || m.Phase == Ended || m.Phase == Fenced {
			return m, err
		}
		to := Marker{Phase: Fenced, Was: m.Phase}
		if m.Phase == Missing {
			// The folder was deleted, or its marker. A job may have claimed it before. Whatever comes later claims nothing.
			to.Was = Claimed
			err = d.refence(run, to)
		} else {
			err = d.moveMarker(run, m, to)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return to, err
		}
	}
	return Marker{}, fmt.Errorf("the marker of %s moves each time that it is looked at", run)
}

// refence makes the marker of a run that has none.
func (d Dir) refence(run string, to Marker) error {
	if err := spool.Mkdir(d.RunDir(run)); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := d.requireDir(run); err != nil {
		return err
	}
	err := spool.Create(filepath.Join(d.RunDir(run), to.name()))
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// moveMarker is setMarker where other machines have the folder, too. A network file system may repeat a rename that was done, and say then
// that there is nothing to rename: so after an error the new name is looked for. The error wraps fs.ErrNotExist where the marker is another.
func (d Dir) moveMarker(run string, from, to Marker) error {
	err := d.setMarker(run, from, to)
	if err == nil {
		return nil
	}
	there, lookErr := spool.Exists(filepath.Join(d.RunDir(run), to.name()))
	if lookErr == nil && there {
		return nil
	}
	return errors.Join(err, lookErr)
}

// JobName is the name of the job of a run: of this state folder, this item and this run, and no other. Slurm takes commas in a name for the
// ends of names, so it has none of those.
func (d Dir) JobName(item string, run int) string {
	return fmt.Sprintf("kg-%s-%s-%d", d.id(), item, run)
}

// id tells this state folder from others.
func (d Dir) id() string {
	path, err := filepath.EvalSymlinks(string(d))
	if err != nil {
		path = string(d)
	}
	sum := sha256.Sum256([]byte(path))
	return hex.EncodeToString(sum[:4])
}

// onCluster is what a runner is more that a job started.
type onCluster struct {
	tick   bool   // see Order.Tick
	disk   string // see Order.Disk
	killed int64  // processes of the job that the kernel had killed for want of memory before the agent
}

// noteKilled counts them.
func (r *Runner) noteKilled() {
	if r.cluster == nil {
		return
	}
	n, err := machine.Machine{}.Killed()
	if err != nil {
		r.log.say("%v", err)
	}
	r.cluster.killed = n
}

// tooLarge says whether the kernel killed a process of the job since, for want of the memory that the job has.
func (r *Runner) tooLarge() bool {
	if r.cluster == nil {
		return false
	}
	n, err := machine.Machine{}.Killed()
	if err != nil {
		r.log.say("%v", err)
	}
	return err == nil && n > r.cluster.killed
}

// RunJob is Run for a job of a cluster, or the answer to a probe. It claims the run first. Without the claim nothing was done, and nothing is done.
func RunJob(ctx context.Context, home Dir, name string) (err error) {
	id, node := os.Getenv("SLURM_JOB_ID"), os.Getenv("SLURMD_NODENAME")
	probe := probeName().MatchString(name)
	if id == "" || strings.Trim(id, "0123456789") != "" || !runName().MatchString(name) && !probe {
		return fault.New(fault.Usage, "kugetsu tick submits it", "job is not for use by hand: there is no job of Slurm")
	}
	if probe {
		return home.answer(name)
	}
	_, _ = proc.Self() // before the working folder and PATH change; what needs it has the error
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer stop()
	marker := Marker{Phase: Claimed, Job: id, Token: strings.ToLower(rand.Text()[:8])}
	err = home.moveMarker(name, Marker{Phase: Exit}, marker)
	if errors.Is(err, fs.ErrNotExist) { // another job has it, or this one came too late
		fmt.Fprintf(os.Stderr, "kugetsu: job %s on %s does nothing: %s is not to be claimed\n", id, node, name)
		return nil
	}
	if err != nil {
		return err
	}
	begun := false
	defer func() {
		if !begun { // nothing was started: the next run need not wait
			err = errors.Join(err, home.mark(name, yieldedMark))
		}
	}()
	order, err := home.order(name).Read()
	if err == nil && (order == nil || order.Task.Name() != name || !isSession(order.Task.Session) || !slotFile().MatchString(order.Slot+".lock")) {
		err = fmt.Errorf("%s: %w", home.order(name).Path, spool.ErrBad)
	}
	if err != nil {
		return err
	}
	if err := errors.Join(proc.BecomeSubreaper(), os.Chdir(string(home)), setEnviron(order.Env)); err != nil {
		return err
	}
	log, err := openLog(home.LogPath(name), LogCap)
	if err != nil {
		return err
	}
	log.say("job %s on %s", id, node)
	if err := home.claimFile(name).WriteSoon(&Claim{V: 1, Job: id, Node: node, At: time.Now().UTC()}); err != nil {
		log.say("%v", err) // only views lack it
	}
	r := &Runner{home: home, name: name, task: &order.Task, log: log, marker: marker, grace: killGrace, cluster: &onCluster{tick: order.Tick, disk: order.Disk}}
	if r.slot, err = r.lock(ctx, home.SlotLock(order.Slot)); err == nil {
		r.session, err = r.lock(ctx, home.SessionLock(order.Task.Session))
	}
	if err != nil {
		log.say("%v", err)
		return nil // the next pass finds the job gone
	}
	begun = true
	return r.run(ctx)
}

// setEnviron makes the environment of this process that of a runner: as that of a run on the tick's machine, it does not depend on who
// started it.
func setEnviron(env []string) error {
	for _, name := range ofJob {
		if v, set := os.LookupEnv(name); set {
			env = with(env, name+"="+v)
		}
	}
	env = append(env, proc.Mark+"="+os.Getenv(proc.Mark))
	os.Clearenv()
	for _, kv := range env {
		name, value, _ := strings.Cut(kv, "=")
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	return nil
}

// lockPatience is how long a job waits for a lock that the pass has which submitted it.
const lockPatience = time.Minute

// lock locks a file for the run, where locks reach as far as here. An error of the file system is told, and the file is open all the same.
func (r *Runner) lock(ctx context.Context, path string) (*os.File, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lockPatience, fmt.Errorf("%s is locked by another process", path))
	defer cancel()
	file, err := spool.Lock(ctx, path, nil)
	if err == nil || ctx.Err() != nil {
		return file, err
	}
	r.log.say("no lock is had on this node: %v", err)
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
}

var errFenced = errors.New("this run was taken for lost, so it is ended and not recorded")

// fenced says whether a pass took the run for lost. Of a runner that a tick forked it is false without a look: its lease says that it
// lives. A folder that is read while its marker is renamed may seem to have none, so that counts only the second time.
func (r *Runner) fenced() bool {
	if r.cluster == nil {
		return false
	}
	for range 2 {
		m, err := r.home.ReadMarker(r.name)
		if err != nil {
			r.log.say("%v", err)
		}
		if err != nil || m.Phase != Missing {
			return m.Phase == Fenced
		}
	}
	return true
}

// setMarker renames the run's marker.
func (r *Runner) setMarker(to Marker) error {
	move := r.home.setMarker
	if r.cluster != nil {
		move = r.home.moveMarker
	}
	if err := move(r.name, r.marker, to); err != nil {
		return err
	}
	r.marker = to
	return nil
}

// writeSession replaces the session's file, unless the session may be another run's by now.
func (r *Runner) writeSession(s *Session) error {
	if r.fenced() {
		return errFenced
	}
	return r.home.WriteSession(r.task.Session, s)
}

// saysInterrupted is the reason in the log why a run ends that was told to end, and was not cancelled.
func (r *Runner) saysInterrupted() string {
	if r.cluster != nil {
		return "interrupted; a tick settles " + r.name + " by how its job ended"
	}
	return "interrupted; " + r.name + " will be retried"
}

// yield says that nothing of the run is left, where its end is not recorded. Then the next run need not wait.
func (r *Runner) yield() {
	if r.cluster == nil {
		return
	}
	err := r.endProcesses()
	if err == nil && len(r.left) == 0 {
		err = r.home.mark(r.name, yieldedMark)
	}
	if err != nil {
		r.log.say("%v", err)
	}
}

// wake sees to it that a pass settles this run and refills its slot. On a cluster other nodes may not see who waits here, so there the run has a tick of its own.
func (r *Runner) wake() error {
	if r.cluster == nil {
		return r.home.wakeQueue()
	}
	if !r.cluster.tick {
		return nil // the marker tells the next one
	}
	// The job's processes are ended with the job: so this one waits for the tick.
	self, err := proc.Self()
	if err != nil {
		return fmt.Errorf("tick: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), wakeLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, self, "tick", "--wait")
	cmd.Dir = string(r.home)
	cmd.Env = slices.DeleteFunc(without(os.Environ(), proc.Mark), func(kv string) bool {
		return strings.HasPrefix(kv, "SLURM_JOB_") || strings.HasPrefix(kv, "SLURMD_")
	})
	if out, err := r.home.OpenTickLog(); err == nil {
		defer out.Close()
		cmd.Stdout, cmd.Stderr = out, out
	}
	cmd.WaitDelay = killGrace
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("tick: %w", err)
	}
	return nil
}

// wakeLimit bounds the tick that a job runs as its last act.
const wakeLimit = 2 * time.Minute
