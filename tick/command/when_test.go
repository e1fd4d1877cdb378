package command

import (
	"encoding/json"
	"testing"
	"time"

	"kugetsu/queue/fault"
)

func TestPointOfTimeIsWhatSomebodyWhoLooksAtTheClockMeans(t *testing.T) {
	berlin := time.FixedZone("CET", 3600)
	if loc, err := time.LoadLocation("Europe/Berlin"); err == nil { // for the days that have 23 hours
		berlin = loc
	}
	now := time.Date(2026, 3, 28, 7, 30, 15, 5, berlin)
	for _, c := range []struct{ when, want string }{
		{"2026-11-30T08:00:00Z", "2026-11-30T08:00:00Z"},
		{"2026-11-30T08:00:00+09:00", "2026-11-29T23:00:00Z"},
		{"2026-01-31 08:00", "2026-01-31T07:00:00Z"},
		{"2026-01-31 08:00:30", "2026-01-31T07:00:30Z"},
		{"08:00", "2026-03-28T07:00:00Z"}, // today, still to come
		{"7:31", "2026-03-28T06:31:00Z"},
		{"07:30", time.Date(2026, 3, 29, 7, 30, 0, 0, berlin).UTC().Format(time.RFC3339)}, // tomorrow, which is an hour shorter there
		{"00:00", "2026-03-28T23:00:00Z"},
		{"90m", "2026-03-28T08:00:15Z"},
		{"7d", "2026-04-04T06:30:15Z"}, // of 24 hours each
		{"0", "2026-03-28T06:30:15Z"},
		{"0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"},
	} {
		got, err := parseWhen(c.when, now)
		if err != nil || got.Format(time.RFC3339) != c.want {
			t.Errorf("%s: %s, %v, not %s", c.when, got, err, c.want)
		}
	}
	for _, when := range []string{"", " ", "soon", "24:00", "08:60", "8", "-5m", "2026-02-30 08:00", "2026-11-30", "2026-11-30T08:00", "now",
		"0000-01-01T00:00:00Z", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00", "99999999h", "36501d"} {
		if got, err := parseWhen(when, now); fault.Code(err) != fault.Usage || fault.HintOf(err) == "" {
			t.Errorf("%q: %s, %v", when, got, err)
		}
	}
}

// FuzzWhen: what is taken for a point of time can be kept in an item; a time of day is within the next two days, and
// never over.
func FuzzWhen(f *testing.F) {
	for _, s := range []string{"08:00", "2026-11-30 08:00", "2026-11-30T08:00:00+14:00", "90m", "7d", "292y", "9223372036854775807ns", "36500d"} {
		f.Add(s, int64(1774682415), 3600)
	}
	f.Fuzz(func(t *testing.T, s string, unix int64, offset int) {
		now := time.Unix(unix%253402300799, 0).In(time.FixedZone("", offset%50400))
		at, err := parseWhen(s, now)
		if err != nil {
			if fault.Code(err) != fault.Usage {
				t.Fatal(err)
			}
			return
		}
		if _, err := json.Marshal(at); err != nil {
			t.Fatalf("%q is %v: %v", s, at, err)
		}
		if _, err := time.Parse("15:04", s); err == nil && (!at.After(now) || at.Sub(now) > 48*time.Hour) {
			t.Fatalf("%q at %s is %s", s, now, at)
		}
	})
}
