package agent

import "strconv"

// The meaning of errors. Only a program's messages of its own failure are judged here, never the model's words: the task of an
// agent may well be about a 429. Providers word the same thing in many ways. So a limit is known by its grammar, an amount that is
// used up, and not by a list of the amounts' names.
var (
	// amount is a word for a thing that can be used up, and spent a word for its being used up.
	limitWords = lazy(`(?i)` +
		`\b(?:hit|reach(?:ed|es|ing)?|exceed(?:s|ed|ing)?|exhaust(?:s|ed|ing)?|over (?:the|your|its)?|used (?:up )?all|used up|consumed)\b[^.\n]{0,80}?\b(?:limits?|caps?|quotas?|budgets?|allowances?|allotments?|credits?|usage|capacity)\b` +
		`|\b(?:limits?|caps?|quotas?|budgets?|allowances?|allotments?|credits?|balance|usage|funds)\b[^.\n]{0,40}?\b(?:reached|exceeded|exhausted|depleted|used up|hit|spent|too low|insufficient|ran out|run out)\b` +
		`|\b(?:out of|run out of|ran out of|no (?:more|remaining)|insufficient|not enough|can only afford)\b[^.\n]{0,40}?\b(?:usage|credits?|quotas?|budgets?|balance|funds|[0-9]+)\b` +
		`|(?:rate|usage|session|weekly|daily|hourly|monthly|hour|spend|spending|credit)[ _-]?limit|limit (?:has been )?(?:reached|exceeded|exhausted)` +
		`|too[ _-]?many[ _-]?(?:requests|tokens (?:per|a) )|\bquota|resource[ _-]?(?:has[ _]been[ _])?exhausted|over[ _-]?budget|exceeded[ _-]?budget|budget[ _-]?exceeded` +
		`|more credits|insufficient_(?:quota|funds|balance)|payment required|throttl(?:ed|ing)`)
	// ownLimits are limits that no provider lifts after a while: of one answer, of one conversation, of the program itself. They do
	// not pass.
	ownLimits = lazy(`(?i)\b(?:output|context|input|prompt|tokens?|turns?|steps?|iterations?|retry|retries|time|size|length|memory|depth|recursion|file|line|image|page|character|tool[ -]calls?|window|context window|rollout token|disk)[ _-](?:(?:count|window|length|size|token)[ _-])?(?:limits?|caps?|budgets?|quotas?)\b` +
		`|maximum (?:context|number of|output|input)[^.\n]*|max[_ ](?:turns|tokens|steps)(?: limit)?|context[ _](?:length|window)[^.\n]*`)
	// throttled are the words of servers that are busy, whatever the status.
	throttled = lazy(`(?i)not your usage limit|(?:temporarily|currently) (?:limiting|overloaded|unavailable|at capacity)|(?:at|no|over) capacity|capacity[_ ](?:exhausted|exceeded)|capacity constraints|high demand|overloaded|server is busy|engine is currently`)
	// outageWords are the words of programs where a model's server, or the way to it, is down.
	outageWords = lazy(`(?i)connection (?:was )?(?:refused|reset|closed|failed|error|lost|aborted|timed? ?out)|connection ?refused|\bE(?:CONN[A-Z]+|NOTFOUND|AI_AGAIN|TIMEDOUT|HOSTUNREACH|NETUNREACH)\b` +
		`|socket hang ?up|socket connection was closed|fetch failed|(?:unable|failed|cannot|can't|can not|could not|couldn't|not able)(?: to)? (?:connect|reach|resolve)|error (?:sending request|trying to connect)` +
		`|network (?:is )?(?:unreachable|down|error|failure|connection)|waiting for network|no (?:network|internet)|name resolution|getaddrinfo|\bdns (?:error|failure|lookup)|no route to host` +
		`|(?:request|connection|operation|connect|read|gateway|response|headers?)[ -]time(?:d)?[ -]?out|timeout waiting|stream disconnected|stream (?:error|closed|ended) (?:before|unexpectedly)|premature close` +
		`|service (?:is )?(?:temporarily )?unavailable|bad gateway|internal[ _]server[ _]error|overloaded_error|\bserver_error\b|\bapi_error\b|upstream (?:connect )?error|tls handshake|FailedToOpenSocket|ConnectionRefused`)
	authWords = lazy(`(?i)(?:invalid|incorrect|missing|expired|no|revoked)[ _](?:or missing )?(?:x-)?(?:api|auth)[ _-]?(?:key|token)` +
		`|(?:api|auth)[ _-]?(?:key|token)(?:[ _]has been|[ _]has|[ _]is|[ _]was)?[ _](?:not valid|not set|invalid|missing|expired|revoked|required)` +
		`|token (?:has |is |was )?(?:been )?(?:expired|revoked)|(?:not|not yet) (?:logged|signed) in|please (?:run /login|log ?in|sign in|re-?authenticate)|(?:log|sign) ?in again` +
		`|unauthorized|unauthenticated|unauthorised|authentication[ _](?:failed|error|required)|failed to authenticate|invalid credentials` +
		`|set an auth method|providerautherror|missing environment variable`)
	// personWords are limits that neither time nor a login lifts: a person must change a plan, a seat or an account.
	personWords = lazy(`(?i)(?:usage )?credits (?:are |is )?required|extra usage (?:is )?required|(?:usage|allocation|access|account|organization|workspace|api key|subscription)[a-z' ]{0,30} (?:has been |have been |is |was |are )?(?:disabled|suspended|deactivated|terminated|banned|cancel+ed|inactive|expired)` +
		`|(?:disabled|blocked) by (?:your|an|the) (?:admin|administrator|organization|owner)|seat[a-z ]{0,20} (?:doesn['’]t|does not) include|(?:plan|subscription|seat|license)[a-z ]{0,20} (?:doesn['’]t|does not) (?:include|allow|support)|upgrade to [a-z]+ to use|not (?:included|available) (?:in|on|with|for) your (?:plan|subscription|seat)|requires? (?:a|an) (?:paid|active|pro|plus|max|team|enterprise)[a-z ]{0,20}(?:plan|subscription|account)`)
	// goneWords are the words of programs for a conversation that they do not know.
	goneWords = lazy(`No conversation found with session ID|no rollout found for thread id|Error resuming session|Session not found`)
	// spentWords are the words for a conversation that the model refuses every time: it is too long, or broken where an agent was
	// killed between a tool's call and its result.
	spentWords = lazy(`(?i)(?:prompt|input|conversation|context|request|message)s? (?:is|are|was|has become|would be)? ?too (?:long|large|big)|(?:context|prompt)[ _]?(?:length|window|size)?[ _](?:limit )?(?:is |was |has been |would be )?(?:exceeded|overflow|too long|full)|contextoverflow|context_length|maximum context|context window|maximum number of (?:input )?tokens|exceeds? (?:the )?(?:maximum|model)[a-z' ]* (?:context|tokens|input|length)|ran out of room|request_too_large|prompt_too_long|too many (?:input |total )?tokens in` +
		`|tool_use[\x60' ]*(?:ids?|blocks?)[^\n]*tool_result|tool_result[\x60' ]*(?:blocks?)?[^\n]*tool_use|tool_calls?[\x60'" ]*(?:must be|_ids? did)[^\n]*|tool_call_ids? (?:did not|without)|no tool (?:output|call) found|function response parts|function call turn|tool (?:result|output|response)s?[a-z ]* (?:missing|not found|without)|(?:missing|no|without)[a-z ]* tool (?:result|output|response)s?` +
		`|(?:thinking|redacted_thinking)[\x60' a-z]*(?:blocks?)?[^\n]* (?:cannot be modified|must (?:be|start|remain))|signature[\x60' a-z]* (?:in )?[\x60']?thinking|expected [\x60']?(?:redacted_)?thinking|encrypted (?:content|reasoning)[a-z ]* (?:could not|cannot)|invalid_encrypted_content|provided without its required|roles must alternate|(?:content|text)[a-z ]*(?:blocks?)?[a-z ]* must be non-empty|must have non-empty content|could not process (?:the )?image|image (?:dimensions )?exceeds?`)

	statusWords = lazy(`(?i)(?:status|code|api error|rejected)["':=\s(]*([45][0-9]{2})\b`)
)

