package forge

import (
	"net/url"
	"strings"
	"testing"
)

func TestParseKeepsWhatNamesTheRequest(t *testing.T) {
	for in, want := range map[string]string{
		"https://github.com/o/r/pull/12":                                      "https://github.com/o/r/pull/12",
		"HTTPS://GitHub.com:443/O/R/pull/12/commits/abc?x=1#y":                "https://github.com/O/R/pull/12",
		"https://github.com/o/.github/pull/12/":                               "https://github.com/o/.github/pull/12",
		"https://gitlab.example.com/a/b/c/d/-/merge_requests/3/diffs":         "https://gitlab.example.com/a/b/c/d/-/merge_requests/3",
		"https://git.example.com:3000/o/r/pulls/5/files":                      "https://git.example.com:3000/o/r/pulls/5",
		"http://localhost:3000/o/r/pulls/5":                                   "http://localhost:3000/o/r/pulls/5",
		"http://127.0.0.1:80/o/r/pulls/5":                                     "http://127.0.0.1/o/r/pulls/5",
		"http://[::1]:3000/o/r/pulls/5":                                       "http://[::1]:3000/o/r/pulls/5",
		"https://[2001:DB8::0001]/o/r/pulls/5":                                "https://[2001:db8::1]/o/r/pulls/5",
		"https://xn--bcher-kva.example/o/r/pulls/5":                           "https://xn--bcher-kva.example/o/r/pulls/5",
		"https://github.com/o/r/pull/12?next=https://evil.example@github.com": "https://github.com/o/r/pull/12",
	} {
		if got, err := parse(in); err != nil || got.url() != want {
			t.Errorf("%s: %v, %v", in, got, err)
		}
	}
}

func TestParseRefusesWhatIsNotPlain(t *testing.T) {
	for _, s := range []string{
		"", "github.com/o/r/pull/1", "//github.com/o/r/pull/1", "ssh://github.com/o/r/pull/1", "javascript://github.com/o/r/pull/1",
		"https://user@github.com/o/r/pull/1", "https://github.com@evil.example/o/r/pull/1", "https://github.com:x@evil.example/o/r/pull/1",
		`https://github.com\@evil.example/o/r/pull/1`, `https://evil.example\.github.com/o/r/pull/1`, "https://github.com%2eevil.example/o/r/pull/1",
		"https://github.com%00/o/r/pull/1", "https://github.com./o/r/pull/1", "https://.github.com/o/r/pull/1", "https://github..com/o/r/pull/1",
		"https:///o/r/pull/1", "https://github.com:/o/r/pull/1", "https://github.com:0/o/r/pull/1", "https://github.com:65536/o/r/pull/1",
		"https://github.com:+443/o/r/pull/1", "https://github.com:0443/o/r/pull/1", "https://github.com:443:443/o/r/pull/1",
		"https://2130706433/o/r/pull/1", "https://127.1/o/r/pull/1", "https://0x7f.0.0.1/o/r/pull/1", "https://0x7f000001/o/r/pull/1", "https://127.0.0.01/o/r/pull/1",
		"https://::1/o/r/pull/1", "https://[::1/o/r/pull/1", "https://[::1]x/o/r/pull/1", "https://[fe80::1%25eth0]/o/r/pull/1", "https://[::ffff:127.0.0.1]/o/r/pull/1", "https://[127.0.0.1]/o/r/pull/1",
		"https://gіthub.com/o/r/pull/1", "https://github。com/o/r/pull/1", "https://git\u200bhub.com/o/r/pull/1",
		"https://github.com/o/r/pull/1\n", "https://github.com/o/r\r\nX-Y: z/pull/1", "https://github.com/o/\x1b[2J/pull/1", "https://github.com/o/r pull/1", "https://github.com/o/r/pull/1\x00",
		"https://github.com/../r/pull/1", "https://github.com/o/../pull/1", "https://github.com/o/./pull/1", "https://github.com//r/pull/1", "https://github.com/o/%2e%2e/pull/1", "https://github.com/o%2fx/r/pull/1", "https://github.com/o;x/r/pull/1",
		"https://github.com/o/r/pull/", "https://github.com/o/r/pull/0", "https://github.com/o/r/pull/-1", "https://github.com/o/r/pull/01", "https://github.com/o/r/pull/1x", "https://github.com/o/r/pull/+1", "https://github.com/o/r/pull/99999999999999999999",
		"https://github.com/o/r/issues/1", "https://github.com/o/pull/1", "https://github.com/a/o/r/pull/1", "https://github.com/o/r?/pull/1", "https://github.com/o/r#/pull/1", "https://github.com/o/r/pull/1?a\nb", "https://github.com/o/r/pull/1#\x1b[2J", "https://github.com/o/r/pull/1/гит",
		"https://gitlab.com/o/-/merge_requests/1", "https://gitlab.com/o/r/merge_requests/1", "https://gitlab.com/o/r/-/pull/1", "https://gitlab.com/-/o/r/-/merge_requests/1", "https://gitlab.com/o/../r/-/merge_requests/1",
		"https://" + strings.Repeat("a", 64) + ".com/o/r/pull/1", "https://github.com/o/r/pull/1?" + strings.Repeat("x", maxURL),
	} {
		if r, err := parse(s); err == nil {
			t.Errorf("%q: %v", s, r)
		} else if strings.ContainsAny(err.Error(), "\n\r\x1b\x00") || len(err.Error()) > 4*maxQuoted+100 {
			t.Errorf("%q", err)
		}
	}
}

