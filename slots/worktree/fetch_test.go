package worktree

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kugetsu/slots/git"
)

// server is git's own, behind one that first answers some requests otherwise.
type server struct {
	url    string
	refuse atomic.Int32 // so many requests are still to be answered with status
	status atomic.Int32
	asked  atomic.Int32 // of all requests
}

func (w *world) serve() *server {
	w.Helper()
	s := &server{}
	s.status.Store(http.StatusServiceUnavailable)
	var at gate
	at.set(func(rw http.ResponseWriter, r *http.Request, git http.Handler) {
		s.asked.Add(1)
		if s.refuse.Add(-1) >= 0 {
			rw.WriteHeader(int(s.status.Load()))
			return
		}
		git.ServeHTTP(rw, r)
	})
	s.url = w.host(&at)
	return s
}

// waiting is a git whose pauses are listed, and in which something is done.
func (w *world) waiting(do func(time.Duration) error) (*Git, *[]time.Duration) {
	g, pauses := w.newGit(), &[]time.Duration{}
	g.pause = func(ctx context.Context, d time.Duration) error {
		*pauses = append(*pauses, d)
		if do == nil {
			return context.Cause(ctx)
		}
		return do(d)
	}
	return g, pauses
}

func (w *world) fromServer(n int, s *server) Spec {
	spec := w.fromRemote(n)
	spec.Source.URL = s.url
	return spec
}

func TestFetchThatFailsForTheNetworkIsTriedAgain(t *testing.T) {
	fullOnly(t, "it takes a second or more")
	w := newWorld(t)
	srv := w.serve()
	lock := w.fromRemote(1).Source.Lock
	free := 0
	g, pauses := w.waiting(func(time.Duration) error {
		f, err := os.Open(lock)
		if err != nil {
			return err
		}
		defer f.Close()
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			free++
		}
		return nil
	})
	srv.refuse.Store(2)
	made, err := g.Prepare(context.Background(), w.fromServer(1, srv)) // the clone
	if err != nil {
		t.Fatal(err)
	}
	w.equal("head", made.Head, w.git("author", "rev-parse", "trunk"))
	w.equal("pauses", fmt.Sprint(*pauses), "[1s 2s]")
	w.contains(w.log.String(), "The requested URL returned error: 503; tried again in 2s")

	tip := w.commit("author", "newer")
	w.push("trunk")
	*pauses = nil
	srv.refuse.Store(2)
	if made, err = g.Prepare(context.Background(), w.fromServer(2, srv)); err != nil { // and what comes after it
		t.Fatal(err)
	}
	w.equal("head", made.Head, tip)
	w.equal("pauses", fmt.Sprint(*pauses), "[1s 2s]")
	w.equal("the repository's lock was free", free, 4)
}

func TestRemoteThatStaysDownIsAskedAFewTimesAndNoMore(t *testing.T) {
	fullOnly(t, "it takes a second or more")
	w := newWorld(t)
	srv := w.serve()
	g, pauses := w.waiting(nil)
	s := w.fromServer(1, srv)
	if _, err := g.Prepare(context.Background(), s); err != nil {
		t.Fatal(err)
	}
	tip := w.commit(s.Path, "work")
	if err := os.RemoveAll(s.Path); err != nil {
		t.Fatal(err)
	}
	srv.refuse.Store(1000)
	srv.asked.Store(0)
	_, err := g.Prepare(context.Background(), w.fromServer(2, srv))
	var e *git.Error
	if !errors.As(err, &e) || e.Permanent {
		t.Errorf("a remote that is down: %v", err)
	}
	w.equal("pauses", fmt.Sprint(*pauses), "[1s 2s 4s 8s]")
	w.equal("asked", srv.asked.Load(), int32(5))
	w.equal("made", w.exists(w.fromRemote(2).Path), false)

	made, err := g.Prepare(context.Background(), s) // a branch that is here goes on
	if err != nil || made.Head != tip {
		t.Error(made, err)
	}
	w.contains(w.log.String(), "the fetch failed, and the run goes on with what is here")
}

