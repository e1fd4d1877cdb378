package slots_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"kugetsu/contrib/quick"
	"kugetsu/slots/proc"
)

// Storms: many real kugetsu processes at once, killed and cancelled at any instant. What they may not break is watched by
// the agents themselves, with locks that the kernel takes back from the killed (see stormAgent), and looked at afterwards
// in the state folder.

// patience bounds every wait. It is generous: the machine may be busy.
const patience = 2 * time.Minute

// limit is MAX_CONCURRENT_AGENTS of every storm.
const limit = 3

func init() {
	// The agent of the storms is this test binary by another name: it must behave before any flag is looked at.
	if filepath.Base(os.Args[0]) == "stormagent" {
		stormAgent(os.Args[1:])
	}
}

var watched []*os.File

// stormAgent is an agent: stormagent DIR WORKTREE, and what to do as words on stdin. It complains in
// DIR/violations when there are more agents than there may be, when another one is in its worktree, and when its run was
// begun before; DIR/begun and DIR/done grow by its item's id.
func stormAgent(args []string) {
	dir, worktree, run := args[0], args[1], os.Getenv(proc.Mark)
	watch := func(name string) bool {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_RDWR, 0o600)
		must(err)
		watched = append(watched, f) // held until the end of the process: not to be collected
		return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
	}
	places := make([]string, limit)
	for n := range places {
		places[n] = fmt.Sprintf("place.%d", n)
	}
	if !slices.ContainsFunc(places, watch) {
		note(dir, "violations", run+": more agents than slots")
	}
	if !watch("in." + filepath.Base(worktree)) {
		note(dir, "violations", run+": another agent is in "+worktree)
	}
	if err := os.Mkdir(filepath.Join(dir, "run."+run), 0o700); err != nil {
		note(dir, "violations", run+": it was begun before")
	}
	item := os.Getenv("KUGETSU_ITEM")
	note(dir, "begun", item)
	message, err := io.ReadAll(os.Stdin)
	must(err)
	for _, word := range strings.Fields(string(message)) {
		switch word {
		case "work":
			must(os.WriteFile("work.txt", []byte(run+"\n"), 0o600))
			git := exec.Command("git", "-c", "user.name=a", "-c", "user.email=a@localhost", "commit", "-q", "--allow-empty", "-m", run)
			git.Stderr = os.Stderr
			must(git.Run())
		case "stubborn":
			signal.Ignore(syscall.SIGTERM)
		case "server": // in a session of its own
			cmd := exec.Command("sh", "-c", "trap : TERM; while :; do sleep 1; done")
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			must(cmd.Start())
		case "linger": // long enough to be met
			<-time.After(150 * time.Millisecond)
		case "fail":
			syscall.Exit(3)
		case "hang":
			deaf := make(chan os.Signal, 1)
			signal.Notify(deaf, syscall.SIGUSR1)
			<-deaf
		}
	}
	note(dir, "done", item)
	syscall.Exit(0)
}

// note appends a line to a file in one write.
func note(dir, name, line string) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(err)
	_, err = f.WriteString(line + "\n")
	must(err)
	must(f.Close())
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "stormagent:", err)
		syscall.Exit(99)
	}
}

// binary is built once for all storms.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "kugetsu-storm")
	if err != nil {
		return "", err
	}
	// Without the race detector: it would keep every process for a second after its end. The scripts have it.
	if out, err := exec.Command("go", "build", "-o", filepath.Join(dir, "kugetsu"), "kugetsu").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	return dir, os.Symlink(self, filepath.Join(dir, "stormagent"))
})

