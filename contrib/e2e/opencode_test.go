// Package e2e runs what no script with a fake agent can vouch for: the real
// command lines of coding agents, against a model server on loopback. Its tests
// skip where the agent is not installed.
package e2e

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kugetsu/contrib/quick"
)

// agentTimeout bounds one call of an agent. A trivial one takes four seconds
// where nothing else runs, and more than a minute beside five others.
const agentTimeout = 3 * time.Minute

// Prices of the model ok, in US dollars for a million tokens.
const (
	inputPrice  = 1.0
	outputPrice = 2.0
)

// opencodeBinary finds the opencode to test; see binary.
func opencodeBinary(t *testing.T) string {
	t.Helper()
	return binary(t, "opencode")
}

// binary finds the agent to test: $KUGETSU_E2E_<NAME>, or the one on PATH. The test is skipped where there is none.
func binary(t *testing.T, agent string) string {
	t.Helper()
	variable := "KUGETSU_E2E_" + strings.ToUpper(agent)
	path, err := exec.LookPath(cmp.Or(os.Getenv(variable), agent))
	if err != nil {
		t.Skipf("%s is not installed (%v): put it on PATH, or its path in %s", agent, err, variable)
	}
	path, err = filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// opencodeHome makes a home folder in which opencode knows one provider, "stub",
// with the models of a [stub] that listens at stubURL, and asks nothing of any
// other server: no list of models, no update, no plugin. The env returned is
// KEY=value lines; with them nothing is read from, or written to, the home of
// the user who runs the test.
//
// permission is opencode's setting of that name; nil leaves it out. Under
// "run --auto" what it asks for is allowed and what it denies is refused:
//
//	{"bash": "ask"}                               refused only after a later --no-auto: ends the run
//	{"bash": {"*": "allow", "git push*": "deny"}} the call fails, the model is told and goes on
//	{"bash": "deny"}                              the model is never offered the tool
//
// opencode exits 0 in all three.
func opencodeHome(t *testing.T, stubURL string, permission map[string]any) (home string, env []string) {
	t.Helper()
	home = t.TempDir()
	settings := filepath.Join(home, ".config", "opencode")
	env = []string{
		"HOME=" + home,
		"XDG_CONFIG_HOME=" + filepath.Join(home, ".config"),
		"XDG_DATA_HOME=" + filepath.Join(home, ".local", "share"),
		"XDG_STATE_HOME=" + filepath.Join(home, ".local", "state"),
		"XDG_CACHE_HOME=" + filepath.Join(home, ".cache"),
		"OPENCODE_DISABLE_MODELS_FETCH=1",
	}

	config := map[string]any{
		"autoupdate":        false,
		"share":             "disabled",
		"lsp":               false,
		"formatter":         false,
		"model":             "stub/ok",
		"small_model":       "stub/ok",
		"enabled_providers": []string{"stub"},
		"provider": object{"stub": object{
			"npm":     "@ai-sdk/openai-compatible", // part of the binary: nothing is installed for it
			"name":    "stub",
			"options": object{"baseURL": stubURL, "apiKey": "none"},
			"models": object{
				"ok": object{
					"name": "ok", "tool_call": true,
					"limit": object{"context": 100_000, "output": 8_000},
					"cost":  object{"input": inputPrice, "output": outputPrice},
				},
				"e400": object{"name": "e400"},
				"e401": object{"name": "e401"},
				"e429": object{"name": "e429"},
			},
		}},
	}
	if permission != nil {
		config["permission"] = permission
	}
	writeFile(t, filepath.Join(settings, "opencode.json"), encode(config))

	// Without these two opencode installs its plugin package from the registry,
	// in the background of every run: they say that it is there.
	if err := os.Mkdir(filepath.Join(settings, "node_modules"), 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(settings, "package-lock.json"), encode(object{
		"lockfileVersion": 3,
		"packages":        object{"": object{"dependencies": object{"@opencode-ai/plugin": "*"}}},
	}))

	withDatabase(t, home, env)
	return home, env
}

// database is what the first start of opencode made, which takes some seconds. The other homes get copies.
var database struct {
	sync.Mutex
	files fs.FS
}

// withDatabase gives a home the database that opencode's first start makes: of several first starts at once, one
// can fail on the tables that another has made.
func withDatabase(t *testing.T, home string, env []string) {
	t.Helper()
	database.Lock()
	defer database.Unlock()
	data := filepath.Join(home, ".local", "share", "opencode")
	if database.files != nil {
		if err := os.CopyFS(data, database.files); err != nil {
			t.Fatal(err)
		}
		return
	}
	if r := runOpencode(t, env, home, "", "db", "path"); r.code != 0 {
		t.Fatalf("opencode could not create its database\n%s", r)
	}
	files, err := quick.Read(data)
	if err != nil {
		t.Fatal(err)
	}
	database.files = files
}

// A result is what one call of opencode left.
type result struct {
	args           []string
	stdout, stderr string
	code           int // -1 where a signal ended it
	took           time.Duration
}

// String is the whole of it, for the message of a failed test.
func (r result) String() string {
	return fmt.Sprintf("opencode %s: exit code %d after %s\n--- stdout\n%s\n--- stderr\n%s",
		strings.Join(r.args, " "), r.code, r.took.Round(time.Millisecond), r.stdout, r.stderr)
}

// An event is what the tests look at in one line of "run --format json".
type event struct {
	Type      string `json:"type"`
	SessionID string `json:"sessionID"`
	Part      struct {
		Reason string  `json:"reason"`
		Cost   float64 `json:"cost"`
		Text   string  `json:"text"`
		Tool   string  `json:"tool"`
		State  struct {
			Status string `json:"status"`
			Error  string `json:"error"`
		} `json:"state"`
	} `json:"part"`
}

// events reads the stream. Every line of it must be JSON, and all of one session.
func (r result) events(t *testing.T) []event {
	t.Helper()
	var list []event
	for line := range strings.Lines(r.stdout) {
		var e event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("not an event: %v: %q\n%s", err, line, r)
		}
		list = append(list, e)
	}
	if len(list) == 0 {
		t.Fatalf("no event on stdout\n%s", r)
	}
	for _, e := range list {
		if e.SessionID == "" || e.SessionID != list[0].SessionID {
			t.Fatalf("event %s names session %q, the first one %q\n%s", e.Type, e.SessionID, list[0].SessionID, r)
		}
	}
	return list
}

