// Package contrib tests README and the pages, recipes and scripts of this folder: what they say must be true of this kugetsu.
package contrib

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"kugetsu/tick/command"

	"kugetsu/contrib/internal/rig"
)

var grammar = sync.OnceValues(func() (g command.Node, err error) {
	kugetsu, err := rig.Program()
	if err != nil {
		return g, err
	}
	out, err := exec.Command(kugetsu, "grammar").Output()
	if err != nil {
		return g, err
	}
	return g, json.Unmarshal(out, &g)
})

// wrong says which word of a command line is not in the grammar; "" if all are.
func wrong(g command.Node, words []string) string {
	at := g
	flags := slices.Clone(g.Flags)
	for i, word := range words {
		word = strings.Trim(word, "`\"'.,;:)(")
		switch {
		case word == "--" || strings.HasPrefix(word, "#") || word == "<command>": // any of them
			return ""
		case strings.HasPrefix(word, "-") && word != "-":
			name, _, _ := strings.Cut(strings.TrimLeft(word, "-"), "=")
			if !slices.ContainsFunc(flags, func(f command.Flag) bool { return f.Key == "" && (f.Name == name || f.Short == name) }) {
				return fmt.Sprintf("%s has no flag %s", strings.TrimSpace("kugetsu "+strings.Join(words[:i], " ")), word)
			}
		case len(at.Commands) > 0:
			next := slices.IndexFunc(at.Commands, func(n command.Node) bool { return n.Name == word })
			if next < 0 {
				return fmt.Sprintf("kugetsu %s has no command %q", strings.Join(words[:i], " "), word)
			}
			at = at.Commands[next]
			flags = append(flags, at.Flags...)
		}
	}
	return ""
}

// called finds the command lines in a text: what follows kugetsu on a line of code, or between backquotes. A flag that is
// named alone, between backquotes, is one of any command.
var called = regexp.MustCompile("(?m)(?:^ +(?:- )?|[|] |if |`)kugetsu((?: [^\n`|;&]*)?)")

var loneFlag = regexp.MustCompile("`(--[a-z-]+)[ `]")

func TestWrittenCommandsExist(t *testing.T) {
	g, err := grammar()
	if err != nil {
		t.Fatal(err)
	}
	for file, least := range map[string]int{"SKILL.md": 20, "ci/github.yml": 6, "ci/gitlab.yml": 5, "../README.md": 15, "intake/intake": 1} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := called.FindAllStringSubmatch(string(text), -1)
		if len(found) < least {
			t.Errorf("%s: only %d command lines were found", file, len(found))
		}
		for _, m := range found {
			if why := wrong(g, strings.Fields(m[1])); why != "" {
				t.Errorf("%s: kugetsu%s: %s", file, m[1], why)
			}
		}
		if file != "SKILL.md" {
			continue
		}
		var all []string
		var collect func(command.Node)
		collect = func(n command.Node) {
			for _, f := range n.Flags {
				all = append(all, "--"+f.Name)
			}
			for _, c := range n.Commands {
				collect(c)
			}
		}
		collect(g)
		for _, m := range loneFlag.FindAllStringSubmatch(string(text), -1) {
			if !slices.Contains(all, m[1]) {
				t.Errorf("%s: no command has the flag %s", file, m[1])
			}
		}
	}
}

func TestSkillTeachesTheScheduleAndDelegateFirst(t *testing.T) {
	data, err := os.ReadFile("SKILL.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	if !regexp.MustCompile(`(?s)\A---\nname: [a-z-]+\ndescription: [^\n]{40,}\n---\n`).MatchString(text) {
		t.Error("it does not begin with a name and a description")
	}
	last := -1
	for _, must := range []string{"kugetsu queue-daemon start", "kugetsu delegate", "Do not use `kugetsu start` or `kugetsu continue`", "kugetsu queue list ", "kugetsu status", "kugetsu logs"} {
		at := strings.Index(text, must)
		if at < last || at < 0 {
			t.Errorf("%q is missing, or not in its place", must)
		}
		last = at
	}
}

// load reads a YAML file as JSON.
func load(t *testing.T, file string, into any) {
	t.Helper()
	script := "import sys, json, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)"
	for _, python := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(python, "-c", "import yaml").Run() != nil {
			continue
		}
		out, err := exec.Command(python, "-c", script, file).Output()
		if err != nil {
			t.Fatalf("%s is no YAML: %v", file, err)
		}
		if err := json.Unmarshal(out, into); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		return
	}
	t.Skip("there is no python3 that knows yaml")
}

