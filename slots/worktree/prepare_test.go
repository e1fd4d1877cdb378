package worktree

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"kugetsu/slots/git"
)

func TestNewBranchStartsFromTheRemotesDefaultBranch(t *testing.T) {
	w := newWorld(t)
	m := w.prepare(w.fromRemote(7))
	tip := w.git("author", "rev-parse", "trunk")
	w.equal("made", m, Made{Branch: "fix/issue-7", Base: "trunk", Head: tip, CreatedWorktree: true, CreatedBranch: true})
	wt := w.fromRemote(7).Path
	w.equal("file", w.read(wt+"/a.txt"), "one\n")
	w.equal("status", w.git(wt, "status", "--porcelain"), "")
	if _, err := w.try(wt, "rev-parse", "@{upstream}"); err == nil {
		t.Error("the branch tracks its base: a plain push could go there")
	}
	w.equal("fetch in the worktree", w.git(wt, "fetch"), "")
	info, err := os.Stat(w.fromRemote(7).Source.Lock)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("lock: %v %v", info, err)
	}
}

func TestBranchThatTheRemoteHasIsTakenAndTracked(t *testing.T) {
	w := newWorld(t)
	w.git("author", "checkout", "-q", "-b", "x")
	tip := w.commit("author", "begun elsewhere")
	w.push("fix/issue-7")
	m := w.prepare(w.fromRemote(7))
	w.equal("made", m, Made{Branch: "fix/issue-7", Base: "trunk", Head: tip, CreatedWorktree: true, CreatedBranch: true})
	w.equal("upstream", w.git(w.fromRemote(7).Path, "rev-parse", "--abbrev-ref", "@{upstream}"), "origin/fix/issue-7")
}

func TestBaseBranchOfTheSettingsIsUsed(t *testing.T) {
	w := newWorld(t)
	w.git("author", "checkout", "-q", "-b", "dev/next")
	tip := w.commit("author", "next")
	w.push("dev/next")
	for n, base := range []string{"dev/next", "origin/dev/next"} {
		s := w.fromRemote(n)
		s.Base = base
		m := w.prepare(s)
		w.equal("head", m.Head, tip)
		w.equal("base", m.Base, "dev/next")
	}
	for _, base := range []string{"-dev", "dev..next", "HEAD", "a b", "x.lock", "nonexistent"} {
		s := w.fromRemote(9)
		s.Base = base
		e := w.refused(s)
		w.equal("permanent", e.Permanent, true)
		w.contains(e.Error(), "KUGETSU_BASE_BRANCH")
	}
}

func TestStandingWorktreeIsTakenAsItIsWithoutNetworkOrLock(t *testing.T) {
	w := newWorld(t)
	s := w.fromRemote(7)
	w.prepare(s)
	if err := os.RemoveAll(w.remote); err != nil {
		t.Fatal(err)
	}
	g := w.newGit()
	lock, err := g.take(context.Background(), s.Source.Lock)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()

	again := func() Made {
		t.Helper()
		m := w.prepare(s)
		if m.CreatedWorktree || m.CreatedBranch {
			t.Errorf("made again: %+v", m)
		}
		begun, err := w.newGit().Begin(context.Background(), s) // looks as well, and says the same
		looked := begun.Status != nil
		if begun.Status, begun.Repository, begun.Record = nil, "", ""; err != nil || begun != m {
			t.Errorf("%+v, and to Begin %+v, %v", m, begun, err)
		}
		if looked != (m.Head != "" && m.Branch != "(detached)") {
			t.Errorf("%+v: looked %v", m, looked)
		}
		return m
	}
	head := w.git(s.Path, "rev-parse", "HEAD")
	w.equal("made", again(), Made{Branch: "fix/issue-7", Base: "trunk", Head: head})
	w.write(s.Path+"/new.txt", "work")
	tip := w.commit(s.Path, "work")
	w.equal("head", again().Head, tip)
	w.git(s.Path, "checkout", "-q", "--detach")
	w.equal("detached", again(), Made{Base: "trunk", Head: tip})
	w.git(s.Path, "checkout", "-q", "-b", "other")
	w.equal("gone to another branch", again(), Made{Branch: "other", Base: "trunk", Head: tip})
	w.git(s.Path, "checkout", "-q", "-b", "(detached)")
	w.equal("a branch of a name that says it is none", again(), Made{Branch: "(detached)", Base: "trunk", Head: tip})
	w.git(s.Path, "checkout", "-q", "--orphan", "fresh")
	w.equal("no commit yet", again(), Made{Branch: "fresh", Base: "trunk"})
	w.git(s.Path, "worktree", "lock", "--reason", "mine", s.Path)
	again()
}

