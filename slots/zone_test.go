package slots

import (
	"testing"
	"time"
)

func TestAgentsClockIsInTheZoneOfItsEnvironment(t *testing.T) {
	for tz, want := range map[string]int{ // hours ahead of UTC in January
		"America/New_York": -5, ":America/New_York": -5, "/usr/share/zoneinfo/Asia/Tokyo": 9, "Asia/Tokyo": 9, "UTC": 0, "": 0,
		"EST5EDT": -5, "<+08>-8": 8, "NZST-12": 12, "ABC+3": -3, "XYZ-3XYS,M3.5.0,M10.5.0": 3, "Mars/Olympus": 0, "nonsense": 0,
	} {
		at := time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC).In(zoneOf(tz))
		if _, offset := at.Zone(); offset != want*3600 {
			t.Errorf("TZ=%s is %d s ahead of UTC, not %d h", tz, offset, want)
		}
	}
	if got := clockIn([]string{"TZ=Asia/Tokyo", "A=b", "TZ=America/New_York"})().Location().String(); got != "America/New_York" {
		t.Errorf("%s: the last one counts", got)
	}
	if got := clockIn([]string{"A=b"})().Location(); got != time.Local {
		t.Errorf("%s: without TZ it is the machine's", got)
	}
}
