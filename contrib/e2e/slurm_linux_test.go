package e2e

import (
	"os"
	"slices"
	"strings"
	"testing"

	"kugetsu/contrib/internal/cluster"
	"kugetsu/contrib/internal/rig"
)

// startCluster is a Slurm cluster that ends with the test.
func startCluster(t *testing.T) *cluster.Cluster {
	t.Helper()
	if why := cluster.Missing(); why != "" {
		t.Skip(why)
	}
	dir, err := os.MkdirTemp("", "kugetsu-slurm-*") // a path that is short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	c, err := cluster.Start(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return c
}

func TestOpencodeOnANodeOfASlurmCluster(t *testing.T) {
	opencodeBinary(t)
	c := startCluster(t)
	w := newWorld(t, rig.Kugetsu(t), nil).with("KUGETSU_ENGINE=slurm", "SLURM_CONF="+c.Conf(), "AGENT_MEMORY=2G", "SLURM_TICK=true")
	id := w.delegate("you/project#1", `<<bash hostname >where.txt && git add where.txt && git commit -qm 'say where' && git push -q origin HEAD>><<say said where>>`)
	w.tick()
	w.kugetsu(0, "queue", "wait", id, "--timeout", patience.String()) // the job's own tick settles it
	w.completed(id, ending{lockedOut: true, commits: 1, steps: 2, summary: "said where"})
	if node := w.git(w.origin, "show", "fix/issue-1:where.txt"); !slices.Contains(c.Nodes, strings.TrimSpace(node)) {
		t.Errorf("opencode ran on %q, which is none of %q", node, c.Nodes)
	}
}

// TestClaudeGoesOnOnTheDiskOfAnotherNode: the worktree is on the nodes' own disks, and what the agent did not commit on one node is there on the
// other. claude knows a conversation by the folder in which it began.
func TestClaudeGoesOnOnTheDiskOfAnotherNode(t *testing.T) {
	t.Parallel()
	cli := clis[slices.IndexFunc(clis, func(c cli) bool { return c.preset == "claude" })]
	program, stub, c := binary(t, cli.preset), newStub(t), startCluster(t)
	w := newWorldOf(t, rig.Kugetsu(t), stub, cli.preset, program, cli.home(t, stub)).with("KUGETSU_ENGINE=slurm", "SLURM_CONF="+c.Conf(),
		"SLURM_WORKDIR="+c.Scratch(), "AGENT_MEMORY=2G", "SLURM_TICK=true", "AGENT_ARGS_CLAUDE="+cli.args("ok"))
	for i, message := range []string{
		"<<bash hostname >where.txt>><<say left it>>",
		"<<bash { hostname; pwd; } | tee -a where.txt && git add where.txt && git commit -qm 'say where' && git push -q origin HEAD>><<say found it>>",
	} {
		id := w.delegate("you/project#1", message)
		w.with("SLURM_ARGS=-w " + c.Nodes[i]).tick()
		w.kugetsu(0, "queue", "wait", id, "--timeout", patience.String())
		if it := w.item(id); it.State != "completed" || it.Runs != 1 {
			t.Fatalf("run %d: %s\n%s", i+1, it, w.logs())
		}
	}
	want := c.Nodes[0] + "\n" + c.Nodes[1] + "\n" + c.Scratch()
	if got := w.git(w.origin, "show", "fix/issue-1:where.txt"); !strings.HasPrefix(got, want) {
		t.Errorf("the file says %q, want %q", got, want)
	}
	(&bench{t: t, cli: cli, stub: stub}).sent(turn{"user", "<<say left it>>"}, turn{"user", "<<say found it>>"})
}
