package worktree

import (
	"context"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"kugetsu/slots/git"
)

const testRef = "refs/kugetsu/q_01/1"

// snapshot takes one and demands that the worktree and its repository are as they were, but for the reference.
func (w *world) snapshot(path string) (Snapshot, error) {
	w.Helper()
	look := func() map[string]string {
		all := w.tree(path)
		gitDir := w.git(path, "rev-parse", "--absolute-git-dir")
		maps.Copy(all, w.tree(gitDir))
		maps.DeleteFunc(all, func(name, _ string) bool {
			return strings.Contains(name, "/objects") || strings.Contains(name, "kugetsu")
		})
		all["refs"], _ = w.try(path, "for-each-ref", "--exclude=refs/kugetsu", "refs/heads", "refs/remotes", "refs/tags", "refs/stash")
		return all
	}
	before := look()
	snap, err := w.newGit().Snapshot(context.Background(), w.spec(path), testRef, "kugetsu: q_01/1\n\nwhat was left")
	after := look()
	for name := range after {
		if before[name] != after[name] {
			w.Errorf("%s changed: %q, %q", name, before[name], after[name])
		}
	}
	w.equal("files", len(after), len(before))
	return snap, err
}

// kept is snapshot where all went well and something was dirty.
func (w *world) kept(path string, dirty int) Snapshot {
	w.Helper()
	snap, err := w.snapshot(path)
	if err != nil {
		w.Fatalf("snapshot: %v\n%s", err, w.log.String())
	}
	w.equal("ref", snap.Ref, testRef)
	w.equal("dirty", snap.Dirty, dirty)
	return snap
}

// looks is snapshot where all went well, and is as wanted but for the id of the tree.
func (w *world) looks(path string, want Snapshot) {
	w.Helper()
	snap, err := w.snapshot(path)
	if (snap.Tree != "") != (want.Ref != "") {
		w.Errorf("tree %q at %q", snap.Tree, snap.Ref)
	}
	snap.Tree, snap.Commit = "", ""
	if err != nil || !reflect.DeepEqual(snap, want) {
		w.Errorf("got %+v, %v, want %+v", snap, err, want)
	}
}

func (w *world) show(path, file string) string {
	w.Helper()
	out, err := w.try(path, "show", testRef+":"+file)
	if err != nil {
		w.Errorf("%q is not in the snapshot: %s", file, out)
	}
	return out
}

func prepared(t *testing.T) (*world, string, string) {
	w := newWorld(t)
	m := w.prepare(w.fromRemote(7))
	return w, w.fromRemote(7).Path, m.Head
}

func TestCleanWorktreeLeavesNoReference(t *testing.T) {
	w, wt, head := prepared(t)
	w.write(wt+"/x.ignored", "x")
	w.looks(wt, Snapshot{Head: head, Branch: "fix/issue-7"})
	w.write(wt+"/work", "x")
	w.looks(wt, Snapshot{Head: w.commit(wt, "one"), Branch: "fix/issue-7"})
	w.equal("references", w.git(wt, "for-each-ref", "refs/kugetsu"), "")
}

func TestUncommittedWorkIsKept(t *testing.T) {
	w, wt, head := prepared(t)
	w.write(wt+"/staged", "staged")
	w.git(wt, "add", "staged")
	w.write(wt+"/a.txt", "unstaged\n")
	w.write(wt+"/deep/er/untracked", "new")
	w.write(wt+"/x.ignored", "no")
	w.git(wt, "rm", "-q", "dir/b.txt")
	w.write(wt+"/run.sh", "#!")
	_ = os.Chmod(wt+"/run.sh", 0o755)
	snap := w.kept(wt, 5)
	w.equal("head", snap.Head, head)
	w.equal("staged", w.show(wt, "staged"), "staged")
	w.equal("unstaged", w.show(wt, "a.txt"), "unstaged")
	w.equal("untracked", w.show(wt, "deep/er/untracked"), "new")
	w.equal("names", w.git(wt, "diff", "--name-status", head, testRef), "M\ta.txt\nA\tdeep/er/untracked\nD\tdir/b.txt\nA\trun.sh\nA\tstaged")
	w.equal("mode", w.git(wt, "ls-tree", "--format=%(objectmode)", testRef, "run.sh"), "100755")
	w.equal("commit", w.git(wt, "log", "-1", "--format=%P|%an <%ae>|%cn <%ce>|%G?|%B", testRef),
		head+"|kugetsu <kugetsu@localhost>|kugetsu <kugetsu@localhost>|N|kugetsu: q_01/1\n\nwhat was left\n")
}

