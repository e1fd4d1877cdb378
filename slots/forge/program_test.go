package forge

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// program puts a script on a PATH of its own.
func program(t *testing.T, name, script string) (dir string, env []string) {
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir, []string{"HOME=" + dir, "PATH=" + dir + ":/usr/bin:/bin"}
}

func TestForgesProgramAsksWhereThereIsNoToken(t *testing.T) {
	for name, test := range map[string]struct{ program, page, file, args string }{
		"github": {"gh", "/you/project/pull/7", "github_merged.json", "api --hostname localhost repos/you/project/pulls/7"},
		"gitlab": {"glab", "/you/deep/project/-/merge_requests/7", "gitlab_merged.json", "api --hostname localhost projects/you%2Fdeep%2Fproject/merge_requests/7"},
	} {
		dir, env := program(t, test.program, `echo "$@" > "$HOME/args"; env > "$HOME/env"; pwd > "$HOME/pwd"; cat "$HOME/answer"; echo noise >&2`)
		if err := os.WriteFile(filepath.Join(dir, "answer"), file(t, test.file), 0o600); err != nil {
			t.Fatal(err)
		}
		// Tokens of other hosts must not reach the program: it may send one to any host.
		env = append(env, "GH_TOKEN="+secret, "GITLAB_TOKEN="+secret, "GITLAB_HOST=gitlab.example.com", "GITLAB_ACCESS_TOKEN="+secret, "SOME_KEY="+secret)
		got, err := State(t.Context(), "https://localhost"+test.page, env)
		if got != Merged || err != nil {
			t.Errorf("%s: %s, %v", name, got, err)
		}
		read := func(file string) string {
			data, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				t.Fatal(err)
			}
			return string(data)
		}
		if args := strings.TrimSpace(read("args")); args != test.args || strings.Contains(read("env"), secret) || strings.TrimSpace(read("pwd")) != "/" {
			t.Errorf("%s: %q\n%s", name, args, read("env"))
		}
	}
}

// alive says whether a process exists and is no zombie.
func alive(pid string) bool {
	state, err := exec.Command("ps", "-o", "stat=", "-p", strings.TrimSpace(pid)).Output()
	return err == nil && !strings.HasPrefix(string(state), "Z")
}

func TestProgramThatFailsLeavesItToTheForge(t *testing.T) {
	defer func(before time.Duration) { limit = before }(limit)
	for name, test := range map[string]struct {
		script, why string
		limit       time.Duration
	}{
		"logged out": {"echo " + secret + " >&2; exit 4", "(gh: exit status 4)", time.Minute},
		"hangs":      {"sleep 1000 & echo $! > $HOME/pid; wait", "(gh: it did not answer in time)", 5 * time.Second},
		"floods":     {"exec yes " + secret, "(gh: the answer is larger than 1048576 bytes)", time.Minute},
		"killed":     {"kill -9 $$", "(gh: signal: killed)", time.Minute},
	} {
		if testing.Short() && name == "hangs" {
			t.Log("left out with -short: a program that hangs is waited for")
			continue
		}
		dir, env := program(t, "gh", test.script)
		limit = test.limit
		got, err := State(t.Context(), "https://localhost/you/project/pull/7", env) // where nothing listens
		if got != Unknown || err == nil || !strings.Contains(err.Error(), test.why) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %s, %v", name, got, err)
		}
		if name != "hangs" {
			continue
		}
		pid, err := os.ReadFile(filepath.Join(dir, "pid")) // of the process that the program started
		if err != nil {
			t.Fatal(err)
		}
		for begin := time.Now(); alive(string(pid)); {
			if time.Since(begin) > 20*time.Second {
				t.Fatalf("%s: the process that the program started lives", name)
			}
		}
	}
}

func TestProgramIsNotAskedWhereThereIsAToken(t *testing.T) {
	dir, env := program(t, "gh", `touch "$HOME/asked"`)
	env = append(env, "GH_HOST=localhost", "GH_ENTERPRISE_TOKEN="+secret)
	if got, err := State(t.Context(), "https://localhost/you/project/pull/7", env); got != Unknown || err == nil || strings.Contains(err.Error(), secret) {
		t.Error(got, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "asked")); err == nil {
		t.Error("the program was asked")
	}
}
