package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kugetsu/contrib/internal/rig"
)

// patience bounds every wait for runs. A run takes five seconds where nothing else is going on.
const patience = rig.Patience

// Without -full the agents that take ten seconds of the processor for each run, opencode and gemini, are tried with what no other test
// tries with them, and codex plants in one way of three.
//
//	go test ./contrib/e2e -full -timeout 1h
var full = flag.Bool("full", false, "try all agents with all, and not the slow ones with little")

// needFull skips a test without -full.
func needFull(t *testing.T, why string) {
	t.Helper()
	if !*full {
		t.Skip("with -full alone: " + why)
	}
}

// isSlow says whether an agent takes that long.
func isSlow(preset string) bool { return preset == "opencode" || preset == "gemini" }

func TestMain(m *testing.M) {
	rig.FullOnly("real agents")
	os.Exit(m.Run())
}

// TestKugetsu drives kugetsu as its user does, with its commands alone, and opencode as its agent.
func TestKugetsu(t *testing.T) {
	t.Parallel()
	opencodeBinary(t)
	bin := rig.Kugetsu(t)
	for _, test := range []struct {
		name string
		run  func(t *testing.T, bin string)
	}{
		{"completes two issues and continues one", completesAndContinues},
		{"says denied where opencode exits 0 after a refusal", saysDenied},
		{"retries a failing model and goes on after queue retry", retriesFailures},
		{"retries what was lost with its runner", retriesLost},
		{"keeps uncommitted work, and tells the agent why it was not verified", keepsUncommitted},
		{"does not count an attempt for a database that is locked", waitsForDatabase},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, bin) })
	}
}

func completesAndContinues(t *testing.T, bin string) {
	w := newWorld(t, bin, nil)
	message := func(n int) string {
		return fmt.Sprintf("greet \"the\" world, $(twice)\n<<write greeting.txt|helo %d>><<edit greeting.txt|helo|hello>>"+
			"<<bash git add greeting.txt && git commit -qm 'greet %[1]d' && git push -q origin HEAD>><<say greeted %[1]d>>", n)
	}
	ids := map[int]string{1: w.delegate("you/project#1", message(1)), 2: w.delegate("you/project#2", message(2))}
	var report struct {
		Started []struct{ Item string }
	}
	w.decode(w.tick("--json"), &report)
	if len(report.Started) != 2 {
		t.Fatalf("the tick started %v, want both items", report.Started)
	}
	w.reads(w.terminal("logs", "-f", ids[1]), "write greeting.txt +1  ✓\nedit greeting.txt +1 −1  ✓\n$ git add greeting.txt && git commit -qm 'greet 1' && git push -q origin HEAD  ✓\n"+
		"greeted 1\n4000 tokens in, 40 out, $N\nok, took T, 1 commit, 0 files uncommitted, 4040 tokens, $N\nID github.com/you/project#1: completed\n")
	w.kugetsu(0, "queue", "wait", ids[1], ids[2], "--timeout", patience.String()) // nothing else makes a pass
	if a, b := w.session(1), w.session(2); a.Conversation == b.Conversation || a.Worktree == b.Worktree {
		t.Errorf("two issues share a conversation or a worktree: %+v, %+v", a, b)
	}
	for n, id := range ids {
		s, want := w.session(n), fmt.Sprintf("greet %d", n)
		w.completed(id, ending{lockedOut: true, commits: 1, steps: 4, summary: fmt.Sprintf("greeted %d", n)})
		if !strings.HasPrefix(s.Conversation, "ses_") {
			t.Errorf("the conversation of issue %d is %q", n, s.Conversation)
		}
		w.holds(filepath.Join(s.Worktree, "greeting.txt"), fmt.Sprintf("hello %d", n))
		branch := fmt.Sprintf("fix/issue-%d", n)
		if here, there := w.git(s.Worktree, "log", "-1", "--format=%s", branch), w.git(w.origin, "log", "-1", "--format=%s", branch); here != want || there != want {
			t.Errorf("the last commit of %s is %q, of its remote %q", branch, here, there)
		}
		if log := w.kugetsu(0, "logs", id); !strings.Contains(log, s.Conversation) || !strings.Contains(log, "step_finish") {
			t.Errorf("the log of %s is not opencode's: %q", id, log)
		}
		if !slices.ContainsFunc(w.stub.Requests(), func(q request) bool { return strings.HasSuffix(lastUser(q), "\n"+message(n)) }) {
			t.Errorf("the message of issue %d did not reach the model byte for byte", n)
		}
	}

	before, known := w.session(1), w.stat("agents", "opencode.json")
	third := w.delegate("you/project#1", "<<bash echo broken; exit 3>><<bash git commit -q --allow-empty -m again>><<say greeted again>>")
	w.kugetsu(0, "tick", "--drain")
	w.completed(third, ending{commits: 1, steps: 3, summary: "greeted again"})
	again := w.terminal("logs", third)
	w.reads(again, "$ echo broken; exit 3  ✗\n  │ broken\n$ git commit -q --allow-empty -m again  ✓\ngreeted again\n3000 tokens in, 30 out, $N\n"+
		"ok, took T, 1 commit (2 on the branch), 0 files uncommitted, 3030 tokens, $N\n")
	if !regexp.MustCompile(`-m again  ✓ \d+\.\ds\n`).MatchString(again) { // opencode tells how long a call took
		t.Errorf("no time of a call: %q", again)
	}
	if after := w.session(1); after.Conversation != before.Conversation || after.Worktree != before.Worktree {
		t.Errorf("issue 1 was not continued: %+v, then %+v", before, after)
	}
	if got := w.git(before.Worktree, "log", "--format=%s", "-2"); got != "again\ngreet 1" {
		t.Errorf("the last two commits are %q", got)
	}
	requests := w.stub.Requests()
	earlier := requests[len(requests)-1].Turns
	for _, want := range []turn{
		{"user", message(1)}, {"tool", "Wrote file successfully."}, {"assistant", "greeted 1"}, {"user", "<<say greeted again>>"}, {"tool", ""},
	} {
		i := slices.IndexFunc(earlier, func(u turn) bool { return u.Role == want.Role && strings.Contains(u.Text, want.Text) })
		if i < 0 {
			t.Fatalf("the model was not sent %q after what came before it, but %q", want, requests[len(requests)-1].Turns)
		}
		earlier = earlier[i+1:]
	}
	if !os.SameFile(known, w.stat("agents", "opencode.json")) {
		t.Error("what was known of opencode was asked again")
	}
	w.until("all is done", func() bool { return strings.Contains(w.kugetsu(0, "status"), "\n0 of 3 slots occupied, 0 waiting\n") })
}

