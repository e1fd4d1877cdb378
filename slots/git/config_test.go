package git

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// count is how many gits were started, through the first folder of a PATH.
func count(t *testing.T) (path string, since func() int) {
	t.Helper()
	real, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "git"), []byte("#!/bin/sh\necho >>"+dir+"/count\nexec "+real+` "$@"`+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return "PATH=" + dir + ":" + os.Getenv("PATH"), func() int {
		text, _ := os.ReadFile(filepath.Join(dir, "count"))
		_ = os.Remove(filepath.Join(dir, "count"))
		return strings.Count(string(text), "\n")
	}
}

func TestConfigurationIsReadOnceForAllThatHaveTheSame(t *testing.T) {
	path, since := count(t)
	home, dir := t.TempDir(), t.TempDir()
	write := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var at []Location
	for _, name := range []string{"a", "b"} {
		common := filepath.Join(dir, name)
		if out, err := exec.Command("git", "init", "-q", "--bare", common).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		at = append(at, Location{Common: common, GitDir: common, Clone: true})
	}
	write(filepath.Join(home, "only-b"), "[user]\n\tname = B\n")
	env := []string{"HOME=" + home, "GIT_CONFIG_NOSYSTEM=1", path}
	name := func(g *Runner, at Location) string {
		t.Helper()
		n, err := g.NamedAt(context.Background(), at)
		if err != nil {
			t.Fatal(err)
		}
		return n.values["user.name"]
	}
	for _, c := range []struct {
		config     string
		a, b       string
		gits, like int // for both repositories; for one that is like it, and so knows
	}{
		{"[user]\n\tname = U\n", "U", "U", 1, 0},
		{"", "", "", 1, 0},
		{"[include]\n\tpath = only-b\n", "B", "B", 1, 0},
		{"[user]\n\tname = U\n[includeIf \"gitdir:" + at[1].Common + "\"]\n\tpath = only-b\n", "U", "B", 2, 0},
		{"[include]\n\tpath = asks\n[user]\n\temail = u@x\n", "", "B", 2, 0},
	} {
		write(filepath.Join(home, ".gitconfig"), c.config)
		write(filepath.Join(home, "asks"), "[includeIf \"gitdir:"+at[1].Common+"\"]\n\tpath = only-b\n")
		g := &Runner{Env: env, Own: filepath.Join(dir, "own")}
		since()
		for range 2 {
			if a, b := name(g, at[0]), name(g, at[1]); a != c.a || b != c.b {
				t.Errorf("%q: %q and %q", c.config, a, b)
			}
		}
		if n := since(); n != c.gits {
			t.Errorf("%q: %d gits", c.config, n)
		}
		like := &Runner{Env: append(env, "TOKEN=x"), Own: g.Own, Like: g}
		if a, b := name(like, at[0]), name(like, at[1]); a != c.a || b != c.b {
			t.Errorf("like it, %q: %q and %q", c.config, a, b)
		}
		if n := since(); n != c.like {
			t.Errorf("like it, %q: %d gits", c.config, n)
		}
		// Another home has another configuration.
		other := &Runner{Env: append(env, "HOME="+dir), Own: g.Own, Like: g}
		if a := name(other, at[0]); a != "" || since() != 1 {
			t.Errorf("another home, %q: %q", c.config, a)
		}
		set := &Runner{Env: append(env, "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=user.name", "GIT_CONFIG_VALUE_0=E"), Own: g.Own, Like: g}
		if a := name(set, at[0]); a != "E" {
			t.Errorf("the environment, %q: %q", c.config, a)
		}
	}
}
