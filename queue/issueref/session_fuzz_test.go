package issueref

import (
	"strings"
	"testing"
)

// FuzzSession: two references have the same session only when they name the same issue, and the same repository name only
// when they name the same repository.
func FuzzSession(f *testing.F) {
	refs := []string{"you/project#1", "You/Project#1", "github.com/you/project#1", "a.b/c/d#1", "a/b.c/d#1", "you/project#deps", "a/b#a", "a/b#a-1", "a-1/b#a", "a:1/b/c#1", "[::1]:1/b/c#1", "[::1]/b/c#1", "http://a/b/c/issues/1", "a.b/c/d/e#1", "a.b/c/d-e#1",
		"a/b#11", "a/b1#1", "a_b/c#1", "a/b_c#1", "a.b/c+d/e#1", "a.b/c/d+e#1", "https://github.com/you/project/issues/1", "https://gitlab.com/a/b/c/-/issues/1"}
	for _, a := range refs {
		for _, b := range refs {
			f.Add(a, b)
		}
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		x, errX := Parse(a, "github.com")
		y, errY := Parse(b, "github.com")
		if errX != nil || errY != nil {
			return
		}
		if same := strings.EqualFold(x.String(), y.String()); same != (x.Session() == y.Session()) {
			t.Errorf("%s and %s: sessions %s and %s", x, y, x.Session(), y.Session())
		}
		if same := strings.EqualFold(x.Host+"/"+x.Repo, y.Host+"/"+y.Repo); same != (x.RepoName() == y.RepoName()) {
			t.Errorf("%s and %s: repositories %s and %s", x, y, x.RepoName(), y.RepoName())
		}
	})
}
