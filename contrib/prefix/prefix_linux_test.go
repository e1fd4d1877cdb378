// Package prefix runs an agent behind each AGENT_PREFIX that the README beside it shows, for real.
package prefix

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"kugetsu/queue"
	"kugetsu/slots"
	"kugetsu/slots/machine"
	"kugetsu/slots/proc"
)

// patience bounds every wait; the machine may be busy.
const patience = 2 * time.Minute

// capBytes is put in the place of the README's 2 GiB, and appetite is what an agent takes that is to meet it.
const (
	capBytes = 400 << 20
	appetite = 800 << 20
)

// The test binary is also the agent, whose message says what it does, and tells how much memory it could have.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "available" {
		fmt.Println(machine.Machine{}.Available())
		return
	}
	if len(os.Args) == 2 && os.Args[1] == "agent" {
		agent()
		return
	}
	os.Exit(m.Run())
}

func agent() {
	message, err := io.ReadAll(os.Stdin)
	check(err)
	// A server that nobody ends but kugetsu: in a session of its own.
	server := exec.Command("sleep", "1000")
	server.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	check(server.Start())
	cwd, err := os.Getwd()
	check(err)
	for _, kv := range []string{"RUN=" + os.Getenv(proc.Mark), "TMPDIR=" + os.Getenv("TMPDIR"), "PWD=" + os.Getenv("PWD"), "CWD=" + cwd} {
		fmt.Println(kv)
	}
	for _, fd := range []string{"3", "4"} {
		path, err := os.Readlink("/proc/self/fd/" + fd)
		check(err)
		fmt.Println("FD" + fd + "=" + path)
	}
	check(os.WriteFile(filepath.Join(os.Getenv("TMPDIR"), "mine"), message, 0o600))
	if strings.TrimSpace(string(message)) == "eat" {
		memory := make([]byte, appetite)
		for i := 0; i < len(memory); i += 4096 {
			memory[i] = 1
		}
		fmt.Println("devoured", len(memory))
		return
	}
	check(os.WriteFile("work", message, 0o600))
	for _, args := range [][]string{{"add", "work"}, {"-c", "user.name=a", "-c", "user.email=a@localhost", "commit", "-q", "-m", "work"}} {
		out, err := exec.Command("git", args...).CombinedOutput()
		fmt.Printf("%s", out)
		check(err)
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "agent:", err)
		os.Exit(99)
	}
}

// plain is this binary as it is built without the race detector, which takes memory and threads of its own.
func plain(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	if info, ok := debug.ReadBuildInfo(); !ok || !slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		return self
	}
	self = filepath.Join(t.TempDir(), "plain")
	if out, err := exec.Command("go", "test", "-c", "-o", self, ".").CombinedOutput(); err != nil {
		t.Fatalf("go test -c: %v\n%s", err, out)
	}
	return self
}

// world is a state folder with one item after the other.
type world struct {
	t    *testing.T
	home slots.Dir
	bin  string
	env  []string

	prefix string
}

func newWorld(t *testing.T, prefix string) *world {
	t.Helper()
	self := plain(t)
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	w := &world{t: t, home: slots.Dir(filepath.Join(dir, "state")), bin: filepath.Join(dir, "bin", "kugetsu"), prefix: prefix}
	w.env = []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH"), "KUGETSU_DIR=" + string(w.home), "KUGETSU_AGENT=command", "AGENT_COMMAND=" + self + " agent",
		"AGENT_PREFIX=" + prefix, "AGENT_MEMORY=0", "MIN_FREE_DISK=0", "MAX_ATTEMPTS=1", "MAX_CONCURRENT_AGENTS=1",
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1"}
	w.run("go", "build", "-o", w.bin, "kugetsu")
	repo := filepath.Join(dir, "project")
	w.run("git", "init", "-q", "-b", "main", repo)
	w.run("git", "-C", repo, "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-q", "--allow-empty", "-m", "first")
	w.run(w.bin, "init")
	config := "PATH='" + os.Getenv("PATH") + "'\n"
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		config += "XDG_RUNTIME_DIR=" + dir + "\n"
	}
	must(t, os.WriteFile(filepath.Join(string(w.home), "config"), []byte(config), 0o600))
	must(t, os.WriteFile(filepath.Join(string(w.home), "repos.json"), fmt.Appendf(nil, `{"github.com/you/project": %q}`, repo), 0o600))
	t.Cleanup(w.idle)
	return w
}

