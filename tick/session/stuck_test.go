package session

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/event"
	"kugetsu/queue/issueref"
	"kugetsu/queue/outcome"
	"kugetsu/slots/forge"
	"kugetsu/tick/settings"
)

// ends lets the item that waits end, completed unless how says otherwise, and returns its id.
func (f *follower) ends(how How) string {
	f.t.Helper()
	entries, err := f.Queue.Live(queue.Dev)
	must(f.t, err)
	if len(entries) != 1 {
		f.t.Fatalf("%d items wait", len(entries))
	}
	e := entries[0]
	it, err := f.Queue.Load(e)
	must(f.t, err)
	f.now = f.now.Add(time.Minute)
	if how == cancelled {
		must(f.t, f.Queue.Cancel(e, it))
	} else {
		must(f.t, f.Queue.Notify(e, it, it.Runs+1, 1, nil))
		f.ran(e.ID)
		r := queue.Result{Run: queue.Run{Run: it.Runs, EndedAt: f.now, Outcome: outcome.OK}}
		if how == errored {
			r.Outcome = outcome.Failed
		}
		must(f.t, f.Queue.Settle(e, it, r, queue.Policy{MaxAttempts: 1, RetryDelay: time.Minute}))
	}
	e, err = f.Queue.File(e)
	must(f.t, err)
	if how == cleared {
		must(f.t, f.Queue.Drop(e))
	}
	return e.ID
}

// clears clears an item that ended.
func (f *follower) clears(id string) {
	f.t.Helper()
	e, err := f.Queue.Find(id)
	must(f.t, err)
	must(f.t, f.Queue.Drop(e))
}

// continues lets an item of a person wait.
func (f *follower) continues() {
	f.t.Helper()
	f.now = f.now.Add(time.Minute)
	it := &queue.Item{ID: queue.NewID(f.now), IssueRef: "github.com/you/project#7", Agent: "command", Message: "do it", Mode: "auto", After: []string{}, History: []queue.Run{}}
	_, err := f.Queue.Publish(it, queue.Dev, 40)
	must(f.t, err)
}

// retries puts an item that ended back into the queue.
func (f *follower) retries(id string) {
	f.t.Helper()
	f.now = f.now.Add(time.Minute)
	e, err := f.Queue.Find(id)
	must(f.t, err)
	it, err := f.Queue.Load(e)
	must(f.t, err)
	_, err = f.Queue.Retry(e, it)
	must(f.t, err)
}

// pushes makes a commit of the session's branch the head of the request.
func (f *follower) pushes() {
	f.t.Helper()
	ref, err := issueref.FromSession(f.id())
	must(f.t, err)
	of, err := f.Workspaces()
	must(f.t, err)
	checkout := of(ref).Local
	f.head = f.git("-C", checkout, "commit-tree", "-p", f.head, "-m", "more", f.head+"^{tree}")
	f.git("-C", checkout, "update-ref", "refs/heads/fix/issue-7", f.head)
}

// needs counts the events that a person is needed, and says whether one is.
func (f *follower) needs(t *testing.T, when string, told int, now bool) {
	t.Helper()
	if n, is := f.told(event.NeedsHuman), f.last.Followed.Needs != nil; n != told || is != now {
		t.Errorf("%s: told %d times, and needed: %t; not %d, %t", when, n, is, told, now)
	}
}

func conflicts(rep *forge.Report) { rep.Merge = forge.MergeConflict }

func quiet(*forge.Report) {}

