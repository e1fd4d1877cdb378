package forge

import (
	"context"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// beyond serves on an address of this machine that is not loopback.
func beyond(t *testing.T, answer http.HandlerFunc) (*server, string) {
	t.Helper()
	s := serve(t, answer)
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		ip, ok := a.(*net.IPNet)
		if !ok || ip.IP.IsLoopback() || ip.IP.To4() == nil {
			continue
		}
		l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", net.JoinHostPort(ip.IP.String(), "0"))
		if err != nil {
			continue
		}
		t.Cleanup(func() { _ = l.Close() })
		go func() { _ = s.Config.Serve(l) }()
		return s, "http://" + l.Addr().String()
	}
	t.Skip("this machine has no address but loopback")
	return nil, ""
}

func TestPlainHTTPBeyondLoopbackIsSpokenOnlyWhereAPersonNamedIt(t *testing.T) {
	s, url := beyond(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/7") {
			_, _ = w.Write(file(t, "gitea_merged.json"))
			return
		}
		_, _ = w.Write([]byte("[]"))
	})
	host := strings.TrimPrefix(url, "http://")
	for name, test := range map[string]struct {
		env   []string
		asked bool
		token string
	}{
		"no word":      {[]string{"GITEA_TOKEN=" + secret}, false, ""},
		"https":        {[]string{"GITEA_URL=https://" + host, "GITEA_TOKEN=" + secret}, false, ""},
		"another port": {[]string{"GITEA_URL=http://" + host + "1", "GITEA_TOKEN=" + secret}, false, ""},
		"another host": {[]string{"FORGE_API=gitea:3000=http://gitea:3000/api/v1"}, false, ""},
		"a token":      {[]string{"GITEA_URL=" + url, "GITEA_TOKEN=" + secret}, true, "token " + secret},
		"no token":     {[]string{"GITEA_URL=" + url}, true, ""},
		"an API":       {[]string{"FORGE_API=" + host + "=" + url + "/api/v1", "GITEA_TOKEN=" + secret}, true, ""},
	} {
		s.asked, s.tokens = nil, nil
		got, err := State(t.Context(), url+"/you/project/pulls/7", test.env)
		if test.asked != (got == Merged && err == nil && slices.Equal(s.tokens, []string{test.token})) {
			t.Errorf("%s: %s, %v, with %q", name, got, err, s.tokens)
		}
		if !test.asked && (len(s.asked) > 0 || err == nil || !strings.Contains(err.Error(), "GITEA_URL") || strings.Contains(err.Error(), secret)) {
			t.Errorf("%s: %v, asked %q", name, err, s.asked)
		}
	}
	if _, err := Find(t.Context(), host+"/you/project", "b", time.Time{}, []string{"GITEA_URL=" + url, "GITEA_TOKEN=" + secret}); err != nil {
		t.Error(err)
	}
}

func TestPIOverHTTPOnTheHostOfItsForgeIsItsScheme(t *testing.T) {
	env := []string{"FORGE_API=gitea:3000=http://gitea:3000/api/v1 git.example.com=http://internal:8080/api/v1"}
	for host, want := range map[string]string{"gitea:3000": "http", "git.example.com": "", "other": ""} {
		if got := Scheme(host, env); got != want {
			t.Errorf("%s: %q", host, got)
		}
	}
	r, err := at("gitea:3000", "o/r", env)
	if r.number = 3; err != nil || r.url() != "http://gitea:3000/o/r/pulls/3" || r.plainly(env) != nil {
		t.Error(r, err)
	}
}

func TestPlainTellsWhatGoesInTheClear(t *testing.T) {
	told, err := Plain([]string{"GITEA_URL=http://gitea:3000/", "FORGEJO_URL=http://localhost:3000", "GH_HOST=git.example.com",
		"FORGE_API=a.example.com=https://a.example.com/x b.example.com=http://b.example.com/x c=http://[::1]:1/"})
	if want := []string{"GITEA_URL names http://gitea:3000", "FORGE_API names http://b.example.com"}; err != nil || !slices.Equal(told, want) {
		t.Errorf("%q, %v", told, err)
	}
	if told, err := Plain([]string{"GITEA_URL=" + secret + "!"}); len(told) > 0 || err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("%q, %v", told, err)
	}
}
