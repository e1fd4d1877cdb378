// Package canary plants programs wherever git would find one in what an agent can write, and then runs every command of
// kugetsu. None of the programs may run, and nothing may be written outside of the worktree: an agent's sandbox ends where
// kugetsu's own git begins.
package canary

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"kugetsu/contrib/built"
	"kugetsu/contrib/internal/rig"
)

// patience bounds one command; the machine may be busy.
const patience = rig.Patience

func TestMain(m *testing.M) {
	rig.FullOnly("every plant is a world with twenty commands")
	os.Exit(m.Run())
}

// world is a home, a remote, and a state folder, in which an agent of bash does what its message says.
type world struct {
	*testing.T
	dir, bin string
	env      []string
}

func newWorld(t *testing.T, bin, gitDir string, local bool) *world {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	path := built.WithoutAgents(os.Getenv("PATH"))
	if gitDir != "" {
		path = gitDir + ":" + path
	}
	w := &world{T: t, dir: dir, bin: bin, env: []string{
		"HOME=" + dir + "/home", "USER=someone", "LOGNAME=someone", "PATH=" + path, "KUGETSU_DIR=" + dir + "/state", "CANARIES=" + dir + "/canaries",
		"KUGETSU_AGENT=command", "AGENT_COMMAND=bash -s", "AGENT_MEMORY=0", "MIN_FREE_DISK=0", "MAX_ATTEMPTS=1", "RETRY_DELAY=1s",
		"GIT_CONFIG_NOSYSTEM=1",
	}}
	for _, name := range []string{"home", "canaries", "state/env"} {
		w.must(os.MkdirAll(w.at(name), 0o700))
	}
	w.write("home/.gitconfig", "[user]\n\tname = Someone\n\temail = someone@example.org\n[init]\n\tdefaultBranch = main\n")
	w.write("home/.bashrc", "# mine\n")
	w.write("canary", "#!/bin/sh\necho \"$0 $*\" >>"+w.at("canaries")+"/${1##*/}.$$\nexit 0\n")
	w.must(os.Chmod(w.at("canary"), 0o755))
	w.git("", "init", "-q", "--bare", "remote.git")
	w.git("", "clone", "-q", "remote.git", "seed")
	w.write("seed/README", "hello\n")
	w.write("seed/data.bin", "some\n")
	w.git("seed", "add", "-A")
	w.git("seed", "commit", "-q", "-m", "first")
	w.git("seed", "push", "-q", "origin", "HEAD:main")
	from := w.at("remote.git")
	if local {
		w.git("", "clone", "-q", "remote.git", "checkout")
		from = w.at("checkout")
	}
	w.write("state/repos.json", fmt.Sprintf("{%q: %q}\n", "github.com/acme/widget", from))
	return w
}

func (w *world) at(name string) string { return filepath.Join(w.dir, name) }

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) write(name, text string) {
	w.Helper()
	w.must(os.MkdirAll(filepath.Dir(w.at(name)), 0o700))
	w.must(os.WriteFile(w.at(name), []byte(text), 0o600))
}

// run runs a program to its end, whatever that is.
func (w *world) run(dir, name string, args ...string) string {
	w.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = w.at(dir), w.env
	if name == "git" { // the one of this world
		if path, err := exec.LookPath(filepath.Join(w.gitDir(), "git")); err == nil {
			cmd.Path = path
		}
	}
	timer := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	out, _ := cmd.CombinedOutput()
	if !timer.Stop() {
		w.Errorf("%s %q does not end", name, args)
	}
	return string(out)
}

func (w *world) gitDir() string {
	for _, kv := range slices.Backward(w.env) {
		if path, ok := strings.CutPrefix(kv, "PATH="); ok {
			first, _, _ := strings.Cut(path, ":")
			return first
		}
	}
	return ""
}

