package agent

import (
	"cmp"
	"strings"
	"time"

	"kugetsu/queue/outcome"
	"kugetsu/queue/pattern"
	"kugetsu/queue/terminal"
)

// claude is Claude Code, https://code.claude.com, as measured with 2.1.197.
var claude = Preset{
	Name:     "claude",
	Dollars:  true,
	Prompted: true,
	Model:    claudeModel,
	Limited:  []string{"opus", "sonnet"},
	Family:   claudeFamily,
	Accounts: []string{"CLAUDE_CONFIG_DIR", "CLAUDE_CODE_OAUTH_TOKEN", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL"},
	Argv:     claudeArgv,
	Parser: func(now func() time.Time) Parser {
		return &claudeParser{account: account{now: now, silence: parkFrom}, calls: map[string]claudeCall{}, failed: map[string]claudeCall{}, good: map[string]int{}}
	},
}

// claudeModel are the names of the flag for the model.
var claudeModel = []string{"--model"}

// claudeNames matches the names of models that say a family: an alias, or a full name. Other names, such as opusplan and default,
// stand for several models, or for a model that is not known here.
var claudeNames = pattern.Lazy(`^(?:claude-(?:[a-z0-9.]+-)*)?(opus|sonnet|haiku)(?:-[a-z0-9.-]+)?(?:\[1m\])?$`)

func claudeFamily(model string) string {
	if m := claudeNames().FindStringSubmatch(model); m != nil {
		return m[1]
	}
	return ""
}

// claudeLimited are the windows that count a single family of models.
var claudeLimited = map[string]string{"seven_day_opus": "opus", "seven_day_sonnet": "sonnet"}

// claudeArgv allows edits and commands, so that the agent can commit and push. bypassPermissions would allow more, but claude
// refuses it to root outside of a sandbox. Here claude still refuses edits that would run code later: of .git/hooks, .claude and
// their like. A later --permission-mode overrides this one, and a user's own rules still deny.
func claudeArgv(c Call) ([]string, error) {
	args, err := prompted("claude", claudeModel, c)
	if err != nil {
		return nil, err
	}
	// The prompt is on stdin. The = ends the list of tools: without it the flag would also take the words that follow.
	argv := []string{"claude", "-p", "--output-format", "stream-json", "--verbose",
		"--allowedTools=Bash,Edit,Write,NotebookEdit,WebFetch,WebSearch", "--permission-mode", "acceptEdits"}
	argv = append(argv, args...)
	if c.Conversation != "" {
		argv = append(argv, "--resume", c.Conversation)
	}
	return argv, nil
}

// claudeParser reads a run's events (--output-format stream-json), one JSON object a line. A result says in is_error whether it is
// an error; its subtype may be "success" although the model could not be asked. A run can have several results: after one, a
// process in the background may wake the agent, and the run goes on. So no single result stands for the whole run. What counts are
// the words of the last result that has any, the refusals of all results, and an error until the model speaks again.
type claudeParser struct {
	account
	quota
	ended   bool // it printed a result
	denials []claudeDenial

	step   int                   // how many messages of the model there were
	said   string                // the id of the last message: a message comes in several events
	calls  map[string]claudeCall // the calls under way, by id
	failed map[string]claudeCall // the calls that failed, by id; the result says which of them were refused
	good   map[string]int        // tool → the step of its last call that went well
}

type claudeCall struct {
	tool string
	step int
}

// claudeEvent is the part of an event that is read. Fields that an event lacks or has in another type stay zero.
type claudeEvent struct {
	Type      string `json:"type"`
	Subtype   string `json:"subtype"`
	SessionID string `json:"session_id"`
	Parent    string `json:"parent_tool_use_id"` // of a subagent's event
	Error     string `json:"error"`              // of an assistant event: its words are the program's; of an api_retry: the reason
	Message   struct {
		ID      string `json:"id"`
		Content []struct {
			Type      string `json:"type"`
			Text      string `json:"text"`
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
		Type     string `json:"rateLimitType"`
		ResetsAt int64  `json:"resetsAt"` // seconds since 1970
	} `json:"rate_limit_info"`

	// Of the result.
	IsError bool   `json:"is_error"`
	Status  int    `json:"api_error_status"`
	Result  string `json:"result"`
	// Terminal is why the loop ended: "completed", "api_error", "blocking_limit".
	Terminal string `json:"terminal_reason"`

	Errors  []string       `json:"errors"`
	Denials []claudeDenial `json:"permission_denials"`
	USD     float64        `json:"total_cost_usd"`
	Usage   struct {
		Input      int64 `json:"input_tokens"`
		Output     int64 `json:"output_tokens"`
		CacheRead  int64 `json:"cache_read_input_tokens"`
		CacheWrite int64 `json:"cache_creation_input_tokens"`
	} `json:"usage"`
}

// claudeDenial is a permission that was refused.
type claudeDenial struct {
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
}

func (d claudeDenial) String() string {
	in := d.Input
	return cmp.Or(d.Tool, "unknown") + " " + cmp.Or(in.FilePath, in.NotebookPath, in.Command, in.URL, in.Path, in.Pattern, in.Query)
}

func (p *claudeParser) Stdout(line []byte) bool {
	var e claudeEvent
	if !decode(line, &e) {
		return false
	}
	p.tells(e.SessionID)
	switch {
	case e.Type == "assistant" && e.Error != "":
		p.kind = e.Error
	case e.Type == "assistant":
		p.goesOn()
		p.assistant(e)
		return true
	case e.Type == "user":
		p.answers(e)
		return true
	case e.Type == "rate_limit_event": // the newest one counts: a later try may be served
		p.quota.claude(line, p.now())
		p.reset, p.model = time.Time{}, ""
		if e.RateLimit.Status == "rejected" {
			p.model = claudeLimited[e.RateLimit.Type]
			if e.RateLimit.ResetsAt > 0 {
				p.reset = time.Unix(e.RateLimit.ResetsAt, 0)
			}
		}
	case e.Type == "system" && e.Subtype == "api_retry":
		why := e.Error
		if why == "" || why == "unknown" { // no server is known to have answered
			why = "no answer"
		}
		why = oneLine("waits for the model: "+why, MaxSummary)
		p.retries(complaint{status: e.ErrorStatus, name: e.Error, text: why}, later(p.now(), e.RetryDelayMS/1000))
	case e.Type == "result":
		p.end(e)
	}
	return false
}

// end reads a result.
func (p *claudeParser) end(e claudeEvent) {
	p.ended, p.waiting = true, waiting{}
	p.denials = append(p.denials, e.Denials...)
	p.cost.Add(outcome.Cost{Input: e.Usage.Input, Output: e.Usage.Output, CacheRead: e.Usage.CacheRead, CacheWrite: e.Usage.CacheWrite})
	p.cost.Add(outcome.Cost{USD: e.USD - p.cost.USD}) // dollars are those of the whole process, tokens those since the last result
	words := terminal.Plain(e.Result)
	switch {
	case e.IsError || e.Subtype != "success":
		p.fails(cmp.Or(words, terminal.Plain(strings.Join(e.Errors, "\n")), terminal.Plain(e.Subtype)), e.Status)
		p.hearsay = words == "" // the errors are all that the process met, also those of its tools
		if e.Terminal == "blocking_limit" {
			p.kind = e.Terminal // it means a conversation that is too long, although the words speak of a limit
		}
	case words != "":
		p.goesOn()
		p.says(words)
	}
}

func (p *claudeParser) assistant(e claudeEvent) {
	if e.Message.ID == "" || e.Message.ID != p.said {
		p.step++
		p.said = e.Message.ID
	}
	for _, c := range e.Message.Content {
		switch {
		case c.Type == "tool_use":
			p.calls[c.ID] = claudeCall{c.Name, p.step}
		case c.Type == "text" && e.Parent == "": // the words of a subagent are for the agent
			p.says(c.Text)
		}
	}
}

// answers notes which calls of tools failed and which went well. A command that exits with an error counts as a call that failed.
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

// claudeWork are the tools that change something outside the conversation, true for those that change files.
var claudeWork = map[string]bool{"Bash": false, "Edit": true, "MultiEdit": true, "Write": true, "NotebookEdit": true}

// refused makes the refusals from the denials that the results name, and from the calls that went well.
func (p *claudeParser) refused() refusals {
	r := refusals{looks: func(tool string) bool { _, work := claudeWork[tool]; return !work }, edits: func(tool string) bool { return claudeWork[tool] }}
	for _, d := range p.denials {
		call, known := p.failed[d.ID]
		if !known { // it is not known which calls came later, so none makes up for the denial
			call.step = never
		}
		r.refuse(call.tool, call.step, d.String())
	}
	for tool, step := range p.good {
		r.done(tool, step)
	}
	return r
}

func (p *claudeParser) Report(exit Exit) Report {
	p.refusals, p.unfinished = p.refused(), ""
	if !p.ended {
		p.unfinished = "it broke off without a result"
	}
	return p.judge(exit)
}
