package slurm

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kugetsu/contrib/internal/cluster"
	"kugetsu/contrib/internal/rig"
)

func TestMain(m *testing.M) {
	rig.FullOnly("a Slurm cluster takes its time to notice that a node is gone")
	os.Exit(m.Run())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// up is a cluster that ends with the test.
func up(t *testing.T) *cluster.Cluster {
	t.Helper()
	return upBy(t, cluster.Start)
}

func upBy(t *testing.T, start func(dir string) (*cluster.Cluster, error)) *cluster.Cluster {
	t.Helper()
	if why := cluster.Missing(); why != "" {
		t.Skip(why)
	}
	// Not t.TempDir, whose path is too long for a socket.
	dir, err := os.MkdirTemp("", "kugetsu-slurm-*")
	must(t, err)
	c, err := start(dir)
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(c.Logs())
		}
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return c
}

func TestClusterRunsAJobOnEachNodeAndLeavesNoProcess(t *testing.T) {
	t.Parallel()
	c := up(t)
	dir := c.Dir
	out := filepath.Join(dir, "hosts-seen")
	for _, node := range c.Nodes {
		if _, err := c.Slurm("sbatch", "-w", node, "-o", "/dev/null", "--wrap", "hostname >"+out+"."+node); err != nil {
			t.Fatal(err)
		}
	}
	for _, node := range c.Nodes {
		rig.Until(t, "a job on "+node+" says where it runs", func() bool {
			name, err := os.ReadFile(out + "." + node)
			return err == nil && string(name) == node+"\n"
		}, c.Logs)
	}

	// One job whose process leaves its session, and one that goes on: each is gone with the cluster.
	for _, script := range []string{"setsid sleep 1000 & exec sleep 1001", "exec sleep 1002"} {
		if _, err := c.Slurm("sbatch", "-o", "/dev/null", "--wrap", script); err != nil {
			t.Fatal(err)
		}
	}
	rig.Until(t, "both jobs run", func() bool { return len(processes(t, dir, "sleep")) == 3 }, c.Logs)
	for _, name := range []string{"munged", "slurmctld", "slurmd", "slurmstepd"} {
		if len(processes(t, dir, name)) == 0 {
			t.Errorf("no %s is found, so that it could not be missed", name)
		}
	}
	must(t, c.Stop())
	if left := processes(t, dir, ""); len(left) > 0 {
		t.Errorf("processes are left: %q", left)
	}
	for _, node := range c.Nodes {
		if left, err := filepath.Glob("/sys/fs/cgroup/*/slurm_" + node); err != nil || len(left) > 0 {
			t.Errorf("control groups are left: %q, %v", left, err)
		}
	}
}

// processes are those of a cluster, with a name or, without one, all: SLURM_CONF is in their environment, or the folder in their
// arguments.
func processes(t *testing.T, dir, name string) (found []string) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		env, _ := os.ReadFile(filepath.Join(p, "environ")) // a process may be gone meanwhile
		args, _ := os.ReadFile(filepath.Join(p, "cmdline"))
		comm, _ := os.ReadFile(filepath.Join(p, "comm"))
		called := strings.TrimSpace(string(comm))
		ours := bytes.Contains(args, []byte(dir)) || slices.ContainsFunc(bytes.Split(env, []byte{0}), func(v []byte) bool {
			return bytes.HasPrefix(v, []byte("SLURM_CONF="+dir+"/"))
		})
		if ours && (name == "" || called == name) {
			found = append(found, fmt.Sprintf("%s %s", filepath.Base(p), called))
		}
	}
	return found
}

func TestClusterComesBackAfterEachOfItsPartsWasKilled(t *testing.T) {
	t.Parallel()
	c := up(t)
	answers := func() bool { _, err := c.Slurm("scontrol", "ping"); return err == nil }
	node := c.Nodes[1]
	for _, part := range []struct {
		name      string
		down, up  func() error
		noAnswers bool
	}{
		{"a controller that is killed", func() error { return c.EndController("KILL") }, c.StartController, true},
		{"a controller that is stopped", func() error { return c.EndController("TERM") }, c.StartController, true},
		{"a controller that hangs", c.Freeze, c.Thaw, true},
		{"a node's daemon", func() error { return c.EndSlurmd(node, "KILL") }, func() error { return c.StartSlurmd(node) }, false},
		{"a node", func() error { return c.CutPower(node) }, func() error { return c.StartNode(node) }, false},
	} {
		if err := part.down(); err != nil {
			t.Fatalf("%s: %v", part.name, err)
		}
		if answers() == part.noAnswers {
			t.Errorf("%s: the controller answers is %t", part.name, part.noAnswers)
		}
		if err := part.up(); err != nil {
			t.Fatalf("%s: %v", part.name, err)
		}
		if _, err := c.Slurm("srun", "-Q", "-w", node, "hostname"); err != nil {
			t.Errorf("%s: %v", part.name, err)
		}
		must(t, c.AwaitIdle())
	}
}
