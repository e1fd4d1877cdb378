package slots

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"kugetsu/queue/outcome"
	"kugetsu/slots/git"
	"kugetsu/slots/worktree"
)

// Whatever file of git's an agent puts a FIFO in the place of, the run ends and its work is kept.
func TestFIFOInThePlaceOfAFileOfGitsHangsNoRun(t *testing.T) {
	if testing.Short() {
		t.Skip("left out with -short: git is given its time before it is ended")
	}
	for _, name := range []string{"wt/index", "wt/HEAD", "wt/commondir", "wt/gitdir", "config", "info/exclude", "refs/tags/x", "../wt/.gitignore", "../wt/.gitattributes"} {
		d := newDir(t)
		above := t.TempDir()
		local, dir := filepath.Join(above, "local"), filepath.Join(above, "wt")
		for _, args := range [][]string{{"init", "-q", local}, {"-C", local, "-c", "user.name=x", "-c", "user.email=x@x", "commit", "-q", "--allow-empty", "-m", "first"},
			{"-C", local, "worktree", "add", "-q", "-b", "fix/issue-1", dir}} {
			must(t, exec.Command("git", args...).Run())
		}
		must(t, os.WriteFile(filepath.Join(dir, "work"), []byte("half done\n"), 0o600))
		fifo := filepath.Join(local, ".git", strings.Replace(name, "wt/", "worktrees/wt/", 1))
		if strings.HasPrefix(name, "..") {
			fifo = filepath.Join(local, name)
		}
		if err := os.Remove(fifo); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		must(t, syscall.Mkfifo(fifo, 0o600))
		must(t, d.ClaimRun(someRun))
		log, err := openLog(d.LogPath(someRun), LogCap)
		must(t, err)
		r := &Runner{home: d, name: someRun, log: log, task: &Task{Workspace: WorkspaceSettings{Repo: "r", Local: local, Branch: "fix/issue-1"}},
			git: &worktree.Git{Runner: git.Runner{Env: os.Environ(), Log: log, Own: t.TempDir()}}}
		w := &ready{dir: dir, session: &Session{Worktree: dir, Unkept: someRun}}
		done := make(chan bool)
		go func() { r.keepWork(w); close(done) }()
		select {
		case <-done:
		case <-time.After(time.Minute):
			t.Fatalf("%s: it hangs", name)
		}
		if w.session.Unkept != "" || r.result.Ref == "" {
			said, _ := os.ReadFile(d.LogPath(someRun))
			t.Errorf("%s: not kept: %+v\n%s", name, r.result, said)
			continue
		}
		must(t, os.Remove(fifo)) // the test's own git would wait there
		if out, err := exec.Command("git", "--git-dir", filepath.Join(local, ".git"), "ls-tree", "--name-only", r.result.Ref).CombinedOutput(); name != "wt/HEAD" && (err != nil || !strings.Contains(string(out), "work\n")) {
			t.Errorf("%s: %s has %s %v", name, r.result.Ref, out, err)
		}
	}
}

// What git does not tell of a run is left out, and said in its log; the run ends all the same, and what it left is kept.
func TestRunEndsWhateverIsNotKnownOfIt(t *testing.T) {
	defer func(d time.Duration) { tellLimit = d }(tellLimit)
	tellLimit = 2 * time.Second
	real, err := exec.LookPath("git")
	must(t, err)
	one := 1
	for _, c := range []struct {
		fails, how string
		want       *outcome.Changes
	}{
		{"nothing", "exit 1", &outcome.Changes{Commits: 1, Ahead: &one, Subjects: []string{`one\x1b`}, Diff: &outcome.Diff{Files: 2, Insertions: 1}, Dirty: 1, DirtyFiles: []string{`a\nb`}}},
		{"diff-tree", "exit 1", &outcome.Changes{Commits: 1, Ahead: &one, Subjects: []string{`one\x1b`}, Dirty: 1, DirtyFiles: []string{`a\nb`}}},
		{"diff-tree", "exec tail -f /dev/null", &outcome.Changes{Commits: 1, Subjects: []string{`one\x1b`}, Dirty: 1, DirtyFiles: []string{`a\nb`}}},
		{"rev-list", "exec tail -f /dev/null", nil},
		{"rev-list", "kill -9 $$", nil},
	} {
		if testing.Short() && strings.HasPrefix(c.how, "exec tail") {
			t.Logf("left out with -short: a %s that does not end is waited for", c.fails)
			continue
		}
		d := newDir(t)
		dir, bin := t.TempDir(), t.TempDir()
		must(t, os.WriteFile(filepath.Join(bin, "git"), []byte("#!/bin/sh\nfor word do test \"$word\" = "+c.fails+" && "+c.how+"; done\nexec "+real+` "$@"`+"\n"), 0o755))
		user := func(args ...string) string {
			cmd := exec.Command("git", append([]string{"-c", "user.name=x", "-c", "user.email=x@x"}, args...)...)
			cmd.Dir = dir
			out, err := cmd.Output()
			must(t, err)
			return strings.TrimSpace(string(out))
		}
		user("init", "-q")
		user("commit", "-q", "--allow-empty", "-m", "first")
		from, local := user("rev-parse", "HEAD"), dir
		wt := filepath.Join(t.TempDir(), "wt")
		user("worktree", "add", "-q", "-b", "fix/issue-1", wt)
		dir = wt
		must(t, os.WriteFile(filepath.Join(dir, "x"), nil, 0o600))
		user("add", "x")
		user("commit", "-q", "-m", "one\x1b")
		must(t, os.WriteFile(filepath.Join(dir, "a\nb"), []byte("half done\n"), 0o600))
		must(t, d.ClaimRun(someRun))
		log, err := openLog(d.LogPath(someRun), LogCap)
		must(t, err)
		r := &Runner{home: d, name: someRun, log: log, task: &Task{Workspace: WorkspaceSettings{Repo: "r", Local: local, Branch: "fix/issue-1"}},
			git: &worktree.Git{Runner: git.Runner{Env: append(slices.Clone(os.Environ()), "PATH="+bin+":"+os.Getenv("PATH")), Log: log, Own: t.TempDir()}}}
		w := &ready{dir: dir, session: &Session{Worktree: dir, Unkept: someRun}, made: worktree.Made{Head: from}}
		if r.keepWork(w) {
			t.Errorf("%s: taken for idle", c.fails)
		}
		if r.result.Ref != ref(someRun) || w.session.Unkept != "" {
			t.Errorf("%s: nothing was kept: %+v", c.fails, r.result)
		}
		if c.want != nil {
			c.want.From, c.want.To = from, user("rev-parse", "HEAD")
		}
		if !reflect.DeepEqual(r.result.Changes, c.want) {
			t.Errorf("%s: %+v", c.fails, r.result.Changes)
		}
		said, err := os.ReadFile(d.LogPath(someRun))
		must(t, err)
		if bytes.Contains(said, []byte("the run's changes are not known: ")) != (c.fails != "nothing") {
			t.Errorf("%s: %s", c.fails, said)
		}
	}
}
