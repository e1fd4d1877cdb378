package queue

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kugetsu/queue/event"
	"kugetsu/queue/fault"
	"kugetsu/queue/outcome"
	"kugetsu/queue/spool"
)

const someID = "q_01arz3ndektsv4rrffq69g5fav"

func TestIDsSortByTheTimeOfEnqueueing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ms := rapid.SliceOfN(rapid.Int64Range(0, 1<<47), 2, 20).Draw(t, "milliseconds")
		ids := make([]string, len(ms))
		for i, m := range ms {
			at := time.UnixMilli(m)
			ids[i] = NewID(at)
			if !IsID(ids[i]) {
				t.Fatalf("%s is not an id", ids[i])
			}
			if !IDTime(ids[i]).Equal(at) {
				t.Fatalf("%s is of %s, not of %s", ids[i], IDTime(ids[i]), at)
			}
		}
		slices.Sort(ids)
		slices.Sort(ms)
		for i := range ids {
			if got := IDTime(ids[i]).UnixMilli(); got != ms[i] {
				t.Fatalf("sorted by id, number %d is of %d, not of %d", i, got, ms[i])
			}
		}
	})
}

func TestIDsOfOneMillisecondSortInTheOrderTheyWereMade(t *testing.T) {
	now := time.UnixMilli(1775383200123)
	last := ""
	for range 1000 {
		id := NewID(now)
		if id <= last {
			t.Fatalf("%s was made after %s", id, last)
		}
		last = id
	}
}

func TestFirstIDPartsTheIDsOfATime(t *testing.T) {
	at := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	first := FirstID(at)
	if before, since := NewID(at.Add(-time.Millisecond)), NewID(at); !IsID(first) || before >= first || since < first {
		t.Errorf("%s, %s, %s", before, first, since)
	}
	if never := FirstID(time.Unix(-1, 0)); NewID(time.Unix(0, 0)) < never {
		t.Errorf("an id is older than 1970: %s", never)
	}
}

func TestIDThatIsNoneHasNoTime(t *testing.T) {
	for _, s := range []string{
		"", "q_", "q_01", someID[2:], strings.ToUpper(someID), someID + "0", "q_81arz3ndektsv4rrffq69g5fav",
		"q_01arz3ndektsv4rrffq69g5fau", "../" + someID, "q_01arz3ndektsv4rrffq69g5fa\n",
	} {
		if IsID(s) {
			t.Errorf("%q is an id", s)
		}
	}
	if at := IDTime("q_nonsense"); !at.IsZero() {
		t.Errorf("it has the time %s", at)
	}
}

func TestMessageThatCouldNotArriveByteForByteIsRefused(t *testing.T) {
	for _, c := range []struct {
		name, message string
		ok            bool
	}{
		{"text", "mend it", true},
		{"NUL and control characters", "a\x00b\x1b[31m", true},
		{"the largest", strings.Repeat("x", MaxMessage), true},
		{"one byte more", strings.Repeat("x", MaxMessage+1), false},
		{"nothing", "", false},
		{"blanks", " \n\t", false},
		{"no UTF-8", "caf\xe9", false},
		{"half a character", "日本"[:4], false},
		{"a surrogate", "\xed\xa0\x80", false},
	} {
		err := CheckMessage(c.message)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
		if err != nil && (fault.Code(err) != fault.Usage || fault.HintOf(err) == "") {
			t.Errorf("%s: exit code %d, hint %q", c.name, fault.Code(err), fault.HintOf(err))
		}
	}
}

