package worktree

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kugetsu/slots/git"
)

// answerer decides what becomes of a request to git's own server.
type answerer func(rw http.ResponseWriter, r *http.Request, git http.Handler)

// gate is an answerer that may be changed; without one git's server answers.
type gate struct{ now atomic.Pointer[answerer] }

func (g *gate) set(a answerer) { g.now.Store(&a) }

func (g *gate) open() { g.now.Store(nil) }

// host serves the world's folder on loopback with git's own server, behind a gate that may be changed, and allows pushes.
// It returns the URL of the remote.
func (w *world) host(at *gate) string {
	w.Helper()
	path := w.git("", "--exec-path") + "/git-http-backend"
	if !w.exists(path) {
		w.Skip("this git comes without " + path)
	}
	w.git(w.remote, "config", "http.receivepack", "true")
	git := &cgi.Handler{Path: path, Stderr: io.Discard, Env: []string{"GIT_PROJECT_ROOT=" + w.dir, "GIT_HTTP_EXPORT_ALL=1",
		"GIT_CONFIG_NOSYSTEM=1", "HOME=" + w.path("home"), "PATH=" + os.Getenv("PATH")}}
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if answer := at.now.Load(); answer != nil {
			(*answer)(rw, r, git)
		} else {
			git.ServeHTTP(rw, r)
		}
	}))
	w.Cleanup(s.Close)
	return s.URL + "/remote.git"
}

// fromHost is the spec of an issue in a clone of what is served.
func (w *world) fromHost(n int, url string) Spec {
	s := w.fromRemote(n)
	s.Source.URL = url
	return s
}

// within runs what must not wait for anybody: a prompt would wait for ever.
func (w *world) within(what func(ctx context.Context)) {
	w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if what(ctx); ctx.Err() != nil {
		w.Error("it was waited for")
	}
}

func TestServerIsClonedFetchedFromAndPushedTo(t *testing.T) {
	w := newWorld(t)
	var at gate
	url := w.host(&at)
	first := w.fromHost(1, url)
	w.equal("head", w.prepare(first).Head, w.git("author", "rev-parse", "trunk"))
	w.write(first.Path+"/fix.txt", "fixed\n")
	fix := w.commit(first.Path, "fix")
	w.equal("unpushed", w.unpushed(first), 1)
	w.git(first.Path, "push", "-q", "origin", "HEAD")
	w.equal("pushed", w.git(w.remote, "rev-parse", first.Branch), fix)
	w.equal("unpushed", w.unpushed(first), 0)

	tip := w.commit("author", "newer")
	w.push("trunk")
	w.equal("the next starts from", w.prepare(w.fromHost(2, url)).Head, tip)

	// The branch comes back from the server when nothing else is left of it.
	if err := w.newGit().Remove(t.Context(), first, fix); err != nil {
		t.Fatal(err)
	}
	w.equal("from the server", w.prepare(first).Head, fix)
}

func (w *world) unpushed(s Spec) int {
	w.Helper()
	h, err := w.newGit().Examine(context.Background(), s)
	if err != nil {
		w.Fatal(err)
	}
	return h.Unpushed
}

func TestServerThatGoesAwayInAFetchLeavesNothingHalf(t *testing.T) {
	fullOnly(t, "a server that goes away at many instants")
	for name, packOnly := range map[string]bool{"in the list of branches": false, "in the pack": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			var at gate
			cut := answerer(func(rw http.ResponseWriter, r *http.Request, git http.Handler) {
				if packOnly == (r.Method == http.MethodGet) {
					git.ServeHTTP(rw, r)
					return
				}
				body, _ := io.ReadAll(r.Body)
				// Both questions of the protocol are posts to one address: the first lists what there is.
				if packOnly && !bytes.Contains(body, []byte("command=fetch")) {
					r.Body = io.NopCloser(bytes.NewReader(body))
					git.ServeHTTP(rw, r)
					return
				}
				r.Body = io.NopCloser(bytes.NewReader(body))
				whole := httptest.NewRecorder()
				git.ServeHTTP(whole, r)
				for k, v := range whole.Header() {
					rw.Header()[k] = v
				}
				_, _ = rw.Write(whole.Body.Bytes()[:whole.Body.Len()*2/3])
				_ = http.NewResponseController(rw).Flush()
				panic(http.ErrAbortHandler) // the connection is gone
			})
			at.set(cut)
			url := w.host(&at)
			s := w.fromHost(1, url)
			e := w.refused(s)
			w.equal("permanent", e.Permanent, false)
			w.equal("a clone", w.exists(s.Source.Cache), false)
			left, _ := filepath.Glob(s.Source.Cache + ".tmp-*")
			w.equal("left of it", len(left), 0)
			w.equal("a worktree", w.exists(s.Path), false)

			at.open()
			w.prepare(s)
			w.write(s.Path+"/fix.txt", "fixed\n")
			fix := w.commit(s.Path, "fix")
			w.write("author/large.txt", strings.Repeat("newer\n", 1000))
			tip := w.commit("author", "newer")
			w.push("trunk")

			at.set(cut)
			e = w.refused(w.fromHost(2, url)) // a new branch from a stale base
			w.equal("permanent", e.Permanent, false)
			w.equal("the first one's work", w.git(s.Path, "rev-parse", "HEAD"), fix)
			w.git(s.Source.Cache, "fsck", "--connectivity-only")
			if err := os.RemoveAll(w.path(s.Path)); err != nil {
				t.Fatal(err)
			}
			w.equal("work goes on with what is here", w.prepare(s).Head, fix)

			at.open()
			w.equal("the next starts from", w.prepare(w.fromHost(2, url)).Head, tip)
		})
	}
}

