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

	"golang.org/x/sys/unix"
)

// private is a git directory of kugetsu's own through which git looks at a repository that agents can write to.
//
// Git believes its git directory: filters, hooks, helpers, askpass, remotes, partial clones and core.worktree are commands
// or paths that a line of text in it names. So kugetsu gives git this directory in place of the repository's. Its objects,
// refs, packed-refs and shallow are links to the repository's. Its config, HEAD and info are written here:
//
//	config        the formats of the repository, nothing else; see config.go for what comes by the environment
//	HEAD          that of the worktree, read as a file and checked
//	info/exclude  a copy, and the worktrees inside. There is no info/attributes: the worktree's .gitattributes are enough
//	hooks, logs, worktrees, modules, config.worktree, info/grafts of the agent's: not there. For alternates see noAlternates, and
//	in a local checkout alternates.go
//	w/            in a repository with a reftable: the git directory of the worktree, whose HEAD is in a table
//
// The index is named in each call: the worktree's own to read, or a scratch one to write.
//
// It lasts for a few calls and is removed. A process that is killed leaves it. The next process to make one removes those
// that are a minute old and not locked.
type private struct {
	g      *Git
	at     location
	dir    string
	gitDir string
	env    []string
	lock   *os.File // of dir: it is in use
	lfs    bool     // the user's own configuration has git-lfs, so it is run
	noted  []string // the alternates that a local checkout had
	added  []string // alternates of a local checkout that were not noted
	inside []inner  // the worktrees inside the worktree, which git does not look into
}

// location says which repository, worktree and remote a private git directory leads to.
type location struct {
	common string // the repository's directory
	clone  bool   // it is a clone of kugetsu's, not a local checkout
	gitDir string // of the worktree in it, below common; the same as common for a main checkout; empty for none
	path   string // of the worktree; empty for none
	branch string // what HEAD is to name where gitDir is empty or has none; it may be empty
	url    string // of the remote; that of a local checkout is read in its configuration
	local  string // the local checkout
	lazy   bool   // git may fetch objects that a partial clone of the user's lacks
	base   string // the branch that new work begins from; empty for the remote's default branch
	noted  string // the file that says which alternates a local checkout had: see alternates.go
	strict bool   // git sees the objects of those alternates, and of no others

	// Known once the configuration of the repository was read.
	remotes   remotes // of a local checkout
	elsewhere error   // no agent may start there: see leadsElsewhere
}

// privateAge is how old a private git directory must be to be taken for one of a dead process: its maker locks it at once.
const privateAge = time.Minute

