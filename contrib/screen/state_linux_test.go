package screen

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/event"
	"kugetsu/queue/ledger"
	"kugetsu/queue/outcome"
	"kugetsu/slots"
)

// hostile is what would clear the terminal, set its title, hide text and turn its direction, were it printed as it is.
const hostile = "clear\x1b[2J\x1b[H the screen\x1b]0;mine\x07, \u202ehide\u202c \x9b31mred\r\x00"

// long is how long ago all that a made folder tells of happened. Times of days do not change while a test runs.
const long = 3*24*time.Hour + 12*time.Hour

// folder is a state folder that is made, with something in each section of the screen.
type folder struct {
	*testing.T
	home slots.Dir
	q    *queue.Queue
	now  time.Time
	ids  int
}

func (f *folder) must(errs ...error) {
	f.Helper()
	if err := errors.Join(errs...); err != nil {
		f.Fatal(err)
	}
}

func (f *folder) write(path, content string) {
	f.Helper()
	f.must(os.WriteFile(path, []byte(content), 0o600))
}

// config is what the made folder is shown with: free memory and disk, which differ from machine to machine, are no limits.
const config = "KUGETSU_AGENT=command\nAGENT_COMMAND=true\nAGENT_MEMORY=0\nMIN_FREE_DISK=0\nMAX_CONCURRENT_AGENTS=3\n"

func makeState(t *testing.T, home string) {
	t.Helper()
	f := &folder{T: t, home: slots.Dir(home), now: time.Now().UTC().Add(-long)}
	clock := func() time.Time { return f.now }
	in := func(names ...string) string { return filepath.Join(append([]string{home}, names...)...) }
	f.q = &queue.Queue{Dirs: queue.Dirs{Items: in("queue", "items"), PM: in("queue", "pm"), Finished: in("queue", "finished"), Bad: in("queue", "bad")},
		Events: &event.Box{New: in("notifications", "new"), Seen: in("notifications", "seen"), Undelivered: in("notifications", "owed"), Now: clock},
		Ledger: &ledger.Ledger{Dir: f.home.Usage(), Now: clock}, Now: clock}
	f.must(os.MkdirAll(home, 0o700), f.home.Make(), f.q.Make())
	f.write(in("config"), config)
	f.write(in("scheduled"), "") // ticks come
	f.write(in("tick.lock"), "")
	f.must(os.Chtimes(in("tick.lock"), f.now, f.now))

	f.settle(1, "直す: ログイン画面が崩れる問題を修正してください。\nand more", outcome.OK, "", 2, 0.42)
	f.settle(2, "Ship 🚀 the release 🎉🎉 with 👍🏽 notes and a title that goes on and on until no terminal of a usual width has room for it, and further", outcome.OK, "", 0, 0)
	f.settle(3, hostile, outcome.OK, "", 0, 0)
	f.settle(4, "fail", outcome.Failed, "the tests fail: "+hostile, 0, 0)
	f.settle(5, "slow", outcome.Timeout, "took longer than 1h, 그리고 아무 말도 하지 않았다", 0, 0)
	f.run(6, "実行中のタスク", "working on "+hostile+"\nテストを実行しています 🧪 npm test -- --runInBand --reporter=verbose src/components/login/form.test.tsx\n")
	f.enqueue(7, "待っているタスク 🕰")
	f.enqueue(8, hostile)
	f.request(1, "open")
	f.request(9, "open")
	f.write(filepath.Join(f.home.Holds(), "claude.json"), fmt.Sprintf(`{"until":null,"since":%q,"reason":"Please run /login · ログイン","outcome":"auth","count":1,"run":"r","probe":""}`,
		f.now.Format(time.RFC3339)))
}

func ref(n int) string { return fmt.Sprintf("github.com/you/shop#%d", n) }

func (f *folder) enqueue(n int, message string) (queue.Entry, *queue.Item) {
	f.Helper()
	f.ids++
	f.now = f.now.Add(time.Second)
	it := &queue.Item{ID: fmt.Sprintf("q_01m8k9b7z040gy45qe4jg7%04d", f.ids), IssueRef: ref(n), Agent: "command", Message: message, Mode: queue.Auto,
		PendingSince: f.now, After: []string{}, History: []queue.Run{}}
	e, err := f.q.Publish(it, queue.Dev, queue.DefaultPriority)
	f.must(err)
	return e, it
}

// settle files an item that ended.
func (f *folder) settle(n int, message string, o outcome.Outcome, why string, commits int, usd float64) {
	f.Helper()
	e, it := f.enqueue(n, message)
	began := f.now
	f.must(f.q.Notify(e, it, 1, 1, nil))
	f.now = f.now.Add(time.Minute)
	r := queue.Result{Run: queue.Run{Run: 1, StartedAt: &began, EndedAt: f.now, Outcome: o, Summary: why}}
	r.Evidence.Changes = &outcome.Changes{Commits: commits}
	if commits > 0 {
		r.Evidence.Changes.Diff = &outcome.Diff{Files: 3, Insertions: 120, Deletions: 7}
	}
	if usd > 0 {
		r.Cost = &outcome.Cost{USD: usd}
	}
	f.must(f.q.Settle(e, it, r, queue.Policy{MaxAttempts: 1, RetryDelay: time.Minute}))
	e, err := f.q.File(e)
	f.must(err, os.Chtimes(e.Path, f.now, f.now))
}

// run makes an item run, as far as files and locks tell.
func (f *folder) run(n int, message, log string) {
	f.Helper()
	e, it := f.enqueue(n, message)
	f.must(f.q.Notify(e, it, 1, 1, nil))
	run := slots.RunName(it.ID, 1)
	f.must(f.home.ClaimRun(run))
	f.write(f.home.LogPath(run), log)
	f.must(f.home.WriteIntent("1", slots.Intent{Item: it.ID, Run: 1, Session: it.Ref().Session(), File: filepath.Base(e.Path)}))
	lock, err := slots.TryLock(f.home.SlotLock("1"))
	f.must(err)
	f.Cleanup(func() { _ = lock.Close() })
}

// request gives an issue a session with a pull request.
func (f *folder) request(n int, state string) {
	f.Helper()
	f.now = f.now.Add(time.Second)
	name, url := fmt.Sprintf("github.com+you+shop@%d", n), fmt.Sprintf("https://github.com/you/shop/pull/%d", 100+n)
	f.must(f.home.WriteSession(name, &slots.Session{Type: "forked", IssueRef: ref(n), Agent: "command", Worktree: f.home.Worktree(name), Branch: "fix/issue-" + fmt.Sprint(n),
		PRURL: url, CreatedAt: f.now, LastUsedAt: f.now}))
	f.write(filepath.Join(f.home.Reviews(), name+".json"), fmt.Sprintf(`{"url":%q,"state":%q,"asked_at":%q}`+"\n", url, state, f.now.Format(time.RFC3339)))
	f.must(os.Chtimes(filepath.Join(string(f.home), "sessions", name+".json"), f.now, f.now)) // in their order, whatever the disk's clock can tell apart
}
