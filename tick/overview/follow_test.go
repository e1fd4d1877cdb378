package overview

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kugetsu/queue"
	"kugetsu/queue/outcome"
	"kugetsu/slots"
)

// followed gives issue n a session with a last item, which ended, and with the record of its request.
func (f *folder) followed(n int, item, record string) {
	f.Helper()
	name := fmt.Sprintf("github.com+you+shop@%d", n)
	url := fmt.Sprintf("https://github.com/you/shop/pull/%d", 50+n)
	f.must(f.Home.WriteSession(name, &slots.Session{Type: "forked", IssueRef: fmt.Sprintf("github.com/you/shop#%d", n), Agent: "command", Branch: "fix/issue-1",
		Worktree: f.Home.Worktree(name), PRURL: url, LastItem: item}))
	f.must(os.WriteFile(filepath.Join(f.Home.Reviews(), name+".json"), fmt.Appendf(nil, `{"url": %q, "state": "open", "asked_at": "2026-04-05T12:00:00Z", "followed": %s}`, url, record), 0o600))
}

func TestFollowedRequestsStandWhereAPersonLooksForThem(t *testing.T) {
	f := newFolder(t)
	e, it := f.enqueue(1, "do it")
	f.settle(e, it, verified())
	f.followed(1, it.ID, `{"head": "a", "ci": "failed", "failed": ["test"], "changes_requested": 1}`)
	f.followed(2, "", `{"head": "b", "ci": "passed", "approvals": 2, "ready": true}`)
	f.followed(3, "", `{"head": "c", "ci": "failed", "failed": ["a", "b", "c", "d"], "needs": {"at": "2026-04-05T12:00:00Z", "why": "CI failing: a", "made": 3}}`)
	o := f.read()
	if len(o.Ready) != 1 || o.Ready[0].Strip != "PR #52 open, CI passed, approved by 2, ready to merge" {
		t.Errorf("ready: %+v", o.Ready)
	}
	strips := map[string]string{}
	for _, r := range o.Review {
		strips[r.Ref] = r.Strip
	}
	if got := strips["github.com/you/shop#1"]; len(strips) != 2 || got != "agent ok · verified · PR #51 open, CI failing: test, changes requested by 1" {
		t.Errorf("%q", strips)
	}
	if got := strips["github.com/you/shop#3"]; got != "PR #53 open, CI failing: a, b, c and 1 more, needs a person" {
		t.Errorf("%q", got)
	}
	const want = "needs_human | github.com/you/shop#3: PR #53 needs a person | CI failing: a, after 3 tasks of it (FOLLOW_MAX) | kugetsu continue github.com/you/shop#3 \"…\"\n"
	if got := shown(o); !strings.Contains(got, want) || o.Healthy {
		t.Errorf("%s", got)
	}
}

func TestNeedOfARequestThatItsLastTaskDidNotHelpSaysWhich(t *testing.T) {
	f := newFolder(t)
	f.followed(3, "", `{"head": "c", "ci": "failed", "failed": ["a"], "needs": {"at": "2026-04-05T12:00:00Z", "why": "CI is still failing: a, and its agent pushed nothing (task q_1)", "made": 0, "item": "q_1"}}`)
	const want = "needs_human | github.com/you/shop#3: PR #53 needs a person | CI is still failing: a, and its agent pushed nothing (task q_1) | kugetsu continue github.com/you/shop#3 \"…\"\n"
	if o := f.read(); !strings.Contains(shown(o), want) || o.Healthy {
		t.Errorf("%s", shown(o))
	}
}

func verified() (r queue.Result) {
	r = ended(outcome.OK, "done")
	r.Verification = &outcome.Verification{Command: "make test"}
	return r
}

