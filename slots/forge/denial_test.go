package forge

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// The error names the variable that is missing. With that variable the token goes there.
func TestMissingVariableIsNamed(t *testing.T) {
	for _, test := range []struct{ url, env, why, set string }{
		{"https://github.com/o/r/pull/1", "", "GH_TOKEN is missing in env/default.env", "GH_TOKEN=…"},
		{"https://github.com/o/r/pull/1", "GH_HOST=git.example.com GH_ENTERPRISE_TOKEN=a", "GH_TOKEN is missing in env/default.env", "GH_TOKEN=…"},
		{"https://git.example.com/o/r/pull/1", "GH_TOKEN=a", "GH_HOST=git.example.com and GH_ENTERPRISE_TOKEN are missing in env/default.env", "GH_HOST=git.example.com GH_ENTERPRISE_TOKEN=…"},
		{"https://git.example.com/o/r/pull/1", "GITHUB_ENTERPRISE_TOKEN=a", "GITHUB_ENTERPRISE_TOKEN is set, and GH_HOST=git.example.com is missing in env/default.env", "GH_HOST=git.example.com"},
		{"https://git.example.com/o/r/pull/1", "GH_HOST=git.example.com", "GH_ENTERPRISE_TOKEN is missing in env/default.env", "GH_ENTERPRISE_TOKEN=…"},
		{"https://git.example.com/o/r/pull/1", "GH_HOST=other.example.com GH_ENTERPRISE_TOKEN=a", "GH_HOST in env/default.env names another host", ""},
		{"https://acme.ghe.com/o/r/pull/1", "GH_TOKEN=a", "GH_TOKEN is set, and GH_HOST=acme.ghe.com is missing", "GH_HOST=acme.ghe.com"},
		{"https://gitlab.com/o/r/-/merge_requests/1", "", "GITLAB_TOKEN is missing in env/default.env", "GITLAB_TOKEN=…"},
		{"https://gitlab.com/o/r/-/merge_requests/1", "GITLAB_HOST=git.example.com GITLAB_TOKEN=a", "GITLAB_HOST in env/default.env names another host, and GITLAB_TOKEN goes there alone", ""},
		{"https://git.example.com/o/r/-/merge_requests/1", "GITLAB_TOKEN=a", "GITLAB_TOKEN is set, and GITLAB_HOST=git.example.com is missing", "GITLAB_HOST=git.example.com"},
		{"https://git.example.com/o/r/-/merge_requests/1", "", "GITLAB_HOST=git.example.com and GITLAB_TOKEN are missing", "GITLAB_HOST=git.example.com GITLAB_TOKEN=…"},
		{"https://git.example.com/o/r/pulls/1", "GITEA_TOKEN=a", "GITEA_TOKEN is set, and GITEA_URL=https://git.example.com is missing in env/default.env", "GITEA_URL=https://git.example.com"},
		{"http://127.0.0.1:3000/o/r/pulls/1", "GITEA_TOKEN=a", "GITEA_TOKEN is set, and GITEA_URL=http://127.0.0.1:3000 is missing", "GITEA_URL=http://127.0.0.1:3000"},
		{"https://git.example.com/o/r/pulls/1", "FORGEJO_TOKEN=a", "FORGEJO_TOKEN is set, and FORGEJO_URL=https://git.example.com is missing", "FORGEJO_URL=https://git.example.com"},
		{"https://git.example.com/o/r/pulls/1", "FORGEJO_URL=git.example.com GITEA_TOKEN=a", "FORGEJO_TOKEN is missing", "FORGEJO_TOKEN=…"},
		{"https://git.example.com/o/r/pulls/1", "GITEA_URL=other.example.com GITEA_TOKEN=a", "FORGEJO_URL=https://git.example.com and FORGEJO_TOKEN are missing", "FORGEJO_URL=https://git.example.com FORGEJO_TOKEN=…"},
		{"https://codeberg.org/o/r/pulls/1", "", "GITEA_URL=https://codeberg.org and GITEA_TOKEN are missing", "GITEA_URL=https://codeberg.org GITEA_TOKEN=…"},
	} {
		r, err := parse(test.url)
		if err != nil {
			t.Fatal(err)
		}
		env := strings.Fields(test.env)
		got := r.lack(env)
		if !strings.HasPrefix(got.why, test.why) || strings.Join(got.set, " ") != test.set {
			t.Errorf("%s with %q: %q, %q", test.url, test.env, got.why, got.set)
		}
		if token, err := r.token(append(env, got.set...)); test.set != "" && (token.value == "" || err != nil) {
			t.Errorf("%s with %q and %q: %v, %v", test.url, test.env, got.set, token, err)
		}
	}
}

