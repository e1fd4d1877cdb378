package worktree

import (
	"os"
	"testing"
)

// borrowed is a checkout of the remote whose objects lie in another repository, as its owner made it.
func (w *world) borrowed() string {
	w.Helper()
	w.git("", "clone", "-q", "--shared", w.author, "borrowed")
	return w.path("borrowed")
}

// addAlternate makes an agent's own store of objects one of the checkout's, and returns what puts a git of the agent's there.
func (w *world) addAlternate(checkout string) (env string) {
	w.Helper()
	list := checkout + "/.git/objects/info/alternates"
	var have string
	if w.exists(list) {
		have = w.read(list)
	}
	if err := os.MkdirAll(w.path("elsewhere"), 0o755); err != nil {
		w.Fatal(err)
	}
	w.write(list, have+w.path("elsewhere")+"\n")
	return "GIT_OBJECT_DIRECTORY=" + w.path("elsewhere")
}

func TestSnapshotNeedsNoAlternateThatAnAgentAdded(t *testing.T) {
	fullOnly(t, "it takes a second or more")
	for _, c := range []struct{ staged, committed bool }{{true, false}, {false, true}, {true, true}} {
		w := newWorld(t)
		checkout := w.borrowed()
		s := w.fromLocal(7, "borrowed")
		w.prepare(s)
		env := w.env
		w.env = append(w.env, w.addAlternate(checkout), "GIT_ALTERNATE_OBJECT_DIRECTORIES="+checkout+"/.git/objects:"+w.author+"/.git/objects")
		if c.committed {
			w.write(s.Path+"/committed", "committed elsewhere")
			w.commit(s.Path, "elsewhere")
		}
		if c.staged {
			w.write(s.Path+"/staged", "staged elsewhere")
			w.git(s.Path, "add", "staged")
		}
		w.write(s.Path+"/new", "new")
		w.env = env
		if snap, err := w.newGit().Snapshot(t.Context(), s, testRef, "m"); err != nil || snap.Ref != testRef {
			t.Fatalf("%+v: %+v %v\n%s", c, snap, err, w.log.String())
		}
		if err := os.RemoveAll(w.path("elsewhere")); err != nil {
			t.Fatal(err)
		}
		if out, err := w.try(checkout, "rev-list", "--objects", "--quiet", testRef); err != nil {
			t.Errorf("%+v: %s", c, out)
		}
		w.contains(w.log.String(), "objects from there are copied into what is kept")
	}
}

func TestCommitThatIsKeptNeedsNoAlternateThatAnAgentAdded(t *testing.T) {
	w := newWorld(t)
	checkout := w.borrowed()
	s := w.fromLocal(7, "borrowed")
	w.prepare(s)
	env := w.env
	w.env = append(w.env, w.addAlternate(checkout), "GIT_ALTERNATE_OBJECT_DIRECTORIES="+checkout+"/.git/objects:"+w.author+"/.git/objects")
	w.write(s.Path+"/committed", "committed elsewhere")
	tip := w.commit(s.Path, "elsewhere")
	w.env = env
	ref, err := w.newGit().Keep(t.Context(), s, "refs/kugetsu/issue-7", tip)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(w.path("elsewhere")); err != nil {
		t.Fatal(err)
	}
	if out, err := w.try(checkout, "rev-list", "--objects", "--quiet", ref); err != nil {
		t.Error(out)
	}
}

// The objects that the owner's checkout borrows stay where they are.
func TestAlternatesOfTheOwnerOfACheckoutAreUsed(t *testing.T) {
	w := newWorld(t)
	checkout := w.borrowed()
	s := w.fromLocal(7, "borrowed")
	w.prepare(s)
	w.write(s.Path+"/new", "new")
	w.equal("ref", w.mustSnapshot(s).Ref, testRef)
	w.equal("said", len(w.said("alternates")), 0)
	before := w.git(checkout, "count-objects", "-v")
	// An alternate that was there when the first session began is the owner's, and an alternate that is gone meanwhile does no harm.
	w.write(checkout+"/.git/objects/info/alternates", w.author+"/.git/objects\n")
	w.equal("said", len(w.said("alternates")), 0)
	w.equal("objects", w.git(checkout, "count-objects", "-v"), before)
}

func (w *world) mustSnapshot(s Spec) Snapshot {
	w.Helper()
	snap, err := w.newGit().Snapshot(w.Context(), s, testRef, "m")
	if err != nil {
		w.Fatal(err)
	}
	return snap
}
