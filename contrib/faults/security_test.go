//go:build linux

package faults

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"kugetsu/queue"
	"kugetsu/queue/outcome"
	"kugetsu/slots"
	"kugetsu/slots/proc"
)

// safe fails if characters were printed that a terminal would obey, or that hide what is there.
func safe(t testing.TB, r said) {
	t.Helper()
	for _, text := range []string{r.out, r.err} {
		for i := 0; i < len(text); {
			c, n := utf8.DecodeRuneInString(text[i:])
			if c == utf8.RuneError && n == 1 || unsafe(c) {
				t.Errorf("%v printed %q at %d of %q", r.args, text[i:i+n], i, text[max(0, i-40):min(len(text), i+40)])
				return
			}
			i += n
		}
	}
}

// unsafe says whether a character controls a terminal, changes the direction of text, or has no width.
func unsafe(c rune) bool {
	switch {
	case c == '\n' || c == '\t':
		return false
	case c < 0x20, c >= 0x7f && c <= 0x9f, c >= 0x200b && c <= 0x200f, c >= 0x202a && c <= 0x202e, c >= 0x2066 && c <= 0x2069,
		c == 0x061c, c == 0x2060, c == 0xfeff:
		return true
	}
	return false
}

// evil has what must not reach a terminal: escape sequences, C1, marks of direction, characters without width, a carriage return.
const evil = "evil\x1b[2J\x1b]0;owned\a\u009b31m\u202egnp.exe\u2066\u200b\ufeff\r\b\x7f"

var shows = outcome.Evidence{Ref: evil, PRURL: evil, Refused: []string{evil},
	Changes: &outcome.Changes{From: evil, To: evil, Commits: 1, Subjects: []string{evil}, Dirty: 1, DirtyFiles: []string{evil}}}