func TestYAMLIsWellWritten(t *testing.T) {
	if _, err := exec.LookPath("yamllint"); err != nil {
		t.Skip(err)
	}
	rules := "{extends: default, rules: {line-length: {max: 130}, document-start: disable, truthy: {check-keys: false}, comments: {min-spaces-from-content: 1}}}"
	if out, err := exec.Command("yamllint", "--strict", "-d", rules, "ci/github.yml", "ci/gitlab.yml", "../.goreleaser.yaml").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// newcomer is the environment of a person who has an agent and a repository, and has never run kugetsu. The agent is a
// stand-in called opencode. git finds the repository of every https://github.com URL below a folder.
type newcomer struct {
	t    *testing.T
	home string
	env  []string
}

const standIn = `#!/bin/sh
case "$*" in
--version) echo 1.18.33; exit ;;
'db path') exit ;;
esac
cat >"$HOME/prompt"
git commit -q --allow-empty -m 'an agent was here' || exit 1
echo '{"type":"text","sessionID":"ses_1","part":{"type":"text","text":"Done."}}'
echo '{"type":"step_finish","sessionID":"ses_1","part":{"type":"step-finish","reason":"stop"}}'
`

// ownCrontab is a crontab that keeps its lines in the home folder, so that a test does not change this machine's schedule.
const ownCrontab = `#!/bin/sh
case $1 in
-l) [ -e "$HOME/crontab" ] && exec cat "$HOME/crontab"; echo "no crontab for you" >&2; exit 1 ;;
-r) exec rm "$HOME/crontab" ;;
-) exec cat >"$HOME/crontab" ;;
esac
`

func newNewcomer(t *testing.T) *newcomer {
	t.Helper()
	home, err := os.MkdirTemp("", "newcomer")
	n := &newcomer{t: t, home: home}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(err)
	t.Cleanup(func() { // the last tick of a run may still be at work there
		rig.Until(t, "the home can be removed", func() bool { return os.RemoveAll(home) == nil })
	})
	goEnv := func(key string) string {
		out, err := exec.Command("go", "env", key).Output()
		must(err)
		return strings.TrimSpace(string(out))
	}
	bin := filepath.Join(home, "bin")
	must(os.Mkdir(bin, 0o700))
	must(os.WriteFile(filepath.Join(bin, "opencode"), []byte(standIn), 0o700))
	must(os.WriteFile(filepath.Join(bin, "crontab"), []byte(ownCrontab), 0o700))
	must(os.WriteFile(filepath.Join(bin, "systemctl"), []byte("#!/bin/sh\nexit 1\n"), 0o700))
	must(os.WriteFile(filepath.Join(home, ".gitconfig"), []byte("[safe]\n\tdirectory = *\n[user]\n\tname = New Comer\n\temail = new@localhost\n"+
		"[url \"file://"+home+"/forge/\"]\n\tinsteadOf = https://github.com/\n"), 0o600))
	n.env = []string{
		"HOME=" + home, "GOBIN=" + bin, "GOMODCACHE=" + goEnv("GOMODCACHE"), "GOCACHE=" + goEnv("GOCACHE"), "GOFLAGS=", "GOPROXY=off", "GOTOOLCHAIN=local", "PATH=" + bin + ":" + filepath.Join(goEnv("GOROOT"), "bin") + ":/usr/bin:/bin",
	}
	n.run("", "sh", "-c", "git init -q -b main $HOME/work && git -C $HOME/work commit -q --allow-empty -m first && "+
		"git clone -q --bare $HOME/work $HOME/forge/owner/repo.git")
	return n
}

// run runs a command, in a folder, which must exit with 0.
func (n *newcomer) run(dir, name string, args ...string) string {
	n.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, n.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		n.t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// completed fails unless the one item is completed and the agent has committed.
func (n *newcomer) completed() {
	n.t.Helper()
	if out := n.run("", "sh", "-c", "kugetsu queue list --all --json"); strings.Count(out, `"id"`) != 1 || !strings.Contains(out, `"state": "completed"`) {
		n.t.Errorf("the item is not completed: %s", out)
	}
	if out := n.run("", "sh", "-c", "git -C $HOME/.kugetsu/repos/*.git log -1 --format=%s fix/issue-12"); out != "an agent was here\n" {
		n.t.Errorf("the branch ends with %q", out)
	}
}

func TestNewcomersPathIsFiveCommandsAndEndsWithACompletedItem(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds kugetsu and runs an agent")
	}
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(readme), "\n## First use\n")
	block := regexp.MustCompile(`(?m)(^    .+\n)+`).FindString(section)
	lines := strings.Split(strings.TrimSuffix(block, "\n"), "\n")
	if len(lines) != 5 || strings.TrimSpace(lines[0]) != "go install ." {
		t.Fatalf("the path is not five commands from go install on: %q", lines)
	}
	n := newNewcomer(t)
	for _, line := range lines {
		n.run("..", "sh", "-c", line)
	}
	n.run("", "sh", "-c", "kugetsu queue wait owner/repo#12")
	n.completed()
	if lines, err := os.ReadFile(filepath.Join(n.home, "crontab")); err != nil || !strings.Contains(string(lines), "kugetsu tick --scheduled") {
		t.Errorf("the schedule is %q, %v", lines, err)
	}
	prompt, err := os.ReadFile(filepath.Join(n.home, "prompt"))
	if err != nil || !strings.HasSuffix(string(prompt), "Fix the crash described in the issue.") {
		t.Errorf("the agent was told %q, %v", prompt, err)
	}

	// What was installed says which commit it is of.
	commit, err := exec.Command("git", "-C", "..", "rev-parse", "HEAD").Output()
	version := n.run("..", "sh", "-c", "kugetsu version")
	tags, _ := exec.Command("git", "-C", "..", "tag", "--points-at", "HEAD").Output()
	repository, statErr := os.Stat("../.git")
	switch {
	case statErr == nil && !repository.IsDir(): // a linked worktree, which Go takes for no repository
	case err != nil: // no repository, but an unpacked archive
		if !strings.Contains(version, "(devel)") {
			t.Errorf("a build of no commit says %q", version)
		}
	case !strings.Contains(version, string(commit[:12])) && !strings.Contains(string(tags), strings.Fields(version)[1]):
		t.Errorf("a build of %s says %q", commit, version)
	}
}

