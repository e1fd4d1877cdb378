package session

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
	"kugetsu/queue/terminal"
	"kugetsu/slots"
	"kugetsu/slots/forge"
)

// pr asks for the state of a session's pull request, under the session's lock. If the state is not known, the workspace is kept. A
// request that is found by the session's branch is recorded.
func (k *Keeper) pr(ctx context.Context, s *slots.Session) forge.Status {
	if s == nil {
		return forge.Unknown
	}
	env, err := k.AgentEnv()
	state, before := forge.Unknown, s.PRURL
	if err == nil {
		state, err = s.AskRequest(ctx, env)
	}
	if err != nil {
		k.Log.Warn("the state of a pull request is not known", "issue", s.IssueRef, "err", err)
	}
	if ref, err := issueref.Parse(s.IssueRef, k.Settings.GitServer); s.PRURL != before && err == nil {
		if err := k.Home.WriteSession(ref.Session(), s); err != nil { // the next question finds the request again
			k.Log.Warn("a pull request was found and could not be recorded", "issue", s.IssueRef, "err", err)
		}
	}
	return state
}

// readerWait is how long a session's lock is tried for. A reader has the lock for an instant, the git of a killed kugetsu a little
// longer.
const readerWait = time.Second

// The locks: a command that removes a workspace, or restores something into it, takes the session's lock and no other. A tick takes
// tick.lock, then a slot's lock, then the session's, and skips an item whose session is busy. So a tick starts nothing in the session
// while such a command has the lock. The command has no other lock while it tries, and waits for no lock of a tick afterwards: a
// deadlock is not possible. It does not take tick.lock, since git's work under that lock would keep all slots empty.
//
// The queue is read after the lock is taken. An item that was live before is seen. A later item finds an issue without a session,
// and begins a new one.

// at is the workspace of an issue, inspected; under the session's lock if there is one.
func (k *Keeper) at(ctx context.Context, ref issueref.Ref, lock *slots.Lock) (*slots.Workspace, error) {
	p, err := k.workspace(ref, lock)
	if err != nil {
		return nil, err
	}
	return p, p.Examine(ctx)
}

// workspace is the workspace of an issue, not inspected.
func (k *Keeper) workspace(ref issueref.Ref, lock *slots.Lock) (*slots.Workspace, error) {
	if k.Config != nil { // it is not known where the repository is
		return nil, k.Config
	}
	settings, err := k.Workspaces()
	if err != nil {
		return nil, err
	}
	env, err := k.Environ()
	if err != nil {
		return nil, err
	}
	return k.Home.Workspace(ref, settings(ref), env, lock)
}

var errInUse = errors.New("is in use by a run")

// lockSession takes a session's lock. If a run works there the error is errInUse, with exit code 75.
func (k *Keeper) lockSession(ref issueref.Ref) (*slots.Lock, error) {
	lock, err := slots.TryLockFor(k.Home.SessionLock(ref.Session()), readerWait)
	if err == nil && k.InUse(ref.Session()) { // the lease of a live run was unlocked
		lock, err = nil, errors.Join(slots.ErrBusy, lock.Close())
	}
	if errors.Is(err, slots.ErrBusy) {
		err = fault.New(fault.Temp, "wait for its end, or end it with kugetsu queue cancel "+ref.String(), "%s %w", ref, errInUse)
	}
	return lock, err
}

// Alone calls do with a workspace, under the session's lock.
func (k *Keeper) Alone(ctx context.Context, ref issueref.Ref, do func(p *slots.Workspace) error) (err error) {
	lock, err := k.lockSession(ref)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	p, err := k.at(ctx, ref, lock)
	if err != nil {
		return err
	}
	return do(p)
}

// live lists the live items of an issue, and the live items whose branch is to begin at the issue's branch. texts says which of the two
// each is.
func (k *Keeper) live(ref issueref.Ref) (ids, texts []string, err error) {
	same := issueref.Same(ref.String())
	err = k.Queue.LivePublic(func(id string, p queue.Public) {
		switch {
		case p.State.Settled():
		case same(p.IssueRef):
			ids, texts = append(ids, id), append(texts, "the live item "+id)
		case p.OnTop != "" && same(p.OnTop):
			ids, texts = append(ids, id), append(texts, "the live item "+id+" on top of it")
		}
	})
	return ids, texts, err
}

// Destroy removes an issue's workspace. It refuses while the workspace has unsaved work, an item of the issue is live, or the issue's
// pull request is open. With force it refuses only for a live item, which would make the workspace again at once. Unsaved work is
// first kept at refs, which Destroy returns.
func (k *Keeper) Destroy(ctx context.Context, ref issueref.Ref, force bool) (kept []string, err error) {
	err = k.Alone(ctx, ref, func(p *slots.Workspace) error {
		if p.Session == nil && !p.Holding.There {
			return fault.New(fault.Failed, "kugetsu list shows them", "%s has no session", ref)
		}
		ids, live, err := k.live(ref)
		if err != nil {
			return err
		}
		if len(live) > 0 {
			return fault.New(fault.Failed, "kugetsu queue cancel "+ids[0]+" ends it", "%s is not destroyed: it has %s", ref, strings.Join(live, ", "))
		}
		why := p.Work()
		if k.pr(ctx, p.Session) == forge.Open {
			why = append(why, "an open pull request, "+p.Session.PRURL)
		}
		if len(why) > 0 && !force {
			return fault.New(fault.Failed, "push or commit it; with --force it is kept at refs, and kugetsu restore brings it back",
				"%s is not destroyed: it has %s", ref, strings.Join(why, ", "))
		}
		kept, err = p.End(ctx, k.Now())
		return err
	})
	return kept, err
}

