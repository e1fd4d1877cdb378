package forge

import (
	"bytes"
	"errors"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"
)

var failedJob = Check{Name: "test", Verdict: Failed, Commit: headSHA, Job: "31"}

// logOf asks a server of one kind for the log of a job.
func logOf(t *testing.T, s *server, kind string) ([]byte, error) {
	return Log(t.Context(), s.URL+forges[kind].page, failedJob, s.only(forges[kind].kind, secret))
}

// giteaJobFirst tells which commit a job is of, and leaves the log to another.
func giteaJobFirst(log http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/actions/jobs/31") {
			_, _ = w.Write([]byte(`{"id":31,"head_sha":"` + headSHA + `"}`))
			return
		}
		log(w, r)
	}
}

func TestLogIsTheEndOfWhatTheJobPrinted(t *testing.T) {
	for kind, test := range map[string]struct{ path, log string }{
		"github": {"/api/v3/repos/you/project/actions/jobs/31/logs", "\ufeff2026-05-01T09:00:00.1234567Z go test\r\n2026-05-01T09:00:01.1234567Z ##[error]\x1b[31mred\x1b[0m\r\n"},
		"gitlab": {"/api/v4/projects/you%2Fdeep%2Fer%2Fproject/jobs/31/trace", "2026-05-01T09:00:00.123456Z 00O section_start:1777:script\r\x1b[0Kgo test\n2026-05-01T09:00:01.123456Z 00E ##[error]\x1b[31;1mred\x1b[0;m\n"},
		"gitea":  {"/api/v1/repos/you/project/actions/jobs/31/logs", "2026-05-01T09:00:00.1234567Z go test\n2026-05-01T09:00:01.1234567Z ##[error]red\n"},
	} {
		s := serve(t, giteaJobFirst(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(test.log)) }))
		got, err := logOf(t, s, kind)
		if err != nil || string(got) != "go test\n##[error]red\n" {
			t.Errorf("%s: %q, %v", kind, got, err)
		}
		if last := len(s.asked) - 1; s.asked[last] != test.path || s.tokens[last] != forges[kind].token {
			t.Errorf("%s: asked %q with %q", kind, s.asked, s.tokens)
		}
	}
}

// A log of 50 MB takes less than half as much memory, the race detector's share included.
func TestLogOfAnyLengthIsStreamed(t *testing.T) {
	for name, line := range map[string]string{"lines": "2026-05-01T09:00:00.1234567Z " + strings.Repeat("x", 70) + "\n", "one line": strings.Repeat("é", 50)} {
		block := []byte(strings.Repeat(line, 1<<20/len(line)))
		s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			for range 50 {
				_, _ = w.Write(block)
			}
			_, _ = w.Write([]byte("the end"))
		})
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		begin := time.Now()
		got, err := logOf(t, s, "github")
		runtime.ReadMemStats(&after)
		if err != nil || !bytes.HasSuffix(got, []byte("the end")) || len(got) > logKept || len(got) < logKept-200 || strings.ToValidUTF8(string(got), "?") != string(got) {
			t.Errorf("%s: %d bytes %q, %v", name, len(got), got, err)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 25<<20 || time.Since(begin) > logLimit {
			t.Errorf("%s: %d bytes, %s", name, took, time.Since(begin))
		}
	}
}

func TestLogThatDoesNotEndIsNotWaitedFor(t *testing.T) {
	defer func(before time.Duration) { logLimit = before }(logLimit)
	logLimit = 200 * time.Millisecond
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			_, _ = w.Write([]byte("more\n"))
			_ = http.NewResponseController(w).Flush()
		}
	})
	if got, err := logOf(t, s, "gitlab"); err == nil || got != nil || !strings.HasSuffix(err.Error(), "its log did not end in time") {
		t.Errorf("%q, %v", got, err)
	}
}

func TestLogOnAnotherHostIsAskedWithoutTheToken(t *testing.T) {
	store := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if len(r.Cookies()) > 0 || r.Header.Get("Accept") != "" || r.Referer() != "" {
			t.Errorf("sent %v", r.Header)
		}
		_, _ = w.Write([]byte("red\n"))
	})
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Set-Cookie", "a=b")
		w.Header().Set("Location", store.URL+"/log?sig=1")
		w.WriteHeader(http.StatusFound)
	})
	got, err := logOf(t, s, "github")
	if err != nil || string(got) != "red\n" || len(store.tokens) != 1 || store.tokens[0] != "" || store.asked[0] != "/log?sig=1" || len(s.asked) != 1 {
		t.Errorf("%q, %v, %q", got, err, store.tokens)
	}
}

