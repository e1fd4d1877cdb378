package worktree

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// moment is the i-th of n instants spread over the time that the whole takes.
func moment(whole time.Duration, i, n int) <-chan time.Time {
	return time.After(whole * time.Duration(i) / time.Duration(n))
}

// big gives the remote enough files that a checkout can be caught in the middle.
func (w *world) big() {
	for n := range 80 {
		w.write(fmt.Sprintf("author/many/%d/file", n), strings.Repeat(fmt.Sprintf("%d\n", n), 2000))
	}
	w.commit("author", "many")
	w.push("trunk")
}

// whole demands a complete worktree with nothing to commit, and nothing left over beside it.
func (w *world) whole(s Spec, tip string) {
	w.Helper()
	w.equal("head", w.git(s.Path, "rev-parse", "refs/heads/"+s.Branch, "HEAD"), tip+"\n"+tip)
	w.equal("status", w.git(s.Path, "status", "--porcelain", "--ignored"), "")
	w.equal("worktrees", strings.Count(w.git(s.Path, "worktree", "list"), "\n"), 1)
	// A child of the killed git may have been writing for an instant longer: the next to come removes the rest.
	for n := 100; ; n++ {
		left, _ := filepath.Glob(s.Source.Cache + ".tmp-*")
		if len(left) == 0 {
			return
		}
		if n == 150 {
			w.Fatalf("left: %v", left)
		}
		w.prepare(w.fromRemote(n))
	}
}

// age makes every lock file look a minute old, which is when Prepare takes it for a dead git's.
func (w *world) age(dir string) {
	old := time.Now().Add(-2 * staleAfter)
	_ = filepath.WalkDir(w.path(dir), func(path string, _ os.DirEntry, _ error) error {
		if strings.HasSuffix(path, ".lock") {
			_ = os.Chtimes(path, old, old)
		}
		return nil
	})
}

func TestPrepareThatIsGivenUpIsHealedByTheNext(t *testing.T) {
	fullOnly(t, "gives up at many instants")
	const moments = 15
	w := newWorld(t)
	w.big()
	start := time.Now()
	tip := w.prepare(w.fromRemote(0)).Head
	took := time.Since(start)
	seen := map[bool]int{}
	for i := range moments {
		w.dir = fmt.Sprintf("%s/%d", t.TempDir(), i)
		s := w.fromRemote(7)
		ctx, cancel := context.WithCancel(context.Background())
		var m Made
		done := make(chan error)
		go func() {
			var err error
			m, err = w.newGit().Prepare(ctx, s)
			done <- err
		}()
		<-moment(took, i, moments)
		cancel()
		err := <-done
		seen[err == nil]++
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("moment %d: %v", i, err)
		}
		if i%2 == 1 { // what a runner does then
			if err := w.undo(s, m); err != nil {
				t.Errorf("moment %d: undo of %+v: %v", i, m, err)
			}
			w.equal("folder", w.exists(s.Path), false)
			if w.exists(s.Source.Cache) {
				w.equal("branches", w.git(s.Source.Cache, "for-each-ref", "refs/heads"), "")
			}
		}
		w.prepare(s)
		w.whole(s, tip)
	}
	t.Logf("given up %d times, done before %d times", seen[false], seen[true])
}

// kill starts a runner that prepares s, and kills it and, through it, its git, without warning.
func (w *world) kill(s Spec, when <-chan time.Time) (killed bool) {
	w.Helper()
	task, err := json.Marshal(map[string]any{"Env": w.env, "Own": w.TempDir(), "Spec": s})
	if err != nil {
		w.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "TEST_PREPARE="+string(task))
	if err := cmd.Start(); err != nil {
		w.Fatal(err)
	}
	<-when
	_ = cmd.Process.Kill()
	return cmd.Wait() != nil
}

func TestRunnerThatIsKilledIsHealedByTheNext(t *testing.T) {
	fullOnly(t, "kills at many instants")
	const moments = 15
	w := newWorld(t)
	w.big()
	s := w.fromRemote(0)
	start := time.Now()
	w.kill(s, time.After(0)) // costs what starting the binary costs
	w.age("state")
	tip := w.prepare(s).Head
	took := time.Since(start)
	var killed, cloning, adding int
	for i := range moments {
		w.dir = fmt.Sprintf("%s/%d", t.TempDir(), i)
		s := w.fromRemote(7)
		if w.kill(s, moment(took, i, moments)) {
			killed++
		}
		if left, _ := filepath.Glob(s.Source.Cache + ".tmp-*"); len(left) > 0 {
			cloning++
		}
		if half, err := halfMade(s.Source.Cache + "/worktrees/" + filepath.Base(s.Path)); err == nil && half && w.exists(s.Path) {
			adding++
		}
		w.age("state")
		w.prepare(s)
		w.whole(s, tip)
	}
	t.Logf("killed %d of %d times, %d while cloning, %d while writing files out", killed, moments, cloning, adding)
}