func saysDenied(t *testing.T, bin string) {
	w := newWorld(t, bin, map[string]any{"external_directory": "deny"})
	outside := filepath.Join(t.TempDir(), "file")
	id := w.delegate("you/project#1", "<<write "+outside+"|x>><<say I did what I could>>")
	w.kugetsu(1, "tick", "--drain")
	it := w.item(id)
	if it.State != "error" || it.Error == nil || !strings.Contains(*it.Error, "external_directory "+outside) {
		t.Errorf("the item does not name the refused permission: %s", it)
	}
	if it.Runs != 1 || len(it.History) != 1 || it.History[0].Outcome != "denied" || it.History[0].ExitCode == nil || *it.History[0].ExitCode != 0 {
		t.Errorf("want one run, denied with exit code 0: %s", it)
	}
	if log := w.kugetsu(0, "logs", id); !strings.Contains(log, `"reason":"stop"`) {
		t.Errorf("opencode did not claim to have stopped by itself: %q", log)
	}
	if _, err := os.Stat(outside); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the refused file: %v", err)
	}
}

func retriesFailures(t *testing.T, bin string) {
	w := newWorld(t, bin, nil)
	id := w.delegate("you/project#1", "<<bash git commit -q --allow-empty -m mended>><<say mended>>")
	w.with("AGENT_ARGS=-m stub/e400", "MAX_ATTEMPTS=2").kugetsu(1, "tick", "--drain")
	it := w.item(id)
	if it.State != "error" || it.Error == nil || !strings.Contains(*it.Error, "stub: model e400 answers with status 400") {
		t.Fatalf("the item does not say what the model said: %s", it)
	}
	if it.Runs != 2 || it.Attempts != 2 || len(it.History) != 2 || it.History[0].Outcome != "failed" || it.History[1].Outcome != "failed" {
		t.Errorf("want two failed runs: %s", it)
	}
	before := w.session(1)
	folder, err := os.Stat(before.Worktree)
	if err != nil {
		t.Fatal(err)
	}

	w.kugetsu(0, "queue", "retry", id)
	w.with("AGENT_ARGS=-m stub/ok").kugetsu(0, "tick", "--drain")
	w.completed(id, ending{run: 3, commits: 1, steps: 2, summary: "mended"})
	after := w.session(1)
	if now, err := os.Stat(after.Worktree); err != nil || !os.SameFile(folder, now) || after.Conversation != before.Conversation {
		t.Errorf("issue 1 was not continued in its worktree: %+v, then %+v, %v", before, after, err)
	}
}

