package agent

import (
	"cmp"
	"strings"
	"time"
)

// claude is Claude Code, https://code.claude.com, as measured with 2.1.197.
var claude = Preset{
	Name:     "claude",
	Prompted: true,
	Argv:     claudeArgv,
	Parser: func(now func() time.Time) Parser {
		return &claudeParser{now: now, calls: map[string]claudeCall{}, failed: map[string]claudeCall{}, good: map[string]int{}}
	},
}

// claudeArgv: edits and commands are allowed, so that it can commit and push. bypassPermissions would allow more, but is
// refused to root outside of a sandbox, and what is left to refuse here is what would run code later: edits of
// .git/hooks, .claude and their like. A later --permission-mode wins over this one, and a user's own rules still deny.
func claudeArgv(c Call) ([]string, error) {
	args, err := prompted("claude", c)
	if err != nil {
		return nil, err
	}
	// Stdin is the prompt. The = keeps the list from taking what follows.
	argv := []string{"claude", "-p", "--output-format", "stream-json", "--verbose",
		"--allowedTools=Bash,Edit,Write,NotebookEdit,WebFetch,WebSearch", "--permission-mode", "acceptEdits"}
	argv = append(argv, args...)
	if c.Conversation != "" {
		argv = append(argv, "--resume", c.Conversation)
	}
	return argv, nil
}

// claudeParser judges a run by its events (--output-format stream-json), one JSON object a line. The last one is the
// result, which says is_error; its subtype is "success" all the same where the model could not be asked.
//
// The first of these that applies is the outcome:
//
//	it waits for a limit for too long                  usage_limit
//	a signal, a non-zero exit, or a result with an error  what the error means, else failed
//	no result                                          failed; it broke off
//	a refused permission, not made up for              denied; see stands
//	an empty answer                                    denied
//	otherwise                                          ok
type claudeParser struct {
	now          func() time.Time
	conversation string
	waiting      waiting
	reset        time.Time // of the limit that was met last
	kind         string    // what the last message was instead of the model's: "rate_limit", "authentication_failed"
	result       *claudeEvent
	stderr       lastLine

	step   int                   // how many messages of the model there were
	said   string                // the id of the last one: it comes in several events
	calls  map[string]claudeCall // those under way, by id
	failed map[string]claudeCall // the calls that failed, by id: some of them were refused, the result says which
	good   map[string]int        // tool → the step of its last call that went well
}

type claudeCall struct {
	tool string
	step int
}

// claudeEvent is what we read of an event. Fields that an event lacks or has in another type stay zero.
type claudeEvent struct {
	Type      string `json:"type"`
	Subtype   string `json:"subtype"`
	SessionID string `json:"session_id"`
	Error     string `json:"error"` // of an assistant: it is the program that speaks; of an api_retry: why
	Message   struct {
		ID      string `json:"id"`
		Content []struct {
			Type      string `json:"type"`
			ID        string `json:"id"`   // of a tool_use
			Name      string `json:"name"` // likewise
			ToolUseID string `json:"tool_use_id"`
			IsError   bool   `json:"is_error"`
		} `json:"content"`
	} `json:"message"`

	ErrorStatus  int     `json:"error_status"`   // of an api_retry
	RetryDelayMS float64 `json:"retry_delay_ms"` // likewise

	RateLimit struct {
		Status   string `json:"status"`
		ResetsAt int64  `json:"resetsAt"` // seconds since 1970
	} `json:"rate_limit_info"`

	// Of the result.
	IsError bool     `json:"is_error"`
	Status  int      `json:"api_error_status"`
	Result  string   `json:"result"`
	Errors  []string `json:"errors"`
	Denials []struct {
		Tool  string `json:"tool_name"`
		ID    string `json:"tool_use_id"`
		Input struct {
			FilePath     string `json:"file_path"`
			NotebookPath string `json:"notebook_path"`
			Command      string `json:"command"`
			URL          string `json:"url"`
			Path         string `json:"path"`
			Pattern      string `json:"pattern"`
			Query        string `json:"query"`
		} `json:"tool_input"`
	} `json:"permission_denials"`
	USD   float64 `json:"total_cost_usd"`
	Usage struct {
		Input      int64 `json:"input_tokens"`
		Output     int64 `json:"output_tokens"`
		CacheRead  int64 `json:"cache_read_input_tokens"`
		CacheWrite int64 `json:"cache_creation_input_tokens"`
	} `json:"usage"`
}

