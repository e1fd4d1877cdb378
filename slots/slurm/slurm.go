// Package slurm runs the commands of a Slurm cluster, and reads what they answer.
//
// A job is known by its name alone. A name is given to one submission, ever, and names the state folder, the item and the run. The
// number of a job may be given to another one after the controller was restarted. sbatch may fail although the controller took the job,
// so an error of Submit says nothing: Named does, or the next pass.
//
// What Slurm says is a hint. It may say that a job ended whose processes live, may run a job twice, and may forget one that it took. What
// follows from that is in package slots: the job's claim, its end, and the fence.
package slurm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"kugetsu/queue/spool"
	"kugetsu/queue/terminal"
	"kugetsu/slots/proc"
)

// The bounds of the commands. tick.lock is locked meanwhile. Without its controller, squeue and sbatch take up to MessageTimeout (10 s by
// default) for each try; Ping tells in milliseconds, and comes first.
const (
	pingLimit   = 5 * time.Second
	askLimit    = 20 * time.Second
	submitLimit = 45 * time.Second
	maxAnswer   = 16 << 20 // of squeue: a line is below 1 KiB
)

// ErrSilent is wrapped where the controller does not answer, or a command of Slurm cannot be run: nothing is known of any job.
var ErrSilent = errors.New("the controller of Slurm does not answer")

// Cluster is a cluster, as this user sees it.
type Cluster struct {
	Env []string // of the commands: see Environ
	Dir string   // the state folder
}

// Environ is env without what changes the answers of Slurm's commands, or the jobs. SLURM_CONF stays.
func Environ(env []string) []string {
	out := slices.DeleteFunc(slices.Clone(env), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return name != "SLURM_CONF" && slices.ContainsFunc(changing, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
	})
	return append(out, "LC_ALL=C")
}

var changing = []string{"SLURM_", "SLURMD_", "SBATCH_", "SQUEUE_", "SCANCEL_", "SCONTROL_", "SACCT_", "SALLOC_", "SRUN_", "LC_ALL"}

// Job is a job as Slurm knows it.
type Job struct {
	ID     string
	Name   string
	State  string // as squeue -o %T prints it
	Reason string // why it waits, or why it ended
	Node   string // "" before it has one
	Dir    string // its working folder

	Ended time.Time // of a job that is over; zero where that is not known
}

// over are the states of a job that has ended or never will run. Any other state, also one that is not known, is that of a job that may
// run: what is not known is never taken for gone.
var over = []string{"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "LAUNCH_FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED",
	"RECONFIG_FAIL", "REVOKED", "TIMEOUT"}

// Over says whether a job has ended, as far as Slurm knows.
func (j Job) Over() bool { return slices.Contains(over, j.State) }

// run runs a command of Slurm.
func (c *Cluster) run(ctx context.Context, limit time.Duration, stdin []byte, argv ...string) (string, error) {
	path, err := proc.LookPath(argv[0], c.Env, c.Dir)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no answer within %s", limit))
	defer cancel()
	out, err := proc.Child{Path: path, Args: argv, Dir: c.Dir, Env: c.Env, Stdin: bytes.NewReader(stdin), Most: maxAnswer}.Output(ctx)
	var failure *proc.Failure
	if errors.As(err, &failure) && failure.Said != "" { // it says more than an exit code, in several lines
		err = errors.New(strings.ReplaceAll(failure.Said, `\n`, "; "))
	}
	if err != nil {
		return out, fmt.Errorf("%s: %w", argv[0], err)
	}
	return out, nil
}

// Ping asks whether a controller is up. The error wraps ErrSilent.
func (c *Cluster) Ping(ctx context.Context) error {
	out, err := c.run(ctx, pingLimit, nil, "scontrol", "ping")
	if isUp(out) { // one that stands by may have taken over; the exit code is that of the first
		return nil
	}
	if said := controllers(out); len(said) > 0 {
		err = errors.New(terminal.Line(strings.Join(said, "; "), 200))
	}
	if err == nil {
		err = errors.New("scontrol ping says nothing")
	}
	return fmt.Errorf("%w: %w", ErrSilent, err)
}

