package worktree

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kugetsu/slots/git"
)

// including is a world whose repository names files to include, and a checkout of it that has some.
func including(t testing.TB, patterns string) (*world, Spec) {
	w := newWorld(t)
	w.write("author/.worktreeinclude", patterns)
	w.write("author/.gitignore", "*.ignored\n.env*\n/secrets/\nnode_modules/\n")
	w.write("author/tracked.ignored", "tracked")
	w.git("author", "add", "-f", "tracked.ignored")
	w.commit("author", "include")
	w.push("trunk")
	w.git("", "clone", "-q", w.remote, "mine")
	s := w.fromLocal(7, "mine")
	w.prepare(s)
	return w, s
}

func (w *world) include(s Spec) {
	w.Helper()
	if err := w.newGit().Include(context.Background(), s); err != nil {
		w.Fatalf("include: %v\n%s", err, w.log.String())
	}
}

// new lists what is in a worktree beside what was checked out.
func (w *world) new(s Spec) string {
	w.Helper()
	return w.git(s.Path, "ls-files", "--others")
}

func TestIgnoredFilesOfACheckoutThatAreNamedAreCopied(t *testing.T) {
	fullOnly(t, "it takes a second or more")
	w, s := including(t, "# what a build needs\n.env*\n!.env.production\n/secrets/**\n*.txt\nplain\ntracked.ignored\n")
	w.write("mine/.env", "TOKEN=1\n")
	w.write("mine/.env.production", "not this")
	w.write("mine/sub/deep/.env.local", "deep")
	w.write("mine/secrets/run.sh", "#!/bin/sh\n")
	w.write("mine/a.txt", "changed, and tracked")
	w.write("mine/new.txt", "untracked, and not ignored")
	w.write("mine/plain", "named, and not ignored")
	w.write("mine/other.ignored", "ignored, and not named")
	w.write("mine/tracked.ignored", "changed")
	w.git("", "init", "-q", "mine/secrets/repository")
	w.write("mine/secrets/repository/x", "another's")
	for name, mode := range map[string]os.FileMode{"mine/secrets/run.sh": 0o750, "mine/.env": 0o600, "mine/secrets": 0o711} {
		if err := os.Chmod(w.path(name), mode); err != nil {
			t.Fatal(err)
		}
	}
	w.git(s.Path, "status") // writes the index where a file is as young as that
	before := w.tree("mine")
	w.include(s)
	w.equal("copied", w.new(s), ".env\nsecrets/run.sh\nsub/deep/.env.local")
	w.equal("text", w.read(s.Path+"/.env")+w.read(s.Path+"/sub/deep/.env.local"), "TOKEN=1\ndeep")
	for name, mode := range map[string]os.FileMode{"/secrets/run.sh": 0o750, "/.env": 0o600, "/secrets": 0o711} {
		info, err := os.Stat(s.Path + name)
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v %v", name, info.Mode(), err)
		}
	}
	w.equal("status", w.git(s.Path, "status", "--porcelain"), "")
	w.contains(w.log.String(), "kugetsu: .worktreeinclude: copied 3 files, 22 bytes in all, from "+w.path("mine"))
	for name, was := range before {
		if now := w.tree("mine")[name]; now != was {
			t.Errorf("%s of the checkout changed", name)
		}
	}
	left, _ := os.ReadDir(w.path("state/worktrees"))
	w.equal("beside the worktree", len(left), 1)
}

func TestIncludeKeepsWhatIsThereAndCopiesNoWork(t *testing.T) {
	w, s := including(t, ".env\n*.ignored\nlocal\nmore\n")
	w.write("mine/.env", "of the checkout")
	w.write("mine/.git/info/exclude", "local\n") // of the repository, so of all its worktrees
	w.write("mine/local", "local")
	w.write("mine/x.ignored", "x")
	w.write(s.Path+"/.env", "of the hook")
	w.write("mine/more", "more")
	w.write(s.Path+"/.gitignore", ".env\nmore\n") // the branch ignores other files than the checkout
	w.include(s)
	w.equal("there already", w.read(s.Path+"/.env"), "of the hook")
	w.equal("not ignored here", w.exists(s.Path+"/x.ignored"), false)
	w.equal("not ignored there", w.exists(s.Path+"/more"), false)
	w.equal("ignored everywhere", w.read(s.Path+"/local"), "local")
	w.contains(w.log.String(), `".env" exists already, and stays`)
}

