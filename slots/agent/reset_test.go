package agent

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

var resets = []struct{ text, want string }{
	{"Claude AI usage limit reached|1733160000", "2024-12-02T17:20:00Z"},
	{"limit reached|1733160000123", "2024-12-02T17:20:00Z"},
	{`{"resets_at":1795641886}`, "2026-11-25T21:24:46Z"},
	{"retry-after: 120", "2026-11-25T19:27:30Z"},
	{"Retry-After: Wed, 25 Nov 2026 21:00:00 GMT", "2026-11-25T21:00:00Z"},
	{"resets_in_seconds: 3600", "2026-11-25T20:25:30Z"},
	{"Suggested retry after 7200s.", "2026-11-25T21:25:30Z"},
	{`"retryDelay": "7200.5s"`, "2026-11-25T21:25:30Z"},
	{"Please retry in 90500ms.", "2026-11-25T19:27:00Z"},
	{"Please try again in 11.054s. Visit the site", "2026-11-25T19:25:41Z"},
	{"Please try again in 6m0s", "2026-11-25T19:31:30Z"},
	{"try again in 2 hours 5 minutes", "2026-11-25T21:30:30Z"},
	{"Try again in 3 days, 4 hours and 5 minutes.", "2026-11-28T23:30:30Z"},
	{"Your quota will reset after 19h4m42s.", "2026-11-26T14:30:12Z"},
	{"It will reset in 1 day 2 hours. To continue", "2026-11-26T21:25:30Z"},
	{"Limit reached. Resets at 2026-11-25T21:00:00Z", "2026-11-25T21:00:00Z"},
	{"available again at 2026-11-25T22:00:00.5+01:00", "2026-11-25T21:00:00Z"},
	{"resets at 2026-11-25 21:00:00 UTC", "2026-11-25T21:00:00Z"},
	{"or try again at 9:13 PM.", "2026-11-25T21:13:00Z"},
	{"try again at 7:13 AM", "2026-11-26T07:13:00Z"},
	{"try again at 9:13 AM", "2026-11-25T09:13:00Z"}, // it has passed
	{"try again at 7:25 PM", "2026-11-25T19:25:00Z"}, // this very minute
	{"try again at 7:24 PM", "2026-11-25T19:24:00Z"}, // the last one: over, and not tomorrow's
	{"You've hit your limit · resets 6pm", "2026-11-25T18:00:00Z"},
	{"You've hit your weekly limit · resets Mon 12:00am", "2026-11-30T00:00:00Z"},
	{"resets Wednesday at 8pm", "2026-11-25T20:00:00Z"},
	{"resets Wed 6pm", "2026-11-25T18:00:00Z"}, // it has passed
	{"resets Tue 8pm (UTC)", "2026-12-01T20:00:00Z"},
	{"You've hit your limit · resets Feb 16, 11am (Europe/Berlin)", "2027-02-16T10:00:00Z"},
	{"You've hit your limit · resets Apr 23 at 4pm (America/Recife)", "2027-04-23T19:00:00Z"},
	{"limit - resets Feb 7, 11am (Asia/Seoul)/login", "2027-02-07T02:00:00Z"},
	{"reset at 2026-07-30 16:11:46 +0800 CST", "2026-07-30T08:11:46Z"},
	{"You will regain access on 2026-12-01 at 00:00 UTC.", "2026-12-01T00:00:00Z"},
	{"Your quota will reset after 4h28m20s.. Retrying after 16123456ms...", "2026-11-25T23:53:50Z"},
	{"Retrying after 16123456ms...", "2026-11-25T23:54:13Z"},
	{"Your limit will reset at 2026-09-12 00:35:41", ""}, // the zone is not known
	{"try again at Aug 20, 2026, 7:38 AM", "2026-08-20T07:38:00Z"},
	{"try again at 21:13", "2026-11-25T21:13:00Z"},
	{"try again at Nov 29th, 2026 8:32 AM.", "2026-11-29T08:32:00Z"},
	{"try again at Jan 3rd, 2027 12:00 AM", "2027-01-03T00:00:00Z"},
	{"5-hour limit reached ∙ resets 3am (Europe/Berlin)", "2026-11-26T02:00:00Z"},
	{"You've hit your session limit · resets 10:24pm (Europe/Berlin)", "2026-11-25T21:24:00Z"},
	{"resets 12am", "2026-11-26T00:00:00Z"},
	{"resets 12pm", "2026-11-25T12:00:00Z"},
	{"weekly limit · resets Nov 30, 7:19pm (UTC)", "2026-11-30T19:19:00Z"},
	{"weekly limit · resets January 2 at 7pm (America/New_York)", "2027-01-03T00:00:00Z"},
	{"resets 9:13pm (Mars/Olympus)", "2026-11-25T21:13:00Z"}, // there is no such zone: our own
	{"wait 5 minutes", "2026-11-25T19:30:30Z"},
	{"Try again. Or later. The limit resets in 2h.", "2026-11-25T21:25:30Z"}, // the second of the words has a time

	{"resets Mon, Feb 16 at 11am (Europe/Berlin)", "2027-02-16T10:00:00Z"},
	{"resets tomorrow at 3pm", "2026-11-26T15:00:00Z"},
	{"try again at 9:13 PM PST", "2026-11-26T05:13:00Z"},
	{"resets 3am (PDT)", "2026-11-25T11:00:00Z"},
	{"resets 3pm (UTC+2)", "2026-11-25T13:00:00Z"},
	{"resets 3pm (UTC-05:30)", "2026-11-25T20:30:00Z"},
	{"resets 21:13 +0200", "2026-11-25T19:13:00Z"},
	{"resets 3pm (Local)", "2026-11-25T15:00:00Z"}, // Local is no zone of the agent's
	{"resets 9pm (UTC+77)", "2026-11-25T21:00:00Z"},
	{"resets Mon 12:00am (America/New_York)", "2026-11-30T05:00:00Z"},
	{"try again in about 5 hours", "2026-11-26T00:25:30Z"},
	{"resets in 2 weeks 1 day", "2026-12-10T19:25:30Z"},
	{"resets 2026-11-26 03:00 (UTC)", "2026-11-26T03:00:00Z"},
	{"resets at 2026-11-26T03:00:00+08:00[Asia/Shanghai]", "2026-11-25T19:00:00Z"},
	{"reset at 2026-11-26 03:00:00 (UTC+8)", "2026-11-25T19:00:00Z"},
	{"resets on November 26th at 3 PM EST", "2026-11-26T20:00:00Z"},
	{"resets 26 Nov 2026 at 03:00", "2026-11-26T03:00:00Z"},
	{"available again on Dec 1, 2026", "2026-12-01T00:00:00Z"},
	{"Limit resets at 12:30 a.m.", "2026-11-26T00:30:00Z"},
	{"quotaResetDelay: 2h", "2026-11-25T21:25:30Z"},
	{`"quotaResetTimeStamp":"2026-11-26T03:00:00Z"`, "2026-11-26T03:00:00Z"},
	{"reset time: 2026-11-26T03:00:00Z", "2026-11-26T03:00:00Z"},

	{"Your limit will reset on 11/30/2026 at 3:00 PM", ""}, // it is not known which number is the month
	{"10 de jul. de 2026, 11:52", ""},
	{"resets on February 31, 2027", ""},
	{"resets at 2026-13-01 00:00 UTC", ""},
	{"resets at 2026-02-30 00:00 UTC", ""},
	{"resets at 2026-11-26 24:61 UTC", ""},
	{"resets in 3 months' time", ""},
	{"ratelimit-reset: 30", ""},
	{"", ""},
	{"try again later", ""},
	{"retry limit exceeded 5 times", ""},
	{"try again in a moment", ""},
	{"Reset your password", ""},
	{"Limit 30000, Used 22999, Requested 12528", ""},
	{"you waited 5 minutes", ""},
	{"retry 3", ""},
	{"try again at 25:00", ""},
	{"try again at 13pm", ""},
	{"try again at 9:77 PM", ""},
	{"try again at Foo 29, 2026 8:32 AM", ""},
	{"retryDelayMs: undefined", ""},
	{"try again in 999999999 days", ""},
	{"retry-after: 999999999999999", ""},
	{"again|12345678901", ""},
}

