package forge

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const secret = "s3cret-t0ken"

// server answers with what a handler says, on loopback, and keeps what it was asked and with what token.
type server struct {
	*httptest.Server
	mu            sync.Mutex // a connection that breaks does not tell the test that its handler is done
	asked, tokens []string
}

func serve(t *testing.T, answer http.HandlerFunc) *server {
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.asked = append(s.asked, r.URL.RequestURI())
		s.tokens = append(s.tokens, r.Header.Get("Authorization"))
		s.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

// env names the server as the host of every kind of forge, each with a token.
func (s *server) env(token string) []string {
	return []string{"PATH=/nowhere", "GH_HOST=" + s.URL, "GITLAB_HOST=" + s.URL, "GITEA_URL=" + s.URL + "/",
		"GH_ENTERPRISE_TOKEN=" + token, "GITLAB_TOKEN=" + token, "GITEA_TOKEN=" + token,
		"GH_TOKEN=another-" + secret, "FORGEJO_TOKEN=another-" + secret}
}

// only is env for a single kind of forge: a host has one kind.
func (s *server) only(k *kind, token string) []string {
	var env []string
	for _, kv := range s.env(token) {
		for _, h := range homes() {
			if name, _, _ := strings.Cut(kv, "="); name == h.host && h.forge != k {
				kv = name + "="
			}
		}
		env = append(env, kv)
	}
	return env
}

func file(t *testing.T, name string) []byte {
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

var forges = map[string]struct {
	kind  *kind
	page  string // of request 7
	api   string
	token string
}{
	"github": {github, "/you/project/pull/7", "/api/v3/repos/you/project/pulls/7", "Bearer " + secret},
	"gitlab": {gitlab, "/you/deep/er/project/-/merge_requests/7", "/api/v4/projects/you%2Fdeep%2Fer%2Fproject/merge_requests/7", "Bearer " + secret},
	"gitea":  {gitea, "/you/project/pulls/7", "/api/v1/repos/you/project/pulls/7", "token " + secret},
}

// tokenOf is the variable that server.only sets for each forge.
var tokenOf = map[string]string{"github": "GH_ENTERPRISE_TOKEN", "gitlab": "GITLAB_TOKEN", "gitea": "GITEA_TOKEN"}

func TestStateIsWhatTheForgeSays(t *testing.T) {
	for name, f := range forges {
		states := map[string]Status{"open": Open, "merged": Merged, "closed": Closed}
		if name == "gitlab" {
			states["locked"] = Open
		}
		for state, want := range states {
			for _, tail := range []string{"", "/files?w=1#diff-1"} {
				s := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(file(t, name+"_"+state+".json")) })
				got, err := State(t.Context(), s.URL+f.page+tail, s.only(f.kind, secret))
				if got != want || err != nil {
					t.Errorf("%s %s: %s, %v", name, state, got, err)
				}
				if len(s.asked) != 1 || s.asked[0] != f.api || s.tokens[0] != f.token {
					t.Errorf("%s: asked for %q with %q", name, s.asked, s.tokens)
				}
			}
		}
	}
}

// recorded answers as the forge's documentation says, with status, headers and body. {origin} is where it is asked.
func recorded(t *testing.T, name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		text := strings.ReplaceAll(string(file(t, name+".http")), "{origin}", "http://"+r.Host)
		head, body, _ := strings.Cut(text, "\n\n")
		res, err := http.ReadResponse(bufio.NewReader(strings.NewReader(head+"\n\n")), nil)
		if err != nil {
			t.Error(name, err)
			return
		}
		for k, v := range res.Header {
			w.Header()[k] = v
		}
		w.WriteHeader(res.StatusCode)
		_, _ = w.Write([]byte(body))
	}
}

func TestDocumentedAnswersOfForgesAreUnderstood(t *testing.T) {
	for name, f := range forges {
		for _, test := range []struct {
			answer string
			want   Status
			why    string
		}{
			{"draft", Open, ""},
			{"missing", Unknown, "status 404: there is no such request, or TOKEN may not see it: it takes RIGHT"},
			{"limited", Unknown, ": the rate limit is met"},
			{"limited_anew", Unknown, "status 429: the rate limit is met"},
			{"bad_token", Unknown, "status 401: TOKEN is not valid"},
			{"no_scope", Unknown, "status 403: TOKEN is valid, and lacks a right: it takes RIGHT"},
			{"moved", Merged, ""}, // the redirect leads to a request that is merged
		} {
			answer := name + "_" + test.answer
			if _, err := os.Stat(filepath.Join("testdata", answer+".http")); os.IsNotExist(err) && (test.answer == "no_scope" || test.answer == "limited_anew") {
				continue // this forge has no such answer
			}
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if test.answer == "moved" && r.URL.RequestURI() != f.api {
					_, _ = w.Write(file(t, name+"_merged.json"))
					return
				}
				recorded(t, answer)(w, r)
			})
			got, err := State(t.Context(), s.URL+f.page, s.only(f.kind, secret))
			why := strings.NewReplacer("TOKEN", tokenOf[name], "RIGHT", rights[f.kind][""]).Replace(test.why)
			if got != test.want || (err == nil) != (why == "") || err != nil && !strings.Contains(err.Error(), why) {
				t.Errorf("%s: %s, %v", answer, got, err)
			}
			if test.answer == "moved" && (len(s.asked) != 2 || s.tokens[1] != f.token || s.asked[1] == f.api) {
				t.Errorf("%s: asked for %q with %q", answer, s.asked, s.tokens)
			}
		}
	}
}