func TestNewsThatStandsAfterItsItemEndedNeedsAPersonOnce(t *testing.T) {
	for name, c := range map[string]struct {
		news func(*forge.Report)
		says string
	}{
		"ci":       {red("test"), "CI is still failing: test, and its agent pushed nothing (task "},
		"conflict": {conflicts, "still conflicts with its base, and its agent pushed nothing (task "},
		"review":   {requests("ann", "1", true, "rename it"), "changes requested by 1 still stand, and its agent pushed nothing (task "},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFollower(t)
			if got := f.sees(f.open(c.news)); len(got) != 1 {
				t.Fatalf("%q", got)
			}
			item := f.ends(completed)
			f.sees(f.open(c.news))
			f.needs(t, "after one look, which may be stale", 0, false)
			for range 3 {
				if got := f.sees(f.open(c.news)); len(got) != 0 {
					t.Errorf("%q", got)
				}
				f.needs(t, "after two looks and more", 1, true)
			}
			want := c.says + item + ")"
			if got := f.last.Followed.Needs; got == nil || got.Why != want || got.Text() != want || got.Item != item {
				t.Errorf("%+v, not %q", got, want)
			}
			if got := f.last.Strip(); !strings.HasSuffix(got, ", needs a person") {
				t.Error(got)
			}
			all, _, err := f.Queue.Events.List()
			must(t, err)
			for _, ev := range all {
				if ev.Type == event.NeedsHuman && (ev.Text != "PR #57 "+want || ev.Item != item || ev.PRURL != followedURL) {
					t.Errorf("%+v", ev)
				}
			}
			must(t, os.Remove(reviewFile(f.Home, f.id()).Path))
			f.sees(f.open(c.news))
			f.sees(f.open(c.news))
			f.needs(t, "without its record", 1, true)
		})
	}
}

func TestStandingNewsNeedsAPersonByHowItsItemEnded(t *testing.T) {
	for _, c := range []struct {
		name  string
		ends  func(f *follower)
		needs bool
	}{
		{"waits", func(*follower) {}, false},
		{"completed", func(f *follower) { f.ends(completed) }, true},
		{"an error is a need of its own", func(f *follower) { f.ends(errored) }, false},
		{"a person cancelled", func(f *follower) { f.ends(cancelled) }, false},
		{"cleared before a look", func(f *follower) { f.ends(cleared) }, true},
		{"completed, and cleared after a look", func(f *follower) { id := f.ends(completed); f.sees(f.open(red("test"))); f.clears(id) }, true},
		{"an error, cleared after a look", func(f *follower) { id := f.ends(errored); f.sees(f.open(red("test"))); f.clears(id) }, true},
		{"cancelled, and cleared after a look", func(f *follower) { id := f.ends(cancelled); f.sees(f.open(red("test"))); f.clears(id) }, false},
		{"an error, retried and completed", func(f *follower) { f.retries(f.ends(errored)); f.ends(completed) }, true},
		{"completed, and a person's item cancelled", func(f *follower) { f.ends(completed); f.continues(); f.ends(cancelled) }, true},
		{"completed, and a person's item an error", func(f *follower) { f.ends(completed); f.continues(); f.ends(errored) }, false},
		{"cancelled, and a person's item completed", func(f *follower) { f.ends(cancelled); f.continues(); f.ends(completed) }, true},
		{"damaged", func(f *follower) {
			e, err := f.Queue.Find(f.ends(completed))
			must(f.t, err)
			must(f.t, os.WriteFile(e.Path, []byte("{"), 0o600))
		}, true},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			f := newFollower(t)
			f.sees(f.open(red("test")))
			c.ends(f)
			want := 0
			if c.needs {
				want = 1
			}
			for range 2 {
				f.sees(f.open(red("test")))
			}
			f.needs(t, "two looks later", want, c.needs)
			f.sees(f.open(red("test")))
			f.needs(t, "three looks later", want, c.needs)
		})
	}
}

