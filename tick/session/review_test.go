package session

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kugetsu/queue/issueref"
	"kugetsu/slots"
	"kugetsu/slots/forge"
	"kugetsu/tick/settings"
)

// reviewer is a state folder whose sessions have pull requests, and the forge that is asked about them.
type reviewer struct {
	*Keeper
	t     *testing.T
	now   time.Time
	url   string
	state string // what the forge says of all, "" when it is down
	asked []string
	probe func() // while it is asked
}

func newReviewer(t *testing.T, most int) *reviewer {
	r := &reviewer{t: t, now: time.Date(2026, 4, 5, 12, 0, 0, 0, time.UTC), state: "open"}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		number := filepath.Base(req.URL.Path)
		r.asked = append(r.asked, number)
		if r.probe != nil {
			r.probe()
		}
		if r.state == "" {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		fmt.Fprintf(w, `{"number": %s, "state": %q, "merged": %t}`, number, strings.Replace(r.state, "merged", "closed", 1), r.state == "merged")
	}))
	t.Cleanup(s.Close)
	r.url = s.URL
	dir := slots.Dir(t.TempDir())
	must(t, dir.Make())
	r.Keeper = &Keeper{Home: dir, Settings: &settings.Settings{MaxReview: most}, Now: func() time.Time { return r.now }, Log: slog.New(slog.DiscardHandler),
		Environ: func() ([]string, error) { return nil, nil }, InUse: func(string) bool { return false }}
	return r
}

func (r *reviewer) name(n int) string { return fmt.Sprintf("github.com+you+project@%d", n) }

func (r *reviewer) pr(n int) string { return fmt.Sprintf("%s/you/project/pulls/%d", r.url, n) }

// session gives issue n a session, with a pull request unless url is "".
func (r *reviewer) session(n int, url string) {
	r.t.Helper()
	must(r.t, r.Home.WriteSession(r.name(n), &slots.Session{Type: "forked", IssueRef: fmt.Sprintf("github.com/you/project#%d", n),
		Worktree: r.Home.Worktree(r.name(n)), PRURL: url}))
}

// asks is which requests are asked about now.
func (r *reviewer) asks() string {
	r.t.Helper()
	r.asked = nil
	must(r.t, r.AskReviews(r.t.Context()))
	return strings.Join(r.asked, " ")
}

