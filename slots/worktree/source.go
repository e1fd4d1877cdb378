package worktree

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kugetsu/queue/pattern"
	"kugetsu/queue/spool"
	"kugetsu/slots/git"
)

// Git does the git work of sessions. Several may be used at once.
type Git struct {
	git.Runner
	// Answered says that a remote did, in a call since this was made: it was fetched from, or refused for good.
	Answered bool
	// pause waits in a test; nil is by the clock.
	pause func(ctx context.Context, d time.Duration) error
}

// repo is one repository, under its lock where something is changed.
type repo struct {
	g      *Git
	spec   Spec
	lock   *os.File
	common string       // the repository directory
	made   *git.Private // made when it is needed first
	noHead error        // why the remote's default branch could not be asked for
}

// private is the private git directory that leads to the repository.
func (r *repo) private(ctx context.Context) (*git.Private, error) {
	if r.made == nil {
		at := r.spec.at(r.common)
		if at.Local != "" { // what is checked out there may be the base
			at.GitDir = r.common
		}
		p, err := r.g.Open(ctx, at)
		if err != nil {
			return nil, err
		}
		r.made, r.spec.Base = p, p.At.Base // without the name of the remote
	}
	return r.made, nil
}

// close gives the repository up, and its lock: by closing the file, never by unlocking, since an unlock would take it from
// the children that inherited it, too.
func (r *repo) close() {
	if r == nil {
		return
	}
	if r.made != nil {
		r.made.Done()
		r.made = nil
	}
	if r.lock != nil {
		_ = r.lock.Close()
		r.lock = nil
	}
}

// git runs a command that changes the repository on this machine only. Its children inherit the repository's lock. When a runner is
// killed, its git dies with it, but the git that this git had started to write out the files lives on. The next run that prepares the
// worktree must not begin before that git is gone.
func (r *repo) git(ctx context.Context, args ...string) (string, error) {
	p, err := r.private(ctx)
	if err != nil {
		return "", err
	}
	return p.Run(ctx, git.Command{Lock: r.lock, Args: args})
}

// remote runs a command that talks to the remote. It does not pass the lock on: a credential helper may stay behind
// as a daemon and would hold it. A child that a killed one leaves running only receives objects, which does no harm.
func (r *repo) remote(ctx context.Context, args ...string) (string, error) {
	p, err := r.private(ctx)
	if err != nil {
		return "", err
	}
	out, err := p.Run(ctx, git.Command{Args: args})
	var e *git.Error
	if errors.As(err, &e) && git.ExitCode(err) > 0 {
		e.Passing = !e.Permanent && !e.Host && !e.Silent // after minutes of silence the slot is better given up
	}
	r.g.Answered = r.g.Answered || err == nil || e != nil && e.Permanent
	return out, err
}

// take waits for the repository's lock until ctx ends. See repo.close for how it is released.
func (g *Git) take(ctx context.Context, path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, &git.Error{Op: "lock", Err: err}
	}
	lock, err := spool.Lock(ctx, path, func() { g.Say("waiting for another run's git in the same repository") })
	switch {
	case err == nil:
		return lock, nil
	case ctx.Err() != nil:
		return nil, &git.Error{Op: "lock", Last: "another run's git is at work in the same repository", Err: context.Cause(ctx)}
	}
	return nil, &git.Error{Op: "lock", Err: err}
}

// open locks the repository and makes the clone if there is none. fresh says that it was cloned just now.
// The repository is locked until r is closed.
func (g *Git) open(ctx context.Context, s Spec) (r *repo, fresh bool, err error) {
	lock, err := g.take(ctx, s.Source.Lock)
	if err != nil {
		return nil, false, err
	}
	made := &repo{g: g, spec: s, lock: lock}
	defer func() {
		if err != nil {
			made.close()
		}
	}()
	r = made
	if r.common, err = s.repository(); err != nil {
		return nil, false, err
	}
	if s.Source.Local != "" {
		return r, false, r.completeRecords()
	}
	if err := r.removeKilled(); err != nil {
		return nil, false, err
	}
	switch info, err := os.Lstat(r.common); {
	case err == nil && !info.IsDir(): // through a link kugetsu would write into another repository
		return nil, false, git.Refuse("prepare", "%s is not a folder", r.common)
	case err == nil:
		return r, false, cmp.Or(r.writeOrigin(ctx), r.completeRecords())
	case !errors.Is(err, fs.ErrNotExist): // an error is never "is not there"
		return nil, false, &git.Error{Op: "prepare", Err: err}
	}
	switch free, err := empty(s.Path); {
	case err != nil:
		return nil, false, err
	case !free: // no clone could say what these files are
		return nil, false, git.Refuse("prepare", "%s is in the way: it holds files, and the repository they may come from (%s) is gone", s.Path, r.common)
	}
	return r, true, r.clone(ctx)
}