func retriesLost(t *testing.T, bin string) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells whose a process is; elsewhere an agent outlives its runner")
	}
	w := newWorld(t, bin, nil)
	dir := t.TempDir()
	pids, gate := filepath.Join(dir, "pids"), filepath.Join(dir, "gate")
	if err := syscall.Mkfifo(gate, 0o600); err != nil {
		t.Fatal(err)
	}
	// The tool waits at the gate, to which no process writes.
	id := w.delegate("you/project#1", fmt.Sprintf("<<bash echo $$ $PPID >%s.new && mv %[1]s.new %[1]s && read line <%s && "+
		"git commit -q --allow-empty -m found>><<say found again>>", pids, gate))
	w.tick()
	w.until("the tool runs", func() bool { _, err := os.Stat(pids); return err == nil })
	run := id + ".1"
	var tool, agent int
	if _, err := fmt.Sscan(string(w.read(pids)), &tool, &agent); err != nil {
		t.Fatal(err)
	}
	it, before := w.item(id), w.session(1)
	if it.State != "notified" || it.ForkPID == nil || !before.Running || !strings.HasPrefix(before.Conversation, "ses_") {
		t.Fatalf("the run is not on record: %s, %+v", it, before)
	}
	if status := w.kugetsu(0, "status"); !strings.Contains(status, "\n1 of 3 slots occupied") || !strings.Contains(status, id) {
		t.Errorf("status does not show what runs: %q", status)
	}
	marked := processes("KUGETSU_RUN=" + run)
	for _, pid := range []int{*it.ForkPID, agent, tool} {
		if !slices.Contains(marked, pid) {
			t.Fatalf("process %d is not among those of the run: %v", pid, marked)
		}
	}

	w.kugetsu(0, "pause") // so that settling and starting can be told apart
	runner, err := os.FindProcess(*it.ForkPID)
	if err != nil {
		t.Fatal(err)
	}
	if err := runner.Kill(); err != nil {
		t.Fatal(err)
	}
	w.until("opencode dies with its runner", func() bool { return !slices.Contains(processes("KUGETSU_RUN="+run), agent) })
	w.tick()
	if left := processes("KUGETSU_RUN=" + run); len(left) > 0 {
		t.Errorf("processes of the run are left: %v", left)
	}
	if it := w.item(id); it.State != "pending" || len(it.History) != 1 || it.History[0].Outcome != "lost" {
		t.Fatalf("the item is not pending after a lost run: %s", it)
	}
	w.absent("runs", run, "tmp")

	if err := os.Remove(gate); err != nil {
		t.Fatal(err)
	}
	writeFile(t, gate, []byte("open\n"))
	w.kugetsu(0, "resume")
	w.kugetsu(0, "tick", "--drain")
	w.completed(id, ending{run: 2, commits: 1, steps: 2, summary: "found again"})
	if after := w.session(1); after.Conversation != before.Conversation || after.Worktree != before.Worktree {
		t.Errorf("issue 1 was not continued: %+v, then %+v", before, after)
	}
	requests := w.stub.Requests()
	if last := requests[len(requests)-1]; !strings.Contains(lastUser(last), "was cut off") || !strings.Contains(lastUser(last), "its runner was killed") ||
		!slices.ContainsFunc(last.Turns, func(u turn) bool { return u.Role == "tool" && strings.Contains(u.Text, "interrupted") }) {
		t.Errorf("the model was not told of the lost run: %q", last.Turns)
	}
}

