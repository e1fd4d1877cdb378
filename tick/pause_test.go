package tick

import (
	"testing"
	"time"

	"kugetsu/slots"
)

func TestPauseIsNeverMuchLongerThanItsLength(t *testing.T) {
	noon := time.Date(2026, 4, 5, 12, 0, 0, 0, time.UTC)
	later := func(d time.Duration) *time.Time { at := noon.Add(d); return &at }
	year := 365 * 24 * time.Hour
	for _, c := range []struct {
		name  string
		pause Pause
		now   time.Duration // after noon
		holds bool
	}{
		{"it began", Pause{Since: later(0), Until: later(time.Hour)}, 0, true},
		{"just before its end", Pause{Since: later(0), Until: later(time.Hour)}, time.Hour - 1, true},
		{"its end", Pause{Since: later(0), Until: later(time.Hour)}, time.Hour, false},
		{"the clock was set back a little", Pause{Since: later(0), Until: later(time.Hour)}, -time.Minute, true},
		{"the clock was set back by its length", Pause{Since: later(0), Until: later(time.Hour)}, -time.Hour, true},
		{"the clock was set back by more", Pause{Since: later(0), Until: later(time.Hour)}, -time.Hour - 1, false},
		{"the clock was set back by a year", Pause{Since: later(0), Until: later(time.Hour)}, -year, false},
		{"without an end, the clock was set back", Pause{}, -year, true},
		{"without an end, the clock was set forward", Pause{}, year, true},
		{"of an older kugetsu", Pause{Until: later(time.Hour)}, -time.Minute, true},
	} {
		home := slots.Dir(t.TempDir())
		if err := WritePause(home, c.pause); err != nil {
			t.Fatal(err)
		}
		p, err := ReadPause(home, noon.Add(c.now))
		if err != nil || (p != nil) != c.holds {
			t.Errorf("%s: %v %v", c.name, p, err)
		}
	}
}
