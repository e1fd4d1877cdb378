package agent

import (
	"net/http"
	"strconv"
	"strings"

	"kugetsu/queue/outcome"
	"kugetsu/queue/pattern"
)

// This file decides what errors mean, for all presets. It reads in this order: the HTTP status, which an exit status may give; the
// name that a program or a provider has for the error; the words. It reads only the messages of a program's own failure, never the
// model's words: the task of an agent may well be about a 429.
//
// Providers word the same limit in many ways, and change their words. So a limit is known by its grammar: an amount that is used
// up, of an account or for a time. Any other limit is the program's own, such as that of its heap, and does not pass.

// complaint is a program's message of its own failure.
type complaint struct {
	status  int    // the HTTP status; 0: not known
	name    string // the program's or the provider's name for the error; "" where there are only words
	text    string
	hearsay bool // the words may be those of another program, such as a hook or a tool that shares stderr
}

// names are the names of errors that say what they mean, of the programs and of the providers' answers.
var names = map[string]outcome.Outcome{
	// Claude Code, Anthropic
	"rate_limit": outcome.UsageLimit, "rate_limit_error": outcome.UsageLimit, "billing_error": outcome.UsageLimit, "out_of_credits": outcome.UsageLimit,
	"credits_required": outcome.Auth, "org_level_disabled": outcome.Auth, "oauth_org_not_allowed": outcome.Auth,
	"authentication_failed": outcome.Auth, "authentication_error": outcome.Auth, "permission_error": outcome.Auth,
	"overloaded": outcome.Outage, "overloaded_error": outcome.Outage, "server_error": outcome.Outage, "api_error": outcome.Outage, "timeout_error": outcome.Outage,
	// Codex, OpenAI
	"usage_limit_reached": outcome.UsageLimit, "rate_limit_exceeded": outcome.UsageLimit, "insufficient_quota": outcome.UsageLimit, "billing_hard_limit_reached": outcome.UsageLimit,
	"workspace_owner_credits_depleted": outcome.UsageLimit, "workspace_member_credits_depleted": outcome.UsageLimit,
	"workspace_owner_usage_limit_reached": outcome.UsageLimit, "workspace_member_usage_limit_reached": outcome.UsageLimit,
	"usage_not_included": outcome.Auth, "invalid_api_key": outcome.Auth, "account_deactivated": outcome.Auth, "billing_not_active": outcome.Auth,
	"server_is_overloaded": outcome.Outage, "slow_down": outcome.Outage,
	// Gemini CLI, Google
	"RESOURCE_EXHAUSTED": outcome.UsageLimit, "QUOTA_EXHAUSTED": outcome.UsageLimit, "RATE_LIMIT_EXCEEDED": outcome.UsageLimit, "INSUFFICIENT_G1_CREDITS_BALANCE": outcome.UsageLimit,
	"UNAUTHENTICATED": outcome.Auth, "PERMISSION_DENIED": outcome.Auth, "API_KEY_INVALID": outcome.Auth, "FatalAuthenticationError": outcome.Auth,
	"MODEL_CAPACITY_EXHAUSTED": outcome.Outage, "UNAVAILABLE": outcome.Outage, "INTERNAL": outcome.Outage, "DEADLINE_EXCEEDED": outcome.Outage,
	// opencode and its own provider
	"CreditsError": outcome.UsageLimit, "MonthlyLimitError": outcome.UsageLimit, "UserLimitError": outcome.UsageLimit, "FreeUsageLimitError": outcome.UsageLimit,
	"GoUsageLimitError": outcome.UsageLimit, "SubscriptionUsageLimitError": outcome.UsageLimit, "ProviderAuthError": outcome.Auth, "AuthError": outcome.Auth,
}

const (
	// amount matches what can be used up, and gap what may stand between two words.
	amount = `\b(?:limits?|caps?|quotas?|budgets?|allowances?|allotments?|credits?|balance|funds|usage|capacity|(?:premium|included|free|fast) (?:requests?|messages?))\b`
	gap    = `(?:[^.;\n]|\.[^ \n]){0,80}?`
)

