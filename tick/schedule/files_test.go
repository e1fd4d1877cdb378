package schedule

import (
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kugetsu/queue/fault"
)

var update = flag.Bool("update", false, "write contrib/schedule anew")

// usual is the job of the files in contrib/schedule: one state folder, in its usual place.
var usual = Job{Name: "kugetsu", Binary: "/usr/local/bin/kugetsu", Dir: "/home/you/.kugetsu", Default: true, Minutes: 5, Home: "/home/you", User: "you",
	Watch: []string{"/home/you/.kugetsu/queue/items", "/home/you/.kugetsu/queue/pm"}}

func TestPlainFilesAreWhatStartInstalls(t *testing.T) {
	mac := usual
	mac.Home = "/Users/you"
	files := append(systemd{usual}.units(), launchd{mac}.plist(), File{"crontab", cron{usual}.plainBlock()})
	for _, f := range files {
		path := filepath.Join("..", "..", "contrib", "schedule", f.Name)
		if *update {
			if err := os.WriteFile(path, []byte(f.Text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		there, err := os.ReadFile(path)
		if err != nil || string(there) != f.Text {
			t.Errorf("%s is not what start installs (go test ./tick/schedule -update writes it): %v", path, err)
		}
	}
}

func TestPathsDoNotBreakOutOfThePlist(t *testing.T) {
	for _, path := range append(hostile, "/a<b>&amp;]]>", "</string>") {
		j := usual
		j.Binary, j.Dir, j.Default = path, path, false
		var texts []string
		d := xml.NewDecoder(strings.NewReader(launchd{j}.plist().Text))
		depth := 0
		for {
			token, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%q: %v", path, err)
			}
			switch token := token.(type) {
			case xml.StartElement:
				depth++
			case xml.EndElement:
				depth--
			case xml.CharData:
				if text := strings.TrimSpace(string(token)); text != "" {
					texts = append(texts, text)
				}
			}
		}
		want := []string{"Label", j.Name, "ProgramArguments", path, "tick", "--scheduled", "EnvironmentVariables", "KUGETSU_DIR", path,
			"StartInterval", "300", "RunAtLoad", "AbandonProcessGroup", "StandardErrorPath", "/home/you/Library/Logs/kugetsu.log"}
		if strings.Join(texts, "\n") != strings.Join(want, "\n") || depth != 0 {
			t.Errorf("%q: %q", path, texts)
		}
	}
}

func TestPathThatNoScheduleCanHoldIsRefused(t *testing.T) {
	for path, ok := range map[string]bool{"/plain": true, "/it's 100% #1": true, "/new\nline": false, "/tab\t": false, "/\x7f": false, "/\xff": false, "/space ": false, `/back\`: false} {
		for _, j := range []Job{{Binary: path}, {Dir: path}, {Watch: []string{path}}} {
			err := j.check()
			if (err == nil) != ok || err != nil && fault.HintOf(err) == "" {
				t.Errorf("%q: %v", path, err)
			}
		}
	}
}

func TestNextTickIsDueAtAMinuteOfTheInterval(t *testing.T) {
	at := func(clock string) time.Time {
		when, err := time.ParseInLocation("2006-01-02 15:04:05", "2026-11-25 "+clock, time.Local)
		if err != nil {
			t.Fatal(err)
		}
		return when
	}
	for _, c := range []struct {
		kind            Kind
		minutes         int
		now, last, want string
	}{
		{Cron, 5, "10:00:00", "09:55:00", "10:05:00"},
		{Cron, 5, "10:04:59", "10:00:00", "10:05:00"},
		{Systemd, 1, "10:04:59", "10:00:00", "10:05:00"},
		{Systemd, 7, "10:56:01", "10:56:00", "11:00:00"},
		{Cron, 59, "10:00:00", "09:59:00", "10:59:00"},
		{Launchd, 7, "10:56:01", "10:55:00", "11:02:00"},
	} {
		if got := (Found{Kind: c.kind, Minutes: c.minutes}).Next(at(c.now), at(c.last)); !got.Equal(at(c.want)) {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

func TestTicksAreOverdueAfterTwoIntervals(t *testing.T) {
	since := time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)
	r := Record{Minutes: 5, Since: since}
	for _, c := range []struct {
		last, now, late time.Duration
	}{
		{-time.Hour, time.Minute, 0}, // the schedule was just asked for: earlier ticks do not count
		{-time.Hour, 10 * time.Minute, 0},
		{-time.Hour, 11 * time.Minute, 11 * time.Minute},
		{time.Hour, time.Hour + 10*time.Minute, 0},
		{time.Hour, time.Hour + 10*time.Minute + time.Second, 10*time.Minute + time.Second},
		{time.Hour, time.Minute, 0}, // the clock was set back
	} {
		if got := r.Overdue(since.Add(c.now), since.Add(c.last)); got != c.late {
			t.Errorf("%+v: %s", c, got)
		}
	}
}