func (w *world) git(dir string, args ...string) {
	w.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Env = w.at(dir), w.env
	if out, err := cmd.CombinedOutput(); err != nil {
		w.Fatalf("git %q: %v\n%s", args, err, out)
	}
}

// ran names the canaries that ran, and forgets them.
func (w *world) ran() (names []string) {
	w.Helper()
	entries, err := os.ReadDir(w.at("canaries"))
	w.must(err)
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(w.at("canaries"), e.Name()))
		w.must(err)
		names = append(names, strings.TrimSpace(string(text)))
		w.must(os.Remove(filepath.Join(w.at("canaries"), e.Name())))
	}
	return names
}

// kugetsu runs a command of kugetsu, and looks for canaries.
func (w *world) kugetsu(args ...string) string {
	w.Helper()
	out := w.run("", w.bin, args...)
	for _, name := range w.ran() {
		w.Errorf("kugetsu %s ran %s\n%s", strings.Join(args, " "), name, out)
	}
	if text, err := os.ReadFile(w.at("home/.bashrc")); err != nil || string(text) != "# mine\n" {
		w.Errorf("kugetsu %s: .bashrc is %q, %v", strings.Join(args, " "), text, err)
		w.write("home/.bashrc", "# mine\n")
	}
	if entries, err := os.ReadDir(w.at("home/elsewhere")); err == nil && len(entries) > 0 {
		w.Errorf("kugetsu %s wrote %s where a link leads\n%s", strings.Join(args, " "), entries[0].Name(), out)
	}
	return out
}

const everyKey = "every key that is documented"

// planted is what the agent says that plants every key: how many git reads, of how many.
var planted = regexp.MustCompile(`planted (\d+) of (\d+) keys`)