var (
	// notWords are parts of a message that say nothing by their letters: addresses, paths, names of files, options.
	notWords = pattern.Lazy(`https?://[^\s"'<>)\]]+|(?:^|[\s'"(=\x60])\.{0,2}(?:/[\w.@~-]+)+|\b\w+(?:/[\w.@~-]+)*/[\w@~-]*\.\w+|(?:^|[\s'"(=\x60])-{1,2}[a-z][\w-]*|\b[\w-]*[a-z0-9_-]\.[a-z]{1,4}\b`)
	// ownLimits are limits that no provider lifts after a while: of one answer, of one conversation, of the program, of the machine.
	ownLimits = pattern.Lazy(`(?i)\b(?:output|context|input|prompt|tokens?|turns?|steps?|iterations?|retry|retries|time|size|length|memory|heap|stack|cpu|threads?|process(?:es)?|descriptors?|watch(?:er)?s?|pool|body|payload|nesting|depth|recursion|files?|lines?|images?|pages?|characters?|tool[ -]calls?|window|context window|thinking|reasoning|rollout token|disk|agents?|subagents?)[ _.-](?:(?:count|window|length|size|token|depth)[ _-])?(?:limits?|caps?|budgets?|quotas?)\b` +
		`|max(?:imum)?[ _](?:context|number of|output|input|budget|cost)[^.\n]*|max[_ ](?:turns|tokens|steps)(?: limit)?|context[ _](?:length|window)[^.\n]*` +
		`|\bapi rate limit exceeded for (?:user|installation|[0-9a-f.:]+)[^.\n]*`) // the last one is a forge's
	// timed matches amounts for a time, whatever they count. A program's own limit has no such time.
	timed = pattern.Lazy(`(?i)\b((?:hour|dai|week|month)ly|[0-9]+[ -]?h(?:ours?)?|per[ -](?:minute|hour|day|week|month)) (?:tokens?|requests?|messages?|output|input|time)\b`)
	// usedUp says that an amount is used up, before the amount or after it.
	usedUp = pattern.Lazy(`(?i)\b(?:hit|reach(?:ed|es|ing)?|exceed(?:s|ed|ing)?|exhaust(?:s|ed|ing)?|consumed|used (?:up|all)|out of|r[ua]n out of|no (?:more|remaining)|insufficient|not enough|(?:do|does)(?: not|n['’]t) have (?:enough|any)|can only afford|(?:requires?|needs?) more)\b` + gap + amount +
		`|\bused [0-9]+ ?%` + gap + amount +
		`|\bover (?:(?:the|your|its) )?(?:\w+ )?` + amount +
		`|` + amount + `(?:[^.;\n]|\.[^ \n]){0,40}?\b(?:reached|exceed(?:ed|s)|exhausted|depleted|used up|hit|spent|too low|insufficient|not enough|r[au]n out|left|gone)\b`)
	// ofAccount says that an amount is an account's, or for a time: by its name, its owner, its period, or its end.
	ofAccount = pattern.Lazy(`(?i)\byou(?:r|['’](?:ve|re))?\b|\b(?:accounts?|org(?:ani[sz]ation)?s?|workspaces?|teams?|projects?|plan|subscription|members?|tier|tpm|tpd|rpm|rpd|api key|key)\b` +
		`|\b(?:usage|quotas?|credits?|balance|funds|spend(?:ing)?|billing|allowance|allotment|budget|premium|free)\b` +
		`|\b(?:(?:hour|dai|week|month)ly|session|per (?:minute|hour|day)|(?:minute|hour|day|week|month)s?|[0-9]+h)\b|\bresets?\b|\btry again|\bretry after`)
	// limited are words that mean an account's limit in any sentence.
	limited = pattern.Lazy(`(?i)\brate[ _-]?limit(?:s|ed|ing|_error|_exceeded)?\b|RateLimitReached|\b(?:usage|session|weekly|daily|hourly|monthly|spend|spending|credit)[ _-]?limit\b|\btoo[ _-]?many[ _-]?(?:requests|tokens (?:per|a) )` +
		`|\bresource[ _-]?(?:has[ _]been[ _])?exhausted\b|\bover[ _-]?budget\b|\bexceeded[ _-]?budget\b|\binsufficient_\w+|\bpayment required\b|\bthrottl(?:ed|ing)|\bcurrent quota\b|\bquota will reset\b` +
		`|使用上限|(?:余额|额度)不足|(?:限额|额度|配额)[^。\n]{0,12}(?:用尽|耗尽|用完)`)
	// money are the words of limits that a person can lift by paying, or by raising a cap.
	money = pattern.Lazy(`(?i)\b(?:credits?|balance|funds|payment|prepa(?:id|yment)|CreditsError|out_of_credits|\w+_credits_depleted|insufficient_(?:funds|balance|quota)|INSUFFICIENT_G1_CREDITS_BALANCE|billing_\w+)\b|\b(?:spend(?:ing)?|budget|billing|cost)\b|余额`)

	// throttled are the words of servers that are busy, whatever the status.
	throttled = pattern.Lazy(`(?i)not your usage limit|(?:temporarily|currently) (?:limiting|overloaded|unavailable|at capacity|rate[ -]limited)|(?:at|no|over) capacity|exceeded our capacity|capacity[_ ](?:exhausted|exceeded)|capacity constraints|high demand|overloaded|server is busy|engine is currently|rate[ -]limited (?:by )?upstream`)
	// outageWords are the words of programs where a model's server, or the way to it, is down.
	outageWords = pattern.Lazy(`(?i)connection (?:was )?(?:refused|reset|closed|failed|error|lost|aborted|timed? ?out)|connection ?refused|\bE(?:CONN[A-Z]+|NOTFOUND|AI_AGAIN|TIMEDOUT|HOSTUNREACH|NETUNREACH)\b` +
		`|socket hang ?up|socket connection was closed|fetch failed|(?:unable|failed|cannot|can't|can not|could not|couldn't|not able)(?: to)? (?:connect|reach|resolve)|error (?:sending request|trying to connect)` +
		`|network (?:is )?(?:unreachable|down|error|failure|connection)|waiting for network|no (?:network|internet)|name resolution|getaddrinfo|\bdns (?:error|failure|lookup)|no route to host` +
		`|(?:request|connection|operation|connect|read|gateway|response|headers?)[ -]time(?:d)?[ -]?out|timeout waiting|stream disconnected|stream (?:error|closed|ended) (?:before|unexpectedly)|premature close` +
		`|service (?:is )?(?:temporarily )?unavailable|bad gateway|internal[ _]server[ _]error|overloaded_error|\bserver_error\b|\bapi_error\b|upstream (?:connect )?error|tls handshake|FailedToOpenSocket|ConnectionRefused`)
	authWords = pattern.Lazy(`(?i)(?:invalid|incorrect|missing|expired|no|revoked)[ _](?:or missing )?(?:x-)?(?:api|auth)[ _-]?(?:key|token)` +
		`|(?:api|auth)[ _-]?(?:key|token)(?:[ _]has been|[ _]has|[ _]is|[ _]was)?[ _](?:not valid|not set|invalid|missing|expired|revoked|required)` +
		`|token (?:has |is |was )?(?:been )?(?:expired|revoked)|(?:not|not yet) (?:logged|signed) in|please (?:run /login|log ?in|sign in|re-?authenticate)|(?:log|sign) ?in again` +
		`|unauthorized|unauthenticated|unauthorised|authentication[ _](?:failed|error|required)|failed to authenticate|invalid credentials` +
		`|set an auth method|providerautherror|missing environment variable`)
	// personWords are limits that neither time nor a login lifts: a person must change a plan, a seat or an account.
	personWords = pattern.Lazy(`(?i)(?:usage )?credits (?:are |is )?required|extra usage (?:is )?required|(?:usage|allocation|access|account|organization|workspace|api key|subscription)[a-z' ]{0,30} (?:has been |have been |is |was |are )?(?:disabled|suspended|deactivated|terminated|banned|cancel+ed|inactive|not active|expired)` +
		`|(?:disabled|blocked) by (?:your|an|the) (?:admin|administrator|organization|owner)|seat[a-z ]{0,20} (?:doesn['’]t|does not) include|(?:plan|subscription|seat|license)[a-z ]{0,20} (?:doesn['’]t|does not) (?:include|allow|support)|upgrade to [a-z]+(?: plan)? to (?:use|continue)|to use [a-z ]+ with your [a-z ]+ plan|not (?:included|available) (?:in|on|with|for) your (?:plan|subscription|seat)|requires? (?:a|an) (?:paid|active|pro|plus|max|team|enterprise)[a-z ]{0,20}(?:plan|subscription|account)` +
		`|\btrial (?:period )?(?:has |is |was )?(?:expired|ended|over)\b|(?:no|add a) payment method`)
	goneWords = pattern.Lazy(`No conversation found with session ID|no rollout found for thread id|Error resuming session|Session not found`)
	// spentWords are the words for a conversation that the model refuses every time: it is too long, or broken where an agent was
	// killed between a tool's call and its result.
	spentWords = pattern.Lazy(`(?i)(?:prompt|input|conversation|context|request|message)s? (?:is|are|was|has become|would be)? ?too (?:long|large|big)|(?:context|prompt)[ _]?(?:length|window|size)?[ _](?:limit )?(?:is |was |has been |would be )?(?:exceeded|overflow|too long|full)|contextoverflow|context_length|maximum context|context window|maximum number of (?:input )?tokens|exceeds? (?:the )?(?:maximum|model)[a-z' ]* (?:context|tokens|input|length)|ran out of room|request_too_large|prompt_too_long|too many (?:input |total )?tokens in` +
		`|tool_use[\x60' ]*(?:ids?|blocks?)[^\n]*tool_result|tool_result[\x60' ]*(?:blocks?)?[^\n]*tool_use|tool_calls?[\x60'" ]*(?:must be|_ids? did)[^\n]*|tool_call_ids? (?:did not|without)|no tool (?:output|call) found|function response parts|function call turn|tool (?:result|output|response)s?[a-z ]* (?:missing|not found|without)|(?:missing|no|without)[a-z ]* tool (?:result|output|response)s?` +
		`|(?:thinking|redacted_thinking)[\x60' a-z]*(?:blocks?)?[^\n]* (?:cannot be modified|must (?:be|start|remain))|signature[\x60' a-z]* (?:in )?[\x60']?thinking|expected [\x60']?(?:redacted_)?thinking|encrypted (?:content|reasoning)[a-z ]* (?:could not|cannot)|invalid_encrypted_content|provided without its required|roles must alternate|(?:content|text)[a-z ]*(?:blocks?)?[a-z ]* must be non-empty|must have non-empty content|could not process (?:the )?image|image (?:dimensions )?exceeds?`)
	// tooLargeForAMinute is a request that no minute has room for: it comes as a 429, and no waiting helps.
	tooLargeForAMinute = pattern.Lazy(`(?i)request too large[^\n]*tokens per min`)

	statusWords = pattern.Lazy(`(?i)(?:status|code|api error|http|rejected)["':=\s(]*([45][0-9]{2})\b`)
	leadingName = pattern.Lazy(`^[A-Za-z0-9_]+`)
	nameWords   = pattern.Lazy(`"(?:type|code|status|reason|errorCode)"\s*:\s*"([A-Za-z0-9_]+)"`)
	// prefixes are what programs put before their own message.
	prefixes = pattern.Lazy(`^(?:(?:\[[^\]:]{0,40}\]|\[?(?:[A-Za-z_]*(?:Error|ERROR|Exception)|(?i:error|fatal|claude|codex|gemini|opencode|http|api error))(?: [45][0-9]{2})?(?: \[[^\]]*\])?:)\s*)+`)
)

