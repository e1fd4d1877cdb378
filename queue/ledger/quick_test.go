package ledger

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"kugetsu/queue/outcome"
	"kugetsu/queue/spool"
)

// FuzzQuick: quick reads the same from a line as package json does.
func FuzzQuick(f *testing.F) {
	full := run(1, time.Hour)
	full.PeakMemory, full.Cost = 123456789, &outcome.Cost{USD: 0.25, Input: 1, Output: 20, Reasoning: 300, CacheRead: 4000, CacheWrite: 50000}
	bare := Run{Name: full.Name, Agent: "codex", NotifiedAt: noon.Add(time.Millisecond), EndedAt: noon.Add(time.Hour), Outcome: "void", State: "pending"}
	var lines []string
	for _, r := range []Run{run(1, time.Hour), full, bare} {
		data, err := r.line()
		must(f, err)
		line := strings.TrimSuffix(string(data), "\n")
		if !new(Run).quick(line) {
			f.Errorf("a line of this version is not read quickly: %s", line)
		}
		lines = append(lines, line)
	}
	for _, line := range lines {
		f.Add(line)
		for _, change := range [][2]string{{`"v":1`, `"v":2`}, {"12.345", "012.345"}, {"12.345", "1e3"}, {"12.345", "12."}, {"12.345", "-12.5"}, {"12.345", "null"}, {"Z", "+01:00"}, {"T", " "},
			{"Z", "z"}, {"11:00", "24:00"}, {"claude", `cl\u0061ude`}, {"claude", "clüde"}, {"claude", "cl\xffde"}, {`"agent"`, `"Agent"`}, {"}", ",}"}, {`"cost":{`, `"cost":{,`}, {`"outcome"`, `"more":1,"outcome"`}} {
			f.Add(strings.Replace(line, change[0], change[1], 1))
		}
	}
	f.Fuzz(func(t *testing.T, line string) {
		var r, want Run
		if !r.quick(line) {
			return
		}
		if err := spool.DecodeVersion([]byte(line), Version, &want, &want.V); err != nil || !reflect.DeepEqual(r, want) {
			t.Errorf("%q\nquick: %+v\njson:  %+v, %v", line, r, want, err)
		}
	})
}
