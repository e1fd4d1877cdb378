package worktree

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// unfinished leaves work of every kind in a worktree and returns what git says of it.
func (w *world) unfinished(s Spec) string {
	w.Helper()
	w.write(s.Path+"/committed", "work")
	w.commit(s.Path, "work")
	w.write(s.Path+"/staged", "staged")
	w.git(s.Path, "add", "staged")
	w.write(s.Path+"/a.txt", "changed\n")
	w.write(s.Path+"/untracked", "untracked")
	return w.all(s)
}

func (w *world) all(s Spec) string {
	w.Helper()
	return w.git(s.Path, "log", "--format=%H") + w.git(s.Path, "status", "--porcelain", "--branch") + w.git(s.Path, "diff", "HEAD")
}

func (w *world) move(from, to string) {
	w.Helper()
	if err := os.Rename(w.path(from), w.path(to)); err != nil {
		w.Fatal(err)
	}
}

func TestBranchThatWasDeletedUnderItsWorktreeIsMadeAgainWhereItWas(t *testing.T) {
	fullOnly(t, "it takes a second or more")
	for name, remove := range map[string]func(w *world, s Spec){
		"in the worktree":   func(w *world, s Spec) { w.git(s.Path, "update-ref", "-d", "refs/heads/"+s.Branch) },
		"in the repository": func(w *world, s Spec) { w.git(s.Source.Cache, "update-ref", "-d", "refs/heads/"+s.Branch) },
		"by hand":           func(w *world, s Spec) { _ = os.Remove(s.Source.Cache + "/refs/heads/" + s.Branch) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s := w.fromRemote(7)
			w.prepare(s)
			before := w.unfinished(s)
			tip := w.git(s.Path, "rev-parse", "HEAD")
			remove(w, s)
			h, err := w.newGit().Examine(context.Background(), s)
			if err != nil || h.Head != tip || h.Unpushed != 1 {
				t.Errorf("its commits are work: %+v %v", h, err)
			}
			w.equal("made", w.prepare(s), Made{Branch: s.Branch, Base: "trunk", Head: tip})
			w.equal("work", w.all(s), before)
			w.contains(w.log.String(), "branch fix/issue-7 was deleted: it is made again at "+tip)
		})
	}
	t.Run("and where nothing says where it was, that is an error", func(t *testing.T) {
		w := newWorld(t)
		s := w.fromRemote(7)
		w.prepare(s)
		w.unfinished(s)
		w.git(s.Path, "update-ref", "-d", "refs/heads/"+s.Branch)
		log := s.Source.Cache + "/worktrees/" + filepath.Base(s.Path) + "/logs/HEAD"
		for _, text := range []string{"", "x\n", strings.Repeat("1", 40) + " " + strings.Repeat("0", 40) + " somebody\n"} {
			w.write(log, text)
			before := w.tree(s.Path)
			e := w.refused(s)
			w.equal("permanent", e.Permanent, true)
			w.contains(e.Last, "branch fix/issue-7 was deleted, and its last commit is not known: make it with git branch fix/issue-7 <commit>")
			w.equal("files", len(w.tree(s.Path)), len(before))
			h, err := w.newGit().Examine(context.Background(), s)
			if err != nil || h.Bad == nil {
				t.Errorf("it is not to be removed: %+v %v", h, err)
			}
		}
	})
}

func TestMovedCheckoutAndItsWorktreesFindEachOther(t *testing.T) {
	fullOnly(t, "it starts git dozens of times")
	w := newWorld(t)
	w.git("", "clone", "-q", w.remote, "mine")
	s, other := w.fromLocal(7, "mine"), w.fromLocal(71, "mine")
	w.prepare(s)
	w.prepare(other)
	before := w.unfinished(s)
	w.move("mine", "elsewhere")
	s.Source.Local, other.Source.Local = w.path("elsewhere"), w.path("elsewhere")
	h, err := w.newGit().Examine(context.Background(), s)
	if err != nil || h.Bad == nil || !strings.Contains(h.Bad.Error(), "leads to where its repository was") {
		t.Errorf("%+v %v", h, err)
	}
	w.equal("head", w.prepare(s).Branch, s.Branch)
	w.equal("work", w.all(s), before)
	w.equal("other", w.prepare(other).Branch, other.Branch)
	w.equal("worktrees", strings.Count(w.git("elsewhere", "worktree", "list"), "\n"), 2)
	w.equal("mended", w.git("elsewhere", "worktree", "prune", "--dry-run", "--expire=now"), "")
}

