package worktree

import (
	"context"
	"errors"
	"testing"

	"kugetsu/slots/git"
)

// renamed makes a checkout "mine" whose owner is on a branch with unpushed work, and then renames the remote's default branch.
func renamed(t *testing.T, args ...string) (w *world, tip string) {
	w = newWorld(t)
	w.git("", append([]string{"clone", "-q"}, append(args, w.remote, w.path("mine"))...)...)
	w.git("mine", "checkout", "-q", "-b", "half-done")
	w.write("mine/plan", "secret")
	w.commit("mine", "not for anybody")
	w.git("author", "checkout", "-q", "-b", "main")
	tip = w.commit("author", "newer")
	w.push("main")
	w.git("remote.git", "symbolic-ref", "HEAD", "refs/heads/main")
	w.git("author", "push", "-q", "origin", ":trunk")
	return w, tip
}

func TestLocalCheckoutFollowsARenamedDefaultBranch(t *testing.T) {
	fullOnly(t, "it takes a second or more")
	for name, before := range map[string][]string{
		"as it was":         nil,
		"dangling":          {"fetch", "-q", "--prune"},
		"removed":           {"remote", "set-head", "origin", "--delete"},
		"packed":            {"pack-refs", "--all"},
		"to another branch": {"symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			w, tip := renamed(t)
			if before != nil {
				w.git("mine", before...)
			}
			s := w.fromLocal(1, "mine")
			w.equal("made", w.prepare(s), Made{Branch: "fix/issue-1", Base: "main", Head: tip, CreatedWorktree: true, CreatedBranch: true})
			w.equal("again", w.prepare(s).Base, "main")
			h, err := w.newGit().Examine(context.Background(), s)
			w.equal("examine", err, nil)
			w.equal("base", h.Base, "main")
			w.equal("unpushed", h.Unpushed, 0)
		})
	}
}

func TestLocalCheckoutMayCallItsRemoteOtherwise(t *testing.T) {
	fullOnly(t, "it starts git dozens of times")
	w, tip := renamed(t, "-o", "up.stream/x")
	s := w.fromLocal(1, "mine")
	w.equal("made", w.prepare(s), Made{Branch: "fix/issue-1", Base: "main", Head: tip, CreatedWorktree: true, CreatedBranch: true})
	w.equal("no other remote", w.git("mine", "remote"), "up.stream/x")
	w.git("author", "push", "-q", "origin", "HEAD:fix/issue-2")
	s = w.fromLocal(2, "mine")
	w.prepare(s)
	w.equal("upstream", w.git(s.Path, "rev-parse", "--abbrev-ref", "@{upstream}"), "up.stream/x/fix/issue-2")
	s = w.fromLocal(3, "mine")
	s.Base = "up.stream/x/main"
	w.equal("base", w.prepare(s).Base, "main")
	w.equal("base again", w.prepare(s).Base, "main")
	if _, err := w.newGit().Reach(context.Background(), s.Source, ""); err != nil {
		t.Error(err)
	}
}

func TestRemoteOfSeveralIsNotGuessed(t *testing.T) {
	w, tip := renamed(t, "-o", "upstream")
	w.git("mine", "remote", "add", "fork", w.path("fork.git"))
	s := w.fromLocal(1, "mine")
	w.contains(w.refused(s).Error(), "set KUGETSU_BASE_BRANCH, as in upstream/main")
	w.equal("branch", w.git("mine", "branch", "--list", "fix/*"), "")
	var e *git.Error
	if _, err := w.newGit().Reach(context.Background(), s.Source, ""); !errors.As(err, &e) || !e.Permanent {
		t.Errorf("Reach = %v", err)
	}
	s.Base = "upstream/main"
	w.equal("made", w.prepare(s), Made{Branch: "fix/issue-1", Base: "main", Head: tip, CreatedWorktree: true, CreatedBranch: true})
	s = w.fromLocal(2, "mine")
	s.Base = "half-done" // a branch of the checkout's own, which its owner names
	w.equal("head", w.prepare(s).Head, w.git("mine", "rev-parse", "half-done"))
}

func TestCheckedOutBranchIsNoBaseWhereTheRemotesIsNotKnown(t *testing.T) {
	fullOnly(t, "it starts git dozens of times")
	w, _ := renamed(t)
	w.git("mine", "fetch", "-q", "--prune") // origin/HEAD is dangling
	s := w.fromLocal(1, "mine")
	for _, url := range []string{w.path("gone.git"), "ext::sh -c true"} {
		w.git("mine", "remote", "set-url", "origin", url)
		w.contains(w.refused(s).Error(), "KUGETSU_BASE_BRANCH")
	}
	w.git("", "init", "-q", "--bare", w.path("empty.git"))
	w.git("mine", "remote", "set-url", "origin", w.path("empty.git"))
	w.git("mine", "update-ref", "-d", "refs/remotes/origin/main")
	w.contains(w.refused(s).Error(), "KUGETSU_BASE_BRANCH")
	w.equal("worktree", w.exists(s.Path), false)
}

func TestCheckoutWhoseWorktreeIsElsewhereIsRefused(t *testing.T) {
	fullOnly(t, "it starts git dozens of times")
	w := newWorld(t)
	w.git("", "clone", "-q", w.remote, "mine")
	s := w.fromLocal(1, "mine")
	w.git("mine", "config", "core.worktree", w.path("mine")) // as in a submodule
	w.prepare(s)
	w.write("theirs/a.txt", "precious")
	for _, at := range []string{w.path("theirs"), "../../theirs", w.path("nowhere")} {
		w.git("", "config", "--file", w.path("mine/.git/config"), "core.worktree", at)
		w.contains(w.refused(s).Error(), "core.worktree") // also where the worktree stands
		w.contains(w.refused(w.fromLocal(2, "mine")).Error(), "core.worktree")
		if _, err := w.newGit().Reach(context.Background(), s.Source, ""); err == nil {
			t.Error("Reach says nothing")
		}
	}
	w.git("", "config", "--file", w.path("mine/.git/config"), "core.worktree", w.path("mine"))
	w.git("", "config", "--file", w.path("mine/.git/config"), "extensions.worktreeConfig", "true") // then for each worktree
	w.contains(w.refused(s).Error(), "core.worktree")
	w.write(s.Path+"/new", "kept all the same")
	snap, err := w.newGit().Snapshot(context.Background(), s, "refs/kugetsu/x", "kugetsu: x")
	w.equal("kept", err, nil)
	w.equal("dirty", snap.Dirty, 1)
}

func TestCloneLosesWhatLeadsItsWorktreesElsewhere(t *testing.T) {
	w := newWorld(t)
	s := w.fromRemote(1)
	m := w.newGit()
	made, err := m.Prepare(context.Background(), s)
	w.equal("prepare", err, nil)
	w.write("theirs/a.txt", "precious")
	config := made.Repository + "/config"
	w.git("", "config", "--file", config, "core.worktree", w.path("theirs"))
	w.git("", "config", "--file", config, "extensions.worktreeConfig", "true")
	w.prepare(s)
	w.equal("where the agent's git works", w.git(s.Path, "rev-parse", "--show-toplevel"), s.Path)
}
