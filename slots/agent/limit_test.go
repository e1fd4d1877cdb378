package agent

import (
	"strconv"
	"testing"

	"kugetsu/queue/outcome"
)

func TestErrorsMeanWhatTheProvidersMean(t *testing.T) {
	for _, tt := range []struct {
		status int
		text   string
		want   outcome.Outcome
	}{
		{429, "", outcome.UsageLimit},
		{402, "Insufficient credits", outcome.UsageLimit},
		{401, "", outcome.Auth},
		{403, "no access", outcome.Auth},
		{403, "You exceeded your monthly spending limit", outcome.UsageLimit},
		{529, "Overloaded, rate limit", outcome.Outage},
		{503, "quota service unavailable", outcome.Outage},
		{500, "", outcome.Outage},
		{400, "bad request", outcome.Failed},
		{400, "Your credit balance is too low to access the API.", outcome.UsageLimit},
		{400, "API key not valid. Please pass a valid API key.", outcome.Auth},
		{400, "prompt is too long: 210000 tokens > 200000 maximum", outcome.Failed},
		{0, "Claude AI usage limit reached|1733160000", outcome.UsageLimit},
		{0, "You've hit your session limit · resets 3am", outcome.UsageLimit},
		{0, "You’ve hit your usage limit.", outcome.UsageLimit},
		{0, "5-hour limit reached", outcome.UsageLimit},
		{0, "insufficient_quota", outcome.UsageLimit},
		{0, "Rate limit reached for the model", outcome.UsageLimit},
		{0, "rate_limit_exceeded", outcome.UsageLimit},
		{0, "Too Many Requests", outcome.UsageLimit},
		{0, "RESOURCE_EXHAUSTED", outcome.UsageLimit},
		{0, "You're out of usage credits", outcome.UsageLimit},
		{0, "exceeded retry limit, last status: 429 Too Many Requests", outcome.UsageLimit},
		{0, "exceeded retry limit, last status: 500 Internal Server Error", outcome.Outage},
		{0, "unexpected status 401 Unauthorized: who are you", outcome.Auth},
		{0, "Invalid API key · Fix external API key", outcome.Auth},
		{0, "Incorrect API key provided: x", outcome.Auth},
		{0, "invalid x-api-key", outcome.Auth},
		{0, "Not logged in · Please run /login", outcome.Auth},
		{0, "OAuth token has expired. Please log in again", outcome.Auth},
		{0, "Your access token could not be refreshed. Please log out and sign in again.", outcome.Auth},
		{0, "Missing environment variable: `OPENAI_API_KEY`.", outcome.Auth},
		{0, "overloaded_error", outcome.Outage},
		{0, "Provider is overloaded", outcome.Outage},
		{0, "output token limit reached", outcome.Failed},
		{0, "the maximum context length is exceeded", outcome.Failed},
		{0, "exit status 1: see issue 429 and line 401", outcome.Failed},
		{0, "", outcome.Failed},

		// As the programs say it; some only with the words, where the status is lost.
		{0, "Claude usage limit reached. Your limit will reset at 3pm (America/Bogota).", outcome.UsageLimit},
		{0, "5-hour limit reached ∙ resets 3am", outcome.UsageLimit},
		{0, "Weekly limit reached ∙ resets 10am (Asia/Seoul)", outcome.UsageLimit},
		{0, "You've hit your limit · resets Feb 16, 11am (Europe/Berlin)", outcome.UsageLimit},
		{0, "You've hit your limit - resets Feb 7, 11am (Asia/Seoul)/login to switch", outcome.UsageLimit},
		{0, "You've hit your weekly limit · resets Mon 12:00am", outcome.UsageLimit},
		{0, "You've reached your Fable 5 limit. Run /usage-credits to continue or switch models with /model", outcome.UsageLimit},
		{0, "You've hit your monthly spend limit", outcome.UsageLimit},
		{0, "You've hit your org's monthly spend limit", outcome.UsageLimit},
		{0, "You're out of usage credits · resets 8:40pm (UTC)", outcome.UsageLimit},
		{0, "Your org is out of usage", outcome.UsageLimit},
		{0, "Opus weekly limit reached", outcome.UsageLimit},
		{400, "You have reached your specified API usage limits. You will regain access on 2026-12-01 at 00:00 UTC.", outcome.UsageLimit},
		{0, "You've hit your usage limit for GPT-5-Codex-Spark. Switch to another model now, or try again at 9:13 PM.", outcome.UsageLimit},
		{0, "You’ve hit your spend cap set in your workspace.", outcome.UsageLimit},
		{0, "You’ve hit the spend cap set by the owner of your workspace", outcome.UsageLimit},
		{0, "Your workspace is out of credits. Add credits to continue.", outcome.UsageLimit},
		{0, "wait for limits to reset (every 5h and every week): you've hit your usage limit", outcome.UsageLimit},
		{0, "[API Error: You have exhausted your capacity on this model. Your quota will reset after 4h28m20s.]", outcome.UsageLimit},
		{0, "You have reached your daily gemini-2.5-pro quota limit", outcome.UsageLimit},
		{0, "You exceeded your current quota, please check your plan and billing details.", outcome.UsageLimit},
		{0, "Resource has been exhausted (e.g. check quota).", outcome.UsageLimit},
		{0, "Free usage exceeded, subscribe to Go", outcome.UsageLimit},
		{0, "Weekly/Monthly Limit Exhausted. Your limit will reset at 2026-09-12 00:35:41", outcome.UsageLimit},
		{0, "5 hour usage limit reached. It will reset in 3 hours 20 minutes.", outcome.UsageLimit},
		{0, "You have exceeded your monthly limit for premium requests", outcome.UsageLimit},
		{0, "you have reached your session usage limit", outcome.UsageLimit},
		{0, "This request requires more credits, or fewer max_tokens. You requested up to 32000 tokens, but can only afford 1234.", outcome.UsageLimit},
		{402, "This request requires more credits", outcome.UsageLimit},
		{403, "Key limit exceeded (total limit). Manage it using https://router.example/keys", outcome.UsageLimit},
		{400, "Budget has been exceeded! Current cost: 10.2, Max budget: 10.0", outcome.UsageLimit},
		{400, "ExceededBudget: User=team-a over budget. Spend=10.2, Budget=10.0", outcome.UsageLimit},
		{0, "The shared budget of this project is used up", outcome.UsageLimit},
		{0, "team has reached its spending limit", outcome.UsageLimit},
		{0, "Billing hard limit has been reached", outcome.UsageLimit},
		{0, "Your team has either used all available credits or reached its monthly spending limit", outcome.UsageLimit},
		{0, "Insufficient Balance", outcome.UsageLimit},
		{0, "Insufficient account funds", outcome.UsageLimit},
		{0, "ThrottlingException: Too many tokens per day, please wait before trying again.", outcome.UsageLimit},
		{0, "Tokens per day limit exceeded - too many tokens processed.", outcome.UsageLimit},
		{0, "Requests to the ChatCompletions operation have exceeded token rate limit of your current pricing tier", outcome.UsageLimit},
		{0, "RateLimitReached: Rate limit of 50 per 86400s exceeded for UserByModelByDay", outcome.UsageLimit},
		{0, "Monthly allowance exhausted", outcome.UsageLimit},

		// A server that throttles all its users, and a server that is not there.
		{429, "API Error: Server is temporarily limiting requests (not your usage limit) · Rate limited", outcome.Outage},
		{0, "Server is temporarily limiting requests (not your usage limit)", outcome.Outage},
		{0, "Selected model is at capacity. Please try a different model.", outcome.Outage},
		{0, "We're currently experiencing high demand, which may cause temporary errors.", outcome.Outage},
		{429, "No capacity available for model gemini-3-pro on the server", outcome.Outage},
		{429, "MODEL_CAPACITY_EXHAUSTED", outcome.Outage},
		{0, "Cannot connect to API: Unable to connect. Is the computer able to access the url?", outcome.Outage},
		{0, "API Error: Unable to connect to API (ConnectionRefused)", outcome.Outage},
		{0, "API Error: Unable to connect to API (FailedToOpenSocket)", outcome.Outage},
		{0, "API Error: Connection error.", outcome.Outage},
		{0, "API Error: 500 Internal server error", outcome.Outage},
		{0, "stream disconnected before completion: error sending request for url (http://127.0.0.1:9/v1/responses)", outcome.Outage},
		{0, "waiting for network (Connection failed: error sending request)", outcome.Outage},
		{0, "[API Error: exception TypeError: fetch failed sending request]", outcome.Outage},
		{0, "getaddrinfo EAI_AGAIN api.example.com", outcome.Outage},
		{0, "connect ECONNREFUSED 127.0.0.1:11434", outcome.Outage},
		{0, "socket hang up", outcome.Outage},
		{0, "Request timed out.", outcome.Outage},
		{502, "<html>Bad Gateway</html>", outcome.Outage},
		{408, "", outcome.Outage},
		{0, "upstream connect error or disconnect/reset before headers", outcome.Outage},

		// Variants of those: other amounts, other owners, other words for their end.
		{0, "You've hit your Opus limit · resets 3pm", outcome.UsageLimit},
		{0, "You’ve hit your Sonnet 4.5 limit", outcome.UsageLimit},
		{0, "You have hit your daily message limit", outcome.UsageLimit},
		{0, "You've exceeded your daily token limit", outcome.UsageLimit},
		{0, "Your account has hit a rate limit", outcome.UsageLimit},
		{0, "rate-limited", outcome.UsageLimit},
		{0, `API Error: 429 {"type":"error","error":{"type":"rate_limit_error","message":"This request would exceed your account's rate limit."}}`, outcome.UsageLimit},
		{0, "Number of request tokens has exceeded your per-minute rate limit", outcome.UsageLimit},
		{0, "Number of concurrent connections has exceeded your rate limit", outcome.UsageLimit},
		{0, "The usage limit has been reached", outcome.UsageLimit},
		{0, "You have no quota left", outcome.UsageLimit},
		{0, "This account does not have enough credits", outcome.UsageLimit},
		{0, "Not enough credits. Required: 2, available: 0", outcome.UsageLimit},
		{0, "Your prepayment credits are depleted. Please go to the studio", outcome.UsageLimit},
		{0, "spending cap exceeded: your project has exceeded its monthly spending cap", outcome.UsageLimit},
		{0, "You've used 100% of your included usage", outcome.UsageLimit},
		{0, "You have used all of your included requests", outcome.UsageLimit},
		{0, "You've used up your premium requests for the month", outcome.UsageLimit},
		{0, "TPD limit exceeded", outcome.UsageLimit},
		{401, "Insufficient balance.", outcome.UsageLimit},
		{401, "Your workspace has reached its monthly spending limit of $20.", outcome.UsageLimit},
		{0, "已达到 5 小时的使用上限。您的限额将在 2026-09-12 00:35:41 重置。", outcome.UsageLimit},
		{0, "余额不足", outcome.UsageLimit},

		// A name says what its words do not.
		{0, `{"error":{"type":"usage_limit_reached","message":"no"}}`, outcome.UsageLimit},
		{429, `{"error":{"type":"usage_not_included","message":"no"}}`, outcome.Auth},
		{0, "workspace_owner_credits_depleted", outcome.UsageLimit},
		{0, `{"error":{"code":"insufficient_quota"}}`, outcome.UsageLimit},
		{0, "INSUFFICIENT_G1_CREDITS_BALANCE", outcome.UsageLimit},
		{0, `[{"error":{"status":"RESOURCE_EXHAUSTED","message":"no","details":[{"reason":"RATE_LIMIT_EXCEEDED"}]}}]`, outcome.UsageLimit},
		{0, `[{"error":{"status":"RESOURCE_EXHAUSTED","message":"no","details":[{"reason":"MODEL_CAPACITY_EXHAUSTED"}]}}]`, outcome.Outage},
		{0, `{"error":{"status":"UNAVAILABLE","message":"no"}}`, outcome.Outage},
		{0, `{"error":{"status":"PERMISSION_DENIED","message":"no"}}`, outcome.Auth},
		{0, `{"error":{"code":"server_is_overloaded","message":"no"}}`, outcome.Outage},
		{400, `{"error":{"type":"invalid_request_error","message":"no"}}`, outcome.Failed},
		{429, "google/gemini-2.5 is temporarily rate-limited upstream. Please retry shortly", outcome.Outage},
		{0, "We have exceeded our capacity", outcome.Outage},

		// Limits that no time lifts.
		{429, "Usage credits are required for this model", outcome.Auth},
		{429, "Your account is not active, please check your billing details on our website.", outcome.Auth},
		{403, "Your usage allocation has been disabled by your admin", outcome.Auth},
		{0, "To use Codex with your ChatGPT plan, upgrade to Plus", outcome.Auth},
		{0, "Your free trial has ended", outcome.Auth},
		{401, "No payment method. Add a payment method here", outcome.Auth},
		{0, "Usage credits are required for this model", outcome.Auth},
		{0, "Extra usage is required for long context requests", outcome.Auth},
		{0, "Your usage allocation has been disabled by your admin", outcome.Auth},
		{0, "Your seat type doesn't include Claude Code", outcome.Auth},
		{0, "Upgrade to Plus to use Codex", outcome.Auth},
		{0, "Your subscription has expired", outcome.Auth},
		{400, "This organization has been disabled.", outcome.Auth},

		// Limits that are not those of an account, and words that only sound like a limit.
		{0, "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory", outcome.Failed},
		{0, "ENOSPC: System limit for number of file watchers reached", outcome.Failed},
		{0, "EMFILE: too many open files, limit reached", outcome.Failed},
		{0, "stack overflow: recursion limit reached", outcome.Failed},
		{0, "Command exceeded its cpu limit", outcome.Failed},
		{0, "connection pool limit reached", outcome.Failed},
		{0, "nesting depth exceeded limit", outcome.Failed},
		{0, "Reached maximum budget ($5)", outcome.Failed},
		{0, "error_max_budget_usd", outcome.Failed},
		{0, "thinking budget exceeded", outcome.Failed},
		{0, "Invalid value for max_output_tokens: exceeds limit of 8192", outcome.Failed},
		{0, "hit a breakpoint near the limit", outcome.Failed},
		{0, "Cannot find module './rate-limit'", outcome.Failed},
		{0, "error: unknown option '--usage-limit'", outcome.Failed},
		{0, "ENOENT: no such file, open '/srv/rate_limit/config.json'", outcome.Failed},
		{0, "fatal: pathspec 'usage_limit.go' did not match any files", outcome.Failed},
		{0, "API rate limit exceeded for user ID 1", outcome.Failed}, // a forge's
		{404, "Quota project not found", outcome.Failed},
		{0, "rollout token budget exhausted", outcome.Failed},
		{0, "context window limit reached", outcome.Failed},
		{0, "tool call limit exceeded", outcome.Failed},
		{0, "maximum number of steps reached", outcome.Failed},
		{0, "max_turns limit reached", outcome.Failed},
		{0, "retry limit exceeded", outcome.Failed},
		{0, "file size limit exceeded", outcome.Failed},
		{0, "write error: Disk quota exceeded", outcome.Failed},
		{0, "the time limit was hit", outcome.Failed},
		{0, "unknown model: stub/none", outcome.Failed},
		{0, "Unexpected server error. Check server logs for details.", outcome.Failed},
		{404, "model not found", outcome.Failed},
		{400, "messages: invalid request", outcome.Failed},
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
		if tt.want && verdict(complaint{status: tt.status, text: tt.text}) != outcome.Failed {
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
		if r := p.Report(Exit{Code: 1}); r.Outcome != outcome.Failed || !r.Spent {
			t.Errorf("%s: %+v", preset, r)
		}
	}
}

func TestRequestThatNoMinuteHasRoomForIsSpentToo(t *testing.T) {
	c := complaint{status: 429, text: "Request too large for gpt-5 on tokens per min (TPM): Limit 30000, Requested 40000."}
	if !c.isSpent() || verdict(c) != outcome.Failed {
		t.Errorf("spent %t, %s", c.isSpent(), verdict(c))
	}
}

// stderr has the words of the program, and of the hooks and servers that it starts. Only a line that begins with the statement is
// the program's own.
func TestLineOnStderrHoldsNoAgentUnlessItIsThePrograms(t *testing.T) {
	for line, want := range map[string]outcome.Outcome{
		"You've hit your usage limit. Try again later.":                       outcome.UsageLimit,
		"Error: You've hit your usage limit. Try again later.":                outcome.UsageLimit,
		"[API Error: You have exhausted your daily quota on this model.]":     outcome.UsageLimit,
		"Claude AI usage limit reached|1795641886":                            outcome.UsageLimit,
		"error: connect ECONNREFUSED 127.0.0.1:9":                             outcome.Outage,
		"Invalid API key · Fix external API key":                              outcome.Auth,
		"error: tests failed: TestRateLimit: want usage limit reached":        outcome.Failed,
		"--- FAIL: TestQuota (0.00s): got \"usage limit reached\", want \"\"": outcome.Failed,
		"git push: remote: error: GH013 rate limit exceeded":                  outcome.Failed,
		"HTTP 403: API rate limit exceeded for user ID 1":                     outcome.Failed,
		"curl: (7) Failed to connect to example.com":                          outcome.Failed,
		"my-hook: status 429 Too Many Requests":                               outcome.Failed,
		"my-server: 401 Unauthorized":                                         outcome.Failed,
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
		if r := p.Report(Exit{Code: 1}); r.Outcome != outcome.UsageLimit || r.Unpaid != want {
			t.Errorf("%q: %s, unpaid %t", text, r.Outcome, r.Unpaid)
		}
	}
}

// The fields of a program's event decide before its words.
func TestFieldsOfAnEventSayMoreThanItsWords(t *testing.T) {
	for _, tt := range []struct {
		name, preset, out string
		outcome           outcome.Outcome
	}{
		{"a conversation that is too long", "claude", `{"type":"result","subtype":"success","is_error":true,"terminal_reason":"blocking_limit","result":"You have reached the usage limit of this conversation"}`, outcome.Failed},
		{"claude's name for a limit", "claude", `{"type":"assistant","error":"rate_limit","message":{"content":[{"type":"text","text":"no"}]}}` + "\n" + `{"type":"result","subtype":"success","is_error":true,"result":"no"}`, outcome.UsageLimit},
		{"and a throttle of the server's under that name", "claude", `{"type":"assistant","error":"rate_limit","message":{"content":[{"type":"text","text":"no"}]}}` + "\n" + `{"type":"result","subtype":"success","is_error":true,"api_error_status":429,"result":"Server is temporarily limiting requests (not your usage limit)"}`, outcome.Outage},
		{"claude's name for a server's fault", "claude", `{"type":"assistant","error":"server_error"}` + "\n" + `{"type":"result","subtype":"success","is_error":true,"result":"the quota service: usage limit reached"}`, outcome.Outage},
		{"errors that the process met", "claude", `{"type":"result","subtype":"error_during_execution","is_error":true,"errors":["hook: you have hit your usage limit"]}`, outcome.Failed},
		{"turns that the user limited", "claude", `{"type":"result","subtype":"error_max_turns","is_error":true}`, outcome.Failed},
		{"a budget that the user set", "claude", `{"type":"result","subtype":"error_max_budget_usd","is_error":true,"errors":["Reached maximum budget ($5)"]}`, outcome.Failed},
		{"opencode's provider in its answer", "opencode", `{"type":"error","error":{"name":"APIError","data":{"message":"no","statusCode":401,"responseBody":"{\"error\":{\"type\":\"CreditsError\"}}"}}}`, outcome.UsageLimit},
		{"a free plan", "opencode", `{"type":"error","error":{"name":"FreeUsageLimitError","data":{"message":"no"}}}`, outcome.UsageLimit},
	} {
		p := parserOf(t, tt.preset, then)
		feed(p, tt.out, "")
		if r := p.Report(Exit{Code: 1}); r.Outcome != tt.outcome {
			t.Errorf("%s: %s %q, want %s", tt.name, r.Outcome, r.Summary, tt.outcome)
		}
	}
	for code, want := range map[int]outcome.Outcome{173: outcome.UsageLimit, 145: outcome.Auth, 41: outcome.Auth, 247: outcome.Outage, 244: outcome.Outage, 255: outcome.Failed, 53: outcome.Failed, 1: outcome.Failed} {
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
	if r := p.Report(Exit{Code: 173}); r.Outcome != outcome.UsageLimit || !r.Reset.IsZero() {
		t.Errorf("gemini: %s %s", r.Outcome, r.Reset)
	}
}

// An agent whose task is about limits speaks of them all the time.
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
			if r := p.Report(exit); p.Parked() || r.Outcome == outcome.UsageLimit || r.Outcome == outcome.Auth {
				t.Errorf("%s, %s: parked %t, %s %q", preset, exit, p.Parked(), r.Outcome, r.Summary)
			}
		}
	}
	p := parserOf(t, "claude", then)
	feed(p, `{"type":"result","subtype":"success","is_error":false,"result":"`+words+`"}`, "")
	if r := p.Report(Exit{}); r.Outcome != outcome.OK || r.Summary != words {
		t.Errorf("%+v", r)
	}
}