func TestHostileIncludeFileLeadsNowhere(t *testing.T) {
	w := newWorld(t)
	w.write("outside/secret", "secret")
	w.write("author/.gitignore", "*.ignored\nway/\nin/\n/pipe\n")
	w.write("author/.worktreeinclude", "*.ignored\nway/**\nin/**\n/pipe\n../outside/secret\n/etc/passwd\n.git\n.git/config\n**/config\n")
	w.write("author/inner/x", "")
	for name, to := range map[string]string{"author/way": w.path("outside"), "author/in": "inner"} {
		if err := os.Symlink(to, w.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	w.git("author", "add", "-f", "way", "in")
	w.commit("author", "links")
	w.push("trunk")
	w.git("", "clone", "-q", w.remote, "mine")
	s := w.fromLocal(7, "mine")
	w.prepare(s)
	// The checkout has folders where the branch has links, and links where files are named.
	for _, name := range []string{"mine/way", "mine/in"} {
		_ = os.Remove(w.path(name))
	}
	w.write("mine/way/new.ignored", "over a link out of the worktree")
	w.write("mine/in/new.ignored", "over a link within it")
	w.git("mine", "rm", "-q", "--cached", "way", "in")
	for name, to := range map[string]string{"mine/link.ignored": w.path("outside/secret"), "mine/up.ignored": "../outside/secret", "mine/folder.ignored": w.path("outside")} {
		if err := os.Symlink(to, w.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(w.path("mine/pipe"), 0o600); err != nil { // git lists none
		t.Fatal(err)
	}
	w.write("mine/good.ignored", "good")
	config := w.read("mine/.git/config")
	w.include(s)
	w.equal("copied", w.new(s), "good.ignored")
	files := w.tree("outside")
	w.equal("outside", len(files), 2)
	w.equal("within", len(w.tree(s.Path+"/inner")), 2)
	w.equal("config", w.read("mine/.git/config"), config)
	for _, part := range []string{`"way/new.ignored" is not copied: a folder on its path is a link`, `"in/new.ignored" is not copied: a folder on its path`,
		`"link.ignored" is not copied: it is not a regular file`} {
		w.contains(w.log.String(), part)
	}
}

func TestIncludeFileThatIsNoneCopiesNothing(t *testing.T) {
	fullOnly(t, "it takes a second or more")
	for name, make := range map[string]func(w *world){
		"a link": func(w *world) {
			w.write("patterns", "*\n")
			_ = os.Remove(w.path("author/.worktreeinclude"))
			if err := os.Symlink(w.path("patterns"), w.path("author/.worktreeinclude")); err != nil {
				w.Fatal(err)
			}
		},
		"a folder": func(w *world) {
			_ = os.Remove(w.path("author/.worktreeinclude"))
			w.write("author/.worktreeinclude/x", "*\n")
		},
		"not committed": func(w *world) {
			_ = os.Remove(w.path("author/.worktreeinclude"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := including(t, "*\n")
			make(w)
			w.commit("author", name)
			w.push("trunk")
			w.write("mine/.env", "x")
			w.write("mine/.worktreeinclude", "*\n")
			s := w.fromLocal(8, "mine")
			w.prepare(s)
			w.include(s)
			w.equal("copied", w.new(s), "")
		})
	}
}

func TestIncludeFromACloneCopiesNothingAndSaysSo(t *testing.T) {
	w, _ := including(t, ".env\n")
	s := w.fromRemote(8)
	w.prepare(s)
	w.include(s)
	w.equal("copied", w.new(s), "")
	w.contains(w.log.String(), "kugetsu: .worktreeinclude names files of a local checkout (repos.json); from a clone there is nothing to copy\n")
}

func TestIncludeThatIsTooMuchIsAPermanentError(t *testing.T) {
	fullOnly(t, "it takes a second or more")
	for name, make := range map[string]func(w *world){
		"names more than 64 MiB": func(w *world) {
			w.write("mine/small.ignored", "small")
			w.write("mine/zz.ignored", "")
			if err := os.Truncate(w.path("mine/zz.ignored"), 1<<40); err != nil { // a hole
				w.Fatal(err)
			}
		},
		"names too many files: 1000 are allowed": func(w *world) {
			for n := range includeFiles + 1 {
				w.write("mine/node_modules/"+strings.Repeat("x", n%200)+"/"+strings.Repeat("y", n/200+1), "x")
			}
		},
		"names too many files: 1000 are ": func(w *world) { // so many that their names alone are too much
			for n := range 1500 {
				w.write("mine/node_modules/"+strings.Repeat(strings.Repeat("x", 240)+"/", 3)+strings.Repeat("y", n/200+1)+strings.Repeat("z", n%200+1), "x")
			}
		},
		".worktreeinclude has 70000 bytes; 65536 are allowed": func(w *world) {
			w.write("author/.worktreeinclude", strings.Repeat("#", 70000))
			w.commit("author", "long")
			w.push("trunk")
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := including(t, "*\n")
			make(w)
			s := w.fromLocal(8, "mine")
			w.prepare(s)
			err := w.newGit().Include(context.Background(), s)
			var e *git.Error
			if !errors.As(err, &e) || !e.Permanent {
				t.Fatalf("include: %v", err)
			}
			w.contains(e.Error(), name)
			w.equal("left beside the worktree", w.exists(part(s.Path)), false)
		})
	}
}

func TestCopyThatWasKilledIsDoneByTheNext(t *testing.T) {
	w, s := including(t, "*.ignored\n")
	w.write("mine/a.ignored", "whole")
	w.write("mine/b.ignored", "whole")
	w.write(part(s.Path), "who") // all that a killed one can leave, beside files that are whole
	w.write(s.Path+"/a.ignored", "whole")
	w.include(s)
	w.equal("files", w.read(s.Path+"/a.ignored")+w.read(s.Path+"/b.ignored"), "wholewhole")
	w.equal("left", w.exists(part(s.Path)), false)
	w.write(part(s.Path), "who")
	if err := w.newGit().Remove(context.Background(), s, ""); err != nil {
		t.Fatal(err)
	}
	left, _ := os.ReadDir(w.path("state/worktrees"))
	w.equal("left by Remove", slices.ContainsFunc(left, func(e os.DirEntry) bool { return strings.Contains(e.Name(), "@7") }), false)
}

func TestRunnerThatIsKilledWhileItCopiesIsHealedByTheNext(t *testing.T) {
	fullOnly(t, "kills at many instants")
	const moments, files = 12, 200
	w, s := including(t, "/secrets/\n")
	text := strings.Repeat("0123456789", 5000)
	for n := range files {
		w.write(fmt.Sprintf("mine/secrets/%d/%d", n%7, n), text)
	}
	begin := time.Now()
	w.kill(s, time.After(0)) // costs what starting the binary costs
	w.include(s)
	took := time.Since(begin)
	partly := 0
	for i := range moments {
		if err := os.RemoveAll(s.Path + "/secrets"); err != nil {
			t.Fatal(err)
		}
		w.kill(s, moment(took, i, moments))
		names := strings.Fields(w.new(s))
		for _, name := range names {
			if w.read(s.Path+"/"+name) != text {
				t.Errorf("moment %d: %s is there in part", i, name)
			}
		}
		if len(names) > 0 && len(names) < files {
			partly++
		}
		w.include(s)
		w.equal("files", len(strings.Fields(w.new(s))), files)
		w.equal("left", w.exists(part(s.Path)), false)
	}
	t.Logf("killed with some files copied %d of %d times", partly, moments)
}

// The branch has a submodule where the checkout, on another branch, ignores a folder: git has no answer for what is in it.
func TestFileBelowASubmoduleOfTheBranchFailsNoStart(t *testing.T) {
	w, s := including(t, "*.ignored\n")
	w.write("mine/vendor/lib/x.ignored", "x")
	w.git(s.Path, "update-index", "--add", "--cacheinfo", "160000,"+w.git(s.Path, "rev-parse", "HEAD")+",vendor/lib")
	w.include(s)
	w.equal("copied", w.new(s), "")
	if log := w.log.String(); !strings.Contains(log, "kugetsu: .worktreeinclude: nothing is copied: git check-ignore: ") || !strings.Contains(log, "is in submodule") {
		t.Errorf("the log says %q", log)
	}
}

func TestBranchWithoutACommitNamesNoFiles(t *testing.T) {
	w, s := including(t, "*.ignored\n")
	w.git(s.Path, "checkout", "-q", "--orphan", "empty")
	w.include(s)
	w.equal("copied", strings.Contains(w.new(s), "ignored"), false)
}
