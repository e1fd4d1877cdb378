package tick

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/fault"
	"kugetsu/queue/issueref"
	"kugetsu/slots"
	"kugetsu/slots/forge"
)

// pr asks how a session's pull request stands, under the session's lock. What is not known is kept. One that is found by the
// session's branch is remembered.
func (t *Tick) pr(ctx context.Context, s *slots.Session) forge.Status {
	if s == nil {
		return forge.Unknown
	}
	env, err := t.AgentEnv()
	state, before := forge.Unknown, s.PRURL
	if err == nil {
		state, err = s.AskRequest(ctx, env)
	}
	if err != nil {
		t.Log.Warn("how a pull request stands is not known", "issue", s.IssueRef, "err", err)
	}
	if ref, err := issueref.Parse(s.IssueRef, t.Settings.GitServer); s.PRURL != before && err == nil {
		if err := t.Home.WriteSession(ref.Session(), s); err != nil { // it is asked again the next time
			t.Log.Warn("a pull request that was found could not be remembered", "issue", s.IssueRef, "err", err)
		}
	}
	return state
}

// lookers is how long a session's lock is tried for: onlookers hold it for an instant, a git whose kugetsu was killed for
// a little longer.
const lookers = time.Second

// The locks: whoever removes a workspace, or brings something back into it, takes the session's lock and no other. A tick
// takes tick.lock, then a slot's, then the session's, and passes an item over whose session is busy: so it starts nothing
// here from the moment that we have the lock, whatever it decided before. And since we hold nothing while we try, and
// wait for nothing of the tick's while we hold it, the order cannot be turned round. Under tick.lock, git's work would
// keep all slots empty meanwhile.
//
// The queue is read after the lock was taken. An item that was live before is seen; one that comes later is an item on an
// issue without a session, which begins anew.

// at is the workspace of an issue, examined; under the session's lock if there is one.
func (t *Tick) at(ctx context.Context, ref issueref.Ref, lock *slots.Lock) (*slots.Place, error) {
	if t.Config != nil { // where the repository is would be a guess
		return nil, t.Config
	}
	repos, err := readRepos(t.Home)
	if err != nil {
		return nil, err
	}
	env, err := t.Environ()
	if err != nil {
		return nil, err
	}
	p, err := t.Home.Place(ref, t.workspace(ref, repos), env, lock)
	if err != nil {
		return nil, err
	}
	return p, p.Examine(ctx)
}

var errInUse = errors.New("is being worked on")

// lockSession takes a session's lock. The error is errInUse, and asks for exit code 75, where somebody works there.
func (t *Tick) lockSession(ref issueref.Ref) (*slots.Lock, error) {
	lock, err := slots.TryLockFor(t.Home.SessionLock(ref.Session()), lookers)
	if err == nil && t.worked(ref.Session()) { // the lease of a run that lives was unlocked
		lock, err = nil, errors.Join(slots.ErrBusy, lock.Close())
	}
	if errors.Is(err, slots.ErrBusy) {
		err = fault.New(fault.Temp, "kugetsu queue cancel "+ref.String()+" ends what runs; else wait for it", "%s %w", ref, errInUse)
	}
	return lock, err
}

// Alone does something with a workspace under the session's lock.
func (t *Tick) Alone(ctx context.Context, ref issueref.Ref, do func(p *slots.Place) error) (err error) {
	lock, err := t.lockSession(ref)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	p, err := t.at(ctx, ref, lock)
	if err != nil {
		return err
	}
	return do(p)
}

// live lists the live items of an issue.
func (t *Tick) live(ref issueref.Ref) ([]string, error) {
	same := SameIssue(ref.String())
	var ids []string
	err := t.Queue.LivePublic(func(id string, p queue.Public) {
		if !p.State.Settled() && same(p.IssueRef) {
			ids = append(ids, "the live item "+id)
		}
	})
	return ids, err
}

