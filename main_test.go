package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"kugetsu/contrib/built"
	"kugetsu/contrib/quick"
	"kugetsu/slots"
	"kugetsu/slots/machine"
	"kugetsu/slots/proc"
)

// The scripts in testdata/script of the packages drive the real binary, with real git and real processes. Their agent is
// this test binary under the name fakeagent; their clock is a condition, never a sleep.

// patience bounds every wait of a test. It is generous: the machine may be busy.
const patience = 2 * time.Minute

func TestMain(m *testing.M) {
	// The scripts wait more than they work. A -parallel on the command line has the last word.
	if err := flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0))); err != nil {
		panic(err)
	}
	testscript.Main(quick.InMemory{M: m}, map[string]func(){"fakeagent": fakeAgent})
}

func TestScripts(t *testing.T) {
	bin := t.TempDir()
	if err := built.Install(filepath.Join(bin, "kugetsu")); err != nil {
		t.Fatal(err)
	}
	makeFirstRepo(t)
	for _, dir := range []string{"queue", "slots", "tick"} {
		t.Run(dir, func(t *testing.T) {
			testscript.Run(t, testscript.Params{
				Dir:                 filepath.Join(dir, "testdata", "script"),
				RequireExplicitExec: true,
				RequireUniqueNames:  true,
				Setup:               func(env *testscript.Env) error { return setup(env, bin) },
				Condition: func(cond string) (bool, error) {
					switch cond {
					case "root":
						return os.Geteuid() == 0, nil
					case "race":
						return built.Raced(), nil
					case "cgroup":
						dir, err := controlGroup("1000000000")
						return err == nil && os.Remove(dir) == nil, nil
					case "mount": // namespaces may be made here
						return exec.Command("unshare", "-m", "-p", "-f", "true").Run() == nil, nil
					}
					return false, fmt.Errorf("unknown condition %q", cond)
				},
				Cmds: map[string]func(*testscript.TestScript, bool, []string){
					"exits": exits, "waitfor": waitFor, "repo": makeRepo, "same": same, "within": within, "fill": fillFile,
					"forge": startForge, "gitserver": startGitServer, "keep": keep, "expand": expand, "dead": dead, "available": available, "cgroup": cgroup, "quiet": quiet,
				},
			})
		})
	}
}

func setup(env *testscript.Env, bin string) error {
	home := filepath.Join(env.WorkDir, "home")
	state := filepath.Join(home, ".kugetsu")
	if err := os.MkdirAll(home, 0o700); err != nil {
		return err
	}
	env.Setenv("PATH", bin+string(os.PathListSeparator)+built.WithoutAgents(env.Getenv("PATH")))
	env.Setenv("HOME", home)
	env.Setenv("STATE", state)
	env.Setenv("KUGETSU_AGENT", "command")
	env.Setenv("AGENT_COMMAND", "fakeagent")
	env.Setenv("RETRY_DELAY", "1ms")
	env.Setenv("AGENT_MEMORY", "0") // what the machine has to spare is no business of a script that is not about it
	env.Setenv("MIN_FREE_DISK", "0")
	for _, name := range []string{"GIT_AUTHOR", "GIT_COMMITTER"} {
		env.Setenv(name+"_NAME", "test")
		env.Setenv(name+"_EMAIL", "test@localhost")
	}
	env.Setenv("GORACE", "atexit_sleep_ms=0") // a raced process would stay for a second after its end
	env.Setenv("GIT_CONFIG_GLOBAL", "/dev/null")
	env.Setenv("GIT_CONFIG_NOSYSTEM", "1")
	env.Defer(func() {
		endAll(state)
		noRace(env.T(), state)
	})
	return nil
}

// endAll ends every process of every run of a state folder: what a script left behind. A run that a tick starts meanwhile is not among them;
// its agent ends when the script's folder is gone (await).
func endAll(state string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	runs, _ := os.ReadDir(filepath.Join(state, "runs"))
	for _, run := range runs {
		if err := proc.Kill(ctx, slots.Dir(state).Processes(run.Name()), nil); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
}

// noRace fails where a runner, or the tick that it started, met a data race: their output goes to logs.
func noRace(t testscript.T, state string) {
	logs, _ := filepath.Glob(filepath.Join(state, "runs", "*", "log"))
	for _, log := range append(logs, filepath.Join(state, "tick.log")) {
		if data, _ := os.ReadFile(log); bytes.Contains(data, []byte("WARNING: DATA RACE")) {
			t.Log(string(data))
			t.FailNow()
		}
	}
}

// exits runs a command that must end with an exit code: exits 2 kugetsu start …
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits code command…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, not %d", got, want)
	}
}

