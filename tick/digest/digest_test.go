package digest

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kugetsu/contrib/quick"
	"kugetsu/queue"
	"kugetsu/queue/outcome"
	"kugetsu/queue/terminal"
	"kugetsu/slots"
	"kugetsu/slots/forge"
	"kugetsu/tick"
	"kugetsu/tick/overview"
)

var update = flag.Bool("update", false, "write the golden files")

var morning = time.Date(2026, 11, 29, 8, 0, 0, 0, time.UTC)

func TestMain(m *testing.M) {
	time.Local = time.UTC // the golden files hold times as a person sees them
	os.Exit(quick.InMemory{M: m}.Run())
}

func at(ago time.Duration) *time.Time { t := morning.Add(-ago); return &t }

// hostile is a message that tries each way to break out of its place.
const hostile = "\x1b]0;owned\x07fix ` it `` | </td><script>alert(1)</script> ![x](http://evil/p.png) @all \\| **all well** \u202egnp.exe"

// ended is a settled item; the nth ended n hours ago.
func ended(n int, state queue.State, how string) overview.Done {
	id := "q_20261129T0" + string(rune('0'+n)) + "0000.000000000Z_aaaaa" + string(rune('a'+n))
	return overview.Done{Item: id, Ref: "github.com/you/shop#" + string(rune('0'+n)), Agent: "claude", State: state, Outcome: outcome.Outcome(how), Ended: how,
		At: *at(time.Duration(n) * time.Hour), Took: 5 * time.Minute, Runs: 1, Message: "do it\nnow"}
}

// night is a night with two successes and much trouble, and with strangers' texts everywhere.
func night() *overview.Overview {
	first, second := ended(1, queue.Completed, "ok"), ended(2, queue.Completed, "ok")
	first.Evidence = outcome.Evidence{Changes: &outcome.Changes{Commits: 2, Diff: &outcome.Diff{Files: 3, Insertions: 40, Deletions: 2}}}
	first.Cost = &outcome.Cost{USD: 1.25}
	second.Evidence, second.Message = outcome.Evidence{Changes: &outcome.Changes{Dirty: 1}}, hostile
	inVain := ended(5, queue.Errored, "dependency failed")
	inVain.Outcome, inVain.Took, inVain.Ref = "", 0, ""
	odd := ended(6, queue.Errored, "ok\x1b[2J|")
	return &overview.Overview{At: morning,
		Done: []overview.Done{first, second, ended(3, queue.Errored, "start_failed"), ended(4, queue.Errored, "cancelled"), inVain, odd, ended(9, queue.Completed, "ok")},
		Review: []overview.Request{
			{Ref: "github.com/you/shop#1", URL: "https://github.com/you/shop/pull/7", State: forge.Open, AskedAt: at(10 * time.Minute)},
			{Ref: "github.com/you/shop#2", URL: "https://evil/|<b>", State: forge.Unknown, Why: hostile}},
		Running: []overview.Running{{SlotView: tick.SlotView{Slot: "1", IssueRef: "github.com/you/shop#8", Agent: "codex", Since: at(time.Hour)}, Line: hostile}},
		Waiting: []overview.Waiting{{Waiting: tick.Waiting{IssueRef: "github.com/you/shop#9", Since: *at(3 * time.Hour)}, Says: hostile}},
		Needs: []overview.Need{
			{ID: "login-claude", Kind: overview.LogIn, What: "claude is not logged in: log in, then lift the hold", Why: hostile, Since: at(2 * time.Hour), Command: "kugetsu resume claude"},
			{ID: "failed-aaaaad", Kind: overview.Failed, What: "github.com/you/shop#3 failed", Command: "kugetsu show q_1"}},
		Capacity: overview.Capacity{Waiting: 4, Why: hostile},
		Bound:    overview.Bound{Settled: 7, SettledRead: 7, Sessions: 250, SessionsRead: 200}}
}

