package settings

import (
	"testing"
	"time"
)

func TestDailyIsDueOnceADayHoweverClocksAreSet(t *testing.T) {
	was := time.Local
	t.Cleanup(func() { time.Local = was })
	in := func(zone string) *time.Location {
		loc, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		return loc
	}
	for _, c := range []struct {
		zone, at, now, want string // now is UTC
	}{
		{"UTC", "", "2026-11-29 08:00", ""},
		{"UTC", "08:00", "2026-11-29 07:59", "2026-11-28"},
		{"UTC", "08:00", "2026-11-29 08:00", "2026-11-29"},
		{"UTC", "00:00", "2026-11-29 00:00", "2026-11-29"},
		{"UTC", "23:59", "2026-03-01 23:58", "2026-02-28"},
		{"UTC", "23:59", "2026-01-01 00:00", "2025-12-31"},
		{"Europe/Berlin", "08:00", "2026-11-29 06:59", "2026-11-28"},
		{"Europe/Berlin", "08:00", "2026-11-29 07:00", "2026-11-29"},
		{"Pacific/Kiritimati", "08:00", "2026-11-28 18:00", "2026-11-29"}, // 14 hours ahead
		// 02:30 is not there on 29 March, and is there twice on 25 October.
		{"Europe/Berlin", "02:30", "2026-03-29 00:29", "2026-03-28"},
		{"Europe/Berlin", "02:30", "2026-03-29 01:30", "2026-03-29"},
		{"Europe/Berlin", "02:30", "2026-10-25 00:29", "2026-10-24"},
		{"Europe/Berlin", "02:30", "2026-10-25 01:30", "2026-10-25"},
		// Midnight is not there on 24 April: that day begins at one. The day is that of the wall, not the one before.
		{"Africa/Cairo", "00:30", "2026-04-23 21:00", "2026-04-23"},
		{"Africa/Cairo", "00:30", "2026-04-23 22:30", "2026-04-24"},
	} {
		time.Local = in(c.zone)
		var d Daily
		if err := d.UnmarshalText([]byte(c.at)); err != nil {
			t.Fatal(err)
		}
		now, err := time.Parse("2006-01-02 15:04", c.now)
		if err != nil {
			t.Fatal(err)
		}
		if got := d.Due(now); got != c.want {
			t.Errorf("%s in %s at %s is due on %q, not %q", c.at, c.zone, c.now, got, c.want)
		}
	}
	// Over a whole year no day is left out, and none comes again.
	for _, zone := range []string{"Europe/Berlin", "Africa/Cairo", "America/Havana", "Australia/Lord_Howe"} {
		time.Local = in(zone)
		for _, d := range []Daily{"00:30", "02:30"} {
			last, seen := "", map[string]bool{}
			for now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC); now.Year() < 2027; now = now.Add(30 * time.Minute) {
				due := d.Due(now)
				if due != last && seen[due] {
					t.Errorf("%s in %s: %s comes again at %s", d, zone, due, now)
				}
				last, seen[due] = due, true
			}
			if len(seen) != 366 && len(seen) != 365 {
				t.Errorf("%s in %s: %d days", d, zone, len(seen))
			}
		}
	}
}

func TestDailyIsHoursAndMinutes(t *testing.T) {
	for _, bad := range []string{"8", "8:00", "24:00", "25:00", "08:60", "08:00:00", "8am", "08:00 17:00", "-1:00", "off"} {
		if err := new(Daily).UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	var d Daily
	if err := d.UnmarshalText([]byte(" 17:30 ")); err != nil || d != "17:30" {
		t.Errorf("%q, %v", d, err)
	}
}
