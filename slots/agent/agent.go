// Package agent knows the command lines of coding agents, and judges their output.
//
// A preset is data and one small parser, so that the next agent is one more file and one more line in presets.
// Nothing here starts a process or touches a file. The runner asks a preset for the argv, runs it in the worktree with
// the message on stdin, feeds the agent's output to the parser, and asks the parser for the report at the end.
//
// One rule stands above all the parsers: exit 0 is a claim, not a proof. Agents exit 0 after a refused permission and
// after an empty answer. So the outcome is ok only where the output agrees, and no output turns another exit into ok.
package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"kugetsu/queue/fault"
	"kugetsu/queue/outcome"
	"kugetsu/queue/pattern"
)

// presets are all presets, sorted by name.
var presets = []Preset{claude, codex, command, gemini, opencode}

// Names lists the presets, sorted.
func Names() []string {
	names := make([]string, len(presets))
	for i, p := range presets {
		names[i] = p.Name
	}
	return names
}

// Lookup returns the preset of a name. The error for an unknown name lists the presets (exit code 78).
func Lookup(name string) (Preset, error) {
	i := slices.IndexFunc(presets, func(p Preset) bool { return p.Name == name })
	if i < 0 {
		return Preset{}, fault.New(fault.Config, "", "there is no agent %q, only %s", name, strings.Join(Names(), ", "))
	}
	return presets[i], nil
}

// Preset is kugetsu's knowledge of one agent.
type Preset struct {
	Name     string
	Prompted bool     // it reads the prompt and then the message; otherwise only the message
	Version  []string // the argv that prints the version, for Major; nil where Argv needs no Call.Major

	// SetUp is the argv that makes the program create its own state. It is run once, alone, before the first use; nil
	// where several first starts at once do no harm.
	SetUp []string

	// Accounts are the variables, beside HOME, that choose the account of the program's provider; nil for a program that tells
	// nothing of its account's quota.
	Accounts []string
	// Dollars says that the program tells what a run cost, in US dollars.
	Dollars bool
	// Record is the program's own file of a conversation; nil if the output has all that kugetsu reads.
	Record *Record

	// Model are the names of the flag that chooses the model; nil for a program that has none.
	Model []string
	// Limited are the families of models that have limits of their own, if the program names the family of such a limit in a field;
	// nil for any other program.
	Limited []string
	// Family returns the family that a model's name says; "" if it says none. Family is nil if Limited is nil.
	Family func(model string) string

	// Argv is the command line of a run, the program first. Its errors are faults of the settings (exit code 78).
	Argv func(Call) ([]string, error)
	// Parser makes the parser of one run. The parser needs the time for limits that are given relative to now.
	Parser func(now func() time.Time) Parser
}

// Call is everything that an argv can depend on.
type Call struct {
	Worktree    string // where the agent works: the runner makes it both the cwd and PWD
	IssueRef    string
	Session     string // kugetsu's own name for the issue's session
	Title       string // the title in the agent's list of conversations
	MessageFile string // the file of the message, which the agent also reads on stdin

	Writable     []string // the folders outside of the worktree that its git writes to; none for a plain folder
	Conversation string   // the agent's own id of its conversation; "" begins a new one
	Continue     bool     // this issue's session existed before this run
	Major        int      // the agent's major version; 0: not known, or not needed

	Args                     string // those of the item, AGENT_ARGS_<PRESET>, or AGENT_ARGS; for prompted presets only
	Model                    string // of the item, "" for what Args or the program's own settings say; for prompted presets only
	Command, ContinueCommand string // AGENT_COMMAND and AGENT_CONTINUE_COMMAND, for the preset command
}

// MaxLine bounds a line of output in bytes: no log of a run is longer. Parsers ignore a longer line, so the reader need not
// keep it. A last event may well hold a megabyte: a whole file that a tool read.
const MaxLine = 16 << 20

