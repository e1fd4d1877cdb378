package agent

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"kugetsu/queue/fault"
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
func opencodeArgv(c Call) ([]string, error) {
	if c.Conversation != "" && !isConversation(c.Conversation) {
		return nil, fault.New(fault.Config, "", "%q is no id of an opencode conversation", c.Conversation)
	}
	args, err := Split(c.Args)
	if err != nil {
		return nil, fmt.Errorf("AGENT_ARGS: %w", err)
	}
	argv := []string{"opencode", "run"}
	if c.Major >= 2 {
		argv = append(argv, "--standalone")
	}
	argv = append(argv, "--format", "json", "--title", c.Title, "--auto")
	if c.Major < 2 {
		argv = append(argv, "--dir", c.Worktree)
	}
	argv = append(argv, args...)
	if c.Conversation != "" {
		// Never --continue: where there is no conversation to continue, it begins one and says nothing.
		argv = append(argv, "-s", c.Conversation)
	}
	return argv, nil
}

// opencodeParser judges a run by its events (--format json), one JSON object a line.
//
// The first of these that applies is the outcome:
//
//	a signal, or a non-zero exit                       failed
//	an error event, and no step ended well after it    failed; 2.x goes on after some errors, and exits 0
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
	refusal      refusal
	stderr       lastLine
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
		Message    string `json:"message"`
		StatusCode int    `json:"statusCode"`
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
	if len(line) > MaxLine {
		return false
	}
	var e opencodeEvent
	var wrongType *json.UnmarshalTypeError
	// A field in another type than ours is no reason to miss the event: Unmarshal fills in the others.
	if err := json.Unmarshal(line, &e); err != nil && !errors.As(err, &wrongType) {
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
		p.failure = e.Error.String()
		return false
	default:
		return e.Type == "step_start"
	}
	return true // even a step's start is printed with the model's first token
}

// addCost adds up what makes sense: the sums must stay finite and never shrink, whatever is printed.
func (p *opencodeParser) addCost(part opencodePart) {
	if sum := p.cost.USD + part.Cost; part.Cost > 0 && !math.IsInf(sum, 0) {
		p.cost.USD = sum
	}
	add := func(sum *int64, n int64) {
		if n > 0 && *sum <= math.MaxInt64-n {
			*sum += n
		}
	}
	add(&p.cost.Input, part.Tokens.Input)
	add(&p.cost.Output, part.Tokens.Output)
	add(&p.cost.Reasoning, part.Tokens.Reasoning)
	add(&p.cost.CacheRead, part.Tokens.Cache.Read)
	add(&p.cost.CacheWrite, part.Tokens.Cache.Write)
}

func (p *opencodeParser) Stderr(line []byte) bool {
	p.stderr.add(line)
	p.refusal.stderr(line)
	return false
}

func (p *opencodeParser) Parked() bool { return false }

func (p *opencodeParser) Conversation() string { return p.conversation }

func (p *opencodeParser) Report(exit Exit) Report {
	r := Report{Outcome: Failed, Cost: p.cost, Permission: p.refusal.permission()}
	answer := clean(p.text)
	switch {
	case exit.Signal == 0 && p.failure != "":
		r.Summary = p.failure // it says more than the exit status
	case !exit.ok():
		r.Summary = exit.because(cmp.Or(p.failure, string(p.stderr)))
	case p.refusal.stands():
		r.Outcome, r.Summary = Denied, "permission refused: "+r.Permission+"\n"+answer
	case answer == "" || p.reason == "tool-calls":
		r.Outcome, r.Summary = Denied, "ended without an answer\n"+answer
	case p.reason != "stop":
		r.Summary = fmt.Sprintf("the last step ended with %q instead of \"stop\"\n%s", oneLine(p.reason, 40), answer)
	default:
		r.Outcome, r.Summary = OK, answer
	}
	r.Summary = head(strings.TrimSpace(r.Summary), MaxSummary)
	return r
}