func TestNeedOfStandingNewsEndsWithItsCause(t *testing.T) {
	running := func(rep *forge.Report) {
		rep.Checks = []forge.Check{{Name: "test", Verdict: forge.Pending}}
	}
	computes := func(rep *forge.Report) { rep.Merge = forge.MergeUnknown }
	passed := func(rep *forge.Report) { red()(rep) }
	for _, c := range []struct {
		name   string
		news   func(*forge.Report)
		change func(f *follower) // what happens then
		then   func(*forge.Report)
		needs  bool
		told   int // two looks later
	}{
		{"CI is green", red("test"), nil, passed, false, 1},
		{"the head moved, and its checks run", red("test"), (*follower).pushes, running, false, 1},
		{"the head moved, and is red", red("test"), (*follower).pushes, red("test"), false, 1},
		{"another check failed", red("test"), nil, red("build"), false, 1},
		{"CI runs again", red("test"), nil, running, true, 1},
		{"no conflict", conflicts, nil, quiet, false, 1},
		{"the forge computes", conflicts, nil, computes, true, 1},
		{"the forge computes, of a check", red("test"), nil, func(rep *forge.Report) { computes(rep); passed(rep) }, false, 1},
		{"the reviewer is content", requests("ann", "1", true, "rename it"), nil, quiet, false, 1},
		{"pushed, and the reviewer did not look again", requests("ann", "1", true, "rename it"), (*follower).pushes, requests("ann", "1", true, "rename it"), false, 1},
		{"another request of the reviewer", requests("ann", "1", true, "rename it"), nil, requests("ann", "22", true, "and test it"), false, 1},
		{"closed", red("test"), nil, func(rep *forge.Report) { red("test")(rep); rep.Status = forge.Closed }, false, 1},
		{"a person continued in vain", red("test"), func(f *follower) { f.continues(); f.ends(completed) }, red("test"), false, 2},
		{"a person retried in vain", red("test"), func(f *follower) {
			e, err := f.Queue.Settled()
			must(f.t, err)
			f.retries(e[0].ID)
			f.ends(completed)
		}, red("test"), false, 2},
		{"the item was cleared", red("test"), func(f *follower) {
			e, err := f.Queue.Settled()
			must(f.t, err)
			f.clears(e[0].ID)
		}, red("test"), true, 1},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			f := newFollower(t)
			f.sees(f.open(c.news))
			f.ends(completed)
			f.sees(f.open(c.news))
			f.sees(f.open(c.news))
			f.needs(t, "before", 1, true)
			if c.change != nil {
				c.change(f)
			}
			f.sees(f.open(c.then))
			f.needs(t, "after", 1, c.needs)
			f.sees(f.open(c.then))
			f.needs(t, "a look later", c.told, c.needs || c.told > 1)
		})
	}
}

func TestNeedOfStandingNewsIsThereAgainWhereCheckFailedAgain(t *testing.T) {
	f := newFollower(t)
	f.sees(f.open(red("test")))
	f.ends(completed)
	f.sees(f.open(red("test")))
	f.sees(f.open(red("test")))
	f.sees(f.open(red()))
	f.needs(t, "green", 1, false)
	f.sees(f.open(red("test")))
	f.needs(t, "one look", 1, false)
	f.sees(f.open(red("test")))
	f.needs(t, "two looks", 1, true)
}

func TestPushThatForgeShowsLateNeedsNoPerson(t *testing.T) {
	f := newFollower(t)
	f.sees(f.open(red("test")))
	stale := f.open(red("test"))
	f.pushes()
	f.ends(completed)
	f.sees(stale)
	f.sees(f.open(red("test")))
	f.needs(t, "red at another head", 0, false)
	if got := f.waiting(); len(got) != 1 {
		t.Errorf("%q", got)
	}
}

func TestLookThatBeganBeforeTheEndOfAnItemDoesNotCount(t *testing.T) {
	f := newFollower(t)
	f.sees(f.open(red("test")))
	f.between = func() { f.ends(completed); f.between = nil }
	f.sees(f.open(red("test")))
	f.sees(f.open(red("test")))
	f.needs(t, "one look after the end", 0, false)
	f.sees(f.open(red("test")))
	f.needs(t, "two looks after the end", 1, true)
}

func TestPersonWhoContinuesWhileTheForgeIsAskedIsNotNeeded(t *testing.T) {
	f := newFollower(t)
	f.sees(f.open(red("test")))
	f.ends(completed)
	f.sees(f.open(red("test")))
	f.between = func() { f.continues(); f.between = nil }
	f.sees(f.open(red("test")))
	f.needs(t, "a task waits", 0, false)
}

// TestReviewOfAnOlderIntentIsNotSaidToStand: which head its item was made for is not known.
func TestReviewOfAnOlderIntentIsNotSaidToStand(t *testing.T) {
	f := newFollower(t)
	rep := f.open(requests("ann", "1", true, "rename it"))
	f.sees(rep)
	made, err := f.intents(f.id())
	must(t, err)
	for fingerprint, one := range made {
		if one.Head != f.head {
			t.Errorf("made for %q", one.Head)
		}
		one.Head = ""
		must(t, intentFile(f.Home, f.id(), fingerprint).Write(&one))
	}
	f.ends(completed)
	f.sees(rep)
	f.sees(rep)
	f.needs(t, "two looks later", 0, false)
}

