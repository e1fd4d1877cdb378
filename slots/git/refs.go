package git

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"kugetsu/queue/pattern"
)

// IsCommit says whether a text is the whole id of an object.
func IsCommit(id string) bool {
	return (len(id) == 40 || len(id) == 64) && strings.Trim(id, "0123456789abcdef") == ""
}

// ValidRef says whether git would accept name as a full reference name: the rules of git-check-ref-format(1), here
// because a process for each check would double the price of a follow-up.
func ValidRef(name string) bool {
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

// ValidBranch is validRef for a branch name. Git itself refuses a branch that looks like an option, and "HEAD".
func ValidBranch(name string) bool {
	return name != "HEAD" && !strings.HasPrefix(name, "-") && ValidRef("refs/heads/"+name)
}

// helperURL is git's syntax for a URL that names its own transport program: `ext::sh -c …`. The same syntax with an
// IPv6 address has a bracket before the colons.
var helperURL = pattern.Lazy(`^[A-Za-z0-9][A-Za-z0-9+.-]*::`)

// BadURL says whether git must not see a URL: it is an option, a program, or a text of several lines.
func BadURL(url string) bool {
	return url == "" || strings.HasPrefix(url, "-") || helperURL().MatchString(url) ||
		strings.ContainsFunc(url, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// PlainRef refuses a reference whose path leads over anything but folders: through a link git would write elsewhere.
func PlainRef(common, ref string) error {
	ok, err := PlainWay(common, ref)
	if err != nil {
		return &Error{Op: "git", Err: err}
	}
	if !ok {
		return Refuse("git", "a folder on the path of %s in %s is a link or a file", ref, common)
	}
	return nil
}

// plainRefs refuses a git command that writes references if a folder on their path is a link. An agent may write among the references,
// also from its sandbox, and git would write a file for each of the remote's branches wherever the link leads.
func (p *Private) plainRefs(args []string) error {
	if p.At.Common == "" || !slices.Contains([]string{"update-ref", "fetch", "remote"}, args[0]) {
		return nil
	}
	if n := slices.IndexFunc(args, func(arg string) bool { return strings.HasPrefix(arg, "refs/") }); n > 0 && args[0] == "update-ref" {
		for dir := filepath.Dir(args[n]); dir != "."; dir = filepath.Dir(dir) {
			path := filepath.Join(p.At.Common, dir)
			if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSymlink != 0 {
				return Refuse("git", "%s is a link, over which git would write: rm %s", path, path)
			}
		}
		return nil
	}
	for _, below := range []string{"refs/remotes", "refs/tags", "refs/kugetsu-pushed"} {
		err := filepath.WalkDir(filepath.Join(p.At.Common, below), func(path string, d fs.DirEntry, err error) error {
			if Absent(err) { // a reference was removed meanwhile
				return nil
			}
			if err != nil {
				return &Error{Op: "git", Err: err}
			}
			if d.Type()&fs.ModeSymlink == 0 {
				return nil
			}
			if info, err := os.Stat(path); err == nil && info.IsDir() {
				return Refuse("git", "%s is a link to a folder, where git would write: rm %s", path, path)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// BranchIn reads a symbolic reference as git keeps it in a file: the branch below prefix, or the empty string for
// anything else, also where git keeps its references in another format.
func BranchIn(file, prefix string) (string, error) {
	text, err := ReadSmall(file, 64<<10)
	if Absent(err) {
		return "", nil
	}
	if err != nil {
		return "", &Error{Op: "prepare", Err: err}
	}
	target, ok := strings.CutPrefix(OneLine(text), "ref: "+prefix)
	if !ok || target == ".invalid" { // what a reftable repository has in HEAD
		return "", nil
	}
	return target, nil
}