func TestAnswerThatCannotChangeIsNotAskedForTwice(t *testing.T) {
	w := newWorld(t)
	srv := w.serve()
	for n, status := range []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound} {
		srv.status.Store(int32(status))
		srv.refuse.Store(1000)
		srv.asked.Store(0)
		g, pauses := w.waiting(nil)
		_, err := g.Prepare(context.Background(), w.fromServer(n, srv))
		var e *git.Error
		if !errors.As(err, &e) || !e.Permanent || len(*pauses) > 0 {
			t.Errorf("%d: %v, and %v", status, err, *pauses)
		}
		w.equal("asked", srv.asked.Load(), int32(1))
	}
	w.write("ssh", "#!/bin/sh\necho Host key verification failed. >&2\necho >>"+w.path("tried")+"\nexit 255\n")
	if err := os.Chmod(w.path("ssh"), 0o755); err != nil {
		t.Fatal(err)
	}
	w.env = append(w.env, "GIT_SSH_COMMAND="+w.path("ssh"), "GIT_SSH_VARIANT=ssh")
	s := w.fromRemote(9)
	s.Source.URL = "ssh://git@127.0.0.1/user/repo.git"
	g, pauses := w.waiting(nil)
	_, err := g.Prepare(context.Background(), s)
	w.contains(fmt.Sprint(err), "Host key verification failed")
	w.equal("tried", w.read("tried")+fmt.Sprint(*pauses), "\n[]")

	// A local checkout is its owner's to keep fresh: it waits for nothing.
	w.git("", "clone", "-q", w.remote, "mine")
	w.git("mine", "remote", "set-url", "origin", srv.url)
	srv.status.Store(int32(http.StatusServiceUnavailable))
	if _, err := g.Prepare(context.Background(), w.fromLocal(10, "mine")); err != nil || len(*pauses) > 0 {
		t.Error(err, *pauses)
	}
}

func TestWaitForTheRemoteEndsWithTheContext(t *testing.T) {
	w := newWorld(t)
	srv := w.serve()
	srv.refuse.Store(1000)
	ctx, cancel := context.WithCancel(context.Background())
	g := w.newGit()
	g.pause = nil // by the clock: the first pause is longer than this test
	g.Log = writer(func(text string) {
		if strings.Contains(text, "tried again") {
			cancel()
		}
	})
	_, err := g.Prepare(ctx, w.fromServer(1, srv))
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	w.equal("asked", srv.asked.Load(), int32(1))
}

type writer func(string)

func (f writer) Write(p []byte) (int, error) { f(string(p)); return len(p), nil }

// The agents' own fetches update the same refs and take no lock of ours; and the server answers one in three that it is
// busy.
func TestFetchesIntoOneCloneDoNotTripEachOtherUp(t *testing.T) {
	fullOnly(t, "many fetches at once")
	w := newWorld(t)
	srv := w.serve()
	agent := w.fromServer(0, srv)
	if _, err := w.newGit().Prepare(context.Background(), agent); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var agents, group sync.WaitGroup
	agents.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-done:
				return
			default:
			}
			_, _ = w.try("author", "push", "-q", w.remote, fmt.Sprintf("HEAD:b%d", n))
			_, _ = w.try(agent.Path, "fetch", "-q", "--prune") // it may well fail: its agent tries again
		}
	})
	errs := make([]error, 8)
	for n := range errs {
		g := &Git{Runner: git.Runner{Env: w.env, Own: t.TempDir()}, pause: w.newGit().pause}
		group.Go(func() {
			srv.refuse.Store(1)
			_, errs[n] = g.Prepare(context.Background(), w.fromServer(n+1, srv))
		})
	}
	group.Wait()
	close(done)
	agents.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func TestFetchForThoseWhoJudgeIsGivenUpAndLeavesWhatIsKnown(t *testing.T) {
	fullOnly(t, "it takes a second or more")
	w := newWorld(t)
	var at gate
	url := w.host(&at)
	s := w.fromHost(1, url)
	if _, err := w.newGit().Prepare(context.Background(), s); err != nil {
		t.Fatal(err)
	}
	known := w.git(s.Source.Cache, "for-each-ref")
	w.commit("author", "newer")
	w.push("trunk")
	ctx, cancel := context.WithCancel(context.Background())
	at.set(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
		cancel()
		<-r.Context().Done()
	})
	if err := w.newGit().Fetch(ctx, s); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	w.equal("known", w.git(s.Source.Cache, "for-each-ref"), known)
	at.open()
	if err := w.newGit().Fetch(context.Background(), s); err != nil {
		t.Error(err)
	}
	w.equal("heard", w.git(s.Source.Cache, "rev-parse", "refs/remotes/origin/trunk"), w.git("author", "rev-parse", "HEAD"))
	other := w.fromHost(2, url) // where there is no clone, none is made
	other.Source.Cache = w.path("state/repos/none.git")
	if err := w.newGit().Fetch(context.Background(), other); err != nil || w.exists(other.Source.Cache) {
		t.Error(err)
	}
}