func TestUnclearAnswerIsUnknown(t *testing.T) {
	status := func(code int, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			for i := 0; i+1 < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(code)
			fmt.Fprintf(w, "you sent %s", r.Header.Get("Authorization"))
		}
	}
	body := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) }
	}
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		why    string
	}{
		"404":            {status(404), "status 404: there is no such request, or TOKEN may not see it: it takes RIGHT"},
		"401":            {status(401), "status 401: TOKEN is not valid"},
		"403":            {status(403), "status 403: TOKEN is valid, and lacks a right: it takes RIGHT"},
		"403 limit":      {status(403, "X-RateLimit-Remaining", "0"), "status 403: the rate limit is met"},
		"403 secondary":  {status(403, "Retry-After", "60"), "status 403: the rate limit is met"},
		"429":            {status(429), "status 429: the rate limit is met"},
		"500":            {status(500), "status 500: it did not answer"},
		"503":            {status(503, "Retry-After", "60"), "status 503: it did not answer"},
		"204":            {status(204), "status 204: it did not answer"},
		"huge":           {body(`{"state":"merged","number":7,"iid":7,"body":"` + strings.Repeat("x", maxBody) + `"}`), "larger than 1048576 bytes"},
		"HTML":           {body("<!doctype html><title>Sign in</title>"), "not that of its API"},
		"empty":          {body(""), "not that of its API"},
		"null":           {body("null"), "not about this request"},
		"another":        {body(`{"state":"merged","number":8,"iid":8}`), "not about this request"},
		"a message":      {body(`{"message":"` + secret + `"}`), "not about this request"},
		"an odd state":   {body(`{"state":"` + secret + `","number":7,"iid":7}`), "no state that is known"},
		"trailing":       {body(`{"state":"merged","number":7,"iid":7} x`), "not that of its API"},
		"no HTTP":        {hijack(secret + " nonsense\r\n\r\n"), "the connection or the answer is bad"},
		"cut off":        {hijack("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"), "the connection or the answer is bad"},
		"endless header": {hijack("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20)), "the connection or the answer is bad"},
	} {
		for forge, f := range forges {
			s := serve(t, test.answer)
			got, err := State(t.Context(), s.URL+f.page, s.only(f.kind, secret))
			why := strings.NewReplacer("TOKEN", tokenOf[forge], "RIGHT", rights[f.kind][""]).Replace(test.why)
			if got != Unknown || err == nil || !strings.Contains(err.Error(), why) {
				t.Errorf("%s %s: %s, %v", forge, name, got, err)
			}
			if err != nil && (strings.Contains(err.Error(), secret) || !strings.HasPrefix(err.Error(), strings.TrimPrefix(s.URL, "http://")+": ")) {
				t.Errorf("%s %s: %v", forge, name, err)
			}
		}
	}
}

// hijack answers with bytes that are no good HTTP.
func hijack(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = conn.Write([]byte(text))
		_ = conn.Close()
	}
}

func TestAnswerIsNotWaitedForWithoutEnd(t *testing.T) {
	if limit != 10*time.Second {
		t.Fatal(limit)
	}
	limit = 100 * time.Millisecond
	defer func() { limit = 10 * time.Second }()
	for name, hang := range map[string]http.HandlerFunc{
		"silent": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"slow": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = w.Write([]byte(" "))
				_ = http.NewResponseController(w).Flush()
			}
		},
	} {
		s := serve(t, hang)
		begin := time.Now()
		got, err := State(t.Context(), s.URL+"/o/r/pull/7", s.only(github, secret))
		if got != Unknown || err == nil || !strings.HasSuffix(err.Error(), "it did not answer in time") && !strings.Contains(err.Error(), "larger than") || time.Since(begin) > 5*time.Second {
			t.Errorf("%s: %s, %v after %s", name, got, err, time.Since(begin))
		}
	}
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := State(ctx, s.URL+"/o/r/pull/7", s.only(github, secret)); got != Unknown || err == nil || len(s.asked) != 0 {
		t.Error(got, err, s.asked)
	}
}

