package agent

import (
	"cmp"
	"net/http"
	"strings"
	"time"

	"kugetsu/queue/outcome"
	"kugetsu/queue/pattern"
	"kugetsu/queue/terminal"
)

// gemini is Gemini CLI, https://geminicli.com, as measured with 0.61.0.
var gemini = Preset{
	Name:     "gemini",
	Prompted: true,
	Model:    geminiModel,
	Argv:     geminiArgv,
	Parser: func(now func() time.Time) Parser {
		return &geminiParser{account: account{now: now, silence: parkFrom, refusals: geminiRefusals()}, calls: map[string]geminiCall{}}
	},
}

// geminiModel are the names of the flag for the model.
var geminiModel = []string{"-m", "--model"}

// geminiArgv has yolo, which approves everything that no policy of the user's denies. Without yolo the model is not even offered
// the tools that change something. Without --skip-trust gemini does not start in a folder that it was not told to trust. The prompt
// is on stdin, where gemini reads it unless stdin is a terminal.
func geminiArgv(c Call) ([]string, error) {
	args, err := prompted("gemini", geminiModel, c)
	if err != nil {
		return nil, err
	}
	argv := append([]string{"gemini", "--output-format", "stream-json", "--approval-mode", "yolo", "--skip-trust"}, args...)
	if c.Conversation != "" {
		argv = append(argv, "--resume", c.Conversation)
	}
	return argv, nil
}

// geminiParser reads a run's events (--output-format stream-json), one JSON object a line. The last event is the result.
type geminiParser struct {
	account
	pieces strings.Builder       // of the words since the last tool
	step   int                   // how many calls of tools began or ended
	calls  map[string]geminiCall // the calls under way, by id
	ended  bool                  // it printed a result
}

// geminiEvent is the part of an event that is read. Fields that an event lacks or has in another type stay zero.
type geminiEvent struct {
	Type      string `json:"type"`
	SessionID string `json:"session_id"`
	Role      string `json:"role"`
	Content   string `json:"content"`
	ToolName  string `json:"tool_name"`
	ToolID    string `json:"tool_id"`
	Severity  string `json:"severity"` // of an error: "error" or "warning"
	Message   string `json:"message"`
	Status    string `json:"status"` // of a result, of a tool or of the run
	Error     struct {
		Type    string `json:"type"`
		Message string `json:"message"`
	} `json:"error"`
	Stats struct {
		Input  int64 `json:"input_tokens"`
		Output int64 `json:"output_tokens"`
		Cached int64 `json:"cached"`
		Fresh  int64 `json:"input"` // Input without Cached
	} `json:"stats"`
}

func (p *geminiParser) Stdout(line []byte) bool {
	var e geminiEvent
	if !decode(line, &e) {
		return false
	}
	switch e.Type {
	case "init":
		p.tells(e.SessionID)
	case "message":
		if e.Role != "assistant" {
			return false
		}
		p.served()
		if p.pieces.Len() < MaxLine {
			p.pieces.WriteString(e.Content)
		}
		p.says(p.pieces.String())
		return true
	case "tool_use":
		p.served()
		p.pieces.Reset()
		p.step++
		p.calls[e.ToolID] = geminiCall{e.ToolName, p.step}
		return true
	case "tool_result":
		p.toolResult(e)
		return true
	case "error":
		if e.Severity != "warning" {
			p.fails(terminal.Plain(e.Message), 0)
		}
	case "result":
		p.end(e)
	}
	return false
}

// served notes that the model answers: a limit that was met before that is over.
func (p *geminiParser) served() { p.waiting, p.reset = waiting{}, time.Time{} }

func (p *geminiParser) end(e geminiEvent) {
	p.ended = true
	p.cost.Add(outcome.Cost{Input: e.Stats.Fresh, Output: e.Stats.Output, CacheRead: e.Stats.Cached})
	if e.Status == "success" {
		p.goesOn()
		return
	}
	p.fails(cmp.Or(terminal.Plain(e.Error.Message), p.failure), 0)
	p.kind = terminal.Plain(e.Error.Type)
}

type geminiCall struct {
	tool string
	step int // in which it was made
}

// geminiWork are the tools that change something outside the conversation, true for those that change files.
var geminiWork = map[string]bool{"run_shell_command": false, "write_file": true, "replace": true}

func geminiRefusals() refusals {
	return refusals{looks: func(tool string) bool { _, work := geminiWork[tool]; return !work }, edits: func(tool string) bool { return geminiWork[tool] }}
}

// toolResult follows the refusals. The events do not say that a command failed, so a command that ran counts as one that went well.
func (p *geminiParser) toolResult(e geminiEvent) {
	p.step++
	call := p.calls[e.ToolID]
	delete(p.calls, e.ToolID)
	switch {
	case e.Error.Type == "policy_violation":
		tool := cmp.Or(call.tool, "unknown")
		p.refusals.refuse(tool, p.step, tool+": "+e.Error.Message)
	case e.Status == "success":
		p.refusals.done(call.tool, call.step)
	}
}

// Stderr reads the dump before the result of a failure, which has the provider's own words in it. It also reads that gemini tries
// again: "Attempt 1 failed: You have exhausted your capacity on this model. … Retrying after 16123456ms...". gemini does wait that
// long, for hours if it must.
func (p *geminiParser) Stderr(line []byte) bool {
	text := string(line[:min(len(line), MaxSummary)])
	at := resetTime(text, p.now())
	if !at.IsZero() {
		p.reset = at
	}
	if geminiRetry().MatchString(text) {
		p.retries(complaint{text: oneLine(text, MaxSummary)}, at)
		return false
	}
	if !strings.HasPrefix(text, " ") && !strings.HasPrefix(text, "}") { // a line of a stack trace says nothing
		p.stderr.add(line)
	}
	return false
}

var geminiRetry = pattern.Lazy(`^Attempt [0-9]+ failed`)

// geminiAuth is the exit status of a run without credentials. The exit status of a refused request is the last eight bits of the
// HTTP status: 173 is 429.
const geminiAuth = 41

func geminiStatus(code int) int {
	switch {
	case code == geminiAuth:
		return 401
	case http.StatusText(code+256) != "" && code > 400-256 && code < 255: // 400 itself can be anything, a bad key too; 255 is any failure
		return code + 256
	}
	return 0
}

func (p *geminiParser) Report(exit Exit) Report {
	p.unfinished = ""
	if !p.ended {
		p.unfinished = "it broke off without a result"
	}
	p.status = geminiStatus(exit.Code)
	return p.judge(exit)
}
