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

// boundLimit bounds what one pass spends on it, and lookLimit what it spends on one worktree: one that cannot be looked at in
// that time would be the first to be looked at in every pass, and the last.
const (
	boundLimit = 30 * time.Second
	lookLimit  = 5 * time.Second
)

// bounded says whether there may be too many worktrees, or too old ones.
func (t *Tick) bounded() bool { return t.Settings.MaxWorktrees > 0 || t.Settings.WorktreeDays > 0 }

// surplus says why a workspace that holds no work, one of so many, is too much; "" when it is not. Who asks for the oldest
// first need ask no further then.
func (t *Tick) surplus(left int, used time.Time) string {
	switch days := t.Settings.WorktreeDays; {
	case days > 0 && t.Now().Sub(used) > time.Duration(days)*24*time.Hour:
		return "not used for longer than MAX_WORKTREE_AGE_DAYS"
	case t.Settings.MaxWorktrees > 0 && left > t.Settings.MaxWorktrees:
		return "more worktrees than MAX_WORKTREES"
	}
	return ""
}

// boundWorktrees removes the worktrees that are too many or too old, the oldest first, as prune would: never one that holds
// work. It happens after tick.lock, since git's work under it would keep all slots empty; each is looked at and removed under
// its session's lock. Here git and the forges are not asked anything new of all of them: what git last heard counts, and of a
// pull request that is not known to be over nothing more is asked.
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
			continue // prune says what is wrong with it
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
		why := t.surplus(left, one.used)
		if why == "" {
			break
		}
		if ctx.Err() != nil {
			t.Log.Warn("not all worktrees were looked at in time", "limit", boundLimit)
			break
		}
		p, err := t.pruneSoon(ctx, one.name, why)
		if err != nil { // it stops no other, and is there every time: the exit code is for what a pass is for
			t.Log.Warn("a worktree cannot be looked at", "session", one.name, "err", err)
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
