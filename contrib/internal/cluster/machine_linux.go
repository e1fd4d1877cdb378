package cluster

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
)

// machine is a PID namespace. Its first process is a bash, which evaluates one line after the other and, unlike sh, reaps at once what
// is left to it.
type machine struct {
	name  string
	mu    sync.Mutex
	cmd   *exec.Cmd
	lines io.WriteCloser
	says  *bufio.Reader
}

// inits is what the first process of a machine runs. Children must not read its lines, hence the other descriptor.
const inits = `exec 3<&0 </dev/null; while IFS= read -r line <&3; do eval "$line" 3<&-; echo "= $?"; done`

func boot(env []string, name string) (*machine, error) {
	m := &machine{name: name, cmd: exec.Command("bash", "--norc", "-c", inits)}
	m.cmd.Env, m.cmd.Dir, m.cmd.Stderr = env, "/", os.Stderr
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWUTS}
	stdin, err := m.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := m.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	m.lines, m.says = stdin, bufio.NewReader(stdout)
	if err := m.cmd.Start(); err != nil {
		return nil, err
	}
	if name == "head" {
		return m, nil
	}
	return m, m.run("hostname " + name)
}

// run evaluates a line, which must succeed. What it prints is told where it fails.
func (m *machine) run(line string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := fmt.Fprintln(m.lines, line); err != nil {
		return fmt.Errorf("%s: %w", m.name, err)
	}
	for printed := ""; ; {
		text, err := m.says.ReadString('\n')
		switch {
		case err != nil:
			return fmt.Errorf("%s: %s: %w", m.name, line, err)
		case text == "= 0\n":
			return nil
		case strings.HasPrefix(text, "= "):
			return fmt.Errorf("%s: %s: exit code %s%s", m.name, line, text[2:], printed)
		}
		printed += text
	}
}

// start starts a daemon that stays in the foreground, and keeps its process number.
func (m *machine) start(name, command, log string) error {
	return m.run(fmt.Sprintf("%s >>%s 2>&1 & pid_%s=$!", command, log, name))
}

func (m *machine) signal(name, signal string) error {
	return m.run(fmt.Sprintf("kill -%s $pid_%s", signal, name))
}

// end ends a daemon with a signal, and waits for its end.
func (m *machine) end(name, signal string) error {
	return m.run(fmt.Sprintf("kill -%s $pid_%[2]s && { wait $pid_%[2]s; true; } 2>/dev/null", signal, name))
}

// off ends all that runs on the machine: the kernel does that where the first process of a PID namespace ends, and before that process
// can be waited for.
func (m *machine) off() error {
	if err := m.cmd.Process.Kill(); err != nil {
		return err
	}
	err := m.cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
		err = nil
	}
	return err
}
