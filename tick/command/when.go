package command

import (
	"strings"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/fault"
	"kugetsu/tick/settings"
)

// parseWhen reads a point of time, as a person means it at now: RFC 3339, a day and time, a time of day, or a duration from now. Days
// and times are in the zone of now, and a time of day is the next such time. The error asks for exit code 80.
func parseWhen(s string, now time.Time) (time.Time, error) {
	at, err := time.Parse(time.RFC3339, s)
	for _, layout := range []string{"2006-01-02 15:04", "2006-01-02 15:04:05"} {
		if err != nil {
			at, err = time.ParseInLocation(layout, s, now.Location())
		}
	}
	if err != nil {
		var clock time.Time
		if clock, err = time.Parse("15:04", s); err == nil {
			at = now.AddDate(0, 0, -1)
			for day := 0; !at.After(now); day++ { // not 24 hours on: a day may have 23
				at = time.Date(now.Year(), now.Month(), now.Day()+day, clock.Hour(), clock.Minute(), 0, 0, now.Location())
			}
		}
	}
	if err != nil {
		var wait time.Duration
		if wait, err = parseAge(s); err == nil {
			at = now.Add(wait)
		}
	}
	// Some year that JSON has no form for would make an item that cannot be written again.
	if at = at.UTC(); err != nil || at.Year() < 1 || at.Year() > 9999 {
		return time.Time{}, fault.New(fault.Usage, "08:00, '2026-11-30 08:00', 2026-11-30T08:00:00Z, or 90m from now", "%q is not a time to start at", clip(s))
	}
	return at, nil
}

// parseAge reads a duration that may be in days.
func parseAge(s string) (time.Duration, error) {
	bad := func() (time.Duration, error) {
		return 0, fault.New(fault.Usage, "7d, 12h, 30m or 0", "%q is not an age", s)
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := settings.ParseInt(days)
		if err != nil || n < 0 || n > 36500 {
			return bad()
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return bad()
	}
	return d, nil
}

// timeout puts how long the runs may take into a new item.
func timeout(it *queue.Item, s string) error {
	if s == "" {
		return nil
	}
	d, err := queue.ParseTimeout(s)
	if err != nil {
		return fault.New(fault.Usage, "90m, 2h, 1h30m", "%q is not a duration", clip(s))
	}
	it.Timeout = d.String()
	return nil
}