// A limit of one family of models is known by the field of the event, and by that alone.
func TestLimitOfAModelIsTheOneThatTheProgramNames(t *testing.T) {
	event := func(status, window string) string {
		return `{"type":"rate_limit_event","rate_limit_info":{"status":"` + status + `","rateLimitType":"` + window + `","resetsAt":1795641886}}` + "\n"
	}
	const wall = `{"type":"result","subtype":"success","is_error":true,"api_error_status":429,"result":"You've hit your Opus limit"}`
	for _, tt := range []struct{ name, preset, out, want string }{
		{"opus", "claude", event("rejected", "seven_day_opus") + wall, "opus"},
		{"sonnet", "claude", event("rejected", "seven_day_sonnet") + wall, "sonnet"},
		{"the week of all models", "claude", event("rejected", "seven_day") + wall, ""},
		{"paid credits", "claude", event("rejected", "overage") + wall, ""},
		{"what includes several models", "claude", event("rejected", "seven_day_overage_included") + wall, ""},
		{"a warning alone", "claude", event("allowed_warning", "seven_day_opus") + wall, ""},
		{"the newest event counts", "claude", event("rejected", "seven_day_opus") + event("rejected", "five_hour") + wall, ""},
		{"words alone", "claude", wall, ""},
		{"words alone, of codex", "codex", `{"type":"turn.failed","error":{"message":"You've hit your usage limit for GPT-5-Codex-Spark. Switch to another model now."}}`, ""},
		{"words alone, of gemini", "gemini", `{"type":"result","status":"error","error":{"message":"You have exhausted your daily quota on this model."}}`, ""},
	} {
		p := parserOf(t, tt.preset, then)
		feed(p, tt.out, "")
		if r := p.Report(Exit{Code: 1}); r.Outcome != outcome.UsageLimit || r.Model != tt.want {
			t.Errorf("%s: %s of %q, want %q", tt.name, r.Outcome, r.Model, tt.want)
		}
	}
}

func TestFamilyIsThatWhichTheNameOfTheModelSays(t *testing.T) {
	for name, want := range map[string]string{
		"opus": "opus", "sonnet": "sonnet", "haiku": "haiku", "sonnet[1m]": "sonnet", "claude-opus-4-1-20250805": "opus", "claude-3-5-sonnet-20241022": "sonnet",
		"claude-sonnet-4-5[1m]": "sonnet",
		"opusplan":              "", "default": "", "best": "", "": "", "Opus": "", "my-opus": "", "anthropic.claude-opus-4-1-v1:0": "", "claude-next": "", "opus sonnet": "",
	} {
		if got := claude.Family(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	for _, tt := range []struct{ model, args, want string }{
		{"sonnet", "--model opus", "sonnet"},
		{"", "--model opus -v", "opus"},
		{"", "--model=opus", "opus"},
		{"", "--model opus --model=haiku", "haiku"},
		{"", "-v --model", ""},
		{"", "-v", ""},
		{"", `--model "`, ""},
	} {
		if got := claude.ModelOf(tt.model, tt.args); got != tt.want {
			t.Errorf("%q, %q: %q, want %q", tt.model, tt.args, got, tt.want)
		}
	}
}
