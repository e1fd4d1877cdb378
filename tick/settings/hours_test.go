package settings

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func hours(t interface{ Fatal(...any) }, text string) Hours {
	var h Hours
	if err := h.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return h
}

// inBerlin sets the local zone: clocks go forward on 2026-03-29 at 2:00, and back on 2026-10-25 at 3:00.
func inBerlin(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip("this machine has no time zones: ", err)
	}
	was := time.Local
	t.Cleanup(func() { time.Local = was })
	time.Local = berlin
}

func TestHoursOpenAndClose(t *testing.T) {
	inBerlin(t)
	const night = "Mon-Fri 22:00-07:00, Sat-Sun 00:00-24:00"
	for _, test := range []struct {
		hours, now string
		open       bool
		next       string // "" for never asked
	}{
		{"", "2026-11-30 12:00", true, ""},
		{night, "2026-11-30 12:00", false, "2026-11-30 22:00"}, // a Monday
		{night, "2026-11-30 22:00", true, "2026-12-01 22:00"},
		{night, "2026-12-01 06:59", true, "2026-12-01 22:00"},
		{night, "2026-12-01 07:00", false, "2026-12-01 22:00"},
		{night, "2026-12-05 12:00", true, "2026-12-06 00:00"},  // a Saturday
		{night, "2026-11-30 06:00", false, "2026-11-30 22:00"}, // Sunday's window ended at midnight
		{"Fri 22:00-07:00", "2026-12-05 06:59", true, "2026-12-11 22:00"},
		{"Fri 22:00-07:00", "2026-12-04 21:59", false, "2026-12-04 22:00"},
		{"Sat-Mon 08:00-09:00", "2026-12-06 08:30", true, "2026-12-07 08:00"},
		{"Sat-Mon 08:00-09:00", "2026-12-08 08:30", false, "2026-12-12 08:00"},
		{"mon 08:00-09:00", "2026-11-30 08:30", true, "2026-12-07 08:00"},
		{"08:00-09:00, 20:00-21:00", "2026-11-30 12:00", false, "2026-11-30 20:00"},
		{"02:30-04:00", "2026-03-29 01:59", false, "2026-03-29 03:00"}, // 2:30 is not there that day: after 1:59 it is 3:00
		{"02:30-04:00", "2026-03-29 03:00", true, "2026-03-30 02:30"},
		{"22:00-02:30", "2026-03-29 01:59", true, "2026-03-29 22:00"},
		{"22:00-02:30", "2026-03-29 03:00", false, "2026-03-29 22:00"},
		{"02:00-02:30", "2026-03-29 01:59", false, "2026-03-30 02:00"}, // all of it is skipped
		{"00:00-03:00", "2026-03-29 01:59", true, "2026-03-30 00:00"},
		{"00:00-03:00", "2026-03-29 03:00", false, "2026-03-30 00:00"},
		{"00:00-24:00", "2026-03-29 23:59", true, "2026-03-30 00:00"},
		{"22:00-07:00", "2026-10-25 06:59", true, "2026-10-25 22:00"}, // the night is an hour longer
		{"22:00-07:00", "2026-10-25 07:00", false, "2026-10-25 22:00"},
	} {
		now, err := time.ParseInLocation("2006-01-02 15:04", test.now, time.Local)
		if err != nil {
			t.Fatal(err)
		}
		h := hours(t, test.hours)
		if got := h.Open(now.UTC()); got != test.open {
			t.Errorf("%q at %s: open is %v", test.hours, test.now, got)
		}
		got := ""
		if next := h.Next(now.UTC()); !next.IsZero() {
			got = next.Local().Format("2006-01-02 15:04")
		}
		if got != test.next {
			t.Errorf("%q at %s: opens next at %q, want %q", test.hours, test.now, got, test.next)
		}
	}
}

