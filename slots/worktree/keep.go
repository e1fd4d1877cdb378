package worktree

import (
	"context"
	"os"
	"path/filepath"
	"strings"

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
	args := []string{"update-ref", "--no-deref", ref, commit}
	_, err = r.git(ctx, args...)
	// A git that was killed left its lock. No other process writes this name: the caller holds the session's lock.
	if err != nil && os.Remove(filepath.Join(r.common, ref+".lock")) == nil {
		_, err = r.git(ctx, args...)
	}
	return ref, err
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
	_, err = r.git(ctx, "update-ref", "--no-deref", "-d", ref)
	return err == nil, err
}