// newPrivate makes a private git directory. The caller closes it.
func (g *Git) newPrivate(ctx context.Context, at location) (*private, error) {
	p := &private{g: g, at: at}
	if err := p.make(); err != nil {
		return nil, errors.Join(&Error{Op: "git", Err: err}, p.close())
	}
	if err := p.lead(ctx); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

// outside is a private git directory that leads to no repository, for a question to a remote or about the user's files.
func (g *Git) outside(ctx context.Context, url string) (*private, error) {
	return g.newPrivate(ctx, location{url: url})
}

// make makes an empty one, and removes those of processes that are dead.
func (p *private) make() (err error) {
	own := p.g.Own
	if own == "" && p.at.common != "" {
		return errors.New("there is no folder for a private git directory")
	}
	if own == "" { // no file of an agent's is read
		if p.dir, err = os.MkdirTemp("", "kugetsu-git-*"); err != nil {
			return err
		}
		p.gitDir = p.dir
		return os.Mkdir(filepath.Join(p.dir, "info"), 0o700)
	}
	if err := os.MkdirAll(own, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(own)
	if err != nil {
		return err
	}
	for _, e := range entries {
		removeDead(filepath.Join(own, e.Name()))
	}
	if p.dir, err = os.MkdirTemp(own, "git-*"); err != nil {
		return err
	}
	if p.lock, err = lockDir(p.dir); err != nil {
		return err
	}
	p.gitDir = p.dir
	return os.Mkdir(filepath.Join(p.dir, "info"), 0o700)
}

func removeDead(dir string) {
	info, err := os.Lstat(dir)
	if err != nil || time.Since(info.ModTime()) < privateAge {
		return
	}
	if lock, err := lockDir(dir); err == nil {
		_ = os.RemoveAll(dir)
		_ = lock.Close()
	}
}

// lockDir locks a folder, or fails where another process has it locked.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// close removes it.
func (p *private) close() error {
	if p == nil || p.dir == "" {
		return nil
	}
	err := os.RemoveAll(p.dir)
	if p.lock != nil {
		err = errors.Join(err, p.lock.Close())
	}
	p.dir = ""
	if err != nil {
		return &Error{Op: "git", Err: err}
	}
	return nil
}

// done closes p in a defer. If that fails, the next process to make one removes the folder.
func (p *private) done() {
	if err := p.close(); err != nil {
		p.g.say("%v", err)
	}
}

// lead makes it lead to the repository, after a check of each file and folder: an agent may have put a link or a FIFO there,
// with which git would write elsewhere, or wait.
func (p *private) lead(ctx context.Context) error {
	common := p.at.common
	if common == "" {
		return p.leadNowhere(ctx)
	}
	for _, dir := range []string{common, filepath.Join(common, "objects"), filepath.Join(common, "refs"), filepath.Join(common, "refs", "heads")} {
		info, err := os.Lstat(dir)
		if err == nil && dir != common && !info.IsDir() && filepath.Base(dir) == "heads" && info.Mode().IsRegular() {
			continue // a reftable has a file there
		}
		if absent(err) {
			return refuse("git", "%s is not a git repository: there is no %s", common, filepath.Base(dir))
		}
		if err != nil {
			return &Error{Op: "git", Err: err}
		}
		if !info.IsDir() {
			return refuse("git", "%s is not a folder", dir)
		}
	}
	links := []string{"objects", "refs"}
	for _, name := range []string{"packed-refs", "shallow"} {
		info, err := os.Lstat(filepath.Join(common, name))
		if err != nil && !absent(err) {
			return &Error{Op: "git", Err: err}
		}
		if err == nil && !info.Mode().IsRegular() {
			return refuse("git", "%s is not a regular file", filepath.Join(common, name))
		}
		links = append(links, name) // also where it is not there: git makes it through the link
	}
	tables := isDir(filepath.Join(common, "reftable"))
	if tables {
		links = append(links, "reftable")
	}
	if err := p.noteStrange(); err != nil {
		return err
	}
	if p.at.strict {
		links = links[1:]
		if err := p.linkObjects(); err != nil {
			return err
		}
	}
	for _, name := range links {
		if err := os.Symlink(filepath.Join(common, name), filepath.Join(p.dir, name)); err != nil {
			return &Error{Op: "git", Err: err}
		}
	}
	if err := p.noAlternates(); err != nil {
		return err
	}
	head, err := p.head(tables)
	if err != nil {
		return err
	}
	if err := p.write("HEAD", head); err != nil {
		return err
	}
	exclude, _ := readSmall(filepath.Join(common, "info", "exclude"), 1<<20) // git needs none
	if p.at.path != "" {
		if p.inside, err = inside(p.at); err != nil {
			return err
		}
	}
	if err := p.write("info/exclude", string(exclude)+"\n"+excludes(p.inside)); err != nil {
		return err
	}
	lazy := p.at.lazy
	p.at.lazy = false // until it is known that the user made it a partial clone
	if err := p.format(tables, ""); err != nil {
		return err
	}
	user, err := p.g.userConfig(ctx, common, p.dir)
	if err != nil {
		return err
	}
	repo, err := p.g.repoConfig(ctx, p)
	if err != nil {
		return err
	}
	if err := p.owned(user); err != nil {
		return err
	}
	kind, err := objectFormat(common, repo)
	if err != nil {
		return err
	}
	if err := p.format(tables, kind); err != nil {
		return err
	}
	_, process := value(user, "filter.lfs.process")
	_, single := value(user, "filter.lfs.clean")
	p.lfs = process || single
	if process { // its objects are the repository's
		if err := os.Mkdir(filepath.Join(common, "lfs"), 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
			return &Error{Op: "git", Err: err}
		}
		if isDir(filepath.Join(common, "lfs")) {
			if err := os.Symlink(filepath.Join(common, "lfs"), filepath.Join(p.dir, "lfs")); err != nil {
				return &Error{Op: "git", Err: err}
			}
		}
	}
	if p.at.local != "" {
		p.at.remotes = remotesOf(repo, p.at.local, p.at.base)
		p.at.url, p.at.base = p.at.remotes.url, strings.TrimPrefix(p.at.base, p.at.remotes.name+"/")
		promisor, _ := value(repo, "remote."+p.at.remotes.name+".promisor")
		if p.at.lazy = lazy && promisor == "true" && p.at.url != ""; p.at.lazy {
			if err := p.format(tables, kind); err != nil {
				return err
			}
		}
	}
	p.at.elsewhere = leadsElsewhere(repo, p.at)
	p.configure(slices.Concat(only(user, conversions), only(repo, ofRepository), only(user, ofUser)))
	if tables && p.at.gitDir != "" && p.at.gitDir != common {
		return p.leadToTables()
	}
	return p.leadToHalves()
}

// leadToHalves makes the halves of a split index be where git looks for them: in its git directory, although the index
// itself is named.
func (p *private) leadToHalves() error {
	if p.at.gitDir == "" || p.at.path == "" {
		return nil
	}
	halves, err := filepath.Glob(filepath.Join(p.at.gitDir, "sharedindex.*"))
	for _, half := range halves {
		if info, statErr := os.Lstat(half); statErr == nil && info.Mode().IsRegular() {
			err = cmp.Or(err, os.Symlink(half, filepath.Join(p.dir, filepath.Base(half))))
		}
	}
	if err != nil {
		return &Error{Op: "git", Err: err}
	}
	return nil
}

// leadNowhere gives git a repository without anything in it.
func (p *private) leadNowhere(ctx context.Context) error {
	for _, dir := range []string{"objects", "refs"} {
		if err := os.Mkdir(filepath.Join(p.dir, dir), 0o700); err != nil {
			return &Error{Op: "git", Err: err}
		}
	}
	if err := cmp.Or(p.write("HEAD", "ref: "+noBranch), p.format(false, "")); err != nil {
		return err
	}
	user, err := p.g.userConfig(ctx, "", p.dir)
	if err != nil {
		return err
	}
	p.configure(only(user, ofUser))
	return nil
}

// leadToTables makes the git directory of a worktree whose HEAD and own references are in a table.
func (p *private) leadToTables() error {
	table := filepath.Join(p.at.gitDir, "reftable")
	if !isDir(table) {
		return refuse("git", "%s is not a folder", table)
	}
	p.gitDir = filepath.Join(p.dir, "w")
	err := os.Mkdir(p.gitDir, 0o700)
	if err == nil {
		err = os.Symlink(table, filepath.Join(p.gitDir, "reftable"))
	}
	if err != nil {
		return &Error{Op: "git", Err: err}
	}
	return cmp.Or(p.write("w/HEAD", "ref: "+invalidBranch), p.write("w/commondir", ".."))
}

// noBranch is the branch in HEAD where there is no branch to name: git demands a HEAD. It is also the HEAD of our clones, in
// which no branch is checked out but in the worktrees: see clone.
const noBranch = "refs/heads/kugetsu/none"

// invalidBranch is the branch in the file HEAD where the references are in tables.
const invalidBranch = "refs/heads/.invalid"

// head is the text for HEAD.
func (p *private) head(tables bool) (string, error) {
	if tables {
		return "ref: " + invalidBranch, nil
	}
	var text string
	if p.at.gitDir != "" {
		b, err := readSmall(filepath.Join(p.at.gitDir, "HEAD"), 1<<10)
		if err != nil && !absent(err) && p.at.branch == "" {
			return "", unread("git", err)
		}
		text = oneLine(b)
	}
	if target, ok := strings.CutPrefix(text, "ref: "); ok && strings.HasPrefix(target, "refs/") && validRef(target) {
		return text, nil
	}
	if commitID.MatchString(text) {
		return text, nil
	}
	if text != "" && p.at.branch == "" {
		return "", refuse("git", "the HEAD of %s is neither a branch nor a commit", cmp.Or(p.at.path, p.at.common))
	}
	if p.at.branch != "" {
		return "ref: refs/heads/" + p.at.branch, nil
	}
	return "ref: " + noBranch, nil
}

// silence is how long a remote may say nothing over http, in seconds: then git gives up, which is an outage of that host. A
// server that is at work says so every few seconds. The user's own setting wins. For ssh the user may set ServerAliveInterval.
var silence = []setting{{"http.lowspeedlimit", "1"}, {"http.lowspeedtime", "300"}}

// configure makes the environment of the calls.
func (p *private) configure(config []setting) {
	config = slices.Concat(silence, config)
	if p.at.url != "" {
		remote := "remote." + cmp.Or(p.at.remotes.name, cloneRemote)
		config = append(config, setting{remote + ".url", p.at.url}, setting{remote + ".fetch", p.at.branches()})
	}
	if p.at.lazy {
		config = append(config, setting{"remote." + p.at.remotes.name + ".promisor", "true"}, setting{"remote." + p.at.remotes.name + ".partialclonefilter", "blob:none"})
	}
	p.env = configEnv(config)
	if p.at.lazy {
		p.env = append(p.env, "GIT_NO_LAZY_FETCH=0")
	}
}

func (p *private) write(name, text string) error {
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text+"\n"), 0o600); err != nil {
		return &Error{Op: "git", Err: err}
	}
	return nil
}