func TestCommitsThatNoRequestShowsAreToLookAt(t *testing.T) {
	f := newFolder(t)
	for n, url := range map[int]string{1: "", 2: "https://github.com/you/shop/pull/52"} {
		e, it := f.enqueue(n, "do it")
		r := ended(outcome.OK, "done")
		r.Changes = &outcome.Changes{To: "abc", Commits: 2, Subjects: []string{"Count the pears", "Mend the basket"}}
		f.settle(e, it, r)
		name := fmt.Sprintf("github.com+you+shop@%d", n)
		f.must(f.Home.WriteSession(name, &slots.Session{Type: "forked", IssueRef: it.IssueRef, Agent: "command", Branch: "fix", Worktree: f.Home.Worktree(name), PRURL: url, LastItem: it.ID}))
	}
	o := f.read()
	got := shown(o)
	const want = "unpushed | github.com/you/shop#1 has 2 new commits, and no pull request is known | kugetsu set-pr github.com/you/shop#1 URL tells of one; Count the pears; Mend the basket | kugetsu show q_"
	if len(o.Needs) != 1 || !strings.Contains(got, want) || !o.Healthy {
		t.Errorf("%s", got)
	}

	f.must(os.WriteFile(filepath.Join(f.Home.Reviews(), "github.com+you+shop@1.json"), []byte(`{"url": "", "state": "unknown", "asked_at": "2026-04-05T12:00:00Z", "why": "github.com: status 502: it did not answer"}`), 0o600))
	const silent = "unpushed | github.com/you/shop#1 has 2 new commits, and the forge did not say whether there is a pull request | github.com: status 502: it did not answer; kugetsu set-pr "
	if got := shown(f.read()); !strings.Contains(got, silent) {
		t.Errorf("%s", got)
	}
}

// The count is that of the branch, over all its runs, as kugetsu list has it.
func TestCommitsToLookAtAreThoseOfTheBranch(t *testing.T) {
	type run struct{ commits, ahead int } // ahead -1: not known
	for name, test := range map[string]struct {
		runs []run // of one item each, the oldest first
		want string
	}{
		"two items":              {[]run{{2, 2}, {1, 3}}, "has 3 new commits,"},
		"a question behind":      {[]run{{2, 2}, {0, 2}}, "has 2 new commits,"},
		"a retry that had none":  {[]run{{0, 2}}, "has 2 new commits,"},
		"of an older version":    {[]run{{2, -1}, {1, -1}}, "has 1 new commit,"},
		"merged meanwhile":       {[]run{{2, 2}, {0, 0}}, ""},
		"a squash":               {[]run{{3, 3}, {1, 1}}, "has 1 new commit,"},
		"nothing was ever made":  {[]run{{0, 0}}, ""},
		"an older one knew them": {[]run{{2, 2}, {0, -1}}, "has 2 new commits,"},
	} {
		f := newFolder(t)
		for _, r := range test.runs {
			e, it := f.enqueue(1, "do it")
			res := ended(outcome.OK, "done")
			res.Changes = &outcome.Changes{To: "abc", Commits: r.commits}
			if r.ahead >= 0 {
				res.Changes.Ahead = &r.ahead
			}
			f.settle(e, it, res)
			f.must(f.Home.WriteSession("github.com+you+shop@1", &slots.Session{Type: "forked", IssueRef: it.IssueRef, Agent: "command", Branch: "fix", Worktree: f.Home.Worktree("github.com+you+shop@1"), LastItem: it.ID}))
		}
		got := shown(f.read())
		if test.want == "" && strings.Contains(got, "unpushed") || test.want != "" && (strings.Count(got, "unpushed") != 1 || !strings.Contains(got, test.want)) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestWorkOfARunSaysWhatIsOnItsBranch(t *testing.T) {
	three, one := 3, 1
	for want, c := range map[string]outcome.Changes{
		"1 commit (3 on the branch)": {Commits: 1, Ahead: &three}, "1 commit": {Commits: 1, Ahead: &one}, "2 commits": {Commits: 2}, "no changes": {Ahead: &three},
	} {
		if got := Work(outcome.Evidence{Changes: &c}); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}