func TestDigestReadsAsItsGoldenFiles(t *testing.T) {
	cut := night()
	cut.Bound.Settled = 1000
	empty := &overview.Overview{At: morning}
	since := morning.Add(-8 * time.Hour)
	for name, got := range map[string]string{
		"night.txt":    of(night(), since, nil).Text(0, terminal.Column{}),
		"night-80.txt": of(night(), since, nil).Text(80, terminal.Column{}),
		"night.md":     of(night(), since, nil).Markdown(),
		"cut.txt":      of(cut, since.Add(-4*time.Hour), nil).Text(100, terminal.Column{}),
		"empty.txt":    of(empty, since, nil).Text(80, terminal.Column{}),
		"empty.md":     of(empty, since, nil).Markdown(),
	} {
		path := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s is now (go test ./tick/digest -update writes it):\n%s", path, got)
		}
		if strings.ContainsAny(got, "\x1b\x07\u202e") {
			t.Errorf("%s has a control character of a stranger", path)
		}
	}
}

// If no agent tells a cost, there is no column for it, and the title gets the room.
func TestDigestWithoutCostsHasNoColumnOfThem(t *testing.T) {
	o := night()
	for i := range o.Done {
		o.Done[i].Cost = nil
	}
	text := of(o, morning.Add(-8*time.Hour), nil).Text(0, terminal.Column{})
	if strings.Contains(text, "COST") || !strings.Contains(text, "TITLE") {
		t.Error(text)
	}
}

func TestDigestFitsItsTerminal(t *testing.T) {
	text := of(night(), morning.Add(-8*time.Hour), nil).Text(60, terminal.Column{})
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		// A command is never cut, nor is the address of a pull request.
		if w := terminal.Width(line); w > 60 && !strings.HasPrefix(line, "    ") && !strings.Contains(line, "https://") && !strings.HasPrefix(line, "IN REVIEW") {
			t.Errorf("%d columns: %s", w, line)
		}
	}
}

func TestSentenceSaysWhatCameOfTheNight(t *testing.T) {
	good, bad, cancelled := ended(1, queue.Completed, "ok"), ended(2, queue.Errored, "failed"), ended(3, queue.Errored, "cancelled")
	waits := overview.Capacity{Waiting: 3}
	failed := []overview.Need{{Kind: overview.Failed}}
	for _, c := range []struct {
		o      overview.Overview
		failed bool
		want   string
	}{
		{overview.Overview{}, false, "no task ended; nothing needs you"},
		{overview.Overview{Done: []overview.Done{good}}, false, "the only task completed; nothing needs you"},
		{overview.Overview{Done: []overview.Done{good, good}}, false, "all 2 tasks completed; nothing needs you"},
		{overview.Overview{Done: []overview.Done{good, bad, bad}, Needs: failed}, false, "1 of 3 tasks completed, 2 failed; 1 thing needs you"},
		{overview.Overview{Done: []overview.Done{good, bad, cancelled}}, false, "1 of 3 tasks completed, 1 failed, 1 cancelled; nothing needs you"},
		{overview.Overview{Done: []overview.Done{good, cancelled}}, false, "1 of 2 tasks completed, 1 cancelled; nothing needs you"},
		{overview.Overview{Done: []overview.Done{cancelled}}, false, "1 task ended, all cancelled; nothing needs you"},
		{overview.Overview{Done: []overview.Done{bad}}, true, "failed: the only task did not complete; nothing needs you"},
		{overview.Overview{Done: []overview.Done{bad, bad, cancelled}, Needs: append(failed, failed...)}, true, "failed: none of 3 tasks completed, 1 cancelled; 2 things need you"},
		// More tasks may have ended before those that were read.
		{overview.Overview{Done: []overview.Done{bad, bad}, Bound: overview.Bound{Settled: 9, SettledRead: 2}}, true, "failed: none of the 2 newest tasks completed; nothing needs you"},
		{overview.Overview{Done: []overview.Done{good, good}, Bound: overview.Bound{Settled: 9, SettledRead: 2}}, false, "all of the 2 newest tasks completed; nothing needs you"},
		{overview.Overview{Done: []overview.Done{good, ended(9, queue.Completed, "ok")}, Bound: overview.Bound{Settled: 9, SettledRead: 2}}, false, "the only task completed; nothing needs you"},
		// Tasks that wait all night for a person are a failed night; those that wait for anything else are not.
		{overview.Overview{Capacity: waits}, false, "no task ended, 3 waiting; nothing needs you"},
		{overview.Overview{Capacity: waits, Needs: failed}, false, "no task ended, 3 waiting; 1 thing needs you"},
		{overview.Overview{Capacity: waits, Needs: []overview.Need{{Kind: overview.LogIn}}}, true, "failed: no task ended, 3 waiting; 1 thing needs you"},
		{overview.Overview{Needs: []overview.Need{{Kind: overview.LogIn}}}, false, "no task ended; 1 thing needs you"},
		{overview.Overview{Capacity: waits, Running: make([]overview.Running, 2), Needs: []overview.Need{{Kind: overview.LogIn}}}, false, "no task ended, 2 at work; 1 thing needs you"},
	} {
		c.o.At = morning
		d := of(&c.o, morning.Add(-8*time.Hour), nil)
		if d.Sentence != c.want || d.Failed != c.failed {
			t.Errorf("failed %v: %q, want %v: %q", d.Failed, d.Sentence, c.failed, c.want)
		}
	}
}

