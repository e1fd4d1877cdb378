package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kugetsu/queue/pattern"
	"kugetsu/queue/spool"
	"kugetsu/queue/terminal"
	"kugetsu/slots"
	"kugetsu/slots/git"
	"kugetsu/slots/worktree"
)

const (
	gitLimit    = 20 * time.Second // of a git command that needs no network
	remoteLimit = 30 * time.Second // of a question to a remote
)

func (x *Exam) git() (*worktree.Git, context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(x.Ctx, gitLimit)
	return &worktree.Git{Runner: git.Runner{Env: x.env, Own: x.own()}}, ctx, cancel
}

// own returns the folder for private git directories; "", for commands that need no repository, where there is no state folder.
func (x *Exam) own() string {
	if _, err := os.Stat(x.in("")); err != nil {
		return ""
	}
	return x.in("git")
}

func (x *Exam) gitProgram() {
	g, ctx, cancel := x.git()
	defer cancel()
	version, old, err := g.Version(ctx)
	switch {
	case err != nil:
		x.add(Error, err.Error(), "install git, or put its folder into PATH in "+x.in("config"))
		x.last().explains = func(f Finding) bool {
			return f.err != nil && slices.Contains([]string{"identity", "remote", "worktrees"}, f.Check)
		}
		if !g.Installed() {
			x.last().lacks = "git"
		}
	case old:
		x.add(Warn, "git "+version+" is older than 2.39, which kugetsu is tested with", "install a newer git")
	default:
		x.ok("git " + version)
	}
	if err != nil {
		return
	}
	// Git itself reports a program that is missing only when it needs it, in the middle of a run.
	missing, err := g.Missing(ctx)
	if err != nil {
		x.unknown(err)
	}
	for _, name := range missing {
		x.add(Warn, "git's configuration names "+terminal.Line(name, 200)+", which is not in the PATH of the config", "install it, put its folder into PATH in "+x.in("config")+", or remove it from git's configuration")
		x.last().lacks = name
	}
}

// identity checks that an agent can commit. Both the environment of agents and git's configuration may name the author.
func (x *Exam) identity() {
	_, ctx, cancel := x.git()
	defer cancel()
	named, err := (&worktree.Git{Runner: git.Runner{Env: x.agents, Own: x.own()}}).Named(ctx, worktree.Spec{})
	if err != nil {
		x.unknown(err)
		return
	}
	remedy := `git config --global user.name "…" and user.email "…", or GIT_IDENTITY in ` + x.in("config")
	set, _ := git.ParseIdentity(x.Tick.Settings.Identity) // config has the error
	env := append(slices.Clone(x.agents), named.Missing(x.agents, set)...)
	who, known := named.Committer(env)
	switch {
	case !known: // user.useConfigOnly is set; the configuration of a repository may still name an author
		x.add(Warn, "commits have no author where a repository does not name one", remedy)
	case set == git.Identity{} && len(env) > len(x.agents):
		x.add(Warn, "git knows no author, so agents commit as "+who.String(), remedy)
	default:
		x.ok(who.String())
	}
}

// remote asks the remote of the issue's repository whether it answers and takes a push. Whether the credentials allow more shows
// only in a change there.
func (x *Exam) remote() {
	if x.Issue.IsZero() {
		x.ok("not asked: kugetsu doctor owner/repo#12 asks for the repository of an issue")
		return
	}
	url, local, err := x.Tick.Origin(x.Issue)
	if err != nil {
		x.unknown(err)
		return
	}
	ctx, cancel := context.WithTimeout(x.Ctx, remoteLimit)
	defer cancel()
	g := &worktree.Git{Runner: git.Runner{Env: x.env, Own: x.own()}}
	if lookup(x.env, "SSH_ASKPASS") == "" { // ssh must not ask on this terminal, since a run has none
		g.Env = append(slices.Clone(x.env), "SSH_ASKPASS=false", "SSH_ASKPASS_REQUIRE=force")
	}
	from := worktree.Source{URL: url, Local: local}
	there, err := g.Reach(ctx, from, x.Tick.Settings.BaseBranch)
	if err != nil {
		remedy := "see that git reaches it without asking; tokens go into " + x.in("env", "default.env")
		name, lacks := transport(url), ""
		if absent, lookErr := g.Lacks(ctx, name); lookErr == nil && absent {
			remedy = "install " + name + ", or put its folder into PATH in " + x.in("config")
			lacks = name
		}
		x.add(Error, fmt.Sprintf("%s: %v", x.Issue.RepoPath(), err), remedy)
		x.last().err, x.last().lacks = err, lacks
		return
	}
	if !there {
		x.ok(x.Issue.RepoPath() + " answers")
		return
	}
	// Agents push, so their environment counts.
	g.Env = append(slices.Clone(x.agents), g.Env[len(x.env):]...)
	if err := g.Pushes(ctx, from, x.Tick.Settings.BaseBranch); err != nil {
		x.add(Error, fmt.Sprintf("%s answers, but agents cannot push there: %v", x.Issue.RepoPath(), err),
			"give git credentials that may write; a fork that they may write to goes into "+x.in("repos.json"))
		return
	}
	x.ok(x.Issue.RepoPath() + " answers, and takes pushes")
}

