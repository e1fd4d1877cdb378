// Package screen tries kugetsu status in a real terminal, tmux: what it shows, and how --watch leaves the terminal behind. It is for
// Linux, whose /proc tells of the processes.
package screen

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kugetsu/contrib/built"
	"kugetsu/contrib/internal/rig"
	"kugetsu/contrib/quick"
)

func TestMain(m *testing.M) { os.Exit(quick.InMemory{M: m}.Run()) }

const prompt = "ready>"

// pane is a shell in a terminal of its own.
type pane struct {
	t      *testing.T
	dir    string // its home
	state  string // the state folder
	socket string
}

// open gives a pane with an empty state folder in a terminal of so many columns and rows.
func open(t *testing.T, width, height int) *pane {
	t.Helper()
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Skip("tmux is not installed: the screen is not tried in a terminal")
	}
	dir, err := os.MkdirTemp("", "screen") // a path in t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	// The path is long, so that a command that names it is wider than a terminal.
	p := &pane{t: t, dir: dir, state: filepath.Join(dir, strings.Repeat("long-", 12)+"state"), socket: filepath.Join(dir, "tmux")}
	t.Cleanup(func() {
		_ = exec.Command("tmux", "-S", p.socket, "kill-server").Run()
		rig.Until(t, "the folder is removed", func() bool { return os.RemoveAll(dir) == nil }) // what ran in the terminal may still write
	})
	cmd := p.command("-f", "/dev/null", "new-session", "-d", "-x", fmt.Sprint(width), "-y", fmt.Sprint(height), "HISTFILE= PS1='"+prompt+" ' exec bash --norc --noprofile")
	cmd.Env = p.env()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("tmux: %v\n%s", err, out)
	}
	p.until("a prompt", func() bool { return strings.Contains(p.text(), prompt) })
	return p
}

func (p *pane) env() []string {
	return []string{"HOME=" + p.dir, "KUGETSU_DIR=" + p.state, "PATH=" + filepath.Dir(rig.Kugetsu(p.t)) + ":" + built.WithoutAgents(os.Getenv("PATH")),
		"KUGETSU_AGENT=command", "AGENT_COMMAND=true", "AGENT_MEMORY=0", "MIN_FREE_DISK=0", "LC_ALL=C.UTF-8", "TERM=xterm-256color", "TZ=UTC"}
}

// kugetsu runs a command outside of the terminal.
func (p *pane) kugetsu(args ...string) {
	p.t.Helper()
	cmd := exec.Command(rig.Kugetsu(p.t), args...)
	cmd.Env = p.env()
	if out, err := cmd.CombinedOutput(); err != nil {
		p.t.Fatalf("kugetsu %q: %v\n%s", args, err, out)
	}
}

func (p *pane) command(args ...string) *exec.Cmd {
	return exec.Command("tmux", append([]string{"-u", "-S", p.socket}, args...)...)
}

