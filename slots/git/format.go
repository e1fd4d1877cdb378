package git

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// format writes the config, which says of what kind the repository is.
func (p *Private) format(tables bool, objects string) error {
	text := "[core]\n\trepositoryformatversion = 1\n\tbare = true\n\tlogAllRefUpdates = false\n" +
		// Files that git derives from the objects are not trusted either: a commit graph may say that something was pushed.
		"\tcommitGraph = false\n\tmultiPackIndex = false\n[extensions]\n"
	if tables {
		text += "\trefstorage = reftable\n"
	}
	if objects != "" {
		text += "\tobjectformat = " + objects + "\n"
	}
	if p.At.Lazy {
		text += "\tpartialclone = " + p.At.Remotes.Name + "\n"
	}
	return p.Write("config", text)
}

// owned refuses a repository that another user owns, as git does where it finds one by itself, unless the user's own
// configuration says that it is safe.
func (p *Private) owned(user []Setting) error {
	for _, path := range []string{p.At.Common, p.At.Local, p.At.Path} {
		info, err := os.Stat(path)
		if path == "" || err != nil { // a worktree that is yet to be made
			continue
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok || int(st.Uid) == os.Geteuid() {
			continue
		}
		if !safe(user, p.At.Common, p.At.Local, p.At.Path) {
			return Refuse("git", "dubious ownership: %s belongs to another user (git config --global --add safe.directory %s)", path, path)
		}
	}
	return nil
}

// safe says whether safe.directory names one of some folders. An empty value cancels the values before it.
func safe(user []Setting, dirs ...string) (ok bool) {
	for _, s := range user {
		if s.Key != "safe.directory" {
			continue
		}
		below, all := strings.CutSuffix(s.Value, "/*")
		ok = s.Value != "" && (ok || s.Value == "*" || slices.ContainsFunc(dirs, func(d string) bool {
			return d != "" && (filepath.Clean(s.Value) == d || all && strings.HasPrefix(d, below+"/"))
		}))
	}
	return ok
}

// objectFormat is the kind of ids that a repository has; empty for sha1. Its references show the kind, or else its configuration
// says it.
func objectFormat(common string, config []Setting) (string, error) {
	id, err := anyID(common)
	if err != nil {
		return "", &Error{Op: "git", Err: err}
	}
	if len(id) == 64 {
		return "sha256", nil
	}
	if kind, _ := value(config, "extensions.objectformat"); id == "" && strings.EqualFold(kind, "sha256") {
		return "sha256", nil
	}
	return "", nil
}

// anyID finds an id in the references of a repository.
func anyID(common string) (string, error) {
	if b, err := readStart(filepath.Join(common, "packed-refs"), 4<<10); err == nil {
		for line := range strings.Lines(string(b)) {
			if id, _, ok := strings.Cut(line, " "); ok && IsCommit(id) {
				return id, nil
			}
		}
	}
	found := ""
	err := filepath.WalkDir(filepath.Join(common, "refs"), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.Type().IsRegular() {
			return nil
		}
		if b, err := readStart(path, 100); err == nil && IsCommit(OneLine(b)) {
			found = OneLine(b)
			return fs.SkipAll
		}
		return nil
	})
	if Absent(err) { // a reference was removed meanwhile
		err = nil
	}
	return found, err
}