func keepsUncommitted(t *testing.T, bin string) {
	w := newWorld(t, bin, nil)
	id := w.delegate("you/project#1", "<<write notes/draft.txt|half a thought>><<say left it>>")
	check := filepath.Join(t.TempDir(), "check")
	writeFile(t, check, []byte("test -e notes/draft.txt || exit 2\necho the draft is too short\nmkdir $0.seen 2>&1 && exit 3\nexit 0\n"))
	w.with("VERIFY_COMMAND=sh "+check).kugetsu(0, "tick", "--drain")
	if it := w.item(id); it.Runs != 2 || len(it.History) != 2 || it.History[0].Outcome != "unverified" {
		t.Fatalf("want a run that is not verified, and one that is: %s", it)
	}
	requests := w.stub.Requests()
	if last := requests[len(requests)-1]; !strings.Contains(lastUser(last), "was not accepted") || !strings.Contains(lastUser(last), "exit code 3") ||
		!strings.Contains(lastUser(last), "\nthe draft is too short\n") || !slices.ContainsFunc(last.Turns, func(u turn) bool { return u.Role == "assistant" && strings.Contains(u.Text, "left it") }) {
		t.Errorf("the model was not told in the same conversation: %q", last.Turns)
	}
	ref := "refs/kugetsu/" + id + "/2"
	w.completed(id, ending{run: 2, dirty: 1, ref: ref, steps: 2, summary: "left it"})
	s := w.session(1)
	if kept := w.git(s.Worktree, "show", ref+":notes/draft.txt"); kept != "half a thought" {
		t.Errorf("%s keeps %q", ref, kept)
	}
	w.holds(filepath.Join(s.Worktree, "notes", "draft.txt"), "half a thought")
}

func waitsForDatabase(t *testing.T, bin string) {
	stub := newStub(t)
	home, env := opencodeHome(t, stub.URL(), nil)
	database := filepath.Join(home, ".local", "share", "opencode", "opencode.db")
	w := newWorldOf(t, bin, stub, "opencode", opencodeBinary(t), env)
	for n, another := range []struct {
		does string
		lock func() (unlock func())
		says string
	}{
		{"has it for itself", func() func() { return lockDatabase(t, database) }, "exit status 1: database is locked"},
		{"writes to it", func() func() { return lockWriters(t, database) }, "exit status 1: Failed query: "},
	} {
		message := fmt.Sprintf("<<bash git commit -q --allow-empty -m %d>><<say waited>>", n)
		id := w.delegate("you/project#1", message)
		unlock := another.lock()
		w.tick()
		w.kugetsu(0, "pause")
		w.until("a run was settled, and no other runs", func() bool { it := w.item(id); return it.State == "pending" && it.Runs > 0 })
		it := w.item(id)
		for _, r := range it.History {
			if r.Outcome != "void" || !strings.HasPrefix(r.Summary, another.says) || it.Attempts != 0 {
				t.Errorf("another %s: want it to wait, with no attempt counted: %s\n%s", another.does, it, w.logs())
			}
		}
		if slices.ContainsFunc(stub.Requests(), func(q request) bool { return strings.HasSuffix(lastUser(q), message) }) {
			t.Errorf("another %s, and the model was asked", another.does)
		}
		unlock()
		w.kugetsu(0, "resume")
		w.kugetsu(0, "tick", "--drain")
		w.completed(id, ending{lockedOut: true, commits: 1, steps: 2, summary: "waited"})
	}
}

// lockDatabase locks an SQLite database as who has it for himself does: https://sqlite.org/lockingv3.html, an EXCLUSIVE lock
// from PENDING_BYTE on.
func lockDatabase(t *testing.T, path string) (unlock func()) {
	t.Helper()
	return lockBytes(t, path, lockOf{unix.F_WRLCK, 0x40000000, 2 + 510})
}

// lockWriters locks an SQLite database with a write-ahead log as one of its writers does: https://sqlite.org/walformat.html,
// of the locks on its index WAL_WRITE_LOCK, and the one that says that the index is in use.
func lockWriters(t *testing.T, path string) (unlock func()) {
	t.Helper()
	return lockBytes(t, path+"-shm", lockOf{unix.F_RDLCK, 128, 1}, lockOf{unix.F_WRLCK, 120, 1})
}

// A lockOf is an fcntl(2) lock of bytes.
type lockOf struct {
	kind        int16
	start, size int64
}

