package agent

import (
	"cmp"
	"strings"
	"time"

	"kugetsu/queue/terminal"
)

// codex is Codex CLI, https://developers.openai.com/codex, as measured with 0.169.0.
var codex = Preset{
	Name:     "codex",
	Prompted: true,
	Model:    codexModel,
	Accounts: []string{"CODEX_HOME", "CODEX_API_KEY", "OPENAI_API_KEY"},
	Record:   codexRecord,
	Argv:     codexArgv,
	Parser: func(now func() time.Time) Parser {
		return &codexParser{account: account{now: now, silence: codexSilence, refusals: codexRefusals()}, calls: map[string]int{}}
	},
}

// codexModel are the names of the flag for the model.
var codexModel = []string{"-m", "--model"}

// codexArgv opens the sandbox for the worktree, for the folders that its git writes to, and for the network to push. The sandbox
// is set by -c, which a later -s overrides; a second -s would be an error.
//
// The record of the worktree, with its index, is named by itself. codex finds the record by the worktree's .git file, and makes it
// read-only unless it is named (measured: "index.lock: Read-only file system"). The repository as a whole is not opened. In its
// config and hooks an agent could plant programs that run outside of the sandbox, in a person's own git.
func codexArgv(c Call) ([]string, error) {
	args, err := prompted("codex", codexModel, c)
	if err != nil {
		return nil, err
	}
	argv := []string{"codex", "exec", "--json", "-C", c.Worktree,
		"-c", `sandbox_mode="workspace-write"`, "-c", "sandbox_workspace_write.network_access=true"}
	for _, dir := range c.Writable {
		argv = append(argv, "--add-dir", dir)
	}
	if len(c.Writable) == 0 {
		argv = append(argv, "--skip-git-repo-check")
	}
	argv = append(argv, args...)
	if c.Conversation != "" {
		argv = append(argv, "resume", c.Conversation) // not --last: if there is no conversation, it silently begins a new one
	}
	return append(argv, "-"), nil // the prompt is on stdin
}

// codexSilence is how long codex may be silent after a limit before it counts as parked. codex prints nothing while the model
// thinks, also after a try that went well.
const codexSilence = 10 * time.Minute

// codexParser reads a run's events (--json), one JSON object a line. A run has failed after a turn.failed, and after an error that
// codex does not retry. The output is that of a whole run once a turn was completed.
//
// The cost is not known: the tokens of turn.completed are those of the whole conversation, with earlier runs.
type codexParser struct {
	account
	completed bool
	step      int            // how many events of items there were
	calls     map[string]int // the calls under way, by id → the step in which they began
}

// codexRefusals: a command may be work, and file_change is how files are edited.
func codexRefusals() refusals {
	return refusals{looks: func(string) bool { return false }, edits: func(tool string) bool { return tool == "file_change" }}
}

// codexEvent is the part of an event that is read. Fields that an event lacks or has in another type stay zero.
type codexEvent struct {
	Type     string `json:"type"`
	ThreadID string `json:"thread_id"`
	Message  string `json:"message"` // of an error
	Error    struct {
		Message string `json:"message"`
	} `json:"error"` // of turn.failed
	Item struct {
		ID      string `json:"id"`
		Type    string `json:"type"`
		Status  string `json:"status"` // "in_progress", "completed", "failed", "declined"
		Text    string `json:"text"`
		Command string `json:"command"`
		Output  string `json:"aggregated_output"`
		Changes []struct {
			Path string `json:"path"`
		} `json:"changes"`
	} `json:"item"`
}

func (p *codexParser) Stdout(line []byte) bool {
	var e codexEvent
	if !decode(line, &e) {
		return false
	}
	switch {
	case e.Type == "thread.started":
		p.tells(e.ThreadID)
	case e.Type == "error":
		p.error(terminal.Plain(e.Message))
	case e.Type == "turn.failed":
		p.fails(cmp.Or(terminal.Plain(e.Error.Message), p.failure), 0)
	case e.Type == "turn.completed":
		p.completed = true
		p.goesOn()
		return true
	case strings.HasPrefix(e.Type, "item.") && e.Item.Type != "error": // an item "error" is a warning
		p.waiting = waiting{}
		p.item(e)
		return true
	}
	return false
}

// error reads an error outside of items. After "Reconnecting... 2/5 (why)" codex goes on, for ever where the network is down.
func (p *codexParser) error(message string) {
	if why, ok := strings.CutPrefix(message, "Reconnecting..."); ok {
		p.retries(complaint{text: strings.TrimSpace(why)}, resetTime(why, p.now()))
		return
	}
	p.fails(message, 0)
}

func (p *codexParser) item(e codexEvent) {
	p.step++
	i := e.Item
	what := i.Command
	if len(i.Changes) > 0 {
		what = i.Changes[0].Path
	}
	switch {
	case i.Type == "agent_message":
		p.says(i.Text)
		return
	case i.Type != "command_execution" && i.Type != "file_change":
		return
	case e.Type == "item.started":
		p.calls[i.ID] = p.step
	}
	if e.Type != "item.completed" {
		return
	}
	began, known := p.calls[i.ID]
	if delete(p.calls, i.ID); !known {
		began = p.step
	}
	switch {
	case i.Status == "completed":
		p.refusals.done(i.Type, began)
	case i.Status == "declined":
		p.refusals.refuse(i.Type, p.step, i.Type+" "+what)
	case i.Status == "failed" && strings.HasPrefix(i.Output, "bwrap: "):
		// The sandbox does not work here, so no command works. codex goes on to a polite end all the same.
		p.refusals.refuse(i.Type, p.step, i.Output+" "+what)
	}
}

func (p *codexParser) Report(exit Exit) Report {
	p.unfinished = ""
	if !p.completed {
		p.unfinished = "it broke off before its turn was completed"
	}
	return p.judge(exit)
}
