package worktree

import (
	"testing"

	"kugetsu/slots/git"
)

func TestWorkIsNamed(t *testing.T) {
	if work := (Holding{There: true, Stands: true}).Work(); work != nil {
		t.Errorf("a clean worktree has %q", work)
	}
	for _, h := range []Holding{{Dirty: 1}, {Unpushed: 1}, {Locked: "locked: "}, {Submodules: true}, {Bad: git.Refuse("examine", "damaged")}} {
		if len(h.Work()) != 1 {
			t.Errorf("%+v has %q", h, h.Work())
		}
	}
}

func TestLockThatAKilledGitLeftKeepsNoCommitFromBeingKept(t *testing.T) {
	w := newWorld(t)
	s := w.fromRemote(7)
	m := w.prepare(s)
	dir := s.Source.Cache + "/refs/kugetsu/issue-7/"
	w.write(dir+m.Head+".lock", "")
	ref, err := w.newGit().Keep(t.Context(), s, "refs/kugetsu/issue-7", m.Head)
	if err != nil {
		t.Fatal(err)
	}
	w.equal("kept", w.git(s.Path, "rev-parse", ref), m.Head)
	w.equal("lock", w.exists(dir+m.Head+".lock"), false)
}
