package worktree

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func TestWorktreesInsideAreKeptLikeTheSessionsOwn(t *testing.T) {
	fullOnly(t, "it takes a second or more")
	for _, ignored := range []bool{false, true} {
		w := newWorld(t)
		s := w.fromRemote(7)
		w.prepare(s)
		if ignored {
			w.write(s.Path+"/.gitignore", ".claude/\n")
			w.commit(s.Path, "ignored")
		}
		w.git(s.Path, "worktree", "add", "-q", ".claude/worktrees/agent-7f", "-b", "sub")
		deep := s.Path + "/.claude/worktrees/agent-7f/de[ep] *"
		w.git(s.Path, "worktree", "add", "-q", "--detach", deep)
		w.git(s.Path, "worktree", "add", "-q", "-b", "clean", ".claude/worktrees/clean")
		w.git(s.Path, "worktree", "lock", ".claude/worktrees/agent-7f")
		g := w.newGit()
		snap, err := g.Snapshot(context.Background(), s, "refs/kugetsu/none", "kugetsu: x")
		w.equal("nothing", err, nil)
		w.equal("dirty", snap.Dirty, 0)
		w.equal("inside", len(snap.Inside), 0)

		w.write(s.Path+"/.claude/worktrees/agent-7f/new.txt", "of a subagent")
		w.write(deep+"/a.txt", "changed")
		commit := w.commit(s.Path+"/.claude/worktrees/clean", "committed by a subagent")
		h, err := w.newGit().Examine(context.Background(), s)
		w.equal("examine", errors.Join(err, h.Bad), nil)
		w.equal("dirty", h.Dirty, 2)
		unpushed := 1
		if ignored {
			unpushed = 2
		}
		w.equal("unpushed", h.Unpushed, unpushed)

		snap, err = w.newGit().Snapshot(context.Background(), s, testRef, "kugetsu: x\n\nIssue: y")
		w.equal("kept", err, nil)
		w.equal("ref of the session", snap.Ref, "")
		w.equal("inside", len(snap.Inside), 3)
		found := 0
		for _, in := range snap.Inside {
			w.equal("commit", w.git(s.Path, "rev-parse", in.Ref), in.Commit)
			w.contains(w.git(s.Path, "log", "-1", "--format=%B", in.Ref), "\n\nIssue: y")
			switch {
			case strings.HasSuffix(in.Ref, "-agent-7f"):
				w.equal("new", w.git(s.Path, "show", in.Ref+":new.txt"), "of a subagent")
				w.equal("files", w.git(s.Path, "diff", "--name-only", in.Ref+"^", in.Ref), "new.txt")
				found++
			case strings.HasSuffix(in.Ref, "-de-ep-"):
				w.equal("changed", w.git(s.Path, "show", in.Ref+":a.txt"), "changed")
				found++
			case strings.HasSuffix(in.Ref, "-clean"):
				w.equal("committed", w.git(s.Path, "rev-parse", in.Ref+"^"), commit)
				found++
			}
		}
		w.equal("found", found, 3)

		if err := w.newGit().Remove(context.Background(), s, ""); err != nil {
			t.Fatal(err)
		}
		w.equal("worktree", w.exists(s.Path), false)
		records := w.git(s.Source.Cache, "worktree", "list")
		w.equal("records", strings.Count(records, "\n"), 0)
	}
}

func TestRecordsOfWorktreesInsideGoAlsoWhereTheirFolderWasDeleted(t *testing.T) {
	w := newWorld(t)
	s := w.fromRemote(7)
	w.prepare(s)
	w.git(s.Path, "worktree", "add", "-q", "--detach", "sub")
	head := w.commit(s.Path+"/sub", "on no branch")
	if err := removeAll(s.Path); err != nil {
		t.Fatal(err)
	}
	if err := w.newGit().Remove(context.Background(), s, ""); err != nil {
		t.Fatal(err)
	}
	w.equal("records", strings.Count(w.git(s.Source.Cache, "worktree", "list"), "\n"), 0)
	w.equal("kept", w.git(s.Source.Cache, "rev-parse", "refs/kugetsu/detached/"+head), head)
}

func TestRecordThatDoesNotMatchHidesNothing(t *testing.T) {
	w := newWorld(t)
	s := w.fromRemote(7)
	w.prepare(s)
	w.git(s.Path, "worktree", "add", "-q", "--detach", w.path("elsewhere"))
	w.write(s.Path+"/dir/new.txt", "work")
	w.write(w.path("state/repos/host+user+repo.git/worktrees/elsewhere/gitdir"), s.Path+"/dir/.git\n")
	snap, err := w.newGit().Snapshot(context.Background(), s, testRef, "kugetsu: x")
	w.equal("kept", err, nil)
	w.equal("new", w.git(s.Path, "show", snap.Ref+":dir/new.txt"), "work")
}
