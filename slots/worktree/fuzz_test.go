package worktree

import (
	"strings"
	"testing"
	"unicode"
)

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
