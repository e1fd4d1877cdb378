package worktree

import (
	"strings"
	"testing"
)

// A local checkout whose references are in tables works like any other, where git knows that format.
func TestReftableCheckoutHasSessions(t *testing.T) {
	w := newWorld(t)
	if out, err := w.try("", "clone", "-q", "--ref-format=reftable", w.remote, "tables"); err != nil {
		t.Skipf("this git has no reftable: %s", out)
	}
	one, two := w.fromLocal(1, "tables"), w.fromLocal(2, "tables")
	w.equal("first", w.prepare(one).Branch, "fix/issue-1")
	w.equal("second", w.prepare(two).Branch, "fix/issue-2")
	w.equal("status", w.git(one.Path, "status", "--porcelain"), "")
	w.equal("branch", w.git(one.Path, "branch", "--show-current"), "fix/issue-1")
	again := w.prepare(one)
	w.equal("again", again.Branch+" "+again.Head, "fix/issue-1 "+w.git("author", "rev-parse", "HEAD"))

	w.write(one.Path+"/a.txt", "two\n")
	w.git(one.Path, "stash", "-q")
	stashes, err := w.newGit().Stashes(t.Context(), one)
	if err != nil || len(stashes) != 1 {
		t.Errorf("stashes: %q %v", stashes, err)
	}
	w.write(one.Path+"/new", "new\n")
	tip := w.commit(one.Path, "work")
	w.write(one.Path+"/more", "more\n")
	snap, err := w.newGit().Snapshot(t.Context(), one, testRef, "kugetsu: left")
	if err != nil || snap.Ref != testRef || snap.Head != tip || snap.Branch != "fix/issue-1" {
		t.Fatalf("%+v %v\n%s", snap, err, w.log.String())
	}
	w.equal("kept", w.git("tables", "show", testRef+":more"), "more")
	h, err := w.newGit().Examine(t.Context(), one)
	if err != nil || h.Unpushed != 1 || h.Dirty != 1 || h.Head != tip {
		t.Errorf("%+v %v", h, err)
	}
	// One branch is checked out in one place.
	w.git(two.Path, "checkout", "-q", "--detach")
	e := w.refused(Spec{Source: one.Source, Path: w.path("state/worktrees/other"), Branch: "fix/issue-1"})
	w.contains(e.Last, "is checked out at "+one.Path)
	if err := w.newGit().Remove(t.Context(), one, ""); err != nil {
		t.Fatal(err)
	}
	w.prepare(one)
	if _, err := w.newGit().Restore(t.Context(), one, testRef, true); err != nil {
		t.Fatal(err)
	}
	w.equal("restored", w.read(one.Path+"/more"), "more\n")
	w.equal("worktrees", strings.Count(w.git("tables", "worktree", "list"), "\n"), 2)
	w.git("tables", "fsck", "--strict")

	w.write("tables/.git/"+tablesLock, "") // a git was killed
	three := w.fromLocal(3, "tables")
	e = w.refused(three)
	w.equal("for ever", e.Permanent, false)
	w.age("tables")
	w.equal("third", w.prepare(three).Branch, "fix/issue-3")
}
