package gitea

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// agent pushes its branch. Issue 1 it opens a request for, and its last words name another one; the token is no argument.
const agent = `
echo "$1" >work.txt
git add work.txt
git commit -qm "work on $1"
git push -q origin HEAD
case $1 in
*'#1')
	printf 'header = "Authorization: token %s"\n' "$GITEA_TOKEN" | curl -fsS -K - -o "$HOME/opened" -H 'Content-Type: application/json' \
		-d "{\"title\": \"work\", \"head\": \"$(git branch --show-current)\", \"base\": \"main\"}" "$GITEA_URL/api/v1/repos/rig/.shop/pulls"
	;;
esac
echo "Done, much as in $GITEA_URL/rig/.shop/pulls/40."
`

func TestSessionLivesAndEndsWithItsRequestOnARealGitea(t *testing.T) {
	t.Parallel()
	s := start(t)
	w := newWorld(t, s, agent)
	repo := "repos/rig/.shop"
	s.api("POST", "user/repos", map[string]any{"name": ".shop", "private": true, "auto_init": true, "default_branch": "main"}, nil)
	for range 3 {
		s.api("POST", repo+"/issues", map[string]any{"title": "an issue"}, nil)
	}
	name := s.host + "/rig/.shop"

	// Once by its URL, twice by its name: the port is the host's.
	w.kugetsu(0, "delegate", s.url+"/rig/.shop/issues/1", "work")
	w.kugetsu(0, "delegate", name+"#2", "work")
	w.kugetsu(0, "delegate", name+"#3", "work")
	w.kugetsu(0, "tick", "--drain")
	if out := w.kugetsu(0, "list", "--json"); !strings.Contains(out, `"pr_url": "`+s.url+`/rig/.shop/pulls/4"`) || strings.Count(out, "/pulls/") != 1 {
		t.Error("the request of the branch, and no other, is the session's")
	}
	if out := w.kugetsu(1, "destroy", name+"#1"); !strings.Contains(out, "an open pull request, "+s.url+"/rig/.shop/pulls/4") {
		t.Error("a session with an open request")
	}

	// A person opens one for the second.
	s.api("POST", repo+"/pulls", map[string]any{"title": "mine", "head": "fix/issue-2", "base": "main"}, nil)
	for _, n := range []string{"4", "5"} {
		s.api("POST", repo+"/pulls/"+n+"/merge", map[string]any{"Do": "squash", "delete_branch_after_merge": true}, nil)
		if n == "5" {
			break
		}
		out := w.kugetsu(0, "prune", "--dry-run")
		if !strings.Contains(out, "would remove "+name+"#1: its pull request is merged") || !strings.Contains(out, "would keep "+name+"#2: its pull request is open") {
			t.Error("one is merged, and one is open")
		}
		// The next is of the same file.
		s.api("DELETE", repo+"/contents/work.txt", map[string]any{"sha": s.blob(repo + "/contents/work.txt"), "message": "again"}, nil)
	}
	var pull struct {
		Head struct{ Ref, Label string }
	}
	s.api("GET", repo+"/pulls/5", nil, &pull)
	if pull.Head.Ref != "refs/pull/5/head" || pull.Head.Label != "fix/issue-2" {
		t.Errorf("a deleted branch is now called %+v", pull.Head)
	}

	out := w.kugetsu(0, "prune")
	for _, want := range []string{"removed " + name + "#1: its pull request is merged", "removed " + name + "#2: its pull request is merged", "kept " + name + "#3: no pull request is known, and its branch is not merged"} {
		if !strings.Contains(out, want+"\n") {
			t.Errorf("no line %q", want)
		}
	}
	left, err := filepath.Glob(filepath.Join(w.dir, "state", "worktrees", "*"))
	must(t, err)
	if want := strings.ReplaceAll(s.host, ":", "@") + "+rig+.shop@3"; len(left) != 1 || filepath.Base(left[0]) != want {
		t.Errorf("the worktrees are %q, want %s", left, want)
	}
	for _, file := range []string{"work.txt", ".git"} {
		if _, err := os.Stat(filepath.Join(left[0], file)); err != nil {
			t.Error(err)
		}
	}
}

// blob is the id of a file's content.
func (s *server) blob(path string) string {
	s.t.Helper()
	var file struct{ SHA string }
	s.api("GET", path, nil, &file)
	return file.SHA
}
