package worktree

import (
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
	out, err := g.run(ctx, command{dir: "/", args: []string{"version"}})
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

// Reach asks the remote that a repository comes from for its HEAD: it is there, and the credentials will do.
func (g *Git) Reach(ctx context.Context, s Source) error {
	dir, url := "/", s.URL
	if s.Local != "" {
		if _, err := localDir(s.Local); err != nil {
			return err
		}
		dir, url = s.Local, "origin"
		if _, err := g.run(ctx, command{dir: dir, args: []string{"remote", "get-url", "origin"}}); err != nil {
			return nil // a checkout without a remote is used as it is
		}
	} else if url == "" || strings.HasPrefix(url, "-") || helperURL.MatchString(url) {
		return refuse("git ls-remote", "refused the repository url %q", url)
	}
	_, err := g.run(ctx, command{dir: dir, args: []string{"ls-remote", "--quiet", "--", url, "HEAD"}})
	return err
}

// Registered is one worktree that a repository knows.
type Registered struct {
	Path     string
	Detached bool // its HEAD is on no branch: nothing but this entry may keep its commits
	Gone     bool // its folder is not there
}

// Registered lists the linked worktrees that a repository knows: a bare clone of ours, or the checkout at dir.
func (g *Git) Registered(ctx context.Context, dir string) ([]Registered, error) {
	out, err := g.run(ctx, command{dir: dir, env: bareEnv(dir), args: []string{"worktree", "list", "--porcelain", "-z"}})
	if err != nil {
		return nil, err
	}
	var list []Registered
	for i, entry := range strings.Split(strings.TrimRight(out, "\x00"), "\x00\x00") {
		if i == 0 {
			continue // the repository itself
		}
		var w Registered
		for line := range strings.SplitSeq(entry, "\x00") {
			key, value, _ := strings.Cut(line, " ")
			switch key {
			case "worktree":
				w.Path = value
			case "detached":
				w.Detached = true
			case "prunable":
				_, err := os.Lstat(w.Path)
				w.Gone = absent(err)
			}
		}
		list = append(list, w)
	}
	return list, nil
}

// Prune makes a bare clone of ours forget the worktrees whose folders are gone, under the repository's lock. Their
// branches stay. It refuses where one of them was on no branch: its commits would be nobody's.
func (g *Git) Prune(ctx context.Context, s Source) error {
	lock, err := g.take(ctx, s.Lock)
	if err != nil {
		return err
	}
	defer lock.Close()
	list, err := g.Registered(ctx, s.Cache)
	if err != nil {
		return err
	}
	for _, w := range list {
		if w.Gone && w.Detached {
			return refuse("prune", "%s was on no branch: what was committed there could be lost", w.Path)
		}
	}
	_, err = g.run(ctx, command{dir: s.Cache, env: bareEnv(s.Cache), lock: lock, args: []string{"worktree", "prune", "--expire=now"}})
	return err
}

// bareEnv points git at a bare clone, which it may be configured not to discover (safe.bareRepository).
func bareEnv(dir string) []string {
	if _, err := os.Lstat(filepath.Join(dir, ".git")); err == nil {
		return nil
	}
	return []string{"GIT_DIR=" + dir}
}