func (p *claudeParser) Stdout(line []byte) bool {
	var e claudeEvent
	if !decode(line, &e) {
		return false
	}
	if p.conversation == "" && isConversation(e.SessionID) {
		p.conversation = e.SessionID
	}
	switch {
	case e.Type == "assistant" && e.Error != "":
		p.kind = e.Error
	case e.Type == "assistant":
		p.kind, p.waiting = "", waiting{}
		p.assistant(e)
		return true
	case e.Type == "user":
		p.answers(e)
		return true
	case e.Type == "rate_limit_event" && e.RateLimit.Status == "rejected" && e.RateLimit.ResetsAt > 0:
		p.reset = time.Unix(e.RateLimit.ResetsAt, 0)
	case e.Type == "system" && e.Subtype == "api_retry":
		now := p.now()
		p.waiting.begin(e.ErrorStatus, oneLine("waits for the model: "+e.Error, MaxSummary), later(now, e.RetryDelayMS/1000), now)
	case e.Type == "result":
		p.result, p.waiting = &e, waiting{}
	}
	return false
}

func (p *claudeParser) assistant(e claudeEvent) {
	if e.Message.ID == "" || e.Message.ID != p.said {
		p.step++
		p.said = e.Message.ID
	}
	for _, c := range e.Message.Content {
		if c.Type == "tool_use" {
			p.calls[c.ID] = claudeCall{c.Name, p.step}
		}
	}
}

// answers notes how the calls of tools went. A command that failed has failed, too.
func (p *claudeParser) answers(e claudeEvent) {
	for _, c := range e.Message.Content {
		call, known := p.calls[c.ToolUseID]
		delete(p.calls, c.ToolUseID)
		switch {
		case c.Type != "tool_result" || !known:
		case c.IsError:
			p.failed[c.ToolUseID] = call
		default:
			p.good[call.tool] = call.step
		}
	}
}

func (p *claudeParser) Stderr(line []byte) bool {
	p.stderr.add(line)
	return false
}

func (p *claudeParser) Parked() bool { return p.waiting.parked(p.now(), parkFrom) }

func (p *claudeParser) Conversation() string { return p.conversation }

// claudeWork are the tools that change something; claudeEdits those of them that change files.
var (
	claudeWork  = map[string]bool{"Bash": true, "Edit": true, "MultiEdit": true, "Write": true, "NotebookEdit": true}
	claudeEdits = []string{"Edit", "MultiEdit", "Write", "NotebookEdit"}
)

// stands reports whether a permission was refused in a run and nothing of the kind done after it, by the rule that
// refusal explains.
func (p *claudeParser) stands() bool {
	for _, d := range p.result.Denials {
		call, known := p.failed[d.ID]
		if !known {
			return true // nothing is known to have come later
		}
		made := p.good[call.tool] > call.step
		for _, tool := range claudeEdits {
			made = made || p.good[tool] > call.step
		}
		if !claudeWork[call.tool] { // a look is made up for by anything
			for _, step := range p.good {
				made = made || step > call.step
			}
		}
		if !made {
			return true
		}
	}
	return false
}

// permissions are those that were refused.
func (p *claudeParser) permissions() (list Refusals) {
	if p.result == nil {
		return nil
	}
	for _, d := range p.result.Denials {
		in := d.Input
		list.add(cmp.Or(d.Tool, "unknown") + " " + cmp.Or(in.FilePath, in.NotebookPath, in.Command, in.URL, in.Path, in.Pattern, in.Query))
	}
	return list
}

func (p *claudeParser) Report(exit Exit) Report {
	r := Report{Outcome: Failed, Refused: p.permissions()}
	answer, failure, status := "", "", 0
	if e := p.result; e != nil {
		r.Cost.add(Cost{USD: e.USD, Input: e.Usage.Input, Output: e.Usage.Output, CacheRead: e.Usage.CacheRead, CacheWrite: e.Usage.CacheWrite})
		answer, status = clean(e.Result), e.Status
		if e.IsError || e.Subtype != "success" {
			failure = cmp.Or(answer, clean(strings.Join(e.Errors, "\n")), clean(e.Subtype), "the agent reported an error")
		}
	}
	switch {
	case p.Parked():
		p.waiting.report(&r)
	case exit.Signal == 0 && failure != "":
		r.Summary = failure
		p.blame(&r, status)
	case !exit.ok():
		r.Summary = exit.because(cmp.Or(failure, string(p.stderr)))
		if exit.Signal == 0 {
			p.blame(&r, status)
		}
	case p.result == nil:
		r.Summary = "it broke off without a result"
	case p.stands():
		r.Outcome, r.Summary = Denied, "permission refused: "+r.Refused.Last()+"\n"+answer
	case answer == "":
		r.Outcome, r.Summary = Denied, "ended without an answer"
	default:
		r.Outcome, r.Summary = OK, answer
	}
	return r.bounded()
}

// blame gives a failed run its outcome: the program names the kind of an error, older ones only say it in words.
func (p *claudeParser) blame(r *Report, status int) {
	switch p.kind {
	case "rate_limit", "billing_error":
		r.Outcome = UsageLimit
	case "authentication_failed", "oauth_org_not_allowed":
		r.Outcome = Auth
	default:
		r.blame(status, p.now())
	}
	if r.Outcome != UsageLimit {
		return
	}
	if r.Reset = p.reset; r.Reset.IsZero() {
		r.Reset = resetTime(r.Summary, p.now())
	}
}
