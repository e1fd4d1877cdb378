package issueref

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"kugetsu/queue/pattern"
	"kugetsu/queue/terminal"
)

// The branches that are kugetsu's own: fix/issue-12 of an issue, task/deps of a task.
const (
	issueBranch = "fix/issue-"
	taskBranch  = "task/"
)

// ForTask is the reference of a task that has no issue. The repository is host/owner[/group...]/repo, owner/repo on defaultHost, or
// the URL of its page or its clone, which may end in .git.
func ForTask(repo, name, defaultHost string) (Ref, error) {
	if err := CheckTask(name); err != nil {
		return Ref{}, err
	}
	prefix := scheme().FindString(repo)
	parts := strings.Split(repo[len(prefix):], "/")
	var why error
	switch {
	case strings.Contains(repo, "@"):
		return Ref{}, errCredentials
	case len(parts) < 2:
		why = errors.New("a repository is owner/repo")
	case strings.Contains(repo, "#"):
		why = errors.New("an issue is named without --repo")
	case prefix != "" && !urlText().MatchString(repo):
		why = errors.New("a URL holds no white space, control or non-ASCII characters")
	case prefix != "":
		parts = strings.Split(strings.TrimSuffix(strings.TrimSuffix(repo[len(prefix):], "/"), ".git"), "/")
	case len(parts) == 2 && defaultHost == "":
		why = errors.New("it names no host and there is no default one")
	case len(parts) == 2:
		parts = slices.Insert(parts, 0, defaultHost)
	}
	var r Ref
	if why == nil {
		r, why = build(parts[0], parts[1:], name, defaultHost, prefix != "")
	}
	if why != nil {
		return Ref{}, fmt.Errorf("%q is not a repository: %w", terminal.Clip(repo, maxQuoted), why)
	}
	r.HTTP = strings.EqualFold(prefix, "http://") && (strings.Contains(parts[0], ":") || !strings.Contains(r.Host, "."))
	return r, nil
}

// CheckTask refuses a text that cannot be the name of a task.
func CheckTask(name string) error {
	if !task().MatchString(name) {
		return fmt.Errorf("%q is not the name of a task: want a small letter, then at most 39 small letters, digits and dashes", terminal.Clip(name, maxQuoted))
	}
	return nil
}

// TaskOf is the name of a task that has no key: the end of its item's id, by which a person can name the item as well. The name is
// the last ten characters of the id, which are random. It has a few more if it would not begin with a letter otherwise. One id in
// thousands has no letter there, and the name is "".
func TaskOf(id string) string {
	for n := 10; n <= 16 && n < len(id); n++ {
		if name := id[len(id)-n:]; task().MatchString(name) {
			return name
		}
	}
	return ""
}

// branch matches fewer names than git, and more than the name of a task. No text that matches means anything but a branch to git.
var branch = pattern.Lazy(`^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$`)

// maxBranch bounds the name of a branch, in bytes.
const maxBranch = 120

// CheckBranch refuses a text that cannot be the branch of this issue or task. It also refuses the branch that kugetsu itself makes for
// another issue or task, which may begin tomorrow.
func (r Ref) CheckBranch(name string) error {
	quoted := terminal.Clip(name, maxQuoted)
	switch last := strings.ToLower(name[strings.LastIndex(name, "/")+1:]); {
	case len(name) > maxBranch:
		return fmt.Errorf("the branch %q is longer than %d bytes", quoted, maxBranch)
	case !branch().MatchString(name), strings.Contains(name, ".."), strings.Contains(name+"/", "./"), strings.Contains(strings.ToLower(name)+"/", ".lock/"):
		return fmt.Errorf("%q is not a branch: want letters, digits, dots, underscores, dashes and slashes, and each part as git takes it", quoted)
	case last == "head", strings.HasPrefix(strings.ToLower(name), "refs/"):
		return fmt.Errorf("%q is not a branch: git means something else by it", quoted)
	case name == r.Branch():
		return nil
	}
	for _, own := range []string{issueBranch, taskBranch} {
		rest, ok := strings.CutPrefix(strings.ToLower(name), own)
		if ok && (own == issueBranch && number().MatchString(rest) || own == taskBranch && task().MatchString(rest)) {
			return fmt.Errorf("the branch %q is that of another issue or task", quoted)
		}
	}
	return nil
}
