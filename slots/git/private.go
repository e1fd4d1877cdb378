package git

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

// Private is a git directory of kugetsu's own through which git looks at a repository that agents can write to.
//
// Git believes its git directory: filters, hooks, helpers, askpass, remotes, partial clones and core.worktree are commands
// or paths that a line of text in it names. So kugetsu gives git this directory in place of the repository's. Its objects,
// refs, packed-refs and shallow are links to the repository's. Its config, HEAD and info are written here:
//
//	config        the formats of the repository, nothing else; see config.go for what comes by the environment
//	HEAD          that of the worktree, read as a file and checked
//	info/exclude  a copy, and the worktrees inside. There is no info/attributes: the worktree's .gitattributes are enough
//	hooks, logs, worktrees, modules, config.worktree, info/grafts of the agent's: not there. For alternates see noAlternates, and
//	in a local checkout noteStrange
//	w/            in a repository with a reftable: the git directory of the worktree, whose HEAD is in a table
//
// The index is named in each call: the worktree's own to read, or a scratch one to write.
//
// It lasts for a few calls and is removed. A process that is killed leaves it. The next process to make one removes those
// that are a minute old and not locked.
type Private struct {
	Runner          *Runner
	At              Location
	Dir             string
	GitDir          string
	env             []string
	lock            *os.File // of dir: it is in use
	lfs             bool     // the user's own configuration has git-lfs, so it is run
	noted           []string // the alternates that a local checkout had
	AddedAlternates []string // alternates of a local checkout that were not noted
	Inside          []Inner  // the worktrees inside the worktree, which git does not look into
}

// Location says which repository, worktree and remote a private git directory leads to.
type Location struct {
	Common string // the repository's directory
	Clone  bool   // it is a clone of kugetsu's, not a local checkout
	GitDir string // of the worktree in it, below common; the same as common for a main checkout; empty for none
	Path   string // of the worktree; empty for none
	Branch string // what HEAD is to name where gitDir is empty or has none; it may be empty
	URL    string // of the remote; that of a local checkout is read in its configuration
	Local  string // the local checkout
	Lazy   bool   // git may fetch objects that a partial clone of the user's lacks
	Base   string // the branch that new work begins from; empty for the remote's default branch
	Noted  string // the file that says which alternates a local checkout had: see noteStrange
	strict bool   // git sees the objects of those alternates, and of no others

	// Known once the configuration of the repository was read.
	Remotes   Remotes // of a local checkout
	Elsewhere error   // no agent may start there: see leadsElsewhere
}

// privateAge is how old a private git directory must be to be taken for one of a dead process: its maker locks it at once.
var privateAge = time.Minute

