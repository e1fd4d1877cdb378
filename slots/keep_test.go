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

	"kugetsu/queue/event"
	"kugetsu/slots/worktree"
)

// An agent that puts a FIFO in place of a file of git's has its work kept later, or never, but gives up its slot.
func TestARunEndsAlsoWhereGitHangsOnItsWorktree(t *testing.T) {
	defer func(d time.Duration) { keepLimit = d }(keepLimit)
	keepLimit = 500 * time.Millisecond
	for _, name := range []string{"index", "HEAD", "config"} {
		d := newDir(t)
		dir := t.TempDir()
		must(t, exec.Command("git", "init", "-q", dir).Run())
		must(t, os.WriteFile(filepath.Join(dir, "work"), []byte("half done\n"), 0o600))
		if err := os.Remove(filepath.Join(dir, ".git", name)); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		must(t, syscall.Mkfifo(filepath.Join(dir, ".git", name), 0o600))
		must(t, d.ClaimRun(someRun))
		log, err := openLog(d.LogPath(someRun), LogCap)
		must(t, err)
		r := &Runner{home: d, name: someRun, log: log, task: &Task{Workspace: Workspace{Repo: "r"}},
			git: &worktree.Git{Env: os.Environ(), Log: log, Own: t.TempDir()}}
		w := &ready{session: &Session{Worktree: dir, Unkept: someRun}}
		done := make(chan bool)
		go func() { r.keepWork(w); close(done) }()
		select {
		case <-done:
		case <-time.After(time.Minute):
			t.Fatalf("%s: it hangs", name)
		}
		if w.session.Unkept == "" || r.result.Ref != "" {
			t.Errorf("%s: taken for kept at %q", name, r.result.Ref)
		}
	}
}

// What git does not tell of a run is left out, and said in its log; the run ends all the same, and what it left is kept.
func TestARunEndsWhateverIsNotKnownOfIt(t *testing.T) {
	defer func(d time.Duration) { tellLimit = d }(tellLimit)
	tellLimit = 2 * time.Second
	real, err := exec.LookPath("git")
	must(t, err)
	for _, c := range []struct {
		fails, how string
		want       *event.Changes
	}{
		{"nothing", "exit 1", &event.Changes{Commits: 1, Subjects: []string{`one\x1b`}, Diff: &event.Diff{Files: 2, Insertions: 1}, Dirty: 1, DirtyFiles: []string{`a\nb`}}},
		{"diff-tree", "exit 1", &event.Changes{Commits: 1, Subjects: []string{`one\x1b`}, Dirty: 1, DirtyFiles: []string{`a\nb`}}},
		{"diff-tree", "exec tail -f /dev/null", &event.Changes{Commits: 1, Subjects: []string{`one\x1b`}, Dirty: 1, DirtyFiles: []string{`a\nb`}}},
		{"rev-list", "exec tail -f /dev/null", nil},
		{"rev-list", "kill -9 $$", nil},
	} {
		d := newDir(t)
		dir, bin := t.TempDir(), t.TempDir()
		must(t, os.WriteFile(filepath.Join(bin, "git"), []byte("#!/bin/sh\nfor word do test \"$word\" = "+c.fails+" && "+c.how+"; done\nexec "+real+` "$@"`+"\n"), 0o755))
		git := func(args ...string) string {
			cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=x", "-c", "user.email=x@x"}, args...)...)
			out, err := cmd.Output()
			must(t, err)
			return strings.TrimSpace(string(out))
		}
		git("init", "-q")
		git("commit", "-q", "--allow-empty", "-m", "first")
		from := git("rev-parse", "HEAD")
		must(t, os.WriteFile(filepath.Join(dir, "x"), nil, 0o600))
		git("add", "x")
		git("commit", "-q", "-m", "one\x1b")
		must(t, os.WriteFile(filepath.Join(dir, "a\nb"), []byte("half done\n"), 0o600))
		must(t, d.ClaimRun(someRun))
		log, err := openLog(d.LogPath(someRun), LogCap)
		must(t, err)
		r := &Runner{home: d, name: someRun, log: log, task: &Task{Workspace: Workspace{Repo: "r"}},
			git: &worktree.Git{Env: append(slices.Clone(os.Environ()), "PATH="+bin+":"+os.Getenv("PATH")), Log: log, Own: t.TempDir()}}
		w := &ready{session: &Session{Worktree: dir, Unkept: someRun}, made: worktree.Made{Head: from}}
		if r.keepWork(w) {
			t.Errorf("%s: taken for idle", c.fails)
		}
		if r.result.Ref != ref(someRun) || w.session.Unkept != "" {
			t.Errorf("%s: nothing was kept: %+v", c.fails, r.result)
		}
		if c.want != nil {
			c.want.From, c.want.To = from, git("rev-parse", "HEAD")
		}
		if !reflect.DeepEqual(r.result.Changes, c.want) {
			t.Errorf("%s: %+v", c.fails, r.result.Changes)
		}
		said, err := os.ReadFile(d.LogPath(someRun))
		must(t, err)
		if bytes.Contains(said, []byte("what the run did is not known: ")) != (c.fails != "nothing") {
			t.Errorf("%s: %s", c.fails, said)
		}
	}
}