func TestRedirectTakesNoTokenToAnotherPlace(t *testing.T) {
	other := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(file(t, "github_merged.json")) })
	for _, code := range []int{301, 302, 303, 307, 308} {
		for name, to := range map[string]func(here string) string{
			"another port": func(string) string { return other.URL + "/api/v3/repos/you/project/pulls/7" },
			"no scheme":    func(string) string { return "//" + strings.TrimPrefix(other.URL, "http://") + "/x" },
			"a user":       func(here string) string { return strings.Replace(here, "://", "://"+secret+"@", 1) + "/x" },
			"https":        func(here string) string { return strings.Replace(here, "http://", "https://", 1) + "/x" },
			"localhost":    func(here string) string { return strings.Replace(here, "127.0.0.1", "localhost", 1) + "/x" },
			"round":        func(here string) string { return here + "/api/v3/round?" + secret },
			"no URL":       func(string) string { return "http://[" + secret },
		} {
			var s *server
			s = serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", to(s.URL))
				w.WriteHeader(code)
			})
			got, err := State(t.Context(), s.URL+"/you/project/pull/7", s.only(github, secret))
			if got != Unknown || err == nil || strings.Contains(err.Error(), secret) || len(s.asked) > maxHops+1 {
				t.Errorf("%d to %s: %s, %v, %d asked", code, name, got, err, len(s.asked))
			}
		}
	}
	if len(other.asked) > 0 {
		t.Errorf("the other was asked with %q", other.tokens)
	}
}

func TestPlaceIsTheSameForTheSameOrigin(t *testing.T) {
	from := &url.URL{Scheme: "https", Host: "forge.example.com:8443", Path: "/a"}
	for to, want := range map[string]bool{
		"https://forge.example.com:8443/b?c#d": true, "http://forge.example.com:8443/b": false, "https://forge.example.com/b": false,
		"https://you@forge.example.com:8443/b": false, "https://other.example.com:8443/b": false, "https://forge.example.com.:8443/b": false,
	} {
		u, err := url.Parse(to)
		if err != nil {
			t.Fatal(err)
		}
		if got := stays(from, u); got != want {
			t.Errorf("%s: %t", to, got)
		}
	}
}

// The place that a redirect names is not in the error, also if the connection to it breaks.
func TestBrokenRedirectRepeatsNothing(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "" {
			http.Redirect(w, r, "/api/v3/"+secret+"?"+secret, http.StatusFound)
			return
		}
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		_ = conn.(*net.TCPConn).SetLinger(0) // reset
		_ = conn.Close()
	})
	got, err := State(t.Context(), s.URL+"/o/r/pull/7", s.only(github, secret))
	s.mu.Lock()
	defer s.mu.Unlock()
	if got != Unknown || err == nil || strings.Contains(err.Error(), secret) || len(s.asked) < 2 {
		t.Error(got, err, s.asked)
	}
}

// GitHub answers so for a repository that was renamed.
func TestRedirectWithinTheHostIsFollowed(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v3/repositories/5/pulls/7" {
			http.Redirect(w, r, "/api/v3/repositories/5/pulls/7", http.StatusMovedPermanently)
			return
		}
		_, _ = w.Write(file(t, "github_merged.json"))
	})
	got, err := State(t.Context(), s.URL+"/old/project/pull/7", s.only(github, secret))
	if got != Merged || err != nil || len(s.tokens) != 2 || s.tokens[1] != "Bearer "+secret {
		t.Error(got, err, s.tokens)
	}
}