func TestFileThatIsNoItemIsNotReadAsOne(t *testing.T) {
	item := func(change string) string {
		return `{"v":1,"id":"` + someID + `","state":"pending","message":"m","runs":1` + change + `}`
	}
	runs := func(n int) string { return `,"history":[` + strings.TrimSuffix(strings.Repeat("{},", n), ",") + `]` }
	for _, c := range []struct {
		name, data string
		want       error
	}{
		{"an item", item(""), nil},
		{"unknown fields", item(`,"colour":"red"`), nil},
		{"more of a history than is kept", item(runs(1000)), nil},
		{"nothing", "", spool.ErrBad},
		{"null", "null", spool.ErrBad},
		{"a list", "[]", spool.ErrBad},
		{"a string", `"` + someID + `"`, spool.ErrBad},
		{"cut off", item("")[:30], spool.ErrBad},
		{"more behind it", item("") + "{}", spool.ErrBad},
		{"NULs", strings.Repeat("\x00", 400), spool.ErrBad},
		{"another's id", strings.Replace(item(""), "fav", "faw", 1), spool.ErrBad},
		{"no version", strings.Replace(item(""), `"v":1,`, "", 1), spool.ErrBad},
		{"an older version", strings.Replace(item(""), `"v":1`, `"v":0`, 1), spool.ErrBad},
		{"no state", strings.Replace(item(""), "pending", "", 1), spool.ErrBad},
		{"a state there is not", strings.Replace(item(""), "pending", "done", 1), spool.ErrBad},
		{"more attempts than runs", item(`,"attempts":2`), spool.ErrBad},
		{"runs below zero", item(`,"runs":-1`), spool.ErrBad},
		{"notified without a run", item(`,"state":"notified","runs":0`), spool.ErrBad},
		{"after others", item(`,"after":["q_01arz3ndektsv4rrffq69g5fbw","q_01arz3ndektsv4rrffq69g5fcx"]`), nil},
		{"after nothing", item(`,"after":null`), nil},
		{"after an issue", item(`,"after":["you/project#1"]`), spool.ErrBad},
		{"after a part of an id", item(`,"after":["q_01arz3ndektsv4rrffq69g5fbw",""]`), spool.ErrBad},
		{"after a number", item(`,"after":[7]`), spool.ErrBad},
		{"after itself", item(`,"after":["` + someID + `"]`), spool.ErrBad},
		{"a time of its own", item(`,"timeout":"1h30m"`), nil},
		{"a time below zero", item(`,"timeout":"-1h"`), spool.ErrBad},
		{"no time at all", item(`,"timeout":"0s"`), spool.ErrBad},
		{"a time in words", item(`,"timeout":"soon"`), spool.ErrBad},
		{"a time as a number", item(`,"timeout":90`), spool.ErrBad},
		{"not before a time", item(`,"not_before":"2026-04-05T10:00:00+02:00"`), nil},
		{"not before a day", item(`,"not_before":"2026-04-05"`), spool.ErrBad},
		{"not before nonsense", item(`,"not_before":"soon"`), spool.ErrBad},
		{"a message that leaves no room for a history", item(`,"message":"` + strings.Repeat("x", MaxItem+slack) + `"`), spool.ErrBad},
		{"a newer version", `{"v":4,"id":7,"state":[]}`, ErrNewer},
	} {
		it, err := decode(someID, []byte(c.data))
		if !errors.Is(err, c.want) || (it == nil) != (c.want != nil) {
			t.Errorf("%s: %v, not %v", c.name, err, c.want)
		}
	}
}

