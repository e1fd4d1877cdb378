package forge

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestForgeBelowAPathOrWithItsAPIElsewhereIsAskedWhereItIsSaid(t *testing.T) {
	for name, test := range map[string]struct{ page, api, asked string }{
		"gitea":  {"/git/you/project/pulls/7", "/git/api/v1", "/git/api/v1/repos/you/project/pulls"},
		"gitlab": {"/lab/you/deep/project/-/merge_requests/7", "/lab/api/v4/", "/lab/api/v4/projects/you%2Fdeep%2Fproject/merge_requests"},
		"github": {"/you/project/pull/7", "/x/v3", "/x/v3/repos/you/project/pulls"},
	} {
		f := forges[name]
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/7") {
				_, _ = w.Write(file(t, name+"_merged.json"))
				return
			}
			_, _ = w.Write([]byte("[]"))
		})
		host := strings.TrimPrefix(s.URL, "http://")
		env := append(s.only(f.kind, secret), "FORGE_API=other.example.com=https://api.example.com "+host+"="+s.URL+test.api)
		if got, err := State(t.Context(), s.URL+test.page, env); got != Merged || err != nil {
			t.Errorf("%s: %s, %v", name, got, err)
		}
		repo, _, _ := strings.Cut(strings.Split(test.page, "/-/")[0], "/pull")
		if _, err := Find(t.Context(), host+repo, "b", time.Time{}, env); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if len(s.asked) != 2 || s.asked[0] != test.asked+"/7" || !strings.HasPrefix(s.asked[1], test.asked+"?") || s.tokens[0] != f.token {
			t.Errorf("%s: asked %q with %q", name, s.asked, s.tokens)
		}
	}
}

func TestRequestBelowAPathHasItInItsURL(t *testing.T) {
	env := []string{"FORGE_API=example.com=https://example.com/git/api/v1"}
	r, err := at("example.com", "Git/you/.github", env)
	if r.number = 3; err != nil || r.url() != "https://example.com/git/you/.github/pulls/3" {
		t.Error(r, err)
	}
	for _, url := range []string{"https://example.com/you/project/pulls/3", "https://example.com/gitx/you/project/pulls/3", "https://example.com/git/../you/project/pulls/3"} {
		if got, err := State(t.Context(), url, env); got != Unknown || err == nil {
			t.Errorf("%s: %s, %v", url, got, err)
		}
	}
}

func TestPIThatCannotBeReadIsSaidAndNotRepeated(t *testing.T) {
	for _, value := range []string{secret, "example.com=" + secret, "example.com=ftp://" + secret + ".example.com/api/v1", "example.com=https://x/../" + secret,
		"example.com=https://user:" + secret + "@x/", "=https://" + secret, "example.com=https://x/api?" + secret} {
		got, err := State(t.Context(), "https://example.com/o/r/pulls/1", []string{"FORGE_API=" + value})
		if got != Unknown || err == nil || !strings.Contains(err.Error(), "FORGE_API") || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %s, %v", value, got, err)
		}
	}
}
