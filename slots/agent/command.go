package agent

import (
	"bytes"
	"cmp"
	"fmt"
	"strings"
	"time"

	"kugetsu/queue/fault"
	"kugetsu/queue/outcome"
	"kugetsu/queue/terminal"
)

// command is any program: AGENT_COMMAND is its command line.
var command = Preset{
	Name:   "command",
	Argv:   commandArgv,
	Parser: func(func() time.Time) Parser { return new(commandParser) },
}

// Placeholders are the words in AGENT_COMMAND that are replaced.
var Placeholders = []string{"{worktree}", "{issue_ref}", "{session}", "{message_file}"}

// commandArgv splits the setting first and fills in the placeholders afterwards, inside each word: a path or an issue never becomes
// two arguments, whatever it holds.
func commandArgv(c Call) ([]string, error) {
	name, line := "AGENT_COMMAND", c.Command
	if c.Continue && strings.TrimSpace(c.ContinueCommand) != "" {
		name, line = "AGENT_CONTINUE_COMMAND", c.ContinueCommand
	}
	argv, err := Split(line)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(argv) == 0 || argv[0] == "" {
		return nil, fault.New(fault.Config, "set it: "+name+"='my-agent --message {message_file}'",
			"%s is not set, so the agent command has nothing to run", name)
	}
	fill := strings.NewReplacer(
		"{worktree}", c.Worktree,
		"{issue_ref}", c.IssueRef,
		"{session}", cmp.Or(c.Conversation, c.Session),
		"{message_file}", c.MessageFile,
	)
	for i, word := range argv {
		argv[i] = fill.Replace(word)
	}
	return argv, nil
}

// commandLines is how many lines of stdout make the summary: programs report their result in their last lines.
const commandLines = 20

// tempFail is EX_TEMPFAIL of sysexits.h. A program exits with it to say that it met a passing limit.
const tempFail = 75

// commandParser knows nothing of the program: only the exit status counts, and no output is known to be progress.
type commandParser struct {
	stdout []string // the last lines that are not blank
	stderr lastLine
}

func (p *commandParser) Stdout(line []byte) bool {
	line = bytes.TrimSpace(line)
	if len(line) == 0 {
		return false
	}
	if len(p.stdout) == commandLines {
		p.stdout = p.stdout[1:]
	}
	p.stdout = append(p.stdout, string(line[max(0, len(line)-MaxSummary):]))
	return false
}

func (p *commandParser) Stderr(line []byte) bool {
	p.stderr.add(line)
	return false
}

func (p *commandParser) Parked() bool { return false }

func (p *commandParser) Waiting() (Report, bool) { return Report{}, false }

func (p *commandParser) Conversation() string { return "" }

func (p *commandParser) Report(exit Exit) Report {
	if exit.ok() {
		return Report{Outcome: outcome.OK, Summary: terminal.Tail(terminal.Plain(strings.Join(p.stdout, "\n")), MaxSummary)}
	}
	last := p.stderr
	if last == "" && len(p.stdout) > 0 { // many programs say why on stdout only
		last.add([]byte(p.stdout[len(p.stdout)-1]))
	}
	r := Report{Outcome: outcome.Failed, Summary: terminal.Clip(exit.because(string(last)), MaxSummary)}
	if exit.Signal == 0 && exit.Code == tempFail {
		r.Outcome = outcome.UsageLimit
	}
	return r
}
