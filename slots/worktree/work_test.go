package worktree

import (
	"context"
	"reflect"
	"strings"
	"testing"
	"time"
)

// work is what was done since a commit, where all went well.
func (w *world) work(path, since string) Work {
	w.Helper()
	g := w.newGit()
	snap, err := g.Snapshot(context.Background(), w.spec(path), testRef, "m")
	if err != nil {
		w.Fatal(err)
	}
	work, err := g.Work(context.Background(), w.spec(path), since, "", snap)
	if err != nil {
		w.Fatalf("%v\n%s", err, w.log.String())
	}
	if snap.Ref != "" {
		w.git(path, "update-ref", "-d", testRef)
	}
	return work
}

func TestWorkIsNotWhatStoodThereBefore(t *testing.T) {
	fullOnly(t, "it starts git dozens of times")
	w, wt, head := prepared(t)
	w.write(wt+"/left.txt", "1\n2\n")
	g := w.newGit()
	before, err := g.Tree(context.Background(), w.spec(wt), Made{})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		what string
		do   func()
		want Work
	}{
		{"nothing", func() {}, Work{}},
		{"a new file", func() { w.write(wt+"/new.txt", "1\n") }, Work{Stat: Stat{1, 1, 0}}},
		{"a commit of both", func() { w.commit(wt, "both") }, Work{Commits: 1, Subjects: []string{"both"}, Stat: Stat{1, 1, 0}}},
		{"all is thrown away", func() { w.git(wt, "reset", "-q", "--hard", head) }, Work{Stat: Stat{1, 0, 2}}},
	} {
		test.do()
		snap, err := g.Snapshot(context.Background(), w.spec(wt), testRef, "m")
		if err != nil {
			t.Fatal(err)
		}
		if snap.Ref != "" {
			w.git(wt, "update-ref", "-d", testRef)
		}
		if got, err := g.Work(context.Background(), w.spec(wt), head, before, snap); err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: got %+v, %v, want %+v", test.what, got, err, test.want)
		}
	}
}

func TestFilesThatCameBehindTheLastSnapshotAreNoChangeOfTheNextRun(t *testing.T) {
	w, wt, head := prepared(t)
	g := w.newGit()
	w.write(wt+"/build.out", "of a verifier\n")
	before, err := g.Tree(t.Context(), w.spec(wt), Made{})
	if err != nil {
		t.Fatal(err)
	}
	w.write(wt+"/b.txt", "1\n2\n")
	w.commit(wt, "the work")
	snap, err := g.Snapshot(t.Context(), w.spec(wt), "refs/kugetsu/snapshots/x", "x")
	if err != nil {
		t.Fatal(err)
	}
	work, err := g.Work(t.Context(), w.spec(wt), head, before, snap)
	if want := (Work{Commits: 1, Subjects: []string{"the work"}, Stat: Stat{1, 2, 0}}); err != nil || !reflect.DeepEqual(work, want) {
		t.Errorf("got %+v, want %+v, %v", work, want, err)
	}
}

func TestWorkIsAllThatDiffersFromTheStart(t *testing.T) {
	fullOnly(t, "it starts git dozens of times")
	w, wt, head := prepared(t)
	// What a configuration could make of the answer, or run for it.
	w.git(wt, "config", "diff.external", "/bin/false")
	w.git(wt, "config", "diff.renames", "copies")
	w.git(wt, "config", "log.showSignature", "true")
	w.git(wt, "config", "diff.x.textconv", "/bin/false")
	w.git(wt, "config", "diff.x.command", "/bin/false")
	want := func(what string, work Work) {
		t.Helper()
		if got := w.work(wt, head); !reflect.DeepEqual(got, work) {
			t.Errorf("%s: got %+v, want %+v", what, got, work)
		}
	}
	want("nothing", Work{})
	w.write(wt+"/x.ignored", "x")
	want("what git ignores", Work{})
	w.write(wt+"/new\n 9 files changed", "1\n2\n3")
	want("an untracked file", Work{Stat: Stat{1, 3, 0}})
	w.write(wt+"/a.txt", "two\n")
	w.git(wt, "add", "a.txt")
	want("a staged change", Work{Stat: Stat{2, 4, 1}})
	w.commit(wt, "one\n\nand its body")
	w.commit(wt, "nothing\x1b[31m")
	want("commits", Work{Commits: 2, Subjects: []string{"nothing\x1b[31m", "one"}, Stat: Stat{2, 4, 1}})
	w.write(wt+"/.gitattributes", "* diff=x\n")
	w.git(wt, "mv", "dir/b.txt", "c.txt")
	w.write(wt+"/binary", "\x00")
	w.write(wt+"/large", strings.Repeat("line\n", 1<<18))
	want("a rename, and what has no lines", Work{Commits: 2, Subjects: []string{"nothing\x1b[31m", "one"}, Stat: Stat{7, 1005, 1001}})
	w.git(wt, "reset", "-q", "--hard", head)
	w.git(wt, "clean", "-fdq")
	want("all undone", Work{})
	for range 2 * maxSubjects {
		w.git(wt, "commit", "-q", "--no-gpg-sign", "--allow-empty", "--allow-empty-message", "-m", "")
	}
	want("many without a word", Work{Commits: 2 * maxSubjects, Subjects: make([]string, maxSubjects)})
}

