package issueref

import (
	"strings"
	"testing"
)

func TestPullRequestIsTheLastOneOfTheIssuesRepository(t *testing.T) {
	github := Ref{Host: "github.com", Repo: "you/project", Number: 7}
	gitlab := Ref{Host: "gitlab.example.org", Repo: "group/sub/project", Number: 7}
	for _, c := range []struct {
		text string
		ref  Ref
		want string
	}{
		{"", github, ""},
		{"Opened https://github.com/you/project/pull/12.", github, "https://github.com/you/project/pull/12"},
		{"opened https://github.com/you/project/pull/12, then created **https://github.com/you/project/pull/13/files#diff**", github, "https://github.com/you/project/pull/13"},
		{"[PR](https://GitHub.com/You/Project/pull/12?x=1)", github, "https://GitHub.com/You/Project/pull/12"},
		{"see https://github.com/you/project/issues/12", github, ""},
		{"Done. I opened https://github.com/you/project/pull/57, in the style of https://github.com/you/project/pull/40, which added the same.", github, "https://github.com/you/project/pull/57"},
		{"I looked at https://github.com/you/project/pull/40 for how it was done. No change was needed.", github, ""},
		{"\n\nThe parser is fixed; see https://github.com/you/project/pull/31", github, "https://github.com/you/project/pull/31"},
		{"Fixed (see https://github.com/you/project/pull/31).", github, "https://github.com/you/project/pull/31"},
		{"See https://github.com/you/project/pull/40 and https://github.com/you/project/pull/41", github, ""},
		{"It is already fixed; see https://github.com/you/project/pull/40", github, ""},
		{"Opened nothing. See https://github.com/you/project/pull/40", github, ""},
		{"https://github.com/you/project/pull/40", github, ""},
		{"A PR was not opened, since it is in https://github.com/you/project/pull/40", github, ""},
		{"I've opened a pull request: https://github.com/you/project/pull/57", github, "https://github.com/you/project/pull/57"},
		{"Draft PR #57 is now up at https://github.com/you/project/pull/57.", github, "https://github.com/you/project/pull/57"},
		{"**Pull request:** https://github.com/you/project/pull/57", github, "https://github.com/you/project/pull/57"},
		{"Opened http://git.lan:3000/a/b/pulls/5", Ref{Host: "git.lan:3000", Repo: "a/b", Number: 1}, "http://git.lan:3000/a/b/pulls/5"},
		{"Opened http://git.lan:4000/a/b/pulls/5", Ref{Host: "git.lan:3000", Repo: "a/b", Number: 1}, ""},
		{"create one at https://github.com/you/project/pull/new/fix/issue-7", github, ""},
		{"https://github.com/you/project-2/pull/12 https://github.com/they/project/pull/1", github, ""},
		{"https://evil.org/github.com/you/project/pull/12", github, ""},
		{"https://token@github.com/you/project/pull/12", github, ""},
		{"Opened https://github.com/you/project/pull/12\x1b[31m", github, "https://github.com/you/project/pull/12"},
		{"PR:https://github.com/you/project/pull/12", github, "https://github.com/you/project/pull/12"},
		{"https://github.com/you/project/pull/0 https://github.com/you/project/pull/1x", github, ""},
		{"Created http://gitlab.example.org:8080/group/sub/project/-/merge_requests/3/diffs", gitlab, "http://gitlab.example.org:8080/group/sub/project/-/merge_requests/3"},
		{"https://gitlab.example.org/group/sub/-/merge_requests/3", gitlab, ""},
		{"PR is at https://git.example.org/you/project/pulls/4", Ref{Host: "git.example.org", Repo: "you/project", Number: 1}, "https://git.example.org/you/project/pulls/4"},
	} {
		if got := FindPull(c.text, c.ref); got != c.want {
			t.Errorf("FindPull(%q, %v) = %q, want %q", c.text, c.ref, got, c.want)
		}
	}
}

func TestURLOfAPullRequestIsPlain(t *testing.T) {
	for _, bad := range []string{"", "ftp://host/1", "https://", "https:///x", "https://host/a b", "https://host/\x1b[1m", "https://hóst/1",
		"https://user:secret@host/1", "javascript:alert(1)", "https://host/" + strings.Repeat("x", maxURL)} {
		if err := CheckURL(bad); err == nil {
			t.Errorf("%q was taken", bad)
		} else if strings.Contains(err.Error(), "secret") || strings.ContainsRune(err.Error(), '\x1b') {
			t.Errorf("%q: the error shows %q", bad, err)
		}
	}
	for _, good := range []string{"https://github.com/you/project/pull/12", "http://localhost:3000/x/y/pulls/1", "HTTPS://review.example.org/c/1234"} {
		if err := CheckURL(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
}
