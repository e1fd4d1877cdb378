package git

import (
	"cmp"
	"path/filepath"
	"slices"
	"strings"
)

// Remotes are the remotes of a local checkout, as its configuration names them.
type Remotes struct {
	Name  string   // of the remote that new work begins from; empty if there is none, or if it is not known which
	url   string   // of the same remote; empty if git must not see it
	Names []string // of all remotes
}

// Origin is the only remote that kugetsu's own clones begin with.
const Origin = "origin"

// remotesOf says which remote of a checkout new work begins from: the one that the base names ("upstream/main"), else origin, else
// the only one there is. If there are several, and none is called origin, it is not known which.
func remotesOf(config []Setting, checkout, base string) (r Remotes) {
	urls := map[string]string{}
	for _, s := range config {
		rest, ok := strings.CutPrefix(s.Key, "remote.")
		name, isURL := strings.CutSuffix(rest, ".url")
		if !ok || !isURL || !ValidRef("refs/remotes/"+name) {
			continue
		}
		if !slices.Contains(r.Names, name) { // of several URLs git fetches from the first
			r.Names, urls[name] = append(r.Names, name), s.Value
		}
	}
	for _, name := range r.Names {
		if strings.HasPrefix(base, name+"/") && len(name) > len(r.Name) {
			r.Name = name
		}
	}
	if r.Name == "" && slices.Contains(r.Names, Origin) {
		r.Name = Origin
	}
	if r.Name == "" && len(r.Names) == 1 {
		r.Name = r.Names[0]
	}
	if r.url = urls[r.Name]; BadURL(r.url) {
		r.url = ""
	} else if !strings.Contains(r.url, ":") && !filepath.IsAbs(r.url) { // a path, as seen from the checkout
		r.url = filepath.Join(checkout, r.url)
	}
	return r
}

// Several refuses to guess which remote new work begins from.
func (r Remotes) Several(checkout string) *Error {
	return Refuse("prepare", "%s has the remotes %s, none of which is called %s: set KUGETSU_BASE_BRANCH, as in %s/main",
		checkout, strings.Join(r.Names, ", "), Origin, r.Names[0])
}

// Tracking is where the branches of the remote are kept.
func (at Location) Tracking() string {
	return "refs/remotes/" + cmp.Or(at.Remotes.Name, Origin) + "/"
}

// Branches is the refspec that fetches the remote's branches to there.
func (at Location) Branches() string { return "+refs/heads/*:" + at.Tracking() + "*" }

// leadsElsewhere refuses a repository whose core.worktree names another folder: the agents' git would take that folder for the
// worktree, and write and delete there. With extensions.worktreeConfig git heeds the key in each linked worktree, wherever it
// leads. Kugetsu's own git is told where it works, and does not heed the key.
func leadsElsewhere(config []Setting, at Location) error {
	dir, ok := value(config, "core.worktree")
	if !ok {
		return nil
	}
	if each, _ := value(config, "extensions.worktreeconfig"); !isTrue(each) {
		here, err := Same(Rel(at.Common, dir), at.Local)
		if err != nil {
			return err
		}
		if here || at.Clone { // without that extension the key of a clone is for none of its worktrees
			return nil
		}
	}
	return Refuse("prepare", "core.worktree in %s is %s: git would write there; git -C %s config --unset core.worktree",
		filepath.Join(at.Common, "config"), dir, at.Common)
}

// isTrue reads a boolean of git's.
func isTrue(value string) bool {
	return slices.Contains([]string{"true", "yes", "on", "1"}, strings.ToLower(value))
}
