package worktree

import (
	"cmp"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"kugetsu/slots/proc"
)

// What doctor asks of git. Nothing here changes a repository, but for Prune.

var gitVersion = regexp.MustCompile(`^git version (\d{1,4})\.(\d{1,4})\S*`)

// Installed says whether there is a git.
func (g *Git) Installed() bool {
	_, err := program(g.Env, "/")
	return err == nil
}

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
// Spec. It says whether there is anything.
func (g *Git) Reach(ctx context.Context, s Source, base string) (there bool, err error) {
	out, err := g.toRemote(ctx, s, base, func(remote string) []string { return []string{"ls-remote", "--quiet", remote, "HEAD"} })
	return strings.TrimSpace(out) != "", err
}

// nothing is what Pushes pushes: all refs below a name that no repository has.
const nothing = "refs/kugetsu-nothing/*:refs/kugetsu-nothing/*"

// Pushes asks the remote whether it takes pushes from these credentials. It is a push of nothing, and a dry run of that: a forge
// says no before it says which refs it has. The remote must not be empty, where git takes that for a mistake.
func (g *Git) Pushes(ctx context.Context, s Source, base string) error {
	_, err := g.toRemote(ctx, s, base, func(remote string) []string {
		return []string{"push", "--dry-run", "--quiet", "--no-verify", "--no-follow-tags", "--recurse-submodules=no", "--signed=no", remote, nothing}
	})
	return err
}

// toRemote runs a git with the remote that a repository comes from. Without one it runs none.
func (g *Git) toRemote(ctx context.Context, s Source, base string, args func(remote string) []string) (string, error) {
	at := location{url: s.URL}
	if s.Local != "" {
		spec := Spec{Source: s, Base: base}
		common, err := spec.repository()
		if err != nil {
			return "", err
		}
		at = spec.at(common)
		at.gitDir = common
	} else if badURL(s.URL) {
		return "", refuse("git "+args("")[0], "refused the repository url %q", s.URL)
	}
	p, err := g.newPrivate(ctx, at)
	if err != nil {
		return "", err
	}
	defer p.done()
	if p.at.elsewhere != nil && s.Local != "" {
		return "", p.at.elsewhere
	}
	if all := p.at.remotes; all.name == "" && len(all.names) > 0 && p.at.base == "" {
		return "", all.several(s.Local)
	}
	if p.at.url == "" {
		return "", nil // a checkout without a remote is used as it is
	}
	return p.run(ctx, command{args: args(cmp.Or(p.at.remotes.name, cloneRemote))})
}

// Missing lists the programs that the user's configuration of git names and that are not installed: credential helpers, the
// filters of git-lfs, an ssh. Git says so only once it needs one.
func (g *Git) Missing(ctx context.Context) (programs []string, err error) {
	p, err := g.outside(ctx, "")
	if err != nil {
		return nil, err
	}
	defer p.done()
	user, err := g.userConfig(ctx, "", p.dir)
	if err != nil {
		return nil, err
	}
	dir, err := p.run(ctx, command{args: []string{"--exec-path"}})
	if err != nil {
		return nil, err
	}
	for _, s := range user {
		if name := named(s); name != "" && !slices.Contains(programs, name) && !g.installed(name, dir) {
			programs = append(programs, name)
		}
	}
	return programs, nil
}

// Lacks says whether git would not find a program that it needs for a remote. No name is a program that it has.
func (g *Git) Lacks(ctx context.Context, program string) (bool, error) {
	if program == "" {
		return false, nil
	}
	p, err := g.outside(ctx, "")
	if err != nil {
		return false, err
	}
	defer p.done()
	dir, err := p.run(ctx, command{args: []string{"--exec-path"}})
	return err == nil && !g.installed(program, dir), err
}

// installed says whether git finds a program: in its own folder, which git --exec-path printed, or in the PATH.
func (g *Git) installed(program, execPath string) bool {
	if _, err := os.Stat(filepath.Join(strings.TrimSpace(execPath), program)); err == nil && !filepath.IsAbs(program) {
		return true
	}
	_, err := proc.LookPath(program, g.Env, "/")
	return err == nil
}

// named is the program that a setting names; empty for none, and for a line of shell of which it is not plain.
func named(s setting) string {
	words := strings.Fields(s.value)
	if len(words) == 0 {
		return ""
	}
	name := words[0]
	switch {
	case strings.HasPrefix(s.key, "credential.") && strings.HasSuffix(s.key, ".helper"):
		if shell, ok := strings.CutPrefix(name, "!"); ok {
			name = shell
		} else if !filepath.IsAbs(name) {
			name = "git-credential-" + name
		}
	case strings.HasPrefix(s.key, "filter.lfs.") && s.key != "filter.lfs.required", s.key == "core.sshcommand":
	case s.key == "core.askpass":
		name = s.value
	default:
		return ""
	}
	if s.key != "core.askpass" && strings.ContainsAny(name, "$`'\"\\;&|<>()=~*{") {
		return ""
	}
	return name
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