// Destroy removes an issue's workspace: refused while it holds what nobody else has, while an item of it is live and while
// its pull request is open. With force all of that but a live item is no reason: work is kept at refs, which are returned.
// A live item is one nevertheless: it would make the workspace anew the next moment.
func (t *Tick) Destroy(ctx context.Context, ref issueref.Ref, force bool) (kept []string, err error) {
	err = t.Alone(ctx, ref, func(p *slots.Place) error {
		if p.Session == nil && !p.Holding.There {
			return fault.New(fault.Failed, "kugetsu list shows them", "%s has no session", ref)
		}
		live, err := t.live(ref)
		if err != nil {
			return err
		}
		if len(live) > 0 {
			return fault.New(fault.Failed, "kugetsu queue cancel "+ref.String()+" ends it", "%s is not destroyed: it has %s", ref, strings.Join(live, ", "))
		}
		why := p.Work()
		if t.pr(ctx, p.Session) == forge.Open {
			why = append(why, "an open pull request, "+p.Session.PRURL)
		}
		if len(why) > 0 && !force {
			return fault.New(fault.Failed, "push or commit it; --force keeps it at refs below refs/kugetsu/ and destroys the rest",
				"%s is not destroyed: it has %s", ref, strings.Join(why, ", "))
		}
		kept, err = p.End(ctx, t.Now())
		return err
	})
	return kept, err
}

// Pruned is one thing that prune looked at.
type Pruned struct {
	Session  string `json:"session,omitempty"`
	IssueRef string `json:"issue_ref,omitempty"`
	Run      string `json:"run,omitempty"`
	Removed  bool   `json:"removed"` // or would be, in a dry run
	Why      string `json:"why"`

	safe bool      // it holds no work; only nothing says that it is done
	used time.Time // last
}

// Prune removes what is done with: workspaces whose pull request is merged or closed, or whose branch is in its base;
// those without a worktree or without a session; run folders that no item names, when they are old enough; and, of those
// that hold no work, what is older than MAX_WORKTREE_AGE_DAYS and the oldest of more than MAX_WORKTREES. Whatever holds work stays. A dry run says the
// same and removes nothing; what git hears of the remotes is a cache, so that it hears them then as well.
func (t *Tick) Prune(ctx context.Context, dry bool) ([]Pruned, error) {
	names, err := t.Home.Workspaces()
	if err != nil {
		return nil, err
	}
	t.hear(ctx, names)
	list := []Pruned{}
	var errs []error
	for _, name := range names {
		if ctx.Err() != nil {
			return list, context.Cause(ctx)
		}
		p, err := t.prune(ctx, name, "", dry)
		errs = append(errs, err)
		if err == nil {
			list = append(list, p)
		}
	}
	errs = append(errs, t.bound(ctx, list, dry))
	runs, err := t.pruneRuns(ctx, dry)
	return append(list, runs...), errors.Join(append(errs, err)...)
}

// hearLimit bounds one fetch: what it does not bring in time counts as it was.
const hearLimit = time.Minute

// hear lets the clones of these sessions hear of their remotes, each once. "Pushed" and "merged" are what git last heard; a
// remote that does not answer leaves that as it is, and what is not known is kept. No lock of a session is held meanwhile.
func (t *Tick) hear(ctx context.Context, names []string) {
	repos, err := readRepos(t.Home)
	env, envErr := t.Environ()
	if t.Config != nil || err != nil || envErr != nil {
		return // each workspace will say so
	}
	asked := map[string]bool{}
	for _, name := range names {
		ref, err := issueref.FromSession(name)
		if err != nil || asked[ref.RepoName()] {
			continue
		}
		p, err := t.Home.Place(ref, t.workspace(ref, repos), env, nil)
		if err != nil {
			continue // as above; perhaps another session of the repository is well
		}
		asked[ref.RepoName()] = true
		ctx, cancel := context.WithTimeoutCause(ctx, hearLimit, fmt.Errorf("no answer in %s", hearLimit))
		if err := p.Git.Fetch(ctx, p.Spec); err != nil {
			t.Log.Warn("what the remote has now is not known; what git last heard counts", "repository", ref.RepoPath(), "err", err)
		}
		cancel()
	}
}

// prune deals with one workspace. It is looked at and removed under one lock. surplus says why one that holds no work, and
// of which nothing says that it is done, is too much; "" where it is not.
func (t *Tick) prune(ctx context.Context, name, surplus string, dry bool) (Pruned, error) {
	r := Pruned{Session: name}
	ref, err := issueref.FromSession(name)
	if err != nil {
		return r, err
	}
	r.IssueRef = ref.String()
	err = t.Alone(ctx, ref, func(p *slots.Place) error {
		if p.Session != nil {
			r.IssueRef, r.used = p.Session.IssueRef, p.Session.LastUsedAt
		}
		live, err := t.live(ref)
		if err != nil {
			return err
		}
		if why := append(p.Work(), live...); len(why) > 0 {
			r.Why = "it has " + strings.Join(why, ", ")
			return nil
		}
		if r.Removed, r.safe, r.Why = t.done(ctx, p); !r.Removed && surplus != "" && r.safe {
			r.Removed, r.Why = true, fmt.Sprintf("%s, last used %s", surplus, r.used.Format(time.DateTime))
		}
		if r.Removed && !dry {
			_, err = p.End(ctx, t.Now())
		}
		return err
	})
	if errors.Is(err, errInUse) {
		r.Why, err = err.Error(), nil
	}
	if err != nil {
		return r, fmt.Errorf("%s: %w", name, err)
	}
	return r, nil
}

