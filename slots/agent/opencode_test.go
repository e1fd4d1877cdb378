package agent

import (
	"math"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"kugetsu/queue/fault"
	"kugetsu/queue/outcome"
)

func TestOpencodeArgv(t *testing.T) {
	base := Call{
		Worktree: "/w/r", Title: "kugetsu r#1", IssueRef: "h/u/r#1", Session: "h+u+r@1", MessageFile: "/m",
		Command: "not for", ContinueCommand: "opencode",
	}
	v1 := []string{"opencode", "run", "--format", "json", "--title", "kugetsu r#1", "--auto", "--dir", "/w/r", "--print-logs", "--log-level", "ERROR"}
	v2 := []string{"opencode", "run", "--standalone", "--format", "json", "--title", "kugetsu r#1", "--auto"}
	with := func(argv []string, more ...string) []string { return append(slices.Clone(argv), more...) }
	for _, tt := range []struct {
		name         string
		major        int
		args         string
		conversation string
		resumed      bool
		want         []string
	}{
		{"a new conversation", 1, "", "", false, v1},
		{"an unknown version is taken for 1.x", 0, "", "", false, v1},
		{"2.x", 2, "", "", false, v2},
		{"what comes after 2.x", 3, "", "", false, v2},
		{"the user's arguments", 1, "-m 'stub/a b'", "", false, with(v1, "-m", "stub/a b")},
		{"the user's arguments in 2.x", 2, "-m stub/ok", "", false, with(v2, "-m", "stub/ok")},
		{"its conversation goes on", 1, "-m stub/ok", "ses_1", true, with(v1, "-m", "stub/ok", "-s", "ses_1")},
		{"its conversation goes on in 2.x", 2, "", "ses_1", true, with(v2, "-s", "ses_1")},
		{"a session that never got a conversation", 1, "", "", true, v1},
		{"placeholders are for the preset command", 1, "{worktree}", "", false, with(v1, "{worktree}")},
	} {
		c := base
		c.Major, c.Args, c.Conversation, c.Continue = tt.major, tt.args, tt.conversation, tt.resumed
		got, err := opencode.Argv(c)
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%s:\n got %q, %v\nwant %q", tt.name, got, err, tt.want)
		}
	}
}

func TestOpencodeArgvRefusesWhatWouldNotReachTheAgentAsMeant(t *testing.T) {
	for _, tt := range []struct {
		call Call
		want string
	}{
		{Call{Args: "-m 'x"}, "AGENT_ARGS of opencode: the ' at byte 4"},
		{Call{Args: "-m $MODEL"}, "AGENT_ARGS of opencode: the '$'"},
		{Call{Conversation: "--share"}, `"--share" is not the id`},
		{Call{Conversation: "a b"}, `"a b" is not the id`},
		{Call{Conversation: strings.Repeat("a", 129)}, "is not the id"},
	} {
		_, err := opencode.Argv(tt.call)
		if err == nil || !strings.Contains(err.Error(), tt.want) || fault.Code(err) != fault.Config {
			t.Errorf("%+v: %v, want an error of the configuration that says %q", tt.call, err, tt.want)
		}
	}
}

// stream reads what opencode 1.18.33 printed in a run.
func stream(t testing.TB, name string) (stdout, stderr string) {
	t.Helper()
	return printed(t, "opencode", name)
}

// failedQuery is the beginning of what a summary tells of a failed query, at most MaxSummary/2 bytes.
const failedQuery = `Failed query: insert into "project" ("id", "worktree", "vcs", "name", "icon_url", "icon_url_override", ` +
	`"icon_color", "time_created", "time_updated", "time_initialized", "sandboxes", "commands") values (?, ?, ?, null, null, ` +
	`null, null, ?, ?, null, ?, null) on conflict ("project"."id") do update set "worktree" = ?, "vcs" = ?, "time_updated" = ?, "sandboxes" = ?`