// run runs a command that must succeed; go needs the environment of the test itself.
func (w *world) run(name string, args ...string) string {
	w.t.Helper()
	cmd := exec.Command(name, args...)
	if name != "go" {
		cmd.Env = w.env
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		w.t.Fatalf("%s %v: %v\n%s%s", name, args, err, out, stderr.Bytes())
	}
	return string(out)
}

// item delegates a message, waits until it is settled and returns how its run ended and what the agent printed.
func (w *world) item(issue int, message string) (it queue.Item, log string) {
	w.t.Helper()
	id := strings.TrimSpace(w.run(w.bin, "delegate", "--tick", fmt.Sprintf("you/project#%d", issue), message))
	wait := exec.Command(w.bin, "queue", "wait", "--timeout", patience.String(), id)
	wait.Env = w.env
	_ = wait.Run() // an error is among what is expected; the item tells
	must(w.t, json.Unmarshal([]byte(w.run(w.bin, "queue", "show", "--json", id)), &it))
	w.idle()
	data, err := os.ReadFile(w.home.LogPath(slots.RunName(id, 1)))
	must(w.t, err)
	if len(it.History) != 1 {
		w.t.Fatalf("%s after %d runs\n%s", it.State, len(it.History), data)
	}
	return it, string(data)
}

// idle waits until no process of the world is left: the last tick may be under way when an item is settled.
func (w *world) idle() {
	var left []string
	for begin := time.Now(); time.Since(begin) < patience; <-time.After(10 * time.Millisecond) {
		left = nil
		environs, err := filepath.Glob("/proc/[0-9]*/environ")
		must(w.t, err)
		for _, path := range environs {
			if env, err := os.ReadFile(path); err == nil && bytes.Contains(env, []byte("KUGETSU_DIR="+string(w.home)+"\x00")) {
				left = append(left, path)
			}
		}
		if len(left) == 0 {
			return
		}
	}
	w.t.Errorf("processes are left: %v", left)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var example = regexp.MustCompile(`(?m)^    AGENT_PREFIX=(.*)$`)

// examples are the prefixes of the README, with a limit that a test can afford.
func examples(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("README.md")
	must(t, err)
	here, err := os.Getwd()
	must(t, err)
	limit := strconv.Itoa(capBytes)
	found := map[string]string{}
	for _, m := range example.FindAllStringSubmatch(string(text), -1) {
		prefix := strings.NewReplacer("2147483648", limit, "MemoryMax=2G", "MemoryMax="+limit, "/path/to/contrib/prefix", here).Replace(m[1])
		if !strings.Contains(prefix, limit) {
			t.Errorf("%s: there is no limit of 2 GiB in it", prefix)
		}
		name := strings.Fields(prefix)[0]
		if strings.Contains(prefix, "/sandbox") {
			name = "sandbox"
		}
		found[name] = prefix
	}
	if len(found) != 3 {
		t.Fatalf("the README shows %d prefixes, not 3: %v", len(found), found)
	}
	return found
}

// usable skips where a prefix cannot work on this machine, saying why.
func usable(t *testing.T, name, prefix string) string {
	t.Helper()
	try := func(prefix string) error {
		words := append(strings.Fields(prefix), "true")
		out, err := exec.Command(words[0], words[1:]...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
		}
		return nil
	}
	err := try(prefix)
	if err != nil && name == "systemd-run" && os.Geteuid() == 0 { // the system's own manager does the same for root
		prefix = strings.Replace(prefix, " --user", "", 1)
		err = try(prefix)
	}
	if err != nil {
		t.Skipf("%s does not work here: %v", name, err)
	}
	return prefix
}

// limited skips the rest where systemd takes a limit and the kernel knows none: the memory controller may be elsewhere.
func limited(t *testing.T, prefix string) {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	words := append(strings.Fields(prefix), self, "available")
	out, err := exec.Command(words[0], words[1:]...).Output()
	must(t, err)
	text, wrong, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	if n, err := strconv.Atoi(text); err != nil || wrong != "<nil>" || n > capBytes {
		t.Skipf("a run completes; its memory is not limited here, for %s bytes are available in the scope (%s)", text, wrong)
	}
}

func TestAnAgentRunsBehindEveryPrefixOfTheREADME(t *testing.T) {
	for name, prefix := range examples(t) {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, usable(t, name, prefix))
			it, log := w.item(1, "work")
			if it.State != queue.Completed || it.History[0].Changes == nil || it.History[0].Changes.Commits != 1 {
				t.Fatalf("%s, %+v\n%s", it.State, it.History[0], log)
			}
			home, run := string(w.home), slots.RunName(it.ID, 1)
			worktree := home + "/worktrees/github.com+you+project@1"
			for _, want := range []string{"RUN=" + run, "TMPDIR=" + home + "/runs/" + run + "/tmp", "PWD=" + worktree, "CWD=" + worktree,
				"FD3=" + home + "/slots/1.lock", "FD4=" + home + "/sessions/github.com+you+project@1.lock"} {
				if !strings.Contains(log, want+"\n") {
					t.Errorf("the agent does not say %s:\n%s", want, log)
				}
			}
			w.free(it, log)

			if name == "systemd-run" {
				limited(t, w.prefix)
			}
			it, log = w.item(2, "eat")
			if it.State != queue.Errored || it.History[0].Outcome != queue.Failed || strings.Contains(log, "devoured") {
				t.Errorf("over its memory it is %s, %+v\n%s", it.State, it.History[0], log)
			}
			w.free(it, log)
			t.Logf("over its memory: %s", it.History[0].Summary)
		})
	}
}

