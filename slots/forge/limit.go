package forge

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

const (
	// limitLeast is how long a forge is left alone that does not say how long: GitHub's documentation asks for a minute.
	limitLeast = time.Minute
	// limitMost bounds what a forge may say. GitHub's limit is whole again after an hour.
	limitMost = 2 * time.Hour
)

// now is the clock. (It is a variable only for the tests.)
var now = time.Now

// LimitError is returned where a forge refuses an answer since too much was asked. Nothing more may be asked of the host before
// Until, for any session. State, Find, Inspect, and Log return it, wrapped.
type LimitError struct {
	Host  string // with its port, as in the request's URL
	Code  int    // the status, 0 where an answer before said that it was the last one
	Until time.Time
}

func (e *LimitError) Error() string {
	if e.Code == 0 {
		return "the rate limit is met"
	}
	return fmt.Sprintf("status %d: the rate limit is met", e.Code)
}

// limited says whether a status 403 is a limit and no lack of a right. GitHub's secondary limit may say so in the message alone
// (docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api).
func (r request) limited(h http.Header, body []byte) bool {
	return h.Get("Retry-After") != "" || remaining(h) == "0" || r.forge == github && bytes.Contains(body, []byte("rate limit"))
}

// remaining is how many questions are left: X-RateLimit is GitHub's and Forgejo's proxies' header, RateLimit is GitLab's.
func remaining(h http.Header) string {
	if left := h.Get("X-RateLimit-Remaining"); left != "" {
		return left
	}
	return h.Get("RateLimit-Remaining")
}

// spent is when the limit is whole again, if a good answer used up the last question; else the zero time.
func spent(res *http.Response) time.Time {
	if remaining(res.Header) != "0" {
		return time.Time{}
	}
	return until(res.Header)
}

// until is the time until which a forge wants no more questions: Retry-After, in seconds or as a date, or else the time at which the
// limit is whole again. The latter is in seconds since 1970 or, as in the draft of a standard, from now.
func until(h http.Header) time.Time {
	begin := now()
	at := begin.Add(limitLeast)
	after := h.Get("Retry-After")
	reset := h.Get("X-RateLimit-Reset")
	if reset == "" {
		reset = h.Get("RateLimit-Reset")
	}
	if seconds, err := strconv.ParseInt(after, 10, 64); err == nil {
		at = begin.Add(seconded(seconds))
	} else if date, err := http.ParseTime(after); err == nil {
		at = date
	} else if seconds, err := strconv.ParseInt(reset, 10, 64); err == nil {
		if at = time.Unix(seconds, 0); seconds < 1<<30 {
			at = begin.Add(seconded(seconds))
		}
	}
	switch {
	case at.Before(begin.Add(time.Second)): // the clocks differ
		return begin.Add(limitLeast)
	case at.After(begin.Add(limitMost)):
		return begin.Add(limitMost)
	}
	return at
}

// seconded is the duration of a number of seconds, bounded so that nothing overflows.
func seconded(n int64) time.Duration {
	return time.Duration(max(0, min(n, int64(limitMost/time.Second)+1))) * time.Second
}
