package outcome

import (
	"fmt"
	"time"

	"kugetsu/queue/terminal"
)

// Evidence is what a run can show for its outcome. Its texts come from agents and repositories: they are short, and hold no
// control characters.
type Evidence struct {
	Changes *Changes `json:"changes,omitempty"` // nil: not known
	Refused []string `json:"refused,omitempty"` // the permissions that were refused, the newest last, a few at most
	PRURL   string   `json:"pr_url,omitempty"`  // the pull request, as known at the run's end
	Ref     string   `json:"ref,omitempty"`     // where uncommitted work was kept

	Verification *Verification `json:"verification,omitempty"` // nil: no command judged the run
}

// MaxOutput bounds the output of a verification that is kept, in bytes.
const MaxOutput = 8 << 10

// Verification is how the operator's command judged a run whose agent said that all is done.
type Verification struct {
	Command string  `json:"command"`
	By      string  `json:"by"`               // what named the command: the item, repos.json, VERIFY_COMMAND
	Code    int     `json:"exit_code"`        // 128 + number after a signal
	Seconds float64 `json:"seconds"`          // that it ran
	Taken   bool    `json:"taken,omitempty"`  // its program lies in the worktree, and the agent took it away: it did not start
	Why     string  `json:"why,omitempty"`    // why the run is not verified; "" where it is
	Output  string  `json:"output,omitempty"` // the end of what it printed, where the run is not verified: text of what an agent wrote
}

// Took is how long the command ran.
func (v *Verification) Took() time.Duration { return time.Duration(v.Seconds * float64(time.Second)) }

// Verified says whether a command judged the run, and exited with 0.
func (e *Evidence) Verified() bool { return e.Verification != nil && e.Verification.Why == "" }

// Changes is what a run left in its worktree.
type Changes struct {
	From       string   `json:"from,omitempty"`        // the commit that the run began with; "" on a branch without any
	To         string   `json:"to,omitempty"`          // the commit that it ended with
	Commits    int      `json:"commits"`               // made in the run
	Ahead      *int     `json:"ahead,omitempty"`       // commits of the branch that its base lacked at the end, of all runs: what kugetsu list shows as AHEAD; nil: not known
	Subjects   []string `json:"subjects,omitempty"`    // the subjects of the newest of them, the newest first, a few at most
	Diff       *Diff    `json:"diff,omitempty"`        // between all that stood in the worktree at the start and at the end, uncommitted files too; nil: not known
	Dirty      int      `json:"dirty"`                 // files with uncommitted changes
	DirtyFiles []string `json:"dirty_files,omitempty"` // the first few of them
}

// Made says how many commits there are: those of the run, and those of the branch if their number is another.
func (c *Changes) Made() string {
	text := terminal.Count(c.Commits, "commit")
	if c.Ahead != nil && *c.Ahead != c.Commits {
		text += fmt.Sprintf(" (%d on the branch)", *c.Ahead)
	}
	return text
}

// Diff is the size of a change.
type Diff struct {
	Files      int `json:"files"`
	Insertions int `json:"insertions"`
	Deletions  int `json:"deletions"`
}