// hostileMessage is a message that a shell would take apart. Any person may type it into a form.
const hostileMessage = "it's \"quoted\"; touch pwned; $(touch pwned) `touch pwned`\n--tick ${{ x }} %s \\n"

// recipe runs the shell steps of a CI recipe, one after the other, as such a job would. The programs that fetch kugetsu and the
// agent do nothing here.
func recipe(t *testing.T, steps []string, env ...string) {
	t.Helper()
	if testing.Short() {
		t.Skip("it builds kugetsu and runs an agent")
	}
	n := newNewcomer(t)
	n.run("..", "go", "install", ".")
	for _, tool := range []string{"tar", "npm"} {
		if err := os.WriteFile(filepath.Join(n.home, "bin", tool), []byte("#!/bin/sh\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	n.env = append(n.env, env...)
	n.env = append(n.env, "RUNNER_TEMP="+n.home, "GITHUB_PATH="+n.home+"/path", "REPO_TOKEN=sesame", "MODEL_KEY=sesame")
	for _, step := range steps {
		if out := n.run(n.home, "sh", "-e", "-c", step); strings.Contains(out, "sesame") {
			t.Errorf("a token is in the job's log: %s", out)
		}
	}
	n.completed()
	prompt, err := os.ReadFile(filepath.Join(n.home, "prompt"))
	if err != nil || !strings.HasSuffix(string(prompt), hostileMessage) {
		t.Errorf("the agent was told %q, %v", prompt, err)
	}
	if _, err := os.Stat(filepath.Join(n.home, "pwned")); err == nil {
		t.Error("the message was run")
	}
}

func TestGitHubRecipeDrainsTheQueue(t *testing.T) {
	var flow struct {
		Jobs map[string]struct {
			Env   map[string]string
			Steps []struct {
				Run string
				Env map[string]string
			}
		}
	}
	load(t, "ci/github.yml", &flow)
	// The values that the forge puts in the place of its expressions.
	values := strings.NewReplacer("${{ secrets.MODEL_KEY }}", "sesame", "${{ github.token }}", "sesame",
		"${{ github.repository }}", "owner/repo", "${{ inputs.issue }}", "12", "${{ inputs.message }}", hostileMessage)
	var steps, env []string
	for key, v := range flow.Jobs["work"].Env {
		env = append(env, key+"="+v)
	}
	for _, s := range flow.Jobs["work"].Steps {
		if strings.Contains(s.Run, "${{") {
			t.Errorf("an expression becomes a part of the script: %s", s.Run)
		}
		for key, v := range s.Env {
			env = append(env, key+"="+values.Replace(v))
		}
		steps = append(steps, s.Run)
	}
	if !slices.ContainsFunc(steps, func(s string) bool { return strings.Contains(s, "kugetsu tick --drain") }) {
		t.Error("nothing is drained")
	}
	recipe(t, steps, env...)
}

func TestGitLabRecipeDrainsTheQueue(t *testing.T) {
	var flow map[string]struct {
		Variables map[string]string
		Before    []string `json:"before_script"`
		Script    []string
		After     []string `json:"after_script"`
	}
	load(t, "ci/gitlab.yml", &flow)
	job := flow["kugetsu"]
	env := []string{"CI_SERVER_HOST=github.com", "CI_PROJECT_PATH=owner/repo", "ISSUE=12", "MESSAGE=" + hostileMessage}
	for key, v := range job.Variables {
		env = append(env, key+"="+v)
	}
	if !slices.Contains(job.Script, "kugetsu tick --drain") {
		t.Error("nothing is drained")
	}
	recipe(t, slices.Concat(job.Before, job.Script, job.After), env...)
}
