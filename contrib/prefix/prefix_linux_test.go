// Package prefix runs an agent behind each AGENT_PREFIX that the README beside it shows, for real.
package prefix

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
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

	"kugetsu/contrib/built"
	"kugetsu/contrib/internal/rig"
	"kugetsu/queue"
	"kugetsu/queue/outcome"
	"kugetsu/slots"
	"kugetsu/slots/machine"
	"kugetsu/slots/proc"
)

// patience bounds every wait; the machine may be busy.
const patience = rig.Patience

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
	rig.FullOnly("real sandboxes and limits of memory")
	os.Exit(m.Run())
}

func agent() {
	message, err := io.ReadAll(os.Stdin)
	check(err)
	// A server that only kugetsu ends: it is in a session of its own.
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
	if strings.TrimSpace(string(message)) == "plant" {
		common, err := exec.Command("git", "rev-parse", "--path-format=absolute", "--git-common-dir").Output()
		check(err)
		dir := strings.TrimSpace(string(common))
		for _, name := range []string{"config", "hooks/pre-commit", "info/attributes", "config.worktree"} {
			_ = os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o700)
			f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o700)
			first, _, _ := strings.Cut(name, "/")
			if err != nil {
				fmt.Printf("%s: closed\n", first)
			} else {
				fmt.Printf("%s: open\n", first)
				check(f.Close())
			}
		}
	}
	check(os.WriteFile("work", message, 0o600))
	for _, args := range [][]string{{"add", "work"}, {"-c", "user.name=a", "-c", "user.email=a@localhost", "commit", "-q", "-m", "work"}} {
		out, err := exec.Command("git", args...).CombinedOutput()
		fmt.Printf("%s", out)
		check(err)
	}
	fmt.Println("commit: done")
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
	w.env = []string{"HOME=" + dir, "PATH=" + built.WithoutAgents(os.Getenv("PATH")), "KUGETSU_DIR=" + string(w.home), "KUGETSU_AGENT=command", "AGENT_COMMAND=" + self + " agent",
		"AGENT_PREFIX=" + prefix, "AGENT_MEMORY=0", "MIN_FREE_DISK=0", "MAX_ATTEMPTS=1", "MAX_CONCURRENT_AGENTS=1",
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1"}
	must(t, rig.Install(w.bin))
	repo := filepath.Join(dir, "project")
	w.run("git", "init", "-q", "-b", "main", repo)
	w.run("git", "-C", repo, "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-q", "--allow-empty", "-m", "first")
	w.run(w.bin, "init")
	config := "PATH='" + built.WithoutAgents(os.Getenv("PATH")) + "'\n"
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		config += "XDG_RUNTIME_DIR=" + dir + "\n"
	}
	must(t, os.WriteFile(filepath.Join(string(w.home), "config"), []byte(config), 0o600))
	// The agent is this test, below /tmp, of which the sandbox shows nothing that is not named.
	must(t, os.WriteFile(filepath.Join(string(w.home), "env", "dev.env"), []byte("SANDBOX_WRITABLE="+filepath.Dir(self)+"\n"), 0o600))
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

