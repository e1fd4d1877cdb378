package tick

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

// boundLimit limits the time of one pass for this, lookLimit that for one worktree. A worktree that takes longer would otherwise be
// the first and the last one that every pass inspects.
const (
	boundLimit = 30 * time.Second
	lookLimit  = 5 * time.Second
)

// bounded says whether worktrees are limited by number or by age.
func (t *Tick) bounded() bool { return t.Settings.MaxWorktrees > 0 || t.Settings.WorktreeDays > 0 }

// overLimit says which limit a workspace without unsaved work exceeds when left workspaces remain, or "". Iterate over the oldest first
// and stop at the first "".
func (t *Tick) overLimit(left int, used time.Time) string {
	switch days := t.Settings.WorktreeDays; {
	case days > 0 && t.Now().Sub(used) > time.Duration(days)*24*time.Hour:
		return "not used for longer than MAX_WORKTREE_AGE_DAYS"
	case t.Settings.MaxWorktrees > 0 && left > t.Settings.MaxWorktrees:
		return "more worktrees than MAX_WORKTREES"
	}
	return ""
}

// boundWorktrees removes the worktrees that exceed the limits, the oldest first and by the rules of prune: never one with unsaved
// work. It runs after tick.lock, since git's work under that lock would keep all slots empty. Each worktree is inspected and
// removed under its session's lock. Nothing is fetched, and no forge is asked about a pull request that is not known to be over.
func (t *Tick) boundWorktrees(ctx context.Context) error {
	if t.Config != nil || !t.bounded() {
		return nil
	}
	names, err := t.Home.Workspaces()
	if err != nil {
		return err
	}
	type old struct {
		name string
		used time.Time
	}
	var list []old
	for _, name := range names {
		s, err := t.Home.ReadSession(name)
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
		if over, err := t.knownOver(name, s); err != nil {
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
		why := t.overLimit(left, one.used)
		if why == "" {
			break
		}
		if ctx.Err() != nil {
			t.Log.Warn("not all worktrees could be inspected in time", "limit", boundLimit)
			break
		}
		p, err := t.pruneSoon(ctx, one.name, why)
		if err != nil { // it stops no other worktree and would fail in every pass: it does not change the exit code
			t.Log.Warn("a worktree cannot be inspected", "session", one.name, "err", err)
			continue
		}
		if p.Removed {
			left--
			t.Log.Info("removed a worktree", "session", one.name, "why", p.Why)
		}
	}
	return nil
}

// pruneSoon is prune within lookLimit.
func (t *Tick) pruneSoon(ctx context.Context, name, why string) (Pruned, error) {
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	return t.prune(ctx, name, why, false)
}

// knownOver says whether a session has no pull request that may be open.
func (t *Tick) knownOver(name string, s *slots.Session) (bool, error) {
	if s == nil || s.PRURL == "" {
		return true, nil
	}
	r, err := ReadReview(t.Home, name, s.PRURL)
	return !r.waits(), err
}