// why is why an item of a new issue would wait.
func (r *reviewer) why() string {
	r.t.Helper()
	text, err := r.TooManyReviews()
	must(r.t, err)
	return text
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestRequestThatIsNotKnownToBeOverWaitsForReview(t *testing.T) {
	r := newReviewer(t, 1)
	if got := r.why(); got != "" {
		t.Errorf("with no request: %s", got)
	}
	r.session(1, "")
	r.session(2, r.pr(2))
	const waits = "1 pull request waits for review (MAX_AWAITING_REVIEW)"
	if got := r.why(); got != waits {
		t.Errorf("not asked yet: %q", got)
	}
	down := waits + "; the state of 1 of them is not known: " + strings.TrimPrefix(r.url, "http://") + ": status 502: it did not answer"
	for _, step := range []struct{ state, want string }{
		{"", down}, {"open", waits}, {"odd", strings.Replace(down, "status 502: it did not answer", "the answer has no state that is known", 1)},
		{"closed", ""}, {"", ""}, {"open", waits}, {"merged", ""}, {"open", ""},
	} {
		r.state, r.now = step.state, r.now.Add(25*time.Hour)
		r.asks()
		if got := r.why(); got != step.want {
			t.Errorf("%q: %q, not %q", step.state, got, step.want)
		}
	}
	r.session(2, r.pr(3))
	if got := r.why(); got != waits {
		t.Errorf("another request: %q", got)
	}
	must(t, os.WriteFile(reviewFile(r.Home, r.name(2)).Path, []byte("{"), 0o600))
	if got := r.why(); got != waits {
		t.Errorf("a bad file: %q", got)
	}
	r.Settings.MaxReview = 2
	if got := r.why(); got != "" {
		t.Errorf("one of two: %q", got)
	}
	r.session(4, r.pr(4))
	if got := r.why(); got != "2 pull requests wait for review (MAX_AWAITING_REVIEW)" {
		t.Errorf("two of two: %q", got)
	}
	r.Settings.MaxReview = 0
	if got := r.asks(); got != "" {
		t.Errorf("off: %q", got)
	}
}

func TestForgeIsNotAskedOftenerThanNeedBe(t *testing.T) {
	r := newReviewer(t, 1)
	r.session(2, r.pr(2))
	for _, step := range []struct {
		later time.Duration
		state string
		asked string
	}{
		{0, "open", "2"}, {15*time.Minute - 1, "open", ""}, {1, "", "2"}, {14 * time.Minute, "open", ""}, {time.Minute, "closed", "2"},
		{time.Hour, "open", ""}, {23 * time.Hour, "open", "2"}, {-time.Hour, "open", "2"}, {15 * time.Minute, "merged", "2"}, {1000 * time.Hour, "open", ""},
	} {
		r.now, r.state = r.now.Add(step.later), step.state
		if got := r.asks(); got != step.asked {
			t.Errorf("%s later, %q: asked %q, not %q", step.later, step.state, got, step.asked)
		}
	}
}

func TestPassAsksOfAFewThoseThatWaitedLongest(t *testing.T) {
	r := newReviewer(t, 1)
	for n := range reviewMost + 5 {
		r.session(100+n, r.pr(100+n))
	}
	first := r.asks()
	if len(r.asked) != reviewMost {
		t.Fatalf("asked %s", first)
	}
	r.now = r.now.Add(time.Hour)
	rest := r.asks()
	if want := "120 121 122 123 124 100 101"; len(r.asked) != reviewMost || !strings.HasPrefix(rest, want) {
		t.Errorf("asked %s, not %s", rest, want)
	}
}

func TestForgeIsNotAskedByTwoAtOnce(t *testing.T) {
	r := newReviewer(t, 1)
	r.session(2, r.pr(2))
	lock, err := slots.TryLock(filepath.Join(r.Home.Reviews(), "ask.lock"))
	must(t, err)
	if got := r.asks(); got != "" {
		t.Errorf("asked %s", got)
	}
	must(t, lock.Close())
	if got := r.asks(); got != "2" {
		t.Errorf("asked %q", got)
	}
}

func TestRecordOfARequestGoesWithItsSession(t *testing.T) {
	r := newReviewer(t, 1)
	r.session(1, r.pr(1))
	r.session(2, r.pr(2))
	r.asks()
	must(t, os.Remove(filepath.Join(string(r.Home), "sessions", r.name(1)+".json")))
	r.session(2, "")
	r.asks()
	for n := 1; n <= 2; n++ {
		if _, err := os.Stat(reviewFile(r.Home, r.name(n)).Path); err == nil {
			t.Errorf("that of %d is left", n)
		}
	}
	if _, err := os.Stat(filepath.Join(r.Home.Reviews(), "ask.lock")); err != nil {
		t.Error(err)
	}
}

func TestTokenIsThatOfTheEnvFiles(t *testing.T) {
	t.Setenv("GH_TOKEN", "inherited")
	r := newReviewer(t, 1)
	r.Environ = func() ([]string, error) { return r.Home.Environ(nil, nil) }
	dir := filepath.Join(string(r.Home), "env")
	must(t, os.MkdirAll(dir, 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "default.env"), []byte("GITEA_TOKEN=default\nGITEA_URL=here\n"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "dev.env"), []byte("GITEA_TOKEN=dev\n"), 0o600))
	env, err := r.AgentEnv()
	must(t, err)
	all := "\n" + strings.Join(env, "\n") + "\n"
	if strings.Contains(all, "inherited") || strings.Contains(all, "\nGITEA_TOKEN=default\n") || !strings.Contains(all, "\nGITEA_TOKEN=dev\n") || !strings.Contains(all, "\nGITEA_URL=here\n") {
		t.Error(all)
	}
	// A bad env file is told, and not its text.
	must(t, os.WriteFile(filepath.Join(dir, "dev.env"), []byte("sesame\n"), 0o600))
	r.session(1, r.pr(1))
	if err := r.AskReviews(t.Context()); err == nil || strings.Contains(err.Error(), "sesame") || !strings.Contains(err.Error(), "dev.env: line 1: it has no =, and is not KEY=value") {
		t.Error(err)
	}
	if got, err := ReadReview(r.Home, r.name(1), r.pr(1)); got.State != forge.Unknown || err != nil {
		t.Error(got, err)
	}
}

func TestRequestIsFoundByTheBranchOfItsSession(t *testing.T) {
	list := "[]"
	r := newReviewer(t, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.asked = append(r.asked, filepath.Base(req.URL.Path))
		fmt.Fprint(w, list)
	}))
	t.Cleanup(s.Close)
	host := strings.TrimPrefix(s.URL, "http://")
	env := filepath.Join(string(r.Home), "env")
	must(t, os.MkdirAll(env, 0o700))
	must(t, os.WriteFile(filepath.Join(env, "default.env"), []byte("GITEA_URL="+s.URL+"\nGITEA_TOKEN=sesame\n"), 0o600))
	ref, err := issueref.Parse(host+"/you/project#7", host)
	must(t, err)
	name := ref.Session()
	must(t, r.Home.WriteSession(name, &slots.Session{Type: "forked", IssueRef: ref.String(), Branch: "fix/issue-7", Worktree: r.Home.Worktree(name)}))
	session := func() *slots.Session {
		t.Helper()
		s, err := r.Home.ReadSession(name)
		must(t, err)
		return s
	}

	// None is there yet: nothing new waits for it, and it is looked for now and then.
	if r.asks() == "" || r.why() != "" || session().PRURL != "" || r.asks() != "" {
		t.Errorf("asked %q, %q, %+v", r.asked, r.why(), session())
	}
	list = `[{"number":12,"state":"open","head":{"ref":"fix/issue-7","repo":{"full_name":"you/project"}}}]`
	r.now = r.now.Add(reviewFindEvery)

	// While a run has the session, that run will find it.
	lock, err := slots.TryLock(r.Home.SessionLock(name))
	must(t, err)
	if r.asks() == "" || session().PRURL != "" || r.why() != "" {
		t.Errorf("asked %q, %q, %+v", r.asked, r.why(), session())
	}
	must(t, lock.Close())
	r.now = r.now.Add(reviewFindEvery)
	if r.asks() == "" || session().PRURL != s.URL+"/you/project/pulls/12" || r.why() != "1 pull request waits for review (MAX_AWAITING_REVIEW)" {
		t.Errorf("asked %q, %q, %+v", r.asked, r.why(), session())
	}
}