func TestTokenGoesToItsOwnHostAlone(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(file(t, "github_open.json")) })
	other := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) })
	for name, f := range forges {
		// The same address under another port is another server.
		got, err := State(t.Context(), other.URL+f.page, s.only(f.kind, secret))
		if got != Unknown || err == nil || !strings.Contains(err.Error(), "it takes a token") {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	for _, token := range other.tokens {
		if token != "" {
			t.Errorf("sent %q", token)
		}
	}
	for _, test := range []struct{ url, env, want string }{
		{"https://github.com/o/r/pull/1", "GITHUB_TOKEN=a GH_TOKEN=b", "b"},
		{"https://github.com:443/o/r/pull/1", "GITHUB_TOKEN=a", "a"},
		{"https://github.com:444/o/r/pull/1", "GITHUB_TOKEN=a", ""},
		{"https://github.com/o/r/pull/1", "GH_ENTERPRISE_TOKEN=a GH_HOST=ghe.example.com", ""},
		{"https://ghe.example.com/o/r/pull/1", "GH_TOKEN=b GH_ENTERPRISE_TOKEN=a GH_HOST=ghe.example.com", "a"},
		{"https://ghe.example.com/o/r/pull/1", "GH_TOKEN=b GITHUB_ENTERPRISE_TOKEN=a GH_HOST=https://GHE.example.com/", "a"},
		{"https://ghe.example.com/o/r/pull/1", "GH_TOKEN=b GH_ENTERPRISE_TOKEN=a", ""},
		{"https://gitlab.com/o/r/-/merge_requests/1", "GITLAB_TOKEN=a", "a"},
		{"https://gitlab.com/o/r/-/merge_requests/1", "GITLAB_TOKEN=a GITLAB_HOST=gitlab.example.com", ""},
		{"https://gitlab.example.com/o/r/-/merge_requests/1", "GITLAB_TOKEN=a GITLAB_HOST=gitlab.example.com", "a"},
		{"https://gitlab.example.com/o/r/-/merge_requests/1", "GITLAB_TOKEN=a", ""},
		{"https://gitlab.com.example.com/o/r/-/merge_requests/1", "GITLAB_TOKEN=a", ""},
		{"https://git.example.com/o/r/pulls/1", "GITEA_TOKEN=a", ""},
		{"https://git.example.com/o/r/pulls/1", "GITEA_TOKEN=a FORGEJO_URL=git.example.com", ""},
		{"https://git.example.com:3000/o/r/pulls/1", "GITEA_TOKEN=a GITEA_URL=https://git.example.com:3000", "a"},
		{"https://git.example.com/o/r/pulls/1", "GITEA_TOKEN=a GITEA_URL=https://git.example.com:3000", ""},
		{"https://git.example.com/o/r/pulls/1", "FORGEJO_TOKEN=a FORGEJO_URL=git.example.com", "a"},
		{"https://git.example.com/o/r/pull/1", "FORGEJO_TOKEN=a FORGEJO_URL=git.example.com", ""},
		{"https://codeberg.org/o/r/pulls/1", "FORGEJO_TOKEN=a", ""},
		{"https://acme.ghe.com/o/r/pull/1", "GH_TOKEN=a GH_HOST=acme.ghe.com", "a"},
		{"https://acme.ghe.com/o/r/pull/1", "GH_TOKEN=a", ""},
		{"https://evil.ghe.com/o/r/pull/1", "GH_TOKEN=a GH_HOST=acme.ghe.com", ""},
		{"https://github.com/o/r/pull/1", "GH_TOKEN=old GH_TOKEN=new", "new"},
	} {
		r, err := parse(test.url)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := r.token(strings.Fields(test.env)); got.value != test.want || err != nil {
			t.Errorf("%s with %s: %q, %v", test.url, test.env, got, err)
		}
	}
}

func TestHostThatCannotBeReadIsSaidAndNotRepeated(t *testing.T) {
	for name, f := range forges {
		variable := map[string]string{"github": "GH_HOST", "gitlab": "GITLAB_HOST", "gitea": "GITEA_URL"}[name]
		for _, value := range []string{secret + "/path", secret + "@example.com", "ftp://" + secret} {
			got, err := State(t.Context(), "https://forge.invalid"+f.page, []string{variable + "=" + value})
			if got != Unknown || err == nil || strings.Contains(err.Error(), secret) || !strings.Contains(err.Error(), variable) {
				t.Errorf("%s=%s: %s, %v", variable, value, got, err)
			}
		}
	}
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {})
	got, err := State(t.Context(), s.URL+"/o/r/pull/7", s.only(github, secret+"\nX: y")) // what no header can hold
	if got != Unknown || err == nil || strings.Contains(err.Error(), secret) || len(s.asked) > 0 {
		t.Error(got, err, s.asked)
	}
}

func TestAnotherForgesURLIsNoRequest(t *testing.T) {
	for _, url := range []string{"https://github.com/o/r/pulls/7", "https://gitlab.com/o/r/pull/7", "https://codeberg.org/o/r/pull/7"} {
		if got, err := State(t.Context(), url, nil); got != Unknown || err == nil || !strings.Contains(err.Error(), "whose requests have another URL") {
			t.Errorf("%s: %s, %v", url, got, err)
		}
	}
}

func TestLoopbackNameLeadsToLoopbackAlone(t *testing.T) {
	control := dialer("http://localhost:3000").Control
	if err := control("tcp", "192.0.2.1:80", nil); err != errLoopback {
		t.Error(err)
	}
	if err := control("tcp6", "[2001:db8::1]:80", nil); err != errLoopback {
		t.Error(err)
	}
	for _, address := range []string{"127.0.0.1:80", "[::1]:80"} {
		if err := control("tcp", address, nil); err != nil {
			t.Error(address, err)
		}
	}
	for _, anywhere := range []string{"https://localhost", "http://gitea:3000"} {
		if dialer(anywhere).Control != nil {
			t.Error(anywhere)
		}
	}
}
