package worktree

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"strings"

	"kugetsu/slots/git"
)

// What doctor asks of git. Nothing here changes a repository, but for Prune.

// Reach asks the remote that a repository comes from for its HEAD: it is there, and the credentials will do. base is as in
// Spec. It says whether there is anything.
func (g *Git) Reach(ctx context.Context, s Source, base string) (there bool, err error) {
	out, err := g.toRemote(ctx, s, base, func(remote string) []string { return []string{"ls-remote", "--quiet", remote, "HEAD"} })
	return strings.TrimSpace(out) != "", err
}

// nothing is what Pushes pushes: all refs below a name that no repository has.
const nothing = "refs/kugetsu-nothing/*:refs/kugetsu-nothing/*"

// Pushes asks the remote whether it takes pushes with these credentials. It makes a dry run of a push of no refs: a forge that refuses
// does so before it lists its refs. The remote must not be empty: there git takes a push of no refs for a mistake.
func (g *Git) Pushes(ctx context.Context, s Source, base string) error {
	_, err := g.toRemote(ctx, s, base, func(remote string) []string {
		return []string{"push", "--dry-run", "--quiet", "--no-verify", "--no-follow-tags", "--recurse-submodules=no", "--signed=no", remote, nothing}
	})
	return err
}

// toRemote runs a git with the remote that a repository comes from. Without one it runs none.
func (g *Git) toRemote(ctx context.Context, s Source, base string, args func(remote string) []string) (string, error) {
	at := git.Location{URL: s.URL}
	if s.Local != "" {
		spec := Spec{Source: s, Base: base}
		common, err := spec.repository()
		if err != nil {
			return "", err
		}
		at = spec.at(common)
		at.GitDir = common
	} else if git.BadURL(s.URL) {
		return "", git.Refuse("git "+args("")[0], "refused the repository url %q", s.URL)
	}
	p, err := g.Open(ctx, at)
	if err != nil {
		return "", err
	}
	defer p.Done()
	if p.At.Elsewhere != nil && s.Local != "" {
		return "", p.At.Elsewhere
	}
	if all := p.At.Remotes; all.Name == "" && len(all.Names) > 0 && p.At.Base == "" {
		return "", all.Several(s.Local)
	}
	if p.At.URL == "" {
		return "", nil // a checkout without a remote is used as it is
	}
	return p.Run(ctx, git.Command{Args: args(cmp.Or(p.At.Remotes.Name, git.Origin))})
}

// Registered is one worktree that a repository knows.
type Registered struct {
	Path     string
	Detached bool // its HEAD is on no branch, as far as its file says: nothing but this entry may keep its commits
	Gone     bool // its folder is not there
	record   string
}

// Registered lists the linked worktrees that a repository knows: a bare clone of ours, or the checkout at dir.
func (g *Git) Registered(dir string) ([]Registered, error) {
	common := dir
	if _, err := os.Lstat(filepath.Join(dir, ".git")); err == nil {
		if common, err = localDir(dir); err != nil {
			return nil, err
		}
	}
	records, err := git.Records(common)
	if err != nil {
		return nil, &git.Error{Op: "worktrees", Err: err}
	}
	var list []Registered
	for _, admin := range records {
		text, err := git.ReadSmall(filepath.Join(admin, "gitdir"), 64<<10)
		if err != nil || len(text) == 0 {
			continue // of a git that is at work, or was killed: the next Prepare deals with it
		}
		w := Registered{Path: filepath.Dir(git.Rel(admin, git.OneLine(text))), record: admin}
		head, err := git.ReadSmall(filepath.Join(admin, "HEAD"), 1<<10)
		target, symbolic := strings.CutPrefix(git.OneLine(head), "ref: ")
		w.Detached = err != nil || !symbolic || target == git.InvalidBranch
		_, err = os.Lstat(w.Path)
		w.Gone = git.Absent(err)
		list = append(list, w)
	}
	return list, nil
}

// Prune makes a bare clone of ours forget the worktrees whose folders are gone, under the repository's lock. Their
// branches stay. It refuses where one of them was on no branch: its commits would be lost. One that was locked (git
// worktree lock) stays: its folder may be on a disk that is not there just now.
func (g *Git) Prune(ctx context.Context, s Source) error {
	r := &repo{g: g, spec: Spec{Source: s}, common: s.Cache}
	lock, err := g.take(ctx, s.Lock)
	if err != nil {
		return err
	}
	r.lock = lock
	defer r.close()
	list, err := g.Registered(s.Cache)
	if err != nil {
		return err
	}
	for _, w := range list {
		if w.Gone && w.Detached {
			return git.Refuse("prune", "%s was on no branch: what was committed there could be lost", w.Path)
		}
	}
	for _, w := range list {
		if _, err := os.Lstat(filepath.Join(w.record, "locked")); !w.Gone || !git.Absent(err) {
			continue
		}
		if err := r.forget(ctx, w.record); err != nil {
			return err
		}
	}
	return nil
}