func TestFollowUpCostsOneGitProcess(t *testing.T) {
	w := newWorld(t)
	count := w.count()
	for n, s := range []Spec{w.fromRemote(0), w.fromLocal(1, "author")} {
		w.prepare(s)
		count()
		g := w.newGit()
		m, err := g.Prepare(context.Background(), s)
		if err != nil {
			t.Fatal(err)
		}
		head := m.Head
		w.equal("prepare, and configuration that is read once", count(), 1+1)
		begun, err := g.Begin(context.Background(), s)
		if err != nil {
			t.Fatal(err)
		}
		w.equal("begin", count(), 2)
		tree, err := g.Tree(context.Background(), s, begun)
		w.equal("tree", tree, "")
		w.equal("tree, after begin", count(), 0)
		if err != nil {
			t.Error(err)
		}
		for _, c := range []struct {
			change func()
			work   int
		}{
			{func() {}, 0},
			{func() { w.commit(s.Path, "work") }, 2},
			{func() { w.write(s.Path+"/x", "x") }, 2},
			{func() { w.git(s.Path, "reset", "-q", "--hard", head) }, 1},
		} {
			c.change()
			snap, err := g.Snapshot(context.Background(), w.spec(s.Path), fmt.Sprintf("refs/kugetsu/q/%d.%d", n, c.work), "m")
			if err != nil {
				t.Error(err)
			}
			count()
			if _, err := g.Work(context.Background(), w.spec(s.Path), head, "", snap); err != nil {
				t.Error(err)
			}
			w.equal("work", count(), c.work)
		}
	}
}

func TestSecondIssueMeetsWhatTheRemoteHasNow(t *testing.T) {
	w := newWorld(t)
	w.prepare(w.fromRemote(1))
	w.git("author", "push", "-q", "origin", "HEAD:gone")
	w.prepare(w.fromRemote(2))
	w.git("author", "push", "-q", "origin", ":gone", "HEAD:gone/deeper") // needs the old ref to be pruned
	tip := w.commit("author", "second")
	w.push("trunk")
	w.equal("head", w.prepare(w.fromRemote(3)).Head, tip)

	// The default branch may be renamed, the repository may move.
	w.git("author", "push", "-q", "origin", "HEAD:refs/heads/main")
	w.git("remote.git", "symbolic-ref", "HEAD", "refs/heads/main")
	if err := os.Rename(w.remote, w.path("moved.git")); err != nil {
		t.Fatal(err)
	}
	s := w.fromRemote(4)
	s.Source.URL = w.path("moved.git")
	w.equal("base", w.prepare(s).Base, "main")
	w.equal("url", w.git(s.Path, "remote", "get-url", "origin"), w.path("moved.git"))
}

func TestStaleBaseIsRefusedButExistingWorkGoesOn(t *testing.T) {
	w := newWorld(t)
	s := w.fromRemote(7)
	w.prepare(s)
	tip := w.commit(s.Path, "work")
	if err := os.RemoveAll(s.Path); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(w.remote, w.path("away.git")); err != nil {
		t.Fatal(err)
	}
	w.refused(w.fromRemote(8))
	w.equal("head", w.prepare(s).Head, tip)
	w.contains(w.log.String(), "does not appear to be a git repository")
}