// own is the part of the words that is the program's own statement. If the words may be those of another program, only their
// beginning is: a program that failed begins with the reason, and quotes other programs behind a colon.
func (c complaint) own() string {
	if !c.hearsay {
		return c.text
	}
	text := strings.TrimSpace(c.text)
	text = text[len(prefixes().FindString(text)):]
	text, _, _ = strings.Cut(text, ": ")
	return text
}

// httpStatus is the HTTP status of the error: the one that is given, or else the one in its words; 0 where there is none.
func (c complaint) httpStatus() int {
	if c.status != 0 {
		return c.status
	}
	if m := statusWords().FindStringSubmatch(c.text); m != nil && !c.hearsay {
		status, _ := strconv.Atoi(m[1]) // three digits
		return status
	}
	return 0
}

// named is the outcome that the name of the error means; "" if no name tells. The name is the one that is given, or else one in a
// provider's answer.
func (c complaint) named() outcome.Outcome {
	if means := names[c.name]; means != "" || c.hearsay {
		return means
	}
	if means := names[leadingName().FindString(c.text)]; means != "" {
		return means
	}
	return names[nameIn(c.text)]
}

// nameIn is the last of the known names in a provider's answer; "" for none. The last one is the reason in the details, which says
// more than the status before it.
func nameIn(answer string) (name string) {
	for _, m := range nameWords().FindAllStringSubmatch(answer, -1) {
		if names[m[1]] != "" || spentNames[m[1]] {
			name = m[1]
		}
	}
	return name
}