// TestOutputControlsNoTerminal: no command prints evil raw, in whatever file it stands.
func TestOutputControlsNoTerminal(t *testing.T) {
	t.Parallel()
	places := []struct {
		name string
		put  func(s *stranger)
	}{
		{"a message", func(s *stranger) {
			if r := s.run("delegate", "you/project#2", evil); r.code != 0 {
				s.t.Fatal(r.err)
			}
		}},
		{"what an agent prints", func(s *stranger) {
			s.must(os.WriteFile(filepath.Join(s.dir, "agent"), []byte("#!/bin/sh\nprintf '%s' '"+evil+"'\nprintf '%s\\n' '"+evil+"' >&2\nexit 3\n"), 0o700))
		}},
		{"an item", func(s *stranger) {
			why := evil
			id := queue.NewID(time.Now())
			it := queue.Item{V: 1, ID: id, IssueRef: evil, Agent: evil, Message: evil, Mode: evil, State: queue.Errored, Runs: 1, Attempts: 1,
				Error: &why, After: []string{evil}, History: []queue.Run{{Run: 1, Outcome: evil, Signal: evil, Summary: evil, Evidence: shows}}}
			s.must(os.WriteFile(s.at("queue", "finished", "50-"+id+".json"), encode(s.t, it), 0o600))
			s.ids = append([]string{id}, s.ids...)
		}},
		{"an item that waits", func(s *stranger) {
			id := queue.NewID(time.Now())
			it := queue.Item{V: 1, ID: id, IssueRef: "x" + evil + "#1", Agent: evil, Message: evil, Mode: evil, State: queue.Pending}
			s.must(os.WriteFile(s.at("queue", "items", "60-"+id+".json"), encode(s.t, it), 0o600))
		}},
		{"a file name", func(s *stranger) {
			for _, dir := range []string{"queue/items", "queue/pm", "queue/finished", "slots", "runs", "sessions", "notifications/new", "notifications/owed"} {
				s.must(os.WriteFile(s.at(dir, evil+".json"), []byte("{"+evil), 0o600))
			}
		}},
		{"a session", func(s *stranger) {
			sess := slots.Session{V: 1, Type: evil, IssueRef: "github.com/you/project#7", Agent: evil, Conversation: evil, Branch: evil,
				Worktree: filepath.Join("/"+evil, session(7)), PRURL: evil, Unkept: evil}
			s.must(os.WriteFile(s.at("sessions", session(7)+".json"), encode(s.t, sess), 0o600))
			sess.IssueRef = evil
			s.must(os.WriteFile(s.at("sessions", session(8)+".json"), encode(s.t, sess), 0o600))
		}},
		{"a slot's file", func(s *stranger) {
			in := slots.Intent{V: 1, Item: evil, Run: 1, Session: evil, File: evil, Boot: evil}
			s.must(os.WriteFile(s.at("slots", "7.json"), encode(s.t, in), 0o600))
		}},
		{"a run's result", func(s *stranger) {
			_, it := s.inSlot("8", 8, "end.ok.0", true)
			s.must(os.WriteFile(s.at("runs", slots.RunName(it.ID, 1), "result.json"),
				encode(s.t, slots.Result{V: 1, Outcome: "ok", Summary: evil, Signal: evil, Evidence: shows}), 0o600))
			s.must(os.WriteFile(s.home.LogPath(slots.RunName(it.ID, 1)), []byte(evil), 0o600))
		}},
		{"an event", func(s *stranger) {
			ev := map[string]any{"v": 1, "name": "x", "type": evil, "item": evil, "issue_ref": evil, "agent": evil, "state": evil, "text": evil,
				"changes": shows.Changes, "refused": shows.Refused, "pr_url": evil, "ref": evil}
			s.must(os.WriteFile(s.at("notifications", "new", "x.json"), encode(s.t, ev), 0o600))
		}},
		{"a pause", func(s *stranger) {
			s.must(os.WriteFile(s.at("paused"), encode(s.t, map[string]string{"reason": evil}), 0o600))
		}},
		{"repos.json", func(s *stranger) {
			s.must(os.WriteFile(s.at("repos.json"), encode(s.t, map[string]string{"github.com/you/project": "/" + evil}), 0o600))
		}},
		{"a config", func(s *stranger) {
			s.must(os.WriteFile(s.at("config"), []byte(evil+"=1\nMAX_ATTEMPTS="+evil+"\nQUEUE_DIR='"+evil+"'\n"), 0o600))
		}},
		{"an env file", func(s *stranger) {
			s.must(os.MkdirAll(s.at("env"), 0o700))
			s.must(os.WriteFile(s.at("env", "dev.env"), []byte(evil+"\n"), 0o600))
		}},
		{"the command line", nil},
		{"an environment", func(s *stranger) {
			s.env = append(s.env, "DEFAULT_GIT_SERVER="+evil, "KUGETSU_AGENT="+evil, "MAX_ATTEMPTS="+evil)
		}},
	}
	for _, place := range places {
		try(t, security, "control characters in "+place.name, 1, func(t *testing.T) {
			s := newStranger(t, "NOTIFY_COMMAND=sh -c 'cat >&2; exit 1'")
			s.env = append(s.env, "MAX_ATTEMPTS=1", "NOTIFY_EVENTS=all")
			s.item(1)
			if place.put != nil {
				place.put(s)
			}
			any := []int{0, 1, 75, 78, 80}
			check := func(args ...string) {
				t.Helper()
				r := s.run(args...)
				if !slices.Contains(any, r.code) {
					t.Errorf("%v: exit code %d: %s", args, r.code, r.err)
				}
				safe(t, r)
			}
			all := func() {
				t.Helper()
				for _, args := range s.shows() {
					check(args...)
				}
				if place.put == nil {
					for _, args := range [][]string{{"queue", "list", "--state", evil}, {"queue", "show", evil}, {"queue", "cancel", evil},
						{"queue", "retry", evil}, {"logs", evil}, {"delegate", "--agent", evil, "you/project#3", "x"}, {"start", evil, "x"},
						{"delegate", "--priority", evil, "x"}, {evil}, {"--" + evil}, {"queue", "clear", "--older-than", evil}} {
						check(args...)
					}
				}
			}
			all()
			check("tick", "-v")
			check("tick", "--wait", "--json") // a plain tick that finds tick.lock locked prints nothing
			for begin := time.Now(); ; <-time.After(5 * time.Millisecond) {
				if s.must(s.waitIdle()); len(s.runsLive()) == 0 || time.Since(begin) > patience {
					break
				}
				check("tick")
			}
			all()
			if log, err := os.ReadFile(s.at("tick.log")); err == nil {
				safe(t, said{args: []string{"the log of a runner's tick"}, out: string(log)})
			}
		})
	}
}

