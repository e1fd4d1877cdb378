package agent

import (
	"fmt"
	"math"
	"testing"
	"time"
)

// shown is windows in a line each: name, percent, hours until the reset.
func shown(windows []Window, now time.Time) (text string) {
	for _, w := range windows {
		text += fmt.Sprintf("%s %g %g\n", w.Name, math.Round(w.Used*100)/100, w.Reset.Sub(now).Hours())
	}
	return text
}

func TestQuotaIsReadFromClaudesEvents(t *testing.T) {
	in := func(hours float64) int64 { return then.Unix() + int64(hours*3600) }
	event := func(info string, args ...any) string {
		return `{"type":"rate_limit_event","rate_limit_info":` + fmt.Sprintf(info, args...) + `,"session_id":"s"}` + "\n"
	}
	both := `{"status":"allowed","overageStatus":"rejected","unifiedWindows":{"five_hour":{"utilization":%s,"resetsAt":%d},"seven_day":{"utilization":0.83,"resetsAt":%d}}}`
	for _, tt := range []struct{ name, out, want string }{
		{"no event", "", ""},
		{"both windows", event(both, "0.4", in(2), in(48)), "five_hour 40 2\nseven_day 83 48\n"},
		{"a share that is a whole number", event(both, "1", in(2), in(48)), "five_hour 100 2\nseven_day 83 48\n"},
		{"a whole share that is written with a point", event(both, "1.0", in(2), in(48)), "five_hour 100 2\nseven_day 83 48\n"},
		{"only the warning of one window, as older versions have it", event(`{"status":"allowed_warning","rateLimitType":"seven_day","utilization":0.8,"resetsAt":%d}`, in(48)), "seven_day 80 48\n"},
		{"an older version without a warning", event(`{"status":"allowed","rateLimitType":"five_hour","resetsAt":%d}`, in(2)), ""},
		{"the newest event counts", event(both, "0.4", in(2), in(48)) + event(both, "0.5", in(3), in(48)), "five_hour 50 3\nseven_day 83 48\n"},
		{"an event of one window leaves the other", event(both, "0.4", in(2), in(48)) + event(`{"rateLimitType":"five_hour","utilization":0.9,"resetsAt":%d}`, in(2)), "five_hour 90 2\nseven_day 83 48\n"},
		{"windows of one model and of credits", event(`{"unifiedWindows":{"seven_day_opus":{"utilization":1,"resetsAt":%d},"overage":{"utilization":1,"resetsAt":%[1]d}}}`, in(2)), ""},
		{"served from credits", event(`{"status":"rejected","isUsingOverage":true,"resetsAt":%d}`, in(2)), ""},

		{"percents in place of a share", event(both, "85", in(2), in(48)), "seven_day 83 48\n"},
		{"a negative share", event(both, "-0.2", in(2), in(48)), "seven_day 83 48\n"},
		{"a share beyond all numbers", event(both, "1e999", in(2), in(48)), "seven_day 83 48\n"},
		{"a share that is a text", event(both, `"0.9"`, in(2), in(48)), "seven_day 83 48\n"},
		{"NaN is no JSON", event(both, "NaN", in(2), in(48)), ""},
		{"no share", event(both, "null", in(2), in(48)), "seven_day 83 48\n"},
		{"a reset that has just passed is one", event(both, "0.9", in(2), in(48)) + event(both, "0.9", in(-1), in(48)), "five_hour 90 -1\nseven_day 83 48\n"},
		{"a reset that passed long ago", event(both, "0.9", in(-7), in(48)), "seven_day 83 48\n"},
		{"a reset in a thousand years", event(both, "0.9", in(8766*1000), in(48)), "seven_day 83 48\n"},
		{"a reset beyond the window", event(both, "0.9", in(7), in(24*9)), ""},
		{"a reset beyond all times", event(`{"rateLimitType":"five_hour","utilization":1,"resetsAt":9e300}`), ""},
		{"a negative reset", event(`{"rateLimitType":"five_hour","utilization":1,"resetsAt":-5}`), ""},
		{"words of the model that look like an event", `{"type":"assistant","message":{"content":[{"type":"text","text":"{\"type\":\"rate_limit_event\"}"}]}}` + "\n", ""},
		{"windows that are a list", event(`{"unifiedWindows":[1,2]}`), ""},
	} {
		p := parserOf(t, "claude", then)
		feed(p, tt.out, "")
		if got := shown(p.(Metered).Quota(), then); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestQuotaIsReadFromCodexsFileOfAThread(t *testing.T) {
	in := func(hours float64) int64 { return then.Unix() + int64(hours*3600) }
	line := func(limits string, args ...any) string {
		return `{"timestamp":"` + then.Add(-time.Minute).Format(time.RFC3339) + `","type":"event_msg","payload":{"type":"token_count","info":null,"rate_limits":` + fmt.Sprintf(limits, args...) + "}}\n"
	}
	window := func(percent any, minutes int, hours float64) string {
		return fmt.Sprintf(`{"used_percent":%v,"window_minutes":%d,"resets_at":%d}`, percent, minutes, in(hours))
	}
	for _, tt := range []struct{ name, tail, want string }{
		{"nothing", "", ""},
		{"both windows", line(`{"limit_id":"codex","primary":%s,"secondary":%s}`, window(12.5, 300, 2), window(40.0, 10080, 48)), "five_hour 12.5 2\nseven_day 40 48\n"},
		{"minutes that are nearly a window's", line(`{"primary":%s,"secondary":%s}`, window(12.5, 299, 2), window(40.0, 10079, 48)), "five_hour 12.5 2\nseven_day 40 48\n"},
		{"the week comes first, and alone", line(`{"limit_id":"codex","primary":%s,"secondary":null}`, window(40, 10080, 48)), "seven_day 40 48\n"},
		{"a month", line(`{"primary":%s}`, window(7, 43200, 24*20)), "month 7 480\n"},
		{"another window", line(`{"primary":%s}`, window(7, 60, 1)), ""},
		{"an older version counts seconds", line(`{"primary":{"used_percent":9,"window_minutes":300,"resets_in_seconds":3660}}`), "five_hour 9 1\n"},
		{"the newest line counts", line(`{"primary":%s}`, window(12, 300, 2)) + `{"type":"x"}` + "\n" + line(`{"primary":%s}`, window(13, 300, 2)) + `{"cut`, "five_hour 13 2\n"},
		{"the bucket of one model", line(`{"primary":%s}`, window(12, 300, 2)) + line(`{"limit_id":"codex_bengalfox","primary":%s}`, window(99, 300, 2)), "five_hour 12 2\n"},
		{"a key has no windows", line(`null`), ""},
		{"a beginning that is cut", `ts":{"primary":` + window(99, 300, 2) + "}}}\n" + line(`{"primary":%s}`, window(12, 300, 2)), "five_hour 12 2\n"},
		{"a reset that has just passed is one", line(`{"primary":%s}`, window(99, 300, -1)), "five_hour 99 -1\n"},
		{"a reset that passed long ago", line(`{"primary":%s}`, window(99, 300, -7)), ""},
		{"more than all", line(`{"primary":%s}`, window(101, 300, 2)), ""},
		{"less than nothing", line(`{"primary":%s}`, window(-1, 300, 2)), ""},
		{"words of the model that look like a line", `{"type":"response_item","payload":{"type":"message","rate_limits":{"primary":` + window(99, 300, 2) + "}}}\n", ""},
		{"a line without a time", `{"payload":{"type":"token_count","rate_limits":{"primary":` + window(12, 300, 2) + "}}}\n", "five_hour 12 2\n"},
		{"a line of tomorrow", `{"timestamp":"` + then.Add(24*time.Hour).Format(time.RFC3339) + `","payload":{"type":"token_count","rate_limits":{"primary":` + window(12, 300, 2) + "}}}\n", ""},
	} {
		if got := shown(codexWindows([]byte(tt.tail), then), then); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestQuotaThatWasToldLastCounts(t *testing.T) {
	w := func(used float64, told time.Duration) Window {
		return Window{Name: "five_hour", Used: used, Reset: then.Add(time.Hour), At: then.Add(told)}
	}
	for _, tt := range []struct {
		name    string
		windows []Window
		want    float64
	}{
		{"in order", []Window{w(1, -2), w(2, -1)}, 2},
		{"out of order", []Window{w(2, -1), w(1, -2)}, 2},
		{"at the same time the later one", []Window{w(2, -1), w(1, -1)}, 1},
		{"one of the future is none", []Window{w(1, -2), w(99, time.Hour)}, 1},
		{"one that is no number is none", []Window{w(1, -2), w(math.NaN(), -1)}, 1},
	} {
		if got := Newest(then, tt.windows...); len(got) != 1 || got[0].Used != tt.want {
			t.Errorf("%s: %+v, want %g", tt.name, got, tt.want)
		}
	}
	if got := Newest(then.Add(time.Hour), w(99, 0)); len(got) != 0 {
		t.Errorf("the reset has passed: %+v", got)
	}
}
