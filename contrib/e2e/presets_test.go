package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"kugetsu/contrib/internal/rig"
	"kugetsu/queue/outcome"
	"kugetsu/slots/agent"
	"kugetsu/slots/worktree"
)

// A cli is an agent's program as the tests run it: with the argv of its preset, which its parser then reads.
type cli struct {
	preset string
	// args are what AGENT_ARGS_… would hold, with the model.
	args func(model string) string
	// home makes a home folder in which it knows the stub alone, and says what its environment has to be.
	home func(t *testing.T, s *stub) (env []string)
	// limited is the environment by which it is told when a limit is lifted, where that is another one.
	limited func(env []string) []string
	// stored is where its home has a conversation from which it can go on, where that is not there before a tool runs.
	stored string
	// hasty: it may end before its last words are stored. claude 2.1.197 did once, at a load of 20.
	hasty bool
}

var clis = []cli{
	{
		preset: "opencode",
		args:   func(model string) string { return "-m stub/" + model },
		home: func(t *testing.T, s *stub) []string {
			_, env := opencodeHome(t, s.URL(), nil)
			return env
		},
	},
	{
		preset: "claude",
		hasty:  true,
		args:   func(model string) string { return "--model " + model },
		home: func(t *testing.T, s *stub) []string {
			return []string{
				"HOME=" + t.TempDir(), "ANTHROPIC_BASE_URL=" + s.Root(), "ANTHROPIC_API_KEY=none", "ANTHROPIC_SMALL_FAST_MODEL=ok",
				"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1", "DISABLE_AUTOUPDATER=1",
				"CLAUDE_CODE_MAX_RETRIES=1", // a refused key is tried for more than a minute
			}
		},
		limited: func(env []string) []string { // only a subscription has limits with a time
			env = slices.DeleteFunc(slices.Clone(env), func(kv string) bool { return strings.HasPrefix(kv, "ANTHROPIC_API_KEY=") })
			return append(env, "CLAUDE_CODE_OAUTH_TOKEN=none")
		},
		stored: ".claude/projects/*/*.jsonl",
	},
	{
		preset: "codex",
		// Its sandbox needs more of the machine than a test can ask for; it has a test of its own.
		args: func(model string) string { return "-s danger-full-access -m " + model },
		home: func(t *testing.T, s *stub) []string {
			return codexHome(t, t.TempDir(), s)
		},
	},
	{
		preset: "gemini",
		args:   func(model string) string { return "-m " + model },
		home: func(t *testing.T, s *stub) []string {
			home := t.TempDir()
			writeFile(t, filepath.Join(home, ".gemini", "settings.json"), encode(object{
				"security": object{"auth": object{"selectedType": "gemini-api-key"}},
				"privacy":  object{"usageStatisticsEnabled": false},
				"general":  object{"enableAutoUpdate": false},
			}))
			return []string{"HOME=" + home, "GEMINI_API_KEY=none", "GOOGLE_GEMINI_BASE_URL=" + s.Root()}
		},
	},
}

// codexHome makes a folder a home in which codex knows the stub alone.
func codexHome(t *testing.T, home string, s *stub) (env []string) {
	t.Helper()
	writeFile(t, filepath.Join(home, ".codex", "config.toml"), []byte(fmt.Sprintf(`model = "ok"
model_provider = "stub"
[model_providers.stub]
name = "stub"
base_url = %q
env_key = "MODEL_KEY"
wire_api = "responses"
request_max_retries = 1
stream_max_retries = 1
`, s.URL())))
	return []string{"HOME=" + home, "MODEL_KEY=none"}
}

// A bench is an agent's program, a model for it, and a worktree of a repository to work in.
type bench struct {
	t        *testing.T
	cli      cli
	preset   agent.Preset
	stub     *stub
	env      []string
	program  string
	worktree string
	repo     string
}

func newBench(t *testing.T, c cli) *bench {
	t.Helper()
	return newBenchIn(t, t.TempDir(), c)
}