func TestAgentRunsBehindEveryPrefixOfTheREADME(t *testing.T) {
	for name, prefix := range examples(t) {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, usable(t, name, prefix))
			it, log := w.item(1, "work")
			if it.State != queue.Completed || it.History[0].Changes == nil || it.History[0].Changes.Commits != 1 {
				t.Fatalf("%s, %+v\n%s", it.State, it.History[0], log)
			}
			home, run := string(w.home), slots.RunName(it.ID, 1)
			worktree := home + "/worktrees/github.com+you+project@1"
			for _, want := range []string{"RUN=" + run, "TMPDIR=" + home + "/t/1", "PWD=" + worktree, "CWD=" + worktree,
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
			if it.State != queue.Errored || it.History[0].Outcome != outcome.Failed || strings.Contains(log, "devoured") {
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

// sandboxed runs a script in the sandbox, in a home of its own that is not below /tmp, and returns what it prints.
func sandboxed(t *testing.T, home string, env []string, script string) string {
	t.Helper()
	words := append(strings.Fields(usable(t, "sandbox", examples(t)["sandbox"])), "sh", "-c", script)
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Dir = filepath.Join(home, "project")
	cmd.Env = append(os.Environ(), append([]string{"PWD=" + cmd.Dir, "HOME=" + home, "TMPDIR=" + home + "/tmp"}, env...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// newHome is a folder that is not below /tmp, with those that a script in it may use.
func newHome(t *testing.T, folders ...string) string {
	t.Helper()
	home, err := os.MkdirTemp("/var/lib", "kugetsu-sandbox-*")
	if err != nil { // not root
		here, wdErr := os.Getwd()
		must(t, wdErr)
		home, err = os.MkdirTemp(here, "testdata-*")
	}
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(home)) })
	for _, name := range append([]string{"project", "tmp"}, folders...) {
		must(t, os.MkdirAll(filepath.Join(home, name), 0o700))
	}
	return home
}

// What is not named cannot be written to, and no other process can be seen. All can be read, but what lies in /tmp.
func TestSandboxOpensWhatIsNamed(t *testing.T) {
	home := newHome(t, "a", "b", "c", "git/objects", "git/hooks", "outside")
	must(t, os.WriteFile(home+"/outside/secret", []byte("read\n"), 0o600))
	inTmp := t.TempDir()
	out := sandboxed(t, home, []string{"SANDBOX_WRITABLE=" + home + "/a:" + home + "/b:/not/there", "KUGETSU_WRITABLE=" + home + "/git/objects"},
		`for f in . "$TMPDIR" ../a ../b ../git/objects ../c ../outside ../git ../git/hooks /etc /usr; do touch "$f/x" 2>/dev/null && echo "$f"; done
cat ../outside/secret
ls `+inTmp+` 2>/dev/null && echo "/tmp is shown"
kill -0 `+strconv.Itoa(os.Getpid())+` 2>/dev/null && echo seen; true`)
	if want := ".\n" + home + "/tmp\n../a\n../b\n../git/objects\nread\n"; out != want {
		t.Errorf("it may write to, and reads, %q, not %q", out, want)
	}
}

// No capability is left, also to root: a file system that is read-only stays so, what another user owns is that user's, and no
// setting of the kernel is written.
func TestSandboxHasNoCapabilities(t *testing.T) {
	home := newHome(t, "theirs")
	must(t, os.WriteFile(home+"/project/theirs", []byte("theirs"), 0o600))
	if os.Geteuid() == 0 {
		must(t, os.Chown(home+"/project/theirs", 12345, 12345))
	}
	out := sandboxed(t, home, nil, `grep '^Cap\(Prm\|Eff\)' /proc/self/status
mount -o remount,rw / 2>/dev/null && echo remounted
mount -t tmpfs none /mnt 2>/dev/null && echo mounted
chown 0 theirs 2>/dev/null && [ "$(id -u)" = 0 ] && echo given
for f in /proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe /sys/kernel/uevent_helper /sys/kernel/profiling; do
	[ ! -e $f ] || was=$(cat $f) && (echo "$was" >$f) 2>/dev/null && echo "written: $f"
done
(echo h >/proc/sysrq-trigger) 2>/dev/null && echo "written: sysrq-trigger"
true`)
	for line := range strings.Lines(out) {
		if name, set, _ := strings.Cut(strings.TrimSpace(line), ":"); strings.Trim(set, "\t0") != "" || !strings.HasPrefix(name, "Cap") {
			t.Errorf("in the sandbox: %s", line)
		}
	}
	if strings.Count(out, "Cap") != 2 {
		t.Errorf("in the sandbox: %q", out)
	}
}

// What listens at a file is not reached, wherever the file lies: an ssh agent, a container engine, a terminal, an editor.
func TestSandboxReachesNoSocketFile(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("there is no python3 to connect with")
	}
	home := newHome(t, ".gnupg", "run")
	listen := func(path string) {
		l, err := net.Listen("unix", path)
		must(t, err)
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = c.Write([]byte("answer"))
				_ = c.Close()
			}
		}()
	}
	paths := []string{home + "/run/engine.sock", home + "/.gnupg/S.gpg-agent", filepath.Join(t.TempDir(), "agent")}
	if os.Geteuid() == 0 {
		dir, err := os.MkdirTemp("/run", "kugetsu-sandbox-*")
		must(t, err)
		t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
		paths = append(paths, dir+"/docker.sock")
	}
	abstract := "@kugetsu-sandbox-" + filepath.Base(home)
	for _, path := range append(paths, abstract) {
		listen(path)
	}
	script := `import socket, sys
for path in sys.argv[1:]:
    s = socket.socket(socket.AF_UNIX)
    try:
        s.connect("\0" + path[1:] if path[0] == "@" else path)
        print("reached", path)
    except OSError:
        print("not reached", path)
`
	must(t, os.WriteFile(home+"/project/connect.py", []byte(script), 0o600))
	out := sandboxed(t, home, []string{"SSH_AUTH_SOCK=" + paths[0]}, `[ -z "${SSH_AUTH_SOCK:-}" ] || echo "SSH_AUTH_SOCK is set"; python3 connect.py `+strings.Join(append(paths, abstract), " "))
	for _, path := range paths {
		if !strings.Contains(out, "not reached "+path+"\n") {
			t.Errorf("%s is reached: %s", path, out)
		}
	}
	if strings.Contains(out, "SSH_AUTH_SOCK is set") {
		t.Error(out)
	}
	// What the README says it does not hold.
	if !strings.Contains(out, "reached "+abstract) || strings.Contains(out, "not reached "+abstract) {
		t.Errorf("an abstract socket: %s", out)
	}
}

// An agent in the sandbox cannot change what git believes, in a clone and in a local checkout: the next to use git there may be
// a person.
func TestSandboxOpensNoConfigurationOfTheRepository(t *testing.T) {
	w := newWorld(t, usable(t, "sandbox", examples(t)["sandbox"]))
	it, log := w.item(1, "plant")
	if it.State != queue.Completed {
		t.Fatalf("%s, %+v\n%s", it.State, it.History[0], log)
	}
	for _, want := range []string{"config: closed", "hooks: closed", "info: closed", "config.worktree: closed", "commit: done"} {
		if !strings.Contains(log, want+"\n") {
			t.Errorf("no %q in\n%s", want, log)
		}
	}
	w.free(it, log)
}
