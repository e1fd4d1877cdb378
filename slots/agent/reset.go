package agent

import (
	"cmp"
	"math"
	"strconv"
	"strings"
	"time"

	"kugetsu/queue/pattern"
)

// resetTime finds, in a message of a provider or a program, the time at which a limit is lifted; the zero time where the message
// has none. It is for error messages only: any other text may speak of any other time.
//
// It knows epochs ("limit reached|1733160000"), times in full (RFC 3339, as HTTP has them, with the name of a zone or an offset in
// any form), a while from now ("try again in 2 hours 5 minutes", "retryDelay: 7200s", "retry-after: 120") and times of day ("try again
// at 9:13 PM", "resets Nov 30, 7pm (Europe/Berlin)", "resets Mon 12:00am", "tomorrow at 3pm").
//
// A time of day is in the zone of now, which is the agent's, unless another zone is named. It means the nearest such time before or
// after now: programs print the end of a limit also after it has passed, and that end is not tomorrow. A date in numbers without a zone
// is not read: providers print such dates in a zone of their own.
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
	afterBar = pattern.Lazy(`\|([0-9]{10}|[0-9]{13})\b`)
	// lifted is what precedes a time: "resets", "try again at", "retry-after:", `"resets_at":`, "available on".
	lifted   = pattern.Lazy(`(?i)\b(?:(?:quota)?resets?|retry(?:ing)?|again|available|regain access|until|wait)(?:[\s_"':=,~-]|at|in|after|on|for|delay|seconds|the|time|stamp|is|about|approximately|around|less than)*`)
	digits   = pattern.Lazy(`^(?:[0-9]{13}|[0-9]{10})\b`)
	isoTime  = pattern.Lazy(`^([0-9]{4})-([0-9]{2})-([0-9]{2})(?:[T ]| at )([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.[0-9]{1,9})?)?\s?\(?(Z\b|(?:UTC|GMT)?[+-][0-9]{1,2}(?::?[0-9]{2})?\b|[A-Za-z]+(?:/[A-Za-z_]+)*)\)?`)
	httpDate = pattern.Lazy(`^[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT`)
	span     = pattern.Lazy(`(?i)^(?:(?:and|,)?\s*([0-9]{1,9}(?:\.[0-9]{1,9})?)\s{0,3}(weeks?|w|days?|d|hours?|hrs?|h|minutes?|mins?|ms|m|seconds?|secs?|s)\b,?\s*)`)
	joined   = pattern.Lazy(`(?i)^([0-9]{1,9}(?:\.[0-9]{1,9})?)(w|d|h|ms|m|s)`) // 2h5m30s
	number   = pattern.Lazy(`^[0-9]{1,9}(?:\.[0-9]{1,9})?\b`)
	weekday  = pattern.Lazy(`(?i)^(mon|tue|wed|thu|fri|sat|sun)[a-z]*,?(?: at)? `)
	tomorrow = pattern.Lazy(`(?i)^tomorrow,?(?: at)? `)
	date     = pattern.Lazy(`(?i)^([a-z]{3})[a-z]*\.? ([0-9]{1,2})(?:st|nd|rd|th)?\b(?:,? ([0-9]{4})\b)?(?:,? at |,? )?`)
	dayFirst = pattern.Lazy(`(?i)^([0-9]{1,2})(?:st|nd|rd|th)? ([a-z]{3})[a-z]*\.?(?:,? ([0-9]{4})\b)?(?:,? at |,? )?`)
	clock    = pattern.Lazy(`(?i)^([0-9]{1,2})(?::([0-9]{2}))?\s?(?:([ap])\.?m\b\.?)?(?:\s?\(?((?:UTC|GMT)?[+-][0-9]{1,2}(?::?[0-9]{2})?\b|[A-Za-z]+(?:[/_+-][A-Za-z0-9_+-]+)*)\)?)?`)
	offset   = pattern.Lazy(`^(?:UTC|GMT)?([+-])([0-9]{1,2}):?([0-9]{2})?$`)
)

// zones are the short names of zones that are not in the database, or not with their summer time.
var zones = map[string]string{
	"Z": "UTC", "PT": "America/Los_Angeles", "PST": "America/Los_Angeles", "PDT": "America/Los_Angeles", "Pacific": "America/Los_Angeles",
	"MT": "America/Denver", "MDT": "America/Denver", "CT": "America/Chicago", "CDT": "America/Chicago",
	"ET": "America/New_York", "EST": "America/New_York", "EDT": "America/New_York", "BST": "Europe/London", "CEST": "Europe/Berlin", "JST": "Asia/Tokyo",
}