func TestRefusalSaysWhatAPersonCanDo(t *testing.T) {
	const file = "/env/default.env"
	for name, test := range map[string]struct {
		kind              string
		code              int
		body              string
		token             bool
		header            [2]string
		why, said, remedy string
	}{
		"not valid":   {kind: "gitea", code: 401, body: `{"message": "user does not exist"}`, token: true, why: "status 401: GITEA_TOKEN is not valid", said: "user does not exist", remedy: "put a new token into " + file + " as GITEA_TOKEN"},
		"no right":    {kind: "gitea", code: 403, body: `{"message": "token scope=read:user"}`, token: true, why: "status 403: GITEA_TOKEN is valid, and lacks a right: it takes read:repository", said: "token scope=read:user", remedy: "give the token the right read:repository for this repository, or put one that has it into " + file + " as GITEA_TOKEN"},
		"no scope":    {kind: "gitlab", code: 403, body: `{"error": "insufficient_scope", "error_description": "It \"requires\" more.\u001b[31m\n"}`, token: true, why: "status 403: GITLAB_TOKEN is valid, and lacks a right: it takes read_api", said: "It 'requires' more."},
		"no words":    {kind: "github", code: 403, body: `<html>`, token: true, why: `status 403: GH_ENTERPRISE_TOKEN is valid, and lacks a right: it takes "Pull requests: read" (of a classic token: repo)`},
		"an object":   {kind: "gitlab", code: 403, body: `{"message": {"base": ["no"]}}`, token: true, why: "status 403: GITLAB_TOKEN is valid"},
		"private":     {kind: "github", code: 404, body: `{"message": "Not Found"}`, token: true, why: "status 404: there is no such request, or GH_ENTERPRISE_TOKEN may not see it: it takes ", said: "Not Found"},
		"not asked":   {kind: "gitea", code: 401, why: "status 401: it wants a token: GITEA_TOKEN is missing in env/default.env", remedy: "put GITEA_TOKEN=… into " + file},
		"not seen":    {kind: "gitlab", code: 404, why: "status 404: there is no such request, or it takes a token to see it: GITLAB_TOKEN is missing in env/default.env"},
		"its token":   {kind: "gitea", code: 401, body: `{"message": "you sent ` + secret + `"}`, token: true, why: "status 401: GITEA_TOKEN is not valid"},
		"a part":      {kind: "gitea", code: 401, body: `{"message": "you sent ` + strings.ToUpper(secret[:9]) + `"}`, token: true, why: "status 401: GITEA_TOKEN is not valid"},
		"long":        {kind: "gitea", code: 401, body: `{"message": "` + strings.Repeat("long ", 100) + `"}`, token: true, why: "status 401: GITEA_TOKEN is not valid", said: strings.Repeat("long ", 20)},
		"limit":       {kind: "github", code: 403, token: true, header: [2]string{"X-RateLimit-Remaining", "0"}},
		"limit anew":  {kind: "github", code: 403, body: `{"message": "You have exceeded a secondary rate limit."}`, token: true},
		"limit said":  {kind: "github", code: 403, body: `{"message": "API rate limit exceeded for 203.0.113.1."}`},
		"too many":    {kind: "gitlab", code: 429, token: true},
		"unavailable": {kind: "gitea", code: 503, token: true, why: "127.0.0.1:", remedy: "see that this machine reaches it, and that " + file + " names it well"},
	} {
		f := forges[test.kind]
		s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			if test.header[0] != "" {
				w.Header().Set(test.header[0], test.header[1])
			}
			w.WriteHeader(test.code)
			_, _ = w.Write([]byte(test.body))
		})
		token := ""
		if test.token {
			token = secret
		}
		_, err := State(t.Context(), s.URL+f.page, s.only(f.kind, token))
		d := DenialOf(err)
		if err == nil || strings.Contains(strings.ToLower(err.Error()), secret[:9]) || (d == nil) != (test.why == "") {
			t.Errorf("%s: %+v, %v", name, d, err)
			continue
		}
		if d == nil {
			continue
		}
		if !strings.HasPrefix(d.Why, test.why) || !strings.HasPrefix(d.Said, test.said) || test.said == "" && d.Said != "" || len(d.Said) > maxSaid+len("…") || strings.ContainsAny(d.Said, "\x1b\n\"") {
			t.Errorf("%s: %q, %q", name, d.Why, d.Said)
		}
		if d.Unanswered != (test.code == 503) {
			t.Errorf("%s: %+v", name, d)
		}
		if d.Said != "" && !strings.HasSuffix(err.Error(), d.Why+`; the forge says "`+d.Said+`"`) {
			t.Errorf("%s: %v", name, err)
		}
		if got := d.Remedy(file); test.remedy != "" && got != test.remedy {
			t.Errorf("%s: %s", name, got)
		}
		if data, err := json.Marshal(d); err != nil || strings.Contains(string(data), secret) {
			t.Errorf("%s: %s, %v", name, data, err)
		}
	}
}