// Open makes a private git directory. The caller closes it.
func (g *Runner) Open(ctx context.Context, at Location) (*Private, error) {
	p := &Private{Runner: g, At: at}
	if err := p.make(); err != nil {
		return nil, errors.Join(&Error{Op: "git", Err: err}, p.close())
	}
	if err := p.lead(ctx); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

// outside is a private git directory that leads to no repository, for a question to a remote or about the user's files.
func (g *Runner) outside(ctx context.Context, url string) (*Private, error) {
	return g.Open(ctx, Location{URL: url})
}

// make makes an empty private directory, and removes those of processes that are dead.
func (p *Private) make() (err error) {
	own := p.Runner.Own
	if own == "" && p.At.Common != "" {
		return errors.New("there is no folder for a private git directory")
	}
	if own == "" { // no file of an agent's is read
		if p.Dir, err = os.MkdirTemp("", "kugetsu-git-*"); err != nil {
			return err
		}
		p.GitDir = p.Dir
		return os.Mkdir(filepath.Join(p.Dir, "info"), 0o700)
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
	// If the clock was set forward meanwhile, the directory looks old, and another process may remove it before it is locked.
	for range makeMost {
		if err = p.makeLocked(own); err == nil || !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.EWOULDBLOCK) {
			break
		}
	}
	return err
}

// makeMost bounds the attempts to make a directory that no other process removes.
const makeMost = 100

// makeLocked makes a private directory and locks it. If another process removed the directory before that, the lock is worth
// nothing. So the folder inside is made after the lock, and fails if the directory is gone.
func (p *Private) makeLocked(own string) (err error) {
	if p.Dir, err = os.MkdirTemp(own, "git-*"); err != nil {
		return err
	}
	if p.lock, err = lockDir(p.Dir); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(p.Dir, "info"), 0o700); err != nil {
		lock := p.lock
		p.lock = nil
		return errors.Join(err, lock.Close())
	}
	p.GitDir = p.Dir
	return nil
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

// close removes the private directory.
func (p *Private) close() error {
	if p == nil || p.Dir == "" {
		return nil
	}
	err := os.RemoveAll(p.Dir)
	if p.lock != nil {
		err = errors.Join(err, p.lock.Close())
	}
	p.Dir = ""
	if err != nil {
		return &Error{Op: "git", Err: err}
	}
	return nil
}

// Done closes p, and is for a defer. If that fails, the next process to make a private directory removes this one.
func (p *Private) Done() {
	if err := p.close(); err != nil {
		p.Runner.Say("%v", err)
	}
}

// lead makes the private directory lead to the repository. It checks each file and folder first: an agent may have put a link or a FIFO
// there, and git would write elsewhere, or wait.
func (p *Private) lead(ctx context.Context) error {
	if p.At.Common == "" {
		return p.leadNowhere(ctx)
	}
	tables, err := p.linkRepository()
	if err != nil {
		return err
	}
	if err := p.noAlternates(); err != nil {
		return err
	}
	if err := p.writeHead(tables); err != nil {
		return err
	}
	if err := p.writeExclude(); err != nil {
		return err
	}
	lazy := p.At.Lazy
	p.At.Lazy = false // until it is known that the user made it a partial clone
	if err := p.format(tables, ""); err != nil {
		return err
	}
	user, err := p.Runner.userConfig(ctx, p.At.Common, p.Dir)
	if err != nil {
		return err
	}
	repo, err := p.Runner.repoConfig(ctx, p)
	if err != nil {
		return err
	}
	if err := p.owned(user); err != nil {
		return err
	}
	kind, err := objectFormat(p.At.Common, repo)
	if err != nil {
		return err
	}
	if err := p.format(tables, kind); err != nil {
		return err
	}
	if err := p.linkLFS(user); err != nil {
		return err
	}
	if p.At.Local != "" {
		p.At.Remotes = remotesOf(repo, p.At.Local, p.At.Base)
		p.At.URL, p.At.Base = p.At.Remotes.url, strings.TrimPrefix(p.At.Base, p.At.Remotes.Name+"/")
		promisor, _ := value(repo, "remote."+p.At.Remotes.Name+".promisor")
		if p.At.Lazy = lazy && promisor == "true" && p.At.URL != ""; p.At.Lazy {
			if err := p.format(tables, kind); err != nil {
				return err
			}
		}
	}
	p.At.Elsewhere = leadsElsewhere(repo, p.At)
	p.configure(slices.Concat(only(user, conversions), only(repo, ofRepository), only(user, ofUser)))
	if tables && p.At.GitDir != "" && p.At.GitDir != p.At.Common {
		return p.leadToTables()
	}
	return p.leadToHalves()
}

// checkFolders makes sure that the folders of a repository are folders.
func checkFolders(common string) error {
	for _, dir := range []string{common, filepath.Join(common, "objects"), filepath.Join(common, "refs"), filepath.Join(common, "refs", "heads")} {
		info, err := os.Lstat(dir)
		if err == nil && dir != common && !info.IsDir() && filepath.Base(dir) == "heads" && info.Mode().IsRegular() {
			continue // a reftable has a file there
		}
		if Absent(err) {
			return Refuse("git", "%s is not a git repository: there is no %s", common, filepath.Base(dir))
		}
		if err != nil {
			return &Error{Op: "git", Err: err}
		}
		if !info.IsDir() {
			return Refuse("git", "%s is not a folder", dir)
		}
	}
	return nil
}

// linkRepository makes the links to the repository's objects and references, and says whether its references are in tables.
func (p *Private) linkRepository() (tables bool, err error) {
	common := p.At.Common
	if err := checkFolders(common); err != nil {
		return false, err
	}
	links := []string{"objects", "refs"}
	for _, name := range []string{"packed-refs", "shallow"} {
		info, err := os.Lstat(filepath.Join(common, name))
		if err != nil && !Absent(err) {
			return false, &Error{Op: "git", Err: err}
		}
		if err == nil && !info.Mode().IsRegular() {
			return false, Refuse("git", "%s is not a regular file", filepath.Join(common, name))
		}
		links = append(links, name) // also if it is missing: git makes it through the link
	}
	tables = IsDir(filepath.Join(common, "reftable"))
	if tables {
		links = append(links, "reftable")
	}
	if err := p.noteStrange(); err != nil {
		return false, err
	}
	if p.At.strict {
		links = links[1:]
		if err := p.linkObjects(); err != nil {
			return false, err
		}
	}
	for _, name := range links {
		if err := os.Symlink(filepath.Join(common, name), filepath.Join(p.Dir, name)); err != nil {
			return false, &Error{Op: "git", Err: err}
		}
	}
	return tables, nil
}

// writeExclude writes info/exclude: the repository's own, and the worktrees inside.
func (p *Private) writeExclude() (err error) {
	exclude, _ := ReadSmall(filepath.Join(p.At.Common, "info", "exclude"), 1<<20) // git needs none
	if p.At.Path != "" {
		if p.Inside, err = inside(p.At); err != nil {
			return err
		}
	}
	return p.Write("info/exclude", string(exclude)+"\n"+excludes(p.Inside))
}

// linkLFS finds out whether git-lfs is run. If the user's configuration runs it as a process, linkLFS leads it to the repository's
// own objects.
func (p *Private) linkLFS(user []Setting) error {
	_, process := value(user, "filter.lfs.process")
	_, single := value(user, "filter.lfs.clean")
	p.lfs = process || single
	if !process {
		return nil
	}
	objects := filepath.Join(p.At.Common, "lfs")
	if err := os.Mkdir(objects, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return &Error{Op: "git", Err: err}
	}
	if IsDir(objects) {
		if err := os.Symlink(objects, filepath.Join(p.Dir, "lfs")); err != nil {
			return &Error{Op: "git", Err: err}
		}
	}
	return nil
}

// leadToHalves links the halves of a split index into the private directory. Git looks for them in its git directory, although each
// call names the index itself.
func (p *Private) leadToHalves() error {
	if p.At.GitDir == "" || p.At.Path == "" {
		return nil
	}
	halves, err := filepath.Glob(filepath.Join(p.At.GitDir, "sharedindex.*"))
	for _, half := range halves {
		if info, statErr := os.Lstat(half); statErr == nil && info.Mode().IsRegular() {
			err = cmp.Or(err, os.Symlink(half, filepath.Join(p.Dir, filepath.Base(half))))
		}
	}
	if err != nil {
		return &Error{Op: "git", Err: err}
	}
	return nil
}

// leadNowhere gives git a repository without anything in it.
func (p *Private) leadNowhere(ctx context.Context) error {
	for _, dir := range []string{"objects", "refs"} {
		if err := os.Mkdir(filepath.Join(p.Dir, dir), 0o700); err != nil {
			return &Error{Op: "git", Err: err}
		}
	}
	if err := cmp.Or(p.Write("HEAD", "ref: "+NoBranch), p.format(false, "")); err != nil {
		return err
	}
	user, err := p.Runner.userConfig(ctx, "", p.Dir)
	if err != nil {
		return err
	}
	p.configure(only(user, ofUser))
	return nil
}

// leadToTables makes the git directory of a worktree whose HEAD and own references are in a table.
func (p *Private) leadToTables() error {
	table := filepath.Join(p.At.GitDir, "reftable")
	if !IsDir(table) {
		return Refuse("git", "%s is not a folder", table)
	}
	p.GitDir = filepath.Join(p.Dir, "w")
	err := os.Mkdir(p.GitDir, 0o700)
	if err == nil {
		err = os.Symlink(table, filepath.Join(p.GitDir, "reftable"))
	}
	if err != nil {
		return &Error{Op: "git", Err: err}
	}
	return cmp.Or(p.Write("w/HEAD", "ref: "+InvalidBranch), p.Write("w/commondir", ".."))
}

// NoBranch is the branch in HEAD where there is no branch to name: git demands a HEAD. It is also the HEAD of our clones, in
// which no branch is checked out but in the worktrees: see clone.
const NoBranch = "refs/heads/kugetsu/none"

// InvalidBranch is the branch in the file HEAD where the references are in tables.
const InvalidBranch = "refs/heads/.invalid"

// writeHead writes HEAD.
func (p *Private) writeHead(tables bool) error {
	head, err := p.head(tables)
	if err != nil {
		return err
	}
	return p.Write("HEAD", head)
}

// head is the text for HEAD.
func (p *Private) head(tables bool) (string, error) {
	if tables {
		return "ref: " + InvalidBranch, nil
	}
	var text string
	if p.At.GitDir != "" {
		b, err := ReadSmall(filepath.Join(p.At.GitDir, "HEAD"), 1<<10)
		if err != nil && !Absent(err) && p.At.Branch == "" {
			return "", Unread("git", err)
		}
		text = OneLine(b)
	}
	if target, ok := strings.CutPrefix(text, "ref: "); ok && strings.HasPrefix(target, "refs/") && ValidRef(target) {
		return text, nil
	}
	if IsCommit(text) {
		return text, nil
	}
	if text != "" && p.At.Branch == "" {
		return "", Refuse("git", "the HEAD of %s is neither a branch nor a commit", cmp.Or(p.At.Path, p.At.Common))
	}
	if p.At.Branch != "" {
		return "ref: refs/heads/" + p.At.Branch, nil
	}
	return "ref: " + NoBranch, nil
}

// silence is how long a remote may say nothing over http, in seconds: then git gives up, which is an outage of that host. A
// server that is at work says so every few seconds. The user's own setting wins. For ssh the user may set ServerAliveInterval.
var silence = []Setting{{"http.lowspeedlimit", "1"}, {"http.lowspeedtime", "300"}}

// configure makes the environment of the calls.
func (p *Private) configure(config []Setting) {
	config = slices.Concat(silence, config)
	if p.At.URL != "" {
		remote := "remote." + cmp.Or(p.At.Remotes.Name, Origin)
		config = append(config, Setting{remote + ".url", p.At.URL}, Setting{remote + ".fetch", p.At.Branches()})
	}
	if p.At.Lazy {
		config = append(config, Setting{"remote." + p.At.Remotes.Name + ".promisor", "true"}, Setting{"remote." + p.At.Remotes.Name + ".partialclonefilter", "blob:none"})
	}
	p.env = configEnv(config)
}

func (p *Private) Write(name, text string) error {
	if err := os.WriteFile(filepath.Join(p.Dir, name), []byte(text+"\n"), 0o600); err != nil {
		return &Error{Op: "git", Err: err}
	}
	return nil
}

// noAlternates moves the list of other object stores out of git's way where a clone of kugetsu's has one: kugetsu makes no such
// list. An object that is only in such a store would count as kept, and be gone with the store.
func (p *Private) noAlternates() error {
	list := filepath.Join(p.At.Common, "objects", "info", "alternates")
	if _, err := os.Lstat(list); err != nil || !p.At.Clone {
		return nil
	}
	if err := os.Rename(list, list+".not-used"); err != nil && !Absent(err) {
		return &Error{Op: "git", Err: err}
	}
	p.Runner.Say("%s is not used, since kugetsu did not make it: it is moved to %s.not-used", list, filepath.Base(list))
	return nil
}

// Run runs git through the private git directory.
func (p *Private) Run(ctx context.Context, c Command) (string, error) {
	if err := p.plainRefs(c.Args); err != nil {
		return "", err
	}
	c.Env, c.lazy = slices.Concat(p.env, []string{"GIT_DIR=" + p.GitDir}, c.Env), p.At.Lazy
	if c.dir == "" {
		c.dir = cmp.Or(p.At.Path, p.Dir)
	}
	read := []string{p.At.Common}
	if p.At.Common == "" {
		read = nil
	}
	if p.At.Path != "" {
		index := cmp.Or(c.Index, filepath.Join(p.At.GitDir, "index"))
		c.Env = append(c.Env, "GIT_WORK_TREE="+p.At.Path, "GIT_INDEX_FILE="+index)
		read = append(read, p.At.Path)
	}
	return p.Runner.exec(ctx, read, c)
}
