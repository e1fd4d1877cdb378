package agent

import (
	"encoding/json"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"kugetsu/queue/fault"
	"kugetsu/queue/outcome"
	"kugetsu/queue/terminal"
)

func TestPresetsAreFoundByNameAndSorted(t *testing.T) {
	names := Names()
	if !slices.IsSorted(names) || !slices.Equal(names, slices.Compact(slices.Clone(names))) {
		t.Errorf("Names() = %q, want them sorted and each once", names)
	}
	for _, name := range names {
		p, err := Lookup(name)
		if err != nil || p.Name != name {
			t.Errorf("Lookup(%q) = %q, %v", name, p.Name, err)
		}
		if p.Argv == nil || p.Parser == nil || p.Parser(time.Now) == nil {
			t.Errorf("%s lacks its argv or its parser", name)
		}
	}
}

func TestUnknownAgentIsToldWhichOnesThereAre(t *testing.T) {
	for _, name := range []string{"", "OpenCode", "opencode ", "emacs"} {
		_, err := Lookup(name)
		if err == nil || fault.Code(err) != fault.Config {
			t.Fatalf("Lookup(%q): %v, want an error of the configuration", name, err)
		}
		for _, known := range Names() {
			if !strings.Contains(err.Error(), known) {
				t.Errorf("Lookup(%q): %v: does not name %s", name, err, known)
			}
		}
	}
}

func TestMajorReadsTheFirstLine(t *testing.T) {
	for _, tt := range []struct {
		output string
		want   int
		found  bool
	}{
		{"1.18.33\n", 1, true},
		{"opencode v2.0.1", 2, true},
		{"\n2.0.0-beta.3\n", 2, true},
		{"opencode 12.4", 12, true},
		{"codex-cli 0.169.0", 0, true},
		{"", 0, false},
		{"dev", 0, false},
		{"7", 0, false},
		{"command not found\n1.2.3", 0, false},
		{"99999999999999999999.1", 0, false},
		{"-1.5", 1, true},
	} {
		if got, found := Major(tt.output); got != tt.want || found != tt.found {
			t.Errorf("Major(%q) = %d, %t, want %d, %t", tt.output, got, found, tt.want, tt.found)
		}
	}
}

func TestExitSpeaksAsAShellUserKnowsIt(t *testing.T) {
	for _, tt := range []struct {
		exit Exit
		want string
	}{
		{Exit{}, "exit status 0"},
		{Exit{Code: 75}, "exit status 75"},
		{Exit{Signal: syscall.SIGKILL}, "killed by signal SIGKILL"},
		{Exit{Code: 137, Signal: syscall.SIGTERM}, "killed by signal SIGTERM"},
		{Exit{Signal: 63}, "killed by signal 63"},
	} {
		if got := tt.exit.String(); got != tt.want {
			t.Errorf("%#v: %q, want %q", tt.exit, got, tt.want)
		}
	}
}

func TestTextIsCutBetweenCharacters(t *testing.T) {
	for _, tt := range []struct {
		cut   func(string, int) string
		s     string
		limit int
		want  string
	}{
		{terminal.Clip, "short", 5, "short"},
		{terminal.Clip, "longer", 5, "lo…"},
		{terminal.Clip, "月月月", 8, "月…"},
		{terminal.Tail, "short", 5, "short"},
		{terminal.Tail, "longer", 5, "…er"},
		{terminal.Tail, "月月月", 8, "…月"},
		{oneLine, "git\n\tcommit  -m x", 20, "git commit -m x"},
		{oneLine, "git\n\tcommit  -m x", 12, "git commi…"},
	} {
		if got := tt.cut(tt.s, tt.limit); got != tt.want || len(got) > tt.limit {
			t.Errorf("%q at %d: %q, want %q", tt.s, tt.limit, got, tt.want)
		}
	}
}

// checkReport fails where a report breaks what every report promises.
func checkReport(t *testing.T, exit Exit, r Report) {
	t.Helper()
	if !slices.Contains([]outcome.Outcome{outcome.OK, outcome.Failed, outcome.Denied, outcome.UsageLimit, outcome.Auth, outcome.Outage, outcome.Void}, r.Outcome) {
		t.Errorf("outcome %q", r.Outcome)
	}
	if !exit.ok() && (r.Outcome == outcome.OK || r.Outcome == outcome.Denied) {
		t.Errorf("%v, but the outcome is %q", exit, r.Outcome)
	}
	if !r.Reset.IsZero() && r.Outcome != outcome.UsageLimit {
		t.Errorf("%s has the reset %s", r.Outcome, r.Reset)
	}
	if r.Outcome != outcome.OK && r.Summary == "" {
		t.Errorf("%s without a reason", r.Outcome)
	}
	for _, s := range append(r.Refused, r.Summary, r.Words) {
		odd := func(c rune) bool { return unicode.IsControl(c) && c != '\n' && c != '\t' }
		if len(s) > MaxSummary || !utf8.ValidString(s) || strings.ContainsFunc(s, odd) {
			t.Errorf("not bounded clean text: %d bytes, %.100q", len(s), s)
		}
	}
	if _, err := json.Marshal(r); err != nil {
		t.Errorf("cannot be stored: %v", err)
	}
	c := r.Cost
	if c.USD < 0 || min(c.Input, c.Output, c.Reasoning, c.CacheRead, c.CacheWrite) < 0 {
		t.Errorf("negative cost %+v", c)
	}
}

// tells says whether a report tells this: its summary and, behind a newline, the agent's words where the summary is a cause.
func tells(r Report, want string) bool {
	cause, words, both := strings.Cut(want, "\n")
	return r.Summary == want || both && r.Outcome != outcome.OK && r.Summary == cause && r.Words == words
}

func TestLongSummaryKeepsHowItBeginsAndHowItEnds(t *testing.T) {
	for _, middle := range []int{0, MaxSummary - 40, MaxSummary, 10 * MaxSummary} {
		long := "permission refused: bash\n" + strings.Repeat("é", middle/2) + "\nhttps://example.org/o/r/pull/7"
		got := Report{Summary: long}.bounded().Summary
		if len(got) > MaxSummary || !utf8.ValidString(got) || !strings.HasPrefix(got, "permission refused: bash\n") || !strings.HasSuffix(got, "/pull/7") {
			t.Errorf("%d bytes became %d: %q", len(long), len(got), got)
		}
	}
}

func TestRefusalsAreToldOnceEachAndTheNewestLast(t *testing.T) {
	var r Refusals
	if r.Last() != "" {
		t.Errorf("%q", r)
	}
	for _, p := range []string{"a", "", " b\n\x1b[31mc ", "a", strings.Repeat("é", 200)} {
		r.add(p)
	}
	if len(r) != 3 || r[0] != "b c" || r[1] != "a" || len(r.Last()) > 200 || !strings.HasSuffix(r.Last(), "…") {
		t.Errorf("%q", r)
	}
	for i := range 100 {
		r.add(strings.Repeat("x", i+1))
	}
	if len(r) != maxRefused || r.Last() != strings.Repeat("x", 100) {
		t.Errorf("%q", r)
	}
}
