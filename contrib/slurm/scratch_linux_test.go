package slurm

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"kugetsu/contrib/internal/cluster"
)

// onScratch is a world whose runs work on the nodes' own disks, each run on the node that its tick is told.
func onScratch(t *testing.T, c *cluster.Cluster) *world {
	w := newWorld(t, c, "SLURM_WORKDIR="+c.Scratch())
	w.on(c.Nodes[0])
	return w
}

// on lets the next runs be on a node.
func (w *world) on(node string) {
	w.t.Helper()
	file := filepath.Join(w.dir, "state", "config")
	text, err := os.ReadFile(file)
	must(w.t, err)
	text = regexp.MustCompile(`(?m)^SLURM_ARGS=.*\n`).ReplaceAll(text, nil)
	must(w.t, os.WriteFile(file, append(text, "SLURM_ARGS=-w "+node+"\n"...), 0o600))
}

// scratch is what lies on the disk of a node of this world: its worktrees are in folders of its own.
func (w *world) scratch(node string) string {
	w.t.Helper()
	found, err := w.c.Slurm("srun", "-Q", "-w", node, "find", w.c.Scratch(), "-mindepth", "1", "-maxdepth", "2")
	must(w.t, err)
	var ours []string
	for line := range strings.Lines(found) {
		if strings.Contains(line, "kugetsu-"+w.id()) {
			ours = append(ours, line)
		}
	}
	return strings.Join(ours, "")
}

// id is what the names of the world's jobs have of its state folder.
func (w *world) id() string {
	w.t.Helper()
	names := w.jobs("%j")
	if len(names) == 0 {
		w.t.Fatal("there was no job")
	}
	return strings.Split(names[0], "-")[1]
}

