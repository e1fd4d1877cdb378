// Package schedule tries the schedules with the real schedulers: Debian's cron, in a mount namespace of its own, and a
// systemd that is booted for it. Both need root.
package schedule

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
	"strings"
	"testing"

	"kugetsu/contrib/internal/rig"
)

// patience bounds every wait. The clock of a scheduler needs up to a minute.
const patience = rig.Patience

func TestMain(m *testing.M) {
	rig.FullOnly("real schedulers take their minutes")
	os.Exit(m.Run())
}

// needs skips the test where something that it needs is missing.
func needs(t *testing.T, tools ...string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can give a scheduler a world of its own")
	}
	for _, tool := range tools {
		if _, err := lookPath(tool); err != nil {
			t.Skipf("%s is not installed: .ci/run says in which package it is", tool)
		}
	}
	if out, err := exec.Command("unshare", "-m", "true").CombinedOutput(); err != nil {
		t.Skipf("no mount namespaces here: %s", out)
	}
}

func lookPath(tool string) (string, error) {
	path, err := exec.LookPath(tool)
	if errors.Is(err, exec.ErrNotFound) {
		path = "/usr/sbin/" + tool
		_, err = os.Stat(path)
	}
	return path, err
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(text), 0o755))
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	return string(data)
}

func there(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// world is a place that commands run in: argv is put before each command, env is its whole environment.
type world struct {
	t    *testing.T
	argv []string
	env  []string
}

// try runs a command in the world.
func (w world) try(argv ...string) (stdout, stderr string, err error) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	argv = append(append([]string{}, w.argv...), argv...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = w.env
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err = cmd.Run()
	return out.String(), complaint.String(), err
}

// run runs a command that must succeed, and returns its stdout.
func (w world) run(argv ...string) string {
	w.t.Helper()
	stdout, stderr, err := w.try(argv...)
	if err != nil {
		w.t.Fatalf("%q: %v\n%s%s", argv, err, stdout, stderr)
	}
	return stdout
}

// state returns the state of an item.
func (w world) state(kugetsu, id string) string {
	w.t.Helper()
	var it struct{ State string }
	must(w.t, json.Unmarshal([]byte(w.run(kugetsu, "queue", "show", "--json", id)), &it))
	return it.State
}

// repo makes a repository that a state folder knows as you/project.
func repo(t *testing.T, dir, state, seenAs string) {
	t.Helper()
	write(t, filepath.Join(dir, "README.md"), "# project\n")
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"add", "."}, {"-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-q", "-m", "first"}} {
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GIT_CONFIG_NOSYSTEM=1"}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %q: %v\n%s", args, err, out)
		}
	}
	must(t, os.MkdirAll(state, 0o700))
	must(t, os.WriteFile(filepath.Join(state, "repos.json"), fmt.Appendf(nil, `{"github.com/you/project": %q}`, seenAs), 0o600))
}

// inSh quotes a word for sh.
func inSh(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }
