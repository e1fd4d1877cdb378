package worktree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"kugetsu/queue/terminal"
	"kugetsu/slots/git"
)

// IncludeFile is the file at the root of a repository that says, in the syntax of gitignore(5), which of the ignored files
// of a checkout a new worktree needs as well.
const IncludeFile = ".worktreeinclude"

// The repository names the files that are copied, and may be a stranger's. Larger copies are a matter for WORKTREE_HOOK.
const (
	includeFiles    = 1000
	includeBytes    = 64 << 20
	includePatterns = 64 << 10            // of the file itself
	includeNames    = includeFiles * 1024 // of git's answer; a name is rarely longer
)

// Include copies files of the local checkout into a new worktree: those that .worktreeinclude names, as it is committed there,
// and that git ignores in both. A file that the worktree does not ignore would count as work and be committed, though it may
// hold secrets. Git says which files match. Only regular files are copied, with their modes. No link is followed, and a file
// that is there already stays.
//
// A file is there whole or not at all, so the next Include completes one that was killed. The file that is being written
// lies beside the worktree, since any file inside may be work.
func (g *Git) Include(ctx context.Context, s Spec) error {
	s, err := s.checked()
	if err != nil {
		return err
	}
	names, err := g.included(ctx, s)
	if err != nil || len(names) == 0 {
		return err
	}
	from, err := os.OpenRoot(s.Source.Local)
	if err != nil {
		return &git.Error{Op: "include", Err: err}
	}
	defer from.Close()
	to, err := os.OpenRoot(s.Path)
	if err != nil {
		return &git.Error{Op: "include", Err: err}
	}
	defer to.Close()
	left, copied := int64(includeBytes), 0
	for _, name := range names {
		if ctx.Err() != nil {
			return &git.Error{Op: "include", Err: context.Cause(ctx)}
		}
		n, err := g.copy(from, to, name, s.Path, left)
		var e *git.Error
		if errors.As(err, &e) {
			return err
		}
		if err != nil {
			return &git.Error{Op: "include", Err: err}
		}
		if n >= 0 {
			left, copied = left-n, copied+1
		}
	}
	if copied > 0 {
		g.Say("%s: copied %s, %d bytes in all, from %s", IncludeFile, terminal.Count(copied, "file"), includeBytes-left, s.Source.Local)
	}
	// As in add: the session is written next, and says that all is there.
	if err := syncAround(s.Path); err != nil {
		return &git.Error{Op: "include", Err: err}
	}
	return nil
}

// included lists the files to copy.
func (g *Git) included(ctx context.Context, s Spec) ([]string, error) {
	v, err := g.standing(s)
	if err != nil {
		return nil, err
	}
	if !v.stands {
		return nil, git.Refuse("include", "%s is not a worktree of the session (%s)", s.Path, v.why)
	}
	p, err := g.Open(ctx, v.at)
	if err != nil {
		return nil, err
	}
	defer p.Done()
	patterns, err := g.patterns(ctx, s, p)
	if err != nil || patterns == "" {
		return nil, err
	}
	if err := p.Write("patterns", patterns); err != nil {
		return nil, err
	}
	local := v.at
	local.Path = s.Source.Local
	if local.GitDir, err = git.GitDirOf(s.Source.Local); err != nil {
		return nil, &git.Error{Op: "include", Err: err}
	}
	from, err := g.Open(ctx, local)
	if err != nil {
		return nil, err
	}
	defer from.Done()
	names, err := g.matching(ctx, s, from, filepath.Join(p.Dir, "patterns"))
	for _, p := range []*git.Private{from, p} {
		if err == nil && len(names) > 0 {
			names, err = g.ignored(ctx, p, names)
		}
	}
	if err == nil && len(names) > includeFiles {
		err = git.ErrTooLong
	}
	if err != nil {
		return nil, g.tooMany(err)
	}
	return names, nil
}

// askInclude runs git, whose answer may be a list of files.
func askInclude(ctx context.Context, p *git.Private, stdin string, args ...string) (string, error) {
	return p.Run(ctx, git.Command{Stdin: stdin, Most: includeNames, Args: args})
}

// patterns reads .worktreeinclude as it is committed. It is empty where nothing is to be copied.
func (g *Git) patterns(ctx context.Context, s Spec, p *git.Private) (string, error) {
	out, err := askInclude(ctx, p, "", "ls-tree", "--long", "-z", "HEAD", "--", IncludeFile)
	if git.ExitCode(err) == 128 {
		if _, none := askInclude(ctx, p, "", "rev-parse", "--verify", "--quiet", "HEAD^{commit}"); git.ExitCode(none) == 1 { // no commit yet, so no file
			return "", nil
		}
	}
	if err != nil || out == "" {
		return "", err
	}
	meta, _, _ := strings.Cut(out, "\t") // mode, type, name of the object, size
	field := strings.Fields(meta)
	if len(field) != 4 || !strings.HasPrefix(field[0], "100") {
		g.Say("%s is not a file: nothing is copied", IncludeFile)
		return "", nil
	}
	if s.Source.Local == "" {
		g.Say("%s names files of a local checkout (repos.json); from a clone there is nothing to copy", IncludeFile)
		return "", nil
	}
	if size, err := strconv.ParseInt(field[3], 10, 64); err != nil || size > includePatterns {
		return "", git.Refuse("include", "%s has %s bytes; %d are allowed", IncludeFile, field[3], includePatterns)
	}
	return askInclude(ctx, p, "", "cat-file", "blob", field[2])
}

