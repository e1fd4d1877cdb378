package slots

import (
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // the machine may have no list of the zones

	"kugetsu/queue/pattern"
)

// clockIn is the clock of an agent: the time in the zone of a program with this environment. Programs print in that zone when a
// limit is lifted.
func clockIn(env []string) func() time.Time {
	zone := time.Local
	for _, kv := range env { // the last of two equal names wins
		if name, ok := strings.CutPrefix(kv, "TZ="); ok {
			zone = zoneOf(name)
		}
	}
	return func() time.Time { return time.Now().In(zone) }
}

// posixZone is a TZ that has its offset from UTC, to the west, in itself: "EST5", "<+08>-8", "NZST-12NZDT".
var posixZone = pattern.Lazy(`^(?:[A-Za-z]{3,}|<[A-Za-z0-9+-]+>)([+-]?[0-9]{1,2})(?::([0-9]{2}))?(?:[A-Za-z<,].*)?$`)

// zoneOf is the zone of a value of TZ. An unknown value is UTC, as for the C library. Rules of summer time behind an offset are
// not read.
func zoneOf(tz string) *time.Location {
	tz = strings.TrimPrefix(tz, ":")
	if _, name, found := strings.Cut(tz, "/zoneinfo/"); found { // a path, as /usr/share/zoneinfo/Asia/Tokyo
		tz = name
	}
	if zone, err := time.LoadLocation(tz); err == nil && tz != "Local" {
		return zone
	}
	m := posixZone().FindStringSubmatch(tz)
	if m == nil {
		return time.UTC
	}
	hours, _ := strconv.Atoi(m[1]) // two digits at most
	minutes, _ := strconv.Atoi(m[2])
	if strings.HasPrefix(m[1], "-") {
		minutes = -minutes
	}
	return time.FixedZone(tz, -(hours*60+minutes)*60)
}