func TestCommitsSurviveAKilledRemaking(t *testing.T) {
	fullOnly(t, "kills at many instants")
	const moments = 15
	w := newWorld(t)
	w.big()
	s := w.fromRemote(7)
	w.prepare(s)
	w.write(s.Path+"/work", "work")
	tip := w.commit(s.Path, "work that is nowhere else")
	_ = os.RemoveAll(s.Path)
	start := time.Now()
	w.kill(s, time.After(0))
	w.age("state")
	w.prepare(s)
	took := time.Since(start)
	for i := range moments {
		_ = os.RemoveAll(s.Path)
		w.kill(s, moment(took, i, moments))
		if i%3 == 0 { // or twice in a row
			w.age("state")
			w.kill(s, moment(took, moments-i, moments))
		}
		w.age("state")
		w.prepare(s)
		w.whole(s, tip)
	}
}

func TestLeftoversOfAKilledGitAreRemovedWhenEveryFileIsACopy(t *testing.T) {
	fullOnly(t, "it takes a second or more")
	w := newWorld(t)
	s := w.fromRemote(7)
	tip := w.prepare(s).Head
	admin := s.Source.Cache + "/worktrees/" + filepath.Base(s.Path)
	for name, break_ := range map[string]func(){
		"locked, all files there":    func() {},
		"locked, a file cut off":     func() { w.write(s.Path+"/dir/b.txt", "some text\nsome te"); _ = os.Remove(s.Path + "/a.txt") },
		"locked, a file still empty": func() { w.write(s.Path+"/a.txt", "") },
		"locked, no files":           func() { _ = os.RemoveAll(s.Path + "/dir"); _ = os.Remove(s.Path + "/a.txt") },
		"locked, no .git yet":        func() { _ = os.RemoveAll(s.Path); _ = os.Mkdir(s.Path, 0o755) },
		"locked, no folder":          func() { _ = os.RemoveAll(s.Path) },
		"locked, nothing on record":  func() { _ = os.RemoveAll(s.Path); _ = os.Remove(admin + "/gitdir"); _ = os.Remove(admin + "/HEAD") },
		"an empty record":            func() { _ = os.RemoveAll(s.Path); _ = os.RemoveAll(admin); _ = os.Mkdir(admin, 0o755) },
		"the record already gone":    func() { _ = os.RemoveAll(admin); _ = os.Remove(s.Path + "/a.txt") },
		"an index still locked":      func() { w.write(admin+"/index.lock", "") },
	} {
		t.Run(name, func(t *testing.T) {
			w.write(admin+"/locked", "initializing\n")
			break_()
			m := w.prepare(s)
			w.equal("made", m, Made{Branch: "fix/issue-7", Base: "trunk", Head: tip, CreatedWorktree: true})
			w.whole(s, tip)
			w.equal("again", w.prepare(s).CreatedWorktree, false)
			records, _ := os.ReadDir(s.Source.Cache + "/worktrees")
			w.equal("records", len(records), 1)
		})
	}
	t.Run("but not with a file of somebody's", func(t *testing.T) {
		w.write(admin+"/locked", "initializing\n")
		w.write(s.Path+"/mine.ignored", "work")
		e := w.refused(s)
		w.equal("permanent", e.Permanent, true)
		w.contains(e.Last, "in the way (left incomplete by a git that was killed)")
		w.equal("kept", w.read(s.Path+"/mine.ignored"), "work")
	})
}

func TestWorktreeThatAPowerCutEmptiedIsMadeAgainUnlessItHoldsWork(t *testing.T) {
	fullOnly(t, "it starts git dozens of times")
	w := newWorld(t)
	w.big()
	s := w.fromRemote(7)
	tip := w.prepare(s).Head
	for _, name := range []string{".git", "many/1/file", "many/2/file"} {
		if err := os.Truncate(filepath.Join(s.Path, name), 0); err != nil {
			t.Fatal(err)
		}
	}
	w.prepare(s)
	w.whole(s, tip)

	if err := errors.Join(os.Truncate(filepath.Join(s.Path, ".git"), 0), os.WriteFile(filepath.Join(s.Path, "new"), []byte("work"), 0o600)); err != nil {
		t.Fatal(err)
	}
	w.refused(s)
	if text, err := os.ReadFile(filepath.Join(s.Path, "new")); string(text) != "work" {
		t.Errorf("the work is %q: %v", text, err)
	}
}