// matching lists the files of the local checkout that match the patterns in a file.
func (g *Git) matching(ctx context.Context, s Spec, from *git.Private, patterns string) ([]string, error) {
	out, err := askInclude(ctx, from, "", "ls-files", "-z", "--others", "--ignored", "--exclude-from="+patterns)
	if err != nil {
		return nil, err
	}
	// Where the way to it leads over a link git would die, and we would write somewhere else.
	var names []string
	for name := range strings.SplitSeq(out, "\x00") {
		if name == "" || strings.HasSuffix(name, "/") || !ownPath(name) { // a folder is a repository of its own
			continue
		}
		switch ok, err := git.PlainWay(s.Path, name); {
		case err != nil:
			return nil, &git.Error{Op: "include", Err: err}
		case !ok:
			g.Say("%s: %q is not copied: a folder on its path is a link or a file", IncludeFile, name)
		default:
			names = append(names, name)
		}
	}
	return names, nil
}

// ignored keeps of the names those that git ignores in a worktree.
func (g *Git) ignored(ctx context.Context, p *git.Private, names []string) ([]string, error) {
	out, err := askInclude(ctx, p, strings.Join(names, "\x00")+"\x00", "check-ignore", "-z", "--stdin")
	switch {
	case git.ExitCode(err) == 1: // none
		return nil, nil
	case git.ExitCode(err) == 128: // git gives up at a name that lies in a submodule, and says so; the hook can copy instead
		g.Say("%s: nothing is copied: %v", IncludeFile, err)
		return nil, nil
	case err != nil:
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(out, "\x00"), "\x00"), nil
}

// tooMany says of an answer that was too long what that means.
func (g *Git) tooMany(err error) error {
	if errors.Is(err, git.ErrTooLong) {
		return git.Refuse("include", "%s names too many files: %d are allowed; WORKTREE_HOOK can copy more", IncludeFile, includeFiles)
	}
	return err
}

// ownPath says whether a name is that of a file below a folder, and of nothing of git's.
func ownPath(name string) bool {
	if !filepath.IsLocal(name) {
		return false
	}
	for part := range strings.SplitSeq(name, "/") {
		if strings.EqualFold(part, ".git") {
			return false
		}
	}
	return true
}

// copy copies one file, of at most left bytes, and returns how many it had; -1 for one that is not to be copied.
func (g *Git) copy(from, to *os.Root, name, path string, left int64) (int64, error) {
	if _, err := to.Lstat(name); err == nil {
		g.Say("%s: %q exists already, and stays as it is", IncludeFile, name)
		return -1, nil
	} else if !git.Absent(err) {
		return -1, err
	}
	info, err := from.Lstat(name)
	if git.Absent(err) { // since git listed it
		return -1, nil
	}
	if err != nil {
		return -1, err
	}
	if !info.Mode().IsRegular() {
		g.Say("%s: %q is not copied: it is not a regular file", IncludeFile, name)
		return -1, nil
	}
	in, err := from.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return -1, err
	}
	defer in.Close()
	if now, err := in.Stat(); err != nil || !os.SameFile(info, now) {
		return -1, errors.Join(err, fmt.Errorf("%q was replaced while it was copied", name))
	}
	written := part(path)
	if err := os.Remove(written); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return -1, err
	}
	out, err := os.OpenFile(written, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return -1, err
	}
	defer os.Remove(written)                           // where it was not renamed
	n, err := io.Copy(out, io.LimitReader(in, left+1)) // it may grow, or be of any size to begin with
	err = errors.Join(err, out.Chmod(info.Mode().Perm()), out.Close())
	if err != nil {
		return -1, err
	}
	if n > left {
		return -1, git.Refuse("include", "%s names more than %d MiB; WORKTREE_HOOK can copy more", IncludeFile, includeBytes>>20)
	}
	dir := filepath.Dir(name)
	if err := makeWay(from, to, dir); err != nil {
		return -1, err
	}
	place, err := to.Open(dir)
	if err != nil {
		return -1, err
	}
	defer place.Close()
	if err := unix.Renameat(unix.AT_FDCWD, written, int(place.Fd()), filepath.Base(name)); err != nil {
		return -1, &fs.PathError{Op: "rename", Path: name, Err: err}
	}
	return n, nil
}

// part is where a file lies while it is copied into the worktree at path.
func part(path string) string { return filepath.Join(filepath.Dir(path), ".part-"+filepath.Base(path)) }

// makeWay makes a folder and those above it, with the modes that they have in the checkout.
func makeWay(from, to *os.Root, dir string) error {
	if dir == "." {
		return nil
	}
	if info, err := to.Lstat(dir); err == nil && info.IsDir() {
		return nil
	}
	if err := makeWay(from, to, filepath.Dir(dir)); err != nil {
		return err
	}
	info, err := from.Lstat(dir)
	if err != nil {
		return err
	}
	return to.Mkdir(dir, info.Mode().Perm()|0o700)
}
