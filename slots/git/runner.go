package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"kugetsu/queue/fault"
	"kugetsu/queue/pattern"
	"kugetsu/slots/proc"
)

// Runner runs git in a made environment. Several may be used at once.
type Runner struct {
	// Env is the made environment: HOME, PATH (git is looked up in it), tokens. See environ for the GIT_* in it.
	Env []string
	// Own is a folder that no agent may write to: the private git directories are made in it. It is made where it is missing.
	// It may be empty where no repository is looked at.
	Own string
	// Log receives what git prints on stderr, as it comes. It is kept for errors too, so nil loses only the log.
	Log io.Writer
	// Files are inherited by every git from descriptor 3 on. They are the lease, so that a git which outlives its runner keeps the
	// slot occupied until that git is gone.
	Files []*os.File

	// Like is a Runner that may have read the configuration already. What it read is taken from it where the environment of this one
	// leads to the same files. It may be nil.
	Like *Runner

	known known // configuration that was read before
}

const (
	// termGrace is how long git gets after SIGTERM, on which it removes its lock files, before SIGKILL.
	termGrace = 2 * time.Second
	// outputGrace bounds the wait for output after git's end: an ssh that stays behind as the master of a shared
	// connection keeps our pipes open for as long as it lives.
	outputGrace = 500 * time.Millisecond
)

// safety precedes every git command. Git hands these on to the git processes it starts.
//
//   - hooksPath, fsmonitor: commands that the repository's configuration would run inside our calls.
//   - protocol.ext: a URL that runs a command. GIT_ALLOW_PROTOCOL says it too; each holds where the other is overridden.
//   - gc, maintenance: would go to the background and outlive the run.
//   - splitIndex: a copy of the index, as Snapshot uses it, would write its other half beside the original.
//   - useRelativePaths: newer gits would write links that older ones cannot read.
var safety = []string{
	"-c", "core.hooksPath=/dev/null",
	"-c", "core.fsmonitor=false",
	"-c", "protocol.ext.allow=never",
	"-c", "gc.auto=0",
	"-c", "maintenance.auto=false",
	"-c", "core.splitIndex=false",
	"-c", "worktree.useRelativePaths=false",
}

// keptPrefixes and keptNames are the GIT_* variables a user may set: how to reach and be admitted to a remote, where
// git's configuration lies, and whose name is on a commit. All others are dropped: GIT_DIR, GIT_WORK_TREE,
// GIT_INDEX_FILE, GIT_OBJECT_DIRECTORY and their kin point git at another repository, and a tick started from a git
// hook has them set.
var (
	keptPrefixes = []string{"GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_", "GIT_AUTHOR_", "GIT_COMMITTER_", "GIT_SSL_"}
	keptNames    = []string{
		"GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSH_VARIANT", "GIT_ASKPASS",
		"GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_COUNT",
	}
)

// environ is the environment of a git process. kugetsu's own variables come last, since the last of two equal names wins.
func (g *Runner) environ(dir string, lazy bool, extra []string) []string {
	var env []string
	for _, kv := range g.Env {
		name, value, _ := strings.Cut(kv, "=")
		has := func(prefix string) bool { return strings.HasPrefix(name, prefix) }
		if has("GIT_") && !slices.Contains(keptNames, name) && !slices.ContainsFunc(keptPrefixes, has) {
			continue
		}
		if name == "PATH" { // git and its helpers look there, in a folder that an agent may have filled
			kv = "PATH=" + proc.AbsolutePath(value)
		}
		env = append(env, kv)
	}
	env = append(env,
		"LC_ALL=C", // the texts in error.go are looked for in English
		"GIT_TERMINAL_PROMPT=0",
		"GIT_OPTIONAL_LOCKS=0",     // `status` must not rewrite the agent's index
		"GIT_NO_REPLACE_OBJECTS=1", // what is kept is what was written, not what refs/replace/ makes of it
		"GIT_ALLOW_PROTOCOL=file:git:http:https:ssh",
		"GIT_CEILING_DIRECTORIES="+filepath.Dir(dir), // git in dir, or nothing: never a repository above it
		"PWD="+dir,                                   // git believes a PWD that is out of date
	)
	if !lazy { // an object that is missing is an error, never a call of a remote
		// If git may fetch the object, the variable is not set to 0 either. The upload-pack of a remote on this machine would
		// inherit the 0; without the variable it fetches nothing for a repository that an agent may have made.
		env = append(env, "GIT_NO_LAZY_FETCH=1")
	}
	return append(env, extra...)
}

// Command is one git call.
type Command struct {
	dir   string // where it runs, in place of the worktree
	lazy  bool   // git may fetch objects that are missing
	Index string // an index in place of the worktree's own
	Stdin string
	input *os.File // in place of stdin, where it may be of any length
	Most  int      // bound of stdout, in bytes, where the repository decides how long the answer is; 0: none
	// Stdout gets what git prints there, in place of the caller: output that is counted and not kept may be of any length.
	Stdout io.Writer
	stderr io.Writer // gets what git prints there, besides the log
	Lock   *os.File  // the repository's lock, where git may leave children behind that write: see repo.git
	Env    []string  // on top of the environment
	Config []string  // -c and what comes with it, of this call alone
	Args   []string  // the subcommand and its arguments
}

// program is where git is.
func program(env []string, dir string) (string, error) { return proc.LookPath("git", env, dir) }