func TestRecordThatIsIncompleteStopsNoSession(t *testing.T) {
	fullOnly(t, "it takes a second or more")
	w := newWorld(t)
	one, other := w.fromRemote(1), w.fromRemote(2)
	tip := w.prepare(one).Head
	w.prepare(other)
	admin := one.Source.Cache + "/worktrees/" + filepath.Base(one.Path)
	// The order in which git writes them. What comes later is not there when one is not complete.
	order := []string{"locked", "gitdir", ".git", "HEAD", "commondir"}
	for i, name := range order {
		for _, state := range []string{"missing", "empty"} {
			for _, first := range []Spec{one, other} {
				t.Run(name+" "+state+" "+first.Branch, func(t *testing.T) {
					w := *w
					w.TB = t
					whole := map[string]string{"locked": "initializing\n", "gitdir": one.Path + "/.git\n", "HEAD": strings.Repeat("0", 40) + "\n", "commondir": "../..\n"}
					_ = os.RemoveAll(admin)
					_ = os.RemoveAll(one.Path)
					_ = os.RemoveAll(other.Path)
					_ = os.Mkdir(admin, 0o700)
					for k, name := range order[:i+1] {
						file, text := admin+"/"+name, whole[name]
						if name == ".git" {
							file, text = one.Path+"/.git", "gitdir: "+admin+"\n"
						}
						if k == i && state == "missing" {
							continue
						}
						if k == i && state == "empty" {
							text = ""
						}
						w.write(file, text)
					}
					w.prepare(first)
					w.prepare(one)
					w.prepare(other)
					w.equal("heads", w.git(one.Path, "rev-parse", "HEAD")+w.git(other.Path, "rev-parse", "HEAD"), tip+tip)
					w.equal("status", w.git(one.Path, "status", "--porcelain"), "")
					records, _ := os.ReadDir(filepath.Dir(admin))
					w.equal("records", len(records), 2)
				})
			}
		}
	}
}

func TestLockIsRemovedOnlyWhenItIsStaleAndInTheWay(t *testing.T) {
	fullOnly(t, "waits for locks to become stale")
	w := newWorld(t)
	w.write("home/.gitconfig", w.read("home/.gitconfig")+"[core]\n\tpackedRefsTimeout = 0\n") // git would wait for it
	w.prepare(w.fromRemote(1))
	w.commit("author", "second")
	w.push("trunk")
	s := w.fromRemote(7)
	cache := s.Source.Cache
	blocking := []string{cache + "/refs/remotes/origin/trunk.lock", cache + "/packed-refs.lock"}
	w.git("author", "push", "-q", "origin", "HEAD:x")
	w.git(w.fromRemote(1).Path, "fetch", "-q")
	w.git("author", "push", "-q", "origin", ":x") // to prune it takes packed-refs.lock
	for _, lock := range append(blocking, cache+"/index.lock", cache+"/refs/heads/fix/issue-8.lock") {
		w.write(lock, "")
	}
	w.equal("permanent", w.refused(s).Permanent, false)
	for _, lock := range blocking {
		w.equal("young lock kept", w.exists(lock), true)
	}
	w.age("state")
	w.prepare(s)
	for _, lock := range blocking {
		w.equal("stale lock kept", w.exists(lock), false)
	}
	w.write(cache+"/refs/heads/fix/issue-9.lock", "") // no other process writes its own branch: at any age
	w.prepare(w.fromRemote(9))
	w.equal("index.lock", w.exists(cache+"/index.lock"), true)
	w.equal("another session's", w.exists(cache+"/refs/heads/fix/issue-8.lock"), true)
}

