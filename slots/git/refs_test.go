package git

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// FuzzBranch: a text that is taken for a branch name is one to git, stays below refs/heads, and is no option.
func FuzzBranch(f *testing.F) {
	for _, name := range []string{"main", "fix/issue-7", "-b", "--upload-pack=x", "a..b", "a/../b", "HEAD", "@", "a.lock", "a/.b", "a//b", "a b", "a\x00",
		"refs/heads/x", "@{-1}", "a@{1}", "x\\y", "月", "\xff", "."} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if !ValidBranch(name) {
			return
		}
		if path := filepath.Join("refs/heads", name); !strings.HasPrefix(path, "refs/heads/") || !filepath.IsLocal(name) || strings.HasPrefix(name, "-") ||
			strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Errorf("%q is a branch", name)
		}
		if out, err := exec.CommandContext(context.Background(), "git", "check-ref-format", "refs/heads/"+name).CombinedOutput(); err != nil {
			t.Errorf("%q is no branch to git: %s %v", name, out, err)
		}
	})
}

func TestValidRefIsWhatGitAccepts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringOfN(rapid.SampledFrom([]rune("ab/.-@{~^:?*[\\ \x7f\tlockéHEAD")), 1, 9, -1).Draw(t, "name")
		if rapid.Bool().Draw(t, "lock") {
			name += ".lock"
		}
		err := exec.Command("git", "check-ref-format", name).Run()
		if got := ValidRef(name); got != (err == nil) {
			t.Errorf("validRef(%q) = %v, git: %v", name, got, err)
		}
	})
}