// waitFor waits for a file to be there, or, with !, to be gone.
func waitFor(ts *testscript.TestScript, neg bool, args []string) {
	for _, arg := range args {
		path := ts.MkAbs(arg)
		for begin := time.Now(); ; {
			matches, err := filepath.Glob(path)
			ts.Check(err)
			if (len(matches) > 0) != neg {
				break
			}
			if time.Since(begin) > patience {
				ts.Fatalf("%s did not come, or did not go, in %s", arg, patience)
			}
			poll()
		}
	}
}

// within runs a command again and again until its stdout has a text: within 'running' kugetsu status
func within(ts *testscript.TestScript, neg bool, args []string) {
	for begin := time.Now(); ; {
		err := ts.Exec(args[1], args[2:]...)
		out := ts.ReadFile("stdout")
		if err == nil && strings.Contains(out, args[0]) != neg {
			return
		}
		if time.Since(begin) > patience {
			ts.Fatalf("%v did not say %q in %s, but %q", args[1:], args[0], patience, out)
		}
		poll()
	}
}

// keep keeps what the last command printed, without the newline at its end, in a variable: keep ID
func keep(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: keep NAME")
	}
	ts.Setenv(args[0], strings.TrimSuffix(ts.ReadFile("stdout"), "\n"))
}

// available puts a part of the memory that there is, in percent, in a variable, in bytes: available NAME 40
func available(ts *testscript.TestScript, _ bool, args []string) {
	n, err := machine.Machine{}.Available()
	ts.Check(err)
	percent, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Setenv(args[0], strconv.FormatInt(n/100*int64(percent), 10))
}

// cgroup makes a control group whose memory is limited, and puts its folder in a variable: cgroup NAME BYTES
func cgroup(ts *testscript.TestScript, _ bool, args []string) {
	dir, err := controlGroup(args[1])
	ts.Check(err)
	ts.Setenv(args[0], dir)
	ts.Defer(func() {
		endAll(ts.Getenv("STATE"))
		for begin := time.Now(); os.Remove(dir) != nil; poll() { // the last tick may be in it still
			if time.Since(begin) > patience {
				ts.Logf("%s is left", dir)
				return
			}
		}
	})
}

// controlGroup makes one in the first hierarchy that has the memory controller, where this user may.
func controlGroup(limit string) (string, error) {
	var errs []error
	for _, place := range []struct{ top, limit string }{{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"}, {"/sys/fs/cgroup", "memory.max"}} {
		dir, err := os.MkdirTemp(place.top, "kugetsu-test-*")
		if err == nil {
			var f *os.File
			if f, err = os.OpenFile(filepath.Join(dir, place.limit), os.O_WRONLY, 0); err == nil { // never made: it may be no group
				_, err = f.WriteString(limit)
				err = errors.Join(err, f.Close())
			}
			if err == nil {
				return dir, nil
			}
			err = errors.Join(err, os.Remove(dir))
		}
		errs = append(errs, err)
	}
	return "", errors.Join(errs...)
}

// startForge serves a folder on loopback as a Gitea would its API, and makes it the one that agents know: forge DIR
// starts it, its address is in $FORGE, its host and port in $FORGEHOST. A file is answered to a request that has the token, which is
// "sesame", and the file "list" in it for a folder. A file "refusal" in DIR, a status and a body behind it, is the answer to everything.
func startForge(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[0])
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "token sesame" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if text, err := os.ReadFile(filepath.Join(dir, "refusal")); err == nil {
			status, body, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
			code, _ := strconv.Atoi(status)
			w.WriteHeader(code)
			_, _ = io.WriteString(w, body)
			return
		}
		name := filepath.Join(dir, filepath.FromSlash(r.URL.Path))
		if info, err := os.Stat(name); err == nil && info.IsDir() {
			name = filepath.Join(name, "list")
		}
		data, err := os.ReadFile(name)
		if err != nil {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = w.Write(data)
	}))
	ts.Defer(s.Close)
	ts.Setenv("FORGE", s.URL)
	ts.Setenv("FORGEHOST", strings.TrimPrefix(s.URL, "http://"))
}