// runsLive lists the slots that name a run, without those that the strangers of these tests made up.
func (s *stranger) runsLive() []string {
	list, err := filepath.Glob(s.at("slots", "[123].json"))
	s.must(err)
	return list
}

// TestLinksLeadNoWriteOutOfTheStateFolder: the target of a link in the state folder is neither written nor deleted.
func TestLinksLeadNoWriteOutOfTheStateFolder(t *testing.T) {
	t.Parallel()
	try(t, security, "an agent replaces its own run's folder by a link", 1, func(t *testing.T) {
		s := newStranger(t)
		s.must(os.WriteFile(filepath.Join(s.outside, "folder", "exit"), nil, 0o600))
		s.must(os.WriteFile(filepath.Join(s.dir, "agent"), []byte(strings.Replace(agent, "cat >/dev/null\n", `cat >/dev/null
case $KUGETSU_RUN in *.1)
	rm -rf "$KUGETSU_DIR/runs/$KUGETSU_RUN"
	ln -s "$HOME/outside/folder" "$KUGETSU_DIR/runs/$KUGETSU_RUN" ;;
esac
`, 1)), 0o700))
		s.item(1)
		s.unpaid = 1 // the record of its start was in the folder
		s.keep()
		s.rest(0)
		_, it, err := load(s.world, s.ids[0])
		if s.must(err); it.Runs != 2 || it.State != queue.Completed {
			t.Errorf("%s after %d runs", it.State, it.Runs)
		}
		s.act()
		s.untouched()
	})
	folders := []string{"queue/items", "queue/pm", "queue/finished", "queue/bad", "slots", "runs", "sessions", "worktrees", "repos",
		"agents", "notifications/new", "notifications/seen", "notifications/owed"}
	try(t, security, "a folder of the state folder is a link of its user's", len(folders), func(t *testing.T) {
		s := newStranger(t)
		for _, folder := range folders {
			to := filepath.Join(s.dir, "disk", folder)
			s.must(os.MkdirAll(filepath.Dir(to), 0o700))
			s.must(os.Rename(s.at(folder), to))
			s.must(os.Symlink(to, s.at(folder)))
			for _, name := range []string{"keep", ".keep.json.tmp4711", "work/keep", "work.1/keep", "tmp/keep"} {
				if !strings.HasPrefix(folder, "queue/") || !strings.HasSuffix(name, ".tmp4711") {
					s.must(os.MkdirAll(filepath.Dir(filepath.Join(to, name)), 0o700))
					s.must(os.WriteFile(filepath.Join(to, name), []byte("precious\n"), 0o600))
				}
			}
		}
		s.item(1)
		s.item(2)
		s.rest(0)
		s.act()
		for _, folder := range folders {
			for _, name := range []string{"keep", "work/keep", "work.1/keep", "tmp/keep"} {
				if data, err := os.ReadFile(filepath.Join(s.dir, "disk", folder, name)); err != nil || string(data) != "precious\n" {
					t.Errorf("%s in %s: %q %v", name, folder, data, err)
				}
			}
		}
	})
}

