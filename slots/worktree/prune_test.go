package worktree

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"kugetsu/slots/git"
)

// A git prune of another session, again and again, takes nothing of what is said to be kept.
func TestSnapshotIsWholeBesideGitPrune(t *testing.T) {
	fullOnly(t, "a prune in a loop")
	const sessions, runs = 4, 50
	w := newWorld(t)
	var specs []Spec
	for n := range sessions {
		s := w.fromRemote(n + 1)
		w.prepare(s)
		specs = append(specs, s)
	}
	cache := specs[0].Source.Cache
	stop, pruned := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		defer func() { pruned <- n }()
		for ; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			cmd := exec.Command("git", "prune", "--expire=now")
			cmd.Dir, cmd.Env = cache, w.env
			if n%10 == 9 {
				cmd = exec.Command("git", "gc", "--quiet", "--prune=now")
				cmd.Dir, cmd.Env = cache, w.env
			}
			_ = cmd.Run() // it fails where another git is at work: it begins again
		}
	}()
	var all sync.WaitGroup
	for n, s := range specs {
		all.Go(func() {
			for run := range runs {
				// What was staged and is not any more is an object that nothing names: a prune may take it at any instant.
				for _, name := range []string{"/staged", "/new"} {
					if err := os.WriteFile(s.Path+name, fmt.Appendf(nil, "%d %d\n%s", n, run, strings.Repeat(name, 1000)), 0o600); err != nil {
						t.Error(err)
					}
				}
				cmd := exec.Command("git", "add", "staged")
				cmd.Dir, cmd.Env = s.Path, w.env
				_ = cmd.Run()
				cmd = exec.Command("git", "reset", "-q")
				cmd.Dir, cmd.Env = s.Path, w.env
				_ = cmd.Run()
				g := &Git{Runner: git.Runner{Env: w.env, Own: w.path("own")}}
				ref := fmt.Sprintf("refs/kugetsu/q_%d/%d", n, run+1)
				snap, err := g.Snapshot(context.Background(), s, ref, "m")
				if err != nil || snap.Ref != ref {
					t.Errorf("%s: %+v %v", ref, snap, err)
				}
			}
		})
	}
	all.Wait()
	close(stop)
	if n := <-pruned; n < 2 {
		t.Errorf("git prune ran %d times", n)
	}
	refs := strings.Fields(w.git(cache, "for-each-ref", "--format=%(refname)", "refs/kugetsu/"))
	w.equal("refs", len(refs), sessions*runs)
	for _, ref := range refs {
		if out, err := w.try(cache, "rev-list", "--objects", ref); err != nil {
			t.Errorf("%s is not whole: %s", ref, out)
		}
	}
	left, _ := filepath.Glob(cache + "/objects/pack/*.keep")
	w.equal("packs that no git may collect", len(left), 0)
	left, _ = filepath.Glob(cache + "/objects/pack/" + git.PackTemp + "*")
	w.equal("parts of packs", len(left), 0)
	left, _ = filepath.Glob(w.path("own") + "/*")
	w.equal("private git directories", len(left), 0)
}

// The same at the one instant that counts, between the pack and the reference: as long as nothing names the objects, git
// collects them, unless the pack says that it is to be kept.
func TestSnapshotIsWholeWhereGitCollectsBeforeItsReference(t *testing.T) {
	w, wt, _ := prepared(t)
	cache := w.fromRemote(7).Source.Cache
	real, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	w.write("bin/git", "#!/bin/sh\ncase \"$*\" in *update-ref*"+testRef+"*)\n\tenv -i HOME=\"$HOME\" PATH=\"$PATH\" "+real+" -C "+cache+
		" gc --quiet --prune=now && echo >"+w.path("collected")+" || exit 99;;\nesac\nexec "+real+" \"$@\"\n")
	if err := os.Chmod(w.path("bin/git"), 0o755); err != nil {
		t.Fatal(err)
	}
	w.write(wt+"/new", "new")
	g := w.newGit()
	g.Env = append(g.Env, "PATH="+w.path("bin")+":"+os.Getenv("PATH"))
	snap, err := g.Snapshot(t.Context(), w.fromRemote(7), testRef, "m")
	if err != nil || snap.Ref != testRef || !w.exists("collected") {
		t.Fatalf("%+v %v\n%s", snap, err, w.log.String())
	}
	w.equal("made again", len(w.said("made again")), 0)
	if out, err := w.try(cache, "rev-list", "--objects", testRef); err != nil {
		t.Error(out)
	}
}