// startGitServer serves the bare repositories in a folder on loopback with git's own server, for pushes too: gitserver DIR
// [PASSWORD [readonly]] starts it, its address is in $GITSERVER. With a password it is for you alone, "you" by name.
func startGitServer(ts *testscript.TestScript, _ bool, args []string) {
	path, err := exec.Command("git", "--exec-path").Output()
	ts.Check(err)
	git := &cgi.Handler{Path: filepath.Join(strings.TrimSpace(string(path)), "git-http-backend"), Env: []string{
		"GIT_PROJECT_ROOT=" + ts.MkAbs(args[0]), "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_NOSYSTEM=1", "HOME=" + ts.Getenv("HOME"),
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=http.receivepack", "GIT_CONFIG_VALUE_0=true", "PATH=" + os.Getenv("PATH")}}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); len(args) > 1 && args[1] != "" && (user != "you" || password != args[1]) {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if len(args) > 2 && strings.Contains(r.URL.String(), "git-receive-pack") {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		git.ServeHTTP(w, r)
	}))
	ts.Defer(s.Close)
	ts.Setenv("GITSERVER", s.URL)
}

// expand puts the values of $WORK, $STATE and $FORGEHOST into files: expand task
func expand(ts *testscript.TestScript, _ bool, args []string) {
	values := strings.NewReplacer("$WORK", ts.Getenv("WORK"), "$STATE", ts.Getenv("STATE"), "$FORGEHOST", ts.Getenv("FORGEHOST"))
	for _, arg := range args {
		ts.Check(os.WriteFile(ts.MkAbs(arg), []byte(values.Replace(ts.ReadFile(arg))), 0o600))
	}
}

// dead waits until the process whose id is in a file is gone, or, with !, makes sure that it is not.
func dead(ts *testscript.TestScript, neg bool, args []string) {
	pid := strings.TrimSpace(ts.ReadFile(args[0]))
	if _, err := strconv.Atoi(pid); err != nil {
		ts.Fatalf("%s holds no process id: %q", args[0], pid)
	}
	for begin := time.Now(); ; poll() {
		lives := alive(pid)
		if neg && lives || !neg && !lives {
			return
		}
		if neg || time.Since(begin) > patience {
			ts.Fatalf("the process of %s lives: %t", args[0], lives)
		}
	}
}

// quiet waits until no kugetsu of this script runs: no runner, nor the tick that the last of them started.
func quiet(ts *testscript.TestScript, _ bool, _ []string) {
	var bin string
	var err error
	for dir := range strings.SplitSeq(ts.Getenv("PATH"), string(os.PathListSeparator)) { // a script may have programs before it
		if bin, err = filepath.EvalSymlinks(filepath.Join(dir, "kugetsu")); err == nil {
			break
		}
	}
	ts.Check(err)
	busy := func() bool {
		exes, err := filepath.Glob("/proc/[0-9]*/exe")
		ts.Check(err)
		return slices.ContainsFunc(exes, func(exe string) bool {
			at, _ := os.Readlink(exe)
			env, err := os.ReadFile(filepath.Join(filepath.Dir(exe), "environ"))
			// A process that is about to begin has no environment for an instant, and may be anyone's.
			return at == bin && (err == nil && len(env) == 0 || bytes.Contains(env, []byte("HOME="+ts.Getenv("HOME")+"\x00")))
		})
	}
	idle := func() bool { // in two listings: the first misses what a runner in it starts meanwhile
		for range 2 {
			if busy() {
				return false
			}
		}
		return true
	}
	for begin := time.Now(); !idle(); poll() {
		if time.Since(begin) > patience {
			ts.Fatalf("kugetsu is at work after %s", patience)
		}
	}
}

// poll gives way between two looks at a condition.
func poll() { <-time.After(10 * time.Millisecond) }

// same compares two files byte for byte, without the end-of-line conversions that cmp is free to make.
func same(ts *testscript.TestScript, neg bool, args []string) {
	a, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	b, err := os.ReadFile(ts.MkAbs(args[1]))
	ts.Check(err)
	if bytes.Equal(a, b) == neg {
		ts.Fatalf("%s (%d bytes) and %s (%d bytes)", args[0], len(a), args[1], len(b))
	}
}

// fillFile makes a file of a size: fill file 200000 'text to repeat'
func fillFile(ts *testscript.TestScript, _ bool, args []string) {
	size, err := strconv.Atoi(args[1])
	ts.Check(err)
	text := strings.Repeat(args[2], size/len(args[2])+1)[:size]
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

// makeRepo makes a throwaway repository with one commit, and names it in repos.json: repo github.com/you/project dir
func makeRepo(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[1])
	ts.Check(os.MkdirAll(dir, 0o700))
	ts.Check(os.CopyFS(dir, os.DirFS(firstRepo)))
	state := ts.Getenv("STATE")
	ts.Check(os.MkdirAll(state, 0o700))
	ts.Check(os.WriteFile(filepath.Join(state, "repos.json"), fmt.Appendf(nil, "{%q: %q}", args[0], dir), 0o600))
}