// captured are real runs: what was asked of the agent, and how the run is to be judged.
var captured = []struct {
	name, stream string
	code         int
	outcome      outcome.Outcome
	summary      string
	permission   string
}{
	{"two tools and an answer", "good", 0, outcome.OK, "I wrote hello.txt.", ""},
	{"a conversation that went on", "continued", 0, outcome.OK, "Nothing more to do.", ""},
	{"the answer came before the last tool", "empty_end", 0, outcome.OK, "All done, I wrote it.", ""},
	{
		"refused without --auto", "refused", 0, outcome.Denied,
		"permission refused: external_directory /srv/*", "external_directory /srv/*",
	},
	{
		"refused without --auto in a subagent, and a polite end", "refused_subagent", 0, outcome.Denied,
		"permission refused: external_directory /srv/*\nI asked a helper.", "external_directory /srv/*",
	},
	{
		"denied by a rule, and a polite end", "rule_gave_up", 0, outcome.Denied,
		"permission refused: external_directory /srv/outside.txt\nI could not write it.", "external_directory /srv/outside.txt",
	},
	{
		"denied a command by a rule", "rule_bash", 0, outcome.Denied,
		"permission refused: bash git push origin HEAD\nI was not allowed to push.", "bash git push origin HEAD",
	},
	{
		"denied by a rule, then looked around", "rule_looked", 0, outcome.Denied,
		"permission refused: external_directory /srv/outside.txt\nI could not write it.", "external_directory /srv/outside.txt",
	},
	{
		"denied by a rule, then a command failed", "rule_failed_after", 0, outcome.Denied,
		"permission refused: external_directory /srv/outside.txt\nI could not write it.", "external_directory /srv/outside.txt",
	},
	{
		"denied by a rule, then a tool that does not exist", "rule_no_tool", 0, outcome.Denied,
		"permission refused: external_directory /srv/outside.txt\nI could not write it.", "external_directory /srv/outside.txt",
	},
	{
		"denied by a rule while another call of the same step went well", "rule_parallel", 0, outcome.Denied,
		"permission refused: external_directory /srv/outside.txt\nHalf of it is done.", "external_directory /srv/outside.txt",
	},
	{
		"denied by a rule, then another way was found", "rule_worked", 0, outcome.OK,
		"I wrote it inside instead.", "external_directory /srv/outside.txt",
	},
	{"an empty answer", "empty", 0, outcome.Denied, "ended without an answer", ""},
	{"cut off by the output limit", "length", 0, outcome.Failed, "the last step ended with \"length\" instead of \"stop\"\nhalf an ans", ""},
	{"a bad request", "error_400", 1, outcome.Failed, "scripted 400 (status 400)", ""},
	{"bad credentials", "error_401", 1, outcome.Auth, "scripted 401 (status 401)", ""},
	{"an error in the middle", "error_late", 1, outcome.Failed, "scripted 400 (status 400)", ""},
	{"no server", "outage", 1, outcome.Outage, "Cannot connect to API: Unable to connect. Is the computer able to access the url?", ""},
	{"a server that is down", "error_503", 1, outcome.Outage, "stub: scripted HTTP 503 (status 503)", ""},
	{"a database that another has", "locked", 1, outcome.Void, "exit status 1: database is locked", ""},
	{"a database that another writes to", "locked_later", 1, outcome.Void, "exit status 1: " + failedQuery, ""},
	{"a conversation that does not exist", "unknown_session", 1, outcome.Failed, "exit status 1: Error: Session not found", ""},
}

func TestOpencodeRunsAreJudgedByTheirEvents(t *testing.T) {
	for _, tt := range captured {
		t.Run(tt.name, func(t *testing.T) {
			p := opencode.Parser(time.Now)
			out, errOut := stream(t, tt.stream)
			feed(p, out, errOut)
			exit := Exit{Code: tt.code}
			got := p.Report(exit)
			checkReport(t, exit, got)
			if got.Gone != (tt.stream == "unknown_session") {
				t.Errorf("gone %t", got.Gone)
			}
			if got.Outcome != tt.outcome || !tells(got, tt.summary) || got.Refused.Last() != tt.permission {
				t.Errorf("\n got %s %q %q\nwant %s %q %q", got.Outcome, got.Summary+"\n"+got.Words, got.Refused.Last(), tt.outcome, tt.summary, tt.permission)
			}
		})
	}
}

