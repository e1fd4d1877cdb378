package forge

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestFindTakesTheOpenRequestOfABranchOrElseTheNewest(t *testing.T) {
	for name, want := range map[string]string{"github": "/you/project/pull/7 open", "gitlab": "/you/project/-/merge_requests/8 merged", "gitea": "/you/project/pulls/7 merged"} {
		f := forges[name]
		s := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(file(t, name+"_list.json")) })
		got, err := Find(t.Context(), "127.0.0.1/you/project", "fix/issue-7", time.Time{}, s.only(f.kind, secret))
		if err != nil || got == nil || got.URL+" "+string(got.Status) != s.URL+want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		if len(s.tokens) != 1 || s.tokens[0] != f.token {
			t.Errorf("%s: %q", name, s.tokens)
		}
		if name != "gitea" && !strings.Contains(s.asked[0], "fix%2Fissue-7&state=all") {
			t.Errorf("%s: %q", name, s.asked)
		}
		got, err = Find(t.Context(), "127.0.0.1/you/project", "fix/issue-5", time.Time{}, s.only(f.kind, secret))
		if name == "github" && (err != nil || got == nil || got.Status != Merged) { // its lists have only the time
			t.Errorf("%s: %v, %v", name, got, err)
		}
		if got, err := Find(t.Context(), "127.0.0.1/you/project", "fix/issue-9", time.Time{}, s.only(f.kind, secret)); got != nil || err != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestFindKnowsNoneOnlyWhereAllWereSeen(t *testing.T) {
	one := `{"number":7,"state":"open","head":{"ref":"another","repo":{"full_name":"you/project"}}}`
	for answer, why := range map[string]string{
		"[" + strings.Repeat(one+",", perPage-1) + one + "]": "and there are more",
		`{"message":"` + secret + `"}`:                       "not that of its API",
		`null`:                                               "not that of its API",
		`<html>`:                                             "not that of its API",
		`[{"number":7,"state":"` + secret + `","head":{"ref":"b","repo":{"full_name":"you/project"}}}]`: "no state that is known",
	} {
		s := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(answer)) })
		got, err := Find(t.Context(), "127.0.0.1/you/project", "b", time.Time{}, s.only(gitea, secret))
		if got != nil || err == nil || !strings.Contains(err.Error(), why) || strings.Contains(err.Error(), secret) {
			t.Errorf("%.40s: %v, %v", answer, got, err)
		}
	}
}

func TestFindAsksOnlyAForgeThatIsKnown(t *testing.T) {
	for host, want := range map[string]string{
		"github.com": "https://api.github.com/", "gitlab.com": "https://gitlab.com/api/v4/", "codeberg.org": "https://codeberg.org/api/v1/",
		"gitlab.example.com": "https://gitlab.example.com/api/v4/", "forgejo.example.com": "https://forgejo.example.com/api/v1/",
		"git.example.com": "https://git.example.com:3000/api/v1/", "git.example.com:3000": "https://git.example.com:3000/api/v1/", "git.example.com:3001": "",
		"gitea.example.com:3001": "https://gitea.example.com:3001/api/v1/", "code.example.com": "", "acme.ghe.com": "https://api.acme.ghe.com/", "x.acme.ghe.com": "", "notgithub.com": "",
	} {
		r, err := at(host, "o/r", []string{"GITEA_URL=https://git.example.com:3000"})
		switch {
		case want == "" && (err == nil || !strings.Contains(err.Error(), "set GH_HOST")):
			t.Error(host, err)
		case want != "" && (err != nil || r.base() != want):
			t.Error(host, r, err)
		}
	}
	for _, repo := range []string{"github.com", "github.com/o", "github.com/o/../r", "github.com/o/r?x", "git hub.com/o/r", "/o/r"} {
		if got, err := Find(t.Context(), repo, "b", time.Time{}, nil); got != nil || err == nil {
			t.Errorf("%s: %v", repo, got)
		}
	}
}

