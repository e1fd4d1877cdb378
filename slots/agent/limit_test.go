package agent

import (
	"strconv"
	"testing"
)

func TestErrorsMeanWhatTheProvidersMean(t *testing.T) {
	for _, tt := range []struct {
		status int
		text   string
		want   string
	}{
		{429, "", UsageLimit},
		{402, "Insufficient credits", UsageLimit},
		{401, "", Auth},
		{403, "no access", Auth},
		{403, "You exceeded your monthly spending limit", UsageLimit},
		{529, "Overloaded, rate limit", Outage},
		{503, "quota service unavailable", Outage},
		{500, "", Outage},
		{400, "bad request", Failed},
		{400, "Your credit balance is too low to access the API.", UsageLimit},
		{400, "API key not valid. Please pass a valid API key.", Auth},
		{400, "prompt is too long: 210000 tokens > 200000 maximum", Failed},
		{0, "Claude AI usage limit reached|1733160000", UsageLimit},
		{0, "You've hit your session limit · resets 3am", UsageLimit},
		{0, "You’ve hit your usage limit.", UsageLimit},
		{0, "5-hour limit reached", UsageLimit},
		{0, "insufficient_quota", UsageLimit},
		{0, "Rate limit reached for the model", UsageLimit},
		{0, "rate_limit_exceeded", UsageLimit},
		{0, "Too Many Requests", UsageLimit},
		{0, "RESOURCE_EXHAUSTED", UsageLimit},
		{0, "You're out of usage credits", UsageLimit},
		{0, "exceeded retry limit, last status: 429 Too Many Requests", UsageLimit},
		{0, "exceeded retry limit, last status: 500 Internal Server Error", Outage},
		{0, "unexpected status 401 Unauthorized: who are you", Auth},
		{0, "Invalid API key · Fix external API key", Auth},
		{0, "Incorrect API key provided: x", Auth},
		{0, "invalid x-api-key", Auth},
		{0, "Not logged in · Please run /login", Auth},
		{0, "OAuth token has expired. Please log in again", Auth},
		{0, "Your access token could not be refreshed. Please log out and sign in again.", Auth},
		{0, "Missing environment variable: `OPENAI_API_KEY`.", Auth},
		{0, "overloaded_error", Outage},
		{0, "Provider is overloaded", Outage},
		{0, "output token limit reached", Failed},
		{0, "the maximum context length is exceeded", Failed},
		{0, "exit status 1: see issue 429 and line 401", Failed},
		{0, "", Failed},

		// As the programs say it; some only with the words, where the status is lost.
		{0, "Claude usage limit reached. Your limit will reset at 3pm (America/Bogota).", UsageLimit},
		{0, "5-hour limit reached ∙ resets 3am", UsageLimit},
		{0, "Weekly limit reached ∙ resets 10am (Asia/Seoul)", UsageLimit},
		{0, "You've hit your limit · resets Feb 16, 11am (Europe/Berlin)", UsageLimit},
		{0, "You've hit your limit - resets Feb 7, 11am (Asia/Seoul)/login to switch", UsageLimit},
		{0, "You've hit your weekly limit · resets Mon 12:00am", UsageLimit},
		{0, "You've reached your Fable 5 limit. Run /usage-credits to continue or switch models with /model", UsageLimit},
		{0, "You've hit your monthly spend limit", UsageLimit},
		{0, "You've hit your org's monthly spend limit", UsageLimit},
		{0, "You're out of usage credits · resets 8:40pm (UTC)", UsageLimit},
		{0, "Your org is out of usage", UsageLimit},
		{0, "Opus weekly limit reached", UsageLimit},
		{400, "You have reached your specified API usage limits. You will regain access on 2026-12-01 at 00:00 UTC.", UsageLimit},
		{0, "You've hit your usage limit for GPT-5-Codex-Spark. Switch to another model now, or try again at 9:13 PM.", UsageLimit},
		{0, "You’ve hit your spend cap set in your workspace.", UsageLimit},
		{0, "You’ve hit the spend cap set by the owner of your workspace", UsageLimit},
		{0, "Your workspace is out of credits. Add credits to continue.", UsageLimit},
		{0, "wait for limits to reset (every 5h and every week): you've hit your usage limit", UsageLimit},
		{0, "[API Error: You have exhausted your capacity on this model. Your quota will reset after 4h28m20s.]", UsageLimit},
		{0, "You have reached your daily gemini-2.5-pro quota limit", UsageLimit},
		{0, "You exceeded your current quota, please check your plan and billing details.", UsageLimit},
		{0, "Resource has been exhausted (e.g. check quota).", UsageLimit},
		{0, "Free usage exceeded, subscribe to Go", UsageLimit},
		{0, "Weekly/Monthly Limit Exhausted. Your limit will reset at 2026-09-12 00:35:41", UsageLimit},
		{0, "5 hour usage limit reached. It will reset in 3 hours 20 minutes.", UsageLimit},
		{0, "You have exceeded your monthly limit for premium requests", UsageLimit},
		{0, "you have reached your session usage limit", UsageLimit},
		{0, "This request requires more credits, or fewer max_tokens. You requested up to 32000 tokens, but can only afford 1234.", UsageLimit},
		{402, "This request requires more credits", UsageLimit},
		{403, "Key limit exceeded (total limit). Manage it using https://router.example/keys", UsageLimit},
		{400, "Budget has been exceeded! Current cost: 10.2, Max budget: 10.0", UsageLimit},
		{400, "ExceededBudget: User=team-a over budget. Spend=10.2, Budget=10.0", UsageLimit},
		{0, "The shared budget of this project is used up", UsageLimit},
		{0, "team has reached its spending limit", UsageLimit},
		{0, "Billing hard limit has been reached", UsageLimit},
		{0, "Your team has either used all available credits or reached its monthly spending limit", UsageLimit},
		{0, "Insufficient Balance", UsageLimit},
		{0, "Insufficient account funds", UsageLimit},
		{0, "ThrottlingException: Too many tokens per day, please wait before trying again.", UsageLimit},
		{0, "Tokens per day limit exceeded - too many tokens processed.", UsageLimit},
		{0, "Requests to the ChatCompletions operation have exceeded token rate limit of your current pricing tier", UsageLimit},
		{0, "RateLimitReached: Rate limit of 50 per 86400s exceeded for UserByModelByDay", UsageLimit},
		{0, "Monthly allowance exhausted", UsageLimit},

		// A server that throttles everybody, and one that is not there.
		{429, "API Error: Server is temporarily limiting requests (not your usage limit) · Rate limited", Outage},
		{0, "Server is temporarily limiting requests (not your usage limit)", Outage},
		{0, "Selected model is at capacity. Please try a different model.", Outage},
		{0, "We're currently experiencing high demand, which may cause temporary errors.", Outage},
		{429, "No capacity available for model gemini-3-pro on the server", Outage},
		{429, "MODEL_CAPACITY_EXHAUSTED", Outage},
		{0, "Cannot connect to API: Unable to connect. Is the computer able to access the url?", Outage},
		{0, "API Error: Unable to connect to API (ConnectionRefused)", Outage},
		{0, "API Error: Unable to connect to API (FailedToOpenSocket)", Outage},
		{0, "API Error: Connection error.", Outage},
		{0, "API Error: 500 Internal server error", Outage},
		{0, "stream disconnected before completion: error sending request for url (http://127.0.0.1:9/v1/responses)", Outage},
		{0, "waiting for network (Connection failed: error sending request)", Outage},
		{0, "[API Error: exception TypeError: fetch failed sending request]", Outage},
		{0, "getaddrinfo EAI_AGAIN api.example.com", Outage},
		{0, "connect ECONNREFUSED 127.0.0.1:11434", Outage},
		{0, "socket hang up", Outage},
		{0, "Request timed out.", Outage},
		{502, "<html>Bad Gateway</html>", Outage},
		{408, "", Outage},
		{0, "upstream connect error or disconnect/reset before headers", Outage},

		// Neighbours of those: other amounts, other owners, other words for their end.
		{0, "You've hit your Opus limit · resets 3pm", UsageLimit},
		{0, "You’ve hit your Sonnet 4.5 limit", UsageLimit},
		{0, "You have hit your daily message limit", UsageLimit},
		{0, "You've exceeded your daily token limit", UsageLimit},
		{0, "Your account has hit a rate limit", UsageLimit},
		{0, "rate-limited", UsageLimit},
		{0, `API Error: 429 {"type":"error","error":{"type":"rate_limit_error","message":"This request would exceed your account's rate limit."}}`, UsageLimit},
		{0, "Number of request tokens has exceeded your per-minute rate limit", UsageLimit},
		{0, "Number of concurrent connections has exceeded your rate limit", UsageLimit},
		{0, "The usage limit has been reached", UsageLimit},
		{0, "You have no quota left", UsageLimit},
		{0, "This account does not have enough credits", UsageLimit},
		{0, "Not enough credits. Required: 2, available: 0", UsageLimit},
		{0, "Your prepayment credits are depleted. Please go to the studio", UsageLimit},
		{0, "spending cap exceeded: your project has exceeded its monthly spending cap", UsageLimit},
		{0, "You've used 100% of your included usage", UsageLimit},
		{0, "You have used all of your included requests", UsageLimit},
		{0, "You've used up your premium requests for the month", UsageLimit},
		{0, "TPD limit exceeded", UsageLimit},
		{401, "Insufficient balance.", UsageLimit},
		{401, "Your workspace has reached its monthly spending limit of $20.", UsageLimit},
		{0, "已达到 5 小时的使用上限。您的限额将在 2026-09-12 00:35:41 重置。", UsageLimit},
		{0, "余额不足", UsageLimit},

		// A name says what its words do not.
		{0, `{"error":{"type":"usage_limit_reached","message":"no"}}`, UsageLimit},
		{429, `{"error":{"type":"usage_not_included","message":"no"}}`, Auth},
		{0, "workspace_owner_credits_depleted", UsageLimit},
		{0, `{"error":{"code":"insufficient_quota"}}`, UsageLimit},
		{0, "INSUFFICIENT_G1_CREDITS_BALANCE", UsageLimit},
		{0, `[{"error":{"status":"RESOURCE_EXHAUSTED","message":"no","details":[{"reason":"RATE_LIMIT_EXCEEDED"}]}}]`, UsageLimit},
		{0, `[{"error":{"status":"RESOURCE_EXHAUSTED","message":"no","details":[{"reason":"MODEL_CAPACITY_EXHAUSTED"}]}}]`, Outage},
		{0, `{"error":{"status":"UNAVAILABLE","message":"no"}}`, Outage},
		{0, `{"error":{"status":"PERMISSION_DENIED","message":"no"}}`, Auth},
		{0, `{"error":{"code":"server_is_overloaded","message":"no"}}`, Outage},
		{400, `{"error":{"type":"invalid_request_error","message":"no"}}`, Failed},
		{429, "google/gemini-2.5 is temporarily rate-limited upstream. Please retry shortly", Outage},
		{0, "We have exceeded our capacity", Outage},

		// What no time mends.
		{429, "Usage credits are required for this model", Auth},
		{429, "Your account is not active, please check your billing details on our website.", Auth},
		{403, "Your usage allocation has been disabled by your admin", Auth},
		{0, "To use Codex with your ChatGPT plan, upgrade to Plus", Auth},
		{0, "Your free trial has ended", Auth},
		{401, "No payment method. Add a payment method here", Auth},
		{0, "Usage credits are required for this model", Auth},
		{0, "Extra usage is required for long context requests", Auth},
		{0, "Your usage allocation has been disabled by your admin", Auth},
		{0, "Your seat type doesn't include Claude Code", Auth},
		{0, "Upgrade to Plus to use Codex", Auth},
		{0, "Your subscription has expired", Auth},
		{400, "This organization has been disabled.", Auth},

		// Limits that are none of an account's, and words that only sound like one.
		{0, "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory", Failed},
		{0, "ENOSPC: System limit for number of file watchers reached", Failed},
		{0, "EMFILE: too many open files, limit reached", Failed},
		{0, "stack overflow: recursion limit reached", Failed},
		{0, "Command exceeded its cpu limit", Failed},
		{0, "connection pool limit reached", Failed},
		{0, "nesting depth exceeded limit", Failed},
		{0, "Reached maximum budget ($5)", Failed},
		{0, "error_max_budget_usd", Failed},
		{0, "thinking budget exceeded", Failed},
		{0, "Invalid value for max_output_tokens: exceeds limit of 8192", Failed},
		{0, "hit a breakpoint near the limit", Failed},
		{0, "Cannot find module './rate-limit'", Failed},
		{0, "error: unknown option '--usage-limit'", Failed},
		{0, "ENOENT: no such file, open '/srv/rate_limit/config.json'", Failed},
		{0, "fatal: pathspec 'usage_limit.go' did not match any files", Failed},
		{0, "API rate limit exceeded for user ID 1", Failed}, // a forge's
		{404, "Quota project not found", Failed},
		{0, "rollout token budget exhausted", Failed},
		{0, "context window limit reached", Failed},
		{0, "tool call limit exceeded", Failed},
		{0, "maximum number of steps reached", Failed},
		{0, "max_turns limit reached", Failed},
		{0, "retry limit exceeded", Failed},
		{0, "file size limit exceeded", Failed},
		{0, "write error: Disk quota exceeded", Failed},
		{0, "the time limit was hit", Failed},
		{0, "unknown model: stub/none", Failed},
		{0, "Unexpected server error. Check server logs for details.", Failed},
		{404, "model not found", Failed},
		{400, "messages: invalid request", Failed},
	} {
		if got := verdict(complaint{status: tt.status, text: tt.text}); got != tt.want {
			t.Errorf("%d %q: %s, want %s", tt.status, tt.text, got, tt.want)
		}
	}
}