func TestResetTimesAreReadAsTheyArePrinted(t *testing.T) {
	for _, tt := range resets {
		got := resetTime(tt.text, then)
		if !got.Truncate(time.Second).Equal(at(tt.want)) {
			t.Errorf("%q: %s, want %s", tt.text, got.UTC(), tt.want)
		}
	}
}

func TestClockWithoutAZoneIsOurs(t *testing.T) {
	zone := time.FixedZone("east", 2*3600)
	for text, want := range map[string]string{ // it is 9:25 PM there
		"try again at 9:33 PM": "2026-11-25T19:33:00Z", "try again at 9:13 PM": "2026-11-25T19:13:00Z",
		"resets 1am": "2026-11-25T23:00:00Z", "resets Thu 1am": "2026-11-25T23:00:00Z",
	} {
		if got := resetTime(text, then.In(zone)); !got.Equal(at(want)) {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// After midnight a time of the evening is that of yesterday.
func TestClockThatPassedBeforeMidnightIsNotTomorrows(t *testing.T) {
	now := at("2026-11-26T00:30:00Z")
	if got := resetTime("resets 11:50pm", now); !got.Equal(at("2026-11-25T23:50:00Z")) {
		t.Errorf("%s", got)
	}
}

func TestRetryAfterIsSecondsOrADate(t *testing.T) {
	for value, want := range map[string]string{
		"120": "2026-11-25T19:27:30Z", " 1.5 ": "2026-11-25T19:25:31Z", "0": "2026-11-25T19:25:30Z",
		"Wed, 25 Nov 2026 21:00:00 GMT": "2026-11-25T21:00:00Z",
		"":                              "", "-1": "", "soon": "", "NaN": "", "Inf": "", "1e300": "", "2026": "2026-11-25T19:59:16Z",
	} {
		if got := retryAfter(value, then); !got.Truncate(time.Second).Equal(at(want)) {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
}

// A time that a program prints is read back, in each of the forms that programs have.
func FuzzResetTimesRoundTrip(f *testing.F) {
	for _, ahead := range []int64{0, 59, 3600, 43199, 86400 * 6, 86400 * 170} {
		f.Add(ahead, int64(90), uint8(1), uint8(2))
	}
	names := []string{"UTC", "Europe/Berlin", "America/Bogota", "Asia/Seoul", "America/New_York", "Asia/Kolkata"}
	f.Fuzz(func(t *testing.T, ahead, now int64, in, of uint8) {
		begin := then.Add(time.Duration(uint64(now)%(400*86400)) * time.Second)
		ours, theirs := zone(names[int(in)%len(names)]), zone(names[int(of)%len(names)])
		begin = begin.In(ours)
		end := begin.Add(time.Duration(uint64(ahead)%(170*86400)) * time.Second)
		check := func(text string, want time.Time) {
			t.Helper()
			if got := resetTime(text, begin); !got.Equal(want) {
				t.Errorf("%q at %s: %s, want %s", text, begin, got, want)
			}
		}
		whole := end.Truncate(time.Second)
		check("limit reached|"+strconv.FormatInt(whole.Unix(), 10), whole)
		check("resets at "+whole.In(theirs).Format(time.RFC3339), whole)
		check("resets at "+whole.In(theirs).Format("2006-01-02 15:04:05 -0700"), whole)
		check("retry-after: "+whole.UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT"), whole)
		check("resets_in_seconds: "+strconv.FormatInt(int64(end.Sub(begin)/time.Second), 10), end)
		check("Your quota will reset after "+end.Sub(begin).String(), end)

		minute := end.Truncate(time.Minute)
		named := minute.In(theirs)
		if again := time.Date(named.Year(), named.Month(), named.Day(), named.Hour(), named.Minute(), 0, 0, theirs); !again.Equal(named) {
			return // an hour that there is twice
		}
		check("resets "+named.Format("Jan 2, 2006, 3:04pm")+" ("+theirs.String()+")", minute)
		if minute.Sub(begin) < 11*time.Hour && minute.Sub(begin) > -11*time.Hour {
			check("resets "+named.Format("3:04pm")+" ("+theirs.String()+")", minute)
			check("resets "+named.Format("15:04 -0700"), minute)
		}
		if minute.Sub(begin) < 6*24*time.Hour && minute.After(begin) {
			check("resets "+named.Format("Mon 3:04pm")+" ("+theirs.String()+")", minute)
		}
	})
}

func FuzzResetTime(f *testing.F) {
	for _, tt := range resets {
		f.Add(tt.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := resetTime(text, then)
		if !got.IsZero() && !strings.ContainsAny(text, "0123456789") {
			t.Errorf("%q: %s", text, got)
		}
		if plain := strings.Map(func(r rune) rune {
			if r >= '0' && r <= '9' {
				return -1
			}
			return r
		}, text); !resetTime(plain, then).IsZero() {
			t.Errorf("%q has a time", plain)
		}
		retryAfter(text, then)
	})
}