func (w *world) git(args ...string) string {
	w.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Env, cmd.Dir = w.env, filepath.Join(w.dir, "repo")
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.t.Errorf("git %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// leaves is a script that commits a file, stages one, changes it again, and leaves one untracked. It ends in a worktree on the disk.
func (w *world) leaves() string {
	return fmt.Sprintf(`case $PWD in %s/kugetsu-*) ;; *) echo "works in $PWD"; exit 1;; esac
echo committed >a; git add a; git commit -q -m a
echo staged >b; git add b; echo changed >b; echo untracked >c; echo 1 >ignored; echo ignored >>"$(git rev-parse --git-path info/exclude)"
`, w.c.Scratch())
}

// finds is a script that fails unless it finds what that one left, as it was.
const finds = `[ "$(cat a)" = committed ] && [ "$(git show :b)" = staged ] && [ "$(cat b)" = changed ] && [ "$(cat c)" = untracked ] || { git status; exit 1; }
[ "$(git status --porcelain)" = "$(printf 'AM b\n?? c')" ] || { git status; exit 1; }
`

// A run leaves commits and uncommitted work. The next one, on the other node, goes on with both. No disk has anything after them.
func worksOnScratch(t *testing.T, c *cluster.Cluster) {
	w := onScratch(t, c)
	id := w.delegate(1, w.leaves()+w.waitFor("go")+"; exit 0")
	w.kugetsu(0, "tick")
	w.until("the agent works", func() bool { return len(w.began(id)) == 1 })
	if list := w.kugetsu(0, "list"); !strings.Contains(list, "running on "+c.Nodes[0]) {
		t.Errorf("list says\n%s", list)
	}
	w.says(1, "on the disk of a node", "path", "you/project#1")
	w.says(75, "is in use by a run", "restore", "you/project#1")
	w.touch("go")
	w.completed(id)
	if left := w.scratch(c.Nodes[0]); left != "" {
		t.Errorf("after its run %s has\n%s", c.Nodes[0], left)
	}
	if w.there("state/worktrees/github.com+you+project@1") {
		t.Error("there is a worktree in the state folder")
	}
	if log := w.git("log", "--format=%s", "fix/issue-1"); log != "a\nfirst\n" {
		t.Errorf("the branch has %q", log)
	}
	if list := w.git("worktree", "list"); strings.Count(list, "\n") != 1 {
		t.Errorf("git has records of worktrees that are gone:\n%s", list)
	}

	w.on(c.Nodes[1])
	second := w.delegate(1, finds+"git add c; exit 0")
	w.completed(second)
	if nodes := w.began(second); nodes[0] != c.Nodes[1] {
		t.Fatalf("the second run was on %q", nodes)
	}
	if left := w.scratch(c.Nodes[1]); left != "" {
		t.Errorf("after its run %s has\n%s", c.Nodes[1], left)
	}

	// No command says what is not so, and none loses what is left.
	w.says(1, "on the disk of a node", "path", "you/project#1")
	w.says(0, "on the disk of a node", "queue", "show", second)
	w.says(0, "on a node: "+c.Scratch(), "list")
	w.says(0, "work that its next run is to go on with, at refs/kugetsu/"+second+"/1", "prune")
	w.says(1, "work that its next run is to go on with, at refs/kugetsu/"+second+"/1", "destroy", "you/project#1")
	w.kugetsu(0, "restore", "you/project#1")
	here := strings.TrimSpace(w.kugetsu(0, "path", "you/project#1"))
	if text, err := os.ReadFile(filepath.Join(here, "c")); string(text) != "untracked\n" {
		t.Errorf("restored was %q, %v", text, err)
	}
	// Where a worktree stands in the state folder, it is the one.
	third := w.delegate(1, `[ "$PWD" = `+here+` ] && [ -e c ] || { pwd; ls; exit 1; }`)
	w.completed(third)
	w.kugetsu(0, "destroy", "--force", "you/project#1")
	if list := w.git("worktree", "list"); strings.Count(list, "\n") != 1 {
		t.Errorf("git has records of worktrees that are gone:\n%s", list)
	}
}

// The commits of submodules are in the record of their worktree.
func worksHereWithSubmodules(t *testing.T, c *cluster.Cluster) {
	w := onScratch(t, c)
	must(t, os.WriteFile(filepath.Join(w.dir, "repo", ".gitmodules"), []byte("[submodule \"x\"]\n\tpath = x\n\turl = ../x\n"), 0o600))
	w.git("add", ".gitmodules")
	w.git("commit", "-q", "-m", "submodules")
	w.completed(w.delegate(1, `[ "$PWD" = $KUGETSU_DIR/worktrees/github.com+you+project@1 ] || { pwd; exit 1; }; exit 0`))
	w.kugetsu(0, "path", "you/project#1")
	if left := w.scratch(c.Nodes[0]); left != "" {
		t.Errorf("after its run %s has\n%s", c.Nodes[0], left)
	}
}

// says runs a command that must exit with a code and say something.
func (w *world) says(code int, want string, args ...string) {
	w.t.Helper()
	if out := w.kugetsu(code, args...); !strings.Contains(out, want) {
		w.t.Errorf("kugetsu %q does not say %q:\n%s", args, want, out)
	}
}

// scancel tells the runner to end, as Slurm does at a job's limit. It has KillWait then to keep what its agent left.
func endedOnScratch(t *testing.T, c *cluster.Cluster) {
	w := onScratch(t, c)
	id := w.delegate(1, `case $KUGETSU_RUN in *.1)`+"\n"+w.leaves()+w.waitFor("never")+";;\n*)"+finds+";; esac; exit 0")
	w.kugetsu(0, "tick")
	w.until("the agent has left its work", func() bool {
		return len(w.began(id)) == 1 && strings.Contains(w.scratchFile(c.Nodes[0], "c"), "untracked")
	})
	if _, err := c.Slurm("scancel", w.jobs("%i")[0]); err != nil {
		t.Fatal(err)
	}
	w.on(c.Nodes[1])
	w.completed(id, "lost")
	for _, node := range c.Nodes {
		if left := w.scratch(node); left != "" {
			t.Errorf("%s has\n%s", node, left)
		}
	}
	w.kugetsu(0, "forget", "refs/kugetsu/"+id+"/2")
	if out := w.kugetsu(0, "prune"); strings.Contains(out, "is to go on with") {
		t.Errorf("prune says of work that was forgotten:\n%s", out)
	}
	w.completed(w.delegate(1, `[ "$(cat a)" = committed ] && [ -z "$(git status --porcelain)" ] || { git status; exit 1; }; exit 0`))
}

// An administrator shortens a job's limit until it is over. The run ends as a timeout, and what its agent left is there for the next one.
func meetsAShorterLimit(t *testing.T, c *cluster.Cluster) {
	w := onScratch(t, c)
	id := w.delegate(1, `case $KUGETSU_RUN in *.1)`+"\n"+w.leaves()+w.waitFor("never")+";;\n*)"+finds+";; esac; exit 0")
	w.kugetsu(0, "tick")
	w.until("the agent has left its work", func() bool {
		return len(w.began(id)) == 1 && strings.Contains(w.scratchFile(c.Nodes[0], "c"), "untracked")
	})
	if _, err := c.Slurm("scontrol", "update", "JobId="+w.jobs("%i")[0], "EndTime=now"); err != nil {
		t.Fatal(err)
	}
	it := w.ended(id)
	w.outcomes(id, it, "timeout")
	if len(it.History) != 1 || !strings.Contains(it.History[0].Summary, "TIMEOUT") {
		t.Errorf("the history says %+v", it.History)
	}
	w.on(c.Nodes[1])
	w.kugetsu(0, "queue", "retry", id)
	w.completed(id, "timeout")
	for _, node := range c.Nodes {
		if left := w.scratch(node); left != "" {
			t.Errorf("%s has\n%s", node, left)
		}
	}
}

// scratchFile is a file in a worktree on the disk of a node.
func (w *world) scratchFile(node, name string) string {
	text, _ := w.c.Slurm("srun", "-Q", "-w", node, "sh", "-c", "cat "+w.c.Scratch()+"/kugetsu-"+w.id()+"/*/"+name)
	return text
}

// A runner is killed, and keeps nothing. The run after it, on the other node, has its commits alone, and says where the rest is. A run on
// the first node keeps that rest and empties the disk. Where the next run is on the same node, it goes on with all of it.
func killedOnScratch(t *testing.T, c *cluster.Cluster) {
	w := onScratch(t, c)
	first := "case $KUGETSU_RUN in *.1)\n" + w.leaves() + "kill -KILL $PPID; " + w.waitFor("never") + ";; esac\n"
	id := w.delegate(1, first+`[ "$(cat a)" = committed ] && ! [ -e b ] && ! [ -e c ] && [ -z "$(git status --porcelain)" ] || { git status; exit 1; }; echo next >d; exit 0`)
	w.kugetsu(0, "tick")
	w.until("the runner is killed", func() bool { return slices.Equal(w.jobs("%T"), []string{"FAILED"}) })
	w.on(c.Nodes[1])
	w.completed(id, "lost")
	w.says(0, "may have left uncommitted on the disk of "+c.Nodes[0], "logs", id)
	if left := w.scratch(c.Nodes[0]); left == "" {
		t.Error("what the killed run left is gone")
	}

	w.on(c.Nodes[0])
	third := w.delegate(1, `[ "$(cat d)" = next ] && ! [ -e c ] && git show refs/kugetsu/$KUGETSU_ITEM/1-scratch0:c | grep -q untracked || { git status; exit 1; }; rm d; exit 0`)
	w.completed(third)
	if left := w.scratch(c.Nodes[0]); left != "" {
		t.Errorf("%s has\n%s", c.Nodes[0], left)
	}

	again := w.delegate(2, first+finds+"exit 0")
	w.completed(again, "lost")
	if left := w.scratch(c.Nodes[0]); left != "" {
		t.Errorf("%s has\n%s", c.Nodes[0], left)
	}
}

// What is on the disk of a node goes with its power. What was brought back before, and what is committed, is there.
func TestNodeThatLosesPowerTakesOnlyWhatWasNotBroughtBack(t *testing.T) {
	t.Parallel()
	c := up(t)
	w := onScratch(t, c)
	w.completed(w.delegate(1, w.leaves()+"exit 0"))
	id := w.delegate(1, `case $KUGETSU_RUN in *.1) `+w.waitFor("never")+";; esac\n"+finds+"exit 0")
	w.kugetsu(0, "tick")
	w.until("the agent works", func() bool { return len(w.began(id)) == 1 })
	must(t, c.CutPower(c.Nodes[0]))
	w.on(c.Nodes[1])
	w.completed(id, "lost")
	if left := w.scratch(c.Nodes[1]); left != "" {
		t.Errorf("%s has\n%s", c.Nodes[1], left)
	}
	if list := w.git("worktree", "list"); strings.Count(list, "\n") != 1 {
		t.Errorf("git has records of worktrees that are gone:\n%s", list)
	}
}