func TestMain(m *testing.M) {
	code := quick.InMemory{M: m}.Run()
	if testing.Short() {
		os.Exit(code) // no storm built it
	}
	if dir, err := binary(); err == nil {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// world is a state folder, a repository and an environment of their own.
type world struct {
	t     *testing.T
	state string
	seen  string // where the agents note what they see
	env   []string
	as    []string // what is put before kugetsu: what gives it another user
}

func newWorld(t *testing.T, settings ...string) *world {
	t.Helper()
	if testing.Short() {
		t.Skip("left out with -short: a storm of real processes; the scripts have some of each")
	}
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	w := &world{t: t, state: filepath.Join(dir, "state"), seen: filepath.Join(dir, "seen")}
	w.env = append([]string{
		"HOME=" + dir, "KUGETSU_DIR=" + w.state, "PATH=" + bin + string(os.PathListSeparator) + os.Getenv("PATH"),
		"KUGETSU_AGENT=command", "AGENT_COMMAND=stormagent " + w.seen + " {worktree}", "RETRY_DELAY=1ms",
		"AGENT_MEMORY=0", "MIN_FREE_DISK=0", // what the machine has to spare is not what is tried
		fmt.Sprintf("MAX_CONCURRENT_AGENTS=%d", limit), "MAX_ATTEMPTS=1000",
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
	}, settings...)
	repo := filepath.Join(dir, "project")
	for _, d := range []string{w.state, w.seen, repo} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-q", "--allow-empty", "-m", "first"}} {
		if out, err := exec.Command("git", append([]string{"-C", repo}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("git: %v\n%s", err, out)
		}
	}
	if err := os.WriteFile(filepath.Join(w.state, "repos.json"), fmt.Appendf(nil, `{"github.com/you/project": %q}`, repo), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.end() })
	return w
}

// end ends every process of every run that is still there.
func (w *world) end() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, run := range w.runs() {
		if err := proc.Kill(ctx, proc.Run{Name: run}, nil); err != nil {
			w.t.Error(err)
		}
	}
}