// fetchPauses are the waits before a fetch of our clone that failed is tried again. A remote that is not back after them is
// the retry of the item's to wait for: until then a slot is taken.
var fetchPauses = [...]time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second}

// fresh is open, and a fetch. If the fetch failed and the clone can be used all the same, stale says why it failed. An error that may
// pass is tried again, but not in a local checkout, which its owner keeps fresh. Between two tries the repository's lock is given up.
// So a removal, which needs no remote, does not wait, and the next fetch does not wait for all tries of this one.
func (g *Git) fresh(ctx context.Context, s Spec, why string) (r *repo, stale, err error) {
	for n := 0; ; n++ {
		r, stale, err = g.freshOnce(ctx, s, why)
		var e *git.Error
		failed := cmp.Or(err, stale)
		if n == len(fetchPauses) || s.Source.Local != "" || !errors.As(failed, &e) || !e.Passing || ctx.Err() != nil {
			return r, stale, err
		}
		g.Say("%v; tried again in %s", failed, fetchPauses[n])
		r.close()
		if err := g.wait(ctx, fetchPauses[n]); err != nil {
			return nil, nil, &git.Error{Op: e.Op, Last: e.Last, Unreachable: e.Unreachable, Err: err}
		}
	}
}

func (g *Git) freshOnce(ctx context.Context, s Spec, why string) (r *repo, stale, err error) {
	r, cloned, err := g.open(ctx, s)
	if err != nil || cloned {
		return r, nil, err
	}
	// Before the fetch: a folder that is in the way needs no network to be refused.
	if err := r.clear(ctx, why); err != nil {
		r.close()
		return nil, nil, err
	}
	return r, r.fetch(ctx), nil
}

// wait waits, unless ctx ends first.
func (g *Git) wait(ctx context.Context, d time.Duration) error {
	if g.pause != nil {
		return g.pause(ctx, d)
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

var killedClone = pattern.Lazy(`\.git\.tmp-\d+$`)

// IsKilledClone says whether a name in the folder of the clones is of one that is being made, or was killed. A repository may
// have such a name itself: the clone of x.git.tmp-1 is x.git.tmp-1.git.
func IsKilledClone(name string) bool { return killedClone().MatchString(name) }

// removeKilled removes the leftovers of clones that were killed. The caller holds the lock, so their makers are dead. A child
// of such a git may still write for an instant, so this is done every time. A leftover that cannot be removed now does
// no harm.
func (r *repo) removeKilled() error {
	dir, base := filepath.Split(r.spec.Source.Cache)
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &git.Error{Op: "clone", Err: err}
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), base+".tmp-") && IsKilledClone(e.Name()) {
			_ = removeAll(filepath.Join(dir, e.Name()))
		}
	}
	return nil
}

// clone makes the bare clone: at a temporary place, and renamed when it is complete, so that a clone which was killed
// is never taken for one. `git clone --bare` would copy the remote's branches to our own; here they are kept apart
// as in any checkout, since our own hold the agents' work.
func (r *repo) clone(ctx context.Context) error {
	cache := r.spec.Source.Cache
	dir, base := filepath.Split(cache)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return &git.Error{Op: "clone", Err: err}
	}
	tmp, err := os.MkdirTemp(dir, base+".tmp-*")
	if err != nil {
		return &git.Error{Op: "clone", Err: err}
	}
	defer os.RemoveAll(tmp)
	r.common = tmp
	defer func() { r.common = cache }()
	if err := r.initClone(""); err != nil {
		return &git.Error{Op: "clone", Err: err}
	}
	err = r.fetch(ctx)
	if otherFormat(err) {
		if err := r.initClone("sha256"); err != nil {
			return &git.Error{Op: "clone", Err: err}
		}
		r.made.Done() // it is of the other kind
		r.made = nil
		r.g.ForgetConfig()
		err = r.fetch(ctx)
	}
	if err != nil {
		return err
	}
	r.made.Done() // it leads to where the clone is not any more
	r.made = nil
	if err := spool.Write(r.originFile(), []byte(git.WithoutSecret(r.spec.Source.URL)+"\n")); err != nil {
		return &git.Error{Op: "clone", Err: err}
	}
	if err := os.Rename(tmp, cache); err != nil {
		return &git.Error{Op: "clone", Err: err}
	}
	return nil
}

// otherFormat says whether a fetch failed since the remote has ids of another kind.
func otherFormat(err error) bool {
	var e *git.Error
	return errors.As(err, &e) && strings.Contains(e.Last, "mismatched algorithms: client sha1; server sha256")
}

const originRefs = "+refs/heads/*:refs/remotes/origin/*"