// noAlternates moves the list of other object stores out of git's way where a clone of kugetsu's has one: kugetsu makes no such
// list. An object that is only in such a store would count as kept, and be gone with the store.
func (p *private) noAlternates() error {
	list := filepath.Join(p.at.common, "objects", "info", "alternates")
	if _, err := os.Lstat(list); err != nil || !p.at.clone {
		return nil
	}
	if err := os.Rename(list, list+".not-used"); err != nil && !absent(err) {
		return &Error{Op: "git", Err: err}
	}
	p.g.say("%s is not used: it is none of kugetsu's, and is moved to %s.not-used", list, filepath.Base(list))
	return nil
}

// run runs git through the private git directory.
func (p *private) run(ctx context.Context, c command) (string, error) {
	c.env = slices.Concat(p.env, []string{"GIT_DIR=" + p.gitDir}, c.env)
	if c.dir == "" {
		c.dir = cmp.Or(p.at.path, p.dir)
	}
	read := []string{p.at.common}
	if p.at.common == "" {
		read = nil
	}
	if p.at.path != "" {
		index := cmp.Or(c.index, filepath.Join(p.at.gitDir, "index"))
		c.env = append(c.env, "GIT_WORK_TREE="+p.at.path, "GIT_INDEX_FILE="+index)
		read = append(read, p.at.path)
	}
	return p.g.exec(ctx, read, c)
}
