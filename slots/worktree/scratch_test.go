package worktree

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"kugetsu/slots/git"
)

const (
	firstRun  = "q_01m8k523aw7samenf71kjhazwq.1"
	secondRun = "q_01m8k523aw7samenf71kjhazwq.2"
)

// onNode is the spec of issue 7 for a run on the disk of a node.
func (w *world) onNode(run string) Spec {
	s := w.fromRemote(7)
	s.Path, s.Scratch = w.path("disk/host+user+repo@7"), run
	return s
}

// away takes the disk away, as on another node, until back is called.
func (w *world) away() (back func()) {
	at := w.path("away") + rand.Text()
	w.must(os.Rename(w.path("disk"), at))
	return func() { w.must(os.Rename(at, w.path("disk"))) }
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// discard discards what any run left there.
func (w *world) discard(s Spec) {
	w.Helper()
	s.Scratch = ""
	w.must(w.newGit().Discard(context.Background(), s))
}

func TestWorktreeOnTheDiskOfANode(t *testing.T) {
	fullOnly(t, "it starts git dozens of times")
	w, ctx := newWorld(t), context.Background()
	s := w.onNode(firstRun)
	w.prepare(s)
	w.write("disk/host+user+repo@7/new.txt", "1")
	head := w.commit(s.Path, "work")
	w.write("disk/host+user+repo@7/a.txt", "uncommitted")
	snap, err := w.newGit().Snapshot(ctx, s, "refs/kugetsu/x/1", "kugetsu: x")
	w.must(err)

	// Another machine does not see the files. Its git leaves the record, and kugetsu needs them not to begin anew.
	back := w.away()
	w.git(s.Source.Cache, "worktree", "prune", "--expire=now")
	w.contains(w.git(s.Source.Cache, "worktree", "list", "--porcelain"), "locked kugetsu: on the own disk of a node")
	next := w.onNode(secondRun)
	w.discard(next)
	w.prepare(next)
	// The first run, which is late, removes nothing of the second, be that on its machine or on another one.
	for _, err := range []error{w.newGit().Discard(ctx, s), w.newGit().DiscardFiles(s)} {
		w.contains(fmt.Sprint(err), "is not the worktree of "+firstRun+" any more")
	}
	here := w.away()
	w.must(w.newGit().Discard(ctx, s))
	here()
	w.equal("what is checked out", w.git(next.Path, "rev-parse", "--abbrev-ref", "HEAD"), next.Branch)
	fits, at, err := w.newGit().Carry(ctx, next, snap.Ref, snap.Commit, true)
	if err != nil || !fits || at != head {
		t.Errorf("the work is brought back: %v, at %s, %v", fits, at, err)
	}
	w.equal("the file", w.read("disk/host+user+repo@7/a.txt"), "uncommitted")
	w.discard(next)
	w.must(os.Remove(w.path("disk")))
	back()

	// What the first run left there is known as its own, and is no worktree any more.
	found, err := w.newGit().Find(next)
	if err != nil || found != (Found{There: true, Run: firstRun}) {
		t.Errorf("found %+v, %v", found, err)
	}
	left, err := w.newGit().Snapshot(ctx, next, "refs/kugetsu/x/2", "kugetsu: x")
	w.must(err)
	w.equal("the file in the snapshot", w.git(s.Source.Cache, "show", left.Ref+":a.txt"), "uncommitted")
	w.discard(next)
	if names, err := os.ReadDir(w.path("disk")); err != nil || len(names) > 0 {
		t.Errorf("the disk has %v, %v", names, err)
	}
	w.equal("the branch", w.git(s.Source.Cache, "rev-parse", s.Branch), head)
}

func TestWorkIsNotBroughtBackOverLaterCommits(t *testing.T) {
	fullOnly(t, "it starts git dozens of times")
	w, ctx := newWorld(t), context.Background()
	s := w.onNode(firstRun)
	w.prepare(s)
	w.write("disk/host+user+repo@7/a.txt", "old")
	snap, err := w.newGit().Snapshot(ctx, s, "refs/kugetsu/x/1", "kugetsu: x")
	w.must(err)
	w.write("disk/host+user+repo@7/a.txt", "newer")
	head := w.commit(s.Path, "a later run went on")
	w.discard(s)
	next := w.onNode(secondRun)
	w.prepare(next)
	for _, try := range []struct{ ref, commit string }{{snap.Ref, snap.Commit}, {snap.Ref, head}, {"refs/kugetsu/x/none", snap.Commit}} {
		if fits, at, err := w.newGit().Carry(ctx, next, try.ref, try.commit, true); err != nil || fits || at != head {
			t.Errorf("%+v: fits is %v, at %s, %v", try, fits, at, err)
		}
	}
	w.equal("the file", w.read("disk/host+user+repo@7/a.txt"), "newer")
	w.equal("status", w.git(next.Path, "status", "--porcelain"), "")
}

func TestDiscardHalfMadeWorktreeAndKeepsSubmodules(t *testing.T) {
	w := newWorld(t)
	s := w.onNode(firstRun)
	w.prepare(s)
	record := s.Source.Cache + "/worktrees/host+user+repo@7." + firstRun
	w.must(os.WriteFile(record+"/locked", []byte("initializing\n"), 0o600))
	if found, err := w.newGit().Find(s); err != nil || !found.Half {
		t.Errorf("found %+v, %v", found, err)
	}
	w.must(os.Remove(record + "/gitdir"))
	w.discard(w.onNode(secondRun)) // by its name
	if _, err := os.Lstat(record); err == nil {
		t.Error("the record of a worktree that was never whole is left")
	}

	w.prepare(s)
	w.must(os.Mkdir(record+"/modules", 0o700))
	var e *git.Error
	if err := w.newGit().Discard(context.Background(), s); !errors.As(err, &e) || !strings.Contains(err.Error(), "submodules") || !w.exists(record+"/modules") {
		t.Errorf("with submodules: %v", err)
	}
}

func TestCommitsOnAnotherBranchAreBroughtBack(t *testing.T) {
	fullOnly(t, "it starts git dozens of times")
	w, ctx := newWorld(t), context.Background()
	s := w.onNode(firstRun)
	w.prepare(s)
	w.git(s.Path, "checkout", "-q", "-b", "other")
	w.write("disk/host+user+repo@7/new.txt", "1")
	head := w.commit(s.Path, "on another branch")
	ref, err := w.newGit().Keep(ctx, s, "refs/kugetsu/issue-7", head)
	w.must(err)
	w.must(w.newGit().Discard(ctx, s))
	next := w.onNode(secondRun)
	w.prepare(next)
	fits, at, err := w.newGit().Carry(ctx, next, ref, head, false)
	if err != nil || !fits || at != head {
		t.Errorf("the commits are brought back: %v, at %s, %v", fits, at, err)
	}
	w.equal("the branch", w.git(next.Path, "rev-parse", next.Branch), head)
	w.equal("status", w.git(next.Path, "status", "--porcelain"), "")
}