// isSpent says whether the conversation itself is the fault, so that it would meet the error again at every try. If the status is
// that of another fault, the conversation is not: a server that is down may print anything.
func (c complaint) isSpent() bool {
	switch c.httpStatus() {
	case 0, 400, 413, 422:
		return spentNames[c.name] || spentWords().MatchString(c.own())
	case 429:
		return tooLargeForAMinute().MatchString(c.own())
	}
	return false
}

// spentNames are the names of errors of a conversation that is too long.
var spentNames = map[string]bool{"blocking_limit": true, "ContextOverflowError": true, "context_length_exceeded": true}

// isLimit says whether words are of a limit of an account.
func isLimit(text string) bool {
	text = notWords().ReplaceAllString(text, " ")
	text = timed().ReplaceAllString(text, "$1")
	text = ownLimits().ReplaceAllString(text, " ")
	return limited().MatchString(text) || usedUp().MatchString(text) && ofAccount().MatchString(text)
}

// isPaidFor says whether a person can lift a limit by paying or by raising a cap. It is asked only of limits without a known end:
// if a limit passes by itself, programs offer more for money all the same.
func (c complaint) isPaidFor() bool {
	return money().MatchString(c.name) || c.httpStatus() == http.StatusPaymentRequired || money().MatchString(firstSentence(c.own()))
}