func TestConversationThatIsRefusedEveryTimeIsSpent(t *testing.T) {
	for _, tt := range []struct {
		status int
		text   string
		want   bool
	}{
		{0, "Prompt is too long", true},
		{400, "prompt is too long: 214031 tokens > 200000 maximum", true},
		{0, "Codex ran out of room in the model context window. Start a new thread or clear earlier history before retrying.", true},
		{0, "API Error: 400 messages.41: tool_use ids were found without tool_result blocks immediately after: toolu_01. Each tool_use block must have a corresponding tool_result block in the next message.", true},
		{400, "messages.3.content.0: unexpected `tool_use_id` found in `tool_result` blocks: toolu_01. Each `tool_result` block must have a corresponding `tool_use` block in the previous message.", true},
		{400, "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. The following tool_call_ids did not have response messages: call_1", true},
		{0, "No tool output found for function call call_1.", true},
		{0, "No tool call found for function call output with call_id call_1.", true},
		{400, "Please ensure that the number of function response parts is equal to the number of function call parts of the function call turn.", true},
		{0, "Please ensure that function call turn comes immediately after a user turn or after a function response turn.", true},
		{400, "This model's maximum context length is 128000 tokens. However, your messages resulted in 140000 tokens.", true},
		{400, "context_length_exceeded", true},
		{0, "Your input exceeds the context window of this model. Please adjust your input and try again.", true},
		{400, "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).", true},
		{413, "request_too_large: Request exceeds the maximum size", true},
		{0, "ContextOverflowError too much", true},
		{0, "Conversation too long. Press esc twice to go up a few messages and try again.", true},
		{400, "messages.5.content.0: `thinking` or `redacted_thinking` blocks in the latest assistant message cannot be modified.", true},
		{400, "messages.1.content.0: Invalid `signature` in `thinking` block", true},
		{400, "messages: text content blocks must be non-empty", true},
		{400, "Item 'rs_1' of type 'reasoning' was provided without its required following item.", true},
		{400, "The encrypted content gAAA could not be verified", true},
		{400, "messages: roles must alternate between user and assistant", true},
		{400, "messages.9.content.1.image: image exceeds 5 MB maximum", true},

		{503, "Prompt is too long", false},
		{429, "Prompt is too long", false},
		{401, "context window", false},
		{400, "bad request", false},
		{0, "output token limit reached", false},
		{0, "Budget has been exceeded", false},
		{0, "No conversation found with session ID", false},
		{0, "exit status 1: command not found", false},
	} {
		if got := (complaint{status: tt.status, text: tt.text}).isSpent(); got != tt.want {
			t.Errorf("%d %q: spent %t", tt.status, tt.text, got)
		}
		if tt.want && verdict(complaint{status: tt.status, text: tt.text}) != Failed {
			t.Errorf("%d %q: %s", tt.status, tt.text, verdict(complaint{status: tt.status, text: tt.text}))
		}
	}
	for preset, out := range map[string]string{
		"claude":   `{"type":"result","subtype":"success","is_error":true,"result":"Prompt is too long"}`,
		"codex":    `{"type":"turn.failed","error":{"message":"Codex ran out of room in the model context window."}}`,
		"gemini":   `{"type":"result","status":"error","error":{"message":"The input token count (1200000) exceeds the maximum number of tokens allowed"}}`,
		"opencode": `{"type":"error","error":{"name":"ContextOverflowError","data":{"message":"no","statusCode":400}}}`,
	} {
		p := parserOf(t, preset, then)
		feed(p, out, "")
		if r := p.Report(Exit{Code: 1}); r.Outcome != Failed || !r.Spent {
			t.Errorf("%s: %+v", preset, r)
		}
	}
}

