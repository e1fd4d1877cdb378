package agent

import (
	"cmp"
	"math"
	"strconv"
	"strings"
	"time"
)

// resetTime finds, in a message of a provider or a program, the time at which a limit is lifted; the zero time where the message
// has none. It is for error messages only: any other text may speak of any other time.
//
// It knows epochs ("limit reached|1733160000"), times in full (RFC 3339, or as HTTP has them), a while from now ("try
// again in 2 hours 5 minutes", "retryDelay: 7200s", "retry-after: 120") and the clock ("try again at 9:13 PM", "resets
// Nov 30, 7pm (Europe/Berlin)", "resets Mon 12:00am"). The clock is read in the zone of now, which is that of the agent,
// unless another is named. It means the nearest such time, before or after now: programs print the end of a limit also when it has
// passed, and that is not tomorrow's.
func resetTime(text string, now time.Time) time.Time {
	if m := afterBar().FindStringSubmatch(text); m != nil {
		return epoch(m[1])
	}
	for _, m := range lifted().FindAllStringIndex(text, -1) {
		rest := text[m[1]:]
		if t := fullTime(rest); !t.IsZero() {
			return t
		}
		if t := inAWhile(text[m[0]:m[1]], rest, now); !t.IsZero() {
			return t
		}
		if t := onTheClock(rest, now); !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}

var (
	afterBar = lazy(`\|([0-9]{10}|[0-9]{13})\b`)
	// lifted is what precedes a time: "resets", "try again at", "retry-after:", `"resets_at":`, "available on".
	lifted    = lazy(`(?i)\b(?:resets?|retry(?:ing)?|again|available|regain access|until|wait)(?:[\s_"':=,-]|at|in|after|on|for|delay|seconds|the)*`)
	digits    = lazy(`^(?:[0-9]{13}|[0-9]{10})\b`)
	rfc3339   = lazy(`^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})? ?(?:Z|UTC|[+-][0-9]{2}:?[0-9]{2})`)
	minuteUTC = lazy(`^([0-9]{4}-[0-9]{2}-[0-9]{2}) at ([0-9]{2}:[0-9]{2}) UTC`)
	http      = lazy(`^[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT`)
	span      = lazy(`(?i)^(?:(?:and|,)?\s*([0-9]{1,9}(?:\.[0-9]{1,9})?)\s?(days?|d|hours?|hrs?|h|minutes?|mins?|ms|m|seconds?|secs?|s)\b,?\s*)`)
	joined    = lazy(`(?i)^([0-9]{1,9}(?:\.[0-9]{1,9})?)(d|h|ms|m|s)`) // 2h5m30s
	number    = lazy(`^[0-9]{1,9}(?:\.[0-9]{1,9})?\b`)
	weekday   = lazy(`(?i)^(mon|tue|wed|thu|fri|sat|sun)[a-z]*,?(?: at)? `)
	clock     = lazy(`(?i)^(?:([a-z]{3})[a-z]* ([0-9]{1,2})(?:st|nd|rd|th)?,?(?: ([0-9]{4}),?)?(?: at)? )?([0-9]{1,2})(?::([0-9]{2}))?\s?([ap]m)?\b(?:\s?\(?([A-Za-z]+(?:[/_+-][A-Za-z0-9_+-]+)*)\)?)?`)
)

// epoch reads seconds, or milliseconds, since 1970.
func epoch(s string) time.Time {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return time.Time{}
	}
	if len(s) == 13 {
		return time.UnixMilli(n)
	}
	return time.Unix(n, 0)
}

// fullTime reads a time with its date and its zone.
func fullTime(s string) time.Time {
	if n := digits().FindString(s); n != "" {
		return epoch(n)
	}
	if at := rfc3339().FindString(s); at != "" {
		at = strings.Replace(strings.Replace(at, " ", "T", 1), " ", "", 1)
		at = strings.Replace(at, "UTC", "Z", 1)
		for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05Z0700"} {
			if t, err := time.Parse(layout, at); err == nil {
				return t
			}
		}
	}
	if m := minuteUTC().FindStringSubmatch(s); m != nil {
		if t, err := time.Parse("2006-01-02 15:04", m[1]+" "+m[2]); err == nil {
			return t
		}
	}
	if at := http().FindString(s); at != "" {
		if t, err := time.Parse("Mon, 02 Jan 2006 15:04:05 GMT", at); err == nil {
			return t
		}
	}
	return time.Time{}
}

