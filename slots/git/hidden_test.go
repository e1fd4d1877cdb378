package git

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What git ls-files -v says of an index is what noFlags says of it, or noFlags leaves it to git.
func TestIndexWithoutFlagsIsKnownWithoutGit(t *testing.T) {
	for _, kind := range []string{"sha1", "sha256"} {
		idBytes := map[string]int{"sha1": 20, "sha256": 32}[kind]
		for _, c := range []struct {
			name   string
			change [][]string
			none   bool
		}{
			{"nothing", nil, true},
			{"an intent to add, so version 3", [][]string{{"add", "-N", "new"}}, true},
			{"a conflict", [][]string{{"-c", `alias.conflict=!printf '0 ,ID, 0\ta\n100644 ,ID, 1\ta\n100644 ,ID, 2\ta\n' | tr -d , | git update-index --index-info`, "conflict"}}, true},
			{"an untracked cache", [][]string{{"update-index", "--force-untracked-cache"}, {"status"}}, true},
			{"assume-unchanged", [][]string{{"update-index", "--assume-unchanged", "b"}}, false},
			{"assume-unchanged, and taken back", [][]string{{"update-index", "--assume-unchanged", "b"}, {"update-index", "--no-assume-unchanged", "b"}}, true},
			{"skip-worktree", [][]string{{"update-index", "--skip-worktree", "a"}}, false},
			{"skip-worktree of the last", [][]string{{"update-index", "--skip-worktree", "sub/c"}}, false},
			{"a sparse checkout", [][]string{{"sparse-checkout", "set", "sub"}}, false},
			{"a sparse index", [][]string{{"sparse-checkout", "set", "--cone", "--sparse-index", "sub"}}, false},
			{"version 4", [][]string{{"update-index", "--index-version", "4"}}, false},
			{"a split index", [][]string{{"update-index", "--split-index"}}, false},
			{"a split index whose base has the flag", [][]string{{"update-index", "--skip-worktree", "a"}, {"update-index", "--split-index"}, {"update-index", "--add", "new"}}, false},
			{"no file", [][]string{{"rm", "-q", "-r", "--cached", "."}}, true},
			{"a long name", [][]string{{"update-index", "--add", "--cacheinfo", "100644,ID," + strings.Repeat(strings.Repeat("x", 200)+"/", 21)}}, false},
		} {
			dir := t.TempDir()
			git := func(args ...string) string {
				cmd := exec.Command("git", args...)
				cmd.Dir = dir
				cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a")
				out, err := cmd.CombinedOutput()
				if err != nil {
					t.Fatalf("%s: git %q: %v\n%s", c.name, args, err, out)
				}
				return strings.TrimSpace(string(out))
			}
			git("init", "-q", "--object-format="+kind)
			for _, name := range []string{"a", "b", "d/e", "d/eight678", "sub/c"} {
				if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			git("add", ".")
			git("commit", "-q", "-m", "m")
			if err := os.WriteFile(filepath.Join(dir, "new"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			id := git("rev-parse", "HEAD:b")
			for _, args := range c.change {
				for n := range args {
					args[n] = strings.TrimSuffix(strings.ReplaceAll(args[n], ",ID,", ","+id+","), "/")
				}
				git(args...)
			}
			index := filepath.Join(dir, ".git", "index")
			none, err := noFlags(index, idBytes)
			if err != nil || none != c.none {
				t.Errorf("%s, %s: %v, %v", kind, c.name, none, err)
			}
			whole, err := os.ReadFile(index)
			if err != nil {
				t.Fatal(err)
			}
			for n := len(whole); n >= 0; n-- { // as it is, and as a crash cut it
				if none, _ := noFlagsIn(bufio.NewReader(bytes.NewReader(whole[:n])), int64(n), idBytes); !none {
					continue
				}
				if err := os.WriteFile(index, whole[:n], 0o600); err != nil {
					t.Fatal(err)
				}
				cmd := exec.Command("git", "ls-files", "-v")
				cmd.Dir = dir
				out, _ := cmd.Output() // it may refuse the index
				for line := range strings.Lines(string(out)) {
					if line[0] == 'S' || line[0] >= 'a' {
						t.Errorf("%s, %s, %d bytes: %s", kind, c.name, n, line)
					}
				}
			}
		}
	}
}

// FuzzIndex: whatever an agent writes there is read without harm.
func FuzzIndex(f *testing.F) {
	f.Add([]byte("DIRC\x00\x00\x00\x02\x00\x00\x00\x00"+strings.Repeat("\x00", 20)), 20)
	f.Add([]byte("DIRC\x00\x00\x00\x03\xff\xff\xff\xff"), 32)
	f.Add([]byte("DIRC\x00\x00\x00\x02\x00\x00\x00\x00TREE\xff\xff\xff\xff"), 20)
	f.Fuzz(func(t *testing.T, data []byte, idBytes int) {
		_, _ = noFlagsIn(bufio.NewReader(bytes.NewReader(data)), int64(len(data)), max(20, idBytes&63))
	})
}
