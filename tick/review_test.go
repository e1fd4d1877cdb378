package tick

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"kugetsu/slots"
)

// openRequest gives an issue a session with a pull request that is open on a forge; the forge calls asked.
func openRequest(t *testing.T, tick *Tick, asked func()) (session string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked()
		fmt.Fprint(w, `{"number": 2, "state": "open"}`)
	}))
	t.Cleanup(s.Close)
	session = "github.com+you+project@2"
	must(t, tick.Home.WriteSession(session, &slots.Session{Type: "forked", IssueRef: "github.com/you/project#2", Worktree: tick.Home.Worktree(session),
		PRURL: s.URL + "/you/project/pulls/2"}))
	return session
}

func TestOnlyAnIssueWithoutASessionWaitsForReviews(t *testing.T) {
	tick := newTick(t, func() time.Time { return noon })
	tick.Settings.MaxReview = 1
	has := openRequest(t, tick, func() {})
	why := func(session string) string {
		c := &candidate{name: session}
		c.session, c.err = tick.Home.ReadSession(session)
		return (&reviews{t: tick}).why(c).Text
	}
	if got := why("github.com+you+project@9"); got != "1 pull request waits for review (MAX_AWAITING_REVIEW)" {
		t.Errorf("a new issue: %q", got)
	}
	if got := why(has) + why(slots.PMSession); got != "" {
		t.Errorf("an issue with a session, or the PM agent, waits: %s", got)
	}
	tick.Settings.MaxReview = 0
	if got := why("github.com+you+project@9"); got != "" {
		t.Errorf("without a limit: %q", got)
	}
}

func TestForgeIsNotAskedUnderTheLock(t *testing.T) {
	tick := newTick(t, func() time.Time { return noon })
	tick.Settings.MaxReview = 1
	asked := 0
	var locked error
	openRequest(t, tick, func() {
		asked++
		locked = tick.Locked(t.Context(), 0, func() error { return nil })
	})
	_, err := tick.Run(t.Context(), 0)
	must(t, err)
	if asked != 1 || locked != nil {
		t.Error(asked, locked)
	}
}
