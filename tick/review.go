package tick

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kugetsu/queue/spool"
	"kugetsu/slots"
	"kugetsu/slots/forge"
)

const (
	// reviewEvery is how often the state of a pull request is asked for, reviewClosedEvery that of a closed one: it may be reopened.
	reviewEvery       = 15 * time.Minute
	reviewClosedEvery = 24 * time.Hour
	// reviewMost limits the questions of one pass, reviewLimit the time for all of them.
	reviewMost  = 20
	reviewLimit = 30 * time.Second
)

// Review is the file reviews/<session>.json: the state of a session's pull request when the forge was last asked. It exists so that
// the forge is asked seldom, and never under a lock.
type Review struct {
	URL     string       `json:"url"`
	State   forge.Status `json:"state"` // of the last successful question
	AskedAt time.Time    `json:"asked_at"`
	Why     string       `json:"why,omitempty"` // why the last question failed
}

func reviewPath(home slots.Dir, session string) string {
	return filepath.Join(home.Reviews(), session+".json")
}

// ReadReview is what is known of a session's pull request: forge.Unknown before the first question.
func ReadReview(home slots.Dir, session, url string) (Review, error) {
	var r Review
	err := spool.ReadJSON(reviewPath(home, session), &r)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, spool.ErrBad), err == nil && r.URL != url: // the forge is asked again
		return Review{URL: url, State: forge.Unknown}, nil
	case err != nil:
		return Review{URL: url, State: forge.Unknown}, err
	}
	return r, nil
}

// waits says whether a person may still have to look at the request. An unknown state counts as open: an agent may have opened the
// request a moment ago, and a forge that is down must not lift the limit.
func (r Review) waits() bool { return r.State != forge.Merged && r.State != forge.Closed }

// due says whether it is time to ask.
func (r Review) due(now time.Time) bool {
	every := reviewEvery
	switch r.State {
	case forge.Merged: // final
		return false
	case forge.Closed:
		every = reviewClosedEvery
	}
	age := now.Sub(r.AskedAt)
	return age < 0 || age >= every // a time in the future: the clock was set back
}

// reviews is the policy that no new issue is started while too many pull requests wait for review. An issue is new without a
// session: comments on an existing request must reach its agent, or the request would never be finished.
type reviews struct {
	t     *Tick
	known *Reason // nil before the first question
}

func (p *reviews) why(c *candidate) Reason {
	if p.t.Settings.MaxReview == 0 || c.name == slots.PMSession {
		return Reason{}
	}
	if c.session != nil || c.err != nil { // the run reports a fault of the session
		return Reason{}
	}
	if p.known == nil { // once per pass
		p.known = &Reason{}
		text, err := p.t.tooManyReviews()
		if err != nil { // unknown is not few
			text = "the pull requests are not known: " + err.Error()
		}
		if text != "" {
			*p.known = Reason{Kind: AwaitingReview, Text: text}
		}
	}
	return *p.known
}

func (*reviews) starts(*candidate) {}

func (t *Tick) tooManyReviews() (string, error) {
	waiting, unknown, reason := 0, 0, ""
	err := t.eachRequest(func(_ string, r Review) {
		if !r.waits() {
			return
		}
		waiting++
		if r.Why != "" {
			unknown, reason = unknown+1, r.Why
		}
	})
	if err != nil || waiting < t.Settings.MaxReview {
		return "", err
	}
	why := "1 pull request waits for review (MAX_AWAITING_REVIEW)"
	if waiting > 1 {
		why = fmt.Sprintf("%d pull requests wait for review (MAX_AWAITING_REVIEW)", waiting)
	}
	if unknown > 0 {
		why += fmt.Sprintf("; how %d of them stands could not be asked: %s", unknown, reason)
	}
	return why, nil
}

// eachRequest visits the sessions that have a pull request. A file that is no session has none.
func (t *Tick) eachRequest(visit func(session string, r Review)) error {
	sessions, err := t.Home.Sessions()
	if err != nil {
		return err
	}
	for _, session := range sessions {
		s, err := t.Home.ReadSession(session)
		if errors.Is(err, spool.ErrBad) || errors.Is(err, spool.ErrNewer) || err == nil && (s == nil || s.PRURL == "") {
			continue
		}
		if err != nil {
			return err
		}
		r, err := ReadReview(t.Home, session, s.PRURL)
		if err != nil {
			return err
		}
		visit(session, r)
	}
	return nil
}

// askReviews asks the forges for the states of pull requests, those first whose last question is oldest. It is never called under
// tick.lock, since a forge may be slow.
func (t *Tick) askReviews(ctx context.Context) error {
	if t.Config != nil || t.Settings.MaxReview == 0 && !t.bounded() { // the states are not needed
		return nil
	}
	lock, err := slots.TryLock(filepath.Join(t.Home.Reviews(), "ask.lock")) // a second process would ask the same
	if errors.Is(err, slots.ErrBusy) {
		return nil
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	due := map[string]Review{}
	known := map[string]bool{}
	err = t.eachRequest(func(session string, r Review) {
		if known[session] = true; r.due(t.Now()) {
			due[session] = r
		}
	})
	if err == nil {
		err = t.forgetReviews(known)
	}
	if err != nil || len(due) == 0 {
		return err
	}
	env, err := t.AgentEnv()
	if err != nil {
		return err
	}
	order := make([]string, 0, len(due))
	for session := range due {
		order = append(order, session)
	}
	slices.SortFunc(order, func(a, b string) int {
		if c := due[a].AskedAt.Compare(due[b].AskedAt); c != 0 {
			return c
		}
		return strings.Compare(a, b)
	})
	ctx, cancel := context.WithTimeout(ctx, reviewLimit)
	defer cancel()
	for _, session := range order[:min(len(order), reviewMost)] {
		r := due[session]
		state, why := forge.State(ctx, r.URL, env)
		if ctx.Err() != nil { // the time of the whole round is up: the next pass asks this one first
			break
		}
		r.AskedAt, r.Why = t.Now(), ""
		if why != nil {
			t.Log.Debug("a pull request's state is not known", "session", session, "err", why)
			r.Why = why.Error()
		} else {
			r.State = state
		}
		data, err := json.Marshal(r)
		if err == nil {
			err = spool.Write(reviewPath(t.Home, session), append(data, '\n'))
		}
		if err == nil { // the session may have been ended meanwhile: whoever ends one removes this file last
			var s *slots.Session
			if s, err = t.Home.ReadSession(session); s == nil && err == nil {
				err = spool.Unlink(reviewPath(t.Home, session))
			}
		}
		if err != nil { // for example a full disk, which the others would meet as well
			return err
		}
	}
	return nil
}

// forgetReviews removes the files of requests that no session has any more.
func (t *Tick) forgetReviews(known map[string]bool) error {
	files, err := spool.List(t.Home.Reviews())
	if err != nil {
		return err
	}
	for _, f := range files {
		if session, ok := strings.CutSuffix(f, ".json"); ok && !known[session] {
			if err := spool.Unlink(filepath.Join(t.Home.Reviews(), f)); err != nil {
				return err
			}
		}
	}
	return nil
}

// AgentEnv is the environment of agents without the variables of a single run. It has the tokens for the forges.
func (t *Tick) AgentEnv() ([]string, error) {
	env, err := t.Environ()
	if err != nil {
		return nil, err
	}
	return slots.WithFiles(env, t.Home.EnvFile("default.env"), t.Home.EnvFile("dev.env"))
}
