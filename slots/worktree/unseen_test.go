package worktree

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kugetsu/slots/git"
)

// What the next agent's reset and clean would throw away is kept also where git itself does not see it.

// breakIndex leaves of a worktree's index what a power cut may.
func (w *world) breakIndex(wt, what string) {
	w.Helper()
	w.write(w.git(wt, "rev-parse", "--absolute-git-dir")+"/index", what)
}

func TestFilesBesideABrokenIndexAreKept(t *testing.T) {
	fullOnly(t, "it takes a second or more")
	for _, index := range []string{"", "junk, and not an index at all", "DIRC\x00\x00\x00\x02\x00\x00\x00\x09cut off", strings.Repeat("\x00", 4096)} {
		w, wt, _ := prepared(t)
		w.write(wt+"/old.ignored", "committed")
		w.git(wt, "add", "-f", "old.ignored")
		head := w.commit(wt, "one")
		w.write(wt+"/a.txt", "changed")
		w.write(wt+"/old.ignored", "changed, and ignored")
		w.write(wt+"/new", "new")
		w.breakIndex(wt, index)
		w.looks(wt, Snapshot{Ref: testRef, Head: head, Branch: "fix/issue-7", Dirty: 3, Files: []string{"a.txt", "old.ignored", "new"}})
		w.equal("changed", w.show(wt, "a.txt"), "changed")
		w.equal("ignored", w.show(wt, "old.ignored"), "changed, and ignored")
		w.equal("new", w.show(wt, "new"), "new")
		w.equal("all", w.git(wt, "diff", "--name-only", head, testRef), "a.txt\nnew\nold.ignored")
	}
}

func TestBrokenIndexOnABranchWithoutACommit(t *testing.T) {
	w, wt, _ := prepared(t)
	w.git(wt, "checkout", "-q", "--orphan", "fresh")
	w.breakIndex(wt, "")
	w.looks(wt, Snapshot{Ref: testRef, Branch: "fresh", Dirty: 3, Files: []string{".gitignore", "a.txt", "dir/b.txt"}})
	w.equal("file", w.show(wt, "a.txt"), "one")
}

func TestBrokenIndexIsNotTakenForNoWork(t *testing.T) {
	w, wt, head := prepared(t)
	w.breakIndex(wt, "")
	w.looks(wt, Snapshot{Head: head, Branch: "fix/issue-7"})
	h, err := w.newGit().Examine(t.Context(), w.fromRemote(7))
	if err != nil || h.Dirty != 1 {
		t.Errorf("%+v %v", h, err)
	}
}

// Where the machine is what fails, the index is as good as ever, and has what was staged: later is better than half.
func TestFullDiskIsNotTakenForABrokenIndex(t *testing.T) {
	w, wt, _ := prepared(t)
	w.write(wt+"/new", "new")
	real, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	w.write("bin/git", "#!/bin/sh\nfor word do test \"$word\" = status && test ! -e "+w.path("tried")+" && touch "+w.path("tried")+
		" && echo 'fatal: No space left on device' >&2 && exit 128; done\nexec "+real+` "$@"`+"\n")
	if err := os.Chmod(w.path("bin/git"), 0o755); err != nil {
		t.Fatal(err)
	}
	w.env = append(w.env, "PATH="+w.path("bin")+":"+os.Getenv("PATH"))
	if snap, err := w.newGit().Snapshot(t.Context(), w.spec(wt), testRef, "m"); !git.OfHost(err) || snap.Ref != "" {
		t.Errorf("%+v %v", snap, err)
	}
}

func TestFilesThatGitWasToldNotToLookAtAreKept(t *testing.T) {
	fullOnly(t, "it takes a second or more")
	for _, version := range []string{"2", "4"} {
		for _, split := range []string{"false", "true"} {
			for _, flag := range []string{"--skip-worktree", "--assume-unchanged"} {
				w, wt, head := prepared(t)
				w.git(wt, "config", "core.splitIndex", split)
				w.git(wt, "update-index", "--index-version", version)
				w.git(wt, "update-index", flag, "a.txt")
				w.git(wt, "update-index", flag, "dir/b.txt")
				if split == "true" {
					w.git(wt, "update-index", "--split-index")
				}
				h, err := w.newGit().Examine(t.Context(), w.fromRemote(7))
				if err != nil || h.Dirty != 0 {
					t.Errorf("clean: %+v %v", h, err)
				}
				w.looks(wt, Snapshot{Head: head, Branch: "fix/issue-7"})
				before, err := w.newGit().Tree(t.Context(), w.spec(wt), Made{})
				w.write(wt+"/a.txt", "two\n")
				after, err2 := w.newGit().Tree(t.Context(), w.spec(wt), Made{})
				if err != nil || err2 != nil || before == after {
					t.Errorf("%s: the trees %q and %q, %v %v", flag, before, after, err, err2)
				}
				h, err = w.newGit().Examine(t.Context(), w.fromRemote(7))
				if err != nil || h.Dirty != 1 {
					t.Errorf("%s in version %s: %+v %v", flag, version, h, err)
				}
				w.looks(wt, Snapshot{Ref: testRef, Head: head, Branch: "fix/issue-7", Dirty: 1, Files: []string{"a.txt"}})
				w.equal("kept", w.show(wt, "a.txt"), "two")
				w.equal("all", w.git(wt, "diff", "--name-only", head, testRef), "a.txt")
			}
		}
	}
}