func lockBytes(t *testing.T, path string, locks ...lockOf) (unlock func()) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	for _, l := range locks {
		if err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &unix.Flock_t{Type: l.kind, Whence: io.SeekStart, Start: l.start, Len: l.size}); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	return func() {
		t.Helper()
		if err := f.Close(); err != nil { // ends them all
			t.Error(err)
		}
	}
}

// A world is a state folder, a remote repository and an agent, all thrown away with the test.
type world struct {
	t      *testing.T
	stub   *stub
	bin    string   // of kugetsu
	state  string   // KUGETSU_DIR
	origin string   // the repository you/project, bare
	env    []string // of kugetsu
}

// newWorld makes a world with an opencode in it. The permission is opencode's setting of that name.
func newWorld(t *testing.T, bin string, permission map[string]any) *world {
	t.Helper()
	stub := newStub(t)
	_, agentEnv := opencodeHome(t, stub.URL(), permission)
	return newWorldOf(t, bin, stub, "opencode", opencodeBinary(t), agentEnv)
}

// newWorldOf makes a world with an agent whose program, and whose own environment, are given.
//
// kugetsu's own environment is as poor as cron's: what agents need comes from the files of the state folder. PATH is in
// config, as init writes it; the agent's home is in env/dev.env.
func newWorldOf(t *testing.T, bin string, stub *stub, agent, program string, agentEnv []string) *world {
	t.Helper()
	return newWorldIn(t, t.TempDir(), t.TempDir(), bin, stub, agent, program, agentEnv)
}

// newWorldIn is newWorldOf in a folder, and with a home of kugetsu's own, that are given.
func newWorldIn(t *testing.T, root, home, bin string, stub *stub, agent, program string, agentEnv []string) *world {
	t.Helper()
	w := &world{t: t, stub: stub, bin: bin}
	w.state, w.origin = filepath.Join(root, "state"), filepath.Join(root, "you", "project.git")
	w.env = []string{
		"HOME=" + home, "PATH=/usr/bin:/bin", "KUGETSU_DIR=" + w.state, "KUGETSU_AGENT=" + agent,
		"GIT_CLONE_URL=file://" + root + "/{path}.git", "RETRY_DELAY=1ms",
		"AGENT_MEMORY=0", "MIN_FREE_DISK=0", // what the machine has to spare is not what is tried
	}
	t.Cleanup(w.end)
	w.git(root, "clone", "-q", "--bare", newRepository(t), w.origin)
	path := []string{filepath.Dir(program), "/usr/bin", "/bin"} // no other agent, which init would ask for its version
	if node, err := exec.LookPath("node"); err == nil {
		path = append(path, filepath.Dir(node))
	}
	w.with("PATH="+strings.Join(path, ":")).kugetsu(0, "init")
	agentEnv = append(agentEnv, "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=e2e", "GIT_AUTHOR_EMAIL=e2e@localhost",
		"GIT_COMMITTER_NAME=e2e", "GIT_COMMITTER_EMAIL=e2e@localhost")
	writeFile(t, filepath.Join(w.state, "env", "dev.env"), []byte(strings.Join(agentEnv, "\n")+"\n"))
	return w
}

// end waits until no process works on the state folder: a runner's last tick may be under way when its item is settled.
// After a failed test whatever is left is killed.
func (w *world) end() {
	ours := func() []int { return processes("KUGETSU_DIR=" + w.state) }
	if !w.t.Failed() {
		begin := time.Now()
		for len(ours()) > 0 && time.Since(begin) < patience {
			rig.Poll()
		}
		if left := ours(); len(left) > 0 {
			w.t.Errorf("processes are left: %v", left)
		}
		w.absent("runs", "*", "tmp")
		w.noRace()
	}
	for left := ours(); len(left) > 0; left = ours() { // again and again: a dying runner starts a tick
		for _, pid := range left {
			if p, err := os.FindProcess(pid); err == nil {
				_ = p.Kill()
			}
		}
		rig.Poll()
	}
}

// noRace looks for reports of the race detector in logs: the stderr of runners and of their ticks is a log.
func (w *world) noRace() {
	logs, err := filepath.Glob(filepath.Join(w.state, "runs", "*", "log"))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, log := range append(logs, filepath.Join(w.state, "tick.log")) {
		if text := w.read(log); bytes.Contains(text, []byte("DATA RACE")) {
			w.t.Errorf("%s: %s", log, text)
		}
	}
}