// Pruned is the result of prune for one workspace or run.
type Pruned struct {
	Session  string `json:"session,omitempty"`
	IssueRef string `json:"issue_ref,omitempty"`
	Run      string `json:"run,omitempty"`
	Removed  bool   `json:"removed"` // or would be, in a dry run
	Why      string `json:"why"`

	safe bool      // the workspace may be removed beyond a limit: it has no unsaved work and no request that may be open
	used time.Time // last used
}

// Prune removes workspaces that are done: the pull request is merged or closed, the branch is in its base, or the worktree or the session
// is missing. It also removes workspaces older than MAX_WORKTREE_AGE_DAYS, and the oldest beyond MAX_WORKTREES. A workspace with unsaved
// work always stays. A dry run reports the same and removes nothing; it does fetch, since that only renews a cache. The list is nil if
// the workspaces cannot be listed.
func (k *Keeper) Prune(ctx context.Context, dry bool) ([]Pruned, error) {
	names, err := k.Home.Workspaces()
	if err != nil {
		return nil, err
	}
	k.fetchRemotes(ctx, names)
	list := []Pruned{}
	var errs []error
	for _, name := range names {
		if ctx.Err() != nil {
			return list, context.Cause(ctx)
		}
		p, err := k.prune(ctx, name, "", dry)
		errs = append(errs, err)
		if err == nil {
			list = append(list, p)
		}
	}
	return list, errors.Join(append(errs, k.bound(ctx, list, dry))...)
}

// fetchLimit limits one fetch. After it, the last known state counts.
const fetchLimit = time.Minute

// fetchRemotes fetches the remotes of these sessions, each repository once. "Pushed" and "merged" mean the last known state of the remote.
// If a remote does not answer, that state stays. No session is locked meanwhile.
func (k *Keeper) fetchRemotes(ctx context.Context, names []string) {
	workspace, err := k.Workspaces()
	env, envErr := k.Environ()
	if k.Config != nil || err != nil || envErr != nil {
		return // each workspace reports the error
	}
	asked := map[string]bool{}
	for _, name := range names {
		ref, err := issueref.FromSession(name)
		if err != nil || asked[ref.RepoName()] {
			continue
		}
		p, err := k.Home.Workspace(ref, workspace(ref), env, nil)
		if err != nil {
			continue // its prune reports the error; another session of the repository may be well
		}
		asked[ref.RepoName()] = true
		ctx, cancel := context.WithTimeoutCause(ctx, fetchLimit, fmt.Errorf("no answer in %s", fetchLimit))
		if err := p.Git.Fetch(ctx, p.Spec); err != nil {
			k.Log.Warn("the remote could not be fetched; its last known state counts", "repository", ref.RepoPath(), "err", err)
		}
		cancel()
	}
}

