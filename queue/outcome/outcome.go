// Package outcome has what agents, runners, items and views share about a run that ended: its outcome and what follows from that,
// what it cost, and what it has to show.
package outcome

// Outcome is how a run ended: the runner classifies, the tick settles.
type Outcome string

// The outcomes.
const (
	OK          Outcome = "ok"           // exit 0 and nothing in the agent's output contradicts it
	Failed      Outcome = "failed"       // non-zero exit, killed, or an error of the model
	Denied      Outcome = "denied"       // exit 0, but a permission was refused, or there was no answer
	StartFailed Outcome = "start_failed" // clone, worktree, hook or exec failed
	Timeout     Outcome = "timeout"      // longer than TASK_TIMEOUT
	Stalled     Outcome = "stalled"      // no output for IDLE_TIMEOUT
	UsageLimit  Outcome = "usage_limit"  // the provider refused for now
	Auth        Outcome = "auth"         // the provider refused the credentials
	Outage      Outcome = "outage"       // the model's server, the remote's host or the way to it is down
	Lost        Outcome = "lost"         // the agent had started, its runner is gone, and no end was recorded
	Void        Outcome = "void"         // no agent began: its runner was killed first, the machine lacked disk or memory, or the agent's own state was locked
	Cancelled   Outcome = "cancelled"    // queue cancel
)
