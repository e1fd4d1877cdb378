package doctor

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"kugetsu/queue/spool"
	"kugetsu/slots"
	"kugetsu/slots/agent"
	"kugetsu/slots/proc"
	"kugetsu/slots/slurm"
	"kugetsu/tick/settings"
)

const (
	// probeWait bounds the wait for a node. A cluster that is full has none for longer, and then nothing is known.
	probeWait = 30 * time.Second
	probeLook = 200 * time.Millisecond
	// maxSkew is by how much the clocks of two machines may differ: times in files are compared.
	maxSkew = 5 * time.Second
)

// slurm checks the cluster that starts runs, with a small job.
func (x *Exam) slurm() {
	s := x.Tick.Settings
	if s.Engine != settings.Slurm && s.EnginePM != settings.Slurm {
		x.ok("no run is started on a cluster")
		return
	}
	c, err := x.Tick.Cluster()
	if err != nil {
		x.unknown(err)
		return
	}
	for _, program := range []string{"sbatch", "squeue", "scancel", "scontrol"} {
		if _, err := proc.LookPath(program, c.Env, "/"); err != nil {
			x.add(Error, err.Error(), "put the folder of Slurm's programs into PATH in "+x.in("config"))
			x.last().lacks = program
			return
		}
	}
	if err := c.Ping(x.Ctx); err != nil {
		x.add(Error, err.Error(), "ask who runs the cluster; where slurm.conf is elsewhere, set SLURM_CONF in "+x.in("config"))
		return
	}
	if _, err := c.Jobs(x.Ctx); err != nil {
		x.add(Error, err.Error(), "try it: squeue --me -t all")
		return
	}
	if c.Accounts(x.Ctx) {
		x.ok("the cluster has accounting")
	} else {
		x.ok("the cluster has no accounting: how a job ended is known for MinJobAge, 5 minutes by default")
	}
	x.probe(c)
}

// probe asks a node.
func (x *Exam) probe(c *slurm.Cluster) {
	self, err := proc.Self()
	if err != nil {
		x.unknown(err)
		return
	}
	home, name := x.Tick.Home, "probe."+strings.ToLower(rand.Text()[:12])
	args, err := agent.Split(x.Tick.Settings.SlurmArgs)
	if err != nil {
		return // config has the error
	}
	defer func() {
		if err := home.DropProbe(name); err != nil {
			x.add(Warn, err.Error(), "")
		}
	}()
	lock, err := spool.TryLock(home.ProbePath(name, "lock"), unix.LOCK_EX)
	if err == nil {
		defer lock.Close()
		err = home.WriteQuestion(name, slots.Question{Env: x.agents, Programs: x.ofRuns(), Disk: x.Tick.Settings.SlurmWorkdir})
	}
	if err != nil {
		x.unknown(err)
		return
	}
	if disk := x.Tick.Settings.SlurmWorkdir; disk != "" {
		if err := slots.MarkDisk(disk, name); err != nil {
			x.ok("SLURM_WORKDIR cannot be written to on this machine, where no run needs it: " + err.Error())
		}
		defer func() {
			if err := slots.UnmarkDisk(disk, name); err != nil {
				x.add(Warn, err.Error(), "")
			}
		}()
	}
	asked := x.Now()
	order := slurm.Order{Name: home.JobName(name, 1), Args: args, Log: "/dev/null", Time: time.Minute, License: x.Tick.Settings.SlurmLicense,
		Run: []string{self, string(home), name}}
	if _, err := c.Submit(x.Ctx, order); err != nil {
		x.add(Error, "a job cannot be submitted: "+err.Error(), "correct SLURM_ARGS and SLURM_LICENSE in "+x.in("config"))
		return
	}
	a, err := x.await(c, order.Name, name)
	if err != nil {
		x.add(Warn, err.Error(), "")
		x.last().Remedy = "see scontrol show job, and that " + string(home) + " and " + self + " are on the nodes"
		return
	}
	x.node(a, asked)
}

// await waits for the answer of a node.
func (x *Exam) await(c *slurm.Cluster, job, name string) (*slots.Answer, error) {
	ctx, cancel := context.WithTimeout(x.Ctx, probeWait)
	defer cancel()
	for {
		a, err := x.Tick.Home.ReadAnswer(name)
		if err != nil || a != nil {
			return a, err
		}
		select {
		case <-time.After(probeLook):
		case <-ctx.Done():
			jobs, err := c.Named(x.Ctx, job)
			if err == nil {
				err = c.End(x.Ctx, jobs)
			}
			why := "its job is not there any more, and left no answer"
			for _, j := range jobs {
				if why = fmt.Sprintf("its job %s is %s (%s)", j.ID, j.State, j.Reason); j.Over() {
					why += " and left no answer in the state folder"
				}
			}
			return nil, errors.Join(fmt.Errorf("no node was asked within %s: %s", probeWait, why), err)
		}
	}
}

// node says what a node has.
func (x *Exam) node(a *slots.Answer, asked time.Time) {
	x.ok("the node " + a.Node + " has the state folder and this program")
	switch {
	case a.LockErr != "":
		x.add(Warn, "file locks do not work on "+a.Node+": "+a.LockErr, "")
	case a.Locks:
		x.ok("file locks reach from here to " + a.Node)
	default:
		x.add(Warn, "file locks do not reach from here to "+a.Node, "")
	}
	if !a.Locks {
		x.last().Remedy = "let one machine alone run ticks and commands; git in one repository is not locked across nodes then"
		if x.Tick.Settings.SlurmTick {
			x.last().Level, x.last().Remedy = Error, "set SLURM_TICK=false in "+x.in("config")+": two ticks at once would not exclude each other"
		}
	}
	if disk := x.Tick.Settings.SlurmWorkdir; disk != "" {
		switch {
		case a.DiskErr != "":
			x.add(Error, a.Node+": "+a.DiskErr, "correct SLURM_WORKDIR in "+x.in("config")+", or keep jobs off such nodes, by SLURM_ARGS")
		case a.Shared:
			x.add(Warn, "SLURM_WORKDIR is no disk of "+a.Node+"'s own: this machine has "+disk+", too", "name a folder on the node's own disk in "+x.in("config"))
		default:
			x.ok(a.Node + " has " + disk + " for itself")
		}
	}
	if skew := min(a.At.Sub(asked), 0) + max(a.At.Sub(x.Now()), 0); skew.Abs() > maxSkew {
		x.add(Warn, fmt.Sprintf("the clock of %s differs by %s or more", a.Node, skew.Abs().Round(time.Second)), "let both set their clocks by the network")
	}
	if len(a.Missing) > 0 {
		x.add(Error, a.Node+" lacks "+strings.Join(a.Missing, ", "), "install it there, or correct PATH in "+x.in("config"))
	}
}

// ofRuns are the programs that a run on a node needs, as far as their places are known.
func (x *Exam) ofRuns() []string {
	names := []string{"git"}
	for name, n := range x.needed() {
		if argv := program(name); argv != nil && n != nil && !n.passed {
			names = append(names, argv[0])
		}
	}
	for _, line := range []string{x.Tick.Settings.AgentPrefix, x.Tick.Settings.AgentCommand} {
		words, err := agent.Split(line)
		if err == nil && len(words) > 0 && !strings.Contains(words[0], "{") && (filepath.IsAbs(words[0]) || !strings.Contains(words[0], "/")) {
			names = append(names, words[0])
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
