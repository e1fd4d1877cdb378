package worktree

import (
	"cmp"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// What doctor asks of git. Nothing here changes a repository, but for Prune.

var gitVersion = regexp.MustCompile(`^git version (\d{1,4})\.(\d{1,4})\S*`)

// Version is git's version as it prints it, and whether it is old: below 2.39, which kugetsu is tested with.
func (g *Git) Version(ctx context.Context) (version string, old bool, err error) {
	out, err := g.exec(ctx, nil, command{dir: "/", args: []string{"version"}})
	if err != nil {
		return "", false, err
	}
	m := gitVersion.FindStringSubmatch(out)
	if m == nil {
		return "", false, &Error{Op: "git version", Last: clean(out), Err: fs.ErrInvalid}
	}
	major, _ := strconv.Atoi(m[1]) // four digits at most
	minor, _ := strconv.Atoi(m[2])
	return strings.TrimPrefix(m[0], "git version "), major < 2 || major == 2 && minor < 39, nil
}

// Reach asks the remote that a repository comes from for its HEAD: it is there, and the credentials will do. base is as in
// Spec.
func (g *Git) Reach(ctx context.Context, s Source, base string) error {
	at := location{url: s.URL}
	if s.Local != "" {
		spec := Spec{Source: s, Base: base}
		common, err := spec.repository()
		if err != nil {
			return err
		}
		at = spec.at(common)
		at.gitDir = common
	} else if badURL(s.URL) {
		return refuse("git ls-remote", "refused the repository url %q", s.URL)
	}
	p, err := g.newPrivate(ctx, at)
	if err != nil {
		return err
	}
	defer p.done()
	if p.at.elsewhere != nil && s.Local != "" {
		return p.at.elsewhere
	}
	if all := p.at.remotes; all.name == "" && len(all.names) > 0 && p.at.base == "" {
		return all.several(s.Local)
	}
	if p.at.url == "" {
		return nil // a checkout without a remote is used as it is
	}
	_, err = p.run(ctx, command{args: []string{"ls-remote", "--quiet", cmp.Or(p.at.remotes.name, cloneRemote), "HEAD"}})
	return err
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
	records, err := (&repo{g: g, common: common}).records()
	if err != nil {
		return nil, &Error{Op: "worktrees", Err: err}
	}
	var list []Registered
	for _, admin := range records {
		text, err := readSmall(filepath.Join(admin, "gitdir"), 64<<10)
		if err != nil || len(text) == 0 {
			continue // of a git that is at work, or was killed: the next Prepare deals with it
		}
		w := Registered{Path: filepath.Dir(rel(admin, oneLine(text))), record: admin}
		head, err := readSmall(filepath.Join(admin, "HEAD"), 1<<10)
		target, symbolic := strings.CutPrefix(oneLine(head), "ref: ")
		w.Detached = err != nil || !symbolic || target == invalidBranch
		_, err = os.Lstat(w.Path)
		w.Gone = absent(err)
		list = append(list, w)
	}
	return list, nil
}

// Prune makes a bare clone of ours forget the worktrees whose folders are gone, under the repository's lock. Their
// branches stay. It refuses where one of them was on no branch: its commits would be nobody's. One that was locked (git
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
			return refuse("prune", "%s was on no branch: what was committed there could be lost", w.Path)
		}
	}
	for _, w := range list {
		if _, err := os.Lstat(filepath.Join(w.record, "locked")); !w.Gone || !absent(err) {
			continue
		}
		if err := r.forget(ctx, w.record); err != nil {
			return err
		}
	}
	return nil
}