// exec runs git to its end and returns its stdout, also beside an error, which is always an *Error. read are the folders
// that git reads and an agent may have filled.
//
// Only Private.Run and the reading of configuration call it: a git that is started in another way would believe the
// configuration that it finds where it runs.
func (g *Runner) exec(ctx context.Context, read []string, c Command) (string, error) {
	env := g.environ(c.dir, c.lazy, c.Env)
	bin, err := program(env, c.dir)
	if err != nil {
		return "", &Error{Op: "git " + c.Args[0], Err: err}
	}
	cmd := exec.Command(bin, slices.Concat(safety, c.Config, c.Args)...)
	cmd.Dir, cmd.Env = c.dir, env
	if c.Stdin != "" { // otherwise /dev/null
		cmd.Stdin = strings.NewReader(c.Stdin)
	}
	if c.input != nil {
		cmd.Stdin = c.input
	}
	stdout := &answer{most: c.Most}
	stderr := &tee{log: g.Log}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if c.Stdout != nil {
		cmd.Stdout = c.Stdout
	}
	if c.stderr != nil {
		cmd.Stderr = io.MultiWriter(stderr, c.stderr)
	}
	cmd.ExtraFiles = slices.Clone(g.Files)
	if c.Lock != nil {
		cmd.ExtraFiles = append(cmd.ExtraFiles, c.Lock)
	}
	cmd.SysProcAttr = sysProcAttr()
	cmd.WaitDelay = outputGrace
	free := g.freeReaders(read)
	err = runUntil(ctx, cmd)
	free()
	if stdout.over {
		return "", &Error{Op: "git " + c.Args[0], Err: ErrTooLong}
	}
	if err != nil {
		last, permanent := diagnose(stderr.String())
		host := saysHost(stderr.String())
		if host { // git's own exit code does not tell: it is 128 or 1
			err = fault.New(fault.Temp, "", "%w", err)
		} else if saysLocked(stderr.String()) {
			err = fault.New(fault.Temp, "another git is at work there, or was killed: try again in a minute", "%w", err)
		}
		return stdout.text.String(), &Error{Op: "git " + c.Args[0], Last: last, Permanent: permanent && ctx.Err() == nil, Host: host,
			Silent:      strings.Contains(strings.ToLower(stderr.String()), tooSlow),
			Unreachable: !permanent && !host && SaysUnreachable(stderr.String()), Err: err}
	}
	return stdout.text.String(), nil
}

// runUntil runs cmd to its end. If ctx ends first, runUntil ends the whole process group, since a child of `git worktree add` writes the
// files. It sends SIGTERM first, since on SIGKILL git leaves its lock files behind. It starts cmd on the calling goroutine, for
// Pdeathsig.
func runUntil(ctx context.Context, cmd *exec.Cmd) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	group := -cmd.Process.Pid
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = syscall.Kill(group, syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(termGrace):
			_ = syscall.Kill(group, syscall.SIGKILL)
		}
	})
	err := cmd.Wait()
	close(ended)
	stop()
	switch {
	case ctx.Err() != nil && err != nil:
		return context.Cause(ctx)
	case errors.Is(err, exec.ErrWaitDelay): // git itself exited with 0
		return nil
	}
	return err
}

// answer is what git prints on stdout, as long as it is not too much. After that answer takes no more, and git dies of a closed
// pipe.
type answer struct {
	text bytes.Buffer // not embedded: its ReadFrom would be used instead of our Write
	most int
	over bool
}

var ErrTooLong = errors.New("too long")

func (a *answer) Write(p []byte) (int, error) {
	if a.most > 0 && a.text.Len()+len(p) > a.most {
		a.over = true
		return 0, ErrTooLong
	}
	return a.text.Write(p)
}

// tee keeps the end of what is written and passes everything on. It never fails: a full disk under the log must not
// break the pipe of a git that is doing well.
type tee struct {
	log  io.Writer
	kept []byte
}

const teeKeeps = 32 << 10

func (t *tee) Write(p []byte) (int, error) {
	if t.log != nil {
		_, _ = t.log.Write(p)
	}
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - teeKeeps; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(p), nil
}

func (t *tee) String() string { return string(t.kept) }

// Say puts a line of ours into the log.
func (g *Runner) Say(format string, args ...any) {
	if g.Log != nil {
		_, _ = fmt.Fprintf(g.Log, "kugetsu: "+format+"\n", args...)
	}
}

var gitVersion = pattern.Lazy(`^git version (\d{1,4})\.(\d{1,4})\S*`)

// Installed says whether there is a git.
func (g *Runner) Installed() bool {
	_, err := program(g.Env, "/")
	return err == nil
}

// Version is git's version as it prints it, and whether it is old: below 2.39, which kugetsu is tested with.
func (g *Runner) Version(ctx context.Context) (version string, old bool, err error) {
	out, err := g.exec(ctx, nil, Command{dir: "/", Args: []string{"version"}})
	if err != nil {
		return "", false, err
	}
	m := gitVersion().FindStringSubmatch(out)
	if m == nil {
		return "", false, &Error{Op: "git version", Last: Clean(out), Err: fs.ErrInvalid}
	}
	major, _ := strconv.Atoi(m[1]) // four digits at most
	minor, _ := strconv.Atoi(m[2])
	return strings.TrimPrefix(m[0], "git version "), major < 2 || major == 2 && minor < 39, nil
}