func (w *world) runs() []string {
	entries, err := os.ReadDir(filepath.Join(w.state, "runs"))
	if err != nil && !os.IsNotExist(err) {
		w.t.Error(err)
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names
}

func (w *world) command(args ...string) *exec.Cmd {
	bin, _ := binary()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	w.t.Cleanup(cancel)
	line := slices.Concat(w.as, []string{filepath.Join(bin, "kugetsu")}, args)
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.Env = w.env
	return cmd
}

// kugetsu runs a command and returns its exit code and what it printed.
func (w *world) kugetsu(args ...string) (code int, stdout, stderr string) {
	w.t.Helper()
	cmd := w.command(args...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Errorf("kugetsu %v: %v", args, err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errOut.String()
}

// delegate enqueues and returns the id.
func (w *world) delegate(issue int, message string) string {
	w.t.Helper()
	code, out, errOut := w.kugetsu("delegate", fmt.Sprintf("you/project#%d", issue), message)
	if code != 0 {
		w.t.Errorf("delegate: exit code %d: %s", code, errOut)
	}
	return strings.TrimSpace(out)
}

// item is what is read of an item's file.
type item struct {
	ID      string
	State   string
	Runs    int
	ForkPID int `json:"fork_pid"`
	Error   *string
	History []struct {
		Outcome, Summary string
	}
}

func (it item) String() string {
	data, _ := json.Marshal(it)
	return string(data)
}

// item reads an item from wherever it lies: it may move from items/ to finished/ meanwhile.
func (w *world) item(id string) item {
	w.t.Helper()
	for begin := time.Now(); time.Since(begin) < patience; {
		found, err := filepath.Glob(filepath.Join(w.state, "queue", "*", "50-"+id+".json"))
		if err != nil {
			w.t.Error(err)
		}
		for _, path := range found {
			data, err := os.ReadFile(path)
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
			var it item
			if err == nil {
				err = json.Unmarshal(data, &it)
			}
			if err != nil {
				w.t.Error(err)
			}
			return it
		}
	}
	w.t.Errorf("%s is lost", id)
	return item{}
}

// drain runs what is left, as cron would.
func (w *world) drain() {
	w.t.Helper()
	if code, _, errOut := w.kugetsu("tick", "--drain"); code != 0 {
		w.t.Fatalf("tick --drain: exit code %d: %s", code, errOut)
	}
}

// lines reads what the agents noted.
func (w *world) lines(name string) []string {
	data, err := os.ReadFile(filepath.Join(w.seen, name))
	if err != nil && !os.IsNotExist(err) {
		w.t.Error(err)
	}
	return strings.Fields(string(data))
}

// noViolation makes sure that no agent saw what must not be.
func (w *world) noViolation() {
	w.t.Helper()
	data, err := os.ReadFile(filepath.Join(w.seen, "violations"))
	if err == nil {
		w.t.Errorf("the agents saw:\n%s", data)
	} else if !os.IsNotExist(err) {
		w.t.Error(err)
	}
}

// nothingLeft waits until no process of any run lives (a runner may be on its way out), and makes sure that no slot is taken.
func (w *world) nothingLeft() {
	w.t.Helper()
	for _, run := range w.runs() {
		w.ended(run)
	}
	w.await("no slot is taken", func() bool { // the last runner's tick may be looking
		_, out, _ := w.kugetsu("status")
		return strings.Contains(out, "\n0 of ") && strings.Contains(out, " slots occupied, 0 waiting\n")
	})
	for _, log := range append(w.glob("runs/*/log"), w.glob("tick.log")...) {
		if data, err := os.ReadFile(log); err != nil || bytes.Contains(data, []byte("panic:")) {
			w.t.Errorf("%v\n%s", err, data)
		}
	}
}

// ended waits until no process of a run lives. What an agent leaves behind here never ends by itself.
func (w *world) ended(run string) {
	w.t.Helper()
	for begin := time.Now(); ; <-time.After(10 * time.Millisecond) {
		left, err := proc.Marked(proc.Run{Name: run})
		if err != nil {
			w.t.Error(err)
		}
		if len(left) == 0 {
			return
		}
		if time.Since(begin) > patience/4 {
			w.t.Errorf("%d processes of %s are left, one is %d", len(left), run, left[0].PID)
			return
		}
	}
}

func (w *world) glob(pattern string) []string {
	found, err := filepath.Glob(filepath.Join(w.state, pattern))
	if err != nil {
		w.t.Error(err)
	}
	return found
}

func count(list []string, s string) (n int) {
	for _, l := range list {
		if l == s {
			n++
		}
	}
	return n
}

// Forty processes that all want the same slots: what is refused leaves nothing behind, what is not is done once.
func TestStorm(t *testing.T) {
	t.Parallel()
	blowStorm(t, newWorld(t), "work linger work")
}

// A cap holds as the slots do: there are more slots here than the agents let pass.
func TestStormOverACap(t *testing.T) {
	t.Parallel()
	const long = "work linger linger linger linger linger linger work" // so that more of them would be at work at once
	t.Run("of the agent", func(t *testing.T) {
		t.Parallel()
		blowStorm(t, newWorld(t, "MAX_CONCURRENT_AGENTS=8", fmt.Sprintf("MAX_CONCURRENT_AGENTS_COMMAND=%d", limit)), long)
	})
	t.Run("of the repository", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, "MAX_CONCURRENT_AGENTS=8")
		repos := fmt.Appendf(nil, `{"github.com/you/project": {"url": %q, "max": %d}}`, filepath.Join(filepath.Dir(w.state), "project"), limit)
		if err := os.WriteFile(filepath.Join(w.state, "repos.json"), repos, 0o600); err != nil {
			t.Fatal(err)
		}
		blowStorm(t, w, long)
	})
}

func blowStorm(t *testing.T, w *world, message string) {
	t.Helper()
	const sessions = 5 // issues that continue fights over
	type call struct {
		args   []string
		code   int
		stdout string
		stderr string
	}
	var calls []*call
	for round := range 2 {
		from := len(calls)
		for n := range 10 {
			issue := func(k int) string { return fmt.Sprintf("you/project#%d", k) }
			delegate := []string{"delegate", issue(1 + n%(sessions+2)), message}
			if n%2 == 0 {
				delegate = slices.Insert(delegate, 1, "--tick")
			}
			calls = append(calls,
				&call{args: []string{"start", issue(100 + 10*round + n), message}},
				&call{args: []string{"continue", issue(1 + n%sessions), message}},
				&call{args: []string{"tick"}},
				&call{args: delegate},
			)
		}
		rand.Shuffle(40, func(i, j int) { calls[from+i], calls[from+j] = calls[from+j], calls[from+i] })
		var all sync.WaitGroup
		for _, c := range calls[from:] {
			all.Go(func() { c.code, c.stdout, c.stderr = w.kugetsu(c.args...) })
		}
		all.Wait()
	}
	var ids []string
	for _, c := range calls {
		id := strings.TrimSpace(c.stdout)
		switch {
		case c.code == 0 && c.args[0] != "tick":
			if !strings.HasPrefix(id, "q_") {
				t.Errorf("%v printed %q", c.args, c.stdout)
			}
			ids = append(ids, id)
		case c.code == 0 && id == "":
		case c.code == 2 && (c.args[0] == "start" || c.args[0] == "continue") && id == "":
		case c.code == 75 && strings.Contains(c.stderr, "tick.lock is locked") && id == "": // ten seconds: a very slow machine
		default:
			t.Errorf("%v: exit code %d, %q, %s", c.args, c.code, c.stdout, c.stderr)
		}
	}
	w.drain()
	w.noViolation()
	w.nothingLeft()
	done := w.lines("done")
	for _, id := range ids {
		if it := w.item(id); it.State != "completed" || it.Runs != 1 || len(it.History) != 1 {
			t.Errorf("%s", it)
		}
		if n := count(done, id); n != 1 {
			t.Errorf("%s was done %d times", id, n)
		}
	}
	if len(done) != len(ids) {
		t.Errorf("%d ids were printed, and %d things done", len(ids), len(done))
	}
	t.Logf("%d of %d were accepted", len(ids), 60)
}

// A cancelled item is an error and stays one, or it had completed and cancel said so; whenever cancel comes.
func TestCancelAtAnyInstant(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "WORKTREE_HOOK=sh -c 'case $KUGETSU_ISSUE in *#9*) while :; do sleep 1; done;; esac'")
	lives := slices.Concat(
		[]life{{"leaves a server", w, 300, "work server"}, {"hangs", w, 300, "server hang"}, {"stubborn", w, 300, "stubborn server hang"}},
		slices.Repeat([]life{{"quick", w, 100, "work"}}, 15),
		slices.Repeat([]life{{"lingers", w, 200, "work linger work"}}, 9),
		slices.Repeat([]life{{"in the hook", w, 900, "work"}}, 6),
	)
	// How long a run takes here and now, from delegate to its end: cancel comes at any instant of that.
	begin := time.Now()
	w.delegate(1, "work")
	w.drain()
	span := time.Since(begin)
	var mu sync.Mutex
	was := map[string]string{}
	tally := map[string]int{}
	issue := 0
	for wave := range slices.Chunk(lives, limit) {
		var all sync.WaitGroup
		for _, l := range wave {
			issue++
			number := l.issues + issue
			all.Go(func() {
				id := l.cancelled(number, rand.N(2*span), strings.Contains(l.message, "server"))
				it := w.item(id)
				mu.Lock()
				defer mu.Unlock()
				was[id] = it.String()
				tally[fmt.Sprintf("%s: %s, run %d, begun %d, done %d", l.name, it.State, it.Runs,
					count(w.lines("begun"), id), count(w.lines("done"), id))]++
			})
		}
		all.Wait()
	}
	if code, _, errOut := w.kugetsu("tick"); code != 0 {
		t.Errorf("tick: exit code %d: %s", code, errOut)
	}
	w.noViolation()
	w.nothingLeft()
	for id, before := range was {
		if now := w.item(id).String(); now != before {
			t.Errorf("cancelled, and then changed:\n%s\n%s", before, now)
		}
	}
	for _, how := range slices.Sorted(maps.Keys(tally)) {
		t.Logf("%2d  %s", tally[how], how)
	}
}

