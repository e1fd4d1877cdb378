package intake

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// fails is an agent whose runs fail once, with words that stand in no comment.
const fails = "echo a secret of the agent; exit 3"

func TestIssueIsToldOnceOfItsItemItsRequestAndItsNeed(t *testing.T) {
	for _, kind := range []string{"github", "gitlab", "gitea"} {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t, kind, issue{n: 1, title: "one", labels: yes})
			w.intake(0)
			if w.said(1) != nil {
				t.Errorf("nothing was asked for, and the issue says %q", w.said(1))
			}
			w.forgotten()
			w.intake(0, "INTAKE_COMMENTS=yes")
			id := w.items()[0].ID
			want := []string{"kugetsu has queued this issue as `" + id + "`."}
			if !slices.Equal(w.said(1), want) {
				t.Errorf("the issue says %q, want %q", w.said(1), want)
			}
			kugetsu := filepath.Join(w.dir, "bin", "kugetsu")
			w.run(1, []string{"AGENT_COMMAND=sh -c '" + fails + "'", "MAX_ATTEMPTS=1", "AGENT_MEMORY=0", "GIT_CLONE_URL=" + w.repository()}, kugetsu, "tick", "--drain")
			ref := w.items()[0].IssueRef
			pull := map[string]string{"github": "/pull/7", "gitlab": "/-/merge_requests/7", "gitea": "/pulls/7"}[kind]
			w.run(0, nil, kugetsu, "set-pr", ref, "https://"+w.host+"/you/project"+pull)
			for range 2 {
				w.intake(0, "INTAKE_COMMENTS=yes")
			}
			want = append(want, "kugetsu works on this issue in https://"+w.host+"/you/project"+pull,
				"kugetsu needs a person here: "+ref+" failed. `kugetsu show "+id+"`")
			if !slices.Equal(w.said(1), want) {
				t.Errorf("the issue says %q, want %q", w.said(1), want)
			}
		})
	}
}

// A run that is killed leaves what it had begun. Whether the comment was made by then, the issue says: it is made once either way.
func TestCommentThatWasCutOffIsMadeOnce(t *testing.T) {
	for _, kind := range []string{"github", "gitlab", "gitea"} {
		for _, mute := range []string{"lost", "unanswered"} {
			if mute == "lost" && kind != "github" {
				continue // what asks is the same for all
			}
			w := newWorld(t, kind, issue{n: 1, title: "one", labels: yes})
			w.notes = map[int][]string{1: {"a", "b", "c", "d", "e"}} // on more pages than one
			w.mute = mute
			if _, stderr := w.intake(1, "INTAKE_COMMENTS=yes"); !strings.Contains(stderr, "you/project#1: no comment could be made; it is tried again in five minutes\n") {
				t.Errorf("%s, %s: %q", kind, mute, stderr)
			}
			w.mute = ""
			w.intake(0, "INTAKE_COMMENTS=yes") // another run may be at it
			before := len(w.said(1))
			begun, err := filepath.Glob(filepath.Join(w.dir, ".local/state/kugetsu-intake/*.said/1.queued.*"))
			if err != nil || len(begun) != 1 || strings.HasSuffix(begun[0], ".done") {
				t.Fatalf("%s, %s: %q, %v", kind, mute, begun, err)
			}
			long := time.Now().Add(-time.Hour)
			if err := os.Chtimes(begun[0], long, long); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				w.intake(0, "INTAKE_COMMENTS=yes")
			}
			if want := map[string]int{"lost": 5, "unanswered": 6}[mute]; before != want || len(w.said(1)) != 6 {
				t.Errorf("%s, %s: %d comments, then %d: %q", kind, mute, before, len(w.said(1)), w.said(1))
			}
		}
	}
}

func TestIssueThatDoesNotShowTheLabelIsNotTaken(t *testing.T) {
	w := newWorld(t, "gitea", issue{n: 1, title: "one", labels: []string{"bug"}}, issue{n: 2, title: "two", labels: []string{"Agent: Yes"}}, issue{n: 3, title: "three"})
	w.all = true
	if w.intake(0); w.refs() != "#2" {
		t.Errorf("%s were taken", w.refs())
	}
}

func TestCommentsTakeAToken(t *testing.T) {
	w := newWorld(t, "github", issue{n: 1, title: "one", labels: yes})
	for env, want := range map[string]string{"INTAKE_TOKEN=": "needs a token", "INTAKE_COMMENTS=maybe": "is yes or no"} {
		if _, stderr := w.intake(1, "INTAKE_COMMENTS=yes", env); !strings.Contains(stderr, want) {
			t.Errorf("%s: %q", env, stderr)
		}
	}
}

// forgotten makes the script forget what it took.
func (w *world) forgotten() {
	w.t.Helper()
	if err := os.RemoveAll(filepath.Join(w.dir, ".local")); err != nil {
		w.t.Fatal(err)
	}
}

// repository is the URL of a repository with one commit.
func (w *world) repository() string {
	w.t.Helper()
	dir := filepath.Join(w.dir, "project")
	w.run(0, nil, "sh", "-c", "git init -q -b main '"+dir+"' && git -C '"+dir+"' -c user.name=a -c user.email=a@localhost commit -q --allow-empty -m first")
	return "file://" + dir + "/.git"
}