// prune inspects one workspace and removes it if it is done, under one lock. surplus names the limit that the workspace exceeds, or is
// "". Beyond a limit a safe workspace is removed, too.
func (k *Keeper) prune(ctx context.Context, name, surplus string, dry bool) (Pruned, error) {
	r := Pruned{Session: name}
	ref, err := issueref.FromSession(name)
	if err != nil {
		return r, err
	}
	r.IssueRef = ref.String()
	err = k.Alone(ctx, ref, func(p *slots.Workspace) error {
		if p.Session != nil {
			r.IssueRef, r.used = p.Session.IssueRef, p.Session.LastUsedAt
		}
		_, live, err := k.live(ref)
		if err != nil {
			return err
		}
		if why := append(p.Work(), live...); len(why) > 0 {
			r.Why = "it has " + strings.Join(why, ", ")
			return nil
		}
		if r.Removed, r.safe, r.Why = k.done(ctx, p); !r.Removed && surplus != "" && r.safe {
			r.Removed, r.Why = true, fmt.Sprintf("%s, last used %s", surplus, r.used.Format(time.DateTime))
		}
		if r.Removed && !dry {
			_, err = p.End(ctx, k.Now())
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

// done says whether a workspace without unsaved work is done, and why or why not. safe says whether it may be removed beyond a limit.
func (k *Keeper) done(ctx context.Context, p *slots.Workspace) (done, safe bool, why string) {
	s, h := p.Session, p.Holding
	if s == nil {
		return true, true, "a worktree without a session"
	}
	state := k.pr(ctx, s)
	switch {
	case state == forge.Open:
		return false, false, "its pull request is open"
	case state == forge.Merged, state == forge.Closed:
		return true, true, "its pull request is " + string(state)
	case s.Start != "" && h.Tip != "" && h.Tip != s.Start && h.Base != "" && h.Ahead == 0 && (h.Head == "" || h.Head == h.Tip):
		return true, true, "its branch is merged into " + h.Base
	case s.PRURL != "":
		return false, false, "the state of its pull request is not known"
	case !h.Stands && s.Scratch == "":
		return true, true, "a session without a worktree"
	}
	return false, true, "no pull request is known, and its branch is not merged"
}

// bound removes the worktrees that exceed the limits.
func (k *Keeper) bound(ctx context.Context, list []Pruned, dry bool) error {
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
		why := k.overLimit(left, one.used)
		if why == "" { // the younger workspaces exceed no limit either
			break
		}
		now, err := k.prune(ctx, one.Session, why, dry) // once more under the lock: the workspace may have been used since
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

// Restore brings the content of a ref back into the worktree of an issue: by default that of its newest snapshot. It returns the
// ref, and whether anything was to bring back.
func (k *Keeper) Restore(ctx context.Context, ref issueref.Ref, at string) (from string, changed bool, err error) {
	err = k.Alone(ctx, ref, func(p *slots.Workspace) error {
		all, err := p.Kept(ctx)
		if err != nil {
			return err
		}
		n, err := k.toRestore(ref, all, at)
		if err != nil {
			return err
		}
		if p.Holding.Dirty > 0 {
			return fault.New(fault.Failed, "commit it, or move it away", "restore would overwrite %s in %s",
				terminal.Count(p.Holding.Dirty, "uncommitted or untracked file"), p.Spec.Path)
		}
		at = all[n].Ref
		changed, err = p.Restore(ctx, all[n], k.Settings.Agents()[0], k.Now().UTC())
		return err
	})
	return at, changed, err
}

// toRestore is the ref to restore: the one that is named, or else the newest snapshot that kugetsu itself recorded, or else the newest
// commits. Only refs on record are chosen by themselves: an agent that can write into the repository can make refs that look newer, or
// move a ref of kugetsu's to a commit of its own.
func (k *Keeper) toRestore(ref issueref.Ref, all []slots.Kept, at string) (int, error) {
	list := "kugetsu restore --list " + ref.String()
	if at != "" {
		n := slices.IndexFunc(all, func(k slots.Kept) bool { return k.Ref == at })
		if n < 0 {
			return 0, fault.New(fault.Failed, list, "no work of %s is kept at %s", ref, at)
		}
		if all[n].Changed {
			return 0, fault.New(fault.Failed, list, "%s was changed since kugetsu wrote it", at)
		}
		return n, nil
	}
	snapshot := slots.IsSnapshot
	n := slices.IndexFunc(all, func(k slots.Kept) bool { return k.Recorded && snapshot(k) })
	if n < 0 { // an older kugetsu recorded refs in the histories of items alone
		told, err := k.keptByItems(ref)
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
		return 0, fault.New(fault.Failed, list, "no work of %s is kept", ref)
	case n < 0:
		return 0, fault.New(fault.Failed, list+", and name the ref", "%s has refs, but none that kugetsu has on record", ref)
	}
	return n, nil
}

// keptByItems are the refs in the histories of an issue's items.
func (k *Keeper) keptByItems(ref issueref.Ref) (map[string]bool, error) {
	same, told := issueref.Same(ref.String()), map[string]bool{}
	settled, err := k.Queue.Settled()
	if err != nil {
		return nil, err
	}
	live, err := k.Queue.Live(queue.Dev)
	if err != nil {
		return nil, err
	}
	for _, e := range slices.Concat(settled, live) {
		it, err := k.Queue.Load(e)
		if err != nil {
			continue // other commands report it
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

// ForgetKept deletes a ref below refs/kugetsu/. Without an issue it takes the issue that has the ref on record.
func (k *Keeper) ForgetKept(ctx context.Context, at string, issue *issueref.Ref) error {
	if issue == nil {
		session, err := k.Home.KeptBy(at)
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
	return k.Alone(ctx, *issue, func(p *slots.Workspace) error {
		found, err := p.Forget(ctx, at)
		if err == nil && !found {
			err = fault.New(fault.Failed, "kugetsu restore --list "+issue.String(), "no work of %s is kept at %s", *issue, at)
		}
		return err
	})
}

// Kept lists the refs at which work of an issue is kept, the newest first. It takes no lock.
func (k *Keeper) Kept(ctx context.Context, ref issueref.Ref) ([]slots.Kept, error) {
	p, err := k.at(ctx, ref, nil)
	if err != nil {
		return nil, err
	}
	return p.Kept(ctx)
}

// SetPR records the URL of a session's pull request, which no run replaces; "" records none, and runs look for one again.
func (k *Keeper) SetPR(ref issueref.Ref, url string) (err error) {
	lock, err := k.lockSession(ref)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	s, err := k.Home.ReadSession(ref.Session())
	if err == nil && s == nil {
		err = fault.New(fault.Failed, "kugetsu list shows them", "%s has no session", ref)
	}
	if err != nil {
		return err
	}
	s.PRURL, s.PRSet = url, url != ""
	return k.Home.WriteSession(ref.Session(), s)
}
