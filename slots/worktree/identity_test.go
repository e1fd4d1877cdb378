package worktree

import (
	"context"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"kugetsu/slots/git"
)

// TestMissingNamesAreAllThatGitNeeds: real git is asked what it would put on a commit, before and after.
func TestMissingNamesAreAllThatGitNeeds(t *testing.T) {
	fullOnly(t, "it takes a second or more")
	const set, email = "Set <set@localhost>", "<set@localhost>"
	for _, c := range []struct {
		name              string
		config            string
		env               []string
		author, committer string // with what is missing
		missing           int
	}{
		{"nothing", "", nil, set, set, 4},
		{"a user", "[user]\nname = You\nemail = you@x", nil, "You <you@x>", "You <you@x>", 0},
		{"a name alone", "[user]\nname = You", nil, "You " + email, "You " + email, 2},
		{"an email alone", "[user]\nemail = you@x", nil, "Set <you@x>", "Set <you@x>", 2},
		{"the last of several", "[user]\nname = A\nname = B\nemail = a@x\n[user]\nemail = b@x", nil, "B <b@x>", "B <b@x>", 0},
		{"an author and no committer", "[author]\nname = A\nemail = a@x", nil, "A <a@x>", set, 2},
		{"a committer beside a user", "[user]\nname = You\nemail = you@x\n[committer]\nname = C", nil, "You <you@x>", "C <you@x>", 0},
		{"values that are empty", "[user]\nname =\nemail =", nil, set, set, 4},
		{"the environment", "", []string{"GIT_AUTHOR_NAME=E", "GIT_AUTHOR_EMAIL=e@x", "GIT_COMMITTER_NAME=F", "GIT_COMMITTER_EMAIL=f@x"}, "E <e@x>", "F <f@x>", 0},
		{"the environment before a user", "[user]\nname = You\nemail = you@x", []string{"GIT_AUTHOR_NAME=E"}, "E <you@x>", "You <you@x>", 0},
		{"an email that the environment empties", "[user]\nname = You\nemail = you@x", []string{"GIT_AUTHOR_EMAIL="}, "You <>", "You <you@x>", 0},
		{"EMAIL", "", []string{"EMAIL=m@x"}, "Set <m@x>", "Set <m@x>", 2},
		{"an empty EMAIL", "", []string{"EMAIL="}, set, set, 4},
		{"EMAIL behind a user", "[user]\nemail = you@x", []string{"EMAIL=m@x"}, "Set <you@x>", "Set <you@x>", 2},
		{"EMAIL, which git forgets for an author's", "[author]\nemail = a@x", []string{"EMAIL=m@x"}, "Set <a@x>", set, 3},
		{"EMAIL, which is no configuration", "[user]\nuseConfigOnly", []string{"EMAIL=m@x"}, set, set, 4},
		{"a configuration of the environment", "", []string{"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=user.name", "GIT_CONFIG_VALUE_0=G"}, "G " + email, "G " + email, 2},
		{"a name on two lines", "[user]\nname = \"A\\nB\"\nemail = \"a@x\"", nil, "AB <a@x>", "AB <a@x>", 0},
	} {
		w := newWorld(t)
		w.env = append([]string{"HOME=" + w.path("home"), "GIT_CONFIG_NOSYSTEM=1"}, c.env...)
		w.write("home/.gitconfig", c.config+"\n")
		env := append(slices.Clone(w.env), "PATH="+lookPath(t))
		named, err := (&Git{Runner: git.Runner{Env: env, Own: w.path("own")}}).Named(context.Background(), Spec{Source: Source{Local: w.author}})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		missing := named.Missing(w.env, git.Identity{Name: "Set", Email: "set@localhost"})
		w.equal(c.name+": missing", len(missing), c.missing)
		w.env = append(w.env, missing...)
		for who, want := range map[string]string{"AUTHOR": c.author, "COMMITTER": c.committer} {
			got := w.git("author", "var", "GIT_"+who+"_IDENT")
			w.equal(c.name+": "+who, got[:strings.LastIndex(got, ">")+1], want)
		}
		if who, known := named.Committer(w.env); !known || who.String() != c.committer && !strings.Contains(c.config, `\n`) {
			t.Errorf("%s: committer %s, %t", c.name, who, known)
		}
		// Where something is missing, git alone would have refused, or guessed.
		w.env = w.env[:len(w.env)-len(missing)]
		out, err := w.try("author", "-c", "user.useConfigOnly=true", "commit", "-q", "--allow-empty", "-m", "x")
		if strings.HasPrefix(c.name, "EMAIL") || c.name == "values that are empty" {
			continue // to git these are configured, or not, in ways of its own
		}
		if (err != nil) != (c.missing > 0) {
			t.Errorf("%s: git alone: %s, %v", c.name, out, err)
		}
	}
}

func lookPath(t *testing.T) string {
	git, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(git, "/git")
}