// newBenchIn is newBench with its repository and its worktree in a folder that is given.
func newBenchIn(t *testing.T, root string, c cli) *bench {
	t.Helper()
	b := &bench{t: t, cli: c, stub: newStub(t), program: binary(t, c.preset)}
	var err error
	if b.preset, err = agent.Lookup(c.preset); err != nil {
		t.Fatal(err)
	}
	b.env = c.home(t, b.stub)
	main := filepath.Join(root, "main")
	if err := os.Mkdir(main, 0o700); err != nil {
		t.Fatal(err)
	}
	newRepositoryIn(t, main)
	b.worktree, b.repo = filepath.Join(root, "issue@1"), filepath.Join(main, ".git")
	if out, err := exec.CommandContext(t.Context(), "git", "-C", main, "worktree", "add", "-q", b.worktree, "-b", "fix").CombinedOutput(); err != nil {
		t.Fatalf("git worktree: %v\n%s", err, out)
	}
	return b
}

// A made is what one run by a preset came to.
type made struct {
	agent.Report
	exit         agent.Exit
	conversation string
	progress     bool
	parked       bool
	output       string
}

func (m made) String() string {
	return fmt.Sprintf("%s, parked %t, %+v\n%s", m.exit, m.parked, m.Report, m.output)
}

// run runs the program as a runner would: with the argv of the preset, PWD, a folder for temporary files of its own and
// the prompt in a file on stdin. A program that is parked, or for which kill says so, is killed with its process group.
func (b *bench) run(prompt, args, conversation string, kill func() bool) made {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), agentTimeout)
	defer cancel()
	argv, err := b.preset.Argv(agent.Call{
		Worktree: b.worktree, Writable: worktree.Made{Repository: b.repo, Record: filepath.Join(b.repo, "worktrees", "issue@1")}.Writable(), Title: "kugetsu e2e", Conversation: conversation, Continue: conversation != "",
		Major: 1, Args: args,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	input := filepath.Join(b.t.TempDir(), "input")
	writeFile(b.t, input, []byte(prompt))
	stdin, err := os.Open(input)
	if err != nil {
		b.t.Fatal(err)
	}
	defer stdin.Close()
	cmd := exec.CommandContext(ctx, b.program, argv[1:]...)
	cmd.Dir, cmd.Stdin = b.worktree, stdin
	cmd.Env = append(slices.Clone(b.env), "PATH="+os.Getenv("PATH"), "TMPDIR="+b.t.TempDir(), "PWD="+b.worktree, "LANG=C.UTF-8",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=e2e", "GIT_AUTHOR_EMAIL=e2e@localhost", "GIT_COMMITTER_NAME=e2e", "GIT_COMMITTER_EMAIL=e2e@localhost")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}

	var m made
	var mu sync.Mutex // guards m and the parser
	var readers sync.WaitGroup
	parser := b.preset.Parser(time.Now)
	read := func(pipe io.Reader, each func(line []byte) bool) {
		lines := bufio.NewScanner(pipe)
		lines.Buffer(nil, agent.MaxLine)
		for lines.Scan() {
			mu.Lock()
			m.progress = each(lines.Bytes()) || m.progress
			m.output += lines.Text() + "\n"
			mu.Unlock()
		}
	}
	readers.Go(func() { read(stdout, parser.Stdout) })
	readers.Go(func() { read(stderr, parser.Stderr) })
	ended := make(chan struct{})
	go func() { readers.Wait(); close(ended) }()
	for running := true; running; {
		select {
		case <-ended:
			running = false
		case <-time.After(20 * time.Millisecond):
			mu.Lock()
			m.parked = m.parked || parser.Parked()
			end := m.parked || kill != nil && kill()
			mu.Unlock()
			if end {
				_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // it may have ended just now
			}
		}
	}
	_ = cmd.Wait() // how it ended is in the state
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	m.exit = agent.Exit{Code: max(status.ExitStatus(), 0)}
	if status.Signaled() {
		m.exit = agent.Exit{Signal: status.Signal()}
	}
	m.conversation, m.Report = parser.Conversation(), parser.Report(m.exit)
	if err := context.Cause(ctx); err != nil {
		b.t.Fatalf("%s did not end by itself: %v\n%s", b.cli.preset, err, m)
	}
	b.t.Logf("%s: %s, %s %.80q", b.cli.preset, m.exit, m.Outcome, m.Summary)
	return m
}

// sent checks that the model was sent these turns, in this order, in the last request that offered it tools.
func (b *bench) sent(want ...turn) {
	b.t.Helper()
	var turns []turn
	for _, q := range slices.Backward(b.stub.Requests()) {
		if len(q.Tools) > 0 {
			turns = q.Turns
			break
		}
	}
	left := turns
	for _, w := range want {
		if b.cli.hasty && w.Role == "assistant" {
			continue
		}
		i := slices.IndexFunc(left, func(u turn) bool { return u.Role == w.Role && strings.Contains(u.Text, w.Text) })
		if i < 0 {
			b.t.Fatalf("the model was not sent %q after what came before it, but %q", w, turns)
		}
		left = left[i+1:]
	}
}

func (b *bench) git(args ...string) string {
	b.t.Helper()
	out, err := exec.CommandContext(b.t.Context(), "git", append([]string{"-C", b.worktree}, args...)...).CombinedOutput()
	if err != nil {
		b.t.Fatalf("git %q: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// TestPresets runs what every preset promises of its program.
func TestPresets(t *testing.T) {
	t.Parallel()
	for _, c := range clis {
		t.Run(c.preset, func(t *testing.T) {
			t.Parallel()
			binary(t, c.preset)
			for _, test := range []struct {
				name   string
				run    func(b *bench)
				always bool // also with a slow agent
			}{
				{"works in the worktree, and remembers", worksAndRemembers, c.preset == "gemini"}, // opencode does in TestKugetsu
				{"fails with its model", failsWithItsModel, false},
				{"tells of a refused key", tellsOfARefusedKey, true},
				{"tells of a limit, and until when", tellsOfALimit, true},
				{"goes on after it was killed", goesOnAfterKill, false},
				{"says that a conversation is gone", saysThatAConversationIsGone, false},
			} {
				t.Run(test.name, func(t *testing.T) {
					if isSlow(c.preset) && !test.always {
						needFull(t, "another agent shows it, or TestKugetsu")
					}
					test.run(newBench(t, c))
				})
			}
		})
	}
}

func worksAndRemembers(b *bench) {
	const prompt = "greet \"the\" world, $(twice)\n<<write greeting.txt|hello>><<bash git add greeting.txt && git commit -qm greet && echo so-be-it>><<say greeted>>"
	first := b.run(prompt, b.cli.args("ok"), "", nil)
	if first.Outcome != outcome.OK || first.Summary != "greeted" || first.conversation == "" || !first.progress {
		b.t.Fatalf("want ok, a conversation and progress: %s", first)
	}
	if got := b.git("show", "fix:greeting.txt"); got != "hello" {
		b.t.Errorf("the commit holds %q", got)
	}
	second := b.run("<<say again>>", b.cli.args("ok"), first.conversation, nil)
	if second.Outcome != outcome.OK || second.Summary != "again" || second.conversation != first.conversation {
		b.t.Fatalf("want conversation %s to go on: %s", first.conversation, second)
	}
	b.sent(turn{"user", prompt}, turn{"tool", ""}, turn{"tool", "so-be-it"}, turn{"assistant", "greeted"}, turn{"user", "<<say again>>"})
}

func failsWithItsModel(b *bench) {
	m := b.run("go on", b.cli.args("e400"), "", nil)
	if m.Outcome != outcome.Failed || m.exit == (agent.Exit{}) || !strings.Contains(m.Summary, "stub: model e400 answers with status 400") || m.progress {
		b.t.Errorf("want failed, in the model's words: %s", m)
	}
}

func tellsOfARefusedKey(b *bench) {
	m := b.run("go on", b.cli.args("e401"), "", nil)
	if m.Outcome != outcome.Auth || m.Summary == "" || m.progress {
		b.t.Errorf("want auth: %s", m)
	}
}

func tellsOfALimit(b *bench) {
	if b.cli.limited != nil {
		b.env = b.cli.limited(b.env)
	}
	begin := time.Now()
	m := b.run("go on", b.cli.args("e429"), "", nil)
	if m.Outcome != outcome.UsageLimit || m.Summary == "" || m.progress {
		b.t.Fatalf("want usage_limit: %s", m)
	}
	// Some tell the minute only.
	if early, late := begin.Add(limitLength-time.Minute), time.Now().Add(limitLength); m.Reset.Before(early) || m.Reset.After(late) {
		b.t.Errorf("the limit is lifted at %s, want it between %s and %s: %s", m.Reset, early, late, m)
	}
	if waits := b.cli.preset == "opencode"; m.parked != waits {
		b.t.Errorf("parked %t: %s", m.parked, m)
	}
}

func goesOnAfterKill(b *bench) {
	pid := filepath.Join(b.t.TempDir(), "pid")
	prompt := fmt.Sprintf("remember the moon\n<<bash echo $$ >%s.new && mv %[1]s.new %[1]s && exec sleep 600>><<say never>>", pid)
	b.t.Cleanup(func() { // the tool is in a session of its own: a signal to the agent's group does not reach it
		if n, err := strconv.Atoi(strings.TrimSpace(string(readFile(pid)))); err == nil {
			_ = syscall.Kill(n, syscall.SIGKILL)
		}
	})
	home, _ := strings.CutPrefix(b.env[0], "HOME=")
	stored := func() bool {
		files, _ := filepath.Glob(filepath.Join(home, b.cli.stored))
		return b.cli.stored == "" || slices.ContainsFunc(files, func(path string) bool { return strings.Contains(string(readFile(path)), "remember the moon") })
	}
	killed := b.run(prompt, b.cli.args("ok"), "", func() bool { return len(readFile(pid)) > 0 && stored() })
	if killed.exit.Signal != syscall.SIGKILL || killed.Outcome != outcome.Failed || killed.conversation == "" {
		b.t.Fatalf("want it killed, and its conversation known: %s", killed)
	}
	after := b.run("<<say found again>>", b.cli.args("ok"), killed.conversation, nil)
	if after.Outcome != outcome.OK || after.Summary != "found again" || after.conversation != killed.conversation {
		b.t.Fatalf("want conversation %s to go on: %s", killed.conversation, after)
	}
	b.sent(turn{"user", "remember the moon"}, turn{"user", "<<say found again>>"})
}

func saysThatAConversationIsGone(b *bench) {
	gone := "0199a213-81c0-7800-8aa1-bbab2a035a53"
	if b.cli.preset == "opencode" {
		gone = "ses_0000000000000000000000000a"
	}
	m := b.run("go on", b.cli.args("ok"), gone, nil)
	if m.Outcome != outcome.Failed || !m.Gone {
		b.t.Errorf("want failed, and its conversation gone: %s", m)
	}
}

func readFile(path string) []byte {
	data, _ := os.ReadFile(path) // a missing one is empty
	return data
}

func TestClaudeIsDeniedWhatItsRulesDeny(t *testing.T) {
	t.Parallel()
	b := newBench(t, clis[1])
	home, _ := strings.CutPrefix(b.env[0], "HOME=")
	writeFile(t, filepath.Join(home, ".claude", "settings.json"), encode(object{"permissions": object{"deny": []string{"Bash(touch:*)"}}}))
	m := b.run("<<bash touch made>><<say I did what I could>>", b.cli.args("ok"), "", nil)
	if m.Outcome != outcome.Denied || m.exit != (agent.Exit{}) || m.Refused.Last() != "Bash touch made" {
		t.Errorf("want exit 0, and denied all the same: %s", m)
	}
}

func TestGeminiIsDeniedWhatItsPoliciesDeny(t *testing.T) {
	t.Parallel()
	b := newBench(t, clis[3])
	policy := filepath.Join(t.TempDir(), "deny.toml")
	writeFile(t, policy, []byte("[[rule]]\ntoolName = \"run_shell_command\"\ncommandPrefix = \"touch\"\ndecision = \"deny\"\npriority = 999\n"))
	m := b.run("<<bash touch made>><<say I did what I could>>", b.cli.args("ok")+" --policy "+policy, "", nil)
	if m.Outcome != outcome.Denied || m.exit != (agent.Exit{}) || !strings.HasPrefix(m.Refused.Last(), "run_shell_command") {
		t.Errorf("want exit 0, and denied all the same: %s", m)
	}
}

func TestClaudeAsRootSaysWhyItDoesNotStart(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("root alone is refused --permission-mode bypassPermissions")
	}
	b := newBench(t, clis[1])
	m := b.run("go on", "--permission-mode bypassPermissions", "", nil)
	if m.Outcome != outcome.Failed || !strings.Contains(m.Summary, "root") {
		t.Errorf("want the reason in the summary: %s", m)
	}
}

// The preset opens codex's sandbox for what git writes to, and for the network, and for nothing else.
func TestCodexCommitsWithinItsSandbox(t *testing.T) {
	t.Parallel()
	b := newBenchIn(t, outsideOfTmp(t), clis[2])
	const outside = "/var/kugetsu-e2e-must-not-be" // folders for temporary files may be written to
	m := b.run("<<write a.txt|x>><<bash git add a.txt && git commit -qm boxed && echo so-be-it>><<bash touch "+outside+">><<say done>>", "-m ok", "", nil)
	requests := b.stub.Requests()
	for _, u := range requests[len(requests)-1].Turns {
		if u.Role == "tool" && strings.Contains(u.Text, "bwrap: ") {
			t.Skipf("codex's sandbox does not work on this machine: %s", u.Text)
		}
	}
	if m.Outcome != outcome.OK || b.git("log", "-1", "--format=%s") != "boxed" {
		t.Errorf("it could not commit: %q\n%s", requests[len(requests)-1].Turns, m)
	}
	if _, err := os.Stat(outside); err == nil {
		t.Errorf("it wrote outside: %v", os.Remove(outside))
	}
}

// read is what a person reads of the two runs below in the log of each agent. codex tells neither a price nor how many lines it changed,
// and counts the tokens of the whole conversation; neither agent tells how long a call took.
var read = map[string][2]string{
	"claude": {
		"write greeting.txt +1  ✓\nedit greeting.txt +1 −1  ✓\n$ git add greeting.txt && git commit -qm greet && git push -q origin HEAD  ✓\ngreeted\n" +
			"4000 tokens in, 40 out, $N\nok, took T, 1 commit, 0 files uncommitted, 4040 tokens, $N\nID github.com/you/project#1: completed\n",
		"$ echo broken; exit 3  ✗\n  │ Exit code 3\n  │ broken\n$ git commit -q --allow-empty -m again  ✓\ngreeted again\n" +
			"3000 tokens in, 30 out, $N\nok, took T, 1 commit (2 on the branch), 0 files uncommitted, 3030 tokens, $N\n",
	},
	"codex": {
		"$ printf %s 'helo' > 'greeting.txt'  ✓\nedit greeting.txt  ✓\n$ git add greeting.txt && git commit -qm greet && git push -q origin HEAD  ✓\ngreeted\n" +
			"4000 tokens in, 40 out\nok, took T, 1 commit, 0 files uncommitted\nID github.com/you/project#1: completed\n",
		"$ echo broken; exit 3  ✗\n  │ broken\n$ git commit -q --allow-empty -m again  ✓\ngreeted again\n" +
			"7000 tokens in, 70 out\nok, took T, 1 commit (2 on the branch), 0 files uncommitted\n",
	},
}

// TestKugetsuWithOtherAgents drives kugetsu as its user does, with the agents that are quick.
func TestKugetsuWithOtherAgents(t *testing.T) {
	t.Parallel()
	for _, c := range clis[1:3] {
		t.Run(c.preset, func(t *testing.T) {
			t.Parallel()
			program, stub := binary(t, c.preset), newStub(t)
			w := newWorldOf(t, rig.Kugetsu(t), stub, c.preset, program, c.home(t, stub))
			w = w.with("AGENT_ARGS=--no-such-option", "AGENT_ARGS_"+strings.ToUpper(c.preset)+"="+c.args("ok"))
			first := w.delegate("you/project#1", "<<write greeting.txt|helo>><<edit greeting.txt|helo|hello>><<bash git add greeting.txt && git commit -qm greet && git push -q origin HEAD>><<say greeted>>")
			w.tick()
			w.reads(w.terminal("logs", "-f", first), read[c.preset][0])
			before := w.session(1)
			if got := w.git(w.origin, "log", "-1", "--format=%s", "fix/issue-1"); got != "greet" || before.Conversation == "" {
				t.Fatalf("the remote's last commit is %q, the conversation %q\n%s", got, before.Conversation, w.logs())
			}
			second := w.delegate("you/project#1", "<<bash echo broken; exit 3>><<bash git commit -q --allow-empty -m again>><<say greeted again>>")
			w.kugetsu(0, "tick", "--drain")
			w.reads(w.terminal("logs", second), read[c.preset][1])
			for id, summary := range map[string]string{first: "greeted", second: "greeted again"} {
				it := w.item(id)
				if it.State != "completed" || it.Runs != 1 || it.History[0].Outcome != "ok" || it.History[0].Summary != summary || it.History[0].Changes.Commits != 1 {
					t.Errorf("want it completed, with one commit and %q: %s\n%s", summary, it, w.logs())
				}
			}
			if after := w.session(1); after.Conversation != before.Conversation || after.Worktree != before.Worktree {
				t.Errorf("issue 1 was not continued: %+v, then %+v", before, after)
			}
			(&bench{t: t, cli: c, stub: stub}).sent(turn{"user", "<<say greeted>>"}, turn{"assistant", "greeted"}, turn{"user", "<<say greeted again>>"})
		})
	}
}
