package gitea

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"kugetsu/contrib/internal/rig"
	"kugetsu/slots/forge"
)

// change writes a file on a branch, which is made where it is not there.
func (s *server) change(repo, branch, file, text string, first bool) {
	s.t.Helper()
	body := map[string]any{"content": base64.StdEncoding.EncodeToString([]byte(text)), "message": "work", "branch": branch}
	if first {
		delete(body, "branch")
		body["new_branch"], body["branch"] = branch, "main"
	}
	s.api("POST", repo+"/contents/"+file, body, nil)
}

// as is the server for another user, with a token of its own.
func (s *server) as(name string) *server {
	s.t.Helper()
	const password = "of-a-test"
	s.api("POST", "admin/users", map[string]any{"username": name, "email": name + "@example.invalid", "password": password, "must_change_password": false}, nil)
	other := *s
	other.token, other.basic = "", name+":"+password
	var made struct{ SHA1 string }
	other.api("POST", "users/"+name+"/tokens", map[string]any{"name": "t", "scopes": []string{"all"}}, &made)
	other.token, other.basic = made.SHA1, ""
	return &other
}

func TestRealGiteaSaysWhatAReportIsMadeOf(t *testing.T) {
	t.Parallel()
	s := start(t)
	repo := "repos/rig/shop"
	s.api("POST", "user/repos", map[string]any{"name": "shop", "auto_init": true, "default_branch": "main"}, nil)
	ann, stranger := s.as("ann"), s.as("stranger")
	s.api("PUT", repo+"/collaborators/ann", map[string]any{"permission": "write"}, nil)
	s.change(repo, "work", "a.txt", "one\n", true)
	s.api("POST", repo+"/pulls", map[string]any{"title": "WIP: work", "head": "work", "base": "main"}, nil)
	env := []string{"GITEA_URL=" + s.url, "GITEA_TOKEN=" + s.token}
	var rep forge.Report
	var cache forge.Cache
	looks := func(what string, holds func() bool) {
		t.Helper()
		rig.Until(t, what, func() bool {
			var err error
			rep, err = forge.Inspect(t.Context(), s.url+"/rig/shop/pulls/1", env, &cache, forge.Want{Checks: true, Reviews: true})
			must(t, err)
			return holds()
		}, func() string { return fmt.Sprintf("%+v", rep) })
	}

	looks("a draft", func() bool { return rep.Draft && rep.Merge == forge.MergeBlocked && rep.Status == forge.Open })
	if rep.HeadBranch != "work" || rep.Base != "main" || rep.Fork || rep.CI() != forge.NoChecks || len(rep.Reviews) != 0 || len(rep.Unseen) != 0 {
		t.Errorf("%+v", rep)
	}
	s.api("PATCH", repo+"/pulls/1", map[string]any{"title": "work"}, nil)
	looks("no draft", func() bool { return !rep.Draft && rep.Merge == forge.MergeClean && rep.Ready() })

	status := func(context, state string) {
		s.api("POST", repo+"/statuses/"+rep.Head, map[string]any{"context": context, "state": state, "target_url": "https://ci.example.com/1", "description": state}, nil)
	}
	for _, state := range []string{"pending", "success", "error", "failure"} {
		status("test\n\u202e", state)
		status("lint", "success")
		want := map[string]forge.Verdict{"pending": forge.Pending, "success": forge.Passed}[state]
		if want == forge.NoChecks {
			want = forge.Failed
		}
		looks("a check: "+state, func() bool { return rep.CI() == want })
		if len(rep.Checks) != 2 || !strings.HasPrefix(rep.Checks[1].Name, "test") || rep.Checks[1].Summary != state || rep.Checks[1].URL != "https://ci.example.com/1" {
			t.Errorf("%+v", rep.Checks)
		}
	}

	for _, who := range []*server{stranger, ann} {
		who.api("POST", repo+"/pulls/1/reviews", map[string]any{"event": "REQUEST_CHANGES", "body": "Rename it.",
			"comments": []map[string]any{{"path": "a.txt", "body": "This one.", "new_position": 1}}}, nil)
	}
	looks("two reviews", func() bool { return len(rep.Reviews) == 2 })
	for _, r := range rep.Reviews {
		if r.Opinion != forge.ChangesRequested || r.MayWrite != (r.Author == "ann") || r.Body != "Rename it." || r.Commit != rep.Head || r.At.IsZero() {
			t.Errorf("%+v", r)
		}
		if r.MayWrite && (len(r.Comments) != 1 || r.Comments[0] != forge.Comment{Path: "a.txt", Line: 1, Text: "This one."}) {
			t.Errorf("%+v", r.Comments)
		}
	}
	if rep.Approved {
		t.Error("changes are requested")
	}

	// The head moves on: what was said of the old one does not count.
	old := rep.Head
	s.change(repo, "work", "b.txt", "two\n", false)
	looks("a new head", func() bool { return rep.Head != old && rep.CI() == forge.NoChecks })
	s.api("POST", repo+"/branch_protections", map[string]any{"rule_name": "main", "enable_push": true, "required_approvals": 1, "enable_status_check": true, "status_check_contexts": []string{"test*"}}, nil)
	ann.api("POST", repo+"/pulls/1/reviews", map[string]any{"event": "APPROVED"}, nil)
	looks("an approval, and a check that is asked for", func() bool { return rep.Approved && rep.Approvals == 1 && rep.CI() == forge.Pending })
	status("test", "success")
	looks("ready", func() bool { return rep.Ready() })

	// A conflict is what stays not mergeable.
	s.change(repo, "main", "a.txt", "other\n", false)
	// On a busy machine the minute may be over at the first look that finds it so.
	looks("not mergeable", func() bool {
		return rep.Merge == forge.MergeUnknown && cache.Stuck != "" || rep.Merge == forge.MergeConflict
	})
	cache.Since = time.Now().Add(-time.Hour)
	looks("a conflict", func() bool { return rep.Merge == forge.MergeConflict })

	s.api("PATCH", repo+"/pulls/1", map[string]any{"state": "closed"}, nil)
	looks("closed", func() bool { return rep.Status == forge.Closed })
}
