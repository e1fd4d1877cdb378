package git

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"kugetsu/contrib/quick"
)

func TestMain(m *testing.M) { os.Exit(quick.InMemory{M: m}.Run()) }

func TestGitHasNoTerminalToAskOn(t *testing.T) {
	g, dir := bare(t)
	out, err := g.exec(context.Background(), nil, Command{dir: dir, Args: []string{"-c", "alias.say=!ps -o sid= -p $PPID", "say"}})
	mine, sidErr := unix.Getsid(0)
	if err := errors.Join(err, sidErr); err != nil {
		t.Fatal(err)
	}
	if sid := strings.TrimSpace(out); sid == "" || sid == fmt.Sprint(mine) {
		t.Errorf("git is in the session %q, and this process, which may have a terminal, in %d", sid, mine)
	}
}

func TestAnswerThatIsTooLongIsNotKept(t *testing.T) {
	g, dir := bare(t)
	for most, want := range map[int]error{0: nil, 10000: nil, 9999: ErrTooLong} {
		out, err := g.exec(context.Background(), nil, Command{dir: dir, Most: most, Args: []string{"-c", "alias.say=!head -c 10000 /dev/zero", "say"}})
		if !errors.Is(err, want) || (err == nil) != (len(out) == 10000) {
			t.Errorf("at most %d: %d bytes, %v", most, len(out), err)
		}
	}
}

// bare is a Runner, and a folder that is its home.
func bare(t *testing.T) (g *Runner, dir string) {
	t.Helper()
	dir = t.TempDir()
	return &Runner{Env: []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH"), "GIT_CONFIG_NOSYSTEM=1"}}, dir
}

func TestEnvironmentCannotPointGitElsewhere(t *testing.T) {
	g, dir := bare(t)
	g.Env = append(g.Env, "GIT_DIR=/nonexistent", "GIT_WORK_TREE=/nonexistent", "GIT_INDEX_FILE=/nonexistent", "GIT_CONFIG_PARAMETERS='x'",
		"GIT_OBJECT_DIRECTORY=/nonexistent", "GIT_ALLOW_PROTOCOL=ext", "LC_ALL=de_DE.UTF-8", "PWD=/nonexistent",
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=kugetsu.test", "GIT_CONFIG_VALUE_0=kept")
	out, err := g.exec(context.Background(), nil, Command{dir: dir, Args: []string{"config", "--get", "kugetsu.test"}})
	if got := fmt.Sprint(out, err); got != "kept\n<nil>" {
		t.Errorf("config: %s", got)
	}
}

func TestGitInheritsTheLease(t *testing.T) {
	r, p, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer p.Close()
	g, dir := bare(t)
	g.Files = []*os.File{p}
	// An alias is a child of git's; what it writes to the lease arrives here.
	_, err = g.exec(context.Background(), nil, Command{dir: dir, Args: []string{"-c", "alias.say=!echo here >&3", "say"}})
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5)
	_, _ = r.Read(got)
	if string(got) != "here\n" {
		t.Errorf("the lease: %q", got)
	}
}

func TestChildThatStaysBehindIsNotWaitedFor(t *testing.T) {
	g, dir := bare(t)
	if err := unix.Mkfifo(filepath.Join(dir, "end"), 0o600); err != nil {
		t.Fatal(err)
	}
	// The child is like an ssh that keeps its connection for the next git: it keeps stdout and stderr open.
	out, err := g.exec(context.Background(), nil, Command{dir: dir, Args: []string{"-c", "alias.say=!echo here; cat end &", "say"}})
	if got := fmt.Sprint(out, err); got != "here\n<nil>" {
		t.Errorf("said: %s", got)
	}
	// The fifo opens as long as the child lives, and its end ends the child.
	if err := os.WriteFile(filepath.Join(dir, "end"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestGitThatDoesNotMindSIGTERMIsKilled(t *testing.T) {
	g, dir := bare(t)
	if err := unix.Mkfifo(filepath.Join(dir, "ready"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = os.ReadFile(filepath.Join(dir, "ready"))
		cancel()
	}()
	_, err := g.exec(ctx, nil, Command{dir: dir, Args: []string{"-c", "alias.say=!trap '' TERM; echo > ready; while [ -e ready ]; do sleep 1; done", "say"}})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
