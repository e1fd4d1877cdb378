package worktree

import (
	"path/filepath"
	"strings"

	"kugetsu/slots/git"
)

// repository is the directory of the repository that a session belongs to. It may not be there.
func (s Spec) repository() (string, error) {
	if s.Source.Local != "" {
		dir, err := localDir(s.Source.Local)
		if err != nil {
			return "", err
		}
		if dir, err = filepath.EvalSymlinks(dir); err != nil {
			return "", &git.Error{Op: "prepare", Err: err}
		}
		return dir, nil
	}
	return s.Source.Cache, nil
}

// at is where a private git directory for the session's repository leads to.
func (s Spec) at(common string) git.Location {
	return git.Location{Common: common, Clone: s.Source.Local == "", URL: s.Source.URL, Local: s.Source.Local, Base: s.Base,
		Noted: s.noted()}
}

// Spec is what a session needs.
type Spec struct {
	Source Source
	Path   string // absolute, and ends in the name of the session
	Branch string // fix/issue-7
	OnTop  string // the branch of another session, at which a new branch begins and which is its base until it is merged; or empty
	Merged bool   // the request of that branch was merged, which git cannot see of a squashed one
	Base   string // KUGETSU_BASE_BRANCH, "main" or "<remote>/main"; empty for the remote's default branch

	Scratch string // the run for which the worktree is made on the own disk of a node; empty for one that all machines see
}

// checked returns the Spec with clean paths and base, or says what about it no git should ever see.
func (s Spec) checked() (Spec, error) {
	src := &s.Source
	if src.Local == "" {
		if git.BadURL(src.URL) {
			return s, git.Refuse("prepare", "refused the repository url %q", src.URL)
		}
	}
	for _, path := range []*string{&s.Path, &src.Cache, &src.Lock, &src.Local} {
		if *path == "" && ((path == &src.Local) || (path == &src.Cache && src.Local != "")) {
			continue
		}
		// A newline would be read as the end of a path in git's answers.
		if !filepath.IsAbs(*path) || strings.ContainsAny(*path, "\n\x00") {
			return s, git.Refuse("prepare", "not an absolute path on one line: %q", *path)
		}
		*path = filepath.Clean(*path)
	}
	if !git.ValidBranch(s.Branch) {
		return s, git.Refuse("prepare", "not a branch name: %q", s.Branch)
	}
	if s.OnTop != "" && !git.ValidBranch(s.OnTop) {
		return s, git.Refuse("prepare", "not a branch name: %q", s.OnTop)
	}
	s.Base = strings.TrimPrefix(s.Base, "origin/")
	if s.Base != "" && !git.ValidBranch(s.Base) {
		return s, git.Refuse("prepare", "not a branch name: KUGETSU_BASE_BRANCH %q", s.Base)
	}
	return s, nil
}

// Source says where a repository comes from. All paths are absolute.
type Source struct {
	URL   string // cloned into Cache; unused when Local is set
	Local string // a non-bare checkout used in place: its repository gets the worktree, itself stays as it is
	Cache string // repos/<repo>.git, the bare clone
	Lock  string // repos/<repo>.lock, held for git work in the repository; made when missing, never deleted
}

// localDir is the repository directory of a local checkout.
func localDir(checkout string) (string, error) {
	dir, err := git.CommonDir(checkout)
	if git.Absent(err) {
		return "", git.Refuse("prepare", "%s is not a git checkout: %v", checkout, err)
	}
	if err != nil {
		return "", &git.Error{Op: "prepare", Err: err}
	}
	return dir, nil
}
