package contrib

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the terminal session into README")

// session finds the terminal session in README: the first block of code, which begins with a prompt.
var session = regexp.MustCompile(`(?m)^    \$ .*\n(?:\n*    .*\n)*`)

// vary are the parts of an output that differ from one session to the next.
var vary = regexp.MustCompile(`q_[0-9a-z]{26}|\b(?:\d+m)?\d+s\b|\b[0-9a-f]{7,40}\b| +`)

func sameButForTimes(text string) string {
	return vary.ReplaceAllString(text, "~")
}

// output runs a command line, and returns what it printed. during is called with what was printed so far, until it returns true.
func output(t *testing.T, n *newcomer, line string, during func(so string) bool) string {
	t.Helper()
	file, err := os.Create(filepath.Join(n.home, "output"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd := exec.Command("sh", "-c", line)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = n.home, n.env, file, file
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for deadline := time.Now().Add(2 * time.Minute); ; {
		so, err := os.ReadFile(file.Name())
		if err != nil {
			t.Fatal(err)
		}
		if during(string(so)) {
			during = func(string) bool { return false }
		}
		select {
		case err := <-ended:
			so, readErr := os.ReadFile(file.Name())
			if err != nil || readErr != nil {
				t.Fatalf("%s: %v, %v\n%s", line, err, readErr, so)
			}
			return string(so)
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			_ = cmd.Process.Kill()
			t.Fatalf("%s: no end\n%s", line, so)
		}
	}
}

// TestReadmeSessionIsRealOutput types the commands of README's terminal session, and compares what they print. The agent is
// that of the demo; it begins when a command waits for it, so that the session shows it running.
//
//	go test ./contrib -run TestReadmeSession -update
func TestReadmeSessionIsRealOutput(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds kugetsu and runs an agent")
	}
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	block := session.FindString(string(readme))
	if strings.Count(block, "\n    $ kugetsu")+1 < 3 {
		t.Fatalf("README begins with no session: %q", block)
	}
	n := newNewcomer(t)
	n.run("..", "go", "install", ".")
	demo, err := filepath.Abs("demo/agent")
	if err != nil {
		t.Fatal(err)
	}
	agent := "#!/bin/sh\nuntil [ -e " + n.home + "/begin ]; do [ -d " + n.home + " ] || exit 1; sleep 0.02; done\nDEMO_SECONDS=0 exec " + demo + "\n"
	if err := os.WriteFile(filepath.Join(n.home, "bin", "agent"), []byte(agent), 0o700); err != nil {
		t.Fatal(err)
	}
	n.run("", "sh", "-c", "kugetsu init && kugetsu queue-daemon start && mkdir -p $HOME/forge/you && mv $HOME/forge/owner/repo.git $HOME/forge/you/shop.git")
	n.env = append(n.env, "KUGETSU_AGENT=command", "AGENT_COMMAND=agent", "AGENT_MEMORY=0", "MIN_FREE_DISK=0")

	var fresh bytes.Buffer
	for _, line := range strings.Split(block, "\n") {
		typed, ok := strings.CutPrefix(line, "    $ ")
		if !ok {
			continue
		}
		out := output(t, n, typed, func(so string) bool {
			if !strings.Contains(so, "it runs") {
				return false
			}
			if err := os.WriteFile(filepath.Join(n.home, "begin"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return true
		})
		fresh.WriteString(line + "\n")
		for out := range strings.Lines(out) {
			fresh.WriteString(strings.TrimRight("    "+out, " \n") + "\n")
		}
	}
	n.run("", "sh", "-c", "kugetsu queue wait --all")
	if *update {
		changed := strings.Replace(string(readme), block, fresh.String(), 1)
		if err := os.WriteFile("../README.md", []byte(changed), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if sameButForTimes(fresh.String()) != sameButForTimes(block) {
		t.Errorf("README's session is not what is printed today (-update writes it):\n%s", fresh.String())
	}
}

func TestDemoCompletesSixTasks(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds kugetsu and runs agents that take seconds")
	}
	n := newNewcomer(t)
	out := n.run("..", "sh", "contrib/demo/run")
	if !strings.Contains(out, "completed  6\n") || strings.Count(out, "\nfix/issue-") != 6 {
		t.Errorf("the demo shows no six completed tasks:\n%s", out)
	}
}