func TestStandingNewsIsToldOnceWhereverAPassDies(t *testing.T) {
	f := newFollower(t)
	rep := f.open(red("test"))
	f.sees(rep)
	f.ends(completed)
	f.sees(rep)
	before, err := os.ReadFile(reviewFile(f.Home, f.id()).Path)
	must(t, err)
	for range 3 { // the event is there, and the record is not
		f.sees(rep)
		must(t, os.WriteFile(reviewFile(f.Home, f.id()).Path, before, 0o600))
	}
	_, err = f.Queue.Events.Clear()
	must(t, err)
	f.sees(rep)
	if n := f.told(event.NeedsHuman); n != 0 || f.last.Followed.Needs == nil {
		t.Errorf("%d events after it was cleared, %+v", n, f.last.Followed)
	}
	seen, err := filepath.Glob(filepath.Join(f.Queue.Events.Seen, "needs_human.*"))
	must(t, err)
	if len(seen) != 1 {
		t.Errorf("%d events", len(seen))
	}
}

func TestStandingNewsIsToldOnceThoughPassesRaceAndTheClockIsSetBack(t *testing.T) {
	f := newFollower(t)
	rep := f.open(red("test"))
	f.sees(rep)
	f.ends(completed)
	f.now = f.now.Add(-48 * time.Hour)
	f.look(rep, "ci")
	f.needs(t, "one look", 0, false)
	f.now = f.now.Add(-48 * time.Hour)
	record, err := ReadReview(f.Home, f.id(), followedURL)
	must(t, err)
	var all sync.WaitGroup
	errs := make([]error, 8)
	for n := range errs {
		all.Go(func() {
			s, err := f.Home.ReadSession(f.id())
			if err != nil {
				errs[n] = err
				return
			}
			mine := *record.Followed
			q := &question{name: f.id(), session: s, follow: settings.Follow("ci"), Review: record}
			q.Followed = &mine
			if errs[n] = f.before(q); errs[n] == nil {
				errs[n] = f.follow(t.Context(), q, rep, nil)
			}
			if errs[n] == nil && mine.Needs == nil {
				t.Errorf("%d is not told", n)
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		must(t, err)
	}
	f.look(rep, "ci")
	f.needs(t, "after a race", 1, true)
}

func TestRequestNeedsAPersonOnceForFollowMaxAndStandingNews(t *testing.T) {
	f := newFollower(t)
	f.Settings.FollowMax = 1
	f.sees(f.open(red("test")))
	f.ends(completed)
	f.sees(f.open(red("test")))
	f.sees(f.open(red("test")))
	f.needs(t, "the check failed still", 1, true)
	both := func(rep *forge.Report) { red("test")(rep); conflicts(rep) }
	f.sees(f.open(both))
	f.sees(f.open(both))
	f.needs(t, "and it conflicts", 1, true)
	f.sees(f.open(conflicts))
	f.needs(t, "it conflicts alone, after FOLLOW_MAX tasks", 2, true)
	if got := f.last.Followed.Needs; got == nil || got.Item != "" || got.Text() != "conflicts with its base, after 1 task of it (FOLLOW_MAX)" {
		t.Errorf("%+v", got)
	}
}

func TestRecordOfStandingNewsIsWhatItWas(t *testing.T) {
	f := newFollower(t)
	f.sees(f.open(red("test")))
	item := f.ends(completed)
	f.sees(f.open(red("test")))
	data, err := json.Marshal(f.last.Followed.Stood)
	must(t, err)
	var got map[string]any
	must(t, json.Unmarshal(data, &got))
	if got["kind"] != "ci_failed" || got["item"] != item || got["run"] != 1.0 || got["how"] != "completed" || len(got["news"].(string)) != 12 {
		t.Errorf("%s", data)
	}
}