// firstRepo is the repository that each script gets a copy of: git takes four processes to make one.
var firstRepo string

func makeFirstRepo(t *testing.T) {
	firstRepo = t.TempDir()
	if err := os.WriteFile(filepath.Join(firstRepo, "README.md"), []byte("# project\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"init", "-q", "-b", "main", "--template="}, {"add", "."}, {"commit", "-q", "-m", "first"}} {
		cmd := exec.Command("git", args...)
		cmd.Dir = firstRepo
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=test", "GIT_AUTHOR_EMAIL=test@localhost",
			"GIT_COMMITTER_NAME=test", "GIT_COMMITTER_EMAIL=test@localhost")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", cmd, err, out)
		}
	}
}

// fakeAgent does what its arguments say, or else each line of its stdin:
//
//	say TEXT, complain TEXT    print on stdout or stderr
//	write FILE TEXT            write a file (relative to the worktree)
//	stdin FILE, env FILE       keep its stdin, its environment, its working directory and arguments in a file
//	commit TEXT                git commit everything
//	await FILE                 wait until a file is there, or its folder is gone
//	record DIR                 count itself among the agents that run now: DIR/max grows a line with that number
//	spawn FILE [bare|closed]   leave a server behind: in a session of its own, its pid in FILE, its streams inherited;
//	                           without an environment, or with every other descriptor closed
//	pid FILE, runner FILE      keep its own process id, or its runner's, in a file
//	gone FILE                  exit 98 if the process whose id is in a file lives
//	stubborn                   ignore SIGTERM from here on
//	run WORDS…                 run a command, its output on stdout
//	once …                     do the rest of the line in the item's first run only
//	take MB                    have so many megabytes of memory; spawn FILE MB is a server that does
//	kill SIGNAL                die of a signal
//	exit N
func fakeAgent() {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		deaf := make(chan os.Signal, 1)
		signal.Notify(deaf, syscall.SIGTERM, syscall.SIGHUP)
		if len(os.Args) > 3 {
			take(os.Args[3])
		}
		writePID(os.Args[2], os.Getpid())
		for { // until the test's folder is gone, if nothing ends it before
			select {
			case <-deaf:
			case <-time.After(time.Second):
				if _, err := os.Stat(filepath.Dir(os.Args[2])); err != nil {
					syscall.Exit(0)
				}
			}
		}
	}
	if len(os.Args) > 1 {
		do(strings.Join(os.Args[1:], " "))
		quit(0)
	}
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		do(in.Text())
	}
	check(in.Err())
	quit(0)
}

// quit ends the agent at once: os.Exit would keep a raced one for a second.
func quit(code int) {
	leave()
	syscall.Exit(code)
}

var leave = func() {}

func do(line string) {
	verb, rest, _ := strings.Cut(line, " ")
	one, two, _ := strings.Cut(rest, " ")
	switch verb {
	case "say":
		fmt.Println(rest)
	case "complain":
		fmt.Fprintln(os.Stderr, rest)
	case "write":
		check(os.WriteFile(one, []byte(two+"\n"), 0o600))
	case "stdin":
		data, err := io.ReadAll(os.Stdin)
		check(err)
		check(os.WriteFile(rest, data, 0o600))
	case "env":
		cwd, err := os.Getwd()
		check(err)
		check(os.WriteFile(rest, []byte(strings.Join(os.Environ(), "\n")+"\nCWD="+cwd+"\nARGS="+strings.Join(os.Args[1:], "|")+"\n"), 0o600))
	case "commit":
		runTool("git", "add", "-A")
		runTool("git", "-c", "user.name=agent", "-c", "user.email=agent@localhost", "commit", "-q", "--allow-empty", "-m", rest)
	case "await":
		folder, err := filepath.Abs(filepath.Dir(rest)) // what is relative leads also where the folders are gone
		check(err)
		_, before := os.Stat(folder)
		for {
			if _, err := os.Stat(rest); err == nil {
				return
			}
			if _, err := os.Stat(folder); err != nil && before == nil { // the script has ended, and its folder is gone
				syscall.Exit(1)
			}
			poll()
		}
	case "record":
		record(rest)
	case "spawn":
		self, err := os.Executable()
		check(err)
		cmd := exec.Command(self, "serve", one)
		cmd.Args[0] = os.Args[0]
		switch two {
		case "bare":
			cmd.Env = []string{"HOME=/"} // an empty list would mean ours
		case "closed":
			check(proc.CloseOnExec())
		case "":
		default:
			cmd.Args = append(cmd.Args, two)
		}
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		check(cmd.Start())
		for {
			if _, err := os.Stat(one); err == nil {
				return
			}
			poll()
		}
	case "take":
		take(rest)
	case "pid":
		writePID(rest, os.Getpid())
	case "runner":
		writePID(rest, os.Getppid())
	case "gone":
		data, err := os.ReadFile(rest)
		check(err)
		if alive(string(data)) {
			fmt.Fprintf(os.Stderr, "fakeagent: process %s lives\n", data)
			quit(98)
		}
	case "once":
		if strings.HasSuffix(os.Getenv("KUGETSU_RUN"), ".1") {
			do(rest)
		}
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
	case "run":
		runTool(one, strings.Fields(two)...)
	case "kill":
		leave()
		n, err := strconv.Atoi(rest)
		check(err)
		check(syscall.Kill(os.Getpid(), syscall.Signal(n)))
		select {}
	case "exit":
		n, err := strconv.Atoi(rest)
		check(err)
		quit(n)
	default:
		fmt.Println(line)
	}
}

