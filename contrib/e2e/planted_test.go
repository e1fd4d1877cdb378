package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kugetsu/contrib/internal/rig"
)

// A plant is a place in which an agent leaves a program for a git to run.
type plant struct {
	name   string
	script string                // of sh, in the worktree; its paths are those of planting
	stands func(p planting) bool // looks from outside of the sandbox
	open   bool                  // the sandbox lets it stand
}

// A planting is where the plants of an issue go.
type planting struct {
	home, worktree string
	common         string // the repository
	record         string // that of the worktree, in the repository
	canary         string // the program
}

// script is what the tool of the agent runs: the plant, with the paths as variables.
func (p planting) script(plant plant) string {
	return fmt.Sprintf("<<bash home='%s' worktree='%s' common='%s' record='%s' canary='%s'\n%s>>",
		p.home, p.worktree, p.common, p.record, p.canary, programsOf+plant.script)
}

// programsOf is a function that writes into a file of configuration what git runs.
const programsOf = `believe() {
	for key in core.fsmonitor core.sshCommand core.askPass core.pager diff.external filter.x.clean filter.x.smudge filter.x.process remote.origin.uploadpack; do
		git config --file "$1" "$key" "$canary $key" || return
	done
	git config --file "$1" core.hooksPath "$worktree/hooks" && git config --file "$1" credential.helper "!$canary credential"
}
`

func contains(path, text string) bool { return strings.Contains(string(readFile(path)), text) }

// inRepository are the plants that one worktree can hold all at once; the others replace what these need.
var inRepository = []plant{
	{
		name:   "attributes and hooks in the worktree",
		script: `printf '* filter=x diff=x\n' >.gitattributes; mkdir -p hooks; for hook in post-index-change reference-transaction post-checkout; do cp "$canary" hooks/$hook; done`,
		stands: func(p planting) bool { return contains(filepath.Join(p.worktree, ".gitattributes"), "filter=x") },
		open:   true,
	},
	{
		name:   "the configuration of the repository",
		script: `believe "$common/config"`,
		stands: func(p planting) bool { return contains(filepath.Join(p.common, "config"), "canary") },
	},
	{
		name: "a snapshot whose object is missing",
		script: `tree=$(printf '100644 blob 1234567890123456789012345678901234567890\tmissing\n' | git mktree --missing) &&
commit=$(git -c user.name=a -c user.email=a@b commit-tree -p HEAD -m 'kugetsu: uncommitted' "$tree") &&
git update-ref "refs/kugetsu/issue-1/$commit" "$commit" && git update-ref refs/heads/planted "$commit"`,
		stands: func(p planting) bool { return len(readFile(filepath.Join(p.common, "refs", "heads", "planted"))) > 0 },
		open:   true,
	},
	{
		name: "a promisor remote, from which that object is to come",
		script: `git config --file "$common/config" extensions.partialClone origin && git config --file "$common/config" remote.origin.promisor true &&
git config --file "$common/config" core.repositoryFormatVersion 1`,
		stands: func(p planting) bool { return contains(filepath.Join(p.common, "config"), "promisor") },
	},
	{
		name: "config.worktree, in the record of the worktree",
		script: `git config --file "$common/config" core.repositoryFormatVersion 1; git config --file "$common/config" extensions.worktreeConfig true
believe "$record/config.worktree"; believe "$common/config.worktree"`,
		stands: func(p planting) bool {
			return contains(filepath.Join(p.record, "config.worktree"), "canary") && contains(filepath.Join(p.common, "config"), "worktreeConfig")
		},
	},
	{
		name:   "hooks of the repository",
		script: `mkdir -p "$common/hooks"; for hook in post-index-change reference-transaction post-checkout; do cp "$canary" "$common/hooks/$hook"; done`,
		stands: func(p planting) bool { return len(readFile(filepath.Join(p.common, "hooks", "post-checkout"))) > 0 },
	},
	{
		name:   "info/attributes of the repository",
		script: `mkdir -p "$common/info"; printf '* filter=x diff=x\n' >"$common/info/attributes"`,
		stands: func(p planting) bool { return contains(filepath.Join(p.common, "info", "attributes"), "filter=x") },
	},
	{
		name:   "the configuration of the user",
		script: `believe "$home/.gitconfig"`,
		stands: func(p planting) bool { return contains(filepath.Join(p.home, ".gitconfig"), "canary") },
	},
}

// repositoryOfItsOwn makes a repository in the worktree that has all of the above.
const repositoryOfItsOwn = `git init -q --bare own.git && believe own.git/config && git config --file own.git/config core.bare false
mkdir -p own.git/info own.git/hooks; printf '* filter=x diff=x\n' >own.git/info/attributes; cp "$canary" own.git/hooks/post-index-change
`

