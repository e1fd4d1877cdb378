package e2e

import (
	"os"
	"slices"
	"strings"
	"testing"

	"kugetsu/contrib/internal/cluster"
	"kugetsu/contrib/internal/rig"
)

func TestOpencodeOnANodeOfASlurmCluster(t *testing.T) {
	opencodeBinary(t)
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
	w := newWorld(t, rig.Kugetsu(t), nil).with("KUGETSU_ENGINE=slurm", "SLURM_CONF="+c.Conf(), "AGENT_MEMORY=2G", "SLURM_TICK=true")
	id := w.delegate("you/project#1", `<<bash hostname >where.txt && git add where.txt && git commit -qm 'say where' && git push -q origin HEAD>><<say said where>>`)
	w.tick()
	w.kugetsu(0, "queue", "wait", id, "--timeout", patience.String()) // the job's own tick settles it
	w.completed(id, ending{lockedOut: true, commits: 1, steps: 2, summary: "said where"})
	if node := w.git(w.origin, "show", "fix/issue-1:where.txt"); !slices.Contains(c.Nodes, strings.TrimSpace(node)) {
		t.Errorf("opencode ran on %q, which is none of %q", node, c.Nodes)
	}
}
