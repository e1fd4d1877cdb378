// Package gitea tries a whole life of a session against a real Gitea on a port of its own, over plain http on loopback.
package gitea

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kugetsu/contrib/built"
	"kugetsu/contrib/internal/rig"
	_ "kugetsu/tick/command" // what the binary is made of: a cached result is not believed after a change there
)

// patience bounds every wait.
const patience = rig.Patience

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// server is a Gitea with one user, "rig", who may do everything.
type server struct {
	t                *testing.T
	url, host, token string
	basic            string // a user and a password, where there is no token
}

// config is that of a server that reaches nothing but loopback.
const config = `RUN_MODE = prod
RUN_USER = %[1]s
WORK_PATH = %[2]s
[server]
PROTOCOL = http
HTTP_ADDR = 127.0.0.1
HTTP_PORT = %[3]s
ROOT_URL = http://127.0.0.1:%[3]s/
DISABLE_SSH = true
OFFLINE_MODE = true
STATIC_ROOT_PATH = %[4]s
[database]
DB_TYPE = sqlite3
PATH = %[2]s/gitea.db
[security]
INSTALL_LOCK = true
SECRET_KEY = of-a-test
PASSWORD_HASH_ALGO = pbkdf2_v1
MIN_PASSWORD_LENGTH = 6
[oauth2]
ENABLED = false
[repository]
ROOT = %[2]s/repositories
[service]
DISABLE_REGISTRATION = true
[actions]
ENABLED = false
[log]
MODE = file
LEVEL = warn
[cron]
ENABLED = false
[indexer]
ISSUE_INDEXER_TYPE = db
`

// start starts a Gitea, which ends with the test.
func start(t *testing.T) *server {
	t.Helper()
	rig := os.Getenv("GITEA_RIG")
	if rig == "" {
		t.Skip("GITEA_RIG names no folder with a Gitea: contrib/gitea/build DIR makes one")
	}
	dir, bin := t.TempDir(), filepath.Join(rig, "gitea")
	// No port that the kernel gives to who asks for any: another program could have it before Gitea listens, seconds later.
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10000+rand.IntN(20000)))
	must(t, err)
	s := &server{t: t, host: l.Addr().String()}
	s.url = "http://" + s.host
	must(t, l.Close())
	me, err := user.Current()
	must(t, err)
	_, port, _ := strings.Cut(s.host, ":")
	ini := filepath.Join(dir, "app.ini")
	must(t, os.WriteFile(ini, fmt.Appendf(nil, config, me.Username, dir, port, filepath.Join(rig, "static")), 0o600))

	run := func(args ...string) *exec.Cmd {
		cmd := exec.Command(bin, append([]string{"--config", ini}, args...)...)
		cmd.Env = []string{"HOME=" + dir, "USER=" + me.Username, "PATH=" + os.Getenv("PATH"), "GITEA_I_AM_BEING_UNSAFE_RUNNING_AS_ROOT=true"}
		return cmd
	}
	for _, args := range [][]string{
		{"migrate"},
		{"admin", "user", "create", "--username", "rig", "--random-password", "--email", "rig@example.invalid", "--admin", "--must-change-password=false"},
		{"admin", "user", "generate-access-token", "--username", "rig", "--scopes", "all", "--raw"},
	} {
		var stderr bytes.Buffer
		cmd := run(args...)
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("gitea %s: %v\n%s%s", args, err, out, &stderr)
		}
		lines := strings.Fields(string(out))
		s.token = append(lines, "")[max(len(lines)-1, 0)]
	}
	web := run("web")
	web.Stdout, web.Stderr = os.Stderr, os.Stderr
	must(t, web.Start())
	ended := make(chan error, 1)
	go func() { ended <- web.Wait() }()
	t.Cleanup(func() {
		_ = web.Process.Signal(os.Interrupt)
		select {
		case <-ended:
		case <-time.After(patience):
			_ = web.Process.Kill()
			t.Error("gitea does not end")
		}
	})
	for begin := time.Now(); ; <-time.After(50 * time.Millisecond) {
		res, err := http.Get(s.url + "/api/v1/version")
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return s
			}
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("gitea ended: %v", err)
		default:
		}
		if time.Since(begin) > patience {
			t.Fatalf("gitea does not answer: %v", err)
		}
	}
}

// api asks, and reads the answer into a value where there is one.
func (s *server) api(method, path string, body, into any) {
	s.t.Helper()
	data, err := json.Marshal(body)
	must(s.t, err)
	req, err := http.NewRequest(method, s.url+"/api/v1/"+path, bytes.NewReader(data))
	must(s.t, err)
	req.Header.Set("Authorization", "token "+s.token)
	if name, password, ok := strings.Cut(s.basic, ":"); ok {
		req.SetBasicAuth(name, password)
	}
	req.Header.Set("Content-Type", "application/json")
	// After a push Gitea looks at a request by itself, and merges none meanwhile.
	for begin := time.Now(); ; <-time.After(50 * time.Millisecond) {
		res, err := http.DefaultClient.Do(req)
		must(s.t, err)
		data, err := io.ReadAll(res.Body)
		must(s.t, errors.Join(err, res.Body.Close()))
		if res.StatusCode < 300 {
			if into != nil {
				must(s.t, json.Unmarshal(data, into))
			}
			return
		}
		if res.StatusCode != http.StatusMethodNotAllowed || time.Since(begin) > patience {
			s.t.Fatalf("%s %s: %s\n%s", method, path, res.Status, data)
		}
		req.Body, err = req.GetBody()
		must(s.t, err)
	}
}

// world is a user of kugetsu, whose git knows the server.
type world struct {
	t   *testing.T
	dir string
	env []string
}

// newWorld has an agent, a shell script that is run with an issue's reference.
func newWorld(t *testing.T, s *server, agent string) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	if err := rig.Install(filepath.Join(w.dir, "bin", "kugetsu")); err != nil {
		t.Fatal(err)
	}
	w.env = []string{"HOME=" + w.dir, "USER=rig", "KUGETSU_DIR=" + filepath.Join(w.dir, "state"), "GIT_CONFIG_NOSYSTEM=1",
		"PATH=" + filepath.Join(w.dir, "bin") + ":" + built.WithoutAgents(os.Getenv("PATH")), "GIT_TERMINAL_PROMPT=0"}
	for name, text := range map[string]string{
		".gitconfig":            "[user]\nname = Rig\nemail = rig@example.invalid\n[credential]\nhelper = store\n",
		".git-credentials":      "http://rig:" + s.token + "@" + strings.ReplaceAll(s.host, ":", "%3a") + "\n",
		"agent":                 "set -eu\n" + agent,
		"state/config":          "KUGETSU_AGENT=command\nAGENT_COMMAND=sh " + w.dir + "/agent {issue_ref}\nAGENT_MEMORY=0\n",
		"state/env/default.env": "GITEA_URL=" + s.url + "\nGITEA_TOKEN=" + s.token + "\n",
	} {
		path := filepath.Join(w.dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o700))
		must(t, os.WriteFile(path, []byte(text), 0o600))
	}
	return w
}

// kugetsu runs a command that must exit with a code, and returns all that it printed.
func (w *world) kugetsu(code int, args ...string) string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(w.dir, "bin", "kugetsu"), args...)
	cmd.Env, cmd.Dir = w.env, w.dir
	out, err := cmd.CombinedOutput()
	w.t.Logf("$ kugetsu %s\n%s", strings.Join(args, " "), out)
	if got := cmd.ProcessState.ExitCode(); got != code {
		w.t.Fatalf("exit code %d, want %d: %v", got, code, err)
	}
	return string(out)
}