func TestMovedStateFolderKeepsItsWorktrees(t *testing.T) {
	w := newWorld(t)
	s := w.fromRemote(7)
	w.prepare(s)
	before := w.unfinished(s)
	w.move("state", "state2")
	moved := s
	for _, path := range []*string{&moved.Path, &moved.Source.Cache, &moved.Source.Lock} {
		*path = strings.Replace(*path, "/state/", "/state2/", 1)
	}
	w.equal("made", w.prepare(moved).CreatedWorktree, false)
	w.equal("work", w.all(moved), before)
	w.equal("again", w.prepare(moved).CreatedWorktree, false)
	w.equal("at the old place", w.exists("state"), false)
	left, _ := os.ReadDir(w.path("state2/worktrees"))
	w.equal("left", len(left), 1)

	// Killed between the two writes, or in the second: the link leads nowhere still.
	w.write(moved.Path+"/.git", "gitdir: "+s.Source.Cache+"/worktrees/"+filepath.Base(s.Path)+"\n")
	w.write(part(moved.Path), "gitd")
	w.equal("made", w.prepare(moved).CreatedWorktree, false)
	w.equal("work", w.all(moved), before)
}

func TestCopyOfAStateFolderLeavesTheOriginalsWorktreesAlone(t *testing.T) {
	fullOnly(t, "it starts git dozens of times")
	w := newWorld(t)
	s := w.fromRemote(7)
	w.prepare(s)
	before := w.unfinished(s)
	if err := os.CopyFS(w.path("copy"), os.DirFS(w.path("state"))); err != nil {
		t.Fatal(err)
	}
	there := s
	for _, path := range []*string{&there.Path, &there.Source.Cache, &there.Source.Lock} {
		*path = strings.Replace(*path, "/state/", "/copy/", 1)
	}
	whole := w.tree("state")
	e := w.refused(there)
	w.equal("permanent", e.Permanent, true)
	w.contains(e.Last, "belongs to the repository "+s.Source.Cache)
	// With the link of the copy broken, the record in it still names a worktree that is there: the original's.
	w.write(there.Path+"/.git", "gitdir: /nonexistent/worktrees/"+filepath.Base(s.Path)+"\n")
	w.equal("permanent", w.refused(there).Permanent, true)
	for name, was := range whole {
		if w.tree("state")[name] != was {
			t.Errorf("%s of the original changed", name)
		}
	}
	w.equal("work", w.all(s), before)
}

func TestCopyOfACheckoutTakesNoWorktreeOver(t *testing.T) {
	w := newWorld(t)
	w.git("", "clone", "-q", w.remote, "mine")
	s := w.fromLocal(7, "mine")
	w.prepare(s)
	w.unfinished(s)
	if err := os.CopyFS(w.path("copy"), os.DirFS(w.path("mine"))); err != nil {
		t.Fatal(err)
	}
	link := w.read(s.Path + "/.git")
	refused := func(part string) {
		t.Helper()
		e := w.refused(w.fromLocal(7, "copy"))
		w.equal("permanent", e.Permanent, true)
		w.contains(e.Last, part)
		w.equal("link", w.read(s.Path+"/.git"), link)
	}
	refused("belongs to the repository")
	// Also where git cannot say whose it is: it leads somewhere.
	if err := os.Remove(w.path("mine/.git/worktrees/" + filepath.Base(s.Path) + "/HEAD")); err != nil {
		t.Fatal(err)
	}
	refused("belongs to the repository")
}