// taken is memory that take took.
var taken []byte

// take takes so many megabytes, and keeps them.
func take(megabytes string) {
	n, err := strconv.Atoi(megabytes)
	check(err)
	taken = make([]byte, n*1_000_000)
	for i := 0; i < len(taken); i += 4096 {
		taken[i] = 1
	}
}

// writePID puts a process id into a file, whole or not at all.
func writePID(file string, pid int) {
	check(os.WriteFile(file+".tmp", []byte(strconv.Itoa(pid)), 0o600))
	check(os.Rename(file+".tmp", file))
}

// alive says whether a process exists and is no zombie.
func alive(pid string) bool {
	state, err := exec.Command("ps", "-o", "stat=", "-p", strings.TrimSpace(pid)).Output()
	return err == nil && !strings.HasPrefix(string(state), "Z")
}

// record counts the agents that run at this instant, by a file each, under a lock of its own.
func record(dir string) {
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	check(err)
	check(syscall.Flock(int(lock.Fd()), syscall.LOCK_EX))
	me := filepath.Join(dir, "running."+strconv.Itoa(os.Getpid()))
	check(os.WriteFile(me, []byte(os.Getenv("KUGETSU_RUN")), 0o600))
	running, err := filepath.Glob(filepath.Join(dir, "running.*"))
	check(err)
	cwd, err := os.Getwd()
	check(err)
	log, err := os.OpenFile(filepath.Join(dir, "max"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	check(err)
	_, err = fmt.Fprintf(log, "%d %s %s\n", len(running), os.Getenv("KUGETSU_RUN"), cwd)
	check(err)
	check(lock.Close())
	leave = func() { check(os.Remove(me)) }
}

func runTool(name string, args ...string) {
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	check(cmd.Run())
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "fakeagent:", err)
		syscall.Exit(99)
	}
}

// The grammar is narrowed to the command that the first words name, unless a flag stands before them.
func TestHelpOfACommandIsTheSameFromTheWholeGrammar(t *testing.T) {
	kugetsu := filepath.Join(t.TempDir(), "kugetsu")
	if err := built.Install(kugetsu); err != nil {
		t.Fatal(err)
	}
	help := func(args ...string) string {
		cmd := exec.Command(kugetsu, append(args, "--help")...)
		cmd.Env = append(os.Environ(), "KUGETSU_DIR="+t.TempDir())
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
		return string(out)
	}
	seen := 0
	var walk func(group reflect.Type, above []string)
	walk = func(group reflect.Type, above []string) {
		for field := range group.Fields() {
			if _, embedded := field.Tag.Lookup("embed"); embedded {
				walk(field.Type, above)
			}
			if _, command := field.Tag.Lookup("cmd"); !command {
				continue
			}
			name := field.Tag.Get("name")
			if name == "" {
				name = strings.ToLower(field.Name)
			}
			path := append(slices.Clone(above), name)
			if whole := help(append([]string{"-q"}, path...)...); help(path...) != whole {
				t.Errorf("%q: not this:\n%s", path, whole)
			}
			if seen++; field.Type.Name() == "" {
				walk(field.Type, path)
			}
		}
	}
	walk(reflect.TypeFor[grammar](), nil)
	if seen < 40 {
		t.Errorf("%d commands", seen)
	}
}