// FuzzItem: data that is read as an item can be written, and is read back as the same item.
func FuzzItem(f *testing.F) {
	f.Add([]byte(`{"v":1,"id":"` + someID + `","issue_ref":"github.com/user/repo#123","agent":"opencode","message":"a\u2028<b>\u0000",
		"mode":"auto","state":"error","runs":2,"attempts":1,"pending_since":"2026-04-05T10:00:00+02:00","not_before":null,
		"notified_at":"2026-04-05T10:00:00.123456789Z","after":["q_01arz3ndektsv4rrffq69g5fbw"],"timeout":"1h30m","completed_at":"0001-01-01T00:00:00Z","fork_pid":-1,"error":"e",
		"history":[{"run":1,"exit_code":0,"summary":"s","changes":{"commits":1,"diff":{"files":1},"dirty_files":["\\xff"]},"refused":["bash"],"pr_url":"u","cost":{"usd":1e-9}}]}`))
	f.Add([]byte(`{"v":1,"id":"` + someID + `","state":"pending","after":null,"history":null}`))
	f.Add([]byte(`{"V":1,"Id":"` + someID + `","STATE":"notified","runs":1,"message":"\ud800"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var head struct {
			ID string `json:"id"`
		}
		_ = json.Unmarshal(data, &head) // what cannot be read has no id, and decode says so
		it, err := decode(head.ID, data)
		if err != nil {
			if !errors.Is(err, spool.ErrBad) && !errors.Is(err, ErrNewer) {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		once, err := it.encode()
		if err != nil {
			t.Fatalf("it was read, but cannot be written: %v", err)
		}
		again, err := decode(it.ID, once)
		if err != nil {
			t.Fatalf("it was written, but cannot be read: %v\n%s", err, once)
		}
		twice, err := again.encode()
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%v\n%s\nis not\n%s", err, twice, once)
		}
	})
}

// A history without evidence, of an older version, is read and written as it is.
func TestOlderHistoryIsReadAsItIs(t *testing.T) {
	old := `{"v":1,"id":"` + someID + `","state":"completed","runs":2,"history":[{"run":1,"summary":"s","changes":{"commits":2,"dirty":1},"ref":"refs/kugetsu/x/1"},{"run":2,"summary":"t"}]}`
	it, err := decode(someID, []byte(old))
	if err != nil {
		t.Fatal(err)
	}
	want := []outcome.Evidence{{Changes: &outcome.Changes{Commits: 2, Dirty: 1}, Ref: "refs/kugetsu/x/1"}, {}}
	for i, r := range it.History {
		if !reflect.DeepEqual(r.Evidence, want[i]) {
			t.Errorf("run %d: %+v", r.Run, r.Evidence)
		}
	}
	data, err := it.encode()
	if err != nil || bytes.Contains(data, []byte("diff")) || bytes.Contains(data, []byte("pr_url")) || bytes.Count(data, []byte("changes")) != 1 {
		t.Errorf("%v %s", err, data)
	}
}

func TestEvidenceOfARunIsBounded(t *testing.T) {
	long, many := strings.Repeat("\xff", 1<<20), slices.Repeat([]string{strings.Repeat("x", 1000)}, 1000)
	e := bounded(outcome.Evidence{Refused: many, PRURL: long, Ref: long,
		Changes: &outcome.Changes{From: long, To: long, Commits: 1000, Subjects: many, Diff: &outcome.Diff{Files: 1}, Dirty: 1000, DirtyFiles: many}})
	if data, err := json.Marshal(e); err != nil || len(data) > 6*maxText {
		t.Errorf("%v, %d bytes", err, len(data))
	}
	if c := e.Changes; c.Commits != 1000 || c.Dirty != 1000 || c.Diff.Files != 1 || len(c.Subjects) != maxList {
		t.Errorf("%+v", e)
	}
	few := outcome.Evidence{Refused: []string{"bash"}, PRURL: "https://x/1", Ref: "refs/x",
		Changes: &outcome.Changes{From: "a", To: "b", Subjects: []string{"s"}, DirtyFiles: []string{"f"}}}
	if got := bounded(few); !reflect.DeepEqual(got, few) {
		t.Errorf("%+v became %+v", few, got)
	}
	if got := bounded(outcome.Evidence{}); !reflect.DeepEqual(got, outcome.Evidence{}) {
		t.Errorf("nothing became %+v", got)
	}
}

func TestSettledItemsAreBounded(t *testing.T) {
	q := newQueue(t, time.Now)
	it := &Item{ID: NewID(time.Now()), IssueRef: "github.com/you/project#1"}
	e, err := q.Publish(it, Dev, DefaultPriority)
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Notify(e, it, 1, 7, nil); err != nil {
		t.Fatal(err)
	}
	r := Result{Run: Run{Run: 1, Outcome: outcome.OK, Evidence: outcome.Evidence{Refused: slices.Repeat([]string{"bash"}, 1000), PRURL: "https://x/1"}}}
	if err := q.Settle(e, it, r, Policy{MaxAttempts: 1}); err != nil {
		t.Fatal(err)
	}
	it, err = q.Load(e)
	if err != nil || len(it.History) != 1 || len(it.History[0].Refused) != maxList || it.History[0].PRURL != "https://x/1" {
		t.Errorf("%+v, %v", it, err)
	}
	events, _, err := q.Events.List()
	last := events[len(events)-1]
	if err != nil || last.Type != event.TaskCompleted || len(last.Refused) != maxList || last.PRURL != "https://x/1" {
		t.Errorf("%+v, %v", last, err)
	}
}
