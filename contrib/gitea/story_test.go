package gitea

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"kugetsu/contrib/built"
	"kugetsu/contrib/internal/rig"
)

// worker is a program called opencode. It keeps what it was told and how it was called. Its first run opens the request.
const worker = `#!/bin/sh
set -eu
case $* in --version) echo 1.18.33; exit ;; 'db path') exit ;; esac
n=1
while [ -e "$HOME/heard.$n" ]; do n=$((n+1)); done
printf '%s\n' "$*" >"$HOME/called.$n"
cat >"$HOME/heard.$n"
echo "basket $n" >>basket.txt
git add basket.txt
git commit -qm "basket $n"
git push -q origin HEAD
if [ "$n" = 1 ]; then
	printf 'header = "Authorization: token %s"\n' "$GITEA_TOKEN" | curl -fsS -K - -o "$HOME/opened" -H 'Content-Type: application/json' \
		-d "{\"title\": \"basket\", \"head\": \"$(git branch --show-current)\", \"base\": \"main\"}" "$GITEA_URL/api/v1/repos/rig/shop/pulls"
fi
echo '{"type":"text","sessionID":"ses_1","part":{"text":"done"}}'
echo '{"type":"step_finish","sessionID":"ses_1","part":{"reason":"stop"}}'
`

// shop is the repository of the story: its main branch wants a green check "ci/test" and one approval, and anna may write to it.
type shop struct {
	*server
	*world
	name, repo string // host/rig/shop, repos/rig/shop
	anna       string // her token
}

