package agent

import (
	"bytes"
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"kugetsu/queue/outcome"
	"kugetsu/queue/pattern"
	"kugetsu/queue/terminal"
)

// opencode is https://opencode.ai, 1.x as measured with 1.18.33 and 2.x as its sources say.
var opencode = Preset{
	Name:     "opencode",
	Dollars:  true,
	Prompted: true,
	Model:    opencodeModel,
	Version:  []string{"opencode", "--version"},
	SetUp:    []string{"opencode", "db", "path"}, // creates the database: if several first starts create it at once, one of them fails
	Argv:     opencodeArgv,
	Parser: func(now func() time.Time) Parser {
		return &opencodeParser{account: account{now: now, silence: parkFrom, refusals: opencodeRefusals()}}
	},
}

// opencodeModel are the names of the flag for the model.
var opencodeModel = []string{"-m", "--model"}

// opencodeArgv has --auto, which approves everything that the user's configuration does not deny; without it every question ends
// the run. 1.x believes PWD more than its cwd, and --dir more than both. 2.x has no --dir. Without --standalone a server that all
// runs of the user share would do the work, and neither a slot nor a timeout would bound it.
//
// The log is the only place where 1.x reports a limit for which it waits. It does so at the level ERROR.
func opencodeArgv(c Call) ([]string, error) {
	args, err := prompted("opencode", opencodeModel, c)
	if err != nil {
		return nil, err
	}
	argv := []string{"opencode", "run"}
	if c.Major >= 2 {
		argv = append(argv, "--standalone")
	}
	argv = append(argv, "--format", "json", "--title", c.Title, "--auto")
	if c.Major < 2 {
		argv = append(argv, "--dir", c.Worktree, "--print-logs", "--log-level", "ERROR")
	}
	argv = append(argv, args...)
	if c.Conversation != "" {
		// Never --continue: if there is no conversation to continue, it silently begins a new one.
		argv = append(argv, "-s", c.Conversation)
	}
	return argv, nil
}

// lockedOut says whether a line of stderr says that opencode could not use its database, which all opencodes of a user share. While
// 1.18.33 opens the database, it gives up at once if another opencode has locked it: it sets PRAGMA busy_timeout only after that.
// Later it gives up after five seconds. Once a conversation has begun, the same error comes as an event.
func lockedOut(line string) bool {
	return line == "database is locked" || strings.HasPrefix(line, "Failed query: ")
}

// opencodeParser reads a run's events (--format json), one JSON object a line. 2.x goes on after some errors and exits 0, so a step
// that ended well makes up for an error. If the last step ended with another reason than "stop", a limit or a filter cut it short,
// or the stream broke off.
type opencodeParser struct {
	account
	reason string // why the last step ended
	step   int    // how many steps ended
	error  opencodeError
	asked  Refusals // the refusals as stderr names them, by the permission itself: the events name only the tool
	begun  bool     // it printed something
	locked lastLine // the last line of stderr that says that it is locked out
}

// opencodeEvent is the part of an event that is read. Fields that an event lacks or has in another type stay zero.
type opencodeEvent struct {
	Type      string        `json:"type"`
	SessionID string        `json:"sessionID"`
	Part      opencodePart  `json:"part"`
	Error     opencodeError `json:"error"`
}

type opencodePart struct {
	Tool   string  `json:"tool"`   // of a tool_use
	Text   string  `json:"text"`   // of a text
	Reason string  `json:"reason"` // of a step_finish, as are Cost and Tokens: per step, not added up
	Cost   float64 `json:"cost"`
	Tokens struct {
		Input     int64 `json:"input"`
		Output    int64 `json:"output"`
		Reasoning int64 `json:"reasoning"`
		Cache     struct {
			Read  int64 `json:"read"`
			Write int64 `json:"write"`
		} `json:"cache"`
	} `json:"tokens"`
	State toolState `json:"state"`
}

// opencodeError has its words in Data in 1.x, in itself in 2.x.
type opencodeError struct {
	Name    string `json:"name"`
	Message string `json:"message"`
	Data    struct {
		Message    string            `json:"message"`
		StatusCode int               `json:"statusCode"`
		Headers    map[string]string `json:"responseHeaders"`
		Body       string            `json:"responseBody"`
	} `json:"data"`
}