// TestGitRunsNothingThatAStrangerNames: no reference, URL, branch or repository makes git start a program.
func TestGitRunsNothingThatAStrangerNames(t *testing.T) {
	t.Parallel()
	// Git does not split all of these into words as a shell does, so each way has its own.
	touches := func(canary string) []string {
		return []string{"--upload-pack=touch " + canary, "-utouch " + canary, "-u" + canary, "ext::sh -c touch% " + canary, "ext::touch " + canary,
			"EXT::touch " + canary, "fd::17", "ssh://-oProxyCommand=touch " + canary + "/x", "ssh://-oProxyCommand=touch${IFS}" + canary + "/x/y",
			"-oProxyCommand=touch:" + canary, "ssh://localhost:1/-oProxyCommand=touch " + canary, "`touch " + canary + "`", "$(touch " + canary + ")",
			"file:///nowhere;touch " + canary, "|touch " + canary, "--template=" + canary, "-c core.sshCommand=touch " + canary}
	}
	for _, place := range []struct {
		name string
		try  func(s *stranger, text string) bool // whether an item was enqueued
	}{
		{"a URL in repos.json", func(s *stranger, text string) bool {
			s.must(os.WriteFile(s.at("repos.json"), encode(s.t, map[string]string{"github.com/you/project": text}), 0o600))
			return true
		}},
		{"GIT_CLONE_URL", func(s *stranger, text string) bool {
			s.must(os.WriteFile(s.at("repos.json"), []byte("{}"), 0o600))
			s.env = append(s.env, "GIT_CLONE_URL="+text)
			return true
		}},
		{"KUGETSU_BASE_BRANCH", func(s *stranger, text string) bool {
			s.env = append(s.env, "KUGETSU_BASE_BRANCH="+text)
			return true
		}},
		{"an issue reference", func(s *stranger, text string) bool {
			for _, ref := range []string{text, text + "#1", "you/" + text + "#1", text + "/project#1", "github.com/" + text + "/project#1", "https://" + text + "/you/project/issues/1"} {
				if r := s.run("queue", "enqueue", "--", ref, "work"); r.code != 80 {
					s.t.Errorf("%q: exit code %d: %s", ref, r.code, r.err)
				}
			}
			return false
		}},
	} {
		dummy := touches("")
		try(t, security, "a command in "+place.name, len(dummy), func(t *testing.T) {
			s := newStranger(t, "MAX_ATTEMPTS=1", "GIT_SSH_COMMAND=ssh -o BatchMode=yes -o ConnectTimeout=1")
			s.keep()
			for n := range dummy {
				text := touches(filepath.Join(s.dir, "canary"))[n]
				if place.try(s, text) {
					_, it := s.item(n + 1)
					s.tick(0)
					if strings.HasPrefix(text, "ssh://localhost:1/") { // nothing listens there, so the host is on hold, and the item is not to blame
						s.run("queue", "cancel", it.ID)
						s.awaitFiled()
					} else if _, it, err := s.filedItem(it.ID); err != nil || it.State != queue.Errored || !strings.Contains(*it.Error, "start_failed") {
						t.Errorf("%q: %+v %v", text, it, err)
					}
				}
				found, err := filepath.Glob(filepath.Join(s.dir, "canary*"))
				if s.must(err); len(found) > 0 {
					t.Fatalf("%q was run: %v", text, found)
				}
			}
		})
	}
	hooks := []string{"post-checkout", "pre-commit", "post-commit", "reference-transaction", "post-index-change", "pre-auto-gc", "post-rewrite", "update",
		"fsmonitor-watchman", "sendemail-validate"}
	for _, bare := range []bool{false, true} {
		name := "hooks and monitors in a local checkout"
		if bare {
			name = "hooks and monitors in the clone"
		}
		try(t, security, name, len(hooks)+4, func(t *testing.T) {
			s := newStranger(t)
			canary := filepath.Join(s.dir, "canary")
			script := []byte("#!/bin/sh\necho \"$0\" >>" + canary + "\n")
			gitDir := filepath.Join(s.dir, "repo", ".git")
			if bare {
				remote := filepath.Join(s.dir, "bare")
				if out, err := exec.Command("git", "clone", "-q", "--bare", filepath.Join(s.dir, "repo"), remote).CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				s.must(os.WriteFile(s.at("repos.json"), encode(t, map[string]string{"github.com/you/project": remote}), 0o600))
				s.item(1)
				s.rest(0)
				gitDir = s.at("repos", "github.com+you+project.git")
			}
			dir := filepath.Join(gitDir, "hooks")
			s.must(os.MkdirAll(dir, 0o700))
			for _, hook := range hooks {
				s.must(os.WriteFile(filepath.Join(dir, hook), script, 0o700))
			}
			config, err := os.OpenFile(filepath.Join(gitDir, "config"), os.O_APPEND|os.O_WRONLY, 0)
			s.must(err)
			_, err = fmt.Fprintf(config, "[core]\n\tfsmonitor = %s/post-commit\n\thooksPath = %s\n\tpager = %s/post-commit\n\teditor = %s/post-commit\n"+
				"[alias]\n\tworktree = !%s/post-commit\n\tstatus = !%s/post-commit\n[protocol \"ext\"]\n\tallow = always\n"+
				"[gpg]\n\tprogram = %s/post-commit\n[commit]\n\tgpgSign = true\n", dir, dir, dir, dir, dir, dir, dir)
			s.must(errors.Join(err, config.Close()))
			// The agent leaves uncommitted work, which is then kept at a ref.
			s.must(os.WriteFile(filepath.Join(s.dir, "agent"), []byte(agent+"echo work >left\n"), 0o700))
			s.item(2)
			s.item(3)
			s.rest(0)
			s.item(2) // this run goes on in the worktree of the one before
			s.rest(0)
			for n := range s.ids[max(0, len(s.ids)-3):] {
				if _, it, err := load(s.world, s.ids[len(s.ids)-1-n]); err != nil || it.History[0].Ref == "" {
					t.Errorf("the work of a run was not kept: %+v %v", it, err)
				}
			}
			if ran, err := os.ReadFile(canary); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("run by git: %s %v", ran, err)
			}
		})
	}
	try(t, security, "a worktree whose .git leads to another repository", 1, func(t *testing.T) {
		s := newStranger(t, "MAX_ATTEMPTS=1")
		other := filepath.Join(s.outside, "other")
		if out, err := exec.Command("git", "init", "-q", other).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		canary := filepath.Join(s.dir, "canary")
		config := filepath.Join(other, ".git", "config")
		data, err := os.ReadFile(config)
		s.must(err)
		s.must(os.WriteFile(config, append(data, "[core]\n\tfsmonitor = touch "+canary+"\n\tsshCommand = touch "+canary+"\n"...), 0o600))
		s.item(1)
		s.rest(0)
		s.must(os.WriteFile(s.at("worktrees", session(1), ".git"), []byte("gitdir: "+other+"/.git\n"), 0o600))
		s.keep()
		_, it := s.item(1)
		s.tick(0)
		s.awaitFiled()
		if _, it, err = load(s.world, it.ID); err != nil || it.State != queue.Errored || !strings.Contains(*it.Error, "belongs to the repository") {
			t.Errorf("%+v %v", it, err)
		}
		if _, err := os.Lstat(canary); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("run by git: %v", err)
		}
		s.untouched()
	})
}

