package worktree

import (
	"context"
	"testing"
)

func TestRepositoryWithSHA256IsUsedAsAnyOther(t *testing.T) {
	fullOnly(t, "it takes a second or more")
	for _, local := range []bool{false, true} {
		w := newWorld(t)
		w.write("home/.gitconfig", w.read("home/.gitconfig")+"[init]\n\tdefaultObjectFormat = sha256\n")
		w.git("", "init", "-q", "--bare", "--initial-branch=trunk", "--object-format=sha256", "other.git")
		w.git("", "init", "-q", "--initial-branch=trunk", "--object-format=sha256", "writer")
		w.write("writer/a.txt", "one\n")
		w.git("writer", "remote", "add", "origin", w.path("other.git"))
		tip := w.commit("writer", "first")
		w.git("writer", "push", "-q", "origin", "HEAD:trunk")
		s := w.fromRemote(7)
		s.Source.URL = w.path("other.git")
		if local {
			w.git("", "clone", "-q", w.path("other.git"), "mine")
			s = w.fromLocal(7, "mine")
		}
		made := Made{Branch: "fix/issue-7", Base: "trunk", Head: tip, CreatedWorktree: true, CreatedBranch: true}
		w.equal("made", w.prepare(s), made)
		head := w.commit(s.Path, "work")
		w.write(s.Path+"/a.txt", "two\n")
		w.write(s.Path+"/new", "new\n")
		snap, err := w.newGit().Snapshot(context.Background(), s, testRef, "kugetsu: x")
		w.equal("snapshot", err, nil)
		w.equal("dirty", snap.Dirty, 2)
		work, err := w.newGit().Work(context.Background(), s, tip, "", snap)
		w.equal("work", err, nil)
		w.equal("commits", work.Commits, 1)
		w.equal("files", work.Stat.Files, 2)
		h, err := w.newGit().Examine(context.Background(), s)
		w.equal("examine", err, nil)
		w.equal("unpushed", h.Unpushed, 1)
		if _, err := w.newGit().Keep(context.Background(), s, "refs/kugetsu/issue-7", head); err != nil {
			t.Fatal(err)
		}
		if err := w.newGit().Remove(context.Background(), s, head); err != nil {
			t.Fatal(err)
		}
		w.equal("worktree", w.exists(s.Path), false)
		w.equal("made anew", w.prepare(s), made)
		if _, err := w.newGit().Restore(context.Background(), s, testRef, true); err != nil {
			t.Fatal(err)
		}
		w.equal("restored", w.read(s.Path+"/a.txt")+w.read(s.Path+"/new"), "two\nnew\n")
		w.equal("head", w.git(s.Path, "rev-parse", "HEAD"), head)
	}
	// A remote of the usual kind is cloned with the same settings.
	w := newWorld(t)
	w.write("home/.gitconfig", w.read("home/.gitconfig")+"[init]\n\tdefaultObjectFormat = sha256\n")
	w.env = append(w.env, "GIT_DEFAULT_HASH=sha256")
	w.equal("id", len(w.prepare(w.fromRemote(7)).Head), 40)
}
