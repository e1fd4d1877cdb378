package worktree

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kugetsu/slots/git"
)

// Keep makes a commit stay reachable at <refs>/<commit>: a name that is the same however often a removal is begun again.
func (g *Git) Keep(ctx context.Context, s Spec, refs, commit string) (string, error) {
	if !git.IsCommit(commit) || !strings.HasPrefix(refs, "refs/kugetsu/") || !git.ValidRef(refs) {
		return "", git.Refuse("keep", "not a commit and a ref below refs/kugetsu/: %q %q", commit, refs)
	}
	r, _, err := g.repository(s)
	if err != nil {
		return "", err
	}
	if r == nil {
		return "", git.Refuse("keep", "there is no repository")
	}
	defer r.close()
	ref := refs + "/" + commit
	if err := git.PlainRef(r.common, ref); err != nil {
		return "", err
	}
	release, err := r.complete(ctx, commit)
	if err != nil {
		return "", err
	}
	defer release()
	// Git, too, leaves a reference alone that has the value already. In a repository with tables such a file is no reference.
	text, err := git.ReadSmall(filepath.Join(r.common, ref), 100)
	if err == nil && git.OneLine(text) == commit && !git.IsDir(filepath.Join(r.common, "reftable")) {
		return ref, nil
	}
	return ref, r.updateRef(ctx, ref, commit)
}

// updateRef runs git-update-ref(1) on the repository's ref that is named in args. See the function of that name for which ref it may be.
func (r *repo) updateRef(ctx context.Context, args ...string) error {
	p, err := r.private(ctx)
	if err != nil {
		return err
	}
	return updateRef(ctx, p, r.lock, time.Time{}, args...)
}

// updateRef runs git-update-ref(1) on a ref that no other process of kugetsu writes meanwhile: the caller holds the lock of the session
// whose ref it is, or that of the repository. So a lock file in its way was left by a git that was killed, and git would refuse the ref
// for ever: the file goes, if it is older than before, and git is asked again.
func updateRef(ctx context.Context, p *git.Private, lock *os.File, before time.Time, args ...string) error {
	c := git.Command{Lock: lock, Args: append([]string{"update-ref", "--no-deref"}, args...)}
	_, err := p.Run(ctx, c)
	named := slices.IndexFunc(args, func(arg string) bool { return strings.HasPrefix(arg, "refs/") })
	if err == nil || named < 0 {
		return err
	}
	dropped, dropErr := dropLock(p.At.Common, args[named]+".lock", before)
	if dropped {
		_, err = p.Run(ctx, c)
	}
	var e *git.Error
	if dropErr != nil && errors.As(err, &e) { // of the same kind, with both reasons
		both := *e
		both.Err = errors.Join(e.Err, dropErr)
		return &both
	}
	return err
}

// DropLocks removes the locks of a git that was killed with its run, in the worktree and on the session's branch. The caller holds the
// session's lock, and no process of the run is left. So such a lock is stale, and with it git would refuse to commit for ever.
func (m Made) DropLocks(branch string) error {
	if m.Repository == "" {
		return nil
	}
	_, err := dropLock(m.Repository, "refs/heads/"+branch+".lock", time.Time{})
	for _, name := range []string{"index.lock", "HEAD.lock", tablesLock} {
		_, dropErr := dropLock(m.Record, name, time.Time{})
		err = errors.Join(err, dropErr)
	}
	return err
}

// tablesLock is the lock of all references of a repository that has them in tables, or of those that are a worktree's own.
const tablesLock = "reftable/tables.list.lock"

// dropLock removes a lock file of git's that is older than before, or of whatever age where before is zero, and says whether it did. An
// agent may have put a link in the place of a folder on the way: what lies behind that is no lock of this repository.
func dropLock(dir, name string, before time.Time) (bool, error) {
	plain, err := git.PlainWay(dir, name)
	if err != nil || !plain {
		return false, err
	}
	path := filepath.Join(dir, name)
	info, err := os.Lstat(path)
	if err == nil && (before.IsZero() || info.ModTime().Before(before)) {
		err = os.Remove(path)
	} else if err == nil {
		return false, nil
	}
	if git.Absent(err) {
		return false, nil
	}
	return err == nil, err
}

// Kept is a ref below refs/kugetsu/.
type Kept struct {
	Ref     string `json:"ref"`
	Commit  string `json:"commit"`
	Date    string `json:"date"` // RFC 3339
	Message string `json:"message"`
}

// AllKept lists what is kept in the repository, the newest first; nothing where there is no repository.
func (g *Git) AllKept(ctx context.Context, s Spec) ([]Kept, error) {
	r, _, err := g.repository(s)
	if err != nil || r == nil {
		return nil, err
	}
	defer r.close()
	out, err := r.git(ctx, "for-each-ref", "--sort=-creatordate",
		"--format=%(refname)%00%(objectname)%00%(creatordate:iso-strict)%00%(contents)%00%00", "refs/kugetsu/")
	var list []Kept
	for record := range strings.SplitSeq(out, "\x00\x00\n") {
		if part := strings.Split(record, "\x00"); len(part) == 4 {
			list = append(list, Kept{part[0], part[1], part[2], strings.TrimSpace(part[3])})
		}
	}
	return list, err
}

// Forget deletes a ref below refs/kugetsu/ in the repository; false where it has none of that name. The objects under it stay
// until git's own collection takes them (git gc --prune=now): something else may need them.
func (g *Git) Forget(ctx context.Context, spec Spec, ref string) (bool, error) {
	if !strings.HasPrefix(ref, "refs/kugetsu/") || !git.ValidRef(ref) {
		return false, git.Refuse("forget", "not a reference below refs/kugetsu/: %q", ref)
	}
	r, spec, err := g.repository(spec)
	if err != nil || r == nil {
		return false, err
	}
	defer r.close()
	if r.lock, err = g.take(ctx, spec.Source.Lock); err != nil {
		return false, err
	}
	out, err := r.git(ctx, "for-each-ref", "--format=%(refname)", ref)
	if err != nil || strings.TrimSpace(out) != ref {
		return false, err
	}
	if err := git.PlainRef(r.common, ref); err != nil {
		return false, err
	}
	err = r.retryOnce(ctx, func() error { return r.updateRef(ctx, "-d", ref) }) // it needs the lock of packed-refs, too
	return err == nil, err
}
