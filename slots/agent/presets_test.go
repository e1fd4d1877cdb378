package agent

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"kugetsu/queue/fault"
	"kugetsu/queue/outcome"
)

// printed reads what a real program printed in a run; only paths, hosts and ports were changed.
func printed(t testing.TB, preset, name string) (stdout, stderr string) {
	t.Helper()
	out, err := os.ReadFile(filepath.Join("testdata", preset, name+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	errOut, err := os.ReadFile(filepath.Join("testdata", preset, name+".stderr"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(out), string(errOut)
}

// then is when the runs were made, in the zone in which they were made.
var then = time.Date(2026, 11, 25, 19, 25, 30, 0, time.UTC)

func at(value string) time.Time {
	if value == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, value)
	if err != nil {
		panic(err)
	}
	return t
}

// runs are real runs: what happened in each, and how it is to be judged.
var runs = []struct {
	preset, stream string
	code           int
	outcome        outcome.Outcome
	summary        string
	permission     string
	reset          string
}{
	{"claude", "good", 0, outcome.OK, "I wrote a.txt.", "", ""},
	{"claude", "continued", 0, outcome.OK, "Nothing more to do.", "", ""},
	{"claude", "rule", 0, outcome.Denied, "permission refused: Bash touch made\nI was not allowed to.", "Bash touch made", ""},
	{"claude", "rule_worked", 0, outcome.OK, "I found another way.", "Bash touch made", ""},
	{"claude", "rule_failed_after", 0, outcome.Denied, "permission refused: Bash touch made\nIt failed, too.", "Bash touch made", ""},
	{"claude", "root", 1, outcome.Failed, "exit status 1: --dangerously-skip-permissions cannot be used with root/sudo privileges for security reasons", "", ""},
	{"claude", "unknown_session", 1, outcome.Failed, "No conversation found with session ID: cce87c14-a0b6-463d-9d9a-73cc5e670000", "", ""},
	{"claude", "error_400", 1, outcome.Failed, "API Error: 400 bad thing", "", ""},
	{"claude", "error_401", 1, outcome.Auth, "Invalid API key · Fix external API key", "", ""},
	{"claude", "error_403", 1, outcome.Auth, "Failed to authenticate. API Error: 403 no access", "", ""},
	{"claude", "not_logged_in", 1, outcome.Auth, "Not logged in · Please run /login", "", ""},
	{"claude", "credit", 1, outcome.UsageLimit, "Credit balance is too low", "", ""},
	{"claude", "error_429", 1, outcome.UsageLimit, "API Error: Request rejected (429) · This request would exceed your rate limit", "", ""},
	{"claude", "limit_session", 1, outcome.UsageLimit, "You've hit your session limit · resets 10:24pm (Europe/Berlin)", "", "2026-11-25T21:24:46Z"},
	{"claude", "limit_week", 1, outcome.UsageLimit, "You've hit your weekly limit · resets Nov 30, 8:24pm (Europe/Berlin)", "", "2026-11-30T19:24:47Z"},
	{
		"claude", "error_529", 1, outcome.Outage,
		"API Error: 529 Overloaded. This is a server-side issue, usually temporary — try again in a moment. If it persists, check your inference gateway (127.0.0.1:8080).", "", "",
	},
	{"claude", "outage", 1, outcome.Outage, "API Error: Unable to connect to API (ConnectionRefused)", "", ""},

	{"codex", "good", 0, outcome.OK, "I committed a.txt.", "", ""},
	{"codex", "continued", 0, outcome.OK, "Nothing more to do.", "", ""},
	{"codex", "unknown_session", 1, outcome.Failed, "exit status 1: Error: thread/resume: thread/resume failed: no rollout found for thread id 0199a213-81c0-7800-8aa1-bbab2a035a53 (code -32600)", "", ""},
	{"codex", "no_key", 1, outcome.Auth, "Missing environment variable: `MODEL_KEY`.", "", ""},
	{"codex", "error_400", 1, outcome.Failed, `{"error":{"type":"invalid_request_error","code":"invalid_request_error","message":"bad thing"}}`, "", ""},
	{"codex", "error_401", 1, outcome.Auth, "unexpected status 401 Unauthorized: Incorrect API key provided: dummy., url: http://127.0.0.1:8080/v1/responses", "", ""},
	{"codex", "error_503", 1, outcome.Outage, "unexpected status 503 Service Unavailable: overloaded, url: http://127.0.0.1:8080/v1/responses", "", ""},
	{"codex", "quota", 1, outcome.UsageLimit, "Quota exceeded. Check your plan and billing details.", "", ""},
	{"codex", "rate", 1, outcome.UsageLimit, "exceeded retry limit, last status: 429 Too Many Requests", "", ""},
	{
		"codex", "limit", 1, outcome.UsageLimit,
		"You’ve hit your usage limit. Upgrade to Pro (https://chatgpt.com/explore/pro), visit https://chatgpt.com/settings/usage to purchase more credits or try again at 9:24 PM.",
		"", "2026-11-25T21:24:00Z",
	},
	{
		"codex", "limit_days", 1, outcome.UsageLimit,
		"You’ve hit your usage limit. Upgrade to Pro (https://chatgpt.com/explore/pro), visit https://chatgpt.com/settings/usage to purchase more credits or try again at Nov 29th, 2026 6:44 AM.",
		"", "2026-11-29T06:44:00Z",
	},

	{"gemini", "outage", 1, outcome.Outage, "[API Error: exception TypeError: fetch failed sending request]", "", ""},
	{"gemini", "good", 0, outcome.OK, "I wrote a.txt.", "", ""},
	{"gemini", "continued", 0, outcome.OK, "Nothing more to do.", "", ""},
	{"gemini", "tool_failed", 0, outcome.OK, "It failed.", "", ""},
	{
		"gemini", "rule", 0, outcome.Denied, "permission refused: run_shell_command: Tool execution denied by policy.\nI was not allowed to.",
		"run_shell_command: Tool execution denied by policy.", "",
	},
	{"gemini", "rule_worked", 0, outcome.OK, "I found another way.", "run_shell_command: Tool execution denied by policy.", ""},
	{"gemini", "unknown_session", 42, outcome.Failed, `exit status 42: Error resuming session: Invalid session identifier "0199a213-81c0-7800-8aa1-bbab2a035a53".`, "", ""},
	{"gemini", "no_auth", 41, outcome.Auth, "exit status 41: Invalid auth method selected.", "", ""},
	{"gemini", "error_400", 144, outcome.Failed, `[API Error: {"error":{"code":400,"status":"INVALID_ARGUMENT","message":"bad thing"}}]`, "", ""},
	{"gemini", "error_401", 145, outcome.Auth, `[API Error: {"error":{"code":401,"status":"UNAUTHENTICATED","message":"API key not valid"}}]`, "", ""},
	{
		"gemini", "bad_key", 144, outcome.Auth,
		`[API Error: {"error":{"code":400,"status":"INVALID_ARGUMENT","message":"API key not valid. Please pass a valid API key.",` +
			`"details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID","domain":"googleapis.com"}]}}]`, "", "",
	},
	{
		"gemini", "quota", 173, outcome.UsageLimit,
		"[API Error: You have exhausted your daily quota on this model.]\nPlease wait and try again later. To increase your limits, request a quota increase through AI Studio, or switch to another /auth method",
		"", "2026-11-25T21:25:30Z",
	},
	{
		"gemini", "error_429", 173, outcome.UsageLimit,
		"[API Error: Resource exhausted\nSuggested retry after 7200s.]\nPlease wait and try again later. To increase your limits, request a quota increase through AI Studio, or switch to another /auth method",
		"", "2026-11-25T21:25:30Z",
	},
}

func parserOf(t testing.TB, preset string, now time.Time) Parser {
	t.Helper()
	p, err := Lookup(preset)
	if err != nil {
		t.Fatal(err)
	}
	return p.Parser(func() time.Time { return now })
}

func TestRunsAreJudgedByTheirEvents(t *testing.T) {
	for _, tt := range runs {
		t.Run(tt.preset+" "+tt.stream, func(t *testing.T) {
			p := parserOf(t, tt.preset, then)
			out, errOut := printed(t, tt.preset, tt.stream)
			feed(p, out, errOut)
			exit := Exit{Code: tt.code}
			got := p.Report(exit)
			checkReport(t, exit, got)
			if got.Outcome != tt.outcome || !tells(got, tt.summary) || got.Refused.Last() != tt.permission {
				t.Errorf("\n got %s %q %q\nwant %s %q %q", got.Outcome, got.Summary+"\n"+got.Words, got.Refused.Last(), tt.outcome, tt.summary, tt.permission)
			}
			if off := got.Reset.Sub(at(tt.reset)); off < 0 || off >= time.Second {
				t.Errorf("reset %s, want %s", got.Reset, tt.reset)
			}
			if got.Gone != (tt.stream == "unknown_session") {
				t.Errorf("gone %t", got.Gone)
			}
			if p.Parked() {
				t.Error("a run that ended is parked")
			}
		})
	}
}

func TestBadEndOfARunStaysBadWhateverTheOutput(t *testing.T) {
	for _, tt := range runs {
		for _, exit := range []Exit{{Code: 1}, {Code: 130}, {Signal: syscall.SIGKILL}} {
			p := parserOf(t, tt.preset, then)
			out, errOut := printed(t, tt.preset, tt.stream)
			feed(p, out, errOut)
			got := p.Report(exit)
			checkReport(t, exit, got)
			if exit.Signal != 0 && (got.Outcome != outcome.Failed || !strings.HasPrefix(got.Summary, "killed by signal SIGKILL")) {
				t.Errorf("%s %s: %s, %q", tt.preset, tt.stream, got.Outcome, got.Summary)
			}
		}
	}
}

func TestRunThatBreaksOffIsNoSuccess(t *testing.T) {
	for _, tt := range runs {
		if tt.outcome != outcome.OK {
			continue
		}
		out, _ := printed(t, tt.preset, tt.stream)
		lines := slices.Collect(strings.Lines(out))
		p := parserOf(t, tt.preset, then)
		for i, line := range lines {
			if got := p.Report(Exit{}); got.Outcome == outcome.OK {
				t.Errorf("%s %s: ok after %d of %d lines: %q", tt.preset, tt.stream, i, len(lines), got.Summary)
			}
			p.Stdout([]byte(line))
		}
	}
}

func TestConversationIsKnownFromTheFirstLineOfAnyPreset(t *testing.T) {
	for _, preset := range []string{"claude", "codex", "gemini"} {
		out, _ := printed(t, preset, "good")
		first, _, _ := strings.Cut(out, "\n")
		p := parserOf(t, preset, then)
		if p.Stdout([]byte(first)) {
			t.Errorf("%s: its banner is progress", preset)
		}
		id := p.Conversation()
		if len(id) != 36 {
			t.Errorf("%s: %q", preset, id)
		}
		again, _ := printed(t, preset, map[string]string{"claude": "rule", "codex": "rate", "gemini": "rule"}[preset]) // another one
		feed(p, again, "")
		if got := p.Conversation(); got != id {
			t.Errorf("%s: %q became %q", preset, id, got)
		}
	}
}

func TestProgressIsWordsAndWorkOfTheModel(t *testing.T) {
	for _, tt := range runs {
		p := parserOf(t, tt.preset, then)
		out, errOut := printed(t, tt.preset, tt.stream)
		progress := false
		for line := range strings.Lines(errOut) {
			progress = p.Stderr([]byte(line)) || progress
		}
		for line := range strings.Lines(out) {
			progress = p.Stdout([]byte(line)) || progress
		}
		if want := tt.code == 0; progress != want {
			t.Errorf("%s %s: progress %t, want %t", tt.preset, tt.stream, progress, want)
		}
	}
}

func TestCostOfARunIsTold(t *testing.T) {
	for preset, want := range map[string]outcome.Cost{
		"claude": {USD: 0.01602, Input: 3009, Output: 39},
		"codex":  {},
		"gemini": {Input: 3006, Output: 36},
	} {
		p := parserOf(t, preset, then)
		out, _ := printed(t, preset, "good")
		feed(p, out, "")
		if got := p.Report(Exit{}).Cost; got != want {
			t.Errorf("%s: %+v, want %+v", preset, got, want)
		}
		if p, err := Lookup(preset); err != nil || p.Dollars != (want.USD > 0) {
			t.Errorf("%s says that it tells dollars: %t, %v", preset, p.Dollars, err)
		}
	}
}

func TestArgvs(t *testing.T) {
	base := Call{
		Worktree: "/w/r", Title: "kugetsu r#1", IssueRef: "h/u/r#1", Session: "h+u+r@1", MessageFile: "/m",
		Writable: []string{"/repos/r.git/objects", "/repos/r.git/worktrees/r"}, Command: "not for", ContinueCommand: "these",
	}
	claudeBegin := []string{"claude", "-p", "--output-format", "stream-json", "--verbose",
		"--allowedTools=Bash,Edit,Write,NotebookEdit,WebFetch,WebSearch", "--permission-mode", "acceptEdits"}
	codexBegin := []string{"codex", "exec", "--json", "-C", "/w/r", "-c", `sandbox_mode="workspace-write"`, "-c", "sandbox_workspace_write.network_access=true"}
	codexDirs := append(slices.Clone(codexBegin), "--add-dir", "/repos/r.git/objects", "--add-dir", "/repos/r.git/worktrees/r")
	geminiBegin := []string{"gemini", "--output-format", "stream-json", "--approval-mode", "yolo", "--skip-trust"}
	with := func(argv []string, more ...string) []string { return append(slices.Clone(argv), more...) }
	for _, tt := range []struct {
		preset, args, conversation string
		plain                      bool // a plain folder
		want                       []string
	}{
		{"claude", "", "", false, claudeBegin},
		{"claude", "--model 'a b'", "", false, with(claudeBegin, "--model", "a b")},
		{"claude", "--model x", "c-1", false, with(claudeBegin, "--model", "x", "--resume", "c-1")},
		{"codex", "", "", false, with(codexDirs, "-")},
		{"codex", "", "", true, with(codexBegin, "--skip-git-repo-check", "-")},
		{"codex", "-s danger-full-access", "t_1", false, with(codexDirs, "-s", "danger-full-access", "resume", "t_1", "-")},
		{"gemini", "", "", false, geminiBegin},
		{"gemini", "-m x", "g", false, with(geminiBegin, "-m", "x", "--resume", "g")},
	} {
		p, err := Lookup(tt.preset)
		if err != nil {
			t.Fatal(err)
		}
		c := base
		c.Args, c.Conversation, c.Continue = tt.args, tt.conversation, tt.conversation != ""
		if tt.plain {
			c.Writable = nil
		}
		got, err := p.Argv(c)
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%s %q %q:\n got %q, %v\nwant %q", tt.preset, tt.args, tt.conversation, got, err, tt.want)
		}
	}
}

func TestArgvsRefuseWhatWouldNotReachTheAgentAsMeant(t *testing.T) {
	for _, p := range presets {
		if !p.Prompted {
			continue
		}
		for _, call := range []Call{{Conversation: "--share"}, {Conversation: "a b"}, {Conversation: "-"}, {Args: "-m 'x"}, {Args: "-m $MODEL"}} {
			_, err := p.Argv(call)
			if err == nil || !strings.Contains(err.Error(), p.Name) || fault.Code(err) != fault.Config {
				t.Errorf("%s %+v: %v, want an error of the configuration that names it", p.Name, call, err)
			}
		}
	}
}

// clockwork is a clock to be moved on.
type clockwork struct{ time.Time }

func (c *clockwork) now() time.Time { return c.Time }

const (
	ocLog  = `timestamp=2026-11-25T19:15:52.688Z level=ERROR run=7510c25c message="stream error" providerID=p modelID=m session.id=ses_1 small=false agent=build mode=primary error.error="AI_APICallError: `
	ocTool = `{"type":"tool_use","sessionID":"ses_1","part":{"tool":"bash","state":{"status":"completed"}}}`
)

func TestProgramThatWaitsForALimitIsParked(t *testing.T) {
	for _, tt := range []struct {
		name, preset   string
		stdout, stderr string
		after          time.Duration
		parked         bool
		summary, reset string
	}{
		{"it says for how long", "opencode", "", ocLog + `Usage limit reached. It will reset in 2 hours 5 minutes."`, 0, true, "Usage limit reached. It will reset in 2 hours 5 minutes.", "2026-11-25T21:30:30Z"},
		{"it says that it will not be long", "opencode", "", ocLog + `Rate limit reached. Please try again in 11.054s."`, time.Minute, false, "", ""},
		{"it was not long, and yet it is silent", "opencode", "", ocLog + `Rate limit reached. Please try again in 11.054s."`, 3 * time.Minute, true, "Rate limit reached. Please try again in 11.054s.", "2026-11-25T19:25:41Z"},
		{"it does not say for how long", "opencode", "", ocLog + `Rate limit reached"`, time.Minute, false, "", ""},
		{"and is silent", "opencode", "", ocLog + `Rate limit reached"`, 3 * time.Minute, true, "Rate limit reached", ""},
		{"quotes in its words", "opencode", "", ocLog + `the \"free\" quota is used up"`, time.Hour, true, `the "free" quota is used up`, ""},
		{"a server that is down", "opencode", "", ocLog + `Service Unavailable"`, 9 * time.Minute, false, "", ""},
		{"a server that stays down", "opencode", "", ocLog + `Service Unavailable"`, 11 * time.Minute, true, "Service Unavailable", ""},
		{"a fault that no time lifts", "opencode", "", ocLog + `Unauthorized"`, time.Hour, false, "", ""},
		{"a conversation that is too long", "opencode", "", ocLog + `prompt is too long: 214031 tokens > 200000 maximum"`, time.Hour, false, "", ""},
		{"a title is not waited for", "opencode", "", strings.ReplaceAll(ocLog, "small=false", "small=true") + `Rate limit reached"`, time.Hour, false, "", ""},
		{"another session's limit", "opencode", ocTool, strings.ReplaceAll(ocLog, "ses_1", "ses_2") + `Rate limit reached"`, time.Hour, false, "", ""},
		{"a limit in the middle of the work", "opencode", ocTool, ocLog + `Rate limit reached"`, time.Hour, true, "Rate limit reached", ""},
		{"no line of a log", "opencode", "", `Rate limit reached, timestamp= message="stream error" error.error="x: rate limit"`, time.Hour, false, "", ""},

		{"codex says why it reconnects", "codex", `{"type":"error","message":"Reconnecting... 1/5 (exceeded retry limit, last status: 429 Too Many Requests)"}`, "", 11 * time.Minute, true, "1/5 (exceeded retry limit, last status: 429 Too Many Requests)", ""},
		{"codex may be thinking", "codex", `{"type":"error","message":"Reconnecting... 1/5 (exceeded retry limit, last status: 429 Too Many Requests)"}`, "", 9 * time.Minute, false, "", ""},
		{"the network is down", "codex", `{"type":"error","message":"Reconnecting... waiting for network (Connection failed)"}`, "", time.Minute, false, "", ""},
		{"the network stays down", "codex", `{"type":"error","message":"Reconnecting... waiting for network (Connection failed)"}`, "", time.Hour, true, "waiting for network (Connection failed)", ""},

		{"claude says how long it will wait", "claude", `{"type":"system","subtype":"api_retry","attempt":1,"retry_delay_ms":7200000,"error_status":429,"error":"rate_limit"}`, "", 0, true, "waits for the model: rate_limit", "2026-11-25T21:25:30Z"},
		{"claude does not wait for long", "claude", `{"type":"system","subtype":"api_retry","attempt":1,"retry_delay_ms":3000,"error_status":429,"error":"rate_limit"}`, "", time.Second, false, "", ""},
		{"claude waits for a server", "claude", `{"type":"system","subtype":"api_retry","attempt":1,"retry_delay_ms":7200000,"error_status":529,"error":"overloaded"}`, "", 0, true, "waits for the model: overloaded", ""},
		{"claude waits for nobody", "claude", `{"type":"system","subtype":"api_retry","attempt":1,"retry_delay_ms":600.5,"error_status":null,"error":"unknown"}`, "", time.Hour, true, "waits for the model: no answer", ""},

		{"gemini says how long it will wait", "gemini", "", "Attempt 1 failed: You have exhausted your capacity on this model. Your quota will reset after 4h28m20s.. Retrying after 16123456ms...", 0, true, "Attempt 1 failed: You have exhausted your capacity on this model. Your quota will reset after 4h28m20s.. Retrying after 16123456ms...", "2026-11-25T23:53:50Z"},
		{"gemini tries again", "gemini", "", "Attempt 1 failed with status 503. Retrying with backoff... _ApiError", time.Minute, false, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			preset, err := Lookup(tt.preset)
			if err != nil {
				t.Fatal(err)
			}
			c := &clockwork{then}
			p := preset.Parser(c.now)
			if p.Stdout([]byte(tt.stdout)) != (tt.stdout == ocTool) || p.Stderr([]byte(tt.stderr)) {
				t.Error("waiting counts as progress")
			}
			c.Time = c.Add(tt.after)
			if p.Parked() != tt.parked {
				t.Fatalf("parked %t after %s", p.Parked(), tt.after)
			}
			exit := Exit{Signal: syscall.SIGKILL}
			r := p.Report(exit)
			checkReport(t, exit, r)
			want := outcome.UsageLimit
			if tt.reset == "" && !isLimit(tt.summary) && !strings.Contains(tt.summary, "429") {
				want = outcome.Outage
			}
			if tt.parked && (r.Outcome != want || r.Summary != tt.summary || !r.Reset.Truncate(time.Second).Equal(at(tt.reset))) {
				t.Errorf("%s %q %s, want %q %q", r.Outcome, r.Summary, r.Reset, tt.summary, tt.reset)
			}
			if !tt.parked && (r.Outcome != outcome.Failed || !strings.HasPrefix(r.Summary, "killed by signal SIGKILL") || strings.Contains(r.Summary, "level=ERROR")) {
				t.Errorf("%s %q", r.Outcome, r.Summary)
			}
		})
	}
}

// All reports of codex come at one time here, so only the silence after them parks it.
func TestCodexThatWaitsForALimitIsParkedAfterTenSilentMinutes(t *testing.T) {
	out, _ := printed(t, "codex", "waits")
	c := &clockwork{then}
	p := codex.Parser(c.now)
	feed(p, out, "")
	if w, waits := p.Waiting(); !waits || w.Outcome != outcome.UsageLimit || p.Parked() {
		t.Errorf("waits %t, parked %t: %+v", waits, p.Parked(), w)
	}
	if c.Time = c.Add(11 * time.Minute); !p.Parked() {
		t.Error("it is not parked")
	}
}

// Money lifts that limit, and waiting does not: the hold says so.
func TestProgramThatWaitsForMoneyIsParkedAndSaysSo(t *testing.T) {
	for _, tt := range []struct {
		preset, stdout, stderr string
		unpaid                 bool
	}{
		{"claude", `{"type":"system","subtype":"api_retry","retry_delay_ms":600,"error_status":402,"error":"billing_error"}`, "", true},
		{"codex", `{"type":"error","message":"Reconnecting... 1/5 (Your workspace is out of credits. Add credits to continue.)"}`, "", true},
		{"gemini", "", "Attempt 1 failed: INSUFFICIENT_G1_CREDITS_BALANCE. Retrying with backoff...", true},
		{"opencode", "", ocLog + `Insufficient credits"`, true},
		{"opencode", "", ocLog + `Insufficient credits. They reset in 2 hours"`, false},
		{"opencode", "", ocLog + `Rate limit reached"`, false},
	} {
		preset, err := Lookup(tt.preset)
		if err != nil {
			t.Fatal(err)
		}
		c := &clockwork{then}
		p := preset.Parser(c.now)
		feed(p, tt.stdout, tt.stderr)
		c.Time = c.Add(11 * time.Minute)
		if r := p.Report(Exit{Signal: syscall.SIGTERM}); !p.Parked() || r.Outcome != outcome.UsageLimit || r.Unpaid != tt.unpaid {
			t.Errorf("%s: parked %t, %s %q, unpaid %t", tt.preset, p.Parked(), r.Outcome, r.Summary, r.Unpaid)
		}
	}
}

func TestServerThatStaysDownIsNotWaitedForInTheSlot(t *testing.T) {
	network, _ := printed(t, "codex", "outage_waits")
	retrying, _ := printed(t, "claude", "retrying")
	for _, tt := range []struct {
		preset, stdout, stderr string
		outcome                outcome.Outcome
	}{
		{"codex", network, "", outcome.Outage},
		{"opencode", "", ocLog + `Cannot connect to API: Unable to connect. Is the computer able to access the url?"`, outcome.Outage},
		{"opencode", "", ocLog + `Too Many Requests"`, outcome.UsageLimit},
		{"claude", `{"type":"system","subtype":"api_retry","retry_delay_ms":600,"error_status":503,"error":"server_error"}`, "", outcome.Outage},
		{"claude", retrying, "", outcome.UsageLimit},
		{"claude", `{"type":"system","subtype":"api_retry","retry_delay_ms":60000,"error_status":429,"error":"rate_limit"}`, "", outcome.UsageLimit},
		{"gemini", "", "Attempt 3 failed. Retrying with backoff... Error: exception TypeError: fetch failed sending request", outcome.Outage},
	} {
		preset, err := Lookup(tt.preset)
		if err != nil {
			t.Fatal(err)
		}
		c := &clockwork{then}
		p := preset.Parser(c.now)
		for n := range 4 {
			feed(p, tt.stdout, tt.stderr)
			w, waits := p.Waiting()
			if !waits || w.Outcome != tt.outcome || w.Summary == "" {
				t.Errorf("%s waits %t: %+v", tt.preset, waits, w)
			}
			if p.Parked() != (n == 3) {
				t.Errorf("%s is parked %t after %d minutes", tt.preset, p.Parked(), n)
			}
			c.Time = c.Add(time.Minute)
		}
		c.Time = c.Add(-time.Minute)
		if r := p.Report(Exit{Signal: syscall.SIGTERM}); r.Outcome != tt.outcome {
			t.Errorf("%s: %s %q", tt.preset, r.Outcome, r.Summary)
		}
	}
}

func TestAgentThatGoesOnIsParkedNoMore(t *testing.T) {
	for _, tt := range []struct{ preset, limit, goesOn string }{
		{"opencode", ocLog + `Usage limit reached. It will reset in 2 hours."`, `{"type":"step_start","sessionID":"ses_1"}`},
		{"codex", `{"type":"error","message":"Reconnecting... 1/5 (429 Too Many Requests, try again in 2 hours)"}`, `{"type":"item.completed","item":{"type":"agent_message","text":"hi"}}`},
		{"claude", `{"type":"system","subtype":"api_retry","retry_delay_ms":7200000,"error_status":429}`, `{"type":"assistant","message":{"id":"1"}}`},
		{"gemini", "Attempt 1 failed: quota. Retrying after 16123456ms...", `{"type":"message","role":"assistant","content":"hi"}`},
	} {
		p := parserOf(t, tt.preset, then)
		p.Stderr([]byte(tt.limit))
		p.Stdout([]byte(tt.limit))
		if !p.Parked() {
			t.Errorf("%s is not parked", tt.preset)
		}
		if !p.Stdout([]byte(tt.goesOn)) || p.Parked() {
			t.Errorf("%s does not go on", tt.preset)
		}
	}
}

func FuzzParsers(f *testing.F) {
	for _, tt := range runs {
		out, errOut := printed(f, tt.preset, tt.stream)
		f.Add(tt.preset, out, errOut, tt.code, 0)
	}
	f.Add("opencode", ocTool, ocLog+`Rate limit, try again in 999999999 days"`, 0, 9)
	f.Fuzz(func(t *testing.T, name, stdout, stderr string, code, signal int) {
		preset, err := Lookup(name)
		if err != nil {
			return
		}
		c := &clockwork{then}
		p := preset.Parser(c.now)
		feed(p, stdout, stderr)
		if id := p.Conversation(); id != "" && !isConversation(id) {
			t.Errorf("conversation %q", id)
		}
		c.Time = c.Add(time.Hour)
		for _, exit := range []Exit{{Code: code, Signal: syscall.Signal(signal)}, {}} {
			r := p.Report(exit)
			checkReport(t, exit, r)
			if p.Parked() && r.Outcome != outcome.UsageLimit && r.Outcome != outcome.Outage {
				t.Errorf("parked, but %s", r.Outcome)
			}
			if r.Outcome == outcome.OK && r.Summary == "" && name != "command" {
				t.Errorf("ok without an answer: %+v", r)
			}
		}
	})
}

// Events in short, as the programs write them.
const (
	clUses   = `{"type":"assistant","message":{"id":"m%","content":[{"type":"tool_use","id":"#","name":"@"}]}}` + "\n"
	clFails  = `{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"#","is_error":true}]}}` + "\n"
	clWorks  = `{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"#"}]}}` + "\n"
	clSays   = `{"type":"assistant","message":{"id":"9","content":[{"type":"text","text":"\n\nIt is done."}]}}` + "\n"
	clEnds   = `{"type":"result","subtype":"success","result":"done","permission_denials":[{"tool_name":"Bash","tool_use_id":"a","tool_input":{"command":"make"}}]}` + "\n"
	cxItem   = `{"type":"item.completed","item":{"type":"command_execution","command":"make","status":"@","aggregated_output":"#"}}` + "\n"
	cxStart  = `{"type":"item.started","item":{"id":"#","type":"command_execution","command":"make","status":"in_progress"}}` + "\n"
	cxEnd    = `{"type":"item.completed","item":{"id":"#","type":"command_execution","command":"make","status":"completed"}}` + "\n"
	cxEdit   = `{"type":"item.completed","item":{"type":"file_change","changes":[{"path":"a.txt"}],"status":"declined"}}` + "\n"
	cxEnds   = `{"type":"item.completed","item":{"type":"agent_message","text":"done"}}` + "\n" + `{"type":"turn.completed"}` + "\n"
	gmUses   = `{"type":"tool_use","tool_id":"#","tool_name":"@"}` + "\n"
	gmFails  = `{"type":"tool_result","tool_id":"#","status":"error","error":{"type":"policy_violation","message":"no"}}` + "\n"
	gmWorks  = `{"type":"tool_result","tool_id":"#","status":"success"}` + "\n"
	gmSays   = `{"type":"message","role":"assistant","content":"@","delta":true}` + "\n"
	gmEnds   = `{"type":"result","status":"success"}` + "\n"
	ocLimits = `{"type":"error","error":{"name":"APIError","data":{"message":"slow down","statusCode":429,"responseHeaders":{"Retry-After":"120"}}}}` + "\n"
)

func filled(event string, pairs ...string) string {
	return strings.NewReplacer(pairs...).Replace(event)
}

func TestRulesEventByEvent(t *testing.T) {
	uses := func(event, message, id, tool string) string { return filled(event, "%", message, "#", id, "@", tool) }
	as := func(event, id string) string { return filled(event, "#", id) }
	for _, tt := range []struct {
		name, preset, stdout string
		outcome              outcome.Outcome
		summary              string
	}{
		{"a call of the same message knew nothing of the refusal", "claude", uses(clUses, "1", "a", "Bash") + uses(clUses, "1", "b", "Write") + as(clFails, "a") + as(clWorks, "b") + clEnds, outcome.Denied, "permission refused: Bash make\ndone"},
		{"a call of the next one did", "claude", uses(clUses, "1", "a", "Bash") + as(clFails, "a") + uses(clUses, "2", "b", "Write") + as(clWorks, "b") + clEnds, outcome.OK, "done"},
		{"a look is no work", "claude", uses(clUses, "1", "a", "Bash") + as(clFails, "a") + uses(clUses, "2", "b", "Read") + as(clWorks, "b") + clEnds, outcome.Denied, "permission refused: Bash make\ndone"},
		{"a look makes up for a look", "claude", uses(clUses, "1", "a", "WebFetch") + as(clFails, "a") + uses(clUses, "2", "b", "Read") + as(clWorks, "b") + clEnds, outcome.OK, "done"},
		{"a refusal in a subagent that the agent does not tell of", "claude", clEnds, outcome.Denied, "permission refused: Bash make\ndone"},
		{"no result, and exit 0", "claude", uses(clUses, "1", "a", "Bash"), outcome.Failed, "it broke off without a result"},
		{"no words", "claude", `{"type":"result","subtype":"success","result":" "}`, outcome.Denied, "ended without an answer"},
		{"an empty result after an answer", "claude", clSays + `{"type":"result","subtype":"success","result":""}`, outcome.OK, "It is done."},
		{"an empty result after the answer of a subagent", "claude", strings.Replace(clSays, `"assistant",`, `"assistant","parent_tool_use_id":"a",`, 1) + `{"type":"result","subtype":"success","result":""}`, outcome.Denied, "ended without an answer"},
		{"the last of several results says nothing", "claude", `{"type":"result","subtype":"success","result":"see pull/7"}` + "\n" + `{"type":"result","subtype":"success","result":"\n"}`, outcome.OK, "see pull/7"},
		{"the last of several results says more", "claude", `{"type":"result","subtype":"success","result":"wait"}` + "\n" + `{"type":"result","subtype":"success","result":"done"}`, outcome.OK, "done"},
		{"a refusal in the first of several results", "claude", clEnds + `{"type":"result","subtype":"success","result":"bye"}`, outcome.Denied, "permission refused: Bash make\nbye"},
		{"an error after a result", "claude", `{"type":"result","subtype":"success","result":"half"}` + "\n" + `{"type":"result","subtype":"error_during_execution","is_error":true}`, outcome.Failed, "error_during_execution"},
		{"an error, and then the answer", "claude", `{"type":"result","subtype":"success","is_error":true,"result":"API Error: 529 Overloaded"}` + "\n" + clSays + `{"type":"result","subtype":"success","result":""}`, outcome.OK, "It is done."},
		{"an error, and then an empty result", "claude", `{"type":"result","subtype":"success","is_error":true,"result":"it broke"}` + "\n" + `{"type":"result","subtype":"success","result":""}`, outcome.Failed, "it broke"},
		{"out of turns", "claude", `{"type":"result","subtype":"error_max_turns","is_error":false}`, outcome.Failed, "error_max_turns"},
		{"an older one's words", "claude", `{"type":"result","subtype":"success","is_error":true,"result":"Claude AI usage limit reached|1795641886"}`, outcome.UsageLimit, "Claude AI usage limit reached|1795641886"},

		{"a declined command", "codex", filled(cxItem, "@", "declined", "#", "") + cxEnds, outcome.Denied, "permission refused: command_execution make\ndone"},
		{"one that went well after it", "codex", filled(cxItem, "@", "declined", "#", "") + filled(cxItem, "@", "completed", "#", "") + cxEnds, outcome.OK, "done"},
		{"one that began before it", "codex", filled(cxStart, "#", "1") + filled(cxItem, "@", "declined", "#", "") + filled(cxEnd, "#", "1") + cxEnds, outcome.Denied, "permission refused: command_execution make\ndone"},
		{"a command is no edit", "codex", cxEdit + filled(cxItem, "@", "completed", "#", "") + cxEnds, outcome.Denied, "permission refused: file_change a.txt\ndone"},
		{"an edit makes up for a command", "codex", filled(cxItem, "@", "declined", "#", "") + strings.Replace(cxEdit, "declined", "completed", 1) + cxEnds, outcome.OK, "done"},
		{"a sandbox that does not work", "codex", filled(cxItem, "@", "failed", "#", "bwrap: No permissions") + cxEnds, outcome.Denied, "permission refused: bwrap: No permissions make\ndone"},
		{"a command that failed", "codex", filled(cxItem, "@", "failed", "#", "make: no") + cxEnds, outcome.OK, "done"},
		{"an empty message after codex's answer", "codex", cxEnds + `{"type":"item.completed","item":{"type":"agent_message","text":" "}}` + "\n" + `{"type":"turn.completed"}`, outcome.OK, "done"},
		{"no words from codex", "codex", `{"type":"turn.completed"}`, outcome.Denied, "ended without an answer"},

		{"a call made before the refusal was known", "gemini", uses(gmUses, "", "a", "run_shell_command") + uses(gmUses, "", "b", "write_file") + as(gmFails, "a") + as(gmWorks, "b") + filled(gmSays, "@", "done") + gmEnds, outcome.Denied, "permission refused: run_shell_command: no\ndone"},
		{"a call made after it", "gemini", uses(gmUses, "", "a", "run_shell_command") + as(gmFails, "a") + uses(gmUses, "", "b", "write_file") + as(gmWorks, "b") + filled(gmSays, "@", "done") + gmEnds, outcome.OK, "done"},
		{"a refusal that came after the call", "gemini", uses(gmUses, "", "a", "write_file") + as(gmFails, "a") + uses(gmUses, "", "b", "write_file") + uses(gmUses, "", "c", "write_file") + as(gmFails, "c") + as(gmWorks, "b") + filled(gmSays, "@", "done") + gmEnds, outcome.Denied, "permission refused: write_file: no\ndone"},
		{"a look of gemini's", "gemini", uses(gmUses, "", "a", "write_file") + as(gmFails, "a") + uses(gmUses, "", "b", "read_file") + as(gmWorks, "b") + filled(gmSays, "@", "done") + gmEnds, outcome.Denied, "permission refused: write_file: no\ndone"},
		{"words in pieces, the last ones", "gemini", filled(gmSays, "@", "I will") + uses(gmUses, "", "b", "read_file") + as(gmWorks, "b") + filled(gmSays, "@", "all ") + filled(gmSays, "@", "done") + gmEnds, outcome.OK, "all done"},
		{"no words after the last tool", "gemini", filled(gmSays, "@", "I will") + uses(gmUses, "", "b", "read_file") + as(gmWorks, "b") + gmEnds, outcome.OK, "I will"},
		{"no words of gemini's", "gemini", filled(gmSays, "@", " ") + uses(gmUses, "", "b", "read_file") + as(gmWorks, "b") + gmEnds, outcome.Denied, "ended without an answer"},
		{"an empty piece at the end", "gemini", uses(gmUses, "", "b", "read_file") + as(gmWorks, "b") + filled(gmSays, "@", "done") + filled(gmSays, "@", "") + gmEnds, outcome.OK, "done"},

		{"the header of a limit in milliseconds", "opencode", strings.Replace(ocLimits, `"Retry-After":"120"`, `"retry-after-ms":"5400000"`, 1), outcome.UsageLimit, "slow down (status 429)"},
		{"the header of a limit", "opencode", ocLimits, outcome.UsageLimit, "slow down (status 429)"},
	} {
		p := parserOf(t, tt.preset, then)
		feed(p, tt.stdout, "")
		got := p.Report(Exit{})
		checkReport(t, Exit{}, got)
		if got.Outcome != tt.outcome || !tells(got, tt.summary) {
			t.Errorf("%s:\n got %s %q\nwant %s %q", tt.name, got.Outcome, got.Summary, tt.outcome, tt.summary)
		}
		if told := !got.Reset.IsZero(); told != (got.Outcome == outcome.UsageLimit) {
			t.Errorf("%s: reset %s", tt.name, got.Reset)
		}
	}
}
