package faults

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// worker is an agent that leaves a commit, a change and a new file.
const worker = note + `cat >/dev/null
n=${KUGETSU_ISSUE##*#}
echo committed $n >one.txt
git add one.txt
git -c user.name=agent -c user.email=agent@localhost commit -q -m one
CLEAN
echo changed $n >one.txt
echo new $n >new.txt
`

// works runs worker on issues. With clean the first worker commits all that it has.
func (w *world) works(clean bool, issues ...int) {
	stop := ""
	if clean {
		stop = "test $n = 1 && exit"
	}
	script := strings.Replace(worker, "CLEAN", stop, 1)
	w.must(os.WriteFile(filepath.Join(w.dir, "agent"), []byte(script), 0o700))
	for _, n := range issues {
		w.item(n)
	}
	w.must(w.settle())
}

func (w *world) git(args ...string) string {
	cmd := exec.Command("git", append([]string{"-C", filepath.Join(w.dir, "repo")}, args...)...)
	cmd.Env = w.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// holds says whether every text is in a file of a worktree or reachable from a ref.
func (w *world) holds(texts ...string) error {
	objects := strings.Fields(w.git("rev-list", "--objects", "--all"))
	files, err := filepath.Glob(filepath.Join(string(w.home), "worktrees", "*", "*.txt"))
	if err != nil {
		return err
	}
	var there []string
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		there = append(there, string(data))
	}
	var errs []error
	for _, text := range texts {
		file := filepath.Join(w.dir, "text")
		w.must(os.WriteFile(file, []byte(text), 0o600))
		if !slices.Contains(objects, w.git("hash-object", file)) && !slices.Contains(there, text) {
			errs = append(errs, fmt.Errorf("%q is lost", text))
		}
	}
	return errors.Join(errs...)
}

// left returns an error if anything is left of a session.
func (w *world) left(n int) error {
	if out := w.git("worktree", "list"); strings.Contains(out, session(n)) {
		return fmt.Errorf("git knows of its worktree: %s", out)
	}
	for _, pattern := range []string{"sessions/" + session(n) + ".json", "worktrees/*" + session(n)} {
		// Glob would pass over names that begin with a dot.
		dir, base := filepath.Split(filepath.Join(string(w.home), pattern))
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), strings.TrimPrefix(base, "*")) {
				return fmt.Errorf("%s is left", e.Name())
			}
		}
	}
	return nil
}

// TestDestroyIsKilledAtEverySystemCall: everything that the worktree held is at a ref or still in the worktree, and the same
// command again finishes.
func TestDestroyIsKilledAtEverySystemCall(t *testing.T) {
	needStrace(t)
	destroy := []string{"destroy", "--force", "you/project#1"}
	texts := []string{"committed 1\n", "changed 1\n", "new 1\n"}
	w := newWorld(t)
	w.works(false, 1)
	list := points(t, w, destroy...)
	w.must(errors.Join(w.left(1), w.holds(texts...)))
	w.close()
	try := func(w *world, inject []string) error {
		w.works(false, 1)
		code, out := w.exec("strace", append(append(inject, filepath.Join(bin, "kugetsu")), destroy...)...)
		if err := w.holds(texts...); err != nil {
			return fmt.Errorf("%w after %s", err, out)
		}
		if code == 0 {
			if err := w.left(1); err != nil {
				return fmt.Errorf("exit code 0: %w", err)
			}
		}
		return errors.Join(await(func() error {
			code, out := w.kugetsu(destroy...)
			if code != 0 && !strings.Contains(out, "has no session") {
				return fmt.Errorf("again: exit code %d: %s", code, out)
			}
			return w.left(1)
		}), w.holds(texts...), w.judge(completed))
	}
	sweep(t, killed, "destroy --force", "signal=KILL", sample(list, 10), try)
	failed(t, "destroy --force", list, 6, try)
}

// TestPruneIsKilledAtEverySystemCall: a session that holds work stays whole, and the next prune removes the rest.
func TestPruneIsKilledAtEverySystemCall(t *testing.T) {
	needStrace(t)
	texts := []string{"committed 1\n", "committed 2\n", "changed 2\n", "new 2\n"}
	begin := func(w *world) {
		w.works(true, 1, 2)
		w.git("update-ref", "refs/heads/main", "fix/issue-1")
	}
	w := newWorld(t)
	begin(w)
	list := points(t, w, "prune")
	w.must(errors.Join(w.left(1), w.holds(texts...)))
	w.close()
	try := func(w *world, inject []string) error {
		begin(w)
		_, out := w.exec("strace", append(inject, filepath.Join(bin, "kugetsu"), "prune")...)
		if err := w.holds(texts...); err != nil {
			return fmt.Errorf("%w after %s", err, out)
		}
		err := await(func() error {
			code, out := w.kugetsu("prune")
			if code != 0 {
				return fmt.Errorf("again: exit code %d: %s", code, out)
			}
			return w.left(1)
		})
		for _, file := range []string{"one.txt", "new.txt"} {
			_, statErr := os.Stat(filepath.Join(w.home.Worktree(session(2)), file))
			err = errors.Join(err, statErr)
		}
		return errors.Join(err, w.holds(texts...), w.judge(completed))
	}
	sweep(t, killed, "prune", "signal=KILL", sample(list, 10), try)
	failed(t, "prune", list, 6, try)
}
