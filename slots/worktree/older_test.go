package worktree

import (
	"os"
	"strings"
	"testing"
)

// A partial clone of the user's has not all objects: what a new worktree needs of them is fetched, in no other call.
func TestPartialCloneGetsWhatANewWorktreeNeeds(t *testing.T) {
	w := newWorld(t)
	w.git(w.remote, "config", "uploadpack.allowFilter", "true")
	w.git("", "clone", "-q", "--filter=blob:none", "--no-checkout", "file://"+w.remote, "partial")
	w.equal("missing", strings.Count(w.git("partial", "rev-list", "--objects", "--missing=print", "HEAD"), "?"), 3)
	s := w.fromLocal(7, "partial")
	w.prepare(s)
	w.equal("file", w.read(s.Path+"/a.txt"), "one\n")
	w.equal("status", w.git(s.Path, "status", "--porcelain"), "")
	w.write(s.Path+"/a.txt", "two\n")
	w.kept(s.Path, 1)
}

// A clone of an older kugetsu goes on: its core.bare, its remote and what it knows of that are where they are to be.
func TestCloneOfAnOlderKugetsuIsBroughtUpToDate(t *testing.T) {
	w := newWorld(t)
	one := w.fromRemote(1)
	w.prepare(one)
	cache := one.Source.Cache
	for _, left := range []string{cache + "/config.worktree", strings.TrimSuffix(cache, ".git") + ".origin"} {
		if err := os.Remove(left); err != nil {
			t.Fatal(err)
		}
	}
	w.write(cache+"/config", "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n[include]\n\tpath = origin.config\n[branch \"fix/issue-1\"]\n\tdescription = mine\n")
	w.write(cache+"/origin.config", "[remote \"origin\"]\n\turl = \""+w.remote+"\"\n\tfetch = "+originRefs+"\n")
	w.write(cache+"/HEAD", "ref: refs/heads/main\n")
	w.git(cache, "update-ref", pushedRefs+one.Branch, "refs/heads/"+one.Branch) // what was pushed is still known: the remote is the same
	w.equal("before", w.git(one.Path, "remote", "get-url", "origin"), w.remote)

	two := w.fromRemote(2)
	w.prepare(two)
	for _, wt := range []string{one.Path, two.Path} {
		w.equal("remotes", w.git(wt, "config", "--get-all", "remote.origin.url"), w.remote)
		w.git(wt, "config", "extensions.worktreeConfig", "true")
		w.equal("status", w.git(wt, "status", "--porcelain"), "")
	}
	w.equal("description", w.git(one.Path, "config", "branch.fix/issue-1.description"), "mine")
	w.equal("pushed", w.git(cache, "for-each-ref", "--format=%(refname)", pushedRefs) != "", true)
	w.git(one.Path, "checkout", "-q", "-b", "main") // is checked out nowhere
}

// An agent's remote is its own, until the next session begins.
func TestRemoteThatAnAgentChangesIsTheSessionsOwn(t *testing.T) {
	w := newWorld(t)
	one := w.fromRemote(1)
	w.prepare(one)
	w.git(one.Path, "remote", "set-url", "origin", "https://example.org/fork.git")
	w.equal("url", w.git(one.Path, "config", "--get-all", "remote.origin.url"), "https://example.org/fork.git")
	w.git(one.Path, "remote", "add", "upstream", "https://example.org/up.git")
	two := w.fromRemote(2)
	w.prepare(two)
	w.equal("url", w.git(two.Path, "config", "--get-all", "remote.origin.url"), w.remote)
	w.equal("upstream", w.git(two.Path, "remote", "get-url", "upstream"), "https://example.org/up.git")
	w.git(two.Path, "remote", "rename", "origin", "theirs")
	w.git(two.Path, "remote", "remove", "upstream")
	three := w.fromRemote(3)
	w.equal("base", w.prepare(three).Base, "trunk")
	w.equal("remotes", w.git(three.Path, "remote"), "origin\ntheirs")
}
