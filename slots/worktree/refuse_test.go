package worktree

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestForeignFolderAtThePathIsRefusedAndKept(t *testing.T) {
	fullOnly(t, "it takes a second or more")
	w := newWorld(t)
	w.prepare(w.fromRemote(1)) // the clone is there
	w.git(w.fromRemote(1).Path, "branch", "fix/issue-7", "origin/trunk")
	s := w.fromRemote(7)
	outside := w.path("outside")
	w.write("outside/precious", "x")
	for name, make := range map[string]func(){
		"a file of the user's":        func() { w.write(s.Path+"/notes", "x") },
		"an ignored file":             func() { w.write(s.Path+"/.gitignore", "*.ignored\n"); w.write(s.Path+"/x.ignored", "x") },
		"a changed copy":              func() { w.write(s.Path+"/a.txt", "one\ntwo\n") },
		"a copy with the wrong start": func() { w.write(s.Path+"/a.txt", "o\n") },
		"a link for a file": func() {
			w.write(s.Path+"/dir/x", "")
			_ = os.Remove(s.Path + "/dir/x")
			_ = os.Symlink(outside, s.Path+"/a.txt")
		},
		"a repository of its own": func() { w.git("", "init", "-q", s.Path) },
		"a clone of the same":     func() { w.git("", "clone", "-q", w.remote, s.Path) },
		"a repository inside":     func() { w.git("", "init", "-q", s.Path+"/sub") },
		"a worktree of another":   func() { w.git("author", "worktree", "add", "-q", "--detach", s.Path) },
		"a link to a folder":      func() { _ = os.Symlink(outside, s.Path) },
		"a link to another worktree": func() {
			w.prepare(w.fromRemote(8))
			_ = os.Symlink(w.fromRemote(8).Path, s.Path)
		},
		"a file":                        func() { w.write(s.Path, "x") },
		"a .git that leads nowhere":     func() { w.write(s.Path+"/.git", "gitdir: /nonexistent\n"); w.write(s.Path+"/x", "x") },
		"a worktree without its .git":   func() { w.prepare(s); _ = os.Remove(s.Path + "/.git") },
		"a worktree with a broken .git": func() { w.prepare(s); w.write(s.Path+"/.git", "gitdir\n") },
		"a worktree that lost its commit": func() {
			w.prepare(s)
			w.write(w.fromRemote(7).Source.Cache+"/refs/heads/fix/issue-7", "")
		},
		"a locked record without a folder": func() {
			w.prepare(s)
			w.git(s.Path, "worktree", "lock", "--reason", "on a stick", s.Path)
			_ = os.Rename(s.Path, w.path("stick"))
			_ = os.Mkdir(s.Path, 0o755)
		},
	} {
		t.Run(name, func(t *testing.T) {
			make()
			before := w.tree(s.Path)
			e := w.refused(s)
			if !e.Permanent || !strings.Contains(e.Error(), s.Path) {
				t.Errorf("permanent %v: %v", e.Permanent, e)
			}
			if err := w.newGit().Undo(context.Background(), s, Made{CreatedWorktree: true, CreatedBranch: true, Head: "x"}); err == nil {
				t.Error("undone")
			}
			if after := w.tree(s.Path); fmt.Sprint(before) != fmt.Sprint(after) {
				t.Errorf("touched:\n%v\n%v", before, after)
			}
			w.equal("outside", w.read("outside/precious"), "x")

			if err := os.RemoveAll(s.Path); err != nil {
				t.Fatal(err)
			}
			_ = os.Remove(s.Source.Cache + "/refs/heads/fix/issue-7")
			w.git(s.Source.Cache, "update-ref", "refs/heads/fix/issue-7", "refs/remotes/origin/trunk")
			_, _ = w.try(s.Source.Cache, "worktree", "unlock", s.Path)
			w.git(s.Source.Cache, "worktree", "prune")
			w.git("author", "worktree", "prune")
		})
	}
	w.prepare(s)
}