func TestWorkOnABranchWithoutACommit(t *testing.T) {
	fullOnly(t, "it starts git dozens of times")
	for _, format := range []string{"sha1", "sha256"} {
		w := newWorld(t)
		wt := w.orphan(format)
		if got := w.work(wt, ""); !reflect.DeepEqual(got, Work{}) {
			t.Errorf("nothing: %+v", got)
		}
		w.write(wt+"/a", "1\n")
		if got := w.work(wt, ""); !reflect.DeepEqual(got, Work{Stat: Stat{1, 1, 0}}) {
			t.Errorf("a file: %+v", got)
		}
		w.commit(wt, "first")
		if got := w.work(wt, ""); !reflect.DeepEqual(got, Work{Commits: 1, Subjects: []string{"first"}, Stat: Stat{1, 1, 0}}) {
			t.Errorf("a commit: %+v", got)
		}
	}
}

func TestMergeOfTheBaseIsOneCommit(t *testing.T) {
	w, wt, head := prepared(t)
	w.git(wt, "checkout", "-q", "-b", "base", head)
	w.commit(wt, "theirs")
	w.commit(wt, "theirs, too")
	w.git(wt, "checkout", "-q", "fix/issue-7")
	w.commit(wt, "ours")
	w.git(wt, "merge", "-q", "--no-gpg-sign", "-m", "merged", "base")
	if got := w.work(wt, head); got.Commits != 2 || !reflect.DeepEqual(got.Subjects, []string{"merged", "ours"}) {
		t.Errorf("%+v", got)
	}
}

func TestUnknownCountIsAnErrorAndNoNumber(t *testing.T) {
	w, wt, head := prepared(t)
	w.commit(wt, "one")
	g := w.newGit()
	snap, err := g.Snapshot(context.Background(), w.spec(wt), testRef, "m")
	if err != nil {
		t.Fatal(err)
	}
	for _, since := range []string{"--all", "HEAD", strings.Repeat("1", 40)} {
		if work, err := g.Work(context.Background(), w.spec(wt), since, "", snap); err == nil || work.Commits != -1 {
			t.Errorf("since %q: %+v, %v", since, work, err)
		}
	}
	// The tree is gone, the commits are not.
	gone := snap
	gone.Tree = strings.Repeat("1", 40)
	if work, err := g.Work(context.Background(), w.spec(wt), head, "", gone); err == nil || !strings.HasPrefix(err.Error(), "git diff-tree: ") || work.Commits != 1 {
		t.Errorf("%+v, %v", work, err)
	}
	// A git that hangs is given up.
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	w.write("bin/git", "#!/bin/sh\nexec tail -f /dev/null\n")
	w.git("", "-c", "alias.x=!chmod 755 "+w.path("bin/git"), "x")
	g.Env = append(g.Env, "PATH="+w.path("bin")+":/usr/bin:/bin")
	if work, err := g.Work(ctx, w.spec(wt), head, "", snap); err == nil || work.Commits != -1 {
		t.Errorf("%+v, %v", work, err)
	}
}

