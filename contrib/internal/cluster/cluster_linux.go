package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// patience bounds each wait.
const patience = time.Minute

// Cluster is a Slurm cluster that runs.
type Cluster struct {
	Dir    string   // all its files: key, configuration, logs, spools
	Nodes  []string // their names
	Cgroup bool     // control groups bound what a job takes, and end all that it leaves

	port     int // of the controller; each node has one of the next
	accounts int // the port of the accounting; 0: there is none
	head     *machine
	nodes    map[string]*machine
}

// Missing says why no cluster can be had here; "" where it can.
func Missing() string {
	if os.Geteuid() != 0 {
		return "only root can bring up a Slurm cluster"
	}
	for _, tool := range []string{"munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "bash"} {
		if _, err := lookPath(tool); err != nil {
			return tool + " is not installed: Debian has it in slurm-wlm and munge"
		}
	}
	if out, err := exec.Command("unshare", "--pid", "--mount", "--uts", "--fork", "true").CombinedOutput(); err != nil {
		return fmt.Sprintf("no namespaces here: %s", bytes.TrimSpace(out))
	}
	return ""
}

// lookPath looks also where the PATH of a user does not lead.
func lookPath(tool string) (string, error) {
	path, err := exec.LookPath(tool)
	if errors.Is(err, exec.ErrNotFound) {
		path = "/usr/sbin/" + tool
		_, err = os.Stat(path)
	}
	return path, err
}

// config is slurm.conf without the lines of the nodes. The times are short, so that a node that is gone is known to be gone within
// seconds, and everything listens on loopback only. A job may take long to begin: the machine may be busy.
const config = `ClusterName=rig
SlurmctldHost=%[1]s(127.0.0.1)
SlurmctldPort=%[2]d
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=%[3]s/run/munge.sock
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation=%[3]s/state
SlurmdSpoolDir=%[3]s/spool-%%n
SlurmctldPidFile=%[3]s/run/slurmctld.pid
SlurmdPidFile=%[3]s/run/slurmd-%%n.pid
SlurmdLogFile=%[3]s/log/slurmd-%%n
MpiDefault=none
SwitchType=switch/none
ProctrackType=proctrack/%[4]s
TaskPlugin=task/%[5]s
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=50
SlurmdParameters=config_overrides
SchedulerParameters=bf_interval=1,sched_interval=1,batch_sched_delay=0,sched_min_interval=100000
Licenses=agents:3
MaxJobCount=10000
ReturnToService=2
KillWait=20
BatchStartTimeout=120
MessageTimeout=5
TCPTimeout=1
SlurmctldTimeout=10
SlurmdTimeout=4
`

// cgroupConfig is cgroup.conf.
const cgroupConfig = `CgroupPlugin=cgroup/v1
CgroupMountpoint=/sys/fs/cgroup
ConstrainRAMSpace=yes
ConstrainSwapSpace=yes
`

// controllers are the control groups, of version 1, that bound a job's memory and find its processes.
var controllers = []string{"memory", "freezer"}

// Start brings up a cluster of two nodes in a folder of its own below dir. Stop ends it.
func Start(dir string) (*Cluster, error) { return start(dir, false) }

// StartAccounted is Start for a cluster that has accounting, and whose controller soon forgets a job.
func StartAccounted(dir string) (*Cluster, error) { return start(dir, true) }