// with is the world with more in kugetsu's environment.
func (w *world) with(env ...string) *world {
	other := *w
	other.env = append(slices.Clone(w.env), env...)
	return &other
}

// kugetsu runs a command that must end with an exit code, and returns what it printed on stdout.
func (w *world) kugetsu(code int, args ...string) string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, w.bin, args...)
	cmd.Dir, cmd.Env = filepath.Dir(w.state), w.env
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != code {
		w.t.Fatalf("kugetsu %q: %v, want exit code %d\n--- stdout\n%s\n--- stderr\n%s\n%s", args, err, code, &stdout, &stderr, w.logs())
	}
	return stdout.String()
}

// tick makes a pass of its own. It waits for the lock, which the tick that the end of a run starts may have: a plain tick leaves all to
// that one, which may have passed what the test has changed since.
func (w *world) tick(flags ...string) string {
	w.t.Helper()
	return w.kugetsu(0, append([]string{"tick", "--wait"}, flags...)...)
}

// terminal runs a command that succeeds, and returns what a person sees of it in a terminal.
func (w *world) terminal(args ...string) string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "script", "-qec", w.bin+" "+strings.Join(args, " "), "/dev/null")
	cmd.Dir, cmd.Env = filepath.Dir(w.state), w.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.t.Fatalf("kugetsu %q in a terminal: %v\n%s\n%s", args, err, out, w.logs())
	}
	return strings.ReplaceAll(string(out), "\r\n", "\n")
}

// varies is what differs from run to run in what a person reads: times, ids, prices above zero, memory.
var varies = []struct {
	is *regexp.Regexp
	as string
}{
	{regexp.MustCompile(`(✓|✗) \d+\.\ds\n`), "$1\n"},
	{regexp.MustCompile(`took [0-9hms]+`), "took T"},
	{regexp.MustCompile(`(?m)^[0-9a-z]{4,9} (github\.com/)`), "ID $1"}, // shortened
	{regexp.MustCompile(`\$0\.0*[1-9]\d*`), "$$N"},
	{regexp.MustCompile(`, [0-9.]+ [KMG]iB of memory at most`), ""},
}

// reads checks that what a terminal showed ends like this.
func (w *world) reads(got, want string) {
	w.t.Helper()
	plain := got
	for _, v := range varies {
		plain = v.is.ReplaceAllString(plain, v.as)
	}
	if !strings.HasSuffix(plain, want) {
		w.t.Errorf("a person reads\n%s\nwant at its end\n%s", got, want)
	}
}

// logs is what there is to read after a failure.
func (w *world) logs() string {
	var b strings.Builder
	logs, _ := filepath.Glob(filepath.Join(w.state, "runs", "*", "log"))
	for _, log := range append(logs, filepath.Join(w.state, "tick.log")) {
		text, _ := os.ReadFile(log)
		fmt.Fprintf(&b, "--- %s\n%s\n", log, text)
	}
	return b.String()
}

// delegate enqueues a message and returns the item's id.
func (w *world) delegate(issue, message string) string {
	w.t.Helper()
	return strings.TrimSpace(w.kugetsu(0, "delegate", issue, message))
}

// An item is what the tests look at in `queue show --json`.
type item struct {
	State    string
	Runs     int
	Attempts int
	Error    *string
	ForkPID  *int `json:"fork_pid"`
	History  []struct {
		Run      int
		Outcome  string
		Started  *time.Time `json:"started_at"`
		ExitCode *int       `json:"exit_code"`
		Summary  string
		Changes  *struct{ Commits, Dirty int }
		Cost     *struct {
			USD    float64
			Input  int `json:"input_tokens"`
			Output int `json:"output_tokens"`
		}
		Ref string
	}
}

func (it item) String() string { return string(encode(it)) }

func (w *world) item(id string) (it item) {
	w.t.Helper()
	w.decode(w.kugetsu(0, "queue", "show", id, "--json"), &it)
	return it
}

// withoutLockedOut is an item without the runs in which its opencode could not use the database, numbered as if there had
// been none.
func (it item) withoutLockedOut() item {
	n, history := 0, it.History
	it.History = nil
	for _, r := range history {
		if r.Outcome == "void" && (strings.Contains(r.Summary, "database is locked") || strings.Contains(r.Summary, "Failed query: ")) {
			n++
			continue
		}
		r.Run -= n
		it.History = append(it.History, r)
	}
	it.Runs -= n
	return it
}