// life is what an item does until it is cancelled.
type life struct {
	name string
	*world
	issues  int // where the numbers of its issues begin
	message string
}

// cancelled delegates, ticks, and cancels after a while, or when the agent has begun. It returns when cancel did.
func (l life) cancelled(issue int, after time.Duration, begun bool) (id string) {
	id = l.delegate(issue, l.message)
	tick := l.command("tick")
	if err := tick.Start(); err != nil {
		l.t.Error(err)
	}
	<-time.After(after)
	for begin := time.Now(); begun && count(l.lines("begun"), id) == 0 && time.Since(begin) < patience; {
		l.kugetsu("tick") // the first one may have been refused by another that was past this item
	}
	code, _, errOut := l.kugetsu("queue", "cancel", id)
	if err := tick.Wait(); err != nil {
		l.t.Errorf("tick: %v", err)
	}
	it := l.item(id)
	switch {
	case code == 0 && it.State == "error" && it.Error != nil && *it.Error == "cancelled":
		l.ended(id + ".1")
	case code == 1 && it.State == "completed" &&
		(strings.Contains(errOut, "completed before it could be cancelled") || strings.Contains(errOut, "is settled already: completed")):
	default:
		l.t.Errorf("%s: cancel: exit code %d: %s: %s", l.name, code, errOut, it)
	}
	if it.Runs > 1 {
		l.t.Errorf("%s: it was tried again: %s", l.name, it)
	}
	return id
}