func newShop(t *testing.T) *shop {
	t.Helper()
	for _, tool := range []string{"curl", "jq"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
	s := start(t)
	h := &shop{server: s, world: newWorld(t, s, ""), name: s.host + "/rig/shop", repo: "repos/rig/shop"}
	s.api("POST", "user/repos", map[string]any{"name": "shop", "private": true, "auto_init": true, "default_branch": "main"}, nil)
	s.api("POST", "admin/users", map[string]any{"username": "anna", "password": "of-a-test", "email": "anna@example.invalid", "must_change_password": false}, nil)
	s.api("PUT", h.repo+"/collaborators/anna", map[string]any{"permission": "write"}, nil)
	s.api("POST", h.repo+"/branch_protections", map[string]any{"rule_name": "main", "required_approvals": 1,
		"enable_status_check": true, "status_check_contexts": []string{"ci/test"}}, nil)
	h.anna = h.tokenOf("anna")
	must(t, os.WriteFile(filepath.Join(h.dir, "bin", "opencode"), []byte(worker), 0o700))
	config := fmt.Sprintf("PATH=%s:%s\nKUGETSU_AGENT=opencode\nAGENT_MEMORY=0\nVERIFY_COMMAND=test -s basket.txt\nFOLLOW_PR=ci,review,conflict\nFOLLOW_INTERVAL=1ms\n",
		filepath.Join(h.dir, "bin"), built.WithoutAgents(os.Getenv("PATH")))
	must(t, os.WriteFile(filepath.Join(h.dir, "state", "config"), []byte(config), 0o600))
	return h
}

func (h *shop) tokenOf(user string) string {
	h.server.t.Helper()
	data, err := json.Marshal(map[string]any{"name": "review", "scopes": []string{"write:repository", "write:issue"}})
	must(h.server.t, err)
	req, err := http.NewRequest("POST", h.url+"/api/v1/users/"+user+"/tokens", bytes.NewReader(data))
	must(h.server.t, err)
	req.SetBasicAuth(user, "of-a-test")
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	must(h.server.t, err)
	defer res.Body.Close()
	var made struct{ SHA1 string }
	must(h.server.t, json.NewDecoder(res.Body).Decode(&made))
	return made.SHA1
}

// review is anna's review of the request as it is now.
func (h *shop) review(event, body string) {
	h.server.t.Helper()
	as := *h.server
	as.token = h.anna
	as.api("POST", h.repo+"/pulls/3/reviews", map[string]any{"event": event, "body": body, "commit_id": h.head()}, nil)
}

// check is the result of a check of the request's head.
func (h *shop) check(state string) {
	h.server.t.Helper()
	h.api("POST", h.repo+"/statuses/"+h.head(), map[string]any{"state": state, "context": "ci/test", "description": "12 of 14 passed", "target_url": "https://ci.example.org/7"}, nil)
}

func (h *shop) head() string {
	h.server.t.Helper()
	var pull struct{ Head struct{ SHA string } }
	h.api("GET", h.repo+"/pulls/3", nil, &pull)
	return pull.Head.SHA
}

// intake runs the script with a label.
func (h *shop) intake(label string) string {
	h.server.t.Helper()
	cmd := exec.Command("sh", "../intake/intake", "gitea", h.url+"/rig/shop", label)
	cmd.Env = append(slices.Clone(h.env), "INTAKE_COMMENTS=yes")
	out, err := cmd.CombinedOutput()
	h.server.t.Logf("$ INTAKE_COMMENTS=yes intake gitea %s/rig/shop %s\n%s", h.url, label, out)
	must(h.server.t, err)
	return string(out)
}

// said are the comments of the issue, without their marks.
func (h *shop) said() string {
	h.server.t.Helper()
	var list []struct{ Body string }
	h.api("GET", h.repo+"/issues/1/comments", nil, &list)
	var said []string
	for _, c := range list {
		text, _, _ := strings.Cut(c.Body, "\n\n<!--")
		said = append(said, text)
	}
	return strings.Join(said, "\n")
}

// followed runs ticks until one has made an item of what the forge says, and then that item. It returns what the agent was told.
func (h *shop) followed(run int) string {
	h.server.t.Helper()
	rig.Until(h.server.t, "an item", func() bool { h.kugetsu(0, "tick"); return len(h.items()) == run })
	for range 3 { // the same is no news
		h.kugetsu(0, "tick")
	}
	h.kugetsu(0, "tick", "--drain")
	if n := len(h.items()); n != run {
		h.server.t.Fatalf("%d items, want %d", n, run)
	}
	called, err := os.ReadFile(filepath.Join(h.dir, fmt.Sprintf("called.%d", run)))
	must(h.server.t, err)
	if !strings.Contains(string(called), " -s ses_1") {
		h.server.t.Errorf("another conversation: %s", called)
	}
	return h.heard(run)
}

func (h *shop) heard(run int) string {
	h.server.t.Helper()
	text, err := os.ReadFile(filepath.Join(h.dir, fmt.Sprintf("heard.%d", run)))
	must(h.server.t, err)
	return string(text)
}

func (h *shop) items() (ids []string) {
	h.server.t.Helper()
	var list []struct{ ID string }
	must(h.server.t, json.Unmarshal([]byte(h.kugetsu(0, "queue", "list", "--all", "--json")), &list))
	for _, it := range list {
		ids = append(ids, it.ID)
	}
	return ids
}

// between is what stands between two lines with a mark.
var between = regexp.MustCompile(`(?s)\n([A-Z2-7]{26})\n(.*)\n([A-Z2-7]{26})\n`)

func TestStoryOfAnIssueFromItsLabelToItsMergeOnARealGitea(t *testing.T) {
	t.Parallel()
	h := newShop(t)
	var label struct{ ID int }
	h.api("POST", h.repo+"/labels", map[string]any{"name": "agent", "color": "#00aabb"}, &label)
	h.api("POST", h.repo+"/issues", map[string]any{"title": "The basket loses apples", "body": "Mend it.", "labels": []int{label.ID}}, nil)
	h.api("POST", h.repo+"/issues", map[string]any{"title": "not for agents"}, nil)

	// Taken by its label; a label that is not there takes none, although Gitea then gives every issue.
	if out := h.intake("no-such-label"); strings.Contains(out, "#") {
		t.Error("a label that is not there")
	}
	if out := h.intake("agent"); !strings.Contains(out, " "+h.name+"#1\n") || strings.Contains(out, "#2") {
		t.Error("the labelled issue, and no other, is taken")
	}
	h.kugetsu(0, "tick", "--drain")
	if text := h.heard(1); !strings.Contains(text, "The basket loses apples\n\nMend it.") {
		t.Errorf("the agent was told %q", text)
	}
	for range 2 {
		h.intake("agent")
	}
	if want := "kugetsu has queued this issue as `" + h.items()[0] + "`.\nkugetsu works on this issue in " + h.url + "/rig/shop/pulls/3"; h.said() != want {
		t.Errorf("the issue says %q, want %q", h.said(), want)
	}

	h.check("failure")
	if m := between.FindStringSubmatch(h.followed(2)); m == nil || m[1] != m[3] || !strings.Contains(m[2], "ci/test") {
		t.Errorf("of the failed check the agent was told %q", h.heard(2))
	}
	h.check("success")
	h.review("REQUEST_CHANGES", "Count the pears, too.")
	if m := between.FindStringSubmatch(h.followed(3)); m == nil || !strings.Contains(m[2], "anna requests changes:\nCount the pears, too.") {
		t.Errorf("of the review the agent was told %q", h.heard(3))
	}
	if out := h.kugetsu(0, "list"); !strings.Contains(out, "verified") || !strings.Contains(out, "PR #3 open") {
		t.Error("how far it is")
	}

	h.check("success")
	h.review("APPROVED", "Good.")
	rig.Until(t, "pr_ready", func() bool {
		h.kugetsu(0, "tick")
		return strings.Contains(h.kugetsu(0, "notify", "list"), "pr_ready")
	})
	h.kugetsu(0, "tick")
	if out := h.kugetsu(0, "notify", "list", "--json"); strings.Count(out, `"type": "pr_ready"`) != 1 || strings.Count(out, `"type": "ci_failed"`) != 1 || strings.Count(out, `"type": "changes_requested"`) != 1 {
		t.Error("each is told once")
	}
	if out := h.kugetsu(0, "status"); !strings.Contains(out, "READY TO MERGE") || !strings.Contains(out, h.url+"/rig/shop/pulls/3") {
		t.Error("it can be merged")
	}
	if n := len(h.items()); n != 3 {
		t.Errorf("%d items, want 3", n)
	}

	h.api("POST", h.repo+"/pulls/3/merge", map[string]any{"Do": "squash", "delete_branch_after_merge": true}, nil)
	if out := h.kugetsu(0, "prune"); !strings.Contains(out, "removed "+h.name+"#1: its pull request is merged\n") {
		t.Error("the session ends with its request")
	}
	if left, err := filepath.Glob(filepath.Join(h.dir, "state", "worktrees", "*")); err != nil || len(left) > 0 {
		t.Errorf("%q are left, %v", left, err)
	}
	if strings.Contains(h.said(), "needs a person") {
		t.Errorf("the issue says %q", h.said())
	}
}