func TestPushedCommitsStayKnownAsLongAsTheBranchIsHere(t *testing.T) {
	fullOnly(t, "it takes a second or more")
	w := newWorld(t)
	w.git("author", "push", "-q", "origin", "HEAD:refs/heads/theirs")
	one := w.fromRemote(1)
	w.prepare(one)
	w.git(one.Path, "branch", "-q", "theirs", "origin/theirs")
	pushed := w.commit(one.Path, "one")
	w.git(one.Path, "push", "-q", "origin", "HEAD")
	cache, remote := one.Source.Cache, w.path("remote.git")
	known := func(s Spec) string {
		return w.git(cache, "for-each-ref", "--format=%(objectname)", pushedRefs+s.Branch)
	}
	w.git(remote, "update-ref", "-d", "refs/heads/"+one.Branch)
	w.git(remote, "update-ref", "-d", "refs/heads/theirs")
	w.prepare(w.fromRemote(2))
	w.equal("known", known(one), pushed)
	w.equal("on the remote", w.git(cache, "for-each-ref", "refs/remotes/origin/"+one.Branch, "refs/remotes/origin/theirs"), "")
	w.equal("unpushed", w.unpushed(one), 0)
	w.commit(one.Path, "more")
	w.equal("unpushed", w.unpushed(one), 1)
	gone := w.fromRemote(3) // nothing is begun from what the remote has no more
	gone.Base = "theirs"
	w.refused(gone)

	// A git that was killed left its locks, a minute ago.
	lock := func() {
		for _, name := range []string{pushedRefs + one.Branch, "refs/remotes/origin/trunk"} {
			w.write(cache+"/"+name+".lock", "")
		}
		w.age(cache)
	}
	w.git(one.Path, "push", "-q", "origin", "HEAD")
	lock()
	w.prepare(w.fromRemote(5))
	w.equal("known", known(one), w.git(one.Path, "rev-parse", "HEAD"))
	w.git(remote, "update-ref", "-d", "refs/heads/"+one.Branch)

	// A branch of the remote whose name is in the way, and one from here.
	w.git("author", "push", "-q", "origin", "HEAD:refs/heads/"+one.Branch+"/more")
	w.prepare(w.fromRemote(3))
	w.equal("unpushed", w.unpushed(one), 0)
	w.git(one.Path, "branch", "-q", "-m", "theirs", "other/theirs")
	w.prepare(w.fromRemote(4))
	w.equal("of a branch that is gone from here", w.git(cache, "for-each-ref", pushedRefs+"theirs", pushedRefs+"other"), "")

	lock()
	// Another remote knows nothing; the same one with another password, or none, is no other.
	for _, c := range []struct {
		url   string
		known bool
	}{{"https://x:one@localhost/r", false}, {"https://x:two@localhost/r", true}, {"https://localhost/r", true}, {"https://localhost/other", false}} {
		if c.known {
			w.git(cache, "update-ref", pushedRefs+one.Branch, pushed)
		}
		s := one
		s.Source.URL = c.url
		r, _, err := w.newGit().repository(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.writeOrigin(context.Background()); err != nil {
			t.Fatal(err)
		}
		w.equal(c.url, known(one) != "", c.known)
		w.equal("remote-tracking refs at "+c.url, w.git(cache, "for-each-ref", "refs/remotes"), "")
	}

	// What cannot be forgotten is the old remote's still: the next to come must see that it is another.
	w.git(cache, "update-ref", pushedRefs+one.Branch, pushed)
	w.write(cache+"/"+pushedRefs+one.Branch+".lock", "")
	before := w.read(strings.TrimSuffix(cache, ".git") + ".origin")
	one.Source.URL = "https://localhost/third"
	r, _, err := w.newGit().repository(one)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.writeOrigin(context.Background()); err == nil {
		t.Error("a ref that is locked was forgotten")
	}
	w.equal("the remote on record", w.read(strings.TrimSuffix(cache, ".git")+".origin"), before)
}