// done says whether a workspace that holds no work is done with, or else whether it is safe to remove; and why.
func (t *Tick) done(ctx context.Context, p *slots.Place) (done, safe bool, why string) {
	s, h := p.Session, p.Holding
	if s == nil {
		return true, true, "a worktree without a session"
	}
	state := t.pr(ctx, s)
	switch {
	case state == forge.Open:
		return false, false, "its pull request is open"
	case state == forge.Merged, state == forge.Closed:
		return true, true, "its pull request is " + string(state)
	case s.Start != "" && h.Tip != "" && h.Tip != s.Start && h.Base != "" && h.Ahead == 0 && (h.Head == "" || h.Head == h.Tip):
		return true, true, "its branch is merged into " + h.Base
	case s.PRURL != "":
		return false, false, "whether its pull request is merged is not known"
	case !h.Stands:
		return true, true, "a session without a worktree"
	}
	return false, true, "nothing says that it is done"
}

// bound removes the worktrees that are too many, or too old.
func (t *Tick) bound(ctx context.Context, list []Pruned, dry bool) error {
	left := 0
	var safe []*Pruned
	for i := range list {
		if !list[i].Removed {
			left++
		}
		if !list[i].Removed && list[i].safe {
			safe = append(safe, &list[i])
		}
	}
	slices.SortFunc(safe, func(a, b *Pruned) int { return cmp.Or(a.used.Compare(b.used), strings.Compare(a.Session, b.Session)) })
	var errs []error
	for _, one := range safe {
		why := t.surplus(left, one.used)
		if why == "" { // nor is a younger one
			break
		}
		now, err := t.prune(ctx, one.Session, why, dry) // it may have been used since
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if *one = now; now.Removed {
			left--
		}
	}
	return errors.Join(errs...)
}

// pruneRuns removes the folders of runs that no item names and that are old enough. Under tick.lock, so that no run is
// handed out meanwhile; the folders are listed before the items, since an item is there before its first run.
func (t *Tick) pruneRuns(ctx context.Context, dry bool) (list []Pruned, err error) {
	err = t.Locked(ctx, LockWait, func() error {
		runs, err := t.Home.AllRuns()
		if err != nil {
			return err
		}
		places, err := t.Queue.Places()
		if err != nil {
			return err
		}
		named, err := t.namedRuns()
		if err != nil {
			return err
		}
		for _, run := range runs {
			item, _, _ := strings.Cut(run, ".")
			if _, there := places[item]; there || named[run] || t.Now().Sub(queue.IDTime(item)) < t.Settings.CleanupAge() {
				continue
			}
			if !dry {
				if err := t.Home.DropRun(run); err != nil {
					return err
				}
			}
			list = append(list, Pruned{Run: run, Removed: true, Why: "a run that no item names"})
		}
		return nil
	})
	if errors.Is(err, ErrLocked) {
		return list, Busy()
	}
	return list, err
}

// namedRuns are the runs in the slots: one whose item was deleted may still be going on.
func (t *Tick) namedRuns() (map[string]bool, error) {
	names, err := t.Home.Names()
	if err != nil {
		return nil, err
	}
	runs := map[string]bool{}
	for _, slot := range names {
		in, err := t.Home.ReadIntent(slot)
		if err != nil {
			return nil, err // what is unknown may be any of them
		}
		if in != nil {
			runs[in.RunName()] = true
		}
	}
	return runs, nil
}

// Restore brings what is kept at a ref (the newest of the issue's snapshots where none is named) back into its worktree.
// It returns the ref.
func (t *Tick) Restore(ctx context.Context, ref issueref.Ref, at string) (string, error) {
	err := t.Alone(ctx, ref, func(p *slots.Place) error {
		all, err := p.Kept(ctx)
		if err != nil {
			return err
		}
		n, err := t.toRestore(ref, all, at)
		if err != nil {
			return err
		}
		if p.Holding.Dirty > 0 {
			return fault.New(fault.Failed, "commit it, or move it away", "%s has %d uncommitted or untracked files, which would be overwritten",
				p.Spec.Path, p.Holding.Dirty)
		}
		at = all[n].Ref
		return p.Restore(ctx, all[n], t.Settings.Agent, t.Now().UTC())
	})
	return at, err
}

