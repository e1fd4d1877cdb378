package agent

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"kugetsu/queue/fault"
	"kugetsu/queue/outcome"
)

func TestCommandArgv(t *testing.T) {
	call := Call{
		Worktree: "/w/a b", IssueRef: "github.com/u/r#1", Session: "github.com+u+r@1", MessageFile: "/runs/m",
		Args: "--only-for prompted",
	}
	for _, tt := range []struct {
		name                  string
		command, continueWith string
		resumed               bool
		conversation          string
		want                  []string
	}{
		{"the words of the setting", `my-agent -v 'a b'`, "", false, "", []string{"my-agent", "-v", "a b"}},
		{
			"placeholders are filled in and never split again",
			`a --in={worktree} {issue_ref} {message_file}`, "", false, "",
			[]string{"a", "--in=/w/a b", "github.com/u/r#1", "/runs/m"},
		},
		{"other braces stay", `a {} {other} '{"k":1}'`, "", false, "", []string{"a", "{}", "{other}", `{"k":1}`}},
		{"the session has a name at first", `a {session}`, "", false, "", []string{"a", "github.com+u+r@1"}},
		{"then the agent's own id", `a {session}`, "", true, "c1", []string{"a", "c1"}},
		{"the first run ignores the second command", `a`, `b`, false, "", []string{"a"}},
		{"a later run has its own", `a`, `b --resume {session}`, true, "", []string{"b", "--resume", "github.com+u+r@1"}},
		{"a later run without its own", `a`, ``, true, "", []string{"a"}},
		{"blank is unset", `a`, ` `, true, "", []string{"a"}},
	} {
		c := call
		c.Command, c.ContinueCommand, c.Continue, c.Conversation = tt.command, tt.continueWith, tt.resumed, tt.conversation
		got, err := command.Argv(c)
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
}

func TestPathThatLooksLikeAPlaceholderStaysAPath(t *testing.T) {
	got, err := command.Argv(Call{Command: "a {worktree}", Worktree: "/w/{session}", Session: "s"})
	if want := []string{"a", "/w/{session}"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
}

func TestCommandErrorsNameTheSetting(t *testing.T) {
	for _, tt := range []struct {
		call Call
		want string
	}{
		{Call{}, "AGENT_COMMAND is not set"},
		{Call{Command: " "}, "AGENT_COMMAND is not set"},
		{Call{Command: "''"}, "AGENT_COMMAND is not set"},
		{Call{ContinueCommand: "b"}, "AGENT_COMMAND is not set"},
		{Call{Command: "a 'b"}, "AGENT_COMMAND: the ' at byte 3"},
		{Call{Command: "a", ContinueCommand: "b | c", Continue: true}, "AGENT_CONTINUE_COMMAND: the '|'"},
	} {
		_, err := command.Argv(tt.call)
		if err == nil || !strings.Contains(err.Error(), tt.want) || fault.Code(err) != fault.Config {
			t.Errorf("%+v: %v, want an error of the configuration that says %q", tt.call, err, tt.want)
		}
	}
	if _, err := command.Argv(Call{}); !strings.Contains(fault.HintOf(err), "AGENT_COMMAND=") {
		t.Errorf("no hint how to set it: %q", fault.HintOf(err))
	}
}

func TestCommandIsJudgedByItsExitAlone(t *testing.T) {
	var many []string
	for i := range 30 {
		many = append(many, fmt.Sprint("line ", i), "")
	}
	for _, tt := range []struct {
		name           string
		stdout, stderr string
		exit           Exit
		want           Report
	}{
		{"its last words", "working\n\n\x1b[32mdone\x1b[0m\r\n\n", "", Exit{}, Report{Outcome: outcome.OK, Summary: "working\ndone"}},
		{"nothing said", "", "a warning", Exit{}, Report{Outcome: outcome.OK}},
		{
			"the last twenty lines", strings.Join(many, "\n"), "",
			Exit{},
			Report{Outcome: outcome.OK, Summary: strings.Join(nonBlank(many)[10:], "\n")},
		},
		{
			"the end of a long line", strings.Repeat("月", 1000) + "end", "",
			Exit{},
			Report{Outcome: outcome.OK, Summary: "…" + strings.Repeat("月", 664) + "end"},
		},
		{"a status", "so far", "oops\nno access\n\n", Exit{Code: 3}, Report{Outcome: outcome.Failed, Summary: "exit status 3: no access"}},
		{"a status, said on stdout", "no access\n", "", Exit{Code: 1}, Report{Outcome: outcome.Failed, Summary: "exit status 1: no access"}},
		{"a status without words", "", "", Exit{Code: 1}, Report{Outcome: outcome.Failed, Summary: "exit status 1"}},
		{
			"a signal", "", "",
			Exit{Signal: syscall.SIGKILL},
			Report{Outcome: outcome.Failed, Summary: "killed by signal SIGKILL"},
		},
	} {
		p := command.Parser(time.Now)
		feed(p, tt.stdout, tt.stderr)
		got := p.Report(tt.exit)
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", tt.name, got, tt.want)
		}
		checkReport(t, tt.exit, got)
		if id := p.Conversation(); id != "" {
			t.Errorf("%s: a conversation %q", tt.name, id)
		}
	}
}

func nonBlank(lines []string) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(s string) bool { return s == "" })
}

// feed gives a parser its lines in one buffer that is used again for each, as a reader would.
func feed(p Parser, stdout, stderr string) {
	buffer := make([]byte, 0, max(len(stdout), len(stderr)))
	for line := range strings.Lines(stderr) {
		p.Stderr(append(buffer, line...))
	}
	for line := range strings.Lines(stdout) {
		p.Stdout(append(buffer, line...))
	}
}

func FuzzCommand(f *testing.F) {
	f.Add("out\n", "err\n", 0, 0)
	f.Add("\xff\x1b[", strings.Repeat("\u2028月\r", 900), 1, 9)
	f.Fuzz(func(t *testing.T, stdout, stderr string, code, signal int) {
		p := command.Parser(time.Now)
		feed(p, stdout, stderr)
		exit := Exit{Code: code, Signal: syscall.Signal(signal)}
		checkReport(t, exit, p.Report(exit))
	})
}
