package session

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/event"
	"kugetsu/queue/issueref"
	"kugetsu/queue/terminal"
	"kugetsu/slots"
	"kugetsu/slots/forge"
	"kugetsu/tick/settings"
)

// A request that is followed becomes work for its agent: each thing that the forge says of the request becomes one item. The steps are
//
//	ask the forge                 nothing is written: after a crash the next pass asks again
//	a fingerprint is new          no file reviews/<session>~<fingerprint>.json exists
//	publish the intent            writes that file, which names the item. Of two passes one writes it, and both go on with its item
//	put the event, then the item  under the names in the intent, so that two passes make each of them once
//	mark the intent as published  from now on the item may be filed, cleared or given another priority
//	write the record              reviews/<session>.json
//
// A pass that finds an intent without that mark looks for the item in all places first. News that still stands after its item ended is
// in stuck.go.

// Followed is the last answer of a forge about a request that is followed, and the events that the request has caused. Strangers chose
// the names in it, so the names are cleaned and cut.
type Followed struct {
	Head      string        `json:"head"`
	HeadSince time.Time     `json:"head_since"` // when a pass saw this head first
	Draft     bool          `json:"draft,omitempty"`
	Merge     forge.Merge   `json:"merge,omitempty"`
	CI        forge.Verdict `json:"ci,omitempty"`
	Running   bool          `json:"running,omitempty"` // a check has not ended
	Failed    []string      `json:"failed,omitempty"`  // names of checks
	Approvals int           `json:"approvals,omitempty"`
	Changes   int           `json:"changes_requested,omitempty"` // how many reviewers who may write request changes
	Ready     bool          `json:"ready,omitempty"`             // a person may merge it
	Not       string        `json:"not,omitempty"`               // why the request is not followed now
	Since     string        `json:"since,omitempty"`             // the newest item that a person made; FOLLOW_MAX counts the items after it
	Told      string        `json:"ready_told,omitempty"`        // the head for which there is an event that it is ready
	Stood     *Stood        `json:"stood,omitempty"`             // news that an earlier look found standing after its item ended
	Needs     *Needs        `json:"needs,omitempty"`
}

// Needs is why a request needs a person: FOLLOW_MAX items were made of it, or its last item ended and nothing was pushed.
type Needs struct {
	At   time.Time `json:"at"`
	Why  string    `json:"why"`            // the news that remains after the agent's runs
	Made int       `json:"made"`           // how many items were made of the request, if FOLLOW_MAX is the reason
	Item string    `json:"item,omitempty"` // the item that ended, if that is the reason
}

// Text is the reason, in one line.
func (n Needs) Text() string {
	if n.Item != "" {
		return n.Why
	}
	return fmt.Sprintf("%s, after %s of it (FOLLOW_MAX)", n.Why, terminal.Count(n.Made, "task"))
}

const (
	// failedMost is how many failed checks are named, nameMost how many bytes of a name are kept.
	failedMost = 20
	nameMost   = 100
)

// name is a name that a stranger chose, cleaned and cut so that it fits into one line.
func name(text string) string { return terminal.Line(terminal.Joined(text), nameMost) }

// update fills in the report of a forge. The fields about events stay, since a record is of one request.
func (f *Followed) update(rep forge.Report, now time.Time) {
	if rep.Head != f.Head {
		f.unstuck()
	}
	if rep.Head != f.Head || f.HeadSince.After(now) { // a time in the future: the clock was set back
		f.Head, f.HeadSince = rep.Head, now
	}
	f.Draft, f.Merge, f.CI, f.Approvals, f.Not = rep.Draft, rep.Merge, rep.CI(), rep.Approvals, ""
	f.Running, f.Failed, f.Changes = false, nil, len(requested(rep))
	for _, c := range rep.Checks {
		f.Running = f.Running || c.Verdict == forge.Pending
		if c.Verdict == forge.Failed && len(f.Failed) < failedMost {
			f.Failed = append(f.Failed, name(c.Name))
		}
	}
}

// requested are the reviews that request changes, of people who may write. Other people's reviews are ignored.
func requested(rep forge.Report) (list []forge.Review) {
	for _, r := range rep.Reviews {
		if r.Opinion == forge.ChangesRequested && r.MayWrite {
			list = append(list, r)
		}
	}
	return list
}

// news is one thing that a request asks of its agent.
type news struct {
	kind  event.Type
	what  string // in one line, cleaned
	still string // the same, after its item ended
	mark  []string
}

