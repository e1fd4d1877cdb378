package command

import (
	"os"
	"path/filepath"
	"strings"

	"kugetsu/queue"
	"kugetsu/queue/fault"
	"kugetsu/queue/issueref"
	"kugetsu/queue/spool"
)

// Work holds the flags of a task that has no issue.
type Work struct {
	Repo string `help:"A task that has no issue, in this repository: host/owner/repo, owner/repo, its URL, or the path of a local checkout in repos.json." placeholder:"REPO"`
	Key  string `help:"With --repo: the name of the task, which keeps its worktree, its branch task/NAME and its conversation." placeholder:"NAME"`
}

// task is the reference of the task. Without a key the task is named by the id of its item.
func (c *Work) task(a *App, n *New) (issueref.Ref, error) {
	if c.Repo == "" {
		return issueref.Ref{}, fault.New(fault.Usage, "say where: --repo owner/repo", "--key is the name of a task without an issue, and needs --repo")
	}
	name := c.Key
	for name == "" {
		n.id = queue.NewID(a.Now())
		name = issueref.TaskOf(n.id)
	}
	if err := issueref.CheckTask(name); err != nil {
		return issueref.Ref{}, fault.New(fault.Usage, "--key deps", "%w", err)
	}
	repo, err := c.repository(a)
	if err != nil {
		return issueref.Ref{}, err
	}
	ref, err := issueref.ForTask(repo, name, a.Settings.GitServer)
	if err != nil { // a host without a dot, of a repository that is known already
		host, _, _ := strings.Cut(repo, "/")
		if own, ownErr := issueref.ForTask(repo, name, host); ownErr == nil && a.Tick.Knows(own) {
			return own, nil
		}
		return ref, fault.New(fault.Usage, `kugetsu delegate --repo owner/repo "what to do"`, "%w", err)
	}
	return ref, nil
}

// repository is the repository as a reference names it. A path is that of a local checkout in repos.json, or of a folder in one.
func (c *Work) repository(a *App) (string, error) {
	if c.Repo != "." && c.Repo != ".." && !filepath.IsAbs(c.Repo) && !strings.HasPrefix(c.Repo, "./") && !strings.HasPrefix(c.Repo, "../") {
		if info, err := os.Stat(c.Repo); err == nil && info.IsDir() {
			a.note("--repo %s is the repository of that name, and not the folder here: that is --repo ./%[1]s", clean(c.Repo))
		}
		return c.Repo, nil
	}
	dir, err := filepath.Abs(c.Repo)
	if err != nil {
		return "", err
	}
	known, err := a.Tick.Repos()
	if err != nil {
		return "", err
	}
	for {
		var found []string
		for name, from := range known {
			if filepath.IsAbs(from) && spool.SameFolder(from, dir) {
				found = append(found, name)
			}
		}
		switch parent := filepath.Dir(dir); {
		case len(found) == 1:
			return found[0], nil
		case len(found) > 1:
			return "", fault.New(fault.Usage, "name the repository: host/owner/repo", "%d repositories of repos.json are at %q", len(found), clip(dir))
		case parent == dir:
			return "", fault.New(fault.Usage, `name the repository, or add "host/owner/repo": "/path" to repos.json`, "no local checkout in repos.json is at %q", clip(c.Repo))
		default:
			dir = parent
		}
	}
}