func TestRightOfAPartThatIsNotShownIsNamed(t *testing.T) {
	for kind, want := range map[string]string{
		"github": `statuses: status 403: GH_ENTERPRISE_TOKEN is valid, and lacks a right: it takes "Commit statuses: read" (of a classic token: repo)`,
		"gitlab": "statuses: status 403: GITLAB_TOKEN is valid, and lacks a right: it takes read_api",
		"gitea":  "statuses: status 403: GITEA_TOKEN is valid, and lacks a right: it takes read:repository",
	} {
		f := quiet(t, kind)
		f.codes[f.the(map[string]string{"github": "/status", "gitlab": "/statuses", "gitea": "/status"}[kind])] = 403
		if rep := f.must(); rep.Denied == nil || rep.Denied.Why != want || len(rep.Unseen) != 1 || !strings.HasPrefix(rep.Unseen[0], want) {
			t.Errorf("%s: %+v, %q", kind, rep.Denied, rep.Unseen)
		}
	}
}

func TestTokenIsTriedByOneQuestion(t *testing.T) {
	for name, f := range forges {
		code := 200
		s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			fmt.Fprint(w, "[]")
		})
		if variable, err := Try(t.Context(), "127.0.0.1/you/project", s.only(f.kind, secret)); variable != tokenOf[name] || err != nil || len(s.asked) != 1 {
			t.Errorf("%s: %q, %v, %q", name, variable, err, s.asked)
		}
		code = 401
		if _, err := Try(t.Context(), "127.0.0.1/you/project", s.only(f.kind, secret)); DenialOf(err) == nil {
			t.Errorf("%s: %v", name, err)
		}
		if variable, err := Try(t.Context(), "127.0.0.1/you/project", s.only(f.kind, "")); variable != "" || err != nil || len(s.asked) != 2 {
			t.Errorf("%s without a token: %q, %v, %q", name, variable, err, s.asked)
		}
	}
	if variable, err := Try(t.Context(), "host.invalid/you/project", []string{"GITEA_TOKEN=" + secret}); variable != "" || err != nil {
		t.Error(variable, err)
	}
}

func TestTokenWithoutItsHostIsNamed(t *testing.T) {
	got := Unplaced([]string{"GITEA_TOKEN=a", "FORGEJO_TOKEN=b", "FORGEJO_URL=git.example.com", "GITLAB_TOKEN=c", "GH_TOKEN=d"})
	if len(got) != 1 || got[0].Why != "GITEA_TOKEN is set, and GITEA_URL is not: the token goes to no host" || got[0].Remedy("f") != "put GITEA_URL=https://… into f" {
		t.Errorf("%+v", got)
	}
}