func TestFindKnowsABranchThatIsDeletedByItsLabel(t *testing.T) {
	for answer, want := range map[string]string{
		`{"number":7,"state":"closed","merged":true,"head":{"label":"b","ref":"refs/pull/7/head","repo":{"full_name":"you/project"}}}`:  "/you/project/pulls/7",
		`{"number":7,"state":"closed","merged":true,"head":{"label":"b","ref":"refs/pull/7/head","repo":{"full_name":"they/project"}}}`: "",
		`{"number":7,"state":"closed","merged":true,"head":{"label":"b","ref":"refs/pull/7/head","repo":null}}`:                         "",
		`{"number":7,"state":"closed","merged":true,"head":{"label":"c","ref":"refs/pull/7/head","repo":{"full_name":"you/project"}}}`:  "",
		`{"number":7,"state":"open","head":{"label":"b","ref":"other","repo":{"full_name":"you/project"}}}`:                             "",
	} {
		s := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("[" + answer + "]")) })
		got, err := Find(t.Context(), strings.TrimPrefix(s.URL, "http://")+"/you/project", "b", time.Time{}, s.only(gitea, secret))
		if err != nil || (got == nil) != (want == "") || got != nil && (got.URL != s.URL+want || got.Status != Merged) {
			t.Errorf("%s: %v, %v", answer, got, err)
		}
	}
}

func TestFindPassesOverARequestOfAnEarlierBranchOfThatName(t *testing.T) {
	since := time.Date(2026, 5, 1, 12, 0, 0, 9e8, time.UTC) // a forge has whole seconds
	for answer, want := range map[string]bool{
		`"state":"closed","merged":true,"created_at":"2026-05-01T11:59:59Z"`:      false,
		`"state":"closed","merged":true`:                                          false,
		`"state":"closed","merged":true,"created_at":"2026-05-01T14:00:00+02:00"`: true,
		`"state":"open","created_at":"2026-05-01T11:00:00Z"`:                      true,
	} {
		s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`[{"number":7,"head":{"ref":"b","repo":{"full_name":"you/project"}},` + answer + `}]`))
		})
		if got, err := Find(t.Context(), "127.0.0.1/you/project", "b", since, s.only(gitea, secret)); err != nil || (got != nil) != want {
			t.Errorf("%s: %v, %v", answer, got, err)
		}
	}
}

func TestFindTurnsThePage(t *testing.T) {
	other := strings.Repeat(`{"number":9,"state":"open","head":{"ref":"another","repo":{"full_name":"you/project"}}},`, perPage-1)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		others, last := other, `{"number":8,"state":"open","head":{"ref":"another","repo":{"full_name":"you/project"}}}`
		if r.URL.Query().Get("page") == "2" {
			others, last = "", `{"number":7,"state":"closed","merged":true,"head":{"ref":"b","repo":{"full_name":"you/project"}}}`
		}
		_, _ = w.Write([]byte("[" + others + last + "]"))
	})
	if got, err := Find(t.Context(), "127.0.0.1/you/project", "b", time.Time{}, s.only(gitea, secret)); err != nil || got == nil || got.URL != s.URL+"/you/project/pulls/7" {
		t.Error(got, err)
	}
}

func TestFindAsksNothingWithoutATokenOrAProgram(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("[]")) })
	if got, err := Find(t.Context(), "127.0.0.1/you/project", "b", time.Time{}, s.only(gitea, "")); got != nil || !errors.Is(err, ErrUnasked) || len(s.asked) > 0 {
		t.Error(got, err, s.asked)
	}
	_, env := program(t, "gh", `echo '[{"number":7,"state":"open","head":{"ref":"b","repo":{"full_name":"you/project"}}}]'`)
	if got, err := Find(t.Context(), "github.com/you/project", "b", time.Time{}, env); err != nil || got == nil || got.Status != Open {
		t.Error(got, err)
	}
}