func TestRequestThatNoMinuteHasRoomForIsSpentToo(t *testing.T) {
	c := complaint{status: 429, text: "Request too large for gpt-5 on tokens per min (TPM): Limit 30000, Requested 40000."}
	if !c.isSpent() || verdict(c) != Failed {
		t.Errorf("spent %t, %s", c.isSpent(), verdict(c))
	}
}

// stderr is the program's, and of the hooks and servers that it starts. Only a line that begins with the statement is its own.
func TestLineOnStderrHoldsNoAgentUnlessItIsThePrograms(t *testing.T) {
	for line, want := range map[string]string{
		"You've hit your usage limit. Try again later.":                       UsageLimit,
		"Error: You've hit your usage limit. Try again later.":                UsageLimit,
		"[API Error: You have exhausted your daily quota on this model.]":     UsageLimit,
		"Claude AI usage limit reached|1795641886":                            UsageLimit,
		"error: connect ECONNREFUSED 127.0.0.1:9":                             Outage,
		"Invalid API key · Fix external API key":                              Auth,
		"error: tests failed: TestRateLimit: want usage limit reached":        Failed,
		"--- FAIL: TestQuota (0.00s): got \"usage limit reached\", want \"\"": Failed,
		"git push: remote: error: GH013 rate limit exceeded":                  Failed,
		"HTTP 403: API rate limit exceeded for user ID 1":                     Failed,
		"curl: (7) Failed to connect to example.com":                          Failed,
		"my-hook: status 429 Too Many Requests":                               Failed,
		"my-server: 401 Unauthorized":                                         Failed,
	} {
		for _, preset := range []string{"claude", "codex", "gemini", "opencode"} {
			p := parserOf(t, preset, then)
			feed(p, "", line)
			if r := p.Report(Exit{Code: 1}); r.Outcome != want || r.Summary != "exit status 1: "+line {
				t.Errorf("%s, %q: %s %q, want %s", preset, line, r.Outcome, r.Summary, want)
			}
		}
	}
}

