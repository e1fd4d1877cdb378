package slots

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// notes are the lines that say what was dropped.
var notes = regexp.MustCompile(`(?m)^kugetsu: \d+ bytes of this log were dropped here\n`)

func TestLogStaysUnderItsCapAndKeepsItsEnd(t *testing.T) {
	dir := t.TempDir()
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		path := filepath.Join(dir, fmt.Sprint(n))
		limit := rapid.IntRange(400, 4000).Draw(t, "cap")
		l, err := openLog(path, int64(limit))
		fatalLog(t, err)
		var all strings.Builder
		for i := range rapid.IntRange(1, 60).Draw(t, "writes") {
			part := strings.Repeat(fmt.Sprintf("%d.", i), rapid.IntRange(0, limit/16).Draw(t, "length"))
			part = part[:min(len(part), limit/4)]
			wrote, err := l.Write([]byte(part))
			if err != nil || wrote != len(part) {
				t.Fatalf("%d of %d bytes, %v", wrote, len(part), err)
			}
			all.WriteString(part)
			if rapid.IntRange(0, 9).Draw(t, "reopen") == 0 { // as the next process does
				fatalLog(t, l.Close())
				l, err = openLog(path, int64(limit))
				fatalLog(t, err)
			}
			data, err := os.ReadFile(path)
			fatalLog(t, err)
			if len(data) > limit {
				t.Fatalf("%d bytes, more than %d", len(data), limit)
			}
			whole := all.String()
			kept := notes.ReplaceAllString(string(data), "")
			if !strings.HasSuffix(whole, kept) {
				t.Fatalf("what is kept is not the end of what was written")
			}
			if len(kept) < min(len(whole), limit/4) {
				t.Fatalf("%d bytes are kept of %d", len(kept), len(whole))
			}
			if len(whole) <= limit && kept != whole {
				t.Fatalf("%d bytes fit, but %d are kept", len(whole), len(kept))
			}
		}
		fatalLog(t, l.Close())
	})
}

func fatalLog(t *rapid.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestLogSaysWhereItWasCut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, err := openLog(path, 1000)
	must(t, err)
	for range 30 {
		l.say("%s", strings.Repeat("x", 80))
	}
	must(t, l.Close())
	data, err := os.ReadFile(path)
	must(t, err)
	if !strings.HasPrefix(string(data), "kugetsu: ") || len(notes.FindAllString(string(data), -1)) != 1 {
		t.Errorf("%q", data)
	}
	if !strings.HasSuffix(string(data), "\nkugetsu: "+strings.Repeat("x", 80)+"\n") {
		t.Errorf("%q", data)
	}
}

func TestLogThatCannotBeWrittenStopsNobody(t *testing.T) {
	l, err := openLog(filepath.Join(t.TempDir(), "log"), 1000)
	must(t, err)
	must(t, l.Close())
	if n, err := l.Write([]byte("lost")); n != 4 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}
