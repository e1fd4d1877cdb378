package worktree

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
)

// validRef says whether git would accept name as a full reference name: the rules of git-check-ref-format(1), here
// because a process for each check would double the price of a follow-up.
func validRef(name string) bool {
	if strings.HasPrefix(name, "-") { // git would take it for an option
		return false
	}
	if strings.Contains(name, "..") || strings.Contains(name, "@{") || strings.HasSuffix(name, ".") {
		return false
	}
	for _, b := range []byte(name) {
		if b <= ' ' || b == 0x7f || strings.IndexByte(`~^:?*[\`, b) >= 0 {
			return false
		}
	}
	parts := strings.Split(name, "/")
	for _, part := range parts {
		if part == "" || strings.HasPrefix(part, ".") || strings.HasSuffix(part, ".lock") {
			return false
		}
	}
	return len(parts) > 1
}

// validBranch is validRef for a branch name. Git itself refuses a branch that looks like an option, and "HEAD".
func validBranch(name string) bool {
	return name != "HEAD" && !strings.HasPrefix(name, "-") && validRef("refs/heads/"+name)
}

// helperURL is git's syntax for a URL that names its own transport program: `ext::sh -c …`. The same syntax with an
// IPv6 address has a bracket before the colons.
var helperURL = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9+.-]*::`)

// badURL says whether a URL is none that git may see: an option, a program, or a text of several lines.
func badURL(url string) bool {
	return url == "" || strings.HasPrefix(url, "-") || helperURL.MatchString(url) ||
		strings.ContainsFunc(url, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// checked returns the Spec with clean paths and base, or says what about it no git should ever see.
func (s Spec) checked() (Spec, error) {
	src := &s.Source
	if src.Local == "" {
		if badURL(src.URL) {
			return s, refuse("prepare", "refused the repository url %q", src.URL)
		}
	}
	for _, path := range []*string{&s.Path, &src.Cache, &src.Lock, &src.Local} {
		if *path == "" && ((path == &src.Local) || (path == &src.Cache && src.Local != "")) {
			continue
		}
		// A newline would be read as the end of a path in git's answers.
		if !filepath.IsAbs(*path) || strings.ContainsAny(*path, "\n\x00") {
			return s, refuse("prepare", "not an absolute path on one line: %q", *path)
		}
		*path = filepath.Clean(*path)
	}
	if !validBranch(s.Branch) {
		return s, refuse("prepare", "not a branch name: %q", s.Branch)
	}
	s.Base = strings.TrimPrefix(s.Base, "origin/")
	if s.Base != "" && !validBranch(s.Base) {
		return s, refuse("prepare", "not a branch name: KUGETSU_BASE_BRANCH %q", s.Base)
	}
	return s, nil
}

// commonDir finds the repository directory that a checkout shares with its linked worktrees, without a process:
// .git itself, or where the file .git and the file commondir behind it lead (gitrepository-layout(5)).
func commonDir(checkout string) (string, error) {
	dir, err := gitDirOf(checkout)
	if err != nil {
		return "", err
	}
	common, err := readSmall(filepath.Join(dir, "commondir"), 64<<10)
	switch {
	case err == nil:
		dir = rel(dir, oneLine(common))
	case !errors.Is(err, fs.ErrNotExist): // the main checkout has none
		return "", err
	}
	return dir, nil
}

// gitDirOf is the git directory of a checkout: .git, or where the file .git leads.
func gitDirOf(checkout string) (string, error) {
	dir := filepath.Join(checkout, ".git")
	info, err := os.Stat(dir)
	if err != nil || info.IsDir() {
		return dir, err
	}
	link, err := readSmall(dir, 64<<10)
	if err != nil {
		return "", err
	}
	return rel(checkout, strings.TrimPrefix(oneLine(link), "gitdir: ")), nil
}

// plainRef refuses a reference whose way leads over something else than folders: a link there would have git write elsewhere.
func plainRef(common, ref string) error {
	ok, err := plainWay(common, ref)
	if err != nil {
		return &Error{Op: "git", Err: err}
	}
	if !ok {
		return refuse("git", "the way to %s in %s leads over a link or a file", ref, common)
	}
	return nil
}

// rel is path as seen from dir.
func rel(dir, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(dir, path)
}

func oneLine(b []byte) string { return strings.TrimRight(string(b), "\r\n") }

// branchIn reads a symbolic reference as git keeps it in a file: the branch below prefix, or the empty string for
// anything else, also where git keeps its references in another format.
func branchIn(file, prefix string) (string, error) {
	text, err := readSmall(file, 64<<10)
	if absent(err) {
		return "", nil
	}
	if err != nil {
		return "", &Error{Op: "prepare", Err: err}
	}
	target, ok := strings.CutPrefix(oneLine(text), "ref: "+prefix)
	if !ok || target == ".invalid" { // what a reftable repository has in HEAD
		return "", nil
	}
	return target, nil
}

// openRegular opens a file of git's that an agent may have replaced: a FIFO must not hang us, and no link is followed.
func openRegular(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", path)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// readRegular is os.ReadFile for such a file.
func readRegular(path string) ([]byte, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// readStart reads the first bytes of such a file.
func readStart(path string, most int64) ([]byte, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most))
}

// readSmall reads such a file, of which more than so many bytes are an error.
func readSmall(path string, most int64) ([]byte, error) {
	b, err := readStart(path, most+1)
	if err == nil && int64(len(b)) > most {
		err = fmt.Errorf("%s has more than %d bytes", path, most)
	}
	return b, err
}