var instead = []plant{
	{
		name:   "a .git that leads to a repository of its own",
		script: repositoryOfItsOwn + `unlink .git; mv .git moved.git; echo "gitdir: $worktree/own.git" >.git; cat .git`,
		stands: func(p planting) bool { return contains(filepath.Join(p.worktree, ".git"), "own.git") },
	},
	{
		name:   "a record that leads to a repository of its own",
		script: repositoryOfItsOwn + `echo "$worktree/own.git" >"$record/commondir"`,
		stands: func(p planting) bool { return contains(filepath.Join(p.record, "commondir"), "own.git") },
		open:   true,
	},
}

// outsideOfTmp makes a folder that codex's sandbox does not open by itself, as it does /tmp and TMPDIR.
func outsideOfTmp(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err == nil {
		err = os.MkdirAll(cache, 0o700)
	}
	if err == nil {
		cache, err = filepath.EvalSymlinks(cache)
	}
	if err != nil {
		t.Skipf("a folder outside of /tmp is needed, which the sandbox opens: %v", err)
	}
	for _, open := range []string{"/tmp", os.TempDir()} {
		if strings.HasPrefix(cache+"/", open+"/") {
			t.Skipf("a folder outside of %s is needed, which the sandbox opens: the cache folder, %s, is in it", open, cache)
		}
	}
	dir, err := os.MkdirTemp(cache, "kugetsu-e2e-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// A garden is a world with codex in which programs are planted.
type garden struct {
	*world
	home, canary, canaries string
	open                   bool // without codex's sandbox
}

// newGarden makes a world whose repository is a clone of kugetsu's own, or a checkout of the user's.
func newGarden(t *testing.T, bin string, checkout, open bool) *garden {
	t.Helper()
	program, stub, root := binary(t, "codex"), newStub(t), outsideOfTmp(t)
	g := &garden{home: filepath.Join(root, "home"), canary: filepath.Join(root, "canary"), canaries: filepath.Join(root, "canaries"), open: open}
	env := codexHome(t, g.home, stub)
	// It notes the programs that had it run. Its note is where no sandbox lets it write.
	writeFile(t, g.canary, []byte(`#!/bin/sh
chain= pid=$$
while [ "${pid:-0}" -gt 1 ]; do
	read -r name </proc/$pid/comm; chain="$chain < $name"
	pid=$(sed -n 's/^PPid:[[:space:]]*//p' /proc/$pid/status)
done
echo "$0 $* $chain" >>'`+g.canaries+`'
`))
	if err := os.Chmod(g.canary, 0o755); err != nil {
		t.Fatal(err)
	}
	g.world = newWorldIn(t, root, g.home, bin, stub, "codex", program, env)
	g.env = append(g.env, "MAX_ATTEMPTS=1", "AGENT_ARGS_CODEX=-m ok", "GIT_CONFIG_NOSYSTEM=1")
	if open {
		g.env = append(g.env, "AGENT_ARGS_CODEX=-s danger-full-access -m ok")
	}
	if checkout {
		dir := filepath.Join(root, "checkout")
		g.git(root, "clone", "-q", g.origin, dir)
		writeFile(t, filepath.Join(g.state, "repos.json"), encode(object{"github.com/you/project": dir}))
	}
	return g
}

// sang returns the notes of the canaries that ran, and forgets them. Codex runs git as well: that is not kugetsu's.
func (g *garden) sang() (lines []string) {
	g.t.Helper()
	for line := range strings.Lines(string(readFile(g.canaries))) {
		if strings.Contains(line, "< codex") || strings.Contains(line, "< node") {
			if !g.open {
				g.t.Logf("codex itself ran %s", strings.TrimSpace(line))
			}
			continue
		}
		lines = append(lines, strings.TrimSpace(line))
	}
	_ = os.Remove(g.canaries)
	return lines
}

// quiet runs a command of kugetsu, however that ends, and looks for canaries.
func (g *garden) quiet(args ...string) string {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, g.bin, args...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = g.home, g.env, time.Second
	out, _ := cmd.CombinedOutput()
	if ctx.Err() != nil {
		g.t.Errorf("kugetsu %q does not end", args)
	}
	for _, line := range g.sang() {
		g.t.Errorf("kugetsu %q ran %s\n%s", args, line, out)
	}
	return string(out)
}

// work has codex do what a message says, for one issue, in a run of its own.
func (g *garden) work(n int, message string) {
	g.t.Helper()
	id := g.delegate(fmt.Sprintf("you/project#%d", n), message)
	g.quiet("tick", "--drain")
	if it := g.item(id); it.State != "completed" {
		g.t.Logf("issue %d did not go on: %s", n, *it.Error)
	}
	for _, text := range toolResults(g.stub.Requests()) {
		if strings.Contains(text, "bwrap: ") {
			g.t.Skipf("codex's sandbox does not work on this machine: %s", text)
		}
	}
}

// planting is where the plants of an issue go; its worktree stands.
func (g *garden) planting(n int) planting {
	g.t.Helper()
	p := planting{home: g.home, canary: g.canary, worktree: g.session(n).Worktree}
	p.common = g.git(p.worktree, "rev-parse", "--path-format=absolute", "--git-common-dir")
	p.record = g.git(p.worktree, "rev-parse", "--absolute-git-dir")
	return p
}

// plant has codex plant all of a list in one run, and says of each whether it stands then.
func (g *garden) plant(n int, list []plant) {
	g.t.Helper()
	g.work(n, "<<say I am here>>")
	p := g.planting(n)
	var message strings.Builder
	message.WriteString("<<write left.txt|uncommitted>>")
	for _, plant := range list {
		message.WriteString(p.script(plant))
	}
	g.work(n, message.String()+"<<say planted>>")
	results := toolResults(g.stub.Requests())
	for i, plant := range list {
		_, said, _ := strings.Cut(results[len(results)-len(list)+i], "Output:\n")
		said, _, _ = strings.Cut(said, "\n")
		switch stands := plant.stands(p); {
		case stands && !g.open && !plant.open:
			g.t.Errorf("issue %d: the sandbox let it stand: %s", n, plant.name)
		case stands:
			g.t.Logf("issue %d: it stands, and kugetsu's own git must ignore it: %s", n, plant.name)
		case g.open || plant.open:
			g.t.Errorf("issue %d: it does not stand, and shows nothing: %s: %s", n, plant.name, said)
		default:
			g.t.Logf("issue %d: the sandbox refused it: %s: %s", n, plant.name, said)
		}
	}
}

// toolResults is what the tools printed in the newest conversation.
func toolResults(requests []request) (results []string) {
	for _, u := range requests[len(requests)-1].Turns {
		if u.Role == "tool" {
			results = append(results, u.Text)
		}
	}
	return results
}

// look runs commands of kugetsu that look at what was planted for an issue, go on with it, and end it.
func (g *garden) look(n int) {
	g.t.Helper()
	issue := fmt.Sprintf("you/project#%d", n)
	for _, args := range [][]string{{"status"}, {"list"}, {"list", "--json"}, {"restore", "--list", issue}, {"restore", issue}, {"doctor", issue}, {"prune", "--dry-run"}, {"destroy", issue}} {
		g.quiet(args...)
	}
	g.work(n, "<<write again.txt|more>><<say again>>")
	for _, args := range [][]string{{"list"}, {"destroy", "--force", issue}, {"restore", issue}, {"prune"}, {"list"}, {"tick"}} {
		g.quiet(args...)
	}
}

// walksIn runs a plain git where canaries are planted, and wants one to run.
func (g *garden) walksIn(n int) {
	g.t.Helper()
	for _, args := range [][]string{{"status"}, {"add", "-A"}, {"update-index", "--refresh"}} {
		cmd := exec.CommandContext(g.t.Context(), "git", args...)
		cmd.Dir, cmd.Env = g.session(n).Worktree, g.env
		_ = cmd.Run() // it may fail, as long as it runs one
	}
	if len(g.sang()) == 0 {
		g.t.Errorf("issue %d: a plain git runs none of the programs, so that they show nothing", n)
	}
}

// Codex's sandbox, as the preset opens it, refuses most of the plants, and kugetsu's own git ignores the others. Without the
// sandbox all of them stand, and a plain git walks into them: the traps are live.
func TestCodexPlantsNothingThatKugetsuRuns(t *testing.T) {
	t.Parallel()
	binary(t, "codex")
	bin := rig.Kugetsu(t)
	for _, c := range []struct {
		name           string
		checkout, open bool
	}{
		{name: "in a clone"},
		{name: "in a checkout of the user's", checkout: true},
		{name: "in a clone, without its sandbox", open: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.checkout || c.open {
				needFull(t, "contrib/canary plants as much")
			}
			t.Parallel()
			g := newGarden(t, bin, c.checkout, c.open)
			for i, list := range [][]plant{inRepository, instead[:1], instead[1:]} {
				n := 1 + i
				g.plant(n, list)
				if c.open {
					_ = os.Remove(filepath.Join(g.home, ".gitconfig")) // what the user's own file says is the user's word
					g.walksIn(n)
				}
				g.look(n)
			}
		})
	}
}
