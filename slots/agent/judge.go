package agent

import (
	"cmp"
	"strings"
	"time"

	"kugetsu/queue/outcome"
	"kugetsu/queue/terminal"
)

// account is a run's account of itself. A parser fills it in from the events of its program. They are judged here, in the same way
// for all programs.
type account struct {
	now          func() time.Time
	silence      time.Duration // how long the program may be silent after it met a limit, before it counts as parked
	conversation string
	words        string // the model's last words that were not blank
	waiting      waiting
	failure      string    // the program's last message of its own failure; "" where the run went on after that
	kind         string    // the program's name for the failure, beside its words
	status       int       // the HTTP status of the failure; 0: not known
	hearsay      bool      // the failure's words may be those of another program
	reset        time.Time // when a limit is lifted, where the program gave that apart from the failure's words
	model        string    // the family of models that a limit is of, where the program gave that; see Preset.Limited
	unfinished   string    // why the output is not that of a whole run; "" where it is
	unanswered   bool      // the run ended with the call of a tool: the words before that call are no answer
	unbegun      string    // why the program gave up before it began, for a passing reason; "" where it did not
	refusals     refusals
	cost         outcome.Cost
	stderr       lastLine
}

// tells notes the id of the conversation. The first one stays.
func (a *account) tells(id string) {
	if a.conversation == "" && isConversation(id) {
		a.conversation = id
	}
}

// says notes words of the model. Blank words do not count: an event without words does not take back the words before it.
func (a *account) says(text string) {
	if strings.TrimSpace(text) != "" {
		a.words = text
	}
}

// fails notes the program's message of its own failure.
func (a *account) fails(text string, status int) {
	a.failure, a.status, a.hearsay, a.waiting = cmp.Or(text, "the agent reported an error"), status, false, waiting{}
}

// goesOn notes that the run went on after a failure.
func (a *account) goesOn() {
	a.failure, a.kind, a.status, a.hearsay, a.waiting = "", "", 0, false, waiting{}
}

// retries notes that the program will try again, why, and when, as far as it gave them.
func (a *account) retries(why complaint, at time.Time) { a.waiting.begin(why, at, a.now()) }

// Conversation is the agent's id for this conversation.
func (a *account) Conversation() string { return a.conversation }

// Parked says that the program waits for too long.
func (a *account) Parked() bool { return a.waiting.parked(a.now(), a.silence) }

// Stderr keeps the last line: it has the reason where the events have none.
func (a *account) Stderr(line []byte) bool {
	a.stderr.add(line)
	return false
}

// Waiting says whether the program waits within its process, and why.
func (a *account) Waiting() (Report, bool) {
	r := a.waiting.report()
	return r.bounded(), a.waiting.met != ""
}

// judge makes the report of a run. The first of these that applies is the outcome:
//
//	it waits for too long                               usage_limit or outage
//	a failure after which it did not go on              what the failure means: see verdict
//	a signal                                            failed
//	a non-zero exit before it began, which may pass     void
//	any other non-zero exit                             what its last line on stderr means; else failed
//	a permission was refused, and not made up for       denied
//	what it printed is not that of a whole run          failed
//	no words at all, or a call of a tool as its end     denied; it ended without an answer
//	otherwise                                           ok, and its last words are the answer
func (a *account) judge(exit Exit) Report {
	words := terminal.Plain(a.words)
	r := Report{Outcome: outcome.Failed, Refused: a.refusals.named, Cost: a.cost, Words: ends(words, MaxSummary), Model: a.model}
	switch {
	case a.Parked():
		w := a.waiting.report()
		r.Outcome, r.Summary, r.Reset, r.Unpaid = w.Outcome, w.Summary, w.Reset, w.Unpaid
	case a.failure != "" && exit.Signal == 0:
		r.Summary = a.failure // the message says more than the exit status
		a.blame(&r, complaint{a.status, a.kind, a.failure, a.hearsay})
	case !exit.ok():
		r.Summary = exit.because(cmp.Or(a.failure, string(a.stderr)))
		switch {
		case exit.Signal != 0:
		case a.unbegun != "":
			r.Outcome, r.Summary = outcome.Void, exit.because(a.unbegun)
		default: // stderr has the words of the program, and of all that it starts
			a.blame(&r, complaint{a.status, a.kind, string(a.stderr), true})
		}
	case a.refusals.standing() != "":
		r.Outcome, r.Summary = outcome.Denied, "permission refused: "+a.refusals.standing()
	case a.unfinished != "":
		r.Summary = a.unfinished
	case words == "" || a.unanswered:
		r.Outcome, r.Summary = outcome.Denied, "ended without an answer"
	default:
		r.Outcome, r.Summary = outcome.OK, words
	}
	return r.bounded()
}

// blame gives a failed run the outcome that follows from its failure.
func (a *account) blame(r *Report, c complaint) {
	r.Outcome, r.Spent, r.Gone = verdict(c), c.isSpent(), goneWords().MatchString(r.Summary)
	if r.Outcome != outcome.UsageLimit {
		return
	}
	// The time that the program gave apart from its words is the more precise one, but may be that of an earlier try.
	now := a.now()
	if r.Reset = a.reset; !r.Reset.After(now) {
		if at := resetTime(r.Summary, now); !at.IsZero() {
			r.Reset = at
		}
	}
	r.Unpaid = !r.Reset.After(now) && c.isPaidFor()
}