func TestLockOfAKilledGitStopsNoRefForEver(t *testing.T) {
	fullOnly(t, "it starts git dozens of times")
	w := newWorld(t)
	s := w.fromRemote(7)
	m := w.prepare(s)
	cache, branch := s.Source.Cache, "refs/heads/"+s.Branch
	locked := func(ref string) { w.write(cache+"/"+ref+".lock", "") }

	w.git(s.Path, "checkout", "-q", "--detach")
	var loose []string
	for range 2 { // commits on no branch hang by the record of their worktree
		loose = append(loose, w.commit(s.Path, "on no branch"))
		locked("refs/kugetsu/detached/" + loose[len(loose)-1])
	}
	w.must(os.RemoveAll(s.Path))
	w.prepare(s)
	w.equal("kept by prepare", w.git(cache, "rev-parse", "refs/kugetsu/detached/"+loose[1]), loose[1])
	w.git(s.Path, "checkout", "-q", "--detach", loose[0])
	w.must(os.RemoveAll(s.Path))
	w.must(w.newGit().Remove(t.Context(), s, ""))
	w.equal("kept by remove", w.git(cache, "rev-parse", "refs/kugetsu/detached/"+loose[0]), loose[0])

	w.prepare(s)
	w.git(s.Path, "update-ref", "-d", branch)
	locked(branch)
	w.equal("made again", w.prepare(s).Head, m.Head)

	ref, err := w.newGit().Keep(t.Context(), s, "refs/kugetsu/issue-7", loose[0])
	w.must(err)
	locked(ref)
	found, err := w.newGit().Forget(t.Context(), s, ref)
	w.must(err)
	w.equal("forgotten", found, true)

	ref, err = w.newGit().Keep(t.Context(), s, "refs/kugetsu/issue-7", loose[1])
	w.must(err)
	locked(branch)
	if _, err = w.newGit().Restore(t.Context(), s, ref, false); err == nil { // a person may commit there
		t.Error("a lock that is new was removed")
	}
	w.age("state")
	_, err = w.newGit().Restore(t.Context(), s, ref, false)
	w.must(err)
	w.equal("restored", w.git(s.Path, "rev-parse", "HEAD"), loose[1])
}

// The next run of the session drops what a git of the killed run left; a lock of another session's branch is that session's.
func TestLocksOfAKilledRunAreDroppedAndNoOthers(t *testing.T) {
	w := newWorld(t)
	s := w.fromRemote(7)
	m, err := w.newGit().Prepare(t.Context(), s)
	w.must(err)
	own := []string{m.Record + "/index.lock", m.Record + "/HEAD.lock", m.Record + "/" + tablesLock, m.Repository + "/refs/heads/" + s.Branch + ".lock"}
	others := []string{m.Repository + "/refs/heads/fix/issue-8.lock", m.Repository + "/packed-refs.lock"}
	for _, lock := range append(own, others...) {
		w.write(lock, "")
	}
	w.must(m.DropLocks(s.Branch))
	for _, lock := range own {
		w.equal(lock, w.exists(lock), false)
	}
	for _, lock := range others {
		w.equal(lock, w.exists(lock), true)
	}
}

// What stands behind a link is another's, whatever its name.
func TestLockIsNotRemovedOverALink(t *testing.T) {
	w := newWorld(t)
	s := w.fromRemote(7)
	m, err := w.newGit().Prepare(t.Context(), s)
	w.must(err)
	w.write("elsewhere/issue-7.lock", "mine")
	w.must(os.RemoveAll(m.Repository + "/refs/heads/fix"))
	w.must(os.Symlink(w.path("elsewhere"), m.Repository+"/refs/heads/fix"))
	w.must(m.DropLocks(s.Branch))
	dropped, err := dropLock(m.Repository, "refs/heads/"+s.Branch+".lock", time.Time{})
	w.must(err)
	w.equal("dropped", dropped, false)
	w.equal("the other's file", w.read("elsewhere/issue-7.lock"), "mine")
}

// The git that a runner starts dies with it; the one that writes the files out is its child, and lives on. It holds
// the repository's lock, so that no other process removes or makes the folder beneath it.
func TestWriterForADeadRunnerHoldsTheLock(t *testing.T) {
	w := newWorld(t)
	for _, pipe := range []string{"started", "go"} {
		if err := unix.Mkfifo(w.path(pipe), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w.write("author/.gitattributes", "a.txt filter=lfs\n")
	tip := w.commit("author", "a file that takes long to write")
	w.push("trunk")
	plain := w.read("home/.gitconfig")
	w.write("home/.gitconfig", plain+fmt.Sprintf("[filter \"lfs\"]\n\tsmudge = \"echo > %s; cat %s; cat\"\n", w.path("started"), w.path("go")))
	s := w.fromRemote(7)
	writing := make(chan time.Time)
	go func() {
		_, _ = os.ReadFile(w.path("started")) // opens when the filter does
		close(writing)
	}()
	w.kill(s, writing)

	lock, err := os.Open(s.Source.Lock)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); !errors.Is(err, unix.EWOULDBLOCK) {
		t.Errorf("the lock is free while files are written: %v", err)
	}
	w.write("go", "") // opens when the filter does
	w.write("home/.gitconfig", plain)
	w.prepare(s)
	w.whole(s, tip)
}