func start(dir string, accounted bool) (c *Cluster, err error) {
	c = &Cluster{Dir: dir, Cgroup: true, nodes: map[string]*machine{}}
	for _, name := range controllers {
		if f, err := os.OpenFile(filepath.Join("/sys/fs/cgroup", name, "cgroup.procs"), os.O_WRONLY, 0); err != nil {
			c.Cgroup = false
		} else if err := f.Close(); err != nil {
			return nil, err
		}
	}
	if c.port, err = freePorts(4); err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	track, task := "linuxproc", "none"
	if c.Cgroup {
		track, task = "cgroup", "cgroup"
	}
	text := fmt.Sprintf(config, strings.Split(host, ".")[0], c.port, dir, track, task)
	hosts, err := os.ReadFile("/etc/hosts")
	if err != nil {
		return nil, err
	}
	for i := range 2 {
		// The port makes the name one of its own on this machine: control groups are called after the node.
		name := fmt.Sprintf("n%d-%d", i+1, c.port)
		c.Nodes = append(c.Nodes, name)
		text += fmt.Sprintf("NodeName=%s NodeHostname=%[1]s NodeAddr=127.0.0.1 Port=%d CPUs=16 RealMemory=4000\n", name, c.port+1+i)
		hosts = fmt.Appendf(hosts, "127.0.0.1 %s\n", name)
	}
	if accounted {
		c.accounts = c.port + 3
		text += fmt.Sprintf(accountsConfig, dir, c.accounts)
	} else {
		text += "AccountingStorageType=accounting_storage/none\n"
	}
	text += "PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE DefaultTime=01:00:00\n"

	if err := os.Chmod(dir, 0o755); err != nil { // other users ask the cluster, too
		return nil, err
	}
	files := map[string]string{"slurm.conf": text, "cgroup.conf": cgroupConfig, "hosts": string(hosts)}
	for _, name := range []string{"run", "state", "log", "key"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			return nil, err
		}
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	key := make([]byte, 128)
	for i := range key {
		key[i] = byte(rand.Uint32())
	}
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "key", "key"), key, 0o600), os.Chmod(filepath.Join(dir, "key"), 0o700)); err != nil {
		return nil, err
	}

	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("%w\n%s", err, c.Logs()), c.Stop())
		}
	}()
	if c.head, err = boot(c.env(), "head"); err != nil {
		return c, err
	}
	munged := fmt.Sprintf("munged -F -f --num-threads=2 --key-file=%[1]s/key/key --seed-file=%[1]s/key/seed --socket=%[1]s/run/munge.sock --pid-file=%[1]s/run/munged.pid --log-file=%[1]s/log/munged", dir)
	if err := c.head.start("munged", munged, c.log("munged")); err != nil {
		return c, err
	}
	if err := await("munge listens", func() bool { return is(filepath.Join(dir, "run", "munge.sock")) }); err != nil {
		return c, err
	}
	if accounted {
		if err := c.startAccounts(); err != nil {
			return c, err
		}
	}
	if err := c.StartController(); err != nil {
		return c, err
	}
	for _, name := range c.Nodes {
		if err := c.StartNode(name); err != nil {
			return c, err
		}
	}
	return c, c.AwaitIdle()
}

// freePorts finds the first of n ports in a row that are free. The kernel gives these to no program that asks for any.
func freePorts(n int) (first int, err error) {
	for range 100 {
		first = 10000 + rand.IntN(20000)
		err = nil
		for port := first; port < first+n && err == nil; port++ {
			var l net.Listener
			if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
				err = l.Close()
			}
		}
		if err == nil {
			return first, nil
		}
	}
	return 0, err
}

// Conf is the cluster's slurm.conf.
func (c *Cluster) Conf() string { return filepath.Join(c.Dir, "slurm.conf") }

// Scratch is a folder that is another one on each node: its own disk, gone with its power. Here it is empty.
func (c *Cluster) Scratch() string { return filepath.Join(c.Dir, "scratch") }

func (c *Cluster) env() []string {
	return []string{"PATH=" + os.Getenv("PATH") + ":/usr/sbin:/sbin", "HOME=" + c.Dir, "SLURM_CONF=" + c.Conf()}
}

func (c *Cluster) log(name string) string { return filepath.Join(c.Dir, "log", name+".out") }

// Logs are the last lines of each log.
func (c *Cluster) Logs() string {
	var text strings.Builder
	names, _ := filepath.Glob(filepath.Join(c.Dir, "log", "*"))
	for _, name := range names {
		if log, both := strings.CutSuffix(name, ".out"); both && slices.Contains(names, log) { // it has the same lines
			continue
		}
		data, err := os.ReadFile(name)
		if err != nil {
			fmt.Fprintln(&text, err)
		}
		lines := strings.Split(strings.TrimSpace(string(data)), "\n")
		fmt.Fprintf(&text, "%s:\n%s\n", filepath.Base(name), strings.Join(lines[max(len(lines)-40, 0):], "\n"))
	}
	return text.String()
}

// Slurm runs a command of Slurm's, and returns what it printed.
func (c *Cluster) Slurm(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env, cmd.Dir = c.env(), c.Dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%q: %w: %s", args, err, bytes.TrimSpace(out))
	}
	return strings.TrimSpace(string(out)), err
}

// AwaitIdle waits until all nodes are up and have no job. It brings back nodes that are drained, as an administrator would: a node on
// which slurmctld finds a job that it did not expect is drained, also some time after that job's end.
func (c *Cluster) AwaitIdle() error {
	var states []string
	err := await("the nodes are idle", func() bool {
		answer, _ := c.Slurm("sinfo", "-h", "-N", "-o", "%T")
		states = strings.Fields(answer)
		c.resume(states)
		return len(states) == len(c.Nodes) && !slices.ContainsFunc(states, func(state string) bool { return state != "idle" })
	})
	if err != nil {
		err = fmt.Errorf("%w: they are %q", err, states)
	}
	return err
}

// Resume brings back nodes that are drained.
func (c *Cluster) Resume() {
	answer, _ := c.Slurm("sinfo", "-h", "-N", "-o", "%T")
	c.resume(strings.Fields(answer))
}

