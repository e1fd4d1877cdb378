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

	"kugetsu/queue"
	"kugetsu/queue/spool"
	"kugetsu/slots"
	"kugetsu/slots/forge"
)

const (
	// reviewEvery is how often a pull request is asked about; reviewClosedEvery one that was closed: somebody may open it again.
	reviewEvery       = 15 * time.Minute
	reviewClosedEvery = 24 * time.Hour
	// reviewMost bounds the questions of one pass, reviewLimit the time they take together.
	reviewMost  = 20
	reviewLimit = 30 * time.Second
)

// Review is the file reviews/<session>.json: what a session's pull request was when it was asked about. It is only kept
// so that nobody need ask under a lock, or often.
type Review struct {
	URL     string       `json:"url"`
	State   forge.Status `json:"state"` // one that cannot be asked for is what it was
	AskedAt time.Time    `json:"asked_at"`
	Why     string       `json:"why,omitempty"` // it could not be asked for, the last time
}

func reviewPath(home slots.Dir, session string) string {
	return filepath.Join(home.Reviews(), session+".json")
}

// ReadReview is what is known of a session's pull request: forge.Unknown for one that was not asked about yet.
func ReadReview(home slots.Dir, session, url string) (Review, error) {
	var r Review
	err := spool.ReadJSON(reviewPath(home, session), &r)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, spool.ErrBad), err == nil && r.URL != url: // it is asked again
		return Review{URL: url, State: forge.Unknown}, nil
	case err != nil:
		return Review{URL: url, State: forge.Unknown}, err
	}
	return r, nil
}

// waits says whether somebody may still have to look at the request. What is not known to be over is not: one that an agent
// made a moment ago was not asked about yet, and a forge that is down must not open the gate.
func (r Review) waits() bool { return r.State != forge.Merged && r.State != forge.Closed }

// due says whether it is time to ask.
func (r Review) due(now time.Time) bool {
	every := reviewEvery
	switch r.State {
	case forge.Merged: // for good
		return false
	case forge.Closed:
		every = reviewClosedEvery
	}
	age := now.Sub(r.AskedAt)
	return age < 0 || age >= every // a time in the future is a clock that was set back
}

// unreviewed says why nothing new is started while too many pull requests wait for somebody, or "". New is what has no
// session: comments on a request that is there must reach its agent, or it would never be done.
func (t *Tick) unreviewed(session string, k *taken) string {
	if t.Settings.MaxReview == 0 || session == slots.PMSession {
		return ""
	}
	if s, err := t.Home.ReadSession(session); s != nil || err != nil { // what is wrong with it, its run says
		return ""
	}
	if k.review == nil { // once for a pass
		why, err := t.tooManyReviews()
		if err != nil { // not known is not few
			why = "the pull requests are not known: " + err.Error()
		}
		k.review = &why
	}
	return *k.review
}

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

// eachRequest visits the sessions that have a pull request. One that cannot be read as a session has none.
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

// askReviews asks how the pull requests stand, those first that were asked about longest ago. Never under tick.lock: a
// forge may take its time.
func (t *Tick) askReviews(ctx context.Context) error {
	if t.Config != nil || t.Settings.MaxReview == 0 && !t.bounded() { // nobody wants to know
		return nil
	}
	lock, err := slots.TryLock(filepath.Join(t.Home.Reviews(), "ask.lock")) // two would ask the same
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
		if ctx.Err() != nil { // the time was up for all, and not for this one: the next pass asks it first
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
		if err == nil { // it may have ended meanwhile: whoever ends one removes this file last
			var s *slots.Session
			if s, err = t.Home.ReadSession(session); s == nil && err == nil {
				err = spool.Unlink(reviewPath(t.Home, session))
			}
		}
		if err != nil { // the disk is full, say: it would be for the others too
			return err
		}
	}
	return nil
}

// forgetReviews removes what is known of requests that no session has any more.
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

// AgentEnv is what agents get of the environment, without what is a run's own. The tokens of the forges are in it.
func (t *Tick) AgentEnv() ([]string, error) {
	env, err := t.Environ()
	if err != nil {
		return nil, err
	}
	return slots.WithFiles(env, t.Home.EnvFile("default.env"), t.Home.EnvFile("dev.env"))
}

// waitsForReview says whether an item is new and therefore waits.
func (t *Tick) waitsForReview(it *queue.Item, k *taken) bool {
	session, err := sessionOf(it)
	return err == nil && t.unreviewed(session, k) != ""
}
