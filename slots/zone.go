package slots

import (
	"regexp"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // a zone that is named must not be read as another where the machine has no list of them
)

// clockIn is the clock of an agent: the time, in the zone in which a program with this environment tells it. Programs say
// when a limit is lifted by their own clock.
func clockIn(env []string) func() time.Time {
	zone := time.Local
	for _, kv := range env { // the last of two equal names wins
		if name, ok := strings.CutPrefix(kv, "TZ="); ok {
			zone = zoneOf(name)
		}
	}
	return func() time.Time { return time.Now().In(zone) }
}

// posixZone is a TZ that says itself how far it is from UTC, to the west: "EST5", "<+08>-8", "NZST-12NZDT".
var posixZone = regexp.MustCompile(`^(?:[A-Za-z]{3,}|<[A-Za-z0-9+-]+>)([+-]?[0-9]{1,2})(?::([0-9]{2}))?(?:[A-Za-z<,].*)?$`)

// zoneOf is the zone that a value of TZ means. One that means nothing is UTC, as for the C library; what it says of summer
// time beside its offset is not read.
func zoneOf(tz string) *time.Location {
	tz = strings.TrimPrefix(tz, ":")
	if _, name, found := strings.Cut(tz, "/zoneinfo/"); found { // a path, as /usr/share/zoneinfo/Asia/Tokyo
		tz = name
	}
	if zone, err := time.LoadLocation(tz); err == nil && tz != "Local" {
		return zone
	}
	m := posixZone.FindStringSubmatch(tz)
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