// An agent may give the flag to any number of files with long names: the list of them is not held in memory.
func TestHiddenFilesOfAnyNumberAreNotHeldInMemory(t *testing.T) {
	fullOnly(t, "it takes a second or more")
	w, wt, head := prepared(t)
	const files = 3000
	name := func(n int) string { return fmt.Sprintf("many/%04d%s", n, strings.Repeat("x", 240)) }
	for n := range files {
		w.write(wt+"/"+name(n), "one")
	}
	w.commit(wt, "many")
	var names strings.Builder
	for n := range files {
		names.WriteString(name(n) + "\x00")
	}
	cmd := exec.Command("git", "update-index", "--assume-unchanged", "-z", "--stdin")
	cmd.Dir, cmd.Env, cmd.Stdin = wt, w.env, strings.NewReader(names.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatal(string(out))
	}
	w.write(wt+"/"+name(files-1), "two")
	p, _, err := w.newGit().left(t.Context(), w.fromRemote(7))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Done()
	list, err := p.Hidden(t.Context())
	if err != nil || w.read(list) != names.String() {
		t.Errorf("%q %v", list, err)
	}
	if snap := w.kept(wt, 1); snap.Head == head || w.show(wt, name(files-1)) != "two" {
		t.Errorf("%+v", snap)
	}
}

func TestFilesOutsideOfASparseCheckoutAreKept(t *testing.T) {
	fullOnly(t, "it takes a second or more")
	for _, kind := range []string{"--no-sparse-index", "--sparse-index"} {
		w := newWorld(t)
		w.write("author/far/off/c.txt", "far")
		w.write("author/far/d.txt", "far")
		w.commit("author", "far")
		w.push("trunk")
		m := w.prepare(w.fromRemote(7))
		wt := w.fromRemote(7).Path
		w.git(wt, "sparse-checkout", "set", "--cone", kind, "dir")
		w.equal("there", w.exists(wt+"/far"), false)
		w.looks(wt, Snapshot{Head: m.Head, Branch: "fix/issue-7"})
		w.write(wt+"/far/new", "precious")
		w.write(wt+"/far/d.txt", "near")
		w.write(wt+"/dir/new", "new")
		w.looks(wt, Snapshot{Ref: testRef, Head: m.Head, Branch: "fix/issue-7", Dirty: 3, Files: []string{"far/d.txt", "dir/new", "far/new"}})
		w.equal("new", w.show(wt, "far/new"), "precious")
		w.equal("changed", w.show(wt, "far/d.txt"), "near")
		w.equal("all", w.git(wt, "diff", "--name-only", m.Head, testRef), "dir/new\nfar/d.txt\nfar/new")
	}
}

func TestFilterThatFailsKeepsNothingFromBeingKept(t *testing.T) {
	fullOnly(t, "it starts git dozens of times")
	for _, kind := range []string{"clean", "process"} {
		w, wt, _ := prepared(t)
		w.write(wt+"/.gitattributes", "*.bin filter=large.files\n")
		w.write(wt+"/old.bin", "old")
		head := w.commit(wt, "one")
		w.git(wt, "config", "filter.large.files."+kind, "no-such-program")
		w.git(wt, "config", "filter.large.files.required", "true")
		w.write(wt+"/old.bin", "new") // of the same length: git must look into it
		w.write(wt+"/new.bin", "large")
		w.write(wt+"/good", "good")
		h, err := w.newGit().Examine(t.Context(), w.fromRemote(7))
		if err != nil || h.Dirty != 3 {
			t.Errorf("%s: %+v %v", kind, h, err)
		}
		w.looks(wt, Snapshot{Ref: testRef, Head: head, Branch: "fix/issue-7", Dirty: 3, Files: []string{"old.bin", "good", "new.bin"}})
		w.equal("old", w.show(wt, "old.bin"), "new")
		w.equal("new", w.show(wt, "new.bin"), "large")
		w.equal("good", w.show(wt, "good"), "good")
	}
}

func BenchmarkHidden(b *testing.B) {
	w := newWorld(b)
	w.big()
	s := w.fromRemote(7)
	w.prepare(s)
	g := &Git{Runner: git.Runner{Env: w.env, Own: b.TempDir()}}
	p, err := g.Open(context.Background(), git.Location{Common: s.Source.Cache, GitDir: s.Source.Cache + "/worktrees/" + filepath.Base(s.Path), Path: s.Path})
	if err != nil {
		b.Fatal(err)
	}
	defer p.Done()
	for b.Loop() {
		if names, err := p.Hidden(context.Background()); err != nil || names != "" {
			b.Fatal(names, err)
		}
	}
}
