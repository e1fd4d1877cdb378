package agent

import (
	"bytes"
	"cmp"
	"fmt"
	"strings"
	"time"
)

// opencode is https://opencode.ai, 1.x as measured with 1.18.33 and 2.x as its sources say.
var opencode = Preset{
	Name:     "opencode",
	Prompted: true,
	Version:  []string{"opencode", "--version"},
	SetUp:    []string{"opencode", "db", "path"}, // creates the database, on which first starts at once trip each other up
	Argv:     opencodeArgv,
	Parser:   func(now func() time.Time) Parser { return &opencodeParser{now: now} },
}

// opencodeArgv: --auto approves whatever the user's configuration does not deny; without it every question ends the
// run. 1.x believes PWD more than its cwd and --dir more than both. 2.x has no --dir, and without --standalone the work
// would be done by a server shared by all runs of the user, which no slot and no timeout bounds.
//
// The log is the only place where 1.x tells of a limit for which it waits, at the level ERROR already.
func opencodeArgv(c Call) ([]string, error) {
	args, err := prompted("opencode", c)
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
		// Never --continue: where there is no conversation to continue, it begins one and says nothing.
		argv = append(argv, "-s", c.Conversation)
	}
	return argv, nil
}

// lockedOut says whether a line of stderr is of an opencode that could not use its database. All opencodes of a user share
// one: 1.18.33 gives up at once where another has it as it is opened, since it asks for patience (PRAGMA busy_timeout) only
// after that, and after five seconds where another writes. In a conversation that has begun, the same comes as an event.
func lockedOut(line string) bool {
	return line == "database is locked" || strings.HasPrefix(line, "Failed query: ")
}

// opencodeParser judges a run by its events (--format json), one JSON object a line.
//
// The first of these that applies is the outcome:
//
//	it waits for a limit for too long                  usage_limit
//	a signal, or a non-zero exit                       what its error event means, else failed; void where it printed
//	                                                   nothing and another had its database
//	an error event, and no step ended well after it    likewise; 2.x goes on after some errors, and exits 0
//	a refused permission, not made up for              denied; see refusal
//	no text at all, or the last step was a tool call   denied; it ended without an answer
//	the last step's reason is not "stop"               failed; cut short by a limit or a filter, or the stream broke off
//	otherwise                                          ok
type opencodeParser struct {
	now          func() time.Time
	conversation string
	text         string // the last text that was not blank
	reason       string // why the last step ended
	step         int    // how many steps ended
	failure      string // what the last error event said
	failed       opencodeError
	waiting      waiting
	refusal      refusal
	begun        bool // it printed something
	stderr       lastLine
	locked       lastLine // of stderr, what says that it is locked out
	cost         Cost
}

// opencodeEvent is what we read of an event. Fields that an event lacks or has in another type stay zero.
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

// String is never empty: a failure without words is one, too.
func (e opencodeError) String() string {
	message := cmp.Or(clean(e.Data.Message), clean(e.Message), clean(e.Name), "the agent reported an error")
	if e.Data.StatusCode > 0 {
		message = fmt.Sprintf("%s (status %d)", message, e.Data.StatusCode)
	}
	return message
}