// zone is the zone of a name or of an offset, nil for a word that names none.
func zone(name string) *time.Location {
	if m := offset().FindStringSubmatch(name); m != nil {
		hours, _ := strconv.Atoi(m[2]) // digits
		minutes, _ := strconv.Atoi(m[3])
		seconds := hours*3600 + minutes*60
		if hours > 14 || minutes > 59 {
			return nil
		}
		if m[1] == "-" {
			seconds = -seconds
		}
		return time.FixedZone("", seconds)
	}
	if name == "" || name == "Local" { // Local is the zone of the machine, and not that of the agent
		return nil
	}
	at, err := time.LoadLocation(cmp.Or(zones[name], name))
	if err != nil {
		return nil
	}
	return at
}

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
	if m := isoTime().FindStringSubmatch(s); m != nil {
		return inFull(m[1:7], zone(m[7]))
	}
	if at := httpDate().FindString(s); at != "" {
		if t, err := time.Parse("Mon, 02 Jan 2006 15:04:05 GMT", at); err == nil {
			return t
		}
	}
	return time.Time{}
}

// inFull is a time with year, month, day, hour, minute and second; the zero time without a zone, or for a day that does not exist.
func inFull(parts []string, zone *time.Location) time.Time {
	if zone == nil {
		return time.Time{}
	}
	var n [6]int
	for i, part := range parts {
		n[i], _ = strconv.Atoi(part) // digits; the second may be missing
	}
	t := time.Date(n[0], time.Month(n[1]), n[2], n[3], n[4], n[5], 0, zone)
	if n[1] > 12 || t.Day() != n[2] || n[3] > 23 || n[4] > 59 || n[5] > 59 {
		return time.Time{}
	}
	return t
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

var plainSeconds = pattern.Lazy(`(?i)retry[-_ ]after|seconds`)

// unit is the seconds of a unit of time.
func unit(name string) float64 {
	switch name = strings.ToLower(name); {
	case name == "ms":
		return 0.001
	case name[0] == 'w':
		return 7 * 24 * 3600
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

// onTheClock reads a time of day, maybe with a date or a weekday; or a date alone, which begins at midnight. A bare number is none:
// it needs minutes or am and pm.
func onTheClock(s string, now time.Time) time.Time {
	onDay := weekday().FindStringSubmatch(s)
	if onDay != nil {
		s = s[len(onDay[0]):]
	}
	nextDay := tomorrow().FindString(s)
	s = s[len(nextDay):]
	d := date().FindStringSubmatch(s)
	if d == nil {
		if d = dayFirst().FindStringSubmatch(s); d != nil {
			d[1], d[2] = d[2], d[1]
		}
	}
	if d != nil {
		s = s[len(d[0]):]
	}
	hour, minute, in, ok := timeOfDay(s)
	if in != nil {
		now = now.In(in)
	}
	switch {
	case d != nil:
		return onDate(d[1:], hour, minute, now)
	case !ok:
		return time.Time{}
	case nextDay != "":
		return time.Date(now.Year(), now.Month(), now.Day()+1, hour, minute, 0, 0, now.Location())
	}
	return nearest(now, hour, minute, onDay)
}

// timeOfDay reads "9:13 PM", "21:13", "7pm", and the zone behind it, nil for none.
func timeOfDay(s string) (hour, minute int, in *time.Location, ok bool) {
	m := clock().FindStringSubmatch(s)
	if m == nil || m[2] == "" && m[3] == "" {
		return 0, 0, nil, false
	}
	hour, _ = strconv.Atoi(m[1]) // digits, all of them
	minute, _ = strconv.Atoi(m[2])
	if hour > 23 || minute > 59 || m[3] != "" && (hour < 1 || hour > 12) {
		return 0, 0, nil, false
	}
	switch strings.ToLower(m[3]) {
	case "a":
		hour %= 12
	case "p":
		hour = hour%12 + 12
	}
	return hour, minute, zone(m[4]), true
}

// onDate is a time of day on a date: a month's name, a day, and maybe a year. Without a year it is the nearest such date.
func onDate(d []string, hour, minute int, now time.Time) time.Time {
	month, err := time.Parse("Jan", strings.ToUpper(d[0][:1])+strings.ToLower(d[0][1:]))
	day, _ := strconv.Atoi(d[1]) // digits
	year, _ := strconv.Atoi(cmp.Or(d[2], strconv.Itoa(now.Year())))
	if err != nil {
		return time.Time{}
	}
	t := time.Date(year, month.Month(), day, hour, minute, 0, 0, now.Location())
	if t.Day() != day {
		return time.Time{}
	}
	if d[2] == "" && t.Before(now.AddDate(0, -6, 0)) { // it was said in December, of January
		t = t.AddDate(1, 0, 0)
	}
	return t
}

// nearest is the first time, from half a day before now on, at which a clock shows this hour and minute, on the day of the week if one
// is named. So it is at most a day after now or, with a day of the week, a week.
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
	if at := httpDate().FindString(value); at != "" {
		return fullTime(at)
	}
	if n, err := strconv.ParseFloat(value, 64); err == nil {
		return later(now, n)
	}
	return time.Time{}
}
