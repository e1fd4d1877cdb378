package faults

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kugetsu/queue"
)

var loseFor = flag.Duration("lose", 20*time.Second, "how long random operations try to lose work")

// keeper is a world of several repositories, and what must not be lost in it.
type keeper struct {
	*world
	t     *rapid.T
	repos []*kept
	n     int             // of the texts written so far: no two are the same
	did   []string        // the operations, for the report
	ops   map[string]int  // how often each was done
	blobs map[string]bool // blobs that stood in a file at the end of a run
}

// kept is a repository: one that is cloned from a bare remote, or a local checkout.
type kept struct{ name, remote, dir string }

func newKeeper(t testing.TB, rt *rapid.T) *keeper {
	k := &keeper{world: newWorld(t), t: rt, blobs: map[string]bool{}}
	k.env = append(k.env, "AGENT_COMMAND=sh", "QUEUE_CLEANUP_AGE_DAYS=1")
	places := []string{}
	for _, name := range []string{"one", "two", "checkout"} {
		r := &kept{name: name, dir: filepath.Join(k.dir, "checkout")}
		if name != "checkout" {
			r.remote, r.dir = filepath.Join(k.dir, name+".git"), filepath.Join(string(k.home), "repos", "github.com+you+"+name+".git")
			k.git("clone", "-q", "--bare", ".", r.remote)
		} else {
			k.git("clone", "-q", ".", r.dir)
		}
		places = append(places, fmt.Sprintf(`"github.com/you/%s": %q`, name, filepath.Join(k.dir, strings.TrimPrefix(r.remote+"/", k.dir+"/"))))
		if r.remote == "" {
			places[len(places)-1] = fmt.Sprintf(`"github.com/you/%s": %q`, name, r.dir)
		}
		k.repos = append(k.repos, r)
	}
	k.fine(os.WriteFile(filepath.Join(string(k.home), "repos.json"), []byte("{"+strings.Join(places, ",")+"}"), 0o600))
	return k
}

func (k *keeper) fine(err error) {
	if err != nil {
		k.t.Fatalf("%v\n%s", err, strings.Join(k.did, "\n"))
	}
}

// in runs git in a repository and returns the words that it prints; nothing where it fails.
func (k *keeper) in(dir, stdin string, args ...string) []string {
	cmd := exec.Command("git", append([]string{"-C", dir}, args...)...)
	cmd.Env, cmd.Stdin = k.env, strings.NewReader(stdin)
	out, err := cmd.Output()
	if err != nil {
		return nil
	}
	return strings.Fields(string(out))
}

func (k *keeper) worktree(r *kept, n int) string {
	return k.home.Worktree(fmt.Sprintf("github.com+you+%s@%d", r.name, n))
}

// files are the blobs of the tracked and untracked files that stand in a worktree.
func (k *keeper) files(dir string) []string {
	if _, err := os.Lstat(filepath.Join(dir, ".git")); err != nil {
		return nil
	}
	names := k.in(dir, "", "ls-files", "-co", "--exclude-standard")
	names = slices.DeleteFunc(names, func(name string) bool {
		_, err := os.Lstat(filepath.Join(dir, name))
		return err != nil
	})
	return k.in(dir, strings.Join(names, "\n")+"\n", "hash-object", "--stdin-paths")
}

// lost is a blob that stood at the end of a run and is neither in a file of a worktree nor reachable from a ref.
func (k *keeper) lost() error {
	there := map[string]bool{}
	for _, r := range k.repos {
		for _, id := range k.in(r.dir, "", "rev-list", "--objects", "--all") {
			there[id] = true
		}
		for n := range issues {
			for _, id := range k.files(k.worktree(r, n+1)) {
				there[id] = true
			}
		}
	}
	for id := range k.blobs {
		if !there[id] {
			return fmt.Errorf("the blob %s is lost", id)
		}
	}
	return nil
}

// issues is how many there are in each repository.
const issues = 3

// script is what an agent does, drawn at random. It dies with its runner in its first run, or lives.
func (k *keeper) script() string {
	var b bytes.Buffer
	fmt.Fprintln(&b, "git config user.name agent; git config user.email agent@localhost")
	steps := rapid.SliceOfN(rapid.SampledFrom([]string{"new", "new", "change", "stage", "commit", "commit", "push", "delete", "ignored", "die"}), 1, 6).Draw(k.t, "agent")
	for _, step := range steps {
		k.n++
		file := fmt.Sprintf("f%d", rapid.IntRange(1, 4).Draw(k.t, "file"))
		switch step {
		case "new", "change":
			fmt.Fprintf(&b, "echo text %d >%s\n", k.n, file)
		case "stage":
			fmt.Fprintf(&b, "echo staged %d >%s; git add %s\n", k.n, file, file)
		case "commit":
			fmt.Fprintf(&b, "git add -A; git commit -q --allow-empty -m %d\n", k.n)
		case "push":
			fmt.Fprintln(&b, "git push -q origin HEAD 2>/dev/null || true")
		case "delete":
			fmt.Fprintf(&b, "rm -f %s\n", file)
		case "ignored":
			fmt.Fprintf(&b, "echo cache >.gitignore; echo %d >cache\n", k.n)
		case "die":
			fmt.Fprintln(&b, `test "${KUGETSU_RUN##*.}" = 1 && kill -9 $PPID $$`)
		}
	}
	fmt.Fprintln(&b, "exit 0")
	return b.String()
}

