package session

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/event"
	"kugetsu/queue/issueref"
	"kugetsu/slots"
	"kugetsu/tick/settings"
)

// refuser is a follower whose one session is on a forge that may refuse.
type refuser struct {
	*follower
	name, host string
	code       int // what the forge answers with, 200 for good
	count      int // of questions
}

func newRefuser(t *testing.T) *refuser {
	r := &refuser{follower: newFollower(t), code: http.StatusUnauthorized}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.count++
		w.WriteHeader(r.code)
		switch {
		case r.code != http.StatusOK:
		case strings.HasSuffix(req.URL.Path, "/reviews"):
			fmt.Fprint(w, "[]")
		default:
			fmt.Fprint(w, `{"number": 9, "state": "open", "user": {"login": "you"}, "mergeable": true, "head": {"ref": "other", "sha": "0123456789012345678901234567890123456789"}, "base": {"ref": "main"}}`)
		}
	}))
	t.Cleanup(s.Close)
	r.host = strings.TrimPrefix(s.URL, "http://")
	r.name = strings.ReplaceAll(r.host, ":", "@") + "+you+project@1"
	must(t, os.Remove(filepath.Join(string(r.Home), "sessions", r.id()+".json")))
	must(t, r.Home.WriteSession(r.name, &slots.Session{Type: "forked", IssueRef: r.host + "/you/project#1", Branch: "fix/issue-1", Worktree: r.Home.Worktree(r.name),
		PRURL: s.URL + "/you/project/pulls/9", PRSet: true}))
	must(t, os.MkdirAll(filepath.Dir(r.Home.EnvFile("default.env")), 0o700))
	r.token(s.URL, "sesame")
	r.follows("ci")
	return r
}

func (r *refuser) follows(what settings.Follow) {
	r.Follow = func() (func(issueref.Ref) settings.Follow, bool, error) {
		return func(issueref.Ref) settings.Follow { return what }, what != "", nil
	}
}

func (r *refuser) token(url, token string) {
	r.t.Helper()
	must(r.t, os.WriteFile(r.Home.EnvFile("default.env"), fmt.Appendf(nil, "GITEA_URL=%s\nGITEA_TOKEN=%s\n", url, token), 0o600))
}

// pass is one pass, after which so many questions were asked, and so many events are there.
func (r *refuser) pass(what string, asked, events int) {
	r.t.Helper()
	r.count = 0
	must(r.t, r.AskReviews(r.t.Context()))
	if (r.count > 0) != (asked > 0) {
		r.t.Errorf("%s: %d questions", what, r.count)
	}
	if n := r.told(event.NeedsHuman); n != events {
		r.t.Errorf("%s: %d events", what, n)
	}
}

func (r *refuser) denials() []Denial {
	r.t.Helper()
	list, err := r.Denials([]string{r.name})
	must(r.t, err)
	return list
}

func TestRefusalIsToldOnceUntilItIsLifted(t *testing.T) {
	r := newRefuser(t)
	later := func() { r.now = r.now.Add(r.Settings.FollowInterval) }
	r.pass("refused", 1, 1)
	later()
	r.pass("refused again", 1, 1)

	// The pass died before the mark: the same event, also where the one before was cleared.
	must(t, os.WriteFile(denialsFile(r.Home).Path, []byte(strings.Replace(read(t, denialsFile(r.Home).Path), `"told":true`, `"told":false`, 1)), 0o600))
	r.pass("died before the mark", 0, 1)
	if !strings.Contains(read(t, denialsFile(r.Home).Path), `"told":true`) {
		t.Error("it is not said to be told")
	}
	// One that was deleted since is not told again.
	_, err := r.Queue.Events.Clear()
	must(t, err)
	must(t, os.RemoveAll(r.Queue.Events.Seen))
	must(t, r.Queue.Make())
	later()
	r.pass("deleted since", 1, 0)

	// The pass died after the answer was written, before the host was on record.
	must(t, os.Remove(denialsFile(r.Home).Path))
	r.pass("died before the record", 0, 1)

	later()
	r.code = http.StatusOK
	r.pass("lifted", 1, 1)
	if list := r.denials(); len(list) != 0 {
		t.Errorf("%+v", list)
	}
	later()
	r.code = http.StatusForbidden
	r.pass("another one", 1, 2)
	later()
	r.code = http.StatusTooManyRequests
	r.pass("a limit", 1, 2)
	if list := r.denials(); len(list) != 1 || list[0].Why != "status 403: GITEA_TOKEN is valid, and lacks a right: it takes read:repository" {
		t.Errorf("%+v", list)
	}
}

func TestTokenThatChangedIsAskedWithAtOnce(t *testing.T) {
	r := newRefuser(t)
	r.pass("refused", 1, 1)
	r.pass("not yet", 0, 1)
	list := r.denials()
	if len(list) != 1 || !list[0].AskedAt.Equal(r.now) || !list[0].Next.Equal(r.now.Add(r.Settings.FollowInterval)) {
		t.Errorf("%+v", list)
	}
	r.now = r.now.Add(time.Minute)
	r.token("http://"+r.host, "open sesame")
	if list := r.denials(); len(list) != 1 || list[0].Next.After(r.now) || list[0].Text() != "an env file has changed since" || list[0].Why != "status 401: GITEA_TOKEN is not valid" {
		t.Errorf("%+v", list)
	}
	r.code = http.StatusOK
	r.pass("changed", 1, 1)
	r.token("http://"+r.host, "sesame")
	r.pass("a change where all is well", 0, 1)
	for _, file := range []string{reviewFile(r.Home, r.name).Path, denialsFile(r.Home).Path} {
		if strings.Contains(read(t, file), "sesame") {
			t.Errorf("%s has the token", file)
		}
	}
}

