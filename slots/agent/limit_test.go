package agent

import "testing"

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
		{529, "Overloaded, rate limit", Failed},
		{503, "quota service unavailable", Failed},
		{500, "", Failed},
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
		{0, "exceeded retry limit, last status: 500 Internal Server Error", Failed},
		{0, "unexpected status 401 Unauthorized: who are you", Auth},
		{0, "Invalid API key · Fix external API key", Auth},
		{0, "Incorrect API key provided: x", Auth},
		{0, "invalid x-api-key", Auth},
		{0, "Not logged in · Please run /login", Auth},
		{0, "OAuth token has expired. Please log in again", Auth},
		{0, "Your access token could not be refreshed. Please log out and sign in again.", Auth},
		{0, "Missing environment variable: `OPENAI_API_KEY`.", Auth},
		{0, "overloaded_error", Failed},
		{0, "Provider is overloaded", Failed},
		{0, "output token limit reached", Failed},
		{0, "the maximum context length is exceeded", Failed},
		{0, "exit status 1: see issue 429 and line 401", Failed},
		{0, "", Failed},
	} {
		if got := verdict(tt.status, tt.text); got != tt.want {
			t.Errorf("%d %q: %s, want %s", tt.status, tt.text, got, tt.want)
		}
	}
}

// An agent at work on somebody's limits speaks of them all the time.
func TestTheModelsOwnWordsAreNoLimit(t *testing.T) {
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
