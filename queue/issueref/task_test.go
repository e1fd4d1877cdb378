package issueref

import (
	"strings"
	"testing"
)

func TestForTaskReadsTheRepositoryOfATask(t *testing.T) {
	for in, want := range map[string]string{
		"owner/repo":                      "github.com/owner/repo#deps",
		"GitLab.com/Group/sub/Repo":       "gitlab.com/Group/sub/Repo#deps",
		"gitea:3000/a/.github":            "gitea:3000/a/.github#deps",
		"[::1]:3000/a/b":                  "[::1]:3000/a/b#deps",
		"https://github.com/owner/repo":   "github.com/owner/repo#deps",
		"https://gitea/owner/repo.git":    "gitea/owner/repo#deps",
		"http://localhost:3000/a/b/":      "localhost:3000/a/b#deps",
		"https://gitlab.com/a/b/c/d/e/f/": "gitlab.com/a/b/c/d/e/f#deps",
	} {
		r, err := ForTask(in, "deps", "github.com")
		if err != nil || r.String() != want || r.Number != 0 || r.Branch() != "task/deps" {
			t.Errorf("ForTask(%q) = %s on %s, %v, want %s", in, r, r.Branch(), err, want)
		}
		if back, err := FromSession(r.Session()); err != nil || back.Session() != r.Session() {
			t.Errorf("%s is the session %s, and back %s, %v", r, r.Session(), back, err)
		}
	}
	for in, want := range map[string]string{
		"": "owner/repo", "repo": "owner/repo", "owner/repo#3": "without --repo", "a/b/c": "is not a host", "owner/..": "is not an owner",
		"owner/": "is not an owner", "/owner/repo": "is not a host", "../repo": "is not an owner", "own er/repo": "is not an owner", "owner/repo\n": "is not an owner",
		"git@github.com:owner/repo": "credentials", "https://me:secret@github.com/owner/repo": "credentials", "https://github.com": "owner/repo",
		"https://github.com/owner": "owner/repo", "https://github.com/owner/repo?x": "is not an owner", "https://github.com/ow\u00e9er/repo": "non-ASCII",
		"owner/" + strings.Repeat("r", 200): "longer than 200 bytes",
	} {
		r, err := ForTask(in, "deps", "github.com")
		if err == nil || !strings.Contains(err.Error(), want) || !r.IsZero() || strings.Contains(err.Error(), "secret") || len(err.Error()) > 300 {
			t.Errorf("ForTask(%q) = %s, %v, want %q in the error", in, r, err, want)
		}
	}
}

func TestTaskIsNamedSoThatNoIssueIs(t *testing.T) {
	for _, name := range []string{"a", "deps", "deps-2026", "a-", strings.Repeat("a", 40)} {
		if err := CheckTask(name); err != nil {
			t.Error(err)
		}
		if r, err := Parse("owner/repo#"+name, "github.com"); err != nil || r.Task != name {
			t.Errorf("Parse reads the task %s as %#v, %v", name, r, err)
		}
	}
	for _, name := range []string{"", "1", "12", "1a", "-a", "Deps", "a.b", "a_b", "a/b", "..", "a b", "a\n", "a\x00", "\u00e4", "a@b", "a+b", "a#b", strings.Repeat("a", 41)} {
		if CheckTask(name) == nil {
			t.Errorf("the name %q is taken", name)
		}
		if r, err := Parse("owner/repo#"+name, "github.com"); err == nil && r.Task != "" {
			t.Errorf("Parse reads the task %q as %#v", name, r)
		}
	}
	if a, b := (Ref{Host: "h", Repo: "a/b", Task: "a"}), (Ref{Host: "h", Repo: "a/b", Task: "a-base"}); a.KeptBase() == b.Kept() {
		t.Errorf("the base of %s and the work of %s are kept at one place", a, b)
	}
	if r, err := Parse("https://github.com/owner/repo/issues/deps", "github.com"); err == nil {
		t.Errorf("a URL is that of the task %s", r)
	}
}

func TestTaskWithoutAKeyIsNamedByTheEndOfItsID(t *testing.T) {
	for id, want := range map[string]string{
		"q_01m8k523aw7samenf71kjhazwq": "f71kjhazwq",
		"q_01m8k523aw7samen0f1kjhazwq": "n0f1kjhazwq",
		"q_01m8k523aw7samenaf1kjhazwq": "af1kjhazwq",
		"q_01m8k523aw0000000000000000": "",
		"q_01m8k523awa000000000000000": "a000000000000000",
		"":                             "",
	} {
		if got := TaskOf(id); got != want {
			t.Errorf("TaskOf(%q) = %q, want %q", id, got, want)
		}
	}
}

func TestCheckBranchTakesNoNameThatMeansAnythingElse(t *testing.T) {
	issue, task := Ref{Host: "h", Repo: "a/b", Number: 12}, Ref{Host: "h", Repo: "a/b", Task: "deps"}
	for _, name := range []string{"feature", "feature/x", "fix/issue-12", "v1.2_x-y", "fix/issue-x", "task/9", strings.Repeat("a", maxBranch)} {
		if err := issue.CheckBranch(name); err != nil {
			t.Error(err)
		}
	}
	if err := task.CheckBranch("task/deps"); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"", "/a", "a/", "a//b", "-a", "a/-b", ".a", "a/.b", "a..b", "a.", "a./b", "a.lock", "a.LOCK/b", "a b", "a~1", "a^", "a:b", "a?", "a*",
		"a[", "a\\b", "a@{1}", "@", "a\x00", "a\n", "\u00e4", "HEAD", "head", "a/HEAD", "refs/heads/a", "Refs/x", "fix/issue-13", "Fix/Issue-13", "task/other", strings.Repeat("a", maxBranch+1)} {
		if err := issue.CheckBranch(name); err == nil || len(err.Error()) > 300 || strings.ContainsAny(err.Error(), "\n\x00") {
			t.Errorf("the branch %q of an issue: %v", name, err)
		}
	}
	if task.CheckBranch("fix/issue-12") == nil || task.CheckBranch("task/other") == nil {
		t.Error("a task takes the branch of another one")
	}
}