// firstSentence is a message without the advice behind its first sentence.
func firstSentence(text string) string {
	if end := sentenceEnd().FindStringIndex(text); end != nil {
		return text[:end[0]]
	}
	return text
}

var sentenceEnd = pattern.Lazy(`[.!] (?:[A-Z]|$)|\n`)

// verdict is the outcome of an error: UsageLimit, Auth, Outage or Failed. If the status or the name is known, it decides, with
// three exceptions. A busy server is an outage and no limit. A conversation that is refused is no limit of the account. And some
// providers refuse an empty account with the status for a wrong key.
func verdict(c complaint) outcome.Outcome {
	status, name, text := c.httpStatus(), c.named(), c.own()
	busy := status == 0 || status == http.StatusRequestTimeout || status == http.StatusTooManyRequests || status >= 500
	switch {
	case busy && throttled().MatchString(text):
		return outcome.Outage
	case c.isSpent():
		return outcome.Failed
	case status < 500 && personWords().MatchString(text):
		return outcome.Auth
	case name != "" && name != outcome.Auth:
		return name
	case name == outcome.Auth, status == http.StatusUnauthorized, status == http.StatusForbidden:
		if isLimit(text) {
			return outcome.UsageLimit
		}
		return outcome.Auth
	case status == http.StatusTooManyRequests, status == http.StatusPaymentRequired:
		return outcome.UsageLimit
	case status == http.StatusRequestTimeout || status >= 500:
		return outcome.Outage
	case isLimit(text):
		return outcome.UsageLimit
	case authWords().MatchString(text):
		return outcome.Auth
	case status == 0 && outageWords().MatchString(text):
		return outcome.Outage
	}
	return outcome.Failed
}