var fetchArgs = []string{"fetch", "--quiet", "--refmap=", "--no-write-fetch-head", "--recurse-submodules=no"}

// Fetch fetches into a clone of kugetsu's, once, before prune and others judge which commits were pushed and merged. Nothing
// is forgotten: a branch that is gone from the remote stays known, since its commits were pushed. Fetch does nothing where
// there is no clone, and in a local checkout: its owner's `git push --force-with-lease` relies on the owner's own fetches.
func (g *Git) Fetch(ctx context.Context, s Spec) error {
	r, s, err := g.repository(s)
	if err != nil || r == nil || s.Source.Local != "" {
		return err
	}
	defer r.close()
	if r.lock, err = g.take(ctx, s.Source.Lock); err != nil {
		return err
	}
	if err := cmp.Or(r.writeOrigin(ctx), r.completeRecords()); err != nil {
		return err
	}
	_, err = r.remote(ctx, append(slices.Clone(fetchArgs), "--no-prune", "--end-of-options", "origin", originRefs)...)
	return err
}

// fetch brings the remote's branches up to date. In a local checkout it changes nothing but refs/remotes/<remote>/: its
// own refspecs are not used (a mirror's would overwrite branches), and nothing is pruned.
func (r *repo) fetch(ctx context.Context) error {
	args, remote, branches := slices.Clone(fetchArgs), git.Origin, originRefs
	if r.spec.Source.Local != "" {
		p, err := r.private(ctx)
		if err != nil {
			return err
		}
		if p.At.URL == "" {
			return nil // a repository without a remote, or it is not known which
		}
		args, remote, branches = append(args, "--no-prune", "--no-tags"), p.At.Remotes.Name, p.At.Branches()
	} else {
		args = append(args, "--prune")
	}
	try := func() error {
		_, err := r.remote(ctx, append(args, "--end-of-options", remote, branches)...)
		return err
	}
	var err error
	if r.spec.Source.Local != "" { // nothing is pruned there
		err = r.retryOnce(ctx, try)
	} else {
		if err := r.retryOnce(ctx, func() error { return r.remember(ctx) }); err != nil { // then too much counts as work
			r.g.Say("the record of what was pushed could not be written: %v", err)
		}
		if err = try(); err != nil { // tried again by fresh
			r.sweep(time.Now())
		}
	}
	if err != nil {
		r.noHead = err
		return err
	}
	if r.spec.Base != "" {
		return nil // the default branch is not needed then
	}
	// Also in a local checkout: its record of the remote's default branch is as old as the clone, and git never renews it.
	r.noHead = r.retryOnce(ctx, func() error {
		_, err := r.remote(ctx, "remote", "set-head", remote, "--auto")
		return err
	})
	if ctx.Err() != nil {
		return r.noHead // a clone must not be taken for complete
	}
	return nil // no error of its own: what was the default branch may still be there, and if not, start says so
}

// retryOnce tries again once, since agents in other worktrees of the repository update the same refs and take no lock of
// kugetsu's. The locks of a git that was killed are removed in between.
func (r *repo) retryOnce(ctx context.Context, try func() error) error {
	err := try()
	var e *git.Error
	if err == nil || ctx.Err() != nil || (errors.As(err, &e) && (e.Permanent || e.Silent)) {
		return err
	}
	r.sweep(time.Now())
	return try()
}

// staleAfter is the age at which a ref lock must have been left by a git that was killed: git holds one for
// milliseconds. It is not longer than the shortest RETRY_DELAY that is usual, so that the second attempt heals.
const staleAfter = time.Minute

// sweep removes the stale lock files that would stop Prepare. The one of the session's own branch is stale at any age,
// since no other process writes there: the caller holds the session's lock and the repository's. Not index.lock and HEAD.lock: those
// belong to a worktree, and an editor that is open for a commit message holds one for hours.
func (r *repo) sweep(now time.Time) {
	own := "refs/heads/" + r.spec.Branch + ".lock"
	locks := []string{own, "packed-refs.lock", "config.lock", "shallow.lock", tablesLock}
	for _, below := range []string{"refs/remotes/origin", pushedRefs} {
		_ = filepath.WalkDir(filepath.Join(r.common, below), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() && strings.HasSuffix(path, ".lock") {
				name, _ := filepath.Rel(r.common, path) // path is below it
				locks = append(locks, name)
			}
			return nil
		})
	}
	for _, name := range locks {
		before := now.Add(-staleAfter)
		if name == own {
			before = time.Time{}
		}
		if dropped, err := dropLock(r.common, name, before); err != nil {
			r.g.Say("a lock that a killed git left stays: %v", err)
		} else if dropped {
			r.g.Say("removed a lock that a killed git left: %s", filepath.Join(r.common, name))
		}
	}
}
