// Package doctor looks at all that a tick of cron's will depend on, and says what is wrong and what to do about it.
//
// It looks through cron's eyes: whoever calls it has replaced this process's environment by the poor one that cron gives,
// and the programs it runs get the made environment of a run. What was set in the shell alone is known only to tell that
// cron will not have it.
//
// It mends nothing unless it is told to, and then only what cannot lose anything: modes, missing folders and files, a PATH
// in the config, what git remembers of worktrees that are gone. Never a worktree, never an item.
package doctor

import (
	"context"
	"time"

	"kugetsu/queue/issueref"
	"kugetsu/tick"
)

// Level is how bad a finding is.
type Level string

// The levels. Only Error makes doctor fail.
const (
	OK    Level = "ok"
	Warn  Level = "warn"
	Error Level = "error"
	Fixed Level = "fixed" // was a warning or an error, and was mended
)

// Finding is what one look brought.
type Finding struct {
	Level  Level  `json:"level"`
	Check  string `json:"check"`
	What   string `json:"what"`
	Remedy string `json:"remedy"`          // what to do, or, of a mended one, what was done; "" of a good one
	Cause  string `json:"cause,omitempty"` // the check whose finding explains this one

	at       string             // the file or folder that it is about; what fails below it fails for the same reason
	err      error              // what failed, where something did
	lacks    string             // the program that was not found
	explains func(Finding) bool // says which other findings have this one for their cause
	follow   int                // how many do
}

// Schedule says which schedule is installed.
type Schedule func(context.Context) (Installed, error)

// Installed is the schedule that is installed.
type Installed struct {
	Kind    string   // "cron", "" for none
	Overdue bool     // its ticks are
	Program []string // how it runs kugetsu, as arguments; empty where that is not known
	Problem []string // what else is wrong with it
}

// Exam is one examination.
type Exam struct {
	Ctx    context.Context
	Tick   *tick.Tick        // what a tick of cron's would work with
	Shell  map[string]string // the settings and the PATH of the environment that kugetsu was called in
	Issue  issueref.Ref      // whose repository is asked for; the zero Ref for none
	Fix    bool
	Owned  func() error // the error says that the queue belongs to another state folder
	Ticks  Schedule
	Now    func() time.Time
	listed []Finding
	check  string
	env    []string // of git and hooks
	agents []string // the same for dev agents

	scheduler string // what is installed to run the ticks, "" for nothing
}

// checks are all there are, in an order in which what is found first explains what is found later.
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
	{"queue", (*Exam).place},
	{"memory", (*Exam).memory},
	{"clock", (*Exam).clock},
	{"processes", (*Exam).processes},
	{"config", (*Exam).config},
	{"path", (*Exam).path},
	{"shell", (*Exam).shell},
	{"environment", (*Exam).environment},
	{"agents", (*Exam).agentPrograms},
	{"programs", (*Exam).programs},
	{"git", (*Exam).gitProgram},
	{"identity", (*Exam).identity},
	{"remote", (*Exam).remote},
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

// Run makes every check, each on its own: what one cannot find out is its finding, and stops no other.
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

// last is the finding that was added last.
func (x *Exam) last() *Finding { return &x.listed[len(x.listed)-1] }

// unknown is what could not be found out.
func (x *Exam) unknown(err error) {
	x.add(Error, err.Error(), "see to that first, and ask again")
	x.last().err = err
}

// mend adds a finding that may be mended by itself, and does so where that was asked for.
func (x *Exam) mend(level Level, what, remedy string, fix func() error) {
	if !x.Fix {
		x.add(level, what, remedy)
		return
	}
	if err := fix(); err != nil {
		x.add(level, what+"; it could not be mended: "+err.Error(), remedy)
		x.last().err = err
		return
	}
	x.add(Fixed, what, remedy)
}