func (p *pane) tmux(args ...string) string {
	p.t.Helper()
	out, err := p.command(args...).CombinedOutput()
	if err != nil {
		p.t.Fatalf("tmux %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// text is what the terminal shows.
func (p *pane) text() string { return p.tmux("capture-pane", "-p") }

func (p *pane) key(key string) { p.tmux("send-keys", key) }

// types types a line.
func (p *pane) types(line string) {
	p.tmux("send-keys", "-l", line)
	p.key("Enter")
}

func (p *pane) until(what string, holds func() bool) {
	p.t.Helper()
	rig.Until(p.t, what, holds, p.text)
}

func (p *pane) shows(text string) {
	p.t.Helper()
	p.until("shows "+text, func() bool { return strings.Contains(p.text(), text) })
}

// read waits for a file that the shell writes, which ends with a line's end.
func (p *pane) read(name string) string {
	p.t.Helper()
	var text []byte
	p.until("the file "+name, func() bool {
		text, _ = os.ReadFile(filepath.Join(p.dir, name))
		return strings.HasSuffix(string(text), "\n")
	})
	return string(text)
}

// settings are those of the terminal. The shell's own line editing is out of the way while it runs a command.
func (p *pane) settings(name string) string {
	p.types("stty -a >~/" + name + ".new; mv ~/" + name + ".new ~/" + name)
	return p.read(name)
}

// watching begins the screen, and gives what the terminal showed and its settings.
func (p *pane) watching() (text, settings string) {
	p.t.Helper()
	settings = p.settings("before")
	p.types("clear; echo he''re")
	p.until("a cleared terminal", func() bool { return strings.HasPrefix(p.text(), "here\n"+prompt) })
	text = strings.TrimSpace(p.text())
	p.types("kugetsu status --watch; echo $? >~/code")
	p.shows("q quits")
	return text, settings
}

// left checks that the screen ended well, and left the terminal as it was.
func (p *pane) left(text, settings string) {
	p.t.Helper()
	if code := p.read("code"); code != "0\n" {
		p.t.Errorf("it ended with %q", code)
	}
	p.until("the prompt", func() bool { return strings.HasSuffix(strings.TrimSpace(p.text()), "\n"+prompt) })
	if after := p.text(); !strings.HasPrefix(after, text) || strings.Contains(after, "last tick") {
		p.t.Errorf("the terminal showed %q, and after it %q", text, after)
	}
	if visible := strings.TrimSpace(p.tmux("display-message", "-p", "#{cursor_flag} #{alternate_on}")); visible != "1 0" {
		p.t.Errorf("cursor and alternate screen: %s", visible)
	}
	if after := p.settings("after"); after != settings {
		p.t.Errorf("the terminal was set to\n%s\nand after it to\n%s", settings, after)
	}
}

// pid is that of the screen: the one child of the shell.
func (p *pane) pid() string {
	p.t.Helper()
	shell := strings.TrimSpace(p.tmux("display-message", "-p", "#{pane_pid}"))
	out, err := os.ReadFile(filepath.Join("/proc", shell, "task", shell, "children"))
	if err != nil || len(strings.Fields(string(out))) != 1 {
		p.t.Fatalf("the children of the shell: %q, %v", out, err)
	}
	return strings.TrimSpace(string(out))
}

// TestWatchLeavesTerminal: however it ends, the terminal is as it was.
func TestWatchLeavesTerminal(t *testing.T) {
	ends := map[string]func(*pane){
		"q":      func(p *pane) { p.key("q") },
		"ctrl-c": func(p *pane) { p.key("C-c") },
	}
	for _, name := range []string{"INT", "TERM", "HUP"} {
		ends["SIG"+name] = func(p *pane) {
			if out, err := exec.Command("kill", "-"+name, p.pid()).CombinedOutput(); err != nil {
				p.t.Fatalf("kill: %v\n%s", err, out)
			}
		}
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := open(t, 80, 24)
			text, settings := p.watching()
			end(p)
			p.left(text, settings)
		})
	}
}

// TestWatchFollows: what changes on disk is shown, and another size is filled.
func TestWatchFollows(t *testing.T) {
	t.Parallel()
	p := open(t, 80, 24)
	text, settings := p.watching()
	p.shows("0 waiting")
	p.kugetsu("delegate", "you/shop#1", "wait")
	p.shows("1 waiting")
	p.kugetsu("pause")
	p.shows("paused")
	p.tmux("resize-window", "-x", "60", "-y", "4")
	p.shows("more lines")
	p.tmux("resize-window", "-x", "80", "-y", "24")
	p.until("all lines", func() bool {
		return strings.Contains(p.text(), "last tick") && !strings.Contains(p.text(), "more lines")
	})
	p.key("q")
	p.left(text, settings)
}

// TestWatchKeepsItsFirstLine: a command that a person types is never cut, and takes the rows that it needs.
func TestWatchKeepsItsFirstLine(t *testing.T) {
	t.Parallel()
	p := open(t, 60, 9)
	p.kugetsu("pause")
	if err := os.WriteFile(filepath.Join(p.state, "queue", "bad", "50-x.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	text, settings := p.watching()
	p.shows("ls -l")
	if now := p.text(); !strings.HasPrefix(now, "1 thing needs you") || !strings.Contains(now, "more lines") {
		t.Errorf("%s", now)
	}
	p.key("q")
	p.left(text, settings)
}

// TestWatchStops: ctrl-z and SIGTSTP give the terminal back to the shell, and fg shows the screen again.
func TestWatchStops(t *testing.T) {
	stops := map[string]func(*pane){
		"ctrl-z": func(p *pane) { p.key("C-z") },
		"SIGTSTP": func(p *pane) {
			if out, err := exec.Command("kill", "-TSTP", p.pid()).CombinedOutput(); err != nil {
				p.t.Fatalf("kill: %v\n%s", err, out)
			}
		},
	}
	for name, stop := range stops {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := open(t, 80, 24)
			text, settings := p.watching()
			stop(p)
			p.shows("Stopped")
			if now := p.text(); !strings.HasPrefix(now, text) || strings.Contains(now, "last tick") {
				t.Errorf("stopped, the terminal shows %q", now)
			}
			if now := p.settings("stopped"); now != settings {
				t.Errorf("the terminal was set to\n%s\nand, while it is stopped, to\n%s", settings, now)
			}
			if err := os.Remove(filepath.Join(p.dir, "code")); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			p.types("fg; echo $? >~/code")
			p.shows("q quits")
			p.key("q")
			p.left(text, settings)
		})
	}
}