// TestSecretsStayInTheirFiles: a token of an env file reaches git, the hook and the agent, and nothing else.
func TestSecretsStayInTheirFiles(t *testing.T) {
	t.Parallel()
	secrets := map[string]string{"default.env": "xyzzy-default-4711", "dev.env": "xyzzy-dev-4712"}
	for _, local := range []bool{true, false} {
		name := "tokens of the env files, with a clone"
		if local {
			name = "tokens of the env files, with a local checkout"
		}
		try(t, security, name, len(secrets), func(t *testing.T) {
			s := newStranger(t, "MAX_ATTEMPTS=2", "WORKTREE_HOOK=sh -c 'test -n \"$TOKEN_default\" && test -z \"$TOKEN_dev\"'",
				"NOTIFY_COMMAND=sh -c 'env >>$HOME/notified; cat >>$HOME/notified'")
			s.must(os.MkdirAll(s.at("env"), 0o700))
			for file, secret := range secrets {
				name, _, _ := strings.Cut(file, ".")
				s.must(os.WriteFile(s.at("env", file), []byte("TOKEN_"+name+"="+secret+"\n"), 0o600))
			}
			if !local {
				remote := filepath.Join(s.dir, "bare")
				if out, err := exec.Command("git", "clone", "-q", "--bare", filepath.Join(s.dir, "repo"), remote).CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				s.must(os.WriteFile(s.at("repos.json"), encode(t, map[string]string{"github.com/you/project": remote}), 0o600))
			}
			// The agent has both tokens, leaves work, and fails the first time.
			s.must(os.WriteFile(filepath.Join(s.dir, "agent"), []byte(strings.Replace(agent, "cat >/dev/null\n", `cat >/dev/null
test "$TOKEN_default-$TOKEN_dev" = xyzzy-default-4711-xyzzy-dev-4712 || exit 4
echo work >left
until test -e "$HOME/go"; do sleep 0.01; done
case $KUGETSU_RUN in *.1) echo no >&2; exit 3;; esac
`, 1)), 0o700))
			var printed strings.Builder
			note := func(r said) { fmt.Fprintln(&printed, r.args, r.out, r.err) }
			s.item(1)
			note(s.run("tick", "-v"))
			// While the agent runs, no process has a token in its command line.
			for begin := time.Now(); ; <-time.After(5 * time.Millisecond) {
				if _, err := os.Lstat(s.at("worktrees", session(1), "left")); err == nil {
					break
				}
				if time.Since(begin) > patience {
					t.Fatal("the agent does not come to its wait")
				}
			}
			lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
			s.must(err)
			seen := 0
			for _, line := range lines {
				data, err := os.ReadFile(line)
				if err != nil {
					continue // it is gone
				}
				if strings.Contains(string(data), s.dir) || strings.Contains(string(data), s.ids[0]) {
					seen++
				}
				for _, secret := range secrets {
					if strings.Contains(string(data), secret) {
						t.Errorf("%s: %q", line, data)
					}
				}
			}
			marked, err := proc.Marked(proc.Run{Name: slots.RunName(s.ids[0], 1)})
			if s.must(err); len(marked) < 2 || seen < 2 {
				t.Errorf("%d processes of the run and %d command lines of it were looked at", len(marked), seen)
			}
			for _, args := range append(s.shows(), []string{"queue", "show", s.ids[0]}) {
				note(s.run(args...))
			}
			s.must(os.WriteFile(filepath.Join(s.dir, "go"), nil, 0o600))
			s.rest(0)
			for _, args := range append(s.shows(), []string{"tick", "-v"}) {
				note(s.run(args...))
			}
			// A line that is refused, and the run that waits because of it.
			s.must(os.WriteFile(s.at("env", "dev.env"), []byte("A=b\n"+secrets["dev.env"]+"\n"), 0o600))
			s.item(2)
			note(s.run("tick", "-v"))
			// The configuration is bad, so the item waits until the file is corrected.
			s.must(os.WriteFile(s.at("env", "dev.env"), []byte("A=b\n"), 0o600))
			s.awaitFiledBy(note)
			for _, args := range s.shows() {
				note(s.run(args...))
			}
			for _, secret := range secrets {
				if strings.Contains(printed.String(), secret) {
					t.Errorf("printed: %s", secret)
				}
			}
			looked := 0
			for _, dir := range []string{string(s.home), filepath.Join(s.dir, "repo"), s.dir} {
				s.must(filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
					if err != nil || !d.Type().IsRegular() || filepath.Dir(path) == s.at("env") || path == filepath.Join(s.dir, "agent") {
						return err
					}
					data, err := os.ReadFile(path)
					looked++
					for _, secret := range secrets {
						if strings.Contains(string(data), secret) {
							t.Errorf("%s has %s", path, secret)
						}
					}
					return err
				}))
			}
			if looked < 50 {
				t.Errorf("only %d files were looked at", looked)
			}
		})
	}
}

// filedItem returns an item once it is filed.
func (s *stranger) filedItem(id string) (queue.Entry, *queue.Item, error) {
	s.awaitFiled()
	return load(s.world, id)
}

// awaitFiledBy makes ticks until the items are filed, and passes the output of each to note.
func (s *stranger) awaitFiledBy(note func(said)) {
	for begin := time.Now(); !s.filed(); <-time.After(5 * time.Millisecond) {
		if time.Since(begin) > patience {
			s.t.Fatalf("not settled after %s: %+v", patience, s.run("status"))
		}
		note(s.run("tick", "-v"))
	}
	s.must(s.waitIdle())
}