// A session is what the tests look at in `list --json`.
type session struct {
	IssueRef     string `json:"issue_ref"`
	Conversation string `json:"agent_session_id"`
	Worktree     string `json:"worktree_path"`
	Running      bool
}

// session is that of you/project#n.
func (w *world) session(n int) session {
	w.t.Helper()
	var list []session
	w.decode(w.kugetsu(0, "list", "--json"), &list)
	i := slices.IndexFunc(list, func(s session) bool { return s.IssueRef == "github.com/you/project#"+strconv.Itoa(n) })
	if i < 0 {
		w.t.Fatalf("issue %d has no session: %+v", n, list)
	}
	return list[i]
}

func (w *world) decode(text string, to any) {
	w.t.Helper()
	if err := json.Unmarshal([]byte(text), to); err != nil {
		w.t.Fatalf("%v: %q", err, text)
	}
}

// An outcome is what the last entry of a completed item's history must say.
type ending struct {
	run            int // 0 means 1
	commits, dirty int
	steps          int // of the model, each with its price
	summary, ref   string
	lockedOut      bool // runs may have gone before in which its opencode could not use the database: another started as well
}

// completed checks that an item completed, and with what.
func (w *world) completed(id string, want ending) {
	w.t.Helper()
	it := w.item(id)
	if want.lockedOut {
		it = it.withoutLockedOut()
	}
	if it.State != "completed" || len(it.History) != max(want.run, 1) {
		w.t.Fatalf("%s has not completed in run %d: %s\n%s", id, max(want.run, 1), it, w.logs())
	}
	last := it.History[len(it.History)-1]
	if last.Outcome != "ok" || last.Summary != want.summary || last.Ref != want.ref || last.Run != len(it.History) {
		w.t.Errorf("want run %d ok, summary %q, ref %q: %s", len(it.History), want.summary, want.ref, it)
	}
	if c := last.Changes; c == nil || c.Commits != want.commits || c.Dirty != want.dirty {
		w.t.Errorf("want %d commits, %d files uncommitted: %s", want.commits, want.dirty, it)
	}
	if c := last.Cost; c == nil || math.Abs(c.USD-float64(want.steps)*stepCost) > 1e-9 ||
		c.Input != want.steps*promptTokens || c.Output != want.steps*completionTokens {
		w.t.Errorf("want the cost of %d steps: %s", want.steps, it)
	}
}

func (w *world) git(dir string, args ...string) string {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), "git", args...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GIT_CONFIG_NOSYSTEM=1"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.t.Fatalf("git %q: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (w *world) read(path string) []byte {
	w.t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	return data
}

func (w *world) holds(path, want string) {
	w.t.Helper()
	if got := string(w.read(path)); got != want {
		w.t.Errorf("%s holds %q, want %q", path, got, want)
	}
}

// stat looks at a file of the state folder.
func (w *world) stat(path ...string) fs.FileInfo {
	w.t.Helper()
	info, err := os.Stat(filepath.Join(w.state, filepath.Join(path...)))
	if err != nil {
		w.t.Fatal(err)
	}
	return info
}

// absent checks that nothing in the state folder matches a pattern.
func (w *world) absent(pattern ...string) {
	w.t.Helper()
	found, err := filepath.Glob(filepath.Join(w.state, filepath.Join(pattern...)))
	if err != nil || len(found) > 0 {
		w.t.Errorf("left behind: %v, %v", found, err)
	}
}

// until waits for a condition.
func (w *world) until(what string, holds func() bool) {
	w.t.Helper()
	rig.Until(w.t, what, holds, w.logs)
}

// lastUser is the newest of the user's turns in a conversation.
func lastUser(q request) string {
	for _, u := range slices.Backward(q.Turns) {
		if u.Role == "user" {
			return u.Text
		}
	}
	return ""
}

// processes lists those that have KEY=value in the environment they were started with, where /proc tells. A zombie has
// none.
func processes(variable string) (pids []int) {
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range environs {
		env, err := os.ReadFile(path)
		if err != nil || !slices.Contains(strings.Split(string(env), "\x00"), variable) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}