func (c *Cluster) resume(states []string) {
	if slices.ContainsFunc(states, func(state string) bool { return strings.HasPrefix(state, "drain") }) {
		for _, node := range c.Nodes {
			// Slurm refuses it for a node that is not drained, and may refuse it for one whose state changes just now. Who awaits something asks again.
			_, _ = c.Slurm("scontrol", "update", "NodeName="+node, "State=RESUME")
		}
	}
}

// StartController starts slurmctld, and waits until it answers.
func (c *Cluster) StartController() error {
	if err := c.head.start("slurmctld", "slurmctld -D -f "+c.Conf(), c.log("slurmctld")); err != nil {
		return err
	}
	return await("the controller answers", func() bool { _, err := c.Slurm("scontrol", "ping"); return err == nil })
}

// EndController sends slurmctld a signal that ends it, and waits for its end. SIGKILL leaves what it had saved by then.
func (c *Cluster) EndController(signal string) error { return c.head.end("slurmctld", signal) }

// Freeze stops the controller, which then answers no one, until it is thawed.
func (c *Cluster) Freeze() error { return c.head.signal("slurmctld", "STOP") }

// Thaw lets a controller that was frozen go on.
func (c *Cluster) Thaw() error { return c.head.signal("slurmctld", "CONT") }

// StartNode switches a node on: its name, processes and mounts are its own.
func (c *Cluster) StartNode(name string) error {
	m, err := boot(c.env(), name)
	if err != nil {
		return err
	}
	c.nodes[name] = m
	lines := []string{
		"mount --make-rprivate /",
		"mount -t proc proc /proc",
		"mount --bind " + filepath.Join(c.Dir, "hosts") + " /etc/hosts",
		"mkdir -p " + filepath.Join(c.Dir, "spool-"+name) + " " + c.Scratch(),
		"mount -t tmpfs -o mode=1777 scratch " + c.Scratch(),
	}
	// For each job slurmd asks a login shell for the user's environment. What the person who runs the tests has there may take seconds, or
	// leave a lock behind when a node loses power, for which the next shells wait.
	me, err := user.Current()
	if err != nil {
		return err
	}
	for _, profile := range []string{".bash_profile", ".bash_login", ".profile"} {
		if _, err := os.Stat(filepath.Join(me.HomeDir, profile)); err == nil {
			lines = append(lines, "mount --bind /dev/null "+filepath.Join(me.HomeDir, profile))
		}
	}
	for _, line := range lines {
		if err := m.run(line); err != nil {
			return err
		}
	}
	return c.StartSlurmd(name)
}

// StartSlurmd starts the daemon of a node that is on.
func (c *Cluster) StartSlurmd(name string) error {
	return c.nodes[name].start("slurmd", fmt.Sprintf("slurmd -D -N %s -f %s", name, c.Conf()), c.log("slurmd-"+name))
}

// EndSlurmd ends the daemon of a node, whose jobs go on.
func (c *Cluster) EndSlurmd(name, signal string) error { return c.nodes[name].end("slurmd", signal) }

// CutPower ends a node with all that runs on it, at once. All is gone when it returns.
func (c *Cluster) CutPower(name string) error {
	m := c.nodes[name]
	delete(c.nodes, name)
	return errors.Join(m.off(), c.removeCgroups(name))
}

// Stop ends the cluster, with all its jobs. Its files are left.
func (c *Cluster) Stop() error {
	var errs []error
	for _, name := range c.Nodes {
		if c.nodes[name] != nil {
			errs = append(errs, c.CutPower(name))
		}
	}
	if c.head != nil {
		errs = append(errs, c.head.off())
		c.head = nil
	}
	return errors.Join(errs...)
}

// removeCgroups removes the control groups of a node that is off.
func (c *Cluster) removeCgroups(node string) error {
	if !c.Cgroup {
		return nil
	}
	return await("the control groups of "+node+" can be removed", func() bool {
		left := false
		for _, name := range controllers {
			var dirs []string
			top := filepath.Join("/sys/fs/cgroup", name, "slurm_"+node)
			_ = filepath.WalkDir(top, func(path string, e fs.DirEntry, err error) error { // a group may go while it is read
				if err == nil && e.IsDir() {
					dirs = append([]string{path}, dirs...)
				}
				return nil
			})
			for _, dir := range dirs {
				_ = os.Remove(dir)
			}
			left = left || is(top)
		}
		return !left
	})
}

func is(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

func await(what string, holds func() bool) error {
	for begin := time.Now(); !holds(); <-time.After(20 * time.Millisecond) {
		if time.Since(begin) > patience {
			return fmt.Errorf("waited %s in vain until %s", patience, what)
		}
	}
	return nil
}
