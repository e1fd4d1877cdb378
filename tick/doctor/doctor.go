// Package doctor checks everything that a tick of cron depends on. Each finding says what is wrong and what to do.
//
// The checks see what cron would see: the caller has replaced this process's environment by the small one of cron, and
// programs run in the environment of a run. Settings of the shell are known only to report that cron does not have them.
//
// Many findings may have one cause, such as a full disk. Such a finding names its cause, and Brief shows the cause alone.
//
// Doctor repairs only on request, and only where nothing can be lost: modes, missing folders and files, a PATH in the config,
// git's records of worktrees that are gone. It never repairs a worktree or an item.
package doctor

import (
	"context"
	"time"

	"kugetsu/queue/issueref"
	"kugetsu/tick"
)

// Level is the severity of a finding.
type Level string

// The levels. Only Error makes doctor fail.
const (
	OK    Level = "ok"
	Warn  Level = "warn"
	Error Level = "error"
	Fixed Level = "fixed" // was a warning or an error, and is repaired
)

// Finding is a result of a check.
type Finding struct {
	Level  Level  `json:"level"`
	Check  string `json:"check"`
	What   string `json:"what"`
	Remedy string `json:"remedy"`          // what to do; with Fixed, what was done; "" with OK
	Cause  string `json:"cause,omitempty"` // the check with the finding that this one follows from

	at       string             // the file or folder of the finding; a failure below it has the same reason
	err      error              // the failure, nil for none
	lacks    string             // the program that was not found
	explains func(Finding) bool // reports whether another finding follows from this one
	follow   int                // how many findings follow
}

// Schedule returns the schedule that is installed.
type Schedule func(context.Context) (Installed, error)

// Installed is the schedule that is installed.
type Installed struct {
	Kind    string   // "cron", "" for none
	Overdue bool     // its ticks are overdue
	Program []string // the command that runs kugetsu, as arguments; empty where it is not known
	Problem []string // its other problems
}

// Exam is one examination.
type Exam struct {
	Ctx    context.Context
	Tick   *tick.Tick        // what a tick of cron would work with
	Shell  map[string]string // the settings and the PATH in the environment of this call
	Issue  issueref.Ref      // the remote of its repository is asked; the zero Ref for none
	Fix    bool
	Owned  func() error // its error says that the queue belongs to another state folder
	Ticks  Schedule
	Now    func() time.Time
	listed []Finding
	check  string
	env    []string // of git and hooks
	agents []string // the same for dev agents

	scheduler string // the kind of the installed schedule, "" for none
}

// checks lists all checks. A cause comes before the findings that follow from it.
var checks = []struct {
	name string
	run  func(*Exam)
}{
	{"folders", (*Exam).folders},
	{"name", (*Exam).names},
	{"modes", (*Exam).modes},
	{"owner", (*Exam).owner},
	{"parents", (*Exam).parents},
	{"files", (*Exam).files},
	{"space", (*Exam).space},
	{"writable", (*Exam).writable},
	{"file system", (*Exam).fileSystem},
	{"queue", (*Exam).location},
	{"memory", (*Exam).memory},
	{"clock", (*Exam).clock},
	{"processes", (*Exam).processes},
	{"config", (*Exam).config},
	{"path", (*Exam).path},
	{"shell", (*Exam).shell},
	{"environment", (*Exam).environment},
	{"agents", (*Exam).agentPrograms},
	{"programs", (*Exam).programs},
	{"verifier", (*Exam).verifiers},
	{"verifier", (*Exam).unverifiable},
	{"exports", (*Exam).exports},
	{"git", (*Exam).gitProgram},
	{"identity", (*Exam).identity},
	{"remote", (*Exam).remote},
	{"forge", (*Exam).shown},
	{"slurm", (*Exam).slurm},
	{"schedule", (*Exam).schedule},
	{"home", (*Exam).home},
	{"pause", (*Exam).pause},
	{"holds", (*Exam).holds},
	{"bad", (*Exam).bad},
	{"slots", (*Exam).slots},
	{"items", (*Exam).items},
	{"sessions", (*Exam).sessions},
	{"worktrees", (*Exam).worktrees},
	{"events", (*Exam).events},
}

// Run makes every check. A check that fails adds its error as a finding and stops no other check.
func (x *Exam) Run() []Finding {
	for _, c := range checks {
		x.check = c.name
		before := len(x.listed)
		c.run(x)
		if x.Ctx.Err() != nil {
			x.add(Error, "interrupted", "")
			break
		}
		if len(x.listed) == before {
			x.add(OK, "", "")
		}
	}
	explain(x.listed)
	return x.listed
}

func (x *Exam) add(level Level, what, remedy string) {
	x.listed = append(x.listed, Finding{Level: level, Check: x.check, What: what, Remedy: remedy})
}

func (x *Exam) ok(what string) { x.add(OK, what, "") }

// last returns the finding that was added last.
func (x *Exam) last() *Finding { return &x.listed[len(x.listed)-1] }

// unknown adds the error of a check that could not be made.
func (x *Exam) unknown(err error) {
	x.add(Error, err.Error(), "solve that first, then ask again")
	x.last().err = err
}

// repair adds a finding that doctor can repair, and repairs it where that was asked for.
func (x *Exam) repair(level Level, what, remedy string, fix func() error) {
	if !x.Fix {
		x.add(level, what, remedy)
		return
	}
	if err := fix(); err != nil {
		x.add(level, what+"; the repair failed: "+err.Error(), remedy)
		x.last().err = err
		return
	}
	x.add(Fixed, what, remedy)
}