func TestLimitThatMoneyLiftsSaysSoWhereNoTimeDoes(t *testing.T) {
	for text, want := range map[string]bool{
		"You’ve hit your spend cap set in your workspace.":                   true,
		"You've hit your org's monthly spend limit":                          true,
		"Your workspace is out of credits. Add credits to continue.":         true,
		"Credit balance is too low":                                          true,
		"Insufficient Balance":                                               true,
		"This request requires more credits, or fewer max_tokens.":           true,
		"Budget has been exceeded! Current cost: 10.2, Max budget: 10.0":     true,
		`{"error":{"code":"insufficient_quota","message":"no"}}`:             true,
		"You're out of usage credits · resets 8:40pm (UTC)":                  false, // it passes by itself
		"You've hit your usage limit. Upgrade to Pro or buy more credits.":   false, // an offer
		"You've reached your Fable 5 limit. Run /usage-credits to continue.": false,
		"5-hour limit reached":                                               false,
		"Rate limit reached for the model":                                   false,
	} {
		p := parserOf(t, "codex", then)
		p.Stdout([]byte(`{"type":"turn.failed","error":{"message":` + strconv.Quote(text) + `}}`))
		if r := p.Report(Exit{Code: 1}); r.Outcome != UsageLimit || r.Unpaid != want {
			t.Errorf("%q: %s, unpaid %t", text, r.Outcome, r.Unpaid)
		}
	}
}