// A digest since the last shows each task once, however late it was filed, and again only if it ended again.
func TestDigestSinceTheLastShowsEachTaskOnce(t *testing.T) {
	home := slots.Dir(t.TempDir())
	o := &overview.Overview{At: morning, Done: []overview.Done{ended(1, queue.Errored, "failed"), ended(2, queue.Completed, "ok")}}
	show := func(want ...string) {
		t.Helper()
		last, err := Last(home)
		if err != nil {
			t.Fatal(err)
		}
		since := o.At.Add(-12 * time.Hour)
		if last != nil {
			since = last.At
		}
		d := of(o, since, last)
		var got []string
		for _, one := range d.Done {
			got = append(got, one.Ref)
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("shown %q, want %q", got, want)
		}
		if err := d.Shown(home, last); err != nil {
			t.Fatal(err)
		}
		o.At = o.At.Add(time.Hour)
	}
	show("github.com/you/shop#1", "github.com/you/shop#2")
	show()
	o.Done = append(o.Done, ended(3, queue.Completed, "ok")) // settled before the mark, filed after it
	show("github.com/you/shop#3")
	o.Done[0].At = o.At.Add(-time.Minute) // retried
	show("github.com/you/shop#1")
	o.At = morning.Add(-time.Hour) // the clock was set back
	show()

	// A damaged mark counts as none. A mark of a newer version is not overwritten.
	path := filepath.Join(string(home), "digest", "shown")
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if last, err := Last(home); last != nil || err != nil {
		t.Errorf("%v, %v", last, err)
	}
	if err := os.WriteFile(path, []byte(`{"v":2}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Last(home); err == nil {
		t.Error("a mark of a newer version was read")
	}
}

func TestDigestIsWholeAsJSON(t *testing.T) {
	data, err := json.Marshal(of(&overview.Overview{At: morning, Review: []overview.Request{}, Ready: []overview.Request{}, Running: []overview.Running{},
		Waiting: []overview.Waiting{}, Needs: []overview.Need{}}, morning, nil))
	if err != nil || strings.Contains(string(data), "null") {
		t.Errorf("%v: %s", err, data)
	}
}

// A stranger's text in a code span breaks neither the span, nor the cell, nor the line.
func TestCodeHoldsWhateverIsInIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOfN(rapid.SampledFrom([]rune("`| \\\n\r\tab<>@\u2028\x1b")), 0, 30, -1).Draw(t, "text")
		got := code(text)
		if got == "" {
			return
		}
		inner := strings.TrimLeft(got, "`")
		fence := got[:len(got)-len(inner)]
		inner, whole := strings.CutSuffix(inner, fence)
		if !whole || inner == "" || strings.HasSuffix(inner, "`") || strings.ContainsAny(inner, "|\n\r\x1b\u2028") {
			t.Fatalf("%q becomes %q", text, got)
		}
		for _, run := range fences().FindAllString(inner, -1) {
			if len(run) == len(fence) {
				t.Fatalf("%q ends in %q", text, got)
			}
		}
	})
}
