package slurm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kugetsu/contrib/internal/cluster"
	"kugetsu/contrib/internal/rig"
)

var full = flag.Bool("full", false, "try ten instants, not three, and what takes minutes")

// world is a user of the login node, and an agent.
type world struct {
	t   *testing.T
	c   *cluster.Cluster
	dir string
	env []string
}

// agent runs its message, which is a script, in its worktree, and commits. It notes in a file outside of the worktree when it begins and
// ends, and on which node. All that it starts has the lock of its worktree, which the kernel drops with the last of it: so it knows by
// itself when it is not alone.
const agent = `#!/bin/sh
set -eu
W=$(dirname "$0")
note() { echo "$1 $KUGETSU_RUN $(hostname)" >>"$W/record"; }
exec 9>"$W/alone.${PWD##*/}"
flock -n 9 || note not-alone
note begin
eval "$(cat)"
echo "$KUGETSU_RUN" >>work.txt
git add work.txt
git commit -q -m "work of $KUGETSU_RUN"
note end
`

// newWorld has settings, lines of the file config, beside those that all stories have.
func newWorld(t *testing.T, c *cluster.Cluster, config ...string) *world {
	t.Helper()
	dir, err := os.MkdirTemp("", "kugetsu-login-*")
	must(t, err)
	w := &world{t: t, c: c, dir: dir}
	must(t, rig.Install(filepath.Join(dir, "bin", "kugetsu")))
	w.env = []string{"HOME=" + dir, "KUGETSU_DIR=" + filepath.Join(dir, "state"), "PATH=" + dir + "/bin:/usr/local/bin:/usr/bin:/bin", "GIT_CONFIG_NOSYSTEM=1"}
	repo := filepath.Join(dir, "repo")
	lines := append([]string{"KUGETSU_ENGINE=slurm", "SLURM_CONF=" + c.Conf(), "SLURM_FENCE=10s", "KUGETSU_AGENT=command", "AGENT_COMMAND=" + dir + "/agent",
		"AGENT_MEMORY=50M", "MIN_FREE_DISK=0", "RETRY_DELAY=1ms", "PATH=" + dir + "/bin:/usr/local/bin:/usr/bin:/bin"}, config...)
	for name, text := range map[string]string{
		".gitconfig":       "[user]\nname = Rig\nemail = rig@example.invalid\n",
		"agent":            agent,
		"state/config":     strings.Join(lines, "\n") + "\n",
		"state/repos.json": fmt.Sprintf(`{"github.com/you/project": %q}`, repo),
	} {
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o700))
		must(t, os.WriteFile(path, []byte(text), 0o600))
	}
	must(t, os.Chmod(filepath.Join(dir, "agent"), 0o700))
	for _, args := range [][]string{{"init", "-q", "-b", "main", repo}, {"-C", repo, "commit", "-q", "--allow-empty", "-m", "first"}} {
		cmd := exec.Command("git", args...)
		cmd.Env = w.env
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	t.Cleanup(w.close)
	return w
}

// close looks whether the record keeps the promises, and that nothing is left. After a failed test the jobs are ended.
func (w *world) close() {
	w.replay()
	if w.t.Failed() {
		w.t.Log(w.logs())
		names := w.jobs("%j")
		if len(names) > 0 {
			_, _ = w.c.Slurm(append([]string{"scancel", "--signal=KILL", "--full", "-n"}, strings.Join(names, ","))...)
			_, _ = w.c.Slurm("scancel", "-n", strings.Join(names, ","))
		}
	}
	rig.Until(w.t, "no process is left of the world", func() bool { return len(processesOf(w.t, w.dir)) == 0 },
		func() string { return fmt.Sprintf("%q", processesOf(w.t, w.dir)) }, w.c.Logs)
	must(w.t, os.RemoveAll(w.dir))
}

// processesOf are those whose state folder is in a folder.
func processesOf(t *testing.T, dir string) (found []string) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/environ")
	must(t, err)
	for _, path := range all {
		env, _ := os.ReadFile(path) // a process may be gone meanwhile
		if bytes.Contains(env, []byte("KUGETSU_DIR="+dir+"/state\x00")) {
			args, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
			found = append(found, string(bytes.ReplaceAll(args, []byte{0}, []byte(" "))))
		}
	}
	return found
}