// What the programs' own fields say comes before the words.
func TestFieldsOfAnEventSayMoreThanItsWords(t *testing.T) {
	for _, tt := range []struct{ name, preset, out, outcome string }{
		{"a conversation that is too long", "claude", `{"type":"result","subtype":"success","is_error":true,"terminal_reason":"blocking_limit","result":"You have reached the usage limit of this conversation"}`, Failed},
		{"claude's name for a limit", "claude", `{"type":"assistant","error":"rate_limit","message":{"content":[{"type":"text","text":"no"}]}}` + "\n" + `{"type":"result","subtype":"success","is_error":true,"result":"no"}`, UsageLimit},
		{"and a throttle of the server's under that name", "claude", `{"type":"assistant","error":"rate_limit","message":{"content":[{"type":"text","text":"no"}]}}` + "\n" + `{"type":"result","subtype":"success","is_error":true,"api_error_status":429,"result":"Server is temporarily limiting requests (not your usage limit)"}`, Outage},
		{"claude's name for a server's fault", "claude", `{"type":"assistant","error":"server_error"}` + "\n" + `{"type":"result","subtype":"success","is_error":true,"result":"the quota service: usage limit reached"}`, Outage},
		{"errors that the process met", "claude", `{"type":"result","subtype":"error_during_execution","is_error":true,"errors":["hook: you have hit your usage limit"]}`, Failed},
		{"turns that the user limited", "claude", `{"type":"result","subtype":"error_max_turns","is_error":true}`, Failed},
		{"a budget that the user set", "claude", `{"type":"result","subtype":"error_max_budget_usd","is_error":true,"errors":["Reached maximum budget ($5)"]}`, Failed},
		{"opencode's provider in its answer", "opencode", `{"type":"error","error":{"name":"APIError","data":{"message":"no","statusCode":401,"responseBody":"{\"error\":{\"type\":\"CreditsError\"}}"}}}`, UsageLimit},
		{"a free plan", "opencode", `{"type":"error","error":{"name":"FreeUsageLimitError","data":{"message":"no"}}}`, UsageLimit},
	} {
		p := parserOf(t, tt.preset, then)
		feed(p, tt.out, "")
		if r := p.Report(Exit{Code: 1}); r.Outcome != tt.outcome {
			t.Errorf("%s: %s %q, want %s", tt.name, r.Outcome, r.Summary, tt.outcome)
		}
	}
	for code, want := range map[int]string{173: UsageLimit, 145: Auth, 41: Auth, 247: Outage, 244: Outage, 255: Failed, 53: Failed, 1: Failed} {
		if r := parserOf(t, "gemini", then).Report(Exit{Code: code}); r.Outcome != want {
			t.Errorf("gemini's exit status %d: %s, want %s", code, r.Outcome, want)
		}
	}
}