func TestDenialEndsWhereTheForgeKnowsNoRequestOfTheBranch(t *testing.T) {
	refuses := true
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if refuses {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, "[]")
	}))
	t.Cleanup(s.Close)
	r := newFollower(t)
	host := strings.TrimPrefix(s.URL, "http://")
	name := strings.ReplaceAll(host, ":", "@") + "+you+project@1"
	must(t, r.Home.WriteSession(name, &slots.Session{Type: "forked", IssueRef: host + "/you/project#1", Branch: "fix/issue-1", Worktree: r.Home.Worktree(name)}))
	must(t, os.MkdirAll(filepath.Dir(r.Home.EnvFile("default.env")), 0o700))
	must(t, os.WriteFile(r.Home.EnvFile("default.env"), fmt.Appendf(nil, "GITEA_URL=%s\nGITEA_TOKEN=sesame\n", s.URL), 0o600))
	r.Follow = func() (func(issueref.Ref) settings.Follow, bool, error) {
		return func(issueref.Ref) settings.Follow { return "ci" }, true, nil
	}
	for _, want := range []int{1, 1, 0} {
		refuses = want == 1
		r.asks()
		if list, err := r.Denials([]string{name}); err != nil || len(list) != want || want == 1 && list[0].Host != host {
			t.Errorf("the forge refuses: %t; %+v, %v", refuses, list, err)
		}
		r.now = r.now.Add(25 * time.Hour)
	}
}

// The forge is asked once an hour for the request of a branch that has none, and sooner where that is not known: after a question that
// failed, and after a run, which may have opened one.
func TestQuestionThatFailedIsNotTheHourlyOne(t *testing.T) {
	f := newFinder(t)
	for _, step := range []struct {
		what  string
		later time.Duration
		code  int
		used  bool
		asked bool
	}{
		{"at first", 0, http.StatusInternalServerError, false, true},
		{"too soon", 14 * time.Minute, http.StatusOK, false, false},
		{"after FOLLOW_INTERVAL", time.Minute, http.StatusOK, false, true},
		{"there is none", 59 * time.Minute, http.StatusOK, false, false},
		{"an hour later", time.Minute, http.StatusOK, false, true},
		{"a run ended", time.Minute, http.StatusOK, true, true},
		{"asked since", time.Minute, http.StatusOK, false, false},
	} {
		f.now, f.code, f.asked = f.now.Add(step.later), step.code, nil
		if step.used {
			s, err := f.Home.ReadSession(f.found)
			must(t, err)
			s.LastUsedAt = f.now
			must(t, f.Home.WriteSession(f.found, s))
		}
		must(t, f.AskReviews(t.Context()))
		if got := len(f.asked) > 0; got != step.asked {
			t.Errorf("%s: asked: %t", step.what, got)
		}
	}
}

// finder is a follower with a session that has no request, on a forge that knows none or answers with another status.
type finder struct {
	*follower
	found, host string // the session, and its forge
	code        int
}

func newFinder(t *testing.T) *finder {
	f := &finder{follower: newFollower(t), code: http.StatusOK}
	must(t, os.Remove(filepath.Join(string(f.Home), "sessions", f.id()+".json")))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		f.asked = append(f.asked, req.URL.Path)
		w.WriteHeader(f.code)
		fmt.Fprint(w, "[]")
	}))
	t.Cleanup(s.Close)
	f.host = strings.TrimPrefix(s.URL, "http://")
	f.found = strings.ReplaceAll(f.host, ":", "@") + "+you+project@1"
	must(t, f.Home.WriteSession(f.found, &slots.Session{Type: "forked", IssueRef: f.host + "/you/project#1", Branch: "fix/issue-1", Worktree: f.Home.Worktree(f.found)}))
	must(t, os.MkdirAll(filepath.Dir(f.Home.EnvFile("default.env")), 0o700))
	must(t, os.WriteFile(f.Home.EnvFile("default.env"), fmt.Appendf(nil, "GITEA_URL=%s\nGITEA_TOKEN=sesame\n", s.URL), 0o600))
	f.Follow = func() (func(issueref.Ref) settings.Follow, bool, error) {
		return func(issueref.Ref) settings.Follow { return "ci" }, true, nil
	}
	return f
}