func (p *opencodeParser) Stdout(line []byte) bool {
	p.begun = p.begun || len(bytes.TrimSpace(line)) > 0
	var e opencodeEvent
	if !decode(line, &e) {
		return false
	}
	if p.conversation == "" && isConversation(e.SessionID) {
		p.conversation = e.SessionID
	}
	switch e.Type {
	case "text":
		if strings.TrimSpace(e.Part.Text) != "" {
			p.text = e.Part.Text
		}
	case "tool_use":
		p.refusal.toolUse(p.step, e.Part.Tool, e.Part.State)
	case "step_finish":
		p.step++
		p.reason = e.Part.Reason
		if p.reason == "stop" {
			p.failure = ""
		}
		p.addCost(e.Part)
	case "error":
		p.failure, p.failed = e.Error.String(), e.Error
		p.waiting = waiting{}
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
	p.cost.add(Cost{USD: part.Cost, Input: t.Input, Output: t.Output, Reasoning: t.Reasoning, CacheRead: t.Cache.Read, CacheWrite: t.Cache.Write})
}

func (p *opencodeParser) Stderr(line []byte) bool {
	if bytes.HasPrefix(line, []byte("timestamp=")) {
		p.log(oneLine(string(line[:min(len(line), MaxLine)]), MaxLine))
		return false
	}
	p.stderr.add(line)
	if lockedOut(clean(string(line[:min(len(line), MaxSummary)]))) {
		p.locked.add(line)
	}
	p.refusal.stderr(line)
	return false
}

var (
	logError   = lazy(` error\.error="((?:[^"\\]|\\.)*)"`)
	logSession = lazy(` session\.id=(\S+)`)
)

// log reads a line of opencode's log, which belongs into no summary: what it tells of a failure comes as an event, too.
// It tells of a request that failed; the next try may be hours away, and nothing is printed until then. What the log
// tells of another session is none of this run's progress: a subagent's next try is told by nothing.
func (p *opencodeParser) log(line string) {
	found := logError().FindStringSubmatch(line)
	if found == nil || !strings.Contains(line, `message="stream error"`) || strings.Contains(line, " small=true ") {
		return // a small model makes titles; nobody waits for them
	}
	if session := logSession().FindStringSubmatch(line); p.conversation != "" && (session == nil || session[1] != p.conversation) {
		return
	}
	_, message, _ := strings.Cut(strings.ReplaceAll(found[1], `\"`, `"`), ": ") // "AI_APICallError: Rate limit reached"
	now := p.now()
	p.waiting.begin(0, cmp.Or(message, found[1]), resetTime(message, now), now)
}

func (p *opencodeParser) Parked() bool { return p.waiting.parked(p.now(), parkFrom) }

// blame gives the outcome of an error event.
func (p *opencodeParser) blame(r *Report) {
	d := p.failed.Data
	if r.Outcome = verdict(d.StatusCode, p.failed.Name+" "+p.failure); r.Outcome != UsageLimit {
		return
	}
	for name, value := range d.Headers {
		if strings.EqualFold(name, "retry-after") {
			r.Reset = retryAfter(value, p.now())
		}
	}
	if r.Reset.IsZero() {
		r.Reset = resetTime(p.failure+"\n"+d.Body, p.now())
	}
}

func (p *opencodeParser) Conversation() string { return p.conversation }

func (p *opencodeParser) Report(exit Exit) Report {
	r := Report{Outcome: Failed, Cost: p.cost, Refused: p.refusal.permissions()}
	answer := clean(p.text)
	switch {
	case p.Parked():
		p.waiting.report(&r)
	case exit.Signal == 0 && p.failure != "":
		r.Summary = p.failure // it says more than the exit status
		p.blame(&r)
	case !exit.ok():
		r.Summary = exit.because(cmp.Or(p.failure, string(p.stderr)))
		if exit.Signal == 0 && !p.begun && p.locked != "" {
			r.Outcome, r.Summary = Void, exit.because(string(p.locked))
		}
		r.Gone = exit.Signal == 0 && goneWords().MatchString(r.Summary)
	case p.refusal.stands():
		r.Outcome, r.Summary = Denied, "permission refused: "+r.Refused.Last()+"\n"+answer
	case answer == "" || p.reason == "tool-calls":
		r.Outcome, r.Summary = Denied, "ended without an answer\n"+answer
	case p.reason != "stop":
		r.Summary = fmt.Sprintf("the last step ended with %q instead of \"stop\"\n%s", oneLine(p.reason, 40), answer)
	default:
		r.Outcome, r.Summary = OK, answer
	}
	return r.bounded()
}