func TestStagedAndThenChangedFileIsKeptInBothVersions(t *testing.T) {
	w, wt, head := prepared(t)
	w.write(wt+"/a.txt", "staged\n")
	w.write(wt+"/gone", "staged only")
	w.git(wt, "add", "-A")
	w.write(wt+"/a.txt", "later\n")
	_ = os.Remove(wt + "/gone")
	w.kept(wt, 2)
	w.equal("later", w.show(wt, "a.txt"), "later")
	w.equal("staged", w.git(wt, "show", testRef+"^2:a.txt"), "staged")
	w.equal("gone", w.git(wt, "show", testRef+"^2:gone"), "staged only")
	w.equal("parents", w.git(wt, "rev-parse", testRef+"^1", testRef+"^2^"), head+"\n"+head)
}

func TestChangeOfTheSameLengthInTheSameSecondIsSeen(t *testing.T) {
	fullOnly(t, "it starts git dozens of times")
	w, wt, _ := prepared(t)
	for range 5 {
		w.write(wt+"/racy", "aaaa")
		w.commit(wt, "racy")
		w.write(wt+"/racy", "bbbb")
		w.kept(wt, 1)
		w.equal("racy", w.show(wt, "racy"), "bbbb")
		w.git(wt, "update-ref", "-d", testRef)
		w.write(wt+"/racy", "aaaa")
	}
}

func TestNamesThatAreHardToWriteAreKept(t *testing.T) {
	w, wt, _ := prepared(t)
	names := []string{"new\nline", `quo"te'd`, "-rf", "--all", ":(exclude)a", "sp ace/ü/\xff\x01", `back\slash`, "*", "# branch.oid x", "dir\n/x"}
	for _, name := range names {
		w.write(wt+"/"+name, "in "+name)
	}
	if err := os.Symlink("/nonexistent", wt+"/dangling"); err != nil {
		t.Fatal(err)
	}
	_ = os.Remove(wt + "/a.txt") // a file that became a link to a folder
	_ = os.Symlink("dir", wt+"/a.txt")
	w.kept(wt, len(names)+2)
	for _, name := range names {
		w.equal(name, w.show(wt, name), "in "+name)
	}
	w.equal("link", w.show(wt, "dangling"), "/nonexistent")
	w.equal("link", w.show(wt, "a.txt"), "dir")
}

func TestBranchWithoutACommitIsKept(t *testing.T) {
	w, wt, _ := prepared(t)
	w.git(wt, "checkout", "-q", "--orphan", "fresh")
	w.looks(wt, Snapshot{Ref: testRef, Branch: "fresh", Dirty: 3, Files: []string{".gitignore", "a.txt", "dir/b.txt"}})
	w.equal("parents", w.git(wt, "log", "--format=%P", testRef), "")
	w.equal("file", w.show(wt, "a.txt"), "one")

	empty := w.orphan("sha1")
	w.looks(empty, Snapshot{Branch: "fresh"})
	w.write(empty+"/x", "x")
	w.kept(empty, 1)
}

func TestDetachedHeadIsKept(t *testing.T) {
	w, wt, _ := prepared(t)
	w.git(wt, "checkout", "-q", "--detach")
	tip := w.commit(wt, "loose")
	w.write(wt+"/x", "x")
	w.looks(wt, Snapshot{Ref: testRef, Head: tip, Dirty: 1, Files: []string{"x"}})
}

func TestMergeInConflictIsKept(t *testing.T) {
	w, wt, head := prepared(t)
	w.write(wt+"/a.txt", "ours\n")
	w.commit(wt, "ours")
	w.git(wt, "checkout", "-q", "-b", "theirs", head)
	w.write(wt+"/a.txt", "theirs\n")
	w.commit(wt, "theirs")
	w.git(wt, "checkout", "-q", "fix/issue-7")
	if _, err := w.try(wt, "merge", "theirs"); err == nil {
		t.Fatal("no conflict")
	}
	w.write(wt+"/both", "1")
	w.git(wt, "add", "both")
	w.write(wt+"/both", "2")
	w.kept(wt, 2)
	w.contains(w.show(wt, "a.txt"), "<<<<<<< HEAD\nours\n=======\ntheirs\n")
	w.equal("both", w.show(wt, "both"), "2")
}

func TestIndexThatSomebodyLockedIsNoObstacle(t *testing.T) {
	w, wt, _ := prepared(t)
	w.git(wt, "config", "core.splitIndex", "true")
	w.write(wt+"/x", "x")
	w.write(w.git(wt, "rev-parse", "--absolute-git-dir")+"/index.lock", "")
	w.kept(wt, 1)
	w.equal("x", w.show(wt, "x"), "x")
}

func TestFileThatGitCannotAddIsReportedAndTheRestKept(t *testing.T) {
	w, wt, _ := prepared(t)
	w.write(wt+"/good", "good")
	w.write(wt+"/git~1", "a name git refuses, since it means .git elsewhere")
	snap, err := w.snapshot(wt)
	w.equal("ref", snap.Ref, testRef)
	w.equal("good", w.show(wt, "good"), "good")
	var e *git.Error
	if !errors.As(err, &e) || !strings.Contains(e.Last, "git~1") {
		t.Error(err)
	}
}