func TestWorktreeDeletedByHandIsMadeAgainWithItsCommits(t *testing.T) {
	fullOnly(t, "it starts git dozens of times")
	w := newWorld(t)
	s := w.fromRemote(7)
	w.prepare(s)
	tip := w.commit(s.Path, "work")
	w.prepare(w.fromRemote(71)) // a name that begins alike
	for range 2 {
		if err := os.RemoveAll(s.Path); err != nil {
			t.Fatal(err)
		}
		m := w.prepare(s)
		w.equal("made", m, Made{Branch: "fix/issue-7", Base: "trunk", Head: tip, CreatedWorktree: true})
	}
	w.git(s.Path, "checkout", "-q", "--detach")
	loose := w.commit(s.Path, "on no branch")
	if err := os.RemoveAll(s.Path); err != nil {
		t.Fatal(err)
	}
	w.equal("head", w.prepare(s).Head, tip)
	w.equal("kept", w.git(s.Path, "rev-parse", "refs/kugetsu/detached/"+loose), loose)
	w.equal("worktrees", strings.Count(w.git(s.Path, "worktree", "list"), "\n")+1, 3)
}

func TestPreparesAtOnceInOneRepositoryAllSucceed(t *testing.T) {
	fullOnly(t, "many sessions at once")
	w := newWorld(t)
	var group sync.WaitGroup
	errs := make([]error, 16)
	for n := range errs {
		g := &Git{Runner: git.Runner{Env: w.env, Own: t.TempDir()}}
		group.Go(func() { _, errs[n] = g.Prepare(context.Background(), w.fromRemote(n)) })
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	for n := range errs {
		w.equal("branch", w.git(w.fromRemote(n).Path, "status", "--porcelain", "--branch"), fmt.Sprintf("## fix/issue-%d", n))
	}
}

func TestRepositorysLockIsWaitedForNoLongerThanTheContext(t *testing.T) {
	w := newWorld(t)
	g := w.newGit()
	lock, err := g.take(context.Background(), w.fromRemote(7).Source.Lock)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 1)
	defer cancel()
	_, err = g.Prepare(ctx, w.fromRemote(7))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestLocalCheckoutStaysAsItIs(t *testing.T) {
	w := newWorld(t)
	w.git("", "clone", "-q", w.remote, "mine")
	tip := w.commit("author", "newer")
	w.git("author", "push", "-q", "origin", "HEAD:trunk", "HEAD:another")
	w.git("author", "tag", "v1")
	w.git("author", "push", "-q", "--tags")
	w.git("mine", "checkout", "-q", "-b", "topic")
	w.git("mine", "config", "remote.origin.fetch", "+refs/*:refs/*") // a mirror's: would overwrite branches
	w.write("mine/a.txt", "staged\n")
	w.git("mine", "add", "a.txt")
	w.write("mine/a.txt", "unstaged\n")
	w.write("mine/untracked", "x")
	w.git("mine", "status") // brings the index up to date
	look := func() map[string]string {
		all := w.tree("mine")
		maps.DeleteFunc(all, func(name, _ string) bool {
			for _, may := range []string{"/.git/objects", "/.git/worktrees", "/.git/refs/remotes/origin", "/.git/logs/refs/remotes/origin", "issue-7", "heads/fix"} {
				if strings.Contains(name, may) {
					return true
				}
			}
			return false
		})
		return all
	}
	before, branches := look(), w.git("mine", "for-each-ref", "refs/heads", "refs/tags")
	s := w.fromLocal(7, "mine")
	w.equal("made", w.prepare(s), Made{Branch: "fix/issue-7", Base: "trunk", Head: tip, CreatedWorktree: true, CreatedBranch: true})
	w.equal("again", w.prepare(s), Made{Branch: "fix/issue-7", Base: "trunk", Head: tip})
	after := look()
	for name := range before {
		if before[name] != after[name] {
			t.Errorf("%s changed:\n%q\n%q", name, before[name], after[name])
		}
	}
	w.equal("files", len(after), len(before))
	w.git("mine", "branch", "-q", "-m", "fix/issue-7", "gone") // the only new branch
	w.equal("branches", strings.ReplaceAll(w.git("mine", "for-each-ref", "refs/heads", "refs/tags"), tip+" commit\trefs/heads/gone\n", ""), branches)
}

func TestLocalCheckoutNeedsNoRemote(t *testing.T) {
	w := newWorld(t)
	w.git("author", "remote", "remove", "origin")
	w.git("author", "checkout", "-q", "-b", "mine")
	tip := w.commit("author", "here only")
	w.equal("made", w.prepare(w.fromLocal(1, "author")), Made{Branch: "fix/issue-1", Base: "mine", Head: tip, CreatedWorktree: true, CreatedBranch: true})
	w.equal("base again", w.prepare(w.fromLocal(1, "author")).Base, "mine")
	s := w.fromLocal(2, "author")
	s.Base = "trunk"
	w.equal("head", w.prepare(s).Head, w.git("author", "rev-parse", "trunk"))
	w.git("author", "checkout", "-q", "--detach")
	w.equal("base", w.prepare(w.fromLocal(3, "author")).Base, tip)
	// A linked worktree is a checkout as well.
	w.git("author", "worktree", "add", "-q", w.path("linked"), "trunk")
	w.prepare(w.fromLocal(4, "linked"))
	w.equal("again", w.prepare(w.fromLocal(4, "linked")).CreatedWorktree, false)

	w.git("author", "remote", "add", "origin", w.path("nowhere")) // cannot be fetched: goes on
	w.git("author", "branch", w.fromLocal(5, "author").Branch)
	w.prepare(w.fromLocal(5, "author"))
	w.contains(w.log.String(), "the fetch failed")
	w.contains(w.refused(w.fromLocal(6, "author")).Error(), "KUGETSU_BASE_BRANCH") // new work from what is checked out
}

func TestRepositoryBehindADaemonIsClonedAndFetched(t *testing.T) {
	fullOnly(t, "it starts git dozens of times")
	w := newWorld(t)
	// Not `git daemon`: that is a parent process, and killing it leaves the daemon.
	bin := w.git("", "--exec-path") + "/git-daemon"
	if !w.exists(bin) {
		t.Skip("this git comes without " + bin)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().(*net.TCPAddr)
	free.Close()
	daemon := exec.Command(bin, "--reuseaddr", "--verbose", "--export-all", "--base-path="+w.dir,
		"--listen=127.0.0.1", fmt.Sprintf("--port=%d", addr.Port), w.dir)
	daemon.Env = append(os.Environ(), "PATH="+filepath.Dir(bin)+":"+os.Getenv("PATH")) // it starts itself again by its name
	ready, err := daemon.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = daemon.Process.Kill(); _ = daemon.Wait() })
	said := make([]byte, 100)
	n, _ := ready.Read(said)
	w.contains(string(said[:n]), "Ready to rumble")
	go func() { // the daemon must not fill the pipe
		for {
			if _, err := ready.Read(said); err != nil {
				return
			}
		}
	}()
	s := w.fromRemote(1)
	s.Source.URL = fmt.Sprintf("git://127.0.0.1:%d/remote.git", addr.Port)
	w.prepare(s)
	tip := w.commit("author", "newer")
	w.push("trunk")
	next := w.fromRemote(2)
	next.Source.URL = s.Source.URL
	w.equal("head", w.prepare(next).Head, tip)

	none := w.fromRemote(3)
	none.Source = Source{URL: fmt.Sprintf("git://127.0.0.1:%d/none.git", addr.Port), Cache: w.path("state/repos/none.git"), Lock: w.path("state/repos/none.lock")}
	e := w.refused(none)
	w.equal("permanent", e.Permanent, true)
	w.contains(e.Last, "access denied or repository not exported")
}