// An item is live: what is followed is not asked about. That the state is told lifts nothing.
func TestRefusalIsNotLiftedByAQuestionForTheStateAlone(t *testing.T) {
	r := newRefuser(t)
	r.Settings.MaxReview = 5
	r.pass("refused", 1, 1)
	_, err := r.Queue.Publish(&queue.Item{ID: queue.NewID(r.now), IssueRef: r.host + "/you/project#1", Agent: "command", Message: "m", Mode: queue.Auto, PendingSince: r.now, After: []string{}, History: []queue.Run{}}, queue.Dev, 50)
	must(t, err)
	r.code = http.StatusOK
	r.now = r.now.Add(time.Hour)
	r.pass("its state alone", 1, 1)
	if list := r.denials(); len(list) != 1 {
		t.Errorf("%+v", list)
	}
}

func TestWhatIsNotFollowedIsNotMissed(t *testing.T) {
	r := newRefuser(t)
	r.pass("refused", 1, 1)
	s, err := r.Home.ReadSession(r.name)
	must(t, err)
	for follow, want := range map[settings.Follow]bool{"ci": true, "": false} {
		r.follows(follow)
		got, err := r.Shown(r.name, s)
		if must(t, err); strings.Contains(got.Says(), "not seen since 0s ago: status 401: GITEA_TOKEN is not valid") != want {
			t.Errorf("%q: %s", follow, got.Says())
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	must(t, err)
	return string(data)
}

func TestForgeThatDoesNotAnswerIsToldWhereThatLasts(t *testing.T) {
	r := newRefuser(t)
	says := func() string {
		t.Helper()
		s, err := r.Home.ReadSession(r.name)
		must(t, err)
		got, err := r.Shown(r.name, s)
		must(t, err)
		return got.Says()
	}
	r.code = http.StatusBadGateway
	why := r.host + ": status 502: it did not answer"
	r.pass("down", 1, 0)
	for n, passing := range []bool{true, true, false} {
		r.pass("asked already", 0, 0)
		list := r.denials()
		if len(list) != 1 || list[0].Passing != passing || !list[0].Unanswered || list[0].Why != why || !list[0].AskedAt.Equal(r.now) || list[0].Ref != r.host+"/you/project#1" {
			t.Errorf("look %d: %+v", n, list)
		}
		if n < 2 {
			r.now = r.now.Add(r.Settings.FollowInterval)
			r.pass("still down", 1, 0)
		}
	}
	if got := r.denials()[0].What(); got != "no answer from "+r.host+" about a pull request that is followed" {
		t.Error(got)
	}
	if got := says(); !strings.HasSuffix(got, ", not seen since 30m00s ago: "+why) {
		t.Error(got)
	}

	// Without ticks the forge is not asked, and nothing is learned.
	r.now = r.now.Add(r.Settings.FollowInterval)
	r.code = http.StatusUnauthorized
	r.pass("refused", 1, 1)
	if list := r.denials(); len(list) != 1 || list[0].Passing || list[0].Unanswered || !list[0].Since.Equal(r.now) {
		t.Errorf("%+v", list)
	}
	r.now = r.now.Add(r.Settings.FollowInterval)
	r.code = http.StatusBadGateway
	r.pass("down while the refusal stands", 1, 1)
	if got := says(); !strings.HasSuffix(got, ", not seen since 15m00s ago: status 401: GITEA_TOKEN is not valid") {
		t.Error(got)
	}
	r.token("http://"+r.host, "open sesame")
	r.pass("down, with another token", 1, 1)
	if got := says(); !strings.HasSuffix(got, ", not seen since 0s ago: "+why) {
		t.Error(got)
	}
	r.now = r.now.Add(4 * r.Settings.FollowInterval)
	if list := r.denials(); len(list) != 1 || !list[0].Passing {
		t.Errorf("one error, and no tick since: %+v", list)
	}
	r.code = http.StatusOK
	r.pass("up", 1, 1)
	if list := r.denials(); len(list) != 0 || strings.Contains(says(), "not seen") {
		t.Errorf("%+v, %s", list, says())
	}
}

func TestForgeThatNeverAnsweredIsToldOfASessionThatHasNoRequest(t *testing.T) {
	f := newFinder(t)
	f.code = http.StatusBadGateway
	for range 3 {
		must(t, f.AskReviews(t.Context()))
		f.now = f.now.Add(f.Settings.FollowInterval)
	}
	if list, err := f.Denials([]string{f.found}); err != nil || len(list) != 1 || list[0].Passing || !list[0].Unanswered || list[0].Host != f.host {
		t.Errorf("%+v, %v", list, err)
	}
}