// free makes sure that nothing holds the lease of an item's run, and that none of its processes is left.
func (w *world) free(it queue.Item, log string) {
	w.t.Helper()
	session := strings.NewReplacer("/", "+", "#", "@").Replace(it.IssueRef)
	for _, path := range []string{w.home.SlotLock("1"), w.home.SessionLock(session)} {
		lock, err := slots.TryLock(path)
		if err != nil {
			w.t.Errorf("%s: %v\n%s", path, err, log)
			continue
		}
		must(w.t, lock.Close())
	}
	left, err := proc.Marked(proc.Run{Name: slots.RunName(it.ID, 1)})
	if err != nil || len(left) > 0 {
		w.t.Errorf("%d processes are left, %v", len(left), err)
	}
}

// The sandbox is one: what is not named cannot be written to, and no other process can be seen.
func TestTheSandboxKeepsAnAgentIn(t *testing.T) {
	prefix := usable(t, "sandbox", examples(t)["sandbox"])
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	for _, name := range []string{"work", "tmp", "a", "b", "outside"} {
		must(t, os.Mkdir(filepath.Join(dir, name), 0o700))
	}
	words := append(strings.Fields(prefix), "sh", "-c", `for f in . "$TMPDIR" ../a ../b ../outside; do touch "$f/x" 2>/dev/null && echo "$f"; done; kill -0 `+
		strconv.Itoa(os.Getpid())+` 2>/dev/null && echo seen; true`)
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Dir = filepath.Join(dir, "work")
	cmd.Env = append(os.Environ(), "PWD="+cmd.Dir, "TMPDIR="+dir+"/tmp", "SANDBOX_WRITABLE="+dir+"/a:"+dir+"/b")
	out, err := cmd.CombinedOutput()
	if want := ".\n" + dir + "/tmp\n../a\n../b\n"; err != nil || string(out) != want {
		t.Errorf("it may write to %q, %v, not to %q", out, err, want)
	}
}