// plants are what an agent leaves: scripts of bash in its worktree. $canary is the program, $common the repository, $record
// that of the worktree.
var plants = map[string]string{
	// Every key that the git here documents, in the two files of configuration. What is no name of a program makes no sense there.
	everyKey: `
git help --config | awk -F. -v canary="$canary" '/^[a-zA-Z]/ && $NF ~ /^[a-zA-Z0-9-]+$/ && NF > 1 && !/\*/ && !/<.*</ {
	gsub(/<[^>]*>/, "planted")
	middle = substr($0, length($1) + 2, length($0) - length($1) - length($NF) - 2)
	printf "[%s%s]\n\t%s = \"%s %s\"\n", $1, middle == "" ? "" : " \"" middle "\"", $NF, canary, $0
}' >"$TMPDIR/all"
echo "planted $(git config --file "$TMPDIR/all" --list | wc -l) of $(grep -c '^.[a-zA-Z].* = ' "$TMPDIR/all") keys"
cat "$TMPDIR/all" >>"$common/config"
cat "$TMPDIR/all" >>"$record/config.worktree"`,

	// Those that are known to name a program, with values that make git run it.
	"programs in config":          programs + `believe "$common/config"`,
	"programs in config.worktree": programs + `git config --file "$common/config" core.repositoryFormatVersion 1; git config --file "$common/config" extensions.worktreeConfig true; believe "$record/config.worktree"; believe "$common/config.worktree"`,
	"programs in what config includes": programs + `mkdir -p included; believe "$PWD/included/config"
git config --file "$common/config" include.path "$PWD/included/config"; git config --file "$common/config" "includeIf.gitdir:/.path" "$PWD/included/config"`,

	"hooks": `mkdir -p "$common/hooks" "$record/hooks"
for hook in reference-transaction post-checkout post-index-change pre-auto-gc post-commit pre-push post-merge post-rewrite fsmonitor-watchman update pre-receive post-receive; do
	for dir in "$common/hooks" "$record/hooks"; do printf '#!/bin/sh\n%s hook-%s\n' "$canary" "$hook" >"$dir/$hook"; chmod +x "$dir/$hook"; done
done`,

	"a .git of its own": programs + `rm .git; git init -q .; believe .git/config
printf '* filter=x diff=x merge=x\n' >.git/info/attributes; mkdir -p .git/hooks; cp "$canary" .git/hooks/post-index-change`,
	"a .git that leads to a repository of its own": programs + `git init -q --bare "$TMPDIR/../own.git" 2>/dev/null || git init -q --bare own.git
own=$(ls -d "$TMPDIR/../own.git" own.git 2>/dev/null | head -1); own=$(cd "$own" && pwd); git config --file "$own/config" core.bare false; believe "$own/config"
rm .git; echo "gitdir: $own" >.git`,
	"a record that leads to a repository of its own": programs + `git init -q --bare own.git; believe own.git/config
echo "$PWD/own.git" >"$record/commondir"`,
	"core.worktree": `git config --file "$common/config" core.repositoryFormatVersion 1; git config --file "$common/config" extensions.worktreeConfig true
printf '[core]\n\tbare = false\n\tworktree = %s\n' "$HOME" >"$record/config.worktree"; git config --file "$common/config" core.worktree "$HOME"; echo owned >.bashrc`,

	// What the agent's own git does comes first: it would walk into the traps.
	"a promisor remote, and an object that is missing": `
tree=$(printf '100644 blob 1234567890123456789012345678901234567890\tmissing\n' | git mktree --missing)
commit=$(git -c user.name=a -c user.email=a@b commit-tree -p HEAD -m "kugetsu: uncommitted

Issue: github.com/acme/widget#1" "$tree")
git update-ref "refs/kugetsu/issue-1/$commit" "$commit"; git update-ref "refs/heads/planted" "$commit"` + programs + `
git config --file "$common/config" core.repositoryFormatVersion 1; git config --file "$common/config" extensions.partialClone origin
git config --file "$common/config" remote.origin.promisor true; git config --file "$common/config" remote.origin.partialCloneFilter blob:none
believe "$common/config"; git config --file "$common/config" remote.origin.uploadpack "$canary lazy-fetch"`,
	"alternates": `mkdir -p other; git init -q --bare other/a.git; mkdir -p "$common/objects/info"; echo "$PWD/other/a.git/objects" >"$common/objects/info/alternates"`,
	"a nested repository and a submodule": `git init -q nested; echo '* filter=x' >nested/.gitattributes; echo x >nested/file
git -C nested add -A; git -C nested -c user.name=a -c user.email=a@b commit -qm nested; git add nested` + programs + `
believe nested/.git/config
printf '[submodule "nested"]\n\tpath = nested\n\turl = ./nested\n\tupdate = !%s submodule\n' "$canary" >.gitmodules; echo changed >nested/file`,
	"links in the place of folders": `rm -rf "$common/info"; mkdir -p "$HOME/elsewhere"; ln -s "$HOME/elsewhere" "$common/info"
mkdir -p "$common/refs/kugetsu"; ln -s "$HOME/elsewhere" "$common/refs/kugetsu/issue-1" 2>/dev/null; rm -rf "$common/refs/remotes/origin" "$common/refs/tags"
ln -s "$HOME/elsewhere" "$common/refs/remotes/origin"; ln -s "$HOME/elsewhere" "$common/refs/tags"; ln -s "$HOME/.bashrc" "$record/logs/HEAD.new" 2>/dev/null; true`,
}