// fingerprint identifies the news within its session. It is a part of file names.
func (n news) fingerprint(session, url string) string {
	text, _ := json.Marshal(append([]string{session, url, string(n.kind)}, n.mark...)) // strings can always be encoded
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:6])
}

// newsOf lists what a request asks for, in the order in which the agent works on it. A review comes first, since each push makes the
// checks run again and may end a conflict. Failed checks are news only after all checks have ended, so that one item has all of them.
func newsOf(rep forge.Report, follow settings.Follow) (list []news) {
	if reviews := requested(rep); follow.Has(settings.FollowReview) && len(reviews) > 0 {
		newest := slices.MaxFunc(reviews, func(a, b forge.Review) int { return a.At.Compare(b.At) })
		// The mark is without the head: after the agent's push the same review still stands, until the reviewer reviews again.
		list = append(list, news{kind: event.ChangesWanted, what: fmt.Sprintf("changes requested by %d", len(reviews)), still: fmt.Sprintf("changes requested by %d still stand", len(reviews)), mark: []string{newest.Commit, newest.ID}})
	}
	if follow.Has(settings.FollowConflict) && rep.Merge == forge.MergeConflict {
		list = append(list, news{kind: event.Conflict, what: "conflicts with its base", still: "still conflicts with its base", mark: []string{rep.Head}})
	}
	var failed []string
	for _, c := range rep.Checks {
		if c.Verdict == forge.Pending {
			return list
		}
		if c.Verdict == forge.Failed {
			failed = append(failed, c.Name)
		}
	}
	if follow.Has(settings.FollowCI) && len(failed) > 0 {
		slices.Sort(failed)
		list = append(list, news{kind: event.CIFailed, what: "CI failing: " + names(failed), still: "CI is still failing: " + names(failed), mark: append([]string{rep.Head}, failed...)})
	}
	return list
}

// shownMost is how many names a line shows.
const shownMost = 3