// statusOf is the HTTP status of an error: the one that is given, or else the one in its words; 0 where there is none.
func statusOf(status int, text string) int {
	if status != 0 {
		return status
	}
	if m := statusWords().FindStringSubmatch(text); m != nil {
		status, _ = strconv.Atoi(m[1]) // three digits
	}
	return status
}

// isSpent says whether an error is the conversation's, which would meet it again at every try. With the status of another fault it
// is not: a server that is down may print anything.
func isSpent(status int, text string) bool {
	switch statusOf(status, text) {
	case 0, 400, 413, 422:
		return spentWords().MatchString(text)
	}
	return false
}

// isLimit says whether words are of a provider's limit.
func isLimit(text string) bool {
	return limitWords().MatchString(ownLimits().ReplaceAllString(text, ""))
}

// verdict is the outcome of an error: UsageLimit, Auth, Outage or Failed. The HTTP status decides where it is known (else it is
// 0), with two exceptions: a server that is busy has set no limit, and a conversation that is refused is no limit of the account.
func verdict(status int, text string) string {
	status = statusOf(status, text)
	switch {
	case (status == 0 || status == 408 || status == 429 || status >= 500) && throttled().MatchString(text):
		return Outage
	case isSpent(status, text):
		return Failed
	case status == 429 || status == 402:
		return UsageLimit
	case status == 401 || status == 403:
		// Some providers report an empty account this way.
		if isLimit(text) {
			return UsageLimit
		}
		return Auth
	case status == 408 || status >= 500:
		return Outage
	case personWords().MatchString(text):
		return Auth
	case isLimit(text):
		return UsageLimit
	case authWords().MatchString(text):
		return Auth
	case status == 0 && outageWords().MatchString(text):
		return Outage
	}
	return Failed
}
