package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/event"
	"kugetsu/queue/ledger"
	"kugetsu/queue/outcome"
	"kugetsu/slots"
)

// state is a state folder.
type state struct {
	testing.TB
	home string
	q    *queue.Queue
	now  time.Time
}

// folder makes a state folder in which so many items wait and so many completed, in six days. One item of each kind is made by the
// queue itself. The others are copies: each transition of tens of thousands of items would wait for the disk.
func folder(tb testing.TB, waiting, completed int) *state {
	tb.Helper()
	now := time.Now().UTC().Truncate(time.Second)
	step := 6 * 24 * time.Hour / time.Duration(waiting+completed+1)
	s := &state{TB: tb, home: tb.TempDir(), now: now.Add(-step * time.Duration(waiting+completed))}
	clock := func() time.Time { return s.now }
	in := func(names ...string) string { return filepath.Join(append([]string{s.home}, names...)...) }
	home := slots.Dir(s.home)
	s.q = &queue.Queue{Dirs: queue.Dirs{Items: in("queue", "items"), PM: in("queue", "pm"), Finished: in("queue", "finished"), Bad: in("queue", "bad")},
		Events: &event.Box{New: in("notifications", "new"), Seen: in("notifications", "seen"), Undelivered: in("notifications", "owed"), Now: clock},
		Ledger: &ledger.Ledger{Dir: home.Usage(), Now: clock}, Now: clock}
	s.must(home.Make(), s.q.Make(), os.WriteFile(in("config"), []byte("KUGETSU_AGENT=command\nAGENT_COMMAND=true\nAGENT_MEMORY=0\nMIN_FREE_DISK=0\n"), 0o600),
		os.WriteFile(in("scheduled"), nil, 0o600))
	if completed > 0 {
		e, it := s.enqueue()
		began := s.now
		s.must(s.q.Notify(e, it, 1, 1, nil))
		r := queue.Result{Slot: "1", Run: queue.Run{Run: 1, StartedAt: &began, EndedAt: began.Add(time.Second), Outcome: outcome.OK, Summary: "The basket keeps what is in it."}}
		s.must(s.q.Settle(e, it, r, queue.Policy{MaxAttempts: 3, RetryDelay: time.Minute}))
		e, err := s.q.File(e)
		s.must(err)
		s.copies(e, it, completed-1, step)
	}
	if waiting > 0 {
		e, it := s.enqueue()
		s.copies(e, it, waiting-1, step)
	}
	s.must(os.RemoveAll(home.Usage()), os.Mkdir(home.Usage(), 0o700), s.q.KeepLedger()) // of all items
	return s
}

func (s *state) must(errs ...error) {
	s.Helper()
	if err := errors.Join(errs...); err != nil {
		s.Fatal(err)
	}
}

func (s *state) enqueue() (queue.Entry, *queue.Item) {
	s.Helper()
	it := &queue.Item{ID: queue.NewID(s.now), IssueRef: "github.com/you/shop#1", Agent: "command", Mode: queue.Auto, PendingSince: s.now, After: []string{}, History: []queue.Run{},
		Message: "Repair the basket.\n\nIt forgets what is in it when the page is loaded again: put something into it, and reload."}
	e, err := s.q.Publish(it, queue.Dev, queue.DefaultPriority)
	s.must(err)
	return e, it
}

// copies writes an item n times more, each time with another id and issue and a step later.
func (s *state) copies(e queue.Entry, it *queue.Item, n int, step time.Duration) {
	s.Helper()
	s.must(os.Chtimes(e.Path, s.now, s.now))
	old := it.ID
	for i := range n {
		s.now = s.now.Add(step)
		it.ID, it.IssueRef, it.PendingSince = queue.NewID(s.now), fmt.Sprintf("github.com/you/shop#%d", i+2), s.now
		if it.CompletedAt != nil {
			it.CompletedAt, it.History[0].StartedAt, it.History[0].EndedAt = &s.now, &s.now, s.now.Add(time.Second)
		}
		data, err := json.MarshalIndent(it, "", "  ")
		path := strings.Replace(e.Path, old, it.ID, 1)
		s.must(err, os.WriteFile(path, data, 0o600), os.Chtimes(path, s.now, s.now))
	}
}

// events makes so many events, by copies of one.
func (s *state) events(n int) {
	s.Helper()
	ev := event.Event{Name: event.Name(queue.NewID(s.now), 0, event.TaskQueued), Type: event.TaskQueued, IssueRef: "github.com/you/shop#1", State: "pending"}
	s.must(s.q.Events.Put(ev))
	data, err := os.ReadFile(filepath.Join(s.q.Events.New, ev.Name+".json"))
	s.must(err)
	for range n - 1 {
		s.now = s.now.Add(time.Millisecond)
		name := event.Name(queue.NewID(s.now), 0, event.TaskQueued)
		s.must(os.WriteFile(filepath.Join(s.q.Events.New, name+".json"), []byte(strings.Replace(string(data), ev.Name, name, 1)), 0o600))
	}
}

// repository gives the items a repository of so many files, and returns its path.
func (s *state) repository(files int) string {
	s.Helper()
	repo := s.TempDir()
	for i := range files {
		path := filepath.Join(repo, fmt.Sprintf("d%d", i/100), fmt.Sprintf("f%d.txt", i))
		s.must(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, fmt.Appendf(nil, "file %d\n", i), 0o600))
	}
	s.git("init", "-q", "-b", "main", repo)
	s.git("-C", repo, "add", ".")
	s.git("-C", repo, "-c", "user.name=b", "-c", "user.email=b@localhost", "commit", "-q", "--allow-empty", "-m", "first")
	s.must(os.WriteFile(filepath.Join(s.home, "repos.json"), fmt.Appendf(nil, `{"github.com/you/shop": %q}`, repo), 0o600))
	return repo
}

func (s *state) git(args ...string) {
	s.Helper()
	cmd := exec.Command("git", args...)
	cmd.Env = s.env()
	if out, err := cmd.CombinedOutput(); err != nil {
		s.Fatalf("git %q: %v\n%s", args, err, out)
	}
}

// env is the environment of a program in this folder, in which no setting of the person stands who runs the benchmark.
func (s *state) env(more ...string) []string {
	return append([]string{"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8", "HOME=" + s.home, "KUGETSU_DIR=" + s.home}, more...)
}

// delegate enqueues n items, which take turns in so many issues.
func (s *state) delegate(program string, n, issues int) {
	s.Helper()
	var lines strings.Builder
	for i := range n {
		fmt.Fprintf(&lines, `{"issue_ref":"you/shop#%d","message":"nothing"}`+"\n", i%issues+1)
	}
	cmd := exec.Command(program, "delegate", "--from", "-")
	cmd.Env, cmd.Stdin = s.env(), strings.NewReader(lines.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		s.Fatalf("delegate: %v\n%s", err, out)
	}
}

// completed says how many items completed, after making sure that the run of each was ok and that none ended otherwise: runs that
// fail look fast.
func (s *state) completed() int {
	s.Helper()
	settled, err := s.q.Settled()
	s.must(err)
	for _, e := range settled {
		it, err := s.q.Load(e)
		s.must(err)
		if last := it.Last(); it.State != queue.Completed || last == nil || last.Outcome != outcome.OK {
			s.Fatalf("%s is %s: %+v", it.ID, it.State, last)
		}
	}
	return len(settled)
}

// waiting says how many items there are that did not end.
func (s *state) waiting() int {
	s.Helper()
	live, err := s.q.Live(queue.Dev)
	s.must(err)
	return len(live)
}