// toRestore is which of the refs of an issue is brought back: the one that is named, or else the newest snapshot that
// kugetsu itself recorded, or else the newest commits. An agent whose sandbox opens the repository can make refs that look
// newer, or turn one of ours to a commit of its own.
func (t *Tick) toRestore(ref issueref.Ref, all []slots.Kept, at string) (int, error) {
	list := "kugetsu restore --list " + ref.String()
	if at != "" {
		n := slices.IndexFunc(all, func(k slots.Kept) bool { return k.Ref == at })
		if n < 0 {
			return 0, fault.New(fault.Failed, list, "nothing is kept of %s at %s", ref, at)
		}
		if all[n].Changed {
			return 0, fault.New(fault.Failed, list, "%s is not what kugetsu kept there: it was changed since", at)
		}
		return n, nil
	}
	snapshot := slots.IsSnapshot
	n := slices.IndexFunc(all, func(k slots.Kept) bool { return k.Recorded && snapshot(k) })
	if n < 0 { // an older kugetsu kept no record but the items' histories
		told, err := t.keptByItems(ref)
		if err != nil {
			return 0, err
		}
		n = slices.IndexFunc(all, func(k slots.Kept) bool { return !k.Changed && told[k.Ref] && snapshot(k) })
	}
	if n < 0 {
		n = slices.IndexFunc(all, func(k slots.Kept) bool { return k.Recorded })
	}
	switch {
	case n < 0 && len(all) == 0:
		return 0, fault.New(fault.Failed, list, "nothing is kept of %s", ref)
	case n < 0:
		return 0, fault.New(fault.Failed, list+", and name the ref", "%s has refs, but none that kugetsu has on record", ref)
	}
	return n, nil
}

// keptByItems are the refs that the histories of an issue's items name.
func (t *Tick) keptByItems(ref issueref.Ref) (map[string]bool, error) {
	same, told := SameIssue(ref.String()), map[string]bool{}
	settled, err := t.Queue.Settled()
	if err != nil {
		return nil, err
	}
	live, err := t.Queue.Live(queue.Dev)
	if err != nil {
		return nil, err
	}
	for _, e := range slices.Concat(settled, live) {
		it, err := t.Queue.Load(e)
		if err != nil {
			continue // it is told of where it is looked for
		}
		if !same(it.IssueRef) {
			continue
		}
		for _, run := range it.History {
			told[run.Ref] = true
		}
	}
	return told, nil
}

// ForgetKept deletes a ref below refs/kugetsu/ of an issue: where none is given, of the one that has it on record.
func (t *Tick) ForgetKept(ctx context.Context, at string, issue *issueref.Ref) error {
	if issue == nil {
		session, err := t.Home.KeptBy(at)
		if err != nil {
			return err
		}
		if session == "" {
			return fault.New(fault.Failed, "kugetsu restore --list <issue-ref> shows what is kept; kugetsu forget --issue <issue-ref> "+at,
				"no issue has %s on record", at)
		}
		ref, err := issueref.FromSession(session)
		if err != nil {
			return err
		}
		issue = &ref
	}
	return t.Alone(ctx, *issue, func(p *slots.Place) error {
		found, err := p.Forget(ctx, at)
		if err == nil && !found {
			err = fault.New(fault.Failed, "kugetsu restore --list "+issue.String(), "nothing is kept of %s at %s", *issue, at)
		}
		return err
	})
}

// Kept lists the refs at which work on an issue is kept, the newest first. It takes no lock.
func (t *Tick) Kept(ctx context.Context, ref issueref.Ref) ([]slots.Kept, error) {
	p, err := t.at(ctx, ref, nil)
	if err != nil {
		return nil, err
	}
	return p.Kept(ctx)
}

// SetPR stores the URL of a session's pull request.
func (t *Tick) SetPR(ref issueref.Ref, url string) (err error) {
	lock, err := t.lockSession(ref)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	s, err := t.Home.ReadSession(ref.Session())
	if err == nil && s == nil {
		err = fault.New(fault.Failed, "kugetsu list shows them", "%s has no session", ref)
	}
	if err != nil {
		return err
	}
	s.PRURL, s.PRSet = url, true
	return t.Home.WriteSession(ref.Session(), s)
}