// The time of a try that was served since says nothing of the limit that ended the run; nor does a time that has passed.
func TestStaleTimeGivesWayToTheOneInTheWords(t *testing.T) {
	p := parserOf(t, "claude", then)
	feed(p, `{"type":"rate_limit_event","rate_limit_info":{"status":"rejected","resetsAt":1795600000}}`+"\n"+
		`{"type":"result","subtype":"success","is_error":true,"api_error_status":429,"result":"You've hit your session limit · resets 9pm"}`, "")
	if r := p.Report(Exit{Code: 1}); !r.Reset.Equal(at("2026-11-25T21:00:00Z")) {
		t.Errorf("claude: %s", r.Reset)
	}
	p = parserOf(t, "gemini", then)
	p.Stderr([]byte("Attempt 1 failed: You have exhausted your capacity on this model. Retrying after 90000ms..."))
	feed(p, `{"type":"message","role":"assistant","content":"I go on"}`+"\n"+`{"type":"result","status":"error","error":{"message":"You have exhausted your daily quota on this model."}}`, "")
	if r := p.Report(Exit{Code: 173}); r.Outcome != UsageLimit || !r.Reset.IsZero() {
		t.Errorf("gemini: %s %s", r.Outcome, r.Reset)
	}
}

// An agent at work on somebody's limits speaks of them all the time.
func TestModelsOwnWordsAreNoLimit(t *testing.T) {
	const words = `I fixed it: 429 Too Many Requests, usage limit reached, try again in 2 hours; 401 Unauthorized, please run /login`
	for preset, stdout := range map[string]string{
		"claude": `{"type":"assistant","message":{"id":"1","content":[{"type":"text","text":"` + words + `"}]}}` + "\n",
		"codex":  `{"type":"item.completed","item":{"type":"agent_message","text":"` + words + `"}}` + "\n",
		"gemini": `{"type":"message","role":"assistant","content":"` + words + `"}` + "\n",
		"opencode": `{"type":"text","part":{"text":"` + words + `"}}` + "\n" +
			`{"type":"tool_use","part":{"tool":"bash","state":{"status":"completed","output":"` + words + `"}}}` + "\n",
	} {
		p := parserOf(t, preset, then)
		feed(p, stdout, "")
		for _, exit := range []Exit{{}, {Code: 1}} {
			if r := p.Report(exit); p.Parked() || r.Outcome == UsageLimit || r.Outcome == Auth {
				t.Errorf("%s, %s: parked %t, %s %q", preset, exit, p.Parked(), r.Outcome, r.Summary)
			}
		}
	}
	p := parserOf(t, "claude", then)
	feed(p, `{"type":"result","subtype":"success","is_error":false,"result":"`+words+`"}`, "")
	if r := p.Report(Exit{}); r.Outcome != OK || r.Summary != words {
		t.Errorf("%+v", r)
	}
}