func TestPushThatIsRefusedLeavesTheWorkUnpushed(t *testing.T) {
	fullOnly(t, "it takes a second or more")
	w := newWorld(t)
	var at gate
	url := w.host(&at)
	s := w.fromHost(1, url)
	w.prepare(s)
	w.write(s.Path+"/fix.txt", "fixed\n")
	w.commit(s.Path, "fix")
	push := func() error {
		_, err := w.try(s.Path, "push", "-q", "origin", "HEAD")
		return err
	}
	at.set(func(rw http.ResponseWriter, r *http.Request, git http.Handler) {
		if strings.Contains(r.URL.String(), "git-receive-pack") {
			rw.WriteHeader(http.StatusForbidden)
			return
		}
		git.ServeHTTP(rw, r)
	})
	if push() == nil {
		t.Error("403: it was pushed")
	}
	w.equal("403: unpushed", w.unpushed(s), 1)
	at.open()
	hook := w.remote + "/hooks/pre-receive" // a branch that is protected
	w.write(hook, "#!/bin/sh\necho protected >&2\nexit 1\n")
	if err := os.Chmod(hook, 0o755); err != nil {
		t.Fatal(err)
	}
	if push() == nil {
		t.Error("a hook: it was pushed")
	}
	w.equal("a hook: unpushed", w.unpushed(s), 1)
	if err := os.Remove(hook); err != nil {
		t.Fatal(err)
	}
	if err := push(); err != nil {
		t.Error(err)
	}
	w.equal("unpushed", w.unpushed(s), 0)
}

func TestServerThatWantsAPasswordIsAPermanentErrorAndNoPrompt(t *testing.T) {
	fullOnly(t, "it takes a second or more")
	w := newWorld(t)
	var at gate
	at.set(func(rw http.ResponseWriter, r *http.Request, git http.Handler) {
		if user, password, _ := r.BasicAuth(); user != "you" || password != "s3cret" {
			rw.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			rw.WriteHeader(http.StatusUnauthorized)
			return
		}
		git.ServeHTTP(rw, r)
	})
	url := w.host(&at)
	as := func(who string) string { return strings.Replace(url, "://", "://"+who+"@", 1) }
	for _, c := range []struct{ url, says string }{
		{url, "terminal prompts disabled"},
		{as("you"), "could not read "}, // the password; git 2.55 asks for the name again
		{as("you:wr0ng"), "Authentication failed"},
	} {
		w.within(func(ctx context.Context) {
			s := w.fromHost(1, c.url)
			_, err := w.newGit().Prepare(ctx, s)
			e, ok := err.(*git.Error)
			if !ok {
				t.Fatalf("%s: %v", c.says, err)
			}
			w.equal(c.says, e.Permanent, true)
			w.contains(e.Error(), c.says)
			if text := e.Error() + w.log.String(); strings.Contains(text, "wr0ng") {
				t.Errorf("the password shows: %q", text)
			}
			w.equal("a clone", w.exists(s.Source.Cache), false)
		})
	}
	s := w.fromHost(1, as("you:s3cret"))
	w.prepare(s)

	// The password was changed: a new branch is refused for good, and work that is here goes on.
	w.equal("a new branch", w.refused(w.fromHost(2, as("you:0ld"))).Permanent, true)
	if err := os.RemoveAll(w.path(s.Path)); err != nil {
		t.Fatal(err)
	}
	s.Source.URL = as("you:0ld")
	w.prepare(s)
	if text := w.log.String(); strings.Contains(text, "s3cret") || strings.Contains(text, "0ld@") {
		t.Errorf("the password shows: %q", text)
	}
}