// runOpencode calls opencode in dir with nothing in its environment but env, a
// PATH and a folder for temporary files that goes with the test (opencode leaves
// a library of 5 MB there each time). It reads prompt on its stdin.
func runOpencode(t *testing.T, env []string, dir, prompt string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), agentTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, opencodeBinary(t), args...)
	cmd.Dir = dir
	// opencode believes PWD more than its working directory.
	cmd.Env = append(slices.Clone(env), "PATH="+os.Getenv("PATH"), "TMPDIR="+t.TempDir(), "PWD="+dir)
	cmd.Stdin = strings.NewReader(prompt)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = 10 * time.Second // for a tool that outlives it and holds its output

	begin := time.Now()
	err := cmd.Run()
	r := result{args: args, stdout: stdout.String(), stderr: stderr.String(), code: -1, took: time.Since(begin)}
	if cmd.ProcessState != nil {
		r.code = cmd.ProcessState.ExitCode()
	}
	var exit *exec.ExitError
	if ctx.Err() != nil || err != nil && !errors.As(err, &exit) {
		t.Fatalf("opencode did not end by itself: %v\n%s", errors.Join(err, context.Cause(ctx)), r)
	}
	t.Logf("opencode %s: exit code %d after %s", strings.Join(args, " "), r.code, r.took.Round(time.Millisecond))
	return r
}

// newRepository makes a git repository with one empty commit.
func newRepository(t *testing.T) (dir string) {
	t.Helper()
	return newRepositoryIn(t, t.TempDir())
}

// newRepositoryIn makes a folder a git repository with one empty commit.
func newRepositoryIn(t *testing.T, dir string) string {
	t.Helper()
	for _, args := range [][]string{
		{"init", "-q"},
		{"-c", "user.name=e2e", "-c", "user.email=e2e@localhost", "commit", "-q", "--allow-empty", "-m", "begin"},
	} {
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = dir
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GIT_CONFIG_NOSYSTEM=1"}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v\n%s", args[0], err, out)
		}
	}
	return dir
}

func writeFile(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestOpencodeExitsZeroAfterARefusedPermission(t *testing.T) {
	needFull(t, "TestKugetsu refuses a permission, too")
	opencodeBinary(t)
	const prompt = "<<bash touch made>><<say finished>>"
	for _, test := range []struct {
		name       string
		permission map[string]any
		args       []string
		refusal    string // how the tool's error begins
		reason     string // of the last step
		stderr     string
	}{
		{
			name:       "a rule denies the command and the model goes on",
			permission: map[string]any{"bash": map[string]any{"*": "allow", "touch*": "deny"}},
			refusal:    "The user has specified a rule which prevents you from using this specific tool call.",
			reason:     "stop",
		},
		{
			name:       "no person is there to ask, and the run ends",
			permission: map[string]any{"bash": "ask"},
			args:       []string{"--no-auto"},
			refusal:    "The user rejected permission to use this specific tool call.",
			reason:     "tool-calls",
			stderr:     "permission requested: bash (touch made); auto-rejecting",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			home, env := opencodeHome(t, newStub(t).URL(), test.permission)
			dir := newRepository(t)
			args := append([]string{"run", "--format", "json", "--title", "refused", "--auto", "--dir", dir}, test.args...)
			r := runOpencode(t, env, dir, prompt, args...)
			events := r.events(t)
			refused := slices.ContainsFunc(events, func(e event) bool {
				return e.Type == "tool_use" && e.Part.Tool == "bash" && e.Part.State.Status == "error" &&
					strings.HasPrefix(e.Part.State.Error, test.refusal)
			})
			last := events[len(events)-1]
			if !refused || r.code != 0 || last.Part.Reason != test.reason || !strings.Contains(r.stderr, test.stderr) {
				t.Errorf("want exit code 0, reason %q and %q\n%s", test.reason, test.refusal, r)
			}
			if _, err := os.Stat(filepath.Join(dir, "made")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the refused command ran: %v\n%s", err, r)
			}
			installed, err := filepath.Glob(filepath.Join(home, ".config", "opencode", "node_modules", "*"))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(filepath.Join(home, ".npm")); len(installed) > 0 || !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("opencode went to the registry: %q, .npm: %v", installed, err)
			}
		})
	}
}
