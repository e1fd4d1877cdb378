package slots

import (
	"os"
	"path/filepath"
	"testing"

	"kugetsu/queue/fault"
	"kugetsu/slots/worktree"
)

func TestDiskOfANodeIsUsedBelowAFolderOfItsOwnAlone(t *testing.T) {
	d, disk := newDir(t), t.TempDir()
	at := d.scratchPath(disk, "github.com+you+project@7")
	for range 2 { // another run has made it
		must(t, makeScratch(filepath.Dir(at)))
	}
	s := &Session{Scratch: at}
	if other := newDir(t); !d.ownScratch(s) || other.ownScratch(s) || d.ownScratch(&Session{}) {
		t.Error("the path is taken for one of another state folder, or that of another for its own")
	}
	must(t, os.Chmod(filepath.Dir(at), 0o777))
	if err := makeScratch(filepath.Dir(at)); fault.Code(err) != fault.Config {
		t.Errorf("a folder that others can write to: %v", err)
	}
	must(t, os.Remove(filepath.Dir(at)))
	must(t, os.Symlink(disk, filepath.Dir(at)))
	if err := makeScratch(filepath.Dir(at)); fault.Code(err) != fault.Config {
		t.Errorf("a link: %v", err)
	}
	if err := makeScratch(filepath.Join(disk, "none", "x")); fault.Code(err) != fault.Config {
		t.Errorf("a disk that is not there: %v", err)
	}
}

func TestSessionNamesWhatTheNextWorktreeBeginsWith(t *testing.T) {
	const head = "0123456789012345678901234567890123456789"
	for _, c := range []struct {
		snap worktree.Snapshot
		ref  string
	}{
		{worktree.Snapshot{Ref: "refs/kugetsu/x/1", Commit: "c", Head: head, Branch: "fix/issue-7"}, "refs/kugetsu/x/1"},
		{worktree.Snapshot{Head: head, Branch: "fix/issue-7"}, ""},
		{worktree.Snapshot{Head: head, Branch: "other"}, "refs/kugetsu/issue-7/" + head},
		{worktree.Snapshot{Head: head}, "refs/kugetsu/issue-7/" + head}, // detached
		{worktree.Snapshot{Head: "start", Branch: "other"}, ""},
	} {
		s := &Session{IssueRef: "github.com/you/project#7", Branch: "fix/issue-7", Start: "start", Left: "refs/kugetsu/old/1"}
		if s.leave(c.snap); s.Left != c.ref {
			t.Errorf("%+v: %q, not %q", c.snap, s.Left, c.ref)
		}
	}
}