func TestRepositoryInsideIsReportedAndTheRestKept(t *testing.T) {
	for _, commits := range []bool{false, true} {
		w, wt, _ := prepared(t)
		w.write(wt+"/good", "good")
		w.git("", "init", "-q", wt+"/sub")
		w.write(wt+"/sub/file", "x")
		if commits {
			w.commit(wt+"/sub", "in the inner one")
		}
		snap, err := w.snapshot(wt)
		w.equal("ref", snap.Ref, testRef)
		w.equal("good", w.show(wt, "good"), "good")
		if err == nil || !strings.Contains(err.Error(), "sub/") {
			t.Error(err)
		}
	}
}

func TestFilesThatCannotBeReadAreReportedAndTheRestKept(t *testing.T) {
	w, wt, _ := prepared(t)
	if os.Getuid() == 0 { // root may read everything, unless it gives that up
		drop, err := exec.LookPath("setpriv")
		if err != nil {
			t.Skip("root without setpriv can read every file")
		}
		real, err := exec.LookPath("git")
		if err != nil {
			t.Fatal(err)
		}
		w.write("bin/git", "#!/bin/sh\nexec "+drop+" --bounding-set=-dac_override,-dac_read_search "+real+` "$@"`+"\n")
		_ = os.Chmod(w.path("bin/git"), 0o755)
		w.env = append(w.env, "PATH="+w.path("bin")+":"+os.Getenv("PATH"))
	}
	w.write(wt+"/shut/file", "x")
	_ = os.Chmod(wt+"/shut", 0)
	t.Cleanup(func() { _ = os.Chmod(wt+"/shut", 0o700) })
	g := w.newGit()
	snap, err := g.Snapshot(context.Background(), w.spec(wt), testRef, "m") // git sees nothing to add, and says so
	if err == nil || !strings.Contains(err.Error(), "could not open directory 'shut/'") || snap.Ref != "" {
		t.Errorf("%+v %v", snap, err)
	}
	w.write(wt+"/good", "good")
	w.write(wt+"/secret", "x")
	_ = os.Chmod(wt+"/secret", 0)
	snap, err = g.Snapshot(context.Background(), w.spec(wt), testRef, "m")
	if err == nil || !strings.Contains(err.Error(), "secret") {
		t.Errorf("%+v %v", snap, err)
	}
	w.equal("good", w.show(wt, "good"), "good")
}

func TestWorktreeThatIsGoneIsAClearError(t *testing.T) {
	w, wt, _ := prepared(t)
	_ = os.RemoveAll(wt)
	check := func(words string) {
		t.Helper()
		snap, err := w.newGit().Snapshot(context.Background(), w.spec(wt), testRef, "m")
		if err == nil || !strings.Contains(err.Error(), words) || snap.Ref != "" {
			t.Errorf("%+v %v", snap, err)
		}
	}
	check("there is no worktree to take a snapshot of")
	w.git("", "init", "-q", w.dir) // a repository above it is none of ours
	check("there is no worktree to take a snapshot of")
	// Whatever became of the link: the files are kept in the session's repository.
	w.write(wt+"/x", "x")
	w.write(wt+"/.git", "gitdir: /nonexistent")
	snap, err := w.newGit().Snapshot(context.Background(), w.spec(wt), testRef, "m")
	if err != nil || snap.Ref != testRef || w.git(w.fromRemote(7).Source.Cache, "show", testRef+":x") != "x" {
		t.Errorf("%+v %v", snap, err)
	}
}

func TestSnapshotNeverReplacesAnother(t *testing.T) {
	w, wt, _ := prepared(t)
	w.write(wt+"/x", "first")
	w.kept(wt, 1)
	w.write(wt+"/x", "second")
	if snap, err := w.snapshot(wt); err == nil || snap.Ref != "" {
		t.Errorf("%+v %v", snap, err)
	}
	w.equal("x", w.show(wt, "x"), "first")
}

func TestReferencesOfOthersAreNotWritten(t *testing.T) {
	w, wt, _ := prepared(t)
	w.write(wt+"/x", "x")
	for _, ref := range []string{"refs/heads/main", "refs/kugetsu/", "refs/kugetsu/../heads/x", "kugetsu/x", "-d", "refs/kugetsu/a b", "refs/kugetsu/x.lock", ""} {
		if _, err := w.newGit().Snapshot(context.Background(), w.spec(wt), ref, "m"); err == nil {
			t.Errorf("written: %q", ref)
		}
	}
}

func TestTemporaryFilesAreRemoved(t *testing.T) {
	w, wt, _ := prepared(t)
	w.write(wt+"/x", "x")
	g := w.newGit()
	if _, err := g.Snapshot(context.Background(), w.spec(wt), testRef, "m"); err != nil {
		t.Fatal(err)
	}
	left, _ := filepath.Glob(g.Own + "/*")
	w.equal("left", len(left), 0)
}