// controllers are the lines of scontrol ping that are about a controller: "Slurmctld(primary) at head is UP". Below them stands a frame of
// stars where all are down.
func controllers(out string) (lines []string) {
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "Slurmctld") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

func isUp(out string) bool {
	return slices.ContainsFunc(controllers(out), func(line string) bool { return strings.HasSuffix(line, " is UP") })
}

// format is that of squeue: all that has no fixed set of letters stands last.
const format = "%i|%j|%T|%r|%N|%e|%Z"

// ask runs a command that prints times. They have no zone, so it prints those of UTC.
func (c *Cluster) ask(ctx context.Context, argv ...string) (string, error) {
	utc := Cluster{Env: append(slices.Clone(c.Env), "TZ=UTC0"), Dir: c.Dir}
	return utc.run(ctx, askLimit, nil, argv...)
}

// timeFormat is how Slurm prints a time, and reads one.
const timeFormat = "2006-01-02T15:04:05"

// Jobs are the user's jobs by their names, those too that ended not long ago. A name may have several: the controller may have run a job
// again. The error wraps ErrSilent.
func (c *Cluster) Jobs(ctx context.Context) (map[string][]Job, error) { return c.jobs(ctx) }

// Named are the jobs of one name. The controller is asked first whether it is there.
func (c *Cluster) Named(ctx context.Context, name string) ([]Job, error) {
	if err := c.Ping(ctx); err != nil {
		return nil, err
	}
	jobs, err := c.jobs(ctx, "-n", name)
	return jobs[name], err
}

func (c *Cluster) jobs(ctx context.Context, more ...string) (map[string][]Job, error) {
	out, err := c.ask(ctx, append([]string{"squeue", "--me", "-h", "-t", "all", "-o", format}, more...)...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSilent, err)
	}
	jobs, err := parse(out)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSilent, err)
	}
	return jobs, nil
}

// parse reads what squeue prints. A line that is not of the format makes all of it unknown: the line may be that of any job.
func parse(out string) (map[string][]Job, error) {
	jobs := map[string][]Job{}
	for line := range strings.Lines(out) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" {
			continue
		}
		f := strings.SplitN(line, "|", 7)
		if len(f) != 7 || f[0] == "" || f[2] == "" {
			return nil, fmt.Errorf("squeue printed %.80q", line)
		}
		state, _, _ := strings.Cut(f[2], " ")
		ended, err := time.Parse(timeFormat, f[5])
		if err != nil { // N/A, Unknown
			ended = time.Time{}
		}
		jobs[f[1]] = append(jobs[f[1]], Job{ID: f[0], Name: f[1], State: state, Reason: f[3], Node: f[4], Ended: ended, Dir: f[6]})
	}
	return jobs, nil
}

// Accounted is the last job of a name that is over, as the accounting has it; false where there is none, or no accounting. It takes 100 ms.
// A job that was held until it was cancelled is in no span of time, and not found.
func (c *Cluster) Accounted(ctx context.Context, name string, since time.Time) (Job, bool) {
	// A job counts to the time from which it might have begun. --begin may have put that off.
	until := time.Now().AddDate(1, 0, 0)
	out, err := c.ask(ctx, "sacct", "-n", "-X", "-P", "--name", name, "-S", since.UTC().Format(timeFormat), "-E", until.UTC().Format(timeFormat),
		"-o", "JobIDRaw,JobName,State,Reason,NodeList,End,WorkDir")
	if err != nil {
		return Job{}, false
	}
	return lastOver(out, name)
}

