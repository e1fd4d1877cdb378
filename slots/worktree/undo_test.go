package worktree

import (
	"context"
	"os"
	"testing"
)

func (w *world) undo(s Spec, m Made) error {
	return w.newGit().Undo(context.Background(), s, m)
}

func TestUndoRemovesWhatPrepareMadeAndNothingElse(t *testing.T) {
	fullOnly(t, "it starts git dozens of times")
	w := newWorld(t)
	w.prepare(w.fromRemote(1))
	s := w.fromRemote(7)
	refs := w.git(w.fromRemote(1).Path, "for-each-ref")
	config := w.read(s.Source.Cache + "/config")

	m := w.prepare(s)
	w.write(s.Path+"/node_modules/x", "what a hook left")
	w.write(s.Path+"/a.txt", "changed by a hook")
	if err := w.undo(s, m); err != nil {
		t.Fatal(err)
	}
	w.equal("folder", w.exists(s.Path), false)
	w.equal("refs", w.git(w.fromRemote(1).Path, "for-each-ref"), refs)
	if err := w.undo(s, m); err != nil {
		t.Errorf("undone again: %v", err)
	}

	w.git("author", "push", "-q", "origin", "HEAD:fix/issue-7")
	m = w.prepare(s)
	if err := w.undo(s, m); err != nil {
		t.Fatal(err)
	}
	w.equal("config", w.read(s.Source.Cache+"/config"), config)
	w.equal("neighbour", w.prepare(w.fromRemote(1)).CreatedWorktree, false)
}

func TestUndoKeepsWhatWasThereBefore(t *testing.T) {
	w := newWorld(t)
	s := w.fromRemote(7)
	w.prepare(s)
	tip := w.commit(s.Path, "work")
	if err := w.undo(s, w.prepare(s)); err != nil { // the worktree stood
		t.Fatal(err)
	}
	w.equal("head", w.git(s.Path, "rev-parse", "HEAD"), tip)
	_ = os.RemoveAll(s.Path)
	if err := w.undo(s, w.prepare(s)); err != nil { // the branch was there
		t.Fatal(err)
	}
	w.equal("folder", w.exists(s.Path), false)
	w.equal("branch", w.git(s.Source.Cache, "rev-parse", "fix/issue-7"), tip)
}

func TestUndoKeepsACommitThatWasMadeSince(t *testing.T) {
	w := newWorld(t)
	s := w.fromRemote(7)
	m := w.prepare(s)
	tip := w.commit(s.Path, "work")
	if err := w.undo(s, m); err == nil {
		t.Error("undone")
	}
	w.equal("head", w.git(s.Path, "rev-parse", "fix/issue-7"), tip)
	w.git(s.Path, "checkout", "-q", m.Head) // HEAD as it was, on no branch
	if err := w.undo(s, m); err == nil {
		t.Error("undone")
	}
	w.equal("head", w.git(s.Path, "rev-parse", "fix/issue-7"), tip)
}

func TestUndoCleansUpAfterAPrepareThatFailed(t *testing.T) {
	w := newWorld(t)
	w.write("author/.gitattributes", "*.txt filter=lfs\n")
	w.commit("author", "needs a filter that this machine does not have")
	w.push("trunk")
	w.write("home/.gitconfig", w.read("home/.gitconfig")+"[filter \"lfs\"]\n\tsmudge = false\n\trequired = true\n")
	s := w.fromRemote(7)
	m, err := w.newGit().Prepare(context.Background(), s)
	if err == nil {
		t.Fatal("prepared")
	}
	w.contains(err.Error(), "smudge filter")
	if err := w.undo(s, m); err != nil {
		t.Fatal(err)
	}
	w.equal("folder", w.exists(s.Path), false)
	w.equal("branches", w.git(s.Source.Cache, "for-each-ref", "refs/heads"), "")
	if err := w.undo(s, Made{}); err != nil {
		t.Error(err)
	}
}
