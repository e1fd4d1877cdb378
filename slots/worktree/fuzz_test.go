package worktree

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
)

// FuzzBranch: what is taken for a branch name is one to git, stays below refs/heads, and is no option.
func FuzzBranch(f *testing.F) {
	for _, name := range []string{"main", "fix/issue-7", "-b", "--upload-pack=x", "a..b", "a/../b", "HEAD", "@", "a.lock", "a/.b", "a//b", "a b", "a\x00",
		"refs/heads/x", "@{-1}", "a@{1}", "x\\y", "月", "\xff", "."} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if !validBranch(name) {
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

// FuzzURL: a URL that git is given is no option, names no program, and is one line.
func FuzzURL(f *testing.F) {
	for _, url := range []string{"https://github.com/you/project.git", "git@github.com:you/project", "ssh://-oProxyCommand=x/y", "--upload-pack=x", "-u",
		"ext::sh -c x", "EXT::x", "fd::17", "a+b::c", "+0::x", "::x", "/srv/repo", "http://[::1]/x", "", "a\nb", "\x1b"} {
		f.Add(url)
	}
	f.Fuzz(func(t *testing.T, url string) {
		s := Spec{Path: "/w/x", Branch: "main", Source: Source{URL: url, Cache: "/r/x.git", Lock: "/r/x.lock"}}
		if _, err := s.checked(); err != nil {
			if text := err.Error(); strings.ContainsFunc(text, unicode.IsControl) {
				t.Errorf("%q", text)
			}
			return
		}
		helper, _, found := strings.Cut(url, "::")
		// To git, a name begins with a letter or a digit.
		named := found && strings.TrimLeft(helper, "+.-") == helper && helper != "" && strings.Trim(helper, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-") == ""
		if url == "" || strings.HasPrefix(url, "-") || named || strings.ContainsAny(url, "\n\x00\x1b") {
			t.Errorf("%q is a url", url)
		}
	})
}

// FuzzStatus: whatever git is said to have printed is read without harm, and no path is made up.
func FuzzStatus(f *testing.F) {
	for _, out := range []string{"# branch.oid (initial)\x00# branch.head main\x00", "1 .M N... 100644 100644 100644 a b a.txt\x00? new\x00! x\x00",
		"u UU N... 1 2 3 4 a b c d.txt\x00", "1\x001 \x00u \x00?\x00#\x00", "? a b\x00"} {
		f.Add(out)
	}
	f.Fuzz(func(t *testing.T, out string) {
		read := statusReader{each: func(e entry) {
			if !strings.Contains(out, e.path) || strings.Contains(e.path, "\x00") {
				t.Errorf("%q in %q", e.path, out)
			}
		}}
		for half := range 2 { // in one piece, and in two
			_, _ = read.Write([]byte(out)[:half*len(out)/2])
			_, _ = read.Write([]byte(out)[half*len(out)/2:])
			read.in.rest = nil
		}
	})
}