// A tick that is killed at any instant loses nothing and starts nothing twice.
func TestTickKilledAtAnyInstant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	large := "work " + strings.Repeat("x", 200_000) // more than fits into the gate at once
	there := func(pattern string) func(string) func() bool {
		return func(id string) func() bool {
			return func() bool { return len(w.glob(strings.ReplaceAll(pattern, "ID", id))) > 0 }
		}
	}
	points := []func(id string) (come func() bool){
		there("slots/?.json"),
		there("runs/ID.1"),
		there("runs/ID.1/exit"),
		there("runs/ID.1/log"),
		func(id string) func() bool { // the item is notified: its file is another one
			path := filepath.Join(w.state, "queue", "items", "50-"+id+".json")
			before, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			return func() bool { now, err := os.Stat(path); return err != nil || !os.SameFile(before, now) }
		},
		there("runs/ID.1/started"),
	}
	var ids []string
	tally := map[string]int{}
	for n := range 3 * len(points) {
		first := w.delegate(1+2*n, "work")
		second := w.command("delegate", fmt.Sprintf("you/project#%d", 2+2*n), "-")
		second.Stdin = strings.NewReader(large)
		out, err := second.Output()
		if err != nil {
			t.Fatal(err)
		}
		both := []string{first, strings.TrimSpace(string(out))}
		come := points[n%len(points)](both[rand.N(2)])
		tick := w.command("tick")
		if err := tick.Start(); err != nil {
			t.Fatal(err)
		}
		gone := make(chan struct{})
		go func() { _ = tick.Wait(); close(gone) }()
		for over := false; !over && !come(); {
			select {
			case <-gone:
				over = true
			default:
			}
		}
		if n > len(points) { // at that very instant, or at any after it
			<-time.After(rand.N(2 * time.Millisecond))
		}
		_ = tick.Process.Kill()
		<-gone
		for _, id := range both {
			marker := "no run"
			for _, path := range append(w.glob("runs/"+id+".1/exit"), w.glob("runs/"+id+".1/[es]*d*")...) {
				marker = filepath.Base(path)
			}
			tally[w.item(id).State+", "+marker]++
		}
		w.drain()
		ids = append(ids, both...)
	}
	w.noViolation()
	w.nothingLeft()
	outcomes := map[string]int{}
	done := w.lines("done")
	for _, id := range ids {
		it := w.item(id)
		if it.State != "completed" {
			t.Errorf("%s", it)
		}
		for _, run := range it.History {
			outcomes[run.Outcome]++
		}
		if n := count(done, id); n != 1 {
			t.Errorf("done %d times: %s", n, it)
		}
	}
	if outcomes["ok"] != len(ids) || outcomes["ok"]+outcomes["void"] != total(outcomes) {
		t.Errorf("outcomes: %v", outcomes)
	}
	t.Logf("what the kill met: %v; outcomes: %v", tally, outcomes)
}

func total(counts map[string]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

// A runner that is killed at any instant takes its agent along, and the item is run again.
func TestRunnerKilledAtAnyInstant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	begin := time.Now()
	w.delegate(1, "work linger work")
	w.drain()
	span := time.Since(begin)
	var all sync.WaitGroup
	var mu sync.Mutex
	var ids []string
	for n := range 12 {
		all.Go(func() {
			message := "work linger work"
			if n == 0 {
				message += " server"
			}
			id := w.delegate(2+n, message)
			// A tick whose runner is killed at the gate asks for another.
			if code, _, errOut := w.kugetsu("tick"); code != 0 && !(code == 75 && strings.Contains(errOut, "gate of")) {
				t.Errorf("tick: exit code %d: %s", code, errOut)
			}
			it := w.item(id)
			for begin := time.Now(); it.State == "pending" && it.Runs == 0 && time.Since(begin) < patience; it = w.item(id) {
			}
			<-time.After(rand.N(span))
			if it = w.item(id); it.ForkPID > 1 { // only what carries the run's mark is signalled
				proc.Signal(it.ForkPID, proc.Run{Name: fmt.Sprintf("%s.%d", id, it.Runs)}, syscall.SIGKILL)
			}
			mu.Lock()
			defer mu.Unlock()
			ids = append(ids, id)
		})
	}
	// No runner's tick comes after a runner that was killed: cron's does.
	over := make(chan struct{})
	go func() { all.Wait(); close(over) }()
	for open := true; open; {
		select {
		case <-over:
			open = false
		default:
			w.kugetsu("tick")
		}
	}
	w.drain()
	w.noViolation()
	w.nothingLeft()
	outcomes := map[string]int{}
	for _, id := range ids {
		it := w.item(id)
		if it.State != "completed" {
			t.Errorf("%s", it)
		}
		for _, run := range it.History {
			outcomes[run.Outcome]++
		}
	}
	t.Log(outcomes)
}