// step does one operation.
func (k *keeper) step() {
	r := rapid.SampledFrom(k.repos).Draw(k.t, "repository")
	n := rapid.IntRange(1, issues).Draw(k.t, "issue")
	ref := fmt.Sprintf("github.com/you/%s#%d", r.name, n)
	op := rapid.SampledFrom([]string{"run", "run", "run", "destroy", "force", "force", "prune", "killed", "killed", "rm worktree", "rm session", "merge", "bound", "restore", "restore"}).Draw(k.t, "operation")
	k.ops[op]++
	k.did = append(k.did, op+" "+ref)
	switch op {
	case "run":
		script := k.script()
		k.did = append(k.did, script)
		now := time.Now().UTC()
		it := &queue.Item{ID: queue.NewID(now), IssueRef: ref, Agent: "command", Message: script, Mode: queue.Auto,
			PendingSince: now, After: []string{}, History: []queue.Run{}}
		_, err := k.q.Publish(it, queue.Dev, queue.DefaultPriority)
		k.fine(err)
		k.fine(k.settle())
		_, it, err = load(k.world, it.ID)
		k.fine(err)
		if it.State != queue.Completed {
			k.t.Fatalf("%s: %s\n%s", it.State, *it.Error, strings.Join(k.did, "\n"))
		}
		for _, id := range k.files(k.worktree(r, n)) {
			k.blobs[id] = true
		}
	case "destroy":
		k.sure(0, 1)(k.kugetsu("destroy", ref))
	case "force":
		k.sure(0, 1)(k.kugetsu("destroy", "--force", ref))
	case "prune":
		k.sure(0)(k.kugetsu("prune"))
	case "bound":
		k.sure(0)(k.kugetsu("--max-worktrees", "2", "prune"))
	case "restore":
		k.sure(0, 1)(k.kugetsu("restore", ref))
	case "killed":
		args := rapid.SampledFrom([][]string{{"destroy", ref}, {"destroy", "--force", ref}, {"prune"}, {"restore", ref}}).Draw(k.t, "killed")
		after := fmt.Sprintf("0.%03d", rapid.IntRange(1, 80).Draw(k.t, "after"))
		k.exec("timeout", append([]string{"-s", "KILL", after, filepath.Join(bin, "kugetsu")}, args...)...)
	case "rm worktree":
		k.fine(os.RemoveAll(k.worktree(r, n)))
	case "rm session":
		err := os.Remove(filepath.Join(string(k.home), "sessions", filepath.Base(k.worktree(r, n))+".json"))
		if err != nil && !os.IsNotExist(err) {
			k.fine(err)
		}
	case "merge": // fast-forward, in the remote; the checkout is its owner's
		if r.remote != "" {
			k.in(r.remote, "", "fetch", "-q", ".", fmt.Sprintf("fix/issue-%d:main", n))
		}
	}
	if err := k.lost(); err != nil {
		k.t.Fatalf("%v\n%s", err, strings.Join(k.did, "\n"))
	}
}

// sure says that a command ends with one of these codes; 75 is for a git that a killed one left behind.
func (k *keeper) sure(codes ...int) func(int, string) {
	return func(code int, out string) {
		k.did = append(k.did, strings.TrimSpace(out))
		if !slices.Contains(append(codes, 75), code) {
			k.t.Fatalf("exit code %d: %s\n%s", code, out, strings.Join(k.did, "\n"))
		}
	}
}

// TestNothingIsLost: random operations over some issues in some repositories; every blob that stood in a tracked or an
// untracked file at the end of a run is in a worktree or reachable from a ref, after each of them.
func TestNothingIsLost(t *testing.T) {
	begin, worlds, ops, blobs := time.Now(), 0, map[string]int{}, 0
	rapid.Check(t, func(rt *rapid.T) {
		if time.Since(begin) > *loseFor {
			return
		}
		worlds++
		k := newKeeper(t, rt)
		k.ops = ops
		defer k.close()
		for range rapid.IntRange(5, 40).Draw(rt, "operations") {
			if time.Since(begin) > *loseFor {
				break
			}
			k.step()
		}
		blobs += len(k.blobs)
	})
	total := 0
	for _, n := range ops {
		total += n
	}
	if ops["run"] == 0 || ops["force"] == 0 || blobs == 0 {
		t.Fatalf("too little was tried: %v, %d blobs", ops, blobs)
	}
	t.Logf("%d operations in %d worlds in %s, %d blobs: %v", total, worlds, time.Since(begin).Round(time.Second), blobs, ops)
}
