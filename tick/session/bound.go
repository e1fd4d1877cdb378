package session

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"kugetsu/queue/spool"
	"kugetsu/slots"
)

// boundLimit limits the time that one pass spends on Bound, lookLimit the time for one worktree. Without lookLimit one slow worktree
// would be the only one that a pass inspects, in every pass.
const (
	boundLimit = 30 * time.Second
	lookLimit  = 5 * time.Second
)

// bounded says whether worktrees are limited by number or by age.
func (k *Keeper) bounded() bool { return k.Settings.MaxWorktrees > 0 || k.Settings.WorktreeDays > 0 }

// overLimit says which limit a workspace without unsaved work exceeds when left workspaces remain, or "". Iterate over the oldest first
// and stop at the first "".
func (k *Keeper) overLimit(left int, used time.Time) string {
	switch days := k.Settings.WorktreeDays; {
	case days > 0 && k.Now().Sub(used) > time.Duration(days)*24*time.Hour:
		return "not used for longer than MAX_WORKTREE_AGE_DAYS"
	case k.Settings.MaxWorktrees > 0 && left > k.Settings.MaxWorktrees:
		return "more worktrees than MAX_WORKTREES"
	}
	return ""
}

// Bound removes the worktrees that exceed the limits, the oldest first and by the rules of prune: never one with unsaved
// work. It runs after tick.lock, since git's work under that lock would keep all slots empty. Each worktree is inspected and
// removed under its session's lock. Nothing is fetched, and no forge is asked about a pull request that is not known to be over.
func (k *Keeper) Bound(ctx context.Context) error {
	if k.Config != nil || !k.bounded() {
		return nil
	}
	names, err := k.Home.Workspaces()
	if err != nil {
		return err
	}
	type old struct {
		name string
		used time.Time
	}
	var list []old
	for _, name := range names {
		s, err := k.Home.ReadSession(name)
		if errors.Is(err, spool.ErrBad) || errors.Is(err, spool.ErrNewer) {
			continue // prune reports it
		}
		if err != nil {
			return err
		}
		one := old{name: name}
		if s != nil {
			one.used = s.LastUsedAt
		}
		if over, err := k.knownOver(name, s); err != nil {
			return err
		} else if over {
			list = append(list, one)
		}
	}
	slices.SortFunc(list, func(a, b old) int { return cmp.Or(a.used.Compare(b.used), strings.Compare(a.name, b.name)) })
	ctx, cancel := context.WithTimeout(ctx, boundLimit)
	defer cancel()
	left := len(names)
	for _, one := range list {
		why := k.overLimit(left, one.used)
		if why == "" {
			break
		}
		if ctx.Err() != nil {
			k.Log.Warn("not all worktrees could be inspected in time", "limit", boundLimit)
			break
		}
		p, err := k.pruneSoon(ctx, one.name, why)
		if err != nil { // the exit code stays, since this would fail in every pass, and the other worktrees are well
			k.Log.Warn("a worktree cannot be inspected", "session", one.name, "err", err)
			continue
		}
		if p.Removed {
			left--
			k.Log.Info("removed a worktree", "session", one.name, "why", p.Why)
		}
	}
	return nil
}

// pruneSoon is prune within lookLimit.
func (k *Keeper) pruneSoon(ctx context.Context, name, why string) (Pruned, error) {
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	return k.prune(ctx, name, why, false)
}

// knownOver says whether a session has no pull request that may be open.
func (k *Keeper) knownOver(name string, s *slots.Session) (bool, error) {
	if s == nil || s.PRURL == "" {
		return true, nil
	}
	r, err := ReadReview(k.Home, name, s.PRURL)
	return !r.waits(), err
}