func TestTreeTellsWhetherAnythingWasChanged(t *testing.T) {
	w, wt, head := prepared(t)
	tree := func() string {
		t.Helper()
		id, err := w.newGit().Tree(context.Background(), w.spec(wt), Made{})
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	w.equal("clean", tree(), w.git(wt, "rev-parse", head+"^{tree}"))
	w.write(wt+"/a.txt", "two\n")
	w.write(wt+"/new", "x")
	dirty := tree()
	w.equal("dirty, as a snapshot has it", w.kept(wt, 2).Tree, dirty)
	w.git(wt, "add", "-A")
	w.equal("staged", tree(), dirty)
	w.commit(wt, "all")
	w.equal("committed", tree(), dirty)
	w.write(wt+"/new", "y")
	if tree() == dirty {
		t.Error("a change of the same length is not seen")
	}
	w.git("", "init", "-q", "empty")
	if id, err := w.newGit().Tree(context.Background(), w.spec(w.path("empty")), Made{}); id != "" || err != nil {
		t.Errorf("nothing at all: %q, %v", id, err)
	}
}

func TestStatIsRead(t *testing.T) {
	for out, want := range map[string]Stat{
		"":                                  {},
		" 1 file changed, 1 insertion(+)\n": {1, 1, 0},
		" 2 files changed, 1 deletion(-)\n": {2, 0, 1},
		" 3 files changed, 0 insertions(+), 0 deletions(-)\n":             {3, 0, 0},
		" 12345 files changed, 1234567 insertions(+), 765 deletions(-)\n": {12345, 1234567, 765},
		" 99999999999999999999 files changed, -1 insertions(+)\n":         {},
		"warning\n": {},
	} {
		if got := parseStat(out); got != want {
			t.Errorf("%q: %+v", out, got)
		}
	}
}

// FuzzWork: whatever a git is said to have printed, what is kept of it is bounded, and no number is negative.
func FuzzWork(f *testing.F) {
	f.Add(" 1 file changed, 2 insertions(+), 3 deletions(-)\n", "second\nfirst\n", 3)
	f.Add("1 file, 1 file", strings.Repeat("x", 2*keepSubjects), 1000)
	f.Fuzz(func(t *testing.T, stat, subjects string, cut int) {
		if s := parseStat(stat); s.Files < 0 || s.Insertions < 0 || s.Deletions < 0 {
			t.Errorf("%+v", s)
		}
		var l lines
		for rest := subjects; rest != ""; {
			n := min(max(cut, 1), len(rest))
			if wrote, err := l.Write([]byte(rest[:n])); wrote != n || err != nil {
				t.Fatal(wrote, err)
			}
			rest = rest[n:]
		}
		first := l.first(maxSubjects)
		if l.n != strings.Count(subjects, "\n") || len(first) > maxSubjects || len(first) > l.n || len(strings.Join(first, "")) > keepSubjects {
			t.Errorf("%d lines, %d of them kept, of %q", l.n, len(first), subjects)
		}
		whole := strings.Split(subjects, "\n")
		for i, line := range first {
			if !strings.HasPrefix(whole[i], line) {
				t.Errorf("line %d is %q, not %q", i, line, whole[i])
			}
		}
	})
}

func TestTreeIsEmptyWhereOnlyTheCommitStands(t *testing.T) {
	fullOnly(t, "it starts git dozens of times")
	w, wt, head := prepared(t)
	g := w.newGit()
	tree := func(head string) string {
		t.Helper()
		id, err := g.Tree(t.Context(), w.spec(wt), Made{Head: head})
		if err != nil {
			t.Fatal(err)
		}
		if head != "" { // what Begin has seen does as well
			begun, err := g.Begin(t.Context(), w.fromRemote(7))
			if err != nil || begun.Status == nil {
				t.Fatalf("%+v, %v", begun, err)
			}
			begun.Head = head
			if seen, err := g.Tree(t.Context(), w.spec(wt), begun); err != nil || seen != id && w.git(wt, "rev-parse", "HEAD") == head {
				t.Errorf("%q, and to Begin %q, %v", id, seen, err)
			}
		}
		return id
	}
	ofHead, err := g.TreeOf(t.Context(), w.spec(wt), head)
	if err != nil {
		t.Fatal(err)
	}
	w.equal("of the commit", ofHead, w.git(wt, "rev-parse", "HEAD^{tree}"))
	w.equal("clean", tree(head), "")
	w.equal("clean, and no commit named", tree(""), ofHead)
	w.write(wt+"/a.txt", "two\n")
	w.git(wt, "add", "a.txt")
	w.write(wt+"/a.txt", "one\n")
	w.equal("staged, and taken back", tree(head), ofHead)
	w.git(wt, "reset", "-q", "--hard")
	w.write(wt+"/new", "")
	if id := tree(head); id == "" || id == ofHead {
		t.Errorf("a new file: %q", id)
	}
	w.commit(wt, "more")
	w.equal("another commit", tree(head), w.git(wt, "rev-parse", "HEAD^{tree}"))
	if _, err := g.TreeOf(t.Context(), w.spec(wt), "HEAD"); err == nil {
		t.Error("HEAD is a commit")
	}
}
