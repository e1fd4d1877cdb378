package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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
	// reviewFindEvery is how often the forge is asked for the request of a session that has none.
	reviewFindEvery = time.Hour
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

func reviewFile(home slots.Dir, session string) spool.File[Review] {
	return spool.File[Review]{Path: filepath.Join(home.Reviews(), session+".json"), Layout: spool.Line}
}

// ReadReview is what is known of a session's pull request: forge.Unknown before the first question.
func ReadReview(home slots.Dir, session, url string) (Review, error) {
	r, err := reviewFile(home, session).ReadGood()
	if r == nil || r.URL != url { // the forge is asked again
		return Review{URL: url, State: forge.Unknown}, err
	}
	return *r, nil
}

// waits says whether a person may still have to look at the request. An unknown state counts as open: an agent may have opened the
// request a moment ago, and a forge that is down must not lift the limit.
func (r Review) waits() bool { return r.State != forge.Merged && r.State != forge.Closed }

// due says whether it is time to ask.
func (r Review) due(now time.Time) bool {
	every := reviewEvery
	switch {
	case r.URL == "":
		every = reviewFindEvery
	case r.State == forge.Merged: // final
		return false
	case r.State == forge.Closed:
		every = reviewClosedEvery
	}
	age := now.Sub(r.AskedAt)
	return age < 0 || age >= every // a time in the future: the clock was set back
}

// TooManyReviews says why no new issue is started while too many pull requests wait for review, or "".
func (k *Keeper) TooManyReviews() (string, error) {
	waiting, unknown, reason := 0, 0, ""
	err := k.eachRequest(func(_ string, _ *slots.Session, r Review) {
		if r.URL == "" || !r.waits() {
			return
		}
		waiting++
		if r.Why != "" {
			unknown, reason = unknown+1, r.Why
		}
	})
	if err != nil || waiting < k.Settings.MaxReview {
		return "", err
	}
	why := "1 pull request waits for review (MAX_AWAITING_REVIEW)"
	if waiting > 1 {
		why = fmt.Sprintf("%d pull requests wait for review (MAX_AWAITING_REVIEW)", waiting)
	}
	if unknown > 0 {
		why += fmt.Sprintf("; the state of %d of them is not known: %s", unknown, reason)
	}
	return why, nil
}

// eachRequest visits the sessions that have a pull request, and those whose branch may have one that is not known yet: its URL is
// "" then. A file that is no session has none.
func (k *Keeper) eachRequest(visit func(name string, s *slots.Session, r Review)) error {
	sessions, err := k.Home.Sessions()
	if err != nil {
		return err
	}
	for _, name := range sessions {
		s, err := k.Home.ReadSession(name)
		if errors.Is(err, spool.ErrBad) || errors.Is(err, spool.ErrNewer) || err == nil && (s == nil || s.PRURL == "" && (s.PRSet || s.Branch == "")) {
			continue
		}
		if err != nil {
			return err
		}
		r, err := ReadReview(k.Home, name, s.PRURL)
		if err != nil {
			return err
		}
		visit(name, s, r)
	}
	return nil
}

// AskReviews asks the forges for the states of pull requests, those first whose last question is oldest. It is never called under
// tick.lock, since a forge may be slow.
func (k *Keeper) AskReviews(ctx context.Context) error {
	if k.Config != nil || k.Settings.MaxReview == 0 && !k.bounded() { // the states are not needed
		return nil
	}
	lock, err := slots.TryLock(filepath.Join(k.Home.Reviews(), "ask.lock")) // a second process would ask the same
	if errors.Is(err, slots.ErrBusy) {
		return nil
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	type question struct {
		name    string
		session *slots.Session
		Review
	}
	var due []question
	known := map[string]bool{}
	err = k.eachRequest(func(name string, s *slots.Session, r Review) {
		if known[name] = true; r.due(k.Now()) {
			due = append(due, question{name, s, r})
		}
	})
	if err == nil {
		err = k.forgetReviews(known)
	}
	if err != nil || len(due) == 0 {
		return err
	}
	env, err := k.AgentEnv()
	if err != nil {
		return err
	}
	slices.SortFunc(due, func(a, b question) int {
		return cmp.Or(a.AskedAt.Compare(b.AskedAt), strings.Compare(a.name, b.name))
	})
	ctx, cancel := context.WithTimeout(ctx, reviewLimit)
	defer cancel()
	for _, q := range due[:min(len(due), reviewMost)] {
		r, err := k.askReview(ctx, q.name, q.session, q.Review, env)
		if ctx.Err() != nil { // the time of the whole round is up: the next pass asks this one first
			break
		}
		if err == nil {
			err = k.writeReview(q.name, r)
		}
		if err != nil { // for example a full disk, which the others would meet as well
			return err
		}
	}
	return nil
}

// askReview asks for the state of one request. Where none is known it looks for the one of the session's branch, and records that
// in the session.
func (k *Keeper) askReview(ctx context.Context, name string, s *slots.Session, r Review, env []string) (Review, error) {
	var why error
	state := forge.Unknown
	if r.URL == "" {
		state, why = s.AskRequest(ctx, env)
	} else {
		state, why = forge.State(ctx, r.URL, env)
	}
	if ctx.Err() != nil {
		return r, nil
	}
	r.AskedAt, r.Why = k.Now(), ""
	if why != nil {
		k.Log.Debug("a pull request's state is not known", "session", name, "err", why)
		r.Why = why.Error()
		return r, nil
	}
	if r.State = state; r.URL == s.PRURL {
		return r, nil
	}
	recorded, err := k.recordRequest(name, s.PRURL)
	if recorded {
		k.Log.Info("found a pull request by its branch", "session", name, "url", s.PRURL)
		r.URL = s.PRURL
	} else {
		r.State = forge.Unknown
	}
	return r, err
}

// recordRequest records the request that was found for a session without one. It is false where a run works in the session, which
// finds the request itself, and where the session has got another one meanwhile.
func (k *Keeper) recordRequest(name, url string) (bool, error) {
	lock, err := slots.TryLock(k.Home.SessionLock(name))
	if errors.Is(err, slots.ErrBusy) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer lock.Close()
	s, err := k.Home.ReadSession(name)
	if err != nil || s == nil || s.PRURL != "" || s.PRSet || k.InUse(name) {
		return false, err
	}
	s.PRURL = url
	return true, k.Home.WriteSession(name, s)
}

func (k *Keeper) writeReview(name string, r Review) error {
	if err := reviewFile(k.Home, name).Write(&r); err != nil {
		return err
	}
	// The session may have been ended meanwhile: whoever ends one removes this file last.
	s, err := k.Home.ReadSession(name)
	if err != nil || s != nil {
		return err
	}
	return spool.Unlink(reviewFile(k.Home, name).Path)
}

// forgetReviews removes the files of requests that no session has any more.
func (k *Keeper) forgetReviews(known map[string]bool) error {
	files, err := spool.List(k.Home.Reviews())
	if err != nil {
		return err
	}
	for _, f := range files {
		if session, ok := strings.CutSuffix(f, ".json"); ok && !known[session] {
			if err := spool.Unlink(filepath.Join(k.Home.Reviews(), f)); err != nil {
				return err
			}
		}
	}
	return nil
}

// AgentEnv is the environment of agents without the variables of a single run. It has the tokens for the forges.
func (k *Keeper) AgentEnv() ([]string, error) {
	env, err := k.Environ()
	if err != nil {
		return nil, err
	}
	return slots.WithFiles(env, k.Home.EnvFile("default.env"), k.Home.EnvFile("dev.env"))
}
