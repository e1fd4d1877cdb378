package settings

import (
	"fmt"
	"strings"
	"time"
)

// Daily is a time of each day, in local time: 08:00. The zero Daily is never.
type Daily string

// UnmarshalText reads a time of day. The error says how it is written.
func (d *Daily) UnmarshalText(text []byte) error {
	word := strings.TrimSpace(string(text))
	if word != "" {
		if at, err := minutes(word); err != nil || at == 24*60 {
			return fmt.Errorf("%.40q is not a time of day: write 08:00, or 17:30", word)
		}
	}
	*d = Daily(word)
	return nil
}

// Due is the newest day, as 2006-01-02, whose time is not after now; "" for never. A change of the clocks may skip the time, or let it
// come twice. The day is due once all the same, at one of the two times that could be meant.
func (d Daily) Due(now time.Time) string {
	at, err := minutes(string(d))
	if err != nil { // UnmarshalText has read it, so it is never
		return ""
	}
	now = now.Local()
	for day := now.Day(); ; day-- {
		if !time.Date(now.Year(), now.Month(), day, 0, at, 0, 0, time.Local).After(now) {
			return time.Date(now.Year(), now.Month(), day, 12, 0, 0, 0, time.Local).Format(time.DateOnly) // noon is on that day, however clocks are set
		}
	}
}
