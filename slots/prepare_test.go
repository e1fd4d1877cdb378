package slots

import (
	"os"
	"path/filepath"
	"testing"

	"kugetsu/slots/git"
	"kugetsu/slots/worktree"
)

// The git that is asked for the author of commits inherits the slot's lock. If the start fails meanwhile, the answer is not needed any
// more, but the slot must not be closed while git is being started with it: the race detector sees that.
func TestFailedStartIsDoneWithItsSlot(t *testing.T) {
	d := newDir(t)
	slot, err := TryLock(filepath.Join(t.TempDir(), "lock"))
	must(t, err)
	must(t, d.ClaimRun(someRun))
	log, err := openLog(d.LogPath(someRun), LogCap)
	must(t, err)
	r := &Runner{home: d, name: someRun, log: log, git: &worktree.Git{Runner: git.Runner{Env: os.Environ(), Log: log, Files: []*os.File{slot.File()}, Own: t.TempDir()}},
		task: &Task{Session: "github.com+you+project@7", Workspace: WorkspaceSettings{Repo: "github.com+you+project", Branch: "fix/issue-7", Local: t.TempDir()}}}
	w := &ready{session: &Session{Worktree: d.Worktree(r.task.Session)}, dir: d.Worktree(r.task.Session), agentEnv: os.Environ()}
	must(t, os.Mkdir(w.session.Worktree, 0o700))
	if err := r.prepareWorktree(t.Context(), w); err == nil {
		t.Error("a folder is taken for a git checkout")
	}
	must(t, slot.Close())
}