// inAWhile reads a length of time. A number without a unit is seconds behind "retry-after" and "…_in_seconds", and
// nothing behind other words.
func inAWhile(before, s string, now time.Time) time.Time {
	seconds, found := 0.0, false
	for {
		m := span().FindStringSubmatch(s)
		if m == nil {
			m = joined().FindStringSubmatch(s)
		}
		if m == nil {
			break
		}
		n, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			return time.Time{}
		}
		seconds, found, s = seconds+n*unit(m[2]), true, s[len(m[0]):]
	}
	if !found && plainSeconds().MatchString(before) {
		n, err := strconv.ParseFloat(number().FindString(s), 64)
		seconds, found = n, err == nil
	}
	if !found {
		return time.Time{}
	}
	return later(now, seconds)
}

var plainSeconds = lazy(`(?i)retry[-_ ]after|seconds`)

// unit is the seconds of a unit of time.
func unit(name string) float64 {
	switch name = strings.ToLower(name); {
	case name == "ms":
		return 0.001
	case name[0] == 'd':
		return 24 * 3600
	case name[0] == 'h':
		return 3600
	case name[0] == 'm':
		return 60
	}
	return 1
}

// later is some seconds after now; the zero time where that is more than time.Duration can hold.
func later(now time.Time, seconds float64) time.Time {
	if !(seconds >= 0 && seconds < math.MaxInt64/float64(time.Second)) { // no NaN either
		return time.Time{}
	}
	return now.Add(time.Duration(seconds * float64(time.Second)))
}

// onTheClock reads a time of day, maybe with a date or a weekday. A bare number is none: it needs minutes or am and pm.
func onTheClock(s string, now time.Time) time.Time {
	onDay := weekday().FindStringSubmatch(s)
	if onDay != nil {
		s = s[len(onDay[0]):]
	}
	m := clock().FindStringSubmatch(s)
	if m == nil || m[5] == "" && m[6] == "" {
		return time.Time{}
	}
	hour, _ := strconv.Atoi(m[4]) // digits, all of them
	minute, _ := strconv.Atoi(m[5])
	if hour > 23 || minute > 59 || m[6] != "" && (hour < 1 || hour > 12) {
		return time.Time{}
	}
	switch strings.ToLower(m[6]) {
	case "am":
		hour %= 12
	case "pm":
		hour = hour%12 + 12
	}
	if zone, err := time.LoadLocation(m[7]); err == nil && m[7] != "" {
		now = now.In(zone)
	}
	if m[1] == "" {
		return nearest(now, hour, minute, onDay)
	}
	day, _ := strconv.Atoi(m[2])
	year, _ := strconv.Atoi(cmp.Or(m[3], strconv.Itoa(now.Year())))
	at, err := time.Parse("Jan", strings.ToUpper(m[1][:1])+strings.ToLower(m[1][1:]))
	if err != nil || day < 1 || day > 31 {
		return time.Time{}
	}
	t := time.Date(year, at.Month(), day, hour, minute, 0, 0, now.Location())
	if m[3] == "" && t.Before(now.AddDate(0, -6, 0)) { // said in December of January
		t = t.AddDate(1, 0, 0)
	}
	return t
}

// nearest is the time nearest to now at which a clock shows this, on that day of the week where one is named: within half a
// day back, and from there a day or a week ahead.
func nearest(now time.Time, hour, minute int, onDay []string) time.Time {
	at := func(day int) time.Time {
		return time.Date(now.Year(), now.Month(), now.Day()+day, hour, minute, 0, 0, now.Location())
	}
	for day := -1; day <= 7; day++ {
		t := at(day)
		wanted := onDay == nil || strings.EqualFold(t.Weekday().String()[:3], onDay[1])
		if wanted && t.After(now.Add(-12*time.Hour)) {
			return t
		}
	}
	return time.Time{}
}

// retryAfter reads the header of that name: seconds, or a date.
func retryAfter(value string, now time.Time) time.Time {
	value = strings.TrimSpace(value)
	if at := http().FindString(value); at != "" {
		return fullTime(at)
	}
	if n, err := strconv.ParseFloat(value, 64); err == nil {
		return later(now, n)
	}
	return time.Time{}
}