func TestLogIsNotFollowedElsewhere(t *testing.T) {
	other := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/again", http.StatusFound) })
	for _, kind := range []string{"github", "gitlab", "gitea"} {
		for _, to := range []string{other.URL + "/" + secret, "http://192.0.2.1/" + secret, "https://169.254.169.254/" + secret, "https://you:x@127.0.0.1/", "ftp://127.0.0.1/", "", "http://[" + secret, "file:///etc/passwd"} {
			s := serve(t, giteaJobFirst(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", to)
				w.WriteHeader(http.StatusFound)
			}))
			if got, err := logOf(t, s, kind); err == nil || got != nil || strings.Contains(err.Error(), secret) {
				t.Errorf("%s to %s: %q, %v", kind, to, got, err)
			}
		}
	}
	if len(other.asked) != 1 || other.tokens[0] != "" { // GitHub's one redirect is followed, and no second one
		t.Errorf("asked %q with %q", other.asked, other.tokens)
	}
}

func TestForgeBeyondLoopbackLeadsNotToThisMachine(t *testing.T) {
	for address, want := range map[string]bool{"127.0.0.1": false, "::1": false, "169.254.169.254": false, "fe80::1": false, "0.0.0.0": false, "224.0.0.1": false, "192.0.2.1": true, "2001:db8::1": true} {
		if got := reachable(netip.MustParseAddr(address), false, "https"); got != want {
			t.Errorf("%s: %t", address, got)
		}
	}
	if reachable(netip.MustParseAddr("192.0.2.1"), true, "http") || !reachable(netip.MustParseAddr("127.0.0.1"), true, "http") {
		t.Error("plain http is not for loopback alone")
	}
}

func TestCheckWithoutALogHasNone(t *testing.T) {
	for kind, f := range forges {
		for _, code := range []int{404, 410} {
			s := serve(t, giteaJobFirst(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }))
			if got, err := logOf(t, s, kind); got != nil || !errors.Is(err, ErrNoLog) {
				t.Errorf("%s: %q, %v", kind, got, err)
			}
		}
		s := serve(t, func(http.ResponseWriter, *http.Request) {})
		for _, job := range []string{"", "0", "-1", "1/../2", "1?x", "%2e", strings.Repeat("9", 30), "x\n1"} {
			if got, err := Log(t.Context(), s.URL+f.page, Check{Commit: headSHA, Job: job}, s.only(f.kind, secret)); got != nil || !errors.Is(err, ErrNoLog) {
				t.Errorf("%s %q: %q, %v", kind, job, got, err)
			}
		}
		if got, err := Log(t.Context(), s.URL+f.page, failedJob, s.only(f.kind, "")); got != nil || !errors.Is(err, ErrUnasked) || len(s.asked) > 0 {
			t.Errorf("%s: %q, %v, asked %q", kind, got, err, s.asked)
		}
	}
	// Before 1.26 the number in Gitea's URL is no job's id.
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"id":31,"head_sha":"` + otherSHA + `"}`))
	})
	if got, err := logOf(t, s, "gitea"); got != nil || !errors.Is(err, ErrNoLog) || len(s.asked) != 1 {
		t.Errorf("%q, %v", got, err)
	}
}

func TestForgesProgramGivesTheEndOfALog(t *testing.T) {
	_, env := program(t, "gh", `echo "$@" > "$HOME/args"; yes x | head -c 3000000; echo the end`)
	got, err := Log(t.Context(), "https://localhost/you/project/pull/7", failedJob, env)
	if err != nil || len(got) > logKept || !strings.HasSuffix(string(got), "x\nthe end\n") {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	_, env = program(t, "gh", "echo "+secret+" >&2; exit 1")
	if got, err := Log(t.Context(), "https://localhost/you/project/pull/7", failedJob, env); got != nil || err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("%q, %v", got, err)
	}
}

func TestLimitOfALogIsTold(t *testing.T) {
	for kind := range forges {
		s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "90")
			w.WriteHeader(http.StatusTooManyRequests)
		})
		var limited *LimitError
		if got, err := logOf(t, s, kind); got != nil || !errors.As(err, &limited) || limited.Until.Before(time.Now().Add(time.Minute)) {
			t.Errorf("%s: %q, %v", kind, got, err)
		}
	}
}
