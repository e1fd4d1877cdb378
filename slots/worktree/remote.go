package worktree

import (
	"cmp"
	"path/filepath"
	"slices"
	"strings"
)

// remotes are the remotes of a local checkout, as its configuration names them.
type remotes struct {
	name  string   // of the one that new work begins from; empty where there is none, or it is not known which
	url   string   // of that; empty where git must not see it
	names []string // of all
}

// cloneRemote is the only remote that kugetsu's own clones begin with.
const cloneRemote = "origin"

// remotesOf says which remote of a checkout new work begins from: the one that the base names ("upstream/main"), else origin,
// else the only one there is. With several of other names it is not known which.
func remotesOf(config []setting, checkout, base string) (r remotes) {
	urls := map[string]string{}
	for _, s := range config {
		rest, ok := strings.CutPrefix(s.key, "remote.")
		name, isURL := strings.CutSuffix(rest, ".url")
		if !ok || !isURL || !validRef("refs/remotes/"+name) {
			continue
		}
		if !slices.Contains(r.names, name) { // of several URLs git fetches from the first
			r.names, urls[name] = append(r.names, name), s.value
		}
	}
	for _, name := range r.names {
		if strings.HasPrefix(base, name+"/") && len(name) > len(r.name) {
			r.name = name
		}
	}
	if r.name == "" && slices.Contains(r.names, cloneRemote) {
		r.name = cloneRemote
	}
	if r.name == "" && len(r.names) == 1 {
		r.name = r.names[0]
	}
	if r.url = urls[r.name]; badURL(r.url) {
		r.url = ""
	} else if !strings.Contains(r.url, ":") && !filepath.IsAbs(r.url) { // a path, as seen from the checkout
		r.url = filepath.Join(checkout, r.url)
	}
	return r
}

// several refuses to guess which remote new work begins from.
func (r remotes) several(checkout string) *Error {
	return refuse("prepare", "%s has the remotes %s, none of which is called %s: set KUGETSU_BASE_BRANCH, as in %s/main",
		checkout, strings.Join(r.names, ", "), cloneRemote, r.names[0])
}

// tracking is where the branches of the remote are kept.
func (at location) tracking() string {
	return "refs/remotes/" + cmp.Or(at.remotes.name, cloneRemote) + "/"
}

// branches is the refspec for them.
func (at location) branches() string { return "+refs/heads/*:" + at.tracking() + "*" }

// leadsElsewhere refuses a repository whose core.worktree names another folder: the agents' git would take that for the
// worktree, and write and delete there. With extensions.worktreeConfig git heeds the key in each linked worktree, wherever it
// leads. Kugetsu's own git is told where it works.
func leadsElsewhere(config []setting, at location) error {
	dir, ok := value(config, "core.worktree")
	if !ok {
		return nil
	}
	if each, _ := value(config, "extensions.worktreeconfig"); !isTrue(each) {
		here, err := same(rel(at.common, dir), at.local)
		if err != nil {
			return err
		}
		if here || at.clone { // what stands in the file of a clone is for no worktree then
			return nil
		}
	}
	return refuse("prepare", "core.worktree in %s is %s: git would write there; git -C %s config --unset core.worktree",
		filepath.Join(at.common, "config"), dir, at.common)
}

// isTrue reads a boolean of git's.
func isTrue(value string) bool {
	return slices.Contains([]string{"true", "yes", "on", "1"}, strings.ToLower(value))
}