// lastOver reads what sacct prints. It goes on to say RUNNING of a job whose end did not reach the accounting.
func lastOver(out, name string) (last Job, found bool) {
	jobs, err := parse(out)
	if err != nil {
		return Job{}, false
	}
	for _, j := range jobs[name] {
		if j.Over() {
			last, found = j, true
		}
	}
	if last.Node == "None assigned" {
		last.Node = ""
	}
	return last, found
}

// Accounts says whether the cluster has accounting, and this user may read it.
func (c *Cluster) Accounts(ctx context.Context) bool {
	_, err := c.run(ctx, askLimit, nil, "sacct", "-n", "-X", "-P", "--name", "none")
	return err == nil
}

// Order is a job to be submitted.
type Order struct {
	Name    string
	Args    []string // the user's; what follows in the command line wins
	Log     string   // file of its output, which is appended to
	Time    time.Duration
	Memory  int64    // bytes; 0: what the site gives
	License string   // of which it takes one; "" for none
	Run     []string // the command line
}

// script is what a job runs. All that changes is in its arguments: a line of a script that begins with #SBATCH is an option.
const script = `#!/bin/sh
export KUGETSU_DIR="$2" KUGETSU_RUN="$3"
exec "$1" job "$3"
`

// argv is the command line of sbatch.
func (o Order) argv(dir string) []string {
	argv := []string{"sbatch", "-n1", "--time=" + strconv.FormatInt(int64((o.Time+time.Minute-1)/time.Minute), 10)}
	if o.Memory > 0 {
		argv = append(argv, "--mem="+strconv.FormatInt((o.Memory+1<<20-1)>>20, 10)+"M")
	}
	argv = append(argv, o.Args...)
	if o.License != "" {
		argv = append(argv, "--licenses="+o.License+":1")
	}
	argv = append(argv, "--parsable", "--no-requeue", "--export=NONE", "--job-name="+o.Name, "--chdir="+dir,
		"--output="+literal(o.Log), "--open-mode=append", "/dev/stdin")
	return append(argv, o.Run...)
}

// literal is a path as sbatch takes it for a file of output: % begins a word that it replaces.
func literal(path string) string { return strings.ReplaceAll(path, "%", "%%") }

// Submit submits a job, and returns its number, "" where sbatch did not say it. An error does not mean that there is no job.
func (c *Cluster) Submit(ctx context.Context, o Order) (id string, err error) {
	out, err := c.run(ctx, submitLimit, []byte(script), o.argv(c.Dir)...)
	if err != nil {
		return "", err
	}
	id, _, _ = strings.Cut(strings.TrimSpace(out), ";") // the cluster's name follows
	if _, err := strconv.ParseUint(id, 10, 64); err != nil {
		return "", nil
	}
	return id, nil
}

// Tell sends SIGTERM to the runner of each job that runs, and takes back those that wait. The rest of a job that runs is its runner's to
// end. A job that begins meanwhile is not told.
func (c *Cluster) Tell(ctx context.Context, jobs []Job) error {
	waits := func(j Job) bool { return j.State == "PENDING" }
	return errors.Join(c.cancel(ctx, jobs, waits, "--state=PENDING"),
		c.cancel(ctx, jobs, func(j Job) bool { return !waits(j) }, "--batch", "--signal=TERM"))
}

// End ends jobs, with all that they started.
func (c *Cluster) End(ctx context.Context, jobs []Job) error {
	return c.cancel(ctx, jobs, func(Job) bool { return true })
}

// cancel runs scancel for the jobs that are not over. A job of another state folder is left: this folder may be a copy of that one.
func (c *Cluster) cancel(ctx context.Context, jobs []Job, which func(Job) bool, how ...string) error {
	var ids []string
	for _, j := range jobs {
		if !j.Over() && which(j) && spool.SameFolder(j.Dir, c.Dir) {
			ids = append(ids, j.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	_, err := c.run(ctx, askLimit, nil, slices.Concat([]string{"scancel"}, how, ids)...)
	return err
}
