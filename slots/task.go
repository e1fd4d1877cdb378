package slots

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"kugetsu/queue/issueref"
	"kugetsu/queue/outcome"
)

// Task is all that a runner must know. It passes as JSON through the gate, a pipe from the tick that forked the runner, after
// the item says notified. A runner whose gate closes without a whole task exits and has done nothing.
type Task struct {
	V             int                   `json:"v"`
	Item          string                `json:"item"`
	Run           int                   `json:"run"`
	Session       string                `json:"session"`
	IssueRef      string                `json:"issue_ref"`
	Message       string                `json:"message"`
	Previous      string                `json:"previous"` // how the last run ended in which an agent began; "" where there was no such run
	Said          string                `json:"said"`     // the last words of that run: text of an agent
	Verify        VerifyTask            `json:"verify"`
	Unverified    *outcome.Verification `json:"unverified"` // why that run was not verified; nil where it ended otherwise
	Timeout       time.Duration         `json:"timeout"`
	Idle          time.Duration         `json:"idle"`           // how long the agent may show no progress, 0 for ever
	MaxMemory     int64                 `json:"max_memory"`     // bytes that the run's processes may have together, 0 for any amount
	ExpectChanges bool                  `json:"expect_changes"` // a run without changes has failed
	Probe         bool                  `json:"probe"`          // the agent is on hold: record when the model answers
	ProbeHost     bool                  `json:"probe_host"`     // the remote's host is on hold: record when it answers
	EnvFiles      []string              `json:"env_files"`      // of the agent; a later one overrides. Git and hook get the first only
	Prompt        string                `json:"prompt"`         // file whose text precedes the message, where the preset takes a prompt
	Agent         AgentTask             `json:"agent"`
	Account       string                `json:"account"` // of the agent: see Account
	Workspace     WorkspaceSettings     `json:"workspace"`
	Events        Events                `json:"events"`
}

// AgentTask is the settings of the agent.
type AgentTask struct {
	Preset          string `json:"preset"`
	Prefix          string `json:"prefix"` // words before the agent's own
	Args            string `json:"args"`
	Model           string `json:"model"` // "" for what Args or the program's own settings say
	Command         string `json:"command"`
	ContinueCommand string `json:"continue_command"`
}

// VerifyTask is the settings of the verification.
type VerifyTask struct {
	Command string        `json:"command"` // "" for none
	By      string        `json:"by"`      // what named it
	Timeout time.Duration `json:"timeout"`
}

// WorkspaceSettings are the settings of the worktree. A workspace without a repository is a plain folder: the PM agent's.
type WorkspaceSettings struct {
	Repo   string `json:"repo"`  // flat name of the repository, "" for none
	URL    string `json:"url"`   // the remote of the bare clone
	Local  string `json:"local"` // a local checkout that is used instead of a clone
	Host   string `json:"host"`  // the host of the URL, "" for none
	Branch string `json:"branch"`
	OnTop  string `json:"on_top"`  // the branch at which a new one begins, "" for the base
	Merged bool   `json:"merged"`  // the request of that branch was merged
	TopURL string `json:"top_url"` // the request of that branch, where it is known and was not merged when it was asked about last
	Base   string `json:"base"`
	Hook   string `json:"hook"` // command run in a new worktree

	Identity string `json:"identity"` // the author of commits where git knows none, "Name <email>"
}

// Events are the folders of the event that the agent started.
type Events struct {
	New, Seen   string
	Undelivered string `json:"Owed"`
	Tell        bool   // NOTIFY_COMMAND is told of it
}

// issue is the issue or the task of the run; the zero Ref for a run of the PM agent.
func (t *Task) issue() issueref.Ref {
	ref, _ := issueref.Canonical(t.IssueRef) // the item was checked when it was read
	return ref
}

// Name is the run's name.
func (t *Task) Name() string { return RunName(t.Item, t.Run) }

// GateTimeout bounds the hand-over of a task: a tick must not hang on a runner that does not read, and a runner must not hang
// on a tick that was stopped. The bound must be well above the time in which a tick writes an item, and well below the time
// that a runner's tick waits for tick.lock.
const GateTimeout = 10 * time.Second

// Gate is the tick's end of the pipe to a runner.
type Gate struct{ pipe *os.File }

// Send lets the runner begin.
func (g *Gate) Send(t Task) error {
	t.V = 1
	data, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("task %s: %w", t.Name(), err)
	}
	if err := g.pipe.SetWriteDeadline(time.Now().Add(GateTimeout)); err != nil {
		return fmt.Errorf("gate of %s: %w", t.Name(), err)
	}
	if _, err := g.pipe.Write(data); err != nil {
		return fmt.Errorf("gate of %s: %w", t.Name(), err)
	}
	return nil
}

// Close shuts the gate. A runner that got no task ends.
func (g *Gate) Close() error { return g.pipe.Close() }

// errNoTask is returned for a gate that closed without a whole task.
var errNoTask = errors.New("the gate closed without a task")

func readTask(gate *os.File) (*Task, error) {
	if err := gate.SetReadDeadline(time.Now().Add(2 * GateTimeout)); err != nil {
		return nil, fmt.Errorf("gate: %w", err)
	}
	data, err := io.ReadAll(gate)
	if err != nil {
		return nil, fmt.Errorf("gate: %w", err)
	}
	var t Task
	if err := json.Unmarshal(data, &t); err != nil { // the tick died while it was sending
		return nil, errNoTask
	}
	if t.V != 1 || !runName().MatchString(t.Name()) || !isSession(t.Session) {
		return nil, fmt.Errorf("the gate brought a bad task: version %d, run %q", t.V, t.Name())
	}
	return &t, nil
}
