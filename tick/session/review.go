package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/issueref"
	"kugetsu/queue/spool"
	"kugetsu/slots"
	"kugetsu/slots/forge"
	"kugetsu/tick/settings"
)

const (
	// reviewEvery is how often the forge is asked for the state of a pull request; reviewClosedEvery is that for a closed one, which may
	// be reopened.
	reviewEvery       = 15 * time.Minute
	reviewClosedEvery = 24 * time.Hour
	// reviewFindEvery is how often the forge is asked for the request of a session that has none, as the forge said.
	reviewFindEvery = time.Hour
	// reviewMost limits the questions of one pass; reviewLimit limits the time for all of them.
	reviewMost  = 20
	reviewLimit = 30 * time.Second
)

// Review is the file reviews/<session>.json: the last known state of a session's pull request. With this file the forge is asked seldom,
// and never under tick.lock.
type Review struct {
	URL      string       `json:"url"`
	State    forge.Status `json:"state"` // of the last successful question
	AskedAt  time.Time    `json:"asked_at"`
	Why      string       `json:"why,omitempty"`      // why the last question failed
	Followed *Followed    `json:"followed,omitempty"` // nil if the request was never followed
	Denied   *Denied      `json:"denied,omitempty"`   // nil if the forge showed all of the request when it was followed last
	With     string       `json:"with,omitempty"`     // the env files of a question that failed, see envMark; "" if it did not fail
}

// Denied says that the forge shows a followed request in part or not at all.
type Denied struct {
	Since time.Time `json:"since"`
	forge.Denial
	age time.Duration // where it is to be shown
}

func reviewFile(home slots.Dir, session string) spool.File[Review] {
	return spool.File[Review]{Path: filepath.Join(home.Reviews(), session+".json"), Layout: spool.Line}
}

// Shown is what is known of a session's pull request, as a person is to see it: without a need that a person has met since, and without
// the denial of a request that is not followed.
func (k *Keeper) Shown(name string, s *slots.Session) (Review, error) {
	r, err := ReadReview(k.Home, name, s.PRURL)
	if err != nil {
		return r, err
	}
	if r.Denied != nil && !k.follows(name) {
		r.Denied = nil
	}
	if r.Denied != nil {
		r.Denied.age = k.Now().Sub(r.Denied.Since)
		if r.outdated(k.envMark()) {
			r.Denied.Why = changed + ", asked again by the next tick"
		}
	}
	return r, k.clearNeed(name, s, &r)
}

// ReadReview reads the last known state of a session's pull request. Before the first question the state is forge.Unknown.
func ReadReview(home slots.Dir, session, url string) (Review, error) {
	r, err := reviewFile(home, session).ReadGood()
	if r == nil || r.URL != url { // the record of another request does not count: the forge is asked again
		return Review{URL: url, State: forge.Unknown}, err
	}
	return *r, nil
}

// waits says whether a person may still have to look at the request. An unknown state counts as open: an agent may have opened the
// request a moment ago, and a forge that is down must not lift the limit.
func (r Review) waits() bool { return r.State != forge.Merged && r.State != forge.Closed }

// due says whether it is time to ask for the state.
func (r Review) due(now time.Time, with string) bool { return r.dueIn(now, reviewEvery, with) }

// dueIn is due with another interval for an open request. A question that failed is due at once if the env files, which have the tokens,
// have changed since.
func (r Review) dueIn(now time.Time, every time.Duration, with string) bool {
	if r.State == forge.Merged { // final
		return false
	}
	age := now.Sub(r.AskedAt)
	return age < 0 || age >= r.every(every) || r.outdated(with) // a time in the future: the clock was set back
}

// outdated says whether a question failed with other env files than these.
func (r Review) outdated(with string) bool { return r.With != "" && r.With != with }

// every is how often a request is asked about where an open one is so often.
func (r Review) every(open time.Duration) time.Duration {
	switch {
	case r.URL == "" && r.Why == "": // a question that failed says nothing of the branch
		return reviewFindEvery
	case r.State == forge.Closed:
		return reviewClosedEvery
	}
	return open
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

// eachRequest visits the sessions that have a pull request, and those whose branch may have a request that is not known yet. Such a
// request has the URL "". A session file that is bad, or that a newer kugetsu wrote, is skipped.
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

// question is a session whose request is asked about.
type question struct {
	name    string
	session *slots.Session
	follow  settings.Follow // what of the request is followed; "" if only its state is asked for
	with    string          // the env files of the question, see envMark
	until   time.Time       // the host refuses answers until then; the zero time if it does not refuse
	made    intents         // the intents of a request that is followed, as they were before the forge is asked
	end     End             // how the session's last item ended, read before the forge is asked
	Review
}

// host is the host that the question goes to.
func (q *question) host() string {
	at := q.URL
	if at == "" {
		at = "https://" + q.session.IssueRef
	}
	u, err := url.Parse(at)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Host)
}

