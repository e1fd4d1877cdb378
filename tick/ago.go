package tick

import (
	"time"

	"kugetsu/queue/terminal"
)

// Duration is terminal.Duration.
func Duration(d time.Duration) string { return terminal.Duration(d) }

// Ago writes how long ago a time was; the time itself where it lies in the future.
func Ago(now, t time.Time) string {
	switch {
	case t.IsZero():
		return "never"
	case ToCome(now, t):
		return t.Local().Format("2006-01-02 15:04:05 MST") + ", which is in the future"
	}
	return Duration(now.Sub(t)) + " ago"
}