// Whatever a URL looks like, a token goes only to the place that it is for. That holds for the place that package net/url reads in
// the URL, and for the place that this package reads.
func FuzzATokenGoesNowhereElse(f *testing.F) {
	for _, s := range []string{
		"https://github.com/o/r/pull/1", "https://gitlab.example.com/a/b/c/-/merge_requests/1", "https://git.example.com:3000/o/r/pulls/1",
		"http://127.0.0.1:8080/o/r/pulls/1", "https://github.com@evil.example/o/r/pull/1", "https://evil.example#@github.com/o/r/pull/1",
		`https://evil.example\@github.com/o/r/pull/1`, "https://github.com:443@evil.example/o/r/pull/1", "https://[::1]/o/r/pull/1", "https://github.com/o/../r/pull/1",
		"https://github.com./o/r/pull/1", "http://github.com/o/r/pull/1", "https://GITHUB.com/o/r/pull/1", "https://github.com:4430/o/r/pull/1",
	} {
		f.Add(s)
	}
	env := []string{"GH_TOKEN=hub", "GH_HOST=ghe.example.com", "GH_ENTERPRISE_TOKEN=ghe", "GITLAB_HOST=gitlab.example.com", "GITLAB_TOKEN=lab",
		"GITEA_URL=https://git.example.com:3000", "GITEA_TOKEN=tea", "FORGEJO_URL=http://127.0.0.1:8080", "FORGEJO_TOKEN=local"}
	places := map[string][2]string{"hub": {"https://api.github.com", "https://github.com"}, "ghe": {"https://ghe.example.com", ""}, "lab": {"https://gitlab.example.com", ""},
		"tea": {"https://git.example.com:3000", ""}, "local": {"http://127.0.0.1:8080", ""}}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := parse(s)
		if err != nil {
			return
		}
		if again, err := parse(r.url()); err != nil || again != r {
			t.Fatalf("%q is %v and again %v, %v", s, r, again, err)
		}
		token, err := r.token(env)
		if err != nil {
			t.Fatal(err)
		}
		q, err := r.question(t.Context(), r.forge.one(r), token.value)
		if err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		if q.URL.User != nil || q.URL.RawQuery != "" || strings.Contains(q.URL.Path, "/../") || q.Host != q.URL.Host {
			t.Fatalf("%q asks for %s", s, q.URL)
		}
		if q.URL.Scheme == "http" && r.plainly(env) == nil {
			if _, ok := map[string]bool{"localhost": true, "::1": true}[q.URL.Hostname()]; !ok && !strings.HasPrefix(q.URL.Hostname(), "127.") {
				t.Fatalf("%q asks for %s", s, q.URL)
			}
		}
		if token.value == "" {
			return
		}
		to, page := places[token.value][0], places[token.value][1]
		if page == "" {
			page = to
		}
		if q.URL.Scheme+"://"+q.URL.Host != to {
			t.Fatalf("%q: the token of %s goes to %s", s, to, q.URL)
		}
		u, err := url.Parse(s)
		if err != nil {
			t.Fatalf("%q got a token, and is no URL: %v", s, err)
		}
		port := u.Port()
		if port != "" && port != "443" {
			port = ":" + port
		} else {
			port = ""
		}
		if got := u.Scheme + "://" + strings.ToLower(u.Hostname()) + port; got != page || u.User != nil {
			t.Fatalf("%q is %s for others, and got the token of %s", s, got, to)
		}
	})
}