// programs defines the function believe, which writes into a file what git runs, and makes the attributes that ask for it.
const programs = `
believe() {
	c() { git config --file "$file" "$@"; }
	file=$1
	for key in clean smudge process; do c "filter.x.$key" "$canary filter.$key"; done
	c filter.x.required true; c filter.lfs.clean "$canary lfs.clean"; c filter.lfs.process "$canary lfs.process"
	c diff.x.command "$canary diff.command"; c diff.x.textconv "$canary textconv"; c diff.external "$canary diff.external"; c merge.x.driver "$canary merge"
	for key in fsmonitor sshCommand askPass editor pager gitProxy alternateRefsCommand; do c "core.$key" "$canary core.$key"; done
	c core.hooksPath "$hooks"
	c sequence.editor "$canary sequence"; c gpg.program "$canary"; c gpg.ssh.program "$canary"; c gpg.ssh.defaultKeyCommand "$canary"
	c commit.gpgSign true; c merge.verifySignatures true; c push.gpgSign if-asked; c credential.helper "!$canary credential"
	for key in uploadpack receivepack; do c "remote.origin.$key" "$canary remote.$key"; done
	c remote.origin.vcs canary; c remote.origin.proxy "http://127.0.0.1:1"; c "url.ext::$canary url %.insteadOf" "$remote"
	c protocol.allow always; c protocol.ext.allow always; c uploadpack.packObjectsHook "$canary packObjectsHook"; c gc.recentObjectsHook "$canary recent"
	for name in status add commit config update-ref read-tree; do c "alias.$name" "!$canary alias.$name"; c "pager.$name" "$canary pager.$name"; done
	c interactive.diffFilter "$canary diffFilter"; c trailer.x.command "$canary trailer"; c trailer.x.cmd "$canary trailer"
	for event in reference-transaction post-index-change post-checkout pre-commit pre-push; do
		c "hook.planted-$event.event" "$event"; c "hook.planted-$event.command" "$canary hook.$event"; c "hook.$event.command" "$canary hook.$event"
	done
}
hooks=$PWD/../hooks-$$; mkdir -p "$hooks" 2>/dev/null || hooks=$TMPDIR/hooks; mkdir -p "$hooks"
for hook in reference-transaction post-checkout post-index-change pre-auto-gc; do printf '#!/bin/sh\n%s hooksPath-%s\n' "$canary" "$hook" >"$hooks/$hook"; chmod +x "$hooks/$hook"; done
printf '* filter=x diff=x merge=x\n*.bin filter=lfs\n' >.gitattributes; mkdir -p "$common/info"; printf '* filter=x diff=x merge=x\n' >"$common/info/attributes"
`

// message is what the agent is told, for one of the plants.
func (w *world) message(plant string) string {
	return "canary=" + w.at("canary") + "\nremote=" + w.at("remote.git") + `
common=$(git rev-parse --path-format=absolute --git-common-dir); record=$(git rev-parse --absolute-git-dir)
echo more >>README; echo new >new.txt; echo staged >staged.txt; git add staged.txt
` + plant + "\nexit 0\n"
}

// gits are the folders of the gits that there are: the machine's own, empty, and a newer one in NEWGIT.
func gits(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{"git": ""}
	if dir := os.Getenv("NEWGIT"); dir != "" {
		found["newer git"] = filepath.Join(dir, "bin")
	} else {
		t.Log("no newer git: contrib/newgit/newgit DIR makes one; NEWGIT=DIR names it")
	}
	return found
}

// settled waits until nothing runs any more.
func (w *world) settled() {
	w.Helper()
	w.kugetsu("tick", "--drain")
}

// newer are the plants of which a newer git may make something else: keys that it alone knows, and hooks by configuration.
var newer = []string{everyKey, "programs in config", "programs in config.worktree", "hooks"}

// inCheckout are the plants that are tried in a local checkout as well: what differs there is whose configuration it is.
var inCheckout = []string{everyKey, "programs in config", "programs in config.worktree", "hooks", "core.worktree",
	"a promisor remote, and an object that is missing"}