func TestFilesWhoseCloneIsGoneAreRefusedWithoutCloning(t *testing.T) {
	w := newWorld(t)
	s := w.fromRemote(7)
	w.write(s.Path+"/file", "x")
	w.equal("permanent", w.refused(s).Permanent, true)
	w.equal("cloned", w.exists(s.Source.Cache), false)
}

func TestBranchCheckedOutElsewhereIsAPermanentError(t *testing.T) {
	w := newWorld(t)
	w.prepare(w.fromRemote(1))
	w.git(w.fromRemote(1).Path, "checkout", "-q", "-b", "fix/issue-7")
	e := w.refused(w.fromRemote(7))
	w.equal("permanent", e.Permanent, true)
	w.contains(e.Last, "branch fix/issue-7 is checked out at "+w.fromRemote(1).Path)

	w.git("author", "checkout", "-q", "-b", "fix/issue-8") // the main checkout itself
	e = w.refused(w.fromLocal(8, "author"))
	w.equal("permanent", e.Permanent, true)
	w.contains(e.Last, "is checked out at "+w.author)
}

func TestBranchInTheWayOfABranchIsAPermanentError(t *testing.T) {
	w := newWorld(t)
	w.git("author", "branch", "fix")
	e := w.refused(w.fromLocal(7, "author"))
	w.equal("permanent", e.Permanent, true)
	w.contains(e.Last, "'refs/heads/fix' exists; cannot create")
}

func TestEmptyRepositoryIsAPermanentError(t *testing.T) {
	w := newWorld(t)
	w.git("", "init", "-q", "--bare", "empty.git")
	w.git("", "init", "-q", "unborn")
	s := w.fromRemote(1)
	s.Source.URL = w.path("empty.git")
	for _, s := range []Spec{s, w.fromLocal(2, "unborn")} {
		e := w.refused(s)
		w.equal("permanent", e.Permanent, true)
		w.equal("said", e.Last, "the repository has no commit yet")
	}
	w.push("trunk")
	s.Source.URL = w.remote
	w.prepare(s) // the cached clone of nothing is no obstacle
}

func TestRemoteWithoutADefaultBranchSaysWhatToSet(t *testing.T) {
	w := newWorld(t)
	w.git("remote.git", "symbolic-ref", "HEAD", "refs/heads/nonexistent")
	w.contains(w.refused(w.fromRemote(1)).Error(), "set KUGETSU_BASE_BRANCH")
	s := w.fromRemote(1)
	s.Base = "trunk"
	w.prepare(s)
}

func TestMissingRepositoryIsPermanentInGitsOwnWords(t *testing.T) {
	w := newWorld(t)
	s := w.fromRemote(7)
	s.Source.URL = w.path("nowhere.git")
	e := w.refused(s)
	w.equal("permanent", e.Permanent, true)
	w.equal("error", e.Error(), "git fetch: fatal: '"+s.Source.URL+"' does not appear to be a git repository")
	left, _ := os.ReadDir(w.path("state/repos"))
	w.equal("left", len(left), 1) // the lock
	w.equal("permanent", w.refused(w.fromLocal(1, "home")).Permanent, true)
	w.equal("permanent", w.refused(w.fromLocal(1, "nowhere")).Permanent, true)
}

func TestRemoteThatIsDownIsNoPermanentErrorAndNoSecretIsShown(t *testing.T) {
	w := newWorld(t)
	s := w.fromRemote(7)
	s.Source.URL = "http://user:s3cret@127.0.0.1:1/user/repo.git"
	e := w.refused(s)
	w.equal("permanent", e.Permanent, false)
	for _, text := range []string{e.Error(), w.log.String()} {
		w.contains(text, "127.0.0.1")
		if strings.Contains(text, "s3cret") {
			t.Errorf("the password shows: %q", text)
		}
	}
}

