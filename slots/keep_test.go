package slots

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

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
			git: &worktree.Git{Env: os.Environ(), Log: log, Tmp: t.TempDir()}}
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
