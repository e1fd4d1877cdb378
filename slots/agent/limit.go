package agent

import (
	"strconv"
	"time"
)

// What errors mean. Only what a program says of its own failure is judged here, never the model's words: an agent may
// well be at work on somebody's 429.
var (
	limitWords = lazy(`(?i)(?:rate|usage|session|weekly|daily|hourly|monthly|hour|spend|spending|credit|opus|sonnet|free)[ _-]limit` +
		`|too[ _]many[ _]requests|quota|resource[ _](?:has been )?exhausted|out of (?:usage|extra usage|credits?)` +
		`|insufficient (?:credits?|balance|funds)|(?:credit|balance)[a-z ]* (?:is |are )?(?:too low|insufficient|exhausted)`)
	authWords = lazy(`(?i)(?:invalid|incorrect|missing|expired|no|revoked)[ _](?:or missing )?(?:x-)?(?:api|auth)[ _-]?(?:key|token)` +
		`|(?:api|auth)[ _-]?(?:key|token)(?:[ _]has been|[ _]has|[ _]is|[ _]was)?[ _](?:not valid|not set|invalid|missing|expired|revoked|required)` +
		`|token (?:has |is |was )?(?:been )?(?:expired|revoked)|(?:not|not yet) (?:logged|signed) in|please (?:run /login|log ?in|sign in|re-?authenticate)|(?:log|sign) ?in again` +
		`|unauthorized|unauthenticated|unauthorised|authentication[ _](?:failed|error|required)|failed to authenticate|invalid credentials` +
		`|set an auth method|providerautherror|missing environment variable`)
	// goneWords are what the programs say of a conversation that they do not know.
	goneWords = lazy(`No conversation found with session ID|no rollout found for thread id|Error resuming session|Session not found`)

	statusWords = lazy(`(?i)(?:status|code|api error|rejected)["':=\s(]*([45][0-9]{2})\b`)
)

// verdict is the outcome that an error means: UsageLimit, Auth or Failed. The HTTP status decides where it is told, 0
// where not; a server that is overloaded (529, 503) has set no limit to anybody, whatever its words.
func verdict(status int, text string) string {
	if status == 0 {
		if m := statusWords().FindStringSubmatch(text); m != nil {
			status, _ = strconv.Atoi(m[1])
		}
	}
	switch {
	case status == 429 || status == 402:
		return UsageLimit
	case status == 401 || status == 403:
		// Some tell of an empty account this way.
		if limitWords().MatchString(text) {
			return UsageLimit
		}
		return Auth
	case status >= 500:
		return Failed
	case limitWords().MatchString(text):
		return UsageLimit
	case authWords().MatchString(text):
		return Auth
	}
	return Failed
}

// blame gives a failed run the outcome that its summary means. The HTTP status is 0 where it is not known.
func (r *Report) blame(status int, now time.Time) {
	r.Gone = goneWords().MatchString(r.Summary)
	if r.Outcome = verdict(status, r.Summary); r.Outcome == UsageLimit {
		r.Reset = resetTime(r.Summary, now)
	}
}

// parkFrom is how long a program may wait for a limit to be lifted before it counts as parked. Limits per minute are
// lifted within one: to wait that out in the slot costs less than a new start, which sends all of the conversation
// again. Twice that is longer than any of the programs waits between two tries of its own accord.
const parkFrom = 2 * time.Minute

// waiting is a program that met a limit and has not given up.
type waiting struct {
	limit string    // what it said of it; "" while it does not wait
	since time.Time // when it last did
	reset time.Time // as far as it was told
}

// begin notes that the program said that it will try again, and why. Anything but a limit is not worth a mention: the
// run is not held up by what another try may mend.
func (w *waiting) begin(status int, message string, reset time.Time, now time.Time) {
	if verdict(status, message) != UsageLimit {
		*w = waiting{}
		return
	}
	*w = waiting{limit: message, since: now, reset: reset}
}

// parked says whether it waits too long: as it was told, or else as it has been silent. The silence must be longer than
// any that it keeps while the model works.
func (w *waiting) parked(now time.Time, silence time.Duration) bool {
	return w.limit != "" && (w.reset.Sub(w.since) > parkFrom || now.Sub(w.since) > silence)
}

// report makes the report of a program that was ended because it is parked.
func (w *waiting) report(r *Report) { r.Outcome, r.Summary, r.Reset = UsageLimit, w.limit, w.reset }
