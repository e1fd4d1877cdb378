package proc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"kugetsu/queue/terminal"
)

// Child is a program that is run for its answer. It runs in a session of its own, so it has no terminal to ask on. When its time is
// over, its whole process group is ended, since a script that hangs mostly waits for a program that it started.
//
// Agents, hooks and git are no Children: they have the lease of their run, and end with it.
type Child struct {
	Path  string
	Args  []string // the first is the name of the program
	Dir   string   // "" for the current folder
	Env   []string // all of it
	Stdin io.Reader
	Most  int // how many bytes of stdout are accepted; 0: stdout is discarded, but for its end
	Last  int // where Most is 0: how many bytes of its end are kept
}

// Failure is a program that did not exit with 0.
type Failure struct {
	Err  error  // ErrOutput, the context's error, or how the program ended
	Said string // the end of its stderr, without control characters
}

func (f *Failure) Error() string {
	if f.Said == "" {
		return f.Err.Error()
	}
	return fmt.Sprintf("%v: %s", f.Err, f.Said)
}

func (f *Failure) Unwrap() error { return f.Err }

// ErrOutput is wrapped by the failure of a program that printed more than is accepted.
var ErrOutput = errors.New("it printed too much")

const (
	// childDelay is how long the output of a program that ended is waited for: a process that the program left may have the output
	// open.
	childDelay = time.Second
	// maxSaid bounds the end of stderr that is kept, in bytes.
	maxSaid = 300
)

// Output runs the program until it ends or the context does, and returns its stdout. The error is a *Failure.
func (c Child) Output(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, c.Path)
	cmd.Args, cmd.Dir, cmd.Env, cmd.Stdin = c.Args, c.Dir, c.Env, c.Stdin
	cmd.SysProcAttr = Detach()
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = childDelay
	out, end, said := &atMost{most: c.Most}, &ending{most: c.Last}, &ending{most: maxSaid}
	cmd.Stderr = said
	switch {
	case c.Most > 0:
		cmd.Stdout = out
	case c.Last > 0:
		cmd.Stdout = end
	}
	err := cmd.Run()
	switch {
	case out.full:
		err = ErrOutput
	case err == nil, errors.Is(err, exec.ErrWaitDelay): // it exited with 0, and left a process with its output open
		return string(append(out.data, end.data...)), nil
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	}
	return string(out.data), &Failure{Err: err, Said: terminal.Clean(strings.TrimSpace(string(said.data)))}
}

// atMost takes no more bytes than most.
type atMost struct {
	most int
	data []byte
	full bool
}

func (a *atMost) Write(p []byte) (int, error) {
	if a.full = a.full || len(a.data)+len(p) > a.most; a.full {
		return 0, ErrOutput
	}
	a.data = append(a.data, p...)
	return len(p), nil
}

// ending keeps the last bytes that are written to it.
type ending struct {
	most int
	data []byte
}

func (e *ending) Write(p []byte) (int, error) {
	all := append(e.data, p...)
	e.data = append(e.data[:0], all[max(0, len(all)-e.most):]...)
	return len(p), nil
}

// Foreground runs a program that a person uses, such as an editor, on the terminal of this process, and waits for its end.
func Foreground(name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd.Run()
}