// String is never empty: a failure without words is a failure, too.
func (e opencodeError) String() string {
	message := cmp.Or(terminal.Plain(e.Data.Message), terminal.Plain(e.Message), terminal.Plain(e.Name), "the agent reported an error")
	if e.Data.StatusCode > 0 {
		message = fmt.Sprintf("%s (status %d)", message, e.Data.StatusCode)
	}
	return message
}

// reset is when a limit is lifted, by the provider's headers or its words.
func (e opencodeError) reset(now time.Time) time.Time {
	for name, value := range e.Data.Headers {
		switch strings.ToLower(name) {
		case "retry-after-ms":
			if n, err := strconv.ParseFloat(strings.TrimSpace(value), 64); err == nil {
				return later(now, n/1000)
			}
		case "retry-after":
			if at := retryAfter(value, now); !at.IsZero() {
				return at
			}
		}
	}
	return resetTime(e.String()+"\n"+e.Data.Body, now)
}

func (p *opencodeParser) Stdout(line []byte) bool {
	p.begun = p.begun || len(bytes.TrimSpace(line)) > 0
	var e opencodeEvent
	if !decode(line, &e) {
		return false
	}
	p.tells(e.SessionID)
	switch e.Type {
	case "text":
		p.says(e.Part.Text)
	case "tool_use":
		p.toolUse(e.Part.Tool, e.Part.State)
	case "step_finish":
		p.step++
		p.reason = e.Part.Reason
		if p.reason == "stop" {
			p.goesOn()
		}
		p.addCost(e.Part)
	case "error":
		p.fails(e.Error.String(), e.Error.Data.StatusCode)
		p.kind, p.error = cmp.Or(nameIn(e.Error.Data.Body), terminal.Plain(e.Error.Name)), e.Error
		return false
	case "step_start":
	default:
		return false
	}
	p.waiting = waiting{}
	return true // even a step's start is printed with the model's first token
}

// addCost adds up the steps.
func (p *opencodeParser) addCost(part opencodePart) {
	t := part.Tokens
	p.cost.Add(outcome.Cost{USD: part.Cost, Input: t.Input, Output: t.Output, Reasoning: t.Reasoning, CacheRead: t.Cache.Read, CacheWrite: t.Cache.Write})
}

func (p *opencodeParser) Stderr(line []byte) bool {
	if bytes.HasPrefix(line, []byte("timestamp=")) {
		p.log(oneLine(string(line[:min(len(line), MaxLine)]), MaxLine))
		return false
	}
	p.account.Stderr(line)
	if lockedOut(terminal.Plain(string(line[:min(len(line), MaxSummary)]))) {
		p.locked.add(line)
	}
	p.rejecting(line)
	return false
}

var (
	logError   = pattern.Lazy(` error\.error="((?:[^"\\]|\\.)*)"`)
	logSession = pattern.Lazy(` session\.id=(\S+)`)
)

// log reads a line of opencode's log. Such a line belongs into no summary: a failure comes as an event, too. The line reports a
// request that failed. The next try may be hours away, and nothing is printed until then. Lines of other sessions are ignored,
// since no line reports the next try of a subagent.
func (p *opencodeParser) log(line string) {
	found := logError().FindStringSubmatch(line)
	if found == nil || !strings.Contains(line, `message="stream error"`) || strings.Contains(line, " small=true ") {
		return // a small model makes titles, which the run does not need
	}
	if session := logSession().FindStringSubmatch(line); p.conversation != "" && (session == nil || session[1] != p.conversation) {
		return
	}
	_, message, _ := strings.Cut(strings.ReplaceAll(found[1], `\"`, `"`), ": ") // "AI_APICallError: Rate limit reached"
	p.retries(complaint{text: cmp.Or(message, found[1])}, resetTime(message, p.now()))
}

func (p *opencodeParser) Report(exit Exit) Report {
	p.unfinished, p.unbegun = "", ""
	if len(p.asked) > 0 {
		// If only stderr tells of a refusal, no call can make up for it: it is not known which of the two pipes came first.
		if len(p.refusals.named) == 0 {
			p.refusals.refuse("", never, p.asked.Last())
		}
		p.refusals.named = p.asked
	}
	p.unanswered = p.reason == "tool-calls"
	if p.reason != "stop" && !p.unanswered && p.words != "" {
		p.unfinished = fmt.Sprintf("the last step ended with %q instead of \"stop\"", oneLine(p.reason, 40))
	}
	if !p.begun {
		p.unbegun = string(p.locked)
	}
	p.reset = p.error.reset(p.now())
	return p.judge(exit)
}