func TestBadExitStaysBadWhateverTheStream(t *testing.T) {
	for _, tt := range captured {
		for _, exit := range []Exit{{Code: 1}, {Code: 130}, {Signal: syscall.SIGTERM}} {
			p := opencode.Parser(time.Now)
			out, errOut := stream(t, tt.stream)
			feed(p, out, errOut)
			got := p.Report(exit)
			checkReport(t, exit, got)
			if exit.Signal != 0 && !strings.HasPrefix(got.Summary, "killed by signal SIGTERM") {
				t.Errorf("%s: %q does not name the signal", tt.name, got.Summary)
			}
		}
	}
}

func TestStreamThatBreaksOffIsNoSuccess(t *testing.T) {
	for _, name := range []string{"good", "continued", "empty_end", "rule_worked"} {
		out, _ := stream(t, name)
		lines := slices.Collect(strings.Lines(out))
		p := opencode.Parser(time.Now)
		for i, line := range lines {
			if got := p.Report(Exit{}); got.Outcome == outcome.OK {
				t.Errorf("%s: ok after %d of %d lines: %q", name, i, len(lines), got.Summary)
			}
			p.Stdout([]byte(line))
		}
		if got := p.Report(Exit{}); got.Outcome != outcome.OK {
			t.Errorf("%s: %s at the end: %q", name, got.Outcome, got.Summary)
		}
	}
}

func TestOpencodeThatHadBegunIsChargedForALockedDatabase(t *testing.T) {
	_, locked := stream(t, "locked")
	out, _ := stream(t, "good")
	first, _, _ := strings.Cut(out, "\n")
	for name, tt := range map[string]struct {
		stdout, stderr string
		exit           Exit
	}{
		"a step had begun":            {first + "\n", locked, Exit{Code: 1}},
		"it spoke, in another format": {"I did it all\n", locked, Exit{Code: 1}},
		"an event of no conversation": {`{"type":"tool_use","part":{"tool":"bash"}}` + "\n", locked, Exit{Code: 1}},
		"a signal ended it":           {"", locked, Exit{Signal: syscall.SIGKILL}},
		"its last words, exit 0":      {"", locked, Exit{}},
		"another program's database":  {"", "Error: hook: database is locked by app\n", Exit{Code: 1}},
	} {
		p := opencode.Parser(time.Now)
		feed(p, tt.stdout, tt.stderr)
		if got := p.Report(tt.exit); got.Outcome == outcome.Void || got.Outcome == outcome.OK {
			t.Errorf("%s: %s", name, got.Outcome)
		}
	}
}

func TestConversationIsKnownFromTheFirstLine(t *testing.T) {
	out, _ := stream(t, "good")
	p := opencode.Parser(time.Now)
	if id := p.Conversation(); id != "" {
		t.Errorf("%q before any line", id)
	}
	first, _, _ := strings.Cut(out, "\n")
	p.Stdout([]byte(first))
	id := p.Conversation()
	if !strings.HasPrefix(id, "ses_") {
		t.Fatalf("%q", id)
	}
	again, _ := stream(t, "continued")
	feed(p, again, "")
	if got := p.Conversation(); got != id {
		t.Errorf("%q became %q", id, got)
	}
}

func TestCostOfAllStepsIsAddedUp(t *testing.T) {
	p := opencode.Parser(time.Now)
	out, _ := stream(t, "good")
	feed(p, out, "")
	got := p.Report(Exit{}).Cost
	if math.Abs(got.USD-0.00306) > 1e-9 {
		t.Errorf("%g dollars", got.USD)
	}
	got.USD = 0
	if want := (outcome.Cost{Input: 3000, Output: 30}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