// Parser reads the output of one run of an agent, a line at a time, with or without the newline. It does not keep a line
// after the call. Only one goroutine at a time may call it.
//
// Stdout and Stderr say whether a line is progress: words or work of the model. The program's own messages are no progress, such
// as a banner or "reconnecting": they go on while nothing is done, and before it is known whether the model answers.
type Parser interface {
	Stdout(line []byte) (progress bool)
	Stderr(line []byte) (progress bool)
	// Waiting says whether the program waits within its process, for a limit to be lifted or for a server that does not
	// answer. The report is that of a run that is ended for that.
	Waiting() (Report, bool)
	// Parked says that the program waits for too long: the runner should end it, and Report will give the reason. The runner asks
	// at intervals and not only after a line: if the program does not say how long it will wait, its silence decides.
	Parked() bool
	// Conversation is the agent's id for this conversation, as soon as it is known, else "".
	Conversation() string
	// Report judges the run. It is called when the agent has ended and all its lines were read.
	Report(Exit) Report
}

// Exit is how the agent's process ended.
type Exit struct {
	Code   int
	Signal syscall.Signal // 0: it exited by itself
}

func (e Exit) ok() bool { return e.Code == 0 && e.Signal == 0 }

// String is the form that users of a shell know: "exit status 1", "killed by signal SIGKILL".
func (e Exit) String() string {
	if e.Signal == 0 {
		return "exit status " + strconv.Itoa(e.Code)
	}
	if name := unix.SignalName(e.Signal); name != "" {
		return "killed by signal " + name
	}
	return fmt.Sprintf("killed by signal %d", int(e.Signal))
}

// because is String with a detail behind it, where there is one.
func (e Exit) because(detail string) string {
	if detail == "" {
		return e.String()
	}
	return e.String() + ": " + detail
}

// Report is the judgement of a run.
type Report struct {
	Outcome outcome.Outcome // OK, Failed, Denied, UsageLimit, Auth, Outage or Void: the runner has more of them, such as Timeout
	Summary string          // the agent's final message, or why the run did not succeed: UTF-8, at most MaxSummary bytes
	Cost    outcome.Cost
	Refused Refusals // the permissions that were refused in the run
	// Gone says that the conversation to go on with does not exist: an agent that was killed may not have stored it, or it was
	// deleted. Another try with it would fail again.
	Gone bool
	// Spent says that the model refuses the conversation, and would do so every time: it is too long, or lacks the result of a
	// tool.
	Spent bool
	// Words are the model's last words in the run, whatever its outcome; "" for none.
	Words string
	// Reset is when a usage limit is lifted; the zero time where that is not known. It is the provider's own claim: it may be
	// long past, or a thousand years ahead.
	Reset time.Time
	// Model is one of the preset's Limited where a usage limit is of that family alone; "" for a limit of the account, or an unknown one.
	Model string
	// Unpaid says that a person can lift a usage limit by paying or by raising a cap, and that no time is known at which it is
	// lifted by itself.
	Unpaid bool
}

// bounded is the report with a summary that is short enough to be stored. A longer one loses its middle: the fault stands at its
// beginning, and the agent's last words, with the URL of its pull request, at its end.
func (r Report) bounded() Report {
	r.Summary = ends(strings.TrimSpace(r.Summary), MaxSummary)
	return r
}

// decode reads an event. A field of another type than expected is no reason to miss the event: Unmarshal fills in the others.
func decode(line []byte, event any) bool {
	if len(line) > MaxLine {
		return false
	}
	var wrongType *json.UnmarshalTypeError
	err := json.Unmarshal(line, event)
	return err == nil || errors.As(err, &wrongType)
}

// conversationID is the form of an id that is accepted. The id comes from an agent's output and goes into an argv, where a leading
// "-" would make it an option.
var conversationID = pattern.Lazy(`^[A-Za-z0-9_][A-Za-z0-9_-]*$`)

func isConversation(id string) bool { return len(id) <= 128 && conversationID().MatchString(id) }

var version = pattern.Lazy(`\bv?([0-9]{1,4})\.[0-9]`)

// Major reads the major version in the first line of the output of an agent's Version: 1 for "1.18.33", 2 for "opencode v2.0.1", 0
// for "codex-cli 0.169.0". found is false if there is no version.
func Major(output string) (major int, found bool) {
	line, _, _ := strings.Cut(strings.TrimSpace(output), "\n")
	m := version().FindStringSubmatch(line)
	if m == nil {
		return 0, false
	}
	major, _ = strconv.Atoi(m[1]) // four digits at most
	return major, true
}
