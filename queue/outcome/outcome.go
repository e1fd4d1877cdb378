// Package outcome has what agents, runners, items and views share about a run that ended: its outcome and what follows from that,
// what it cost, and what it has to show.
package outcome

// Outcome is how a run ended: the runner classifies, the tick settles.
type Outcome string

// The outcomes.
const (
	OK           Outcome = "ok"           // exit 0 and nothing in the agent's output contradicts it
	Failed       Outcome = "failed"       // non-zero exit, killed, or an error of the model
	Unverified   Outcome = "unverified"   // the agent said ok, and the command that verifies the run did not
	StartFailed  Outcome = "start_failed" // clone, worktree, hook or exec failed
	Denied       Outcome = "denied"       // exit 0, but a permission was refused, or there was no answer
	Timeout      Outcome = "timeout"      // longer than TASK_TIMEOUT
	Stalled      Outcome = "stalled"      // no output for IDLE_TIMEOUT
	Outgrown     Outcome = "outgrown"     // more memory than MAX_AGENT_MEMORY
	Lost         Outcome = "lost"         // the agent had started, its runner is gone, and no end was recorded
	Auth         Outcome = "auth"         // the provider refused the credentials
	UsageLimit   Outcome = "usage_limit"  // the provider refused for now
	Outage       Outcome = "outage"       // the model's server, the remote's host or the way to it is down
	Void         Outcome = "void"         // no agent began: its runner was killed first, the machine lacked disk or memory, or the agent's own state was locked
	Unverifiable Outcome = "unverifiable" // the command that verifies the run cannot be started
	Cancelled    Outcome = "cancelled"    // queue cancel
)

// Then is what follows for the item.
type Then int

const (
	Completes Then = iota + 1 // the item is completed
	Fails                     // the item is an error: another run would end in the same way, or a person asked for the end
	Retries                   // the item is pending again; an error once its attempts are used up, or where the fault is permanent
	Holds                     // the item is pending again, and its agent, or the remote's host, is on hold
)

// Began says whether an agent began in a run.
type Began int

const (
	Always  Began = iota // whatever the run's report says, also where there is none
	Perhaps              // the report says it
	Never                // no agent that did any work
)

// The marks of runs: how the page draws them, each with a pattern of its own.
const (
	Done    = "completed"
	Broken  = "failed"
	Cut     = "ended"
	Refused = "refused"
	Limited = "limited"
	Idle    = "void"
)

// Row is what follows from an outcome.
type Row struct {
	Outcome  Outcome
	Counts   bool // as an attempt of the item. package queue has the exceptions. Only outcomes that count say how well tasks and agents do
	Then     Then
	Began    Began
	Answered bool   // the model answered: an agent on hold is let in again
	Told     string // what the item's next agent is told of the run, behind "The run before this one"; "" for nothing
	Mark     string // Done to Idle
	// The need of an item that ended in an error with this outcome: its kind, its words behind one item's issue and behind a number
	// of items, and the command to type. In the command %s is the item's id, but for StartFailed its issue. "" if it needs no
	// person.
	Need, One, Many, Command string
}

// Rows are all outcomes, those that need a person most urgently first. A new outcome is a constant and a row, and a line of
// contrib/doc/outcomes.md.
var Rows = []Row{
	{Outcome: OK, Counts: true, Then: Completes, Answered: true, Mark: Done},
	{Outcome: Failed, Counts: true, Then: Retries, Answered: true, Told: "did not succeed", Mark: Broken,
		Need: "failed", One: "failed", Many: "tasks failed", Command: "show %s"},
	{Outcome: Unverified, Counts: true, Then: Retries, Answered: true, Told: "was not accepted", Mark: Broken,
		Need: "unverified", One: "was not verified", Many: "tasks were not verified", Command: "show %s"},
	{Outcome: StartFailed, Counts: true, Then: Retries, Began: Never, Mark: Broken,
		Need: "start_failed", One: "could not be started", Many: "tasks could not be started", Command: "doctor %s"},
	{Outcome: Denied, Counts: true, Then: Fails, Answered: true, Mark: Refused,
		Need: "denied", One: "was denied a permission", Many: "tasks were denied a permission", Command: "show %s"},
	{Outcome: Timeout, Counts: true, Then: Fails, Told: "was ended", Mark: Cut,
		Need: "timeout", One: "timed out", Many: "tasks timed out", Command: "retry %s"},
	{Outcome: Stalled, Counts: true, Then: Fails, Told: "was ended", Mark: Cut,
		Need: "stalled", One: "stalled", Many: "tasks stalled", Command: "retry %s"},
	{Outcome: Outgrown, Counts: true, Then: Fails, Told: "was ended", Mark: Cut,
		Need: "outgrown", One: "took too much memory", Many: "tasks took too much memory", Command: "show %s"},
	{Outcome: Lost, Counts: true, Then: Retries, Told: "was cut off", Mark: Broken,
		Need: "lost", One: "was lost", Many: "tasks were lost", Command: "retry %s"},
	{Outcome: Auth, Then: Holds, Told: "was cut off: its credentials were refused", Mark: Refused,
		Need: "refused", One: "was refused its credentials", Many: "tasks were refused their credentials", Command: "show %s"},
	{Outcome: UsageLimit, Then: Holds, Told: "was cut off by a usage limit", Mark: Limited,
		Need: "usage_limit", One: "met a usage limit", Many: "tasks met a usage limit", Command: "retry %s"},
	{Outcome: Outage, Then: Holds, Began: Perhaps, Told: "was cut off: the model's server did not answer", Mark: Limited,
		Need: "outage", One: "met a server that is down", Many: "tasks met a server that is down", Command: "retry %s"},
	{Outcome: Void, Then: Retries, Began: Never, Mark: Idle, Need: "failed", One: "failed", Many: "tasks failed", Command: "show %s"},
	{Outcome: Unverifiable, Then: Retries, Began: Perhaps, Told: "could not be verified", Mark: Idle},
	{Outcome: Cancelled, Then: Fails, Began: Perhaps, Mark: Idle},
}

// Row is the row of o. An outcome of a newer kugetsu counts and is retried, as a failure is; false says that it is not known.
func (o Outcome) Row() (Row, bool) {
	for _, r := range Rows {
		if r.Outcome == o {
			return r, true
		}
	}
	return Row{Outcome: o, Counts: true, Then: Retries, Mark: Idle}, false
}

// Holds says whether o puts the item's agent, or the remote's host, on hold.
func (o Outcome) Holds() bool {
	r, _ := o.Row()
	return r.Then == Holds
}