// try runs a command, and returns its exit code and all that it printed. It sees no process of a node: a login node does not, either.
func (w *world) try(args ...string) (int, string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), rig.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "unshare", append([]string{"--pid", "--fork", "--kill-child", "--mount-proc", "--", filepath.Join(w.dir, "bin", "kugetsu")}, args...)...)
	cmd.Env, cmd.Dir = w.env, w.dir
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Fatalf("kugetsu %q: %v", args, err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// kugetsu runs a command that must exit with a code, and returns all that it printed.
func (w *world) kugetsu(code int, args ...string) string {
	w.t.Helper()
	got, out := w.try(args...)
	if got != code {
		w.t.Fatalf("kugetsu %q: exit code %d, want %d\n%s", args, got, code, out)
	}
	return out
}

// delegate enqueues a script for issue n, and returns the item's id.
func (w *world) delegate(n int, script string) string {
	w.t.Helper()
	out := w.kugetsu(0, "delegate", fmt.Sprintf("you/project#%d", n), script)
	id, _, _ := strings.Cut(out, "\n")
	return id
}

// An item is what the stories look at in queue show --json.
type item struct {
	State   string
	Error   *string
	History []struct {
		Run                         int
		Outcome, Summary, Job, Node string
	}
}

func (w *world) item(id string) (it item) {
	w.t.Helper()
	must(w.t, json.Unmarshal([]byte(w.kugetsu(0, "queue", "show", "--json", id)), &it))
	return it
}

// ended makes passes until an item is settled, as cron does.
func (w *world) ended(id string) (it item) {
	w.t.Helper()
	w.until(id+" is settled", func() bool {
		w.kugetsu(0, "tick")
		it = w.item(id)
		return it.State == "completed" || it.State == "error"
	})
	return it
}

// completed makes passes until an item is settled, which must be completed, after runs with these outcomes and then one that is ok.
func (w *world) completed(id string, before ...string) item {
	w.t.Helper()
	it := w.ended(id)
	w.outcomes(id, it, append(before, "ok")...)
	if it.State != "completed" {
		w.t.Errorf("%s is %s: %+v", id, it.State, it)
	}
	return it
}

func (w *world) outcomes(id string, it item, want ...string) {
	w.t.Helper()
	var got []string
	for _, r := range it.History {
		got = append(got, r.Outcome)
	}
	if !slices.Equal(got, want) {
		w.t.Errorf("the runs of %s ended as %q, want %q: %+v", id, got, want, it.History)
	}
}

// until waits for a condition.
func (w *world) until(what string, holds func() bool) {
	w.t.Helper()
	rig.Until(w.t, what, holds, w.logs, w.c.Logs)
}

// record is what the agents noted, a line each: what, run, node.
func (w *world) record() (lines [][]string) {
	w.t.Helper()
	data, err := os.ReadFile(filepath.Join(w.dir, "record"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		lines = append(lines, strings.Fields(line))
	}
	return lines
}

// began are the nodes on which agents of an item began, one a run.
func (w *world) began(id string) (nodes []string) {
	w.t.Helper()
	for _, l := range w.record() {
		if l[0] == "begin" && strings.HasPrefix(l[1], id+".") {
			nodes = append(nodes, l[2])
		}
	}
	return nodes
}

// atOnce is how many agents worked at the same time, at most. The lines of the record are in the order in which they were written.
func (w *world) atOnce() (most int) {
	w.t.Helper()
	working := map[string]bool{}
	for _, l := range w.record() {
		switch l[0] {
		case "begin":
			working[l[1]] = true
		case "end":
			delete(working, l[1])
		}
		most = max(most, len(working))
	}
	return most
}

// replay looks whether an agent was not alone in its worktree, or began twice for one run.
func (w *world) replay() {
	w.t.Helper()
	begun := map[string]bool{}
	for _, l := range w.record() {
		if l[0] == "not-alone" || l[0] == "begin" && begun[l[1]] {
			w.t.Errorf("the record says %q:\n%q", l, w.record())
		}
		begun[l[1]] = begun[l[1]] || l[0] == "begin"
	}
}

// jobs are the world's jobs that Slurm knows, those that ended, too, in a format of squeue's.
func (w *world) jobs(format string) (found []string) {
	w.t.Helper()
	out, err := w.c.Slurm("squeue", "-h", "-t", "all", "-o", "%Z|"+format)
	must(w.t, err)
	for line := range strings.Lines(out) {
		if dir, rest, _ := strings.Cut(strings.TrimSpace(line), "|"); dir == filepath.Join(w.dir, "state") {
			found = append(found, rest)
		}
	}
	return found
}

// logs is what there is to read after a failure.
func (w *world) logs() string {
	var text strings.Builder
	names, _ := filepath.Glob(filepath.Join(w.dir, "state", "runs", "*", "*"))
	for _, name := range append(names, filepath.Join(w.dir, "state", "tick.log"), filepath.Join(w.dir, "record")) {
		data, _ := os.ReadFile(name)
		fmt.Fprintf(&text, "--- %s\n%s\n", strings.TrimPrefix(name, w.dir), data)
	}
	_, status := w.try("status")
	return text.String() + status
}

// there says whether a file of the world is there.
func (w *world) there(name string) bool {
	_, err := os.Lstat(filepath.Join(w.dir, name))
	return err == nil
}

func (w *world) touch(name string) {
	w.t.Helper()
	must(w.t, os.WriteFile(filepath.Join(w.dir, name), nil, 0o600))
}

// waitFor is a script that waits until a file of the world is there, and ends where the world is gone.
func (w *world) waitFor(name string) string {
	return fmt.Sprintf("while [ -d %[1]s ] && ! [ -e %[1]s/%[2]s ]; do sleep 0.05; done", w.dir, name)
}
