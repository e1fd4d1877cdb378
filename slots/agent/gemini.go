package agent

import (
	"cmp"
	"strings"
	"time"
)

// gemini is Gemini CLI, https://geminicli.com, as measured with 0.61.0.
var gemini = Preset{
	Name:     "gemini",
	Prompted: true,
	Argv:     geminiArgv,
	Parser:   func(now func() time.Time) Parser { return &geminiParser{now: now, calls: map[string]geminiCall{}} },
}

// geminiArgv: yolo approves what no policy of the user's denies; without it the tools that change something are not
// even offered. In a folder that nobody told it to trust it would not start. Stdin that is no terminal is the prompt.
func geminiArgv(c Call) ([]string, error) {
	args, err := prompted("gemini", c)
	if err != nil {
		return nil, err
	}
	argv := append([]string{"gemini", "--output-format", "stream-json", "--approval-mode", "yolo", "--skip-trust"}, args...)
	if c.Conversation != "" {
		argv = append(argv, "--resume", c.Conversation)
	}
	return argv, nil
}

// geminiParser judges a run by its events (--output-format stream-json), one JSON object a line.
//
// The first of these that applies is the outcome:
//
//	a signal, a non-zero exit, or a result that is no success  what the error means, else failed
//	no result                                                  failed; it broke off
//	a policy refused a tool, and none went well after          denied
//	no text after the last tool                                denied; it ended without an answer
//	otherwise                                                  ok
type geminiParser struct {
	now          func() time.Time
	conversation string
	text         strings.Builder       // since the last tool, in pieces
	calls        map[string]geminiCall // those under way, by id
	refused      string                // the tool that was refused last, "" once it was made up for
	permissions  Refusals
	warned       string // the last error event that was no result
	reset        time.Time
	result       *geminiEvent
	stderr       lastLine
}

// geminiEvent is what we read of an event. Fields that an event lacks or has in another type stay zero.
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
		if p.conversation == "" && isConversation(e.SessionID) {
			p.conversation = e.SessionID
		}
	case "message":
		if e.Role == "assistant" && p.text.Len() < MaxLine {
			p.text.WriteString(e.Content)
		}
		return e.Role == "assistant"
	case "tool_use":
		p.text.Reset()
		p.calls[e.ToolID] = geminiCall{e.ToolName, p.refused != ""}
		return true
	case "tool_result":
		p.toolResult(e)
		return true
	case "error":
		if e.Severity != "warning" {
			p.warned = clean(e.Message)
		}
	case "result":
		p.result = &e
	}
	return false
}

type geminiCall struct {
	tool  string
	after bool // it was made when the refusal was known
}

// geminiWork are the tools that change something, true for those that change files.
var geminiWork = map[string]bool{"run_shell_command": false, "write_file": true, "replace": true}

// toolResult follows the refusals by the rule that refusal explains. That a command failed is not said: any that ran
// went well.
func (p *geminiParser) toolResult(e geminiEvent) {
	call := p.calls[e.ToolID]
	delete(p.calls, e.ToolID)
	_, work := geminiWork[p.refused]
	switch {
	case e.Error.Type == "policy_violation":
		p.refused = cmp.Or(call.tool, "unknown")
		p.permissions.add(p.refused + ": " + e.Error.Message)
	case e.Status == "success" && call.after && (!work || call.tool == p.refused || geminiWork[call.tool]):
		p.refused = ""
	}
}

// Stderr reads what precedes the result of a failure: a dump with the provider's own words in it.
func (p *geminiParser) Stderr(line []byte) bool {
	text := string(line[:min(len(line), MaxSummary)])
	if at := resetTime(text, p.now()); !at.IsZero() {
		p.reset = at
	}
	if !strings.HasPrefix(text, " ") && !strings.HasPrefix(text, "}") { // a stack, not words
		p.stderr.add(line)
	}
	return false
}

// Parked: it gives up by itself where it is told to wait for more than five minutes.
func (p *geminiParser) Parked() bool { return false }

func (p *geminiParser) Conversation() string { return p.conversation }

// geminiAuth is the exit status of a run without credentials. That of a refused request is the HTTP status, of which a
// process keeps the last eight bits: 173 is 429.
const geminiAuth = 41

func geminiStatus(code int) int {
	switch {
	case code == geminiAuth:
		return 401
	case code > 400-256 && code <= 255: // 400 itself can be anything, a bad key too
		return code + 256
	}
	return 0
}

func (p *geminiParser) Report(exit Exit) Report {
	r := Report{Outcome: Failed, Refused: p.permissions}
	answer, failure := clean(p.text.String()), p.warned
	if e := p.result; e != nil {
		r.Cost.add(Cost{Input: e.Stats.Fresh, Output: e.Stats.Output, CacheRead: e.Stats.Cached})
		if e.Status != "success" {
			failure = cmp.Or(clean(e.Error.Message), failure, "the agent reported an error")
		} else {
			failure = "" // it went on
		}
	}
	switch {
	case exit.Signal == 0 && failure != "":
		r.Summary = failure
		p.blame(&r, exit)
	case !exit.ok():
		r.Summary = exit.because(cmp.Or(failure, string(p.stderr)))
		p.blame(&r, exit)
	case p.result == nil:
		r.Summary = "it broke off without a result\n" + answer
	case p.refused != "":
		r.Outcome, r.Summary = Denied, "permission refused: "+r.Refused.Last()+"\n"+answer
	case answer == "":
		r.Outcome, r.Summary = Denied, "ended without an answer"
	default:
		r.Outcome, r.Summary = OK, answer
	}
	return r.bounded()
}

func (p *geminiParser) blame(r *Report, exit Exit) {
	if exit.Signal != 0 {
		return
	}
	r.blame(geminiStatus(exit.Code), p.now())
	if r.Outcome == UsageLimit && r.Reset.IsZero() {
		r.Reset = p.reset
	}
}
