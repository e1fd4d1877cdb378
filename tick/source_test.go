package tick

import (
	"os"
	"path/filepath"
	"testing"

	"kugetsu/queue/issueref"
)

func TestCloneURLHasTheHostsPortAndScheme(t *testing.T) {
	for _, c := range []struct{ ref, template, env, want string }{
		{"https://github.com/a/b/issues/1", "", "", "https://github.com/a/b.git"},
		{"http://github.com/a/b/issues/1", "", "", "https://github.com/a/b.git"},
		{"http://git.example.com:3000/a/b/issues/1", "", "", "http://git.example.com:3000/a/b.git"},
		{"https://git.example.com:3000/a/b/issues/1", "", "", "https://git.example.com:3000/a/b.git"},
		{"git.example.com:3000/a/b#1", "", "", "https://git.example.com:3000/a/b.git"},
		{"git.example.com:3000/a/b#1", "", "GITEA_URL=http://git.example.com:3000/\n", "http://git.example.com:3000/a/b.git"},
		{"gitea:3000/a/b#1", "", "", "http://gitea:3000/a/b.git"},
		{"gitea:3000/a/b#1", "", "GITEA_URL=https://gitea:3000\n", "https://gitea:3000/a/b.git"},
		{"http://gitea/a/b/issues/1", "", "", "http://gitea/a/b.git"},
		{"https://gitea/a/b/issues/1", "", "", "https://gitea/a/b.git"},
		{"[::1]:3000/a/.b#1", "", "", "http://[::1]:3000/a/.b.git"},
		{"127.0.0.1:3000/a/b#1", "", "", "http://127.0.0.1:3000/a/b.git"},
		{"gitea:3000/a/b#1", "git@{host}:{path}.git", "", "git@gitea:a/b.git"},
		{"gitea:3000/a/b#1", "ssh://git@{host}:2222/{path}.git", "", "ssh://git@gitea:2222/a/b.git"},
		{"gitea:3000/a/b#1", "https://{host}/{path}.git", "", "https://gitea:3000/a/b.git"},
	} {
		x := newTick(t, nil)
		x.Settings.CloneURL = "{scheme}://{host}/{path}.git"
		if c.template != "" {
			x.Settings.CloneURL = c.template
		}
		must(t, os.MkdirAll(filepath.Join(string(x.Home), "env"), 0o700))
		must(t, os.WriteFile(filepath.Join(string(x.Home), "env", "default.env"), []byte(c.env), 0o600))
		ref, err := issueref.Parse(c.ref, "github.com")
		must(t, err)
		if url, _, err := x.Origin(ref); url != c.want || err != nil {
			t.Errorf("%s in %s: %s, %v, want %s", c.ref, c.template, url, err, c.want)
		}
	}
}

// What a URL said once holds for every other spelling, and for a clone that is there it says nothing.
func TestSchemeOfAnHTTPURLIsRemembered(t *testing.T) {
	x := newTick(t, nil)
	x.Settings.CloneURL = "{scheme}://{host}/{path}.git"
	said, err := issueref.Parse("http://git.example.com:3000/a/b/issues/1", "")
	must(t, err)
	other, err := issueref.Parse("git.example.com:3000/A/b#2", "")
	must(t, err)
	must(t, x.Remember(said))
	must(t, x.Remember(said))
	if url, _, _ := x.Origin(other); url != "http://git.example.com:3000/A/b.git" || !x.Knows(other) {
		t.Error(url)
	}
	said.Repo, other.Repo = "a/c", "a/c"
	must(t, os.MkdirAll(filepath.Join(string(x.Home), "repos", other.RepoName()+".git"), 0o700))
	must(t, x.Remember(said))
	if url, _, _ := x.Origin(other); url != "https://git.example.com:3000/a/c.git" {
		t.Error(url)
	}
}