// helper matches the scheme of a URL that a remote helper serves: helper::address, or helper://address.
var helper = pattern.Lazy(`^([A-Za-z][A-Za-z0-9+.-]*)(::|://)`)

// transport returns the program through which git reaches a URL, "" where git needs none.
func transport(url string) string {
	m := helper().FindStringSubmatch(url)
	switch {
	case m == nil && strings.Contains(url, ":") && !filepath.IsAbs(url), m != nil && (m[1] == "ssh" || m[1] == "git+ssh" || m[1] == "ssh+git"):
		return "ssh"
	case m == nil || m[2] == "://" && slices.Contains([]string{"file", "git"}, m[1]):
		return ""
	}
	return "git-remote-" + m[1] // git itself installs that of https
}

// worktrees compares the folders in worktrees/ with the sessions and with the worktrees that git has registered.
func (x *Exam) worktrees() {
	g := &worktree.Git{Runner: git.Runner{Env: x.env, Own: x.own()}}
	known := map[string]bool{}
	repos, err := spool.List(x.in("repos"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		x.unknown(err)
	}
	complete := true
	for _, name := range repos {
		if base, ok := strings.CutSuffix(name, ".git"); ok {
			src := worktree.Source{Cache: x.in("repos", name), Lock: x.in("repos", base+".lock")}
			complete = x.registered(g, src, known) && complete
		}
	}
	locals, err := x.Tick.Repos() // config has the error
	complete = complete && err == nil
	for _, dir := range locals {
		if filepath.IsAbs(dir) {
			if _, err := os.Lstat(filepath.Join(dir, ".git")); err == nil {
				complete = x.registered(g, worktree.Source{Local: dir}, known) && complete
			} else {
				complete = false // a checkout that is missing may know any of the worktrees
			}
		}
	}
	names, err := spool.List(x.in("worktrees"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		x.unknown(err)
	}
	for _, name := range names {
		if busy, err := slots.Locked(x.Tick.Home.SessionLock(name)); err != nil || busy || x.Tick.Sessions().InUse(name) {
			continue // a run may be making it now
		}
		path := x.in("worktrees", name)
		there, err := spool.Exists(x.in("sessions", name+".json"))
		switch {
		case err != nil:
			x.unknown(err)
		case !there:
			x.add(Warn, path+" belongs to no session", "inspect it: the next item on the issue uses it, and git worktree remove removes it")
		case name != slots.PMSession && complete && !known[realPath(path)]:
			x.add(Warn, "no repository knows the worktree "+path, "inspect it: git -C "+path+" status; move it away, and the next run makes a new one")
		}
	}
}

// registered adds the registered worktrees of a repository to known, and adds a finding for those whose folders are gone.
func (x *Exam) registered(g *worktree.Git, src worktree.Source, known map[string]bool) bool {
	dir := src.Cache
	if src.Local != "" {
		dir = src.Local
	}
	list, err := g.Registered(dir)
	if err != nil {
		x.add(Error, fmt.Sprintf("%s: %v", dir, err), "see what is wrong: git -C "+dir+" fsck")
		x.last().err = err
		return false
	}
	gone := 0
	for _, w := range list {
		known[realPath(w.Path)] = true
		if w.Gone && strings.HasPrefix(w.Path, x.in("worktrees")+string(filepath.Separator)) {
			gone++
		}
	}
	if gone == 0 {
		return true
	}
	what := fmt.Sprintf("%s has records of %d worktrees whose folders are gone", dir, gone)
	remedy := "git -C " + dir + " worktree prune"
	if src.Local != "" { // the owner of the checkout may have worktrees on a disk that is not mounted
		x.add(Warn, what, remedy)
		return true
	}
	x.repair(Warn, what, remedy, func() error {
		ctx, cancel := context.WithTimeout(x.Ctx, gitLimit)
		defer cancel()
		return g.Prune(ctx, src)
	})
	return true
}

// realPath returns a path as git prints it.
func realPath(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return path
}