// otherBranch says whether a request is of another branch than the session's. Only the names are compared: the session may push to a
// fork, and the head commit shows whose branch it is.
func (q *question) otherBranch(rep forge.Report) bool {
	return rep.HeadBranch != "" && rep.HeadBranch != q.session.Branch
}

// refused notes until when the host answers nothing more, if the error says so.
func (q *question) refused(err error) {
	if limit := (*forge.LimitError)(nil); errors.As(err, &limit) {
		q.until = limit.Until
	}
}

// AskReviews asks the forges for the states of pull requests, beginning with the request whose last question is the oldest. It follows
// the requests that the settings name. It is never called under tick.lock, since a forge may be slow.
func (k *Keeper) AskReviews(ctx context.Context) error {
	if k.Config != nil {
		return nil
	}
	follow, any, err := k.following()
	if err != nil || !any && !k.statesNeeded() {
		return err
	}
	lock, err := slots.TryLock(filepath.Join(k.Home.Reviews(), "ask.lock")) // a second process would ask the same
	if errors.Is(err, slots.ErrBusy) {
		return nil
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	with := k.envMark() // before the files are read: what is changed meanwhile is asked with anew
	due, limits, denied, err := k.due(follow, with)
	if err != nil {
		return err
	}
	if len(due) > 0 {
		err = k.askAll(ctx, due, limits)
	}
	for _, q := range due {
		denied = denied || q.Denied != nil
	}
	return errors.Join(err, k.tellDenials(denied))
}

// askAll asks about requests.
func (k *Keeper) askAll(ctx context.Context, due []*question, limits limits) error {
	env, err := k.AgentEnv()
	if err != nil {
		return err
	}
	slices.SortFunc(due, func(a, b *question) int {
		return cmp.Or(a.AskedAt.Compare(b.AskedAt), strings.Compare(a.name, b.name))
	})
	ctx, cancel := context.WithTimeout(ctx, reviewLimit)
	defer cancel()
	for _, q := range due[:min(len(due), reviewMost)] {
		if limits.refuses(q.host(), k.Now()) { // an earlier answer of this pass said so
			continue
		}
		err := k.ask(ctx, q, env)
		if !q.until.IsZero() {
			err = errors.Join(err, limits.note(k.Home, q.host(), q.until))
		}
		if ctx.Err() != nil { // the time of the whole round is up: the next pass asks this one first
			return err
		}
		if err == nil {
			err = k.writeReview(q.name, q.Review)
		}
		if err != nil { // for example a full disk, which the others would meet as well
			return err
		}
	}
	return nil
}

// statesNeeded says whether anything but following needs the states of requests.
func (k *Keeper) statesNeeded() bool { return k.Settings.MaxReview > 0 || k.bounded() }

// following returns the function of what is followed in an issue's repository, and whether anything is followed in any repository.
func (k *Keeper) following() (of func(issueref.Ref) settings.Follow, any bool, err error) {
	if k.Follow == nil {
		return func(issueref.Ref) settings.Follow { return "" }, false, nil
	}
	return k.Follow()
}

// due are the sessions whose request is to be asked about now, and the hosts that refuse answers. Denied says whether a denial of any
// session is on record.
func (k *Keeper) due(follow func(issueref.Ref) settings.Follow, with string) (due []*question, l limits, denied bool, err error) {
	if l, err = readLimits(k.Home); err != nil {
		return nil, nil, false, err
	}
	known, live := map[string]bool{}, map[string]bool(nil)
	var liveErr error
	err = k.eachRequest(func(name string, s *slots.Session, r Review) {
		known[name] = true
		if r.URL == "" && s.LastUsedAt.After(r.AskedAt) { // a run may have opened a request since, and not have got an answer itself
			r.AskedAt = time.Time{}
		}
		q := &question{name: name, session: s, with: with, Review: r}
		denied = denied || r.Denied != nil
		if l.refuses(q.host(), k.Now()) {
			return
		}
		if ref, err := issueref.FromSession(name); err == nil && r.dueIn(k.Now(), k.Settings.FollowInterval, with) {
			q.follow = follow(ref)
		}
		if q.follow != "" && live == nil { // the queue is read once, and only if something is followed
			live, liveErr = k.liveSessions()
		}
		if live[name] {
			q.follow = ""
		}
		if q.follow != "" || k.statesNeeded() && r.due(k.Now(), with) {
			due = append(due, q)
		}
	})
	if err = cmp.Or(err, liveErr); err == nil {
		err = k.forgetReviews(known)
	}
	return due, l, denied, err
}

// liveSessions are the sessions that have a live item.
func (k *Keeper) liveSessions() (map[string]bool, error) {
	live := map[string]bool{}
	err := k.Queue.LivePublic(func(_ string, p queue.Public) {
		if ref, err := issueref.Canonical(p.IssueRef); err == nil && !p.State.Settled() {
			live[ref.Session()] = true
		}
	})
	return live, err
}

// ask asks about one request. If no request is known, it searches the request of the session's branch and records that in the session.
// An error stops the pass. A forge that does not answer is no error: q.Why says why.
func (k *Keeper) ask(ctx context.Context, q *question, env []string) error {
	var why error
	state, before, cause := forge.Unknown, q.session.PRURL, error(nil)
	q.Review.Why = ""
	switch {
	case q.URL == "":
		state, why = q.session.AskRequest(ctx, env)
	case q.follow != "":
		state, why, cause = k.inspectRequest(ctx, q, env)
	default:
		state, why = forge.State(ctx, q.URL, env)
	}
	if ctx.Err() != nil || cause != nil {
		return cause
	}
	q.AskedAt = k.Now()
	if d := forge.DenialOf(why); d != nil {
		k.deny(q, d)
	} else if why == nil && q.URL == "" { // else inspectRequest has set q.Denied
		k.deny(q, nil)
	}
	q.With = ""
	if why != nil || q.Denied != nil {
		q.With = q.with
	}
	if why != nil {
		k.Log.Debug("a pull request's state is not known", "session", q.name, "err", why)
		q.refused(why)
		q.Why = why.Error()
		return nil
	}
	if q.State = state; q.session.PRURL == before {
		return nil
	}
	recorded, err := k.recordRequest(q.name, before, q.session.PRURL)
	if !recorded {
		q.State = forge.Unknown
		return err
	}
	k.Log.Info("found a pull request by its branch", "session", q.name, "url", q.session.PRURL)
	q.Review = Review{URL: q.session.PRURL, State: state, AskedAt: q.AskedAt}
	if q.follow == "" || !q.until.IsZero() {
		return nil
	}
	return k.ask(ctx, q, env) // at most once more: the request is now that of the branch
}

// inspectRequest asks for all of a request that is followed, and calls follow with the answer. If the request is of another branch, the
// request of the session's branch is searched. why says why the forge did not answer; err stops the pass.
func (k *Keeper) inspectRequest(ctx context.Context, q *question, env []string) (state forge.Status, why, err error) {
	if err := k.before(q); err != nil {
		return forge.Unknown, nil, err
	}
	cache, err := readCache(k.Home, q.name)
	if err != nil {
		return forge.Unknown, nil, err
	}
	rep, why := forge.Inspect(ctx, q.URL, env, cache, forge.Want{Checks: true, Reviews: true})
	if ctx.Err() != nil {
		return forge.Unknown, why, nil
	}
	if why == nil {
		k.deny(q, rep.Denied)
	}
	if err := cacheFile(k.Home, q.name).WriteSoon(cache); err != nil {
		return forge.Unknown, nil, err
	}
	if q.until = rep.NotBefore; why != nil {
		return forge.Unknown, why, nil
	}
	if q.otherBranch(rep) && !q.session.PRSet && q.until.IsZero() {
		if state, why := q.session.AskRequest(ctx, env); why == nil && q.session.PRURL != q.URL {
			return state, nil, nil
		}
	}
	return rep.Status, nil, k.follow(ctx, q, rep, env)
}

// recordRequest records the request that was found for a session which had another request, or none. It records nothing and returns
// false if a run works in the session, since the run finds the request itself; and if the session has got another request meanwhile.
func (k *Keeper) recordRequest(name, before, url string) (bool, error) {
	lock, err := slots.TryLock(k.Home.SessionLock(name))
	if errors.Is(err, slots.ErrBusy) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer lock.Close()
	s, err := k.Home.ReadSession(name)
	if err != nil || s == nil || s.PRURL != before || s.PRSet || k.InUse(name) {
		return false, err
	}
	s.PRURL = url
	return true, k.Home.WriteSession(name, s)
}

func (k *Keeper) writeReview(name string, r Review) error {
	if err := reviewFile(k.Home, name).Write(&r); err != nil {
		return err
	}
	// The session may have ended meanwhile. Its end removes this file last, and may have done so before this write.
	s, err := k.Home.ReadSession(name)
	if err != nil || s != nil {
		return err
	}
	return k.Home.DropReview(name)
}

// forgetReviews removes the files of requests that no session has any more.
func (k *Keeper) forgetReviews(known map[string]bool) error {
	files, err := spool.List(k.Home.Reviews())
	if err != nil {
		return err
	}
	if err := k.forgetBeside(files); err != nil {
		return err
	}
	for _, f := range files {
		if isBeside(f) {
			continue
		}
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
	return slots.WithFiles(env, k.envFiles()...)
}