// names lists the first names, and says how many more there are.
func names(all []string) string {
	var shown []string
	for _, one := range all[:min(len(all), shownMost)] {
		shown = append(shown, name(one))
	}
	text := strings.Join(shown, ", ")
	if more := len(all) - len(shown); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// Strip says in a few words how far a request is, as in "PR #57 open, CI failing: test, changes requested by 1"; "" without a request.
func (r Review) Strip() string {
	if r.URL == "" {
		return ""
	}
	return r.Called() + " " + r.Says()
}

// Called is the short name of a request: PR #57.
func (r Review) Called() string { return strings.TrimSpace("PR " + number(r.URL)) }

// Says is the state of a request and, if it is followed, the state of its checks and reviews.
func (r Review) Says() string {
	parts := []string{string(r.State)}
	if f := r.Followed; f != nil && r.State == forge.Open {
		parts = append(parts, f.strip()...)
	}
	if r.Denied != nil {
		parts = append(parts, "not seen since "+terminal.Duration(r.Denied.age)+" ago: "+r.Denied.Why)
	}
	return strings.Join(parts, ", ")
}

// number is the number of a request, as #57; "" if its URL does not end with a number.
func number(url string) string {
	last := url[strings.LastIndexByte(url, '/')+1:]
	if last == "" || strings.Trim(last, "0123456789") != "" {
		return ""
	}
	return "#" + last
}

func (f *Followed) strip() (parts []string) {
	add := func(is bool, text string) {
		if is {
			parts = append(parts, text)
		}
	}
	add(f.Draft, "draft")
	add(f.Merge == forge.MergeConflict, "conflicts with its base")
	add(len(f.Failed) > 0, "CI failing: "+names(f.Failed))
	add(len(f.Failed) == 0 && f.Running, "CI running")
	add(f.CI == forge.Passed, "CI passed")
	add(f.Changes > 0, fmt.Sprintf("changes requested by %d", f.Changes))
	add(f.Approvals > 0, fmt.Sprintf("approved by %d", f.Approvals))
	add(f.Ready, "ready to merge")
	add(f.Needs != nil, "needs a person")
	add(f.Not != "", "not followed: "+f.Not)
	return parts
}

// Ready says whether a person may merge a request that is followed.
func (r Review) Ready() bool { return r.State == forge.Open && r.Followed != nil && r.Followed.Ready }

// notFollowed says why an open request is not followed, or "".
func (k *Keeper) notFollowed(ctx context.Context, q *question, rep forge.Report) (string, error) {
	switch {
	case rep.Draft && !q.follow.Has(settings.FollowDraft):
		return "it is a draft", nil
	case !q.session.PRSet && q.otherBranch(rep):
		return "it is not of the branch " + q.session.Branch, nil
	case rep.Head == "":
		return "the forge does not name its head", nil
	}
	ours, err := k.pushed(ctx, q, rep.Head)
	if err != nil {
		return "", err
	}
	if !ours {
		return "its head " + name(rep.Head[:min(len(rep.Head), 10)]) + " is not of this session", nil
	}
	return "", nil
}

// pushed says whether the session's own branch has a commit, now or earlier. A person pushed any other commit, and has taken over.
func (k *Keeper) pushed(ctx context.Context, q *question, commit string) (bool, error) {
	ref, err := issueref.FromSession(q.name)
	if err != nil {
		return false, err
	}
	p, err := k.workspace(ref, nil)
	if err != nil {
		return false, err
	}
	return p.Git.Had(ctx, p.Spec, commit)
}

// follow turns a report into an item, an event, or nothing, and fills in q.Followed. If something cannot be found out about this
// request alone, q.Why says so. An error stops the pass.
func (k *Keeper) follow(ctx context.Context, q *question, rep forge.Report, env []string) error {
	f := q.Followed
	if f == nil {
		f = &Followed{}
		q.Followed = f
	}
	f.update(rep, k.Now())
	f.Ready = false
	if rep.Status != forge.Open {
		f.Needs = nil
		return nil
	}
	not, err := k.notFollowed(ctx, q, rep)
	if err != nil {
		q.Why = err.Error()
		return nil
	}
	if f.Not = not; not != "" {
		return nil
	}
	f.resetIfContinued(q.session, q.made)
	list := newsOf(rep, q.follow)
	stands, again := q.stands(rep, list)
	for _, n := range list {
		if !q.made.has(n.fingerprint(q.name, q.URL)) {
			return k.tell(ctx, q, rep, n, env)
		}
	}
	if len(list) > 0 {
		if !again || !q.end.vain() {
			return nil
		}
		return k.needStuck(q, stands)
	}
	if !f.Running && f.Stood == nil {
		f.Needs = nil // the request asks for nothing any more
	}
	f.Ready = rep.Ready() && (rep.CI() != forge.NoChecks || k.Now().Sub(f.HeadSince) >= k.Settings.FollowInterval)
	if !f.Ready || f.Told == f.Head {
		return nil
	}
	ready := news{kind: event.PRReady, what: "ready to merge", mark: []string{f.Head}}
	if err := k.Queue.Events.PutOnce(k.event(q, ready, "")); err != nil {
		return err
	}
	f.Told = f.Head
	return nil
}

// resetIfContinued resets the count of items if a person has continued the issue since.
func (f *Followed) resetIfContinued(s *slots.Session, made intents) {
	if s.LastItem > f.Since && !made.item(s.LastItem) {
		f.Since, f.Needs = s.LastItem, nil
	}
}

// clearNeed removes Needs from a request that is shown, if a person has continued the issue: an item is live, or an item that no request
// asked for has run since. The file is not changed; the next answer of the forge changes it.
func (k *Keeper) clearNeed(session string, s *slots.Session, r *Review) error {
	if r.Followed == nil || r.Followed.Needs == nil {
		return nil
	}
	ref, err := issueref.FromSession(session)
	if err != nil {
		return err
	}
	same := issueref.Same(ref.String())
	err = k.Queue.LivePublic(func(_ string, p queue.Public) {
		if same(p.IssueRef) && !p.State.Settled() {
			r.Followed.Needs = nil
		}
	})
	if err != nil || r.Followed.Needs == nil {
		return err
	}
	made, err := k.intents(session)
	if err == nil {
		r.Followed.resetIfContinued(s, made)
	}
	return err
}

// event is the event of news. Its name follows from the fingerprint, so that the same news is one event.
func (k *Keeper) event(q *question, n news, item string) event.Event {
	ev := event.Event{Name: string(n.kind) + "." + n.fingerprint(q.name, q.URL), Type: n.kind, Item: item, IssueRef: q.session.IssueRef,
		Agent: q.session.Agent, Text: strings.TrimSpace("PR "+number(q.URL)) + " " + n.what}
	ev.PRURL = q.URL
	return ev
}