// In the night in which the clock shows 2:00 to 3:00 twice, what begins or ends then does so at the second time.
func TestHoursOfATimeThatTheClockShowsTwice(t *testing.T) {
	inBerlin(t)
	for _, test := range []struct {
		hours, utc string
		open       bool
	}{
		{"22:00-02:30", "2026-10-25T00:30:00Z", true},
		{"22:00-02:30", "2026-10-25T01:29:00Z", true},
		{"22:00-02:30", "2026-10-25T01:30:00Z", false},
		{"02:30-04:00", "2026-10-25T00:30:00Z", false},
		{"02:30-04:00", "2026-10-25T01:29:00Z", false},
		{"02:30-04:00", "2026-10-25T01:30:00Z", true},
		{"02:30-04:00", "2026-10-25T02:59:00Z", true},
		{"02:30-04:00", "2026-10-25T03:00:00Z", false},
	} {
		now, err := time.Parse(time.RFC3339, test.utc)
		if err != nil {
			t.Fatal(err)
		}
		if got := hours(t, test.hours).Open(now); got != test.open {
			t.Errorf("%q at %s: open is %v", test.hours, test.utc, got)
		}
	}
}

func TestHoursThatAreNone(t *testing.T) {
	for text, want := range map[string]string{
		"22-7":                     "not a time of day",
		"Mon-Fri":                  "not a time of day",
		"Mon-Fri 22:00":            "not a time of day",
		"Mon-Foo 22:00-07:00":      "not a day",
		"Mon- 22:00-07:00":         "not a day",
		"22:00-25:00":              "not a time of day",
		"1:00-2:00":                "not a time of day",
		"08:00-08:00":              "holds no time",
		"24:00-08:00":              "holds no time",
		"Mon 22:00-07:00 and more": "not days and hours",
		"22:00-07:00,":             "not days and hours",
	} {
		var h Hours
		if err := h.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Whatever the hours and the time: what opens next is open then, and was not open a minute before, unless two windows meet there.
func TestHoursOpenWhenTheySay(t *testing.T) {
	inBerlin(t)
	rapid.Check(t, func(t *rapid.T) {
		var parts []string
		for range rapid.IntRange(1, 3).Draw(t, "windows") {
			from, until := rapid.IntRange(0, 24*60-1).Draw(t, "from"), rapid.IntRange(0, 24*60-1).Draw(t, "until")
			if from == until {
				until = (until + 1) % (24 * 60)
			}
			clock := func(m int) string { return time.Date(2026, 1, 1, 0, m, 0, 0, time.UTC).Format("15:04") }
			day := rapid.SampledFrom([]string{"", "Mon ", "Sun-Tue ", "Fri-Mon ", "Sat "}).Draw(t, "days")
			parts = append(parts, day+clock(from)+"-"+clock(until))
		}
		h := hours(t, strings.Join(parts, ", "))
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(rapid.IntRange(0, 365*24*60).Draw(t, "minute")) * time.Minute)
		next := h.Next(now)
		if next.IsZero() || !next.After(now) || next.Sub(now) > 9*24*time.Hour {
			t.Fatalf("%s at %s opens next at %s", h, now, next)
		}
		if !h.Open(next) {
			t.Fatalf("%s is not open at %s, when it opens", h, next)
		}
		if !h.Open(now) {
			for at := now; at.Before(next); at = at.Add(time.Minute) {
				if h.Open(at) {
					t.Fatalf("%s is open at %s, before %s", h, at, next)
				}
			}
		}
	})
}

func TestClosedHoursAreBetweenTheWindows(t *testing.T) {
	at := func(day, hour int) time.Time { return time.Date(2026, 11, day, hour, 0, 0, 0, time.Local) } // the 23rd is a Monday
	for _, tt := range []struct {
		hours       Hours
		from, until time.Time
		want        [][2]time.Time
	}{
		{"", at(23, 0), at(24, 0), nil},
		{"00:00-24:00", at(23, 0), at(25, 0), nil},
		{"Sun 10:00-11:00", at(23, 0), at(24, 0), [][2]time.Time{{at(23, 0), at(24, 0)}}},
		{"22:00-07:00", at(23, 8), at(24, 8), [][2]time.Time{{at(23, 8), at(23, 22)}, {at(24, 7), at(24, 8)}}},
		{"22:00-07:00", at(23, 23), at(24, 6), nil},
		{"09:00-12:00, 11:00-13:00, 18:00-19:00", at(23, 10), at(24, 10), [][2]time.Time{{at(23, 13), at(23, 18)}, {at(23, 19), at(24, 9)}}},
	} {
		if got := tt.hours.Closed(tt.from, tt.until); !slices.Equal(got, tt.want) {
			t.Errorf("%s from %s: %v", tt.hours, tt.from, got)
		}
	}
}
