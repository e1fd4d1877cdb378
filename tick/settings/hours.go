package settings

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Hours are times of the week at which something may start, in local time. The zero Hours are all times.
//
//	Mon-Fri 22:00-07:00, Sat-Sun 00:00-24:00
//
// A window without days is one of each day. One that ends before it begins ends on the next day: that of Fri 22:00-07:00 on
// Saturday at 7. Where clocks are set forward or back, a window begins and ends as the clock on the wall says: see onWall.
type Hours string

// window is from and until minutes after the midnight of a day; until may be of the next day.
type window struct {
	days        [7]bool // by time.Weekday
	from, until int
}

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// UnmarshalText reads hours. The error says how they are written.
func (h *Hours) UnmarshalText(text []byte) error {
	if _, err := parseHours(string(text)); err != nil {
		return err
	}
	*h = Hours(strings.TrimSpace(string(text)))
	return nil
}

func parseHours(text string) (windows []window, err error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		w, err := parseWindow(strings.Fields(part))
		if err != nil {
			return nil, fmt.Errorf("%.60q: %w: write Mon-Fri 22:00-07:00, Sat-Sun 00:00-24:00", strings.TrimSpace(part), err)
		}
		windows = append(windows, w)
	}
	return windows, nil
}

func parseWindow(words []string) (w window, err error) {
	days := "sun-sat"
	if len(words) == 2 {
		days, words = words[0], words[1:]
	}
	if len(words) != 1 {
		return w, fmt.Errorf("not days and hours")
	}
	first, last, _ := strings.Cut(strings.ToLower(days), "-")
	if last == "" {
		last = first
	}
	from, until := weekday(first), weekday(last)
	if from < 0 || until < 0 || strings.HasSuffix(days, "-") {
		return w, fmt.Errorf("%q is not a day, or days", days)
	}
	for day := from; ; day = (day + 1) % 7 {
		w.days[day] = true
		if day == until {
			break
		}
	}
	begin, end, _ := strings.Cut(words[0], "-")
	if w.from, err = minutes(begin); err != nil {
		return w, err
	}
	if w.until, err = minutes(end); err != nil {
		return w, err
	}
	switch {
	case w.from == w.until || w.from == 24*60:
		return w, fmt.Errorf("%s holds no time; the whole day is 00:00-24:00", words[0])
	case w.until < w.from:
		w.until += 24 * 60
	}
	return w, nil
}

func weekday(name string) int {
	for i, day := range weekdays {
		if name == day {
			return i
		}
	}
	return -1
}

// minutes reads HH:MM, 24:00 at most.
func minutes(s string) (int, error) {
	if s == "24:00" {
		return 24 * 60, nil
	}
	at, err := time.Parse("15:04", s)
	if err != nil || len(s) != len("15:04") {
		return 0, fmt.Errorf("%q is not a time of day", s)
	}
	return at.Hour()*60 + at.Minute(), nil
}

// Open says whether something may start at a time.
func (h Hours) Open(now time.Time) bool {
	open := h == ""
	h.around(now, -1, 0, func(begin, end time.Time) {
		open = open || !now.Before(begin) && now.Before(end)
	})
	return open
}

// Next is when the next window after a time begins; the zero time where all times are open.
func (h Hours) Next(now time.Time) (next time.Time) {
	h.around(now, 0, 8, func(begin, _ time.Time) { // 8: the only window of a week may have begun today
		if begin.After(now) && (next.IsZero() || begin.Before(next)) {
			next = begin
		}
	})
	return next
}

// around calls do for the windows that begin on the days from now+first to now+last.
func (h Hours) around(now time.Time, first, last int, do func(begin, end time.Time)) {
	now = now.Local()
	windows, _ := parseHours(string(h)) // UnmarshalText has read them
	for day := first; day <= last; day++ {
		// Noon is on the same day, however clocks are set.
		noon := time.Date(now.Year(), now.Month(), now.Day()+day, 12, 0, 0, 0, time.Local)
		at := func(minutes int) time.Time { return onWall(noon, minutes) }
		for _, w := range windows {
			begin, end := at(w.from), at(w.until)
			if w.days[noon.Weekday()] && begin.Before(end) { // one that lies in a skip is not there
				do(begin, end)
			}
		}
	}
}

// onWall is when the clock on the wall shows, on a day, that many minutes after midnight. A clock that is set forward skips an hour: for a
// time in that hour onWall is the skip. A clock that is set back shows an hour twice: for a time in that hour onWall is the second time.
func onWall(day time.Time, minutes int) time.Time {
	at := time.Date(day.Year(), day.Month(), day.Day(), 0, minutes, 0, 0, time.Local)
	if at.Hour()*60+at.Minute() == minutes%(24*60) {
		return at
	}
	begin, end := at.ZoneBounds() // at is on one of the two sides of the skip
	if at.Hour()*60+at.Minute() > minutes%(24*60) {
		return begin
	}
	return end
}

// Closed lists the times between two times at which nothing may start, in their order.
func (h Hours) Closed(from, until time.Time) (closed [][2]time.Time) {
	if h == "" {
		return nil
	}
	var open [][2]time.Time
	h.around(until, -1-int(until.Sub(from).Hours()/23), 0, func(begin, end time.Time) { // 23: the shortest day
		open = append(open, [2]time.Time{begin, end})
	})
	slices.SortFunc(open, func(a, b [2]time.Time) int { return a[0].Compare(b[0]) })
	for _, w := range open {
		if w[0].After(from) && from.Before(until) {
			end := w[0]
			if end.After(until) {
				end = until
			}
			closed = append(closed, [2]time.Time{from, end})
		}
		if w[1].After(from) {
			from = w[1]
		}
	}
	if from.Before(until) {
		closed = append(closed, [2]time.Time{from, until})
	}
	return closed
}