func TestPlantsOfAnAgentDoNotRun(t *testing.T) {
	bin := rig.Kugetsu(t)
	for version, gitDir := range gits(t) {
		for name, plant := range plants {
			if gitDir != "" && !slices.Contains(newer, name) {
				continue
			}
			for _, local := range []bool{false, true} {
				if local && !slices.Contains(inCheckout, name) {
					continue
				}
				kind := "clone"
				if local {
					kind = "local checkout"
				}
				t.Run(version+"/"+name+"/"+kind, func(t *testing.T) {
					t.Parallel()
					w := newWorld(t, bin, gitDir, local)
					const one, two = "github.com/acme/widget#1", "github.com/acme/widget#2"
					w.kugetsu("delegate", two, "echo work >>README; exit 0")
					w.settled()
					w.kugetsu("delegate", one, w.message(plant))
					w.settled()
					if out := w.kugetsu("queue", "show", one); !strings.Contains(out, "run 1:") {
						t.Errorf("the agent did not run:\n%s", out)
					}
					if name == everyKey {
						m := planted.FindStringSubmatch(w.kugetsu("logs", "--raw", one))
						if m == nil || m[1] != m[2] || len(m[1]) < 3 {
							t.Errorf("the keys are not planted: %q", m)
						}
					}
					for _, args := range [][]string{
						{}, {"status"}, {"list"}, {"queue", "list", "--all"}, {"queue", "stats"}, {"notify", "list"}, {"logs", one}, {"version"},
						{"restore", "--list", one}, {"restore", one}, {"doctor"}, {"doctor", one}, {"doctor", "--fix"}, {"prune", "--dry-run"}, {"tick", "--dry-run"},
						{"delegate", two, "echo again >>README; exit 0"}, {"tick", "--drain"},
						{"delegate", "github.com/acme/widget#3", "echo third >third; exit 0"}, {"tick", "--drain"},
						{"continue", one, "exit 0"}, {"tick", "--drain"}, {"queue", "retry", "--all-failed"}, {"tick", "--drain"},
						{"set-pr", two, "https://github.com/acme/widget/pull/9"}, {"list"}, {"destroy", one}, {"destroy", "--force", one}, {"restore", one}, {"list"},
						{"destroy", "--force", two}, {"restore", two}, {"forget", "refs/kugetsu/issue-1/x"}, {"prune"}, {"list"}, {"doctor"}, {"queue", "clear", "--older-than", "0s"},
					} {
						w.kugetsu(args...)
					}
				})
			}
		}
	}
}

// The traps are live: a plain git walks into them. Without that the test above would show nothing.
func TestPlantsOfAnAgentRunInAPlainGit(t *testing.T) {
	bin := rig.Kugetsu(t)
	for _, name := range []string{"programs in config", "programs in config.worktree", "programs in what config includes", "hooks", "a .git of its own",
		"a .git that leads to a repository of its own", "a record that leads to a repository of its own", "a nested repository and a submodule"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, bin, "", false)
			w.kugetsu("delegate", "github.com/acme/widget#1", w.message(plants[name]))
			w.settled()
			worktree := "state/worktrees/github.com+acme+widget@1"
			for _, args := range [][]string{{"status"}, {"add", "-A"}, {"-c", "filter.x.required=false", "add", "-A"}, {"update-ref", "refs/heads/x", "HEAD"},
				{"read-tree", "HEAD"}, {"checkout", "-f", "HEAD", "--", "."}, {"update-index", "--refresh"}} {
				w.run(worktree, "git", args...)
			}
			if len(w.ran()) == 0 {
				t.Errorf("no canary ran:\n%s", w.run(worktree, "git", "config", "--list"))
			}
		})
	}
}

// Where git documents a key that it did not know before, the list that is planted has it: it is made of git's own.
func TestKeysAreThoseThatGitDocuments(t *testing.T) {
	for version, gitDir := range gits(t) {
		out, err := exec.Command(filepath.Join(gitDir, "git"), "help", "--config").Output()
		if gitDir == "" {
			out, err = exec.Command("git", "help", "--config").Output()
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"core.fsmonitor", "core.sshCommand", "credential.helper", "filter.<driver>.clean", "uploadpack.packObjectsHook"} {
			if !bytes.Contains(out, []byte(key+"\n")) {
				t.Errorf("%s does not document %s", version, key)
			}
		}
	}
}
