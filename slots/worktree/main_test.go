package worktree

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kugetsu/contrib/quick"
	"kugetsu/slots/git"
)

// TestMain lets the test binary be the runner of another process, so that a test can kill a real one.
func TestMain(m *testing.M) {
	if task := os.Getenv("TEST_PREPARE"); task != "" {
		runtime.LockOSThread() // as a runner does: Pdeathsig follows the thread
		var in struct {
			Env  []string
			Own  string
			Spec Spec
		}
		if err := json.Unmarshal([]byte(task), &in); err != nil {
			panic(err)
		}
		g := &Git{Runner: git.Runner{Env: in.Env, Own: in.Own, Log: os.Stderr}}
		_, err := g.Prepare(context.Background(), in.Spec)
		if err == nil {
			err = g.Include(context.Background(), in.Spec)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(quick.InMemory{M: m}.Run())
}

// fullOnly skips a test with -short.
func fullOnly(t *testing.T, why string) {
	t.Helper()
	if testing.Short() {
		t.Skip("left out with -short: " + why)
	}
}

// count replaces git by one that counts, and returns the number of git processes since.
func (w *world) count() func() int {
	w.Helper()
	real, err := exec.LookPath("git")
	if err != nil {
		w.Fatal(err)
	}
	w.write("counting/git", "#!/bin/sh\necho >> "+w.path("count")+"\nexec "+real+` "$@"`+"\n")
	if err := os.Chmod(w.path("counting/git"), 0o755); err != nil {
		w.Fatal(err)
	}
	w.env = append(w.env, "PATH="+w.path("counting")+":"+os.Getenv("PATH"))
	return func() int {
		text, _ := os.ReadFile(w.path("count"))
		_ = os.Remove(w.path("count"))
		return len(text)
	}
}

// world is a home, a bare remote whose default branch is called trunk, and a state folder.
type world struct {
	testing.TB
	dir    string
	remote string // …/remote.git
	author string // a checkout of it that pushes
	env    []string
	log    bytes.Buffer
}

func newWorld(t testing.TB) *world {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{TB: t, dir: dir, remote: dir + "/remote.git", author: dir + "/author"}
	w.env = []string{"HOME=" + dir + "/home", "PATH=" + os.Getenv("PATH"), "GIT_CONFIG_NOSYSTEM=1"}
	w.write("home/.gitconfig", "[user]\n\tname = Somebody\n\temail = somebody@example.org\n[init]\n\tdefaultBranch = main\n"+
		"[commit]\n\tgpgSign = true\n[gpg]\n\tprogram = /bin/false\n[protocol \"file\"]\n\tallow = always\n"+
		"[maintenance]\n\tauto = false\n") // a newer git would leave it behind, to write while the test's folder is removed
	w.makeRepositories()
	return w
}

// first is the repositories of the first world, and where they were made. The others get copies: git takes twenty processes.
var first struct {
	sync.Mutex
	author, remote fs.FS
	dir            string
}

func (w *world) makeRepositories() {
	w.Helper()
	first.Lock()
	defer first.Unlock()
	if first.author != nil {
		if err := errors.Join(os.CopyFS(w.path("author"), first.author), os.CopyFS(w.remote, first.remote)); err != nil {
			w.Fatal(err)
		}
		w.write("author/.git/config", strings.ReplaceAll(w.read("author/.git/config"), first.dir, w.dir))
		return
	}
	w.git("", "init", "-q", "--bare", "--template=", "--initial-branch=trunk", w.remote)
	w.git("", "init", "-q", "--template=", "--initial-branch=trunk", w.author)
	w.write("author/a.txt", "one\n")
	w.write("author/dir/b.txt", strings.Repeat("some text\n", 1000))
	w.write("author/.gitignore", "*.ignored\n")
	w.git("author", "remote", "add", "origin", w.remote)
	w.commit("author", "first")
	w.push("trunk")
	author, err := quick.Read(w.path("author"))
	if err != nil {
		w.Fatal(err)
	}
	remote, err := quick.Read(w.remote)
	if err != nil {
		w.Fatal(err)
	}
	first.author, first.remote, first.dir = author, remote, w.dir
}

func (w *world) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(w.dir, name)
}

func (w *world) write(name, text string) {
	w.Helper()
	if err := os.MkdirAll(filepath.Dir(w.path(name)), 0o755); err != nil {
		w.Fatal(err)
	}
	if err := os.WriteFile(w.path(name), []byte(text), 0o644); err != nil {
		w.Fatal(err)
	}
}

func (w *world) read(name string) string {
	w.Helper()
	text, err := os.ReadFile(w.path(name))
	if err != nil {
		w.Fatal(err)
	}
	return string(text)
}

func (w *world) exists(name string) bool {
	_, err := os.Lstat(w.path(name))
	return err == nil
}

// try runs git as a user would.
func (w *world) try(dir string, args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	cmd.Dir = w.path(dir)
	cmd.Env = append(slices.Clone(w.env), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	return strings.TrimSuffix(string(out), "\n"), err
}

func (w *world) git(dir string, args ...string) string {
	w.Helper()
	out, err := w.try(dir, args...)
	if err != nil {
		w.Fatalf("git %q in %s: %v\n%s", args, dir, err, out)
	}
	return out
}

func (w *world) commit(dir, message string) string {
	w.Helper()
	w.git(dir, "add", "-A")
	w.git(dir, "commit", "-q", "--no-gpg-sign", "--allow-empty", "-m", message)
	return w.git(dir, "rev-parse", "HEAD")
}

func (w *world) push(branch string) {
	w.Helper()
	w.git("author", "push", "-q", "origin", "HEAD:"+branch)
}

// fromRemote is the spec of issue n in a clone of the remote, fromLocal in a checkout on this machine.
func (w *world) fromRemote(n int) Spec {
	return Spec{
		Source: Source{URL: w.remote, Cache: w.path("state/repos/host+user+repo.git"), Lock: w.path("state/repos/host+user+repo.lock")},
		Path:   w.path(fmt.Sprintf("state/worktrees/host+user+repo@%d", n)),
		Branch: fmt.Sprintf("fix/issue-%d", n),
	}
}

func (w *world) fromLocal(n int, checkout string) Spec {
	s := w.fromRemote(n)
	s.Source = Source{Local: w.path(checkout), Lock: s.Source.Lock}
	return s
}

// newGit does not wait between two fetches.
func (w *world) newGit() *Git {
	return &Git{Runner: git.Runner{Env: w.env, Log: &w.log, Own: w.TempDir()}, pause: func(ctx context.Context, _ time.Duration) error { return context.Cause(ctx) }}
}

func (w *world) prepare(s Spec) Made {
	w.Helper()
	m, err := w.newGit().Prepare(context.Background(), s)
	if err != nil {
		w.Fatalf("prepare: %v\n%s", err, w.log.String())
	}
	if !w.exists(m.Repository + "/objects") {
		w.Errorf("repository %q", m.Repository)
	}
	m.Repository, m.Record = "", "" // the same in every test
	return m
}

// refused demands an error of Prepare and returns it.
func (w *world) refused(s Spec) *git.Error {
	w.Helper()
	m, err := w.newGit().Prepare(context.Background(), s)
	var e *git.Error
	if !errors.As(err, &e) {
		w.Fatalf("Prepare = %+v, %v; want an *Error", m, err)
	}
	return e
}

func (w *world) equal(what string, got, want any) {
	w.Helper()
	if got != want {
		w.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func (w *world) contains(text, part string) {
	w.Helper()
	if !strings.Contains(text, part) {
		w.Errorf("%q does not contain %q", text, part)
	}
}

// tree is every file below a folder with its bytes and mode, for a comparison.
func (w *world) tree(name string) map[string]string {
	w.Helper()
	root, files := w.path(name), map[string]string{}
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text := info.Mode().String()
		if info.Mode().IsRegular() {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += " " + string(b)
		}
		files[strings.TrimPrefix(path, root)] = text
		return nil
	})
	if err != nil {
		w.Fatal(err)
	}
	return files
}

// orphan is a worktree of a repository with ids of a kind, on a branch without a commit.
func (w *world) orphan(format string) string {
	w.Helper()
	w.git("", "init", "-q", "--object-format="+format, "main-"+format)
	w.write("main-"+format+"/f", "f")
	w.commit("main-"+format, "first")
	wt := w.path("orphan-" + format)
	w.git("main-"+format, "worktree", "add", "-q", "--detach", wt)
	w.git(wt, "checkout", "-q", "--orphan", "fresh")
	w.git(wt, "rm", "-rfq", ".")
	return wt
}

// spec is the session of a worktree at a path, of whichever repository the link in it leads to.
func (w *world) spec(path string) Spec {
	w.Helper()
	s := w.fromRemote(7)
	s.Path = w.path(path)
	if common, err := git.CommonDir(s.Path); err == nil && common != s.Source.Cache {
		if real, err := filepath.EvalSymlinks(common); err == nil && real != s.Source.Cache {
			s.Source = Source{Local: strings.TrimSuffix(real, "/.git"), Lock: s.Source.Lock}
		}
	}
	return s
}