func TestAnotherUsersCheckoutIsAPermanentError(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give a folder away")
	}
	w := newWorld(t)
	if err := os.Chown(w.path("author"), 12345, 12345); err != nil {
		t.Fatal(err)
	}
	e := w.refused(w.fromLocal(7, "author"))
	w.equal("permanent", e.Permanent, true)
	w.contains(e.Last, "dubious ownership")
}

func TestCommandsOfTheRepositoryAndTheURLDoNotRun(t *testing.T) {
	w := newWorld(t)
	canary := w.path("canary")
	touch := "touch " + canary
	hook := "#!/bin/sh\n" + touch + "\n"
	for n, url := range []string{
		"--upload-pack=" + touch, "-u" + touch, "ext::" + touch, "ext::sh -c " + touch, "fd::17",
		"ssh://-oProxyCommand=" + touch + "/x", "-oProxyCommand=x:" + touch, "", "a\nb",
	} {
		s := w.fromRemote(n)
		s.Source.URL = url
		w.equal(url, w.refused(s).Permanent, true)
	}
	for n, branch := range []string{"-b", "--detach", "a b", "a..b", "", "HEAD", "refs/../x", "x\x00y"} {
		s := w.fromRemote(n)
		s.Branch = branch
		w.equal(branch, w.refused(s).Permanent, true)
	}
	run := func(s Spec, gitDir string) {
		w.prepare(s)
		for _, name := range []string{"post-checkout", "post-commit", "pre-commit", "reference-transaction", "post-index-change"} {
			w.write(gitDir+"/hooks/"+name, hook)
			if err := os.Chmod(gitDir+"/hooks/"+name, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		w.write(gitDir+"/fsmonitor", hook)
		_ = os.Chmod(gitDir+"/fsmonitor", 0o755)
		config, err := os.ReadFile(gitDir + "/config")
		if err != nil {
			t.Fatal(err)
		}
		w.write(gitDir+"/config", string(config)+"[core]\n\tfsmonitor = "+gitDir+"/fsmonitor\n\thooksPath = "+gitDir+"/hooks\n[protocol \"ext\"]\n\tallow = always\n")
		w.prepare(s)
		_ = os.RemoveAll(s.Path)
		w.write(s.Path+"/a.txt", "one\n")
		_ = os.RemoveAll(gitDir + "/worktrees")
		m := w.prepare(s) // over what a killed git left
		w.write(s.Path+"/new", "x")
		if _, err := w.newGit().Snapshot(context.Background(), w.spec(s.Path), "refs/kugetsu/q/1", "m"); err != nil {
			t.Error(err)
		}
		if err := w.newGit().Undo(context.Background(), s, m); err != nil {
			t.Error(err)
		}
	}
	run(w.fromRemote(20), w.fromRemote(20).Source.Cache)
	run(w.fromLocal(21, "author"), w.path("author/.git"))
	w.equal("canary", w.exists(canary), false)
}

func TestEnvironmentCannotPointPrepareElsewhere(t *testing.T) {
	w := newWorld(t)
	w.env = append(w.env, "GIT_DIR=/nonexistent", "GIT_WORK_TREE=/nonexistent", "GIT_INDEX_FILE=/nonexistent", "GIT_CONFIG_PARAMETERS='x'",
		"GIT_OBJECT_DIRECTORY=/nonexistent", "GIT_ALLOW_PROTOCOL=ext", "LC_ALL=de_DE.UTF-8", "PWD=/nonexistent",
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=kugetsu.test", "GIT_CONFIG_VALUE_0=kept")
	g := w.newGit()
	s := w.fromRemote(1)
	w.env = append(w.env, "GIT_CONFIG_KEY_0=safe.bareRepository", "GIT_CONFIG_VALUE_0=explicit")
	w.prepare(s)
	w.prepare(s)
	g.Env = []string{"PATH=/nonexistent:."}
	if _, err := g.Prepare(context.Background(), w.fromRemote(2)); !strings.Contains(fmt.Sprint(err), "git is not in the PATH") {
		t.Error(err)
	}
}
