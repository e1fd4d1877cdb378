package faults

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kugetsu/queue"
	"kugetsu/slots"
)

// TestTickIsKilledAsItFollowsARequest: a check of a session's pull request failed. A tick that follows the request is killed,
// wherever it is. The ticks after it make exactly one item, which runs, and tell it once. No later tick makes another.
func TestTickIsKilledAsItFollowsARequest(t *testing.T) {
	needStrace(t)
	w := newWorld(t)
	w.followed()
	list := points(t, w, "tick")
	w.close()
	late := list
	if !*full { // only in the last third the forge is asked, and answers
		late = list[len(list)*2/3:]
	}
	sweep(t, killed, "tick, as it follows a pull request", "signal=KILL", sample(late, 12), followKilled)
	failed(t, "tick, as it follows a pull request", late, 6, func(w *world, inject []string) error {
		w.followed()
		code, out := w.exec("strace", append(inject, filepath.Join(bin, "kugetsu"), "tick")...)
		if err := oneLine(code, out, 0, 75, 77, 78); err != nil {
			return err
		}
		return w.wasFollowed()
	})
}

// TestTickIsKilledAsAForgeRefuses: the forge refuses the token. A tick that meets this is killed, wherever it is. The ticks after
// it tell a person exactly once.
func TestTickIsKilledAsAForgeRefuses(t *testing.T) {
	needStrace(t)
	w := newWorld(t)
	w.refused()
	list := points(t, w, "tick")
	w.close()
	if !*full {
		list = list[len(list)*2/3:]
	}
	sweep(t, killed, "tick, as a forge refuses", "signal=KILL", sample(list, 12), refusedKilled)
}

// TestHarnessNoticesARefusalBeforeItsRecord: the same with a kugetsu that tells of a host before the record of it.
func TestHarnessNoticesARefusalBeforeItsRecord(t *testing.T) {
	needStrace(t)
	mustNotice(t, wrongWay{
		name:    "a refusal is told before its host is on record",
		file:    "tick/session/denial.go",
		changes: []string{"	if !maps.Equal(known, now) {", "	if false {"},
		notice:  " events, ",
		one: atAny(func(t *testing.T) []point {
			w := newWorld(t)
			defer w.close()
			w.refused()
			return only(points(t, w, "tick"), "renameat", "renameat2")
		}, refusedKilled),
	})
}

// refusedKilled kills a tick whose forge refuses an answer.
func refusedKilled(w *world, inject []string) error {
	w.refused()
	w.exec("strace", append(inject, filepath.Join(bin, "kugetsu"), "tick")...)
	for range 3 {
		w.kugetsu("tick")
	}
	told, err := filepath.Glob(filepath.Join(w.q.Events.New, "needs_human.*"))
	record, readErr := os.ReadFile(filepath.Join(w.home.Reviews(), "denials"))
	if len(told) != 1 || !strings.Contains(string(record), `"told":true`) {
		err = errors.Join(err, fmt.Errorf("%d events, and the record %s", len(told), record))
	}
	return errors.Join(err, readErr)
}

// refused is the world of followed, whose forge refuses every answer.
func (w *world) refused() {
	w.followedOn(func(to http.ResponseWriter, _ *http.Request, _ string) { to.WriteHeader(http.StatusUnauthorized) })
}

// TestHarnessNoticesAnItemBeforeItsIntent: the same with a kugetsu that publishes the item before the intent.
func TestHarnessNoticesAnItemBeforeItsIntent(t *testing.T) {
	needStrace(t)
	mustNotice(t, wrongWay{
		name: "the item of a followed request is published before its intent",
		file: "tick/session/tell.go",
		changes: []string{"\tone, err := k.claim(", `	if err := k.publish(q, n, intent{Item: queue.NewID(now), Priority: k.Settings.FollowPriority}, text); err != nil {
		return err
	}
	one, err := k.claim(`, `	if err := k.publish(q, n, one, text); err != nil {
		return err
	}
	one.Published`, "\tone.Published"},
		notice: " items, ", // mostly 2 of them; without an intent the first one is never marked as published
		one: atAny(func(t *testing.T) []point {
			w := newWorld(t)
			defer w.close()
			w.followed()
			return only(points(t, w, "tick"), "linkat")
		}, followKilled),
	})
}

// TestTickIsKilledAsItTellsThatAPersonIsNeeded: the item of a failed check ended, nothing was pushed, and one question to the forge
// found that the check still fails. A tick that asks again is killed, wherever it is. The ticks after it leave one event, which is
// on record.
func TestTickIsKilledAsItTellsThatAPersonIsNeeded(t *testing.T) {
	needStrace(t)
	w := newWorld(t)
	w.stuck()
	list := points(t, w, "tick")
	if err := w.needsAPerson(); err != nil {
		t.Error(err)
	}
	w.close()
	late := list
	if !*full {
		late = list[len(list)*2/3:]
	}
	sweep(t, killed, "tick, as it tells that a person is needed", "signal=KILL", sample(late, 12), stuckKilled)
}

// TestHarnessNoticesAPersonToldTwice: the same with a kugetsu whose event has another name each time.
func TestHarnessNoticesAPersonToldTwice(t *testing.T) {
	needStrace(t)
	mustNotice(t, wrongWay{
		name:    "the event that a person is needed has a new name each time",
		file:    "tick/session/stuck.go",
		changes: []string{"strconv.Itoa(q.end.Run)}", "strconv.Itoa(q.end.Run), k.Now().String()}"},
		notice:  "2 events that a person is needed",
		one: atAny(func(t *testing.T) []point {
			w := newWorld(t)
			defer w.close()
			w.stuck()
			return only(points(t, w, "tick"), "renameat", "renameat2", "rename")
		}, stuckKilled),
	})
}

// stuckKilled kills a tick that finds that a check still fails.
func stuckKilled(w *world, inject []string) error {
	w.stuck()
	w.exec("strace", append(inject, filepath.Join(bin, "kugetsu"), "tick")...)
	return w.needsAPerson()
}

// stuck is a followed world in which the item of the check has ended, and one question found that the check still fails. While the
// item runs nothing is followed, since the ticks of runners ask as well.
func (w *world) stuck() {
	w.followed()
	w.kugetsu("tick")
	following := w.env
	w.env = append(slices.Clone(following), "FOLLOW_PR=none")
	w.kugetsu("tick")
	w.must(w.settle())
	w.env = following
	w.kugetsu("tick", "--wait")
}

// needsAPerson lets the world come to rest, and checks the one event and the record.
func (w *world) needsAPerson() error {
	// The tick that the end of the run started may still have one of the locks. A tick waits for tick.lock. While another asks, it asks
	// nothing, and a later tick does.
	var record []byte
	var err error
	for begin, ticks := time.Now(), 0; ticks < 2 || err != nil && time.Since(begin) < patience; ticks++ {
		w.kugetsu("tick", "--wait")
		record, err = os.ReadFile(filepath.Join(w.home.Reviews(), session(1)+".json"))
		if err == nil && !strings.Contains(string(record), `"needs":{`) {
			err = fmt.Errorf("the record is %s", record)
		}
	}
	told, globErr := filepath.Glob(filepath.Join(w.q.Events.New, "needs_human.*"))
	if globErr == nil && len(told) != 1 {
		globErr = fmt.Errorf("%d events that a person is needed", len(told))
	}
	return errors.Join(err, globErr, w.wasFollowed())
}

// followKilled kills a tick that follows a request.
func followKilled(w *world, inject []string) error {
	w.followed()
	w.exec("strace", append(inject, filepath.Join(bin, "kugetsu"), "tick")...)
	return w.wasFollowed()
}

// followed is a world with a session whose pull request is on a forge of its own, and has a failed check.
func (w *world) followed() { w.followedOn(answer) }

// followedOn is followed with a forge that answers by this function; head is the head of the request.
func (w *world) followedOn(answer func(http.ResponseWriter, *http.Request, string)) {
	repo := filepath.Join(w.dir, "repo")
	cmd := exec.Command("git", "-C", repo, "branch", "fix/issue-1")
	cmd.Env = w.env
	if out, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("%v\n%s", err, out)
	}
	head, err := exec.Command("git", "-C", repo, "rev-parse", "fix/issue-1").Output()
	w.must(err)
	forge := httptest.NewServer(http.HandlerFunc(func(to http.ResponseWriter, r *http.Request) { answer(to, r, strings.TrimSpace(string(head))) }))
	w.ends = append(w.ends, forge.Close)
	w.must(w.home.WriteSession(session(1), &slots.Session{Type: "forked", IssueRef: "github.com/you/project#1", Agent: "command", Branch: "fix/issue-1",
		Worktree: w.home.Worktree(session(1)), PRURL: forge.URL + "/you/project/pulls/11", PRSet: true, CreatedAt: time.Now().UTC(), LastUsedAt: time.Now().UTC()}))
	w.must(os.MkdirAll(filepath.Join(string(w.home), "env"), 0o700))
	w.must(os.WriteFile(w.home.EnvFile("default.env"), []byte("GITEA_URL="+forge.URL+"\nGITEA_TOKEN=sesame\n"), 0o600))
	w.env = append(w.env, "FOLLOW_PR=ci,review,conflict", "FOLLOW_INTERVAL=1ns")
}

// answer is what a Gitea says of a request whose check "test" failed.
func answer(to http.ResponseWriter, r *http.Request, head string) {
	path := strings.TrimPrefix(r.URL.Path, "/api/v1/repos/you/project/")
	switch path {
	case "pulls/11":
		fmt.Fprintf(to, `{"number": 11, "state": "open", "merged": false, "draft": false, "mergeable": true, "user": {"login": "agent"},
			"head": {"label": "fix/issue-1", "ref": "fix/issue-1", "sha": %q, "repo_id": 1, "repo": {"id": 1, "full_name": "you/project"}},
			"base": {"label": "main", "ref": "main", "sha": %[1]q, "repo_id": 1, "repo": {"id": 1, "full_name": "you/project"}}}`, head)
	case "commits/" + head + "/status":
		fmt.Fprint(to, `{"state": "failure", "total_count": 1, "statuses": [{"id": 1, "status": "failure", "context": "test", "target_url": "https://ci.example.com/7"}]}`)
	case "commits/" + head + "/statuses":
		fmt.Fprint(to, `[{"id": 1, "status": "failure", "context": "test", "target_url": "https://ci.example.com/7"}]`)
	case "branches/main":
		fmt.Fprint(to, `{"name": "main", "protected": false, "required_approvals": 0, "enable_status_check": false, "status_check_contexts": []}`)
	case "pulls/11/reviews", "assignees":
		fmt.Fprint(to, `[]`)
	default:
		to.WriteHeader(http.StatusNotFound)
	}
}

// wasFollowed lets the world come to rest, and checks that the failed check has one item.
func (w *world) wasFollowed() error {
	for range 2 {
		w.kugetsu("tick")
	}
	if err := w.settle(); err != nil {
		return err
	}
	w.kugetsu("tick")
	// While one tick asks, as the runner's may, another tick asks nothing. Then a later tick writes the mark.
	intents, intentErr := filepath.Glob(filepath.Join(w.home.Reviews(), session(1)+"~????????????.json"))
	for begin := time.Now(); len(intents) == 1 && !published(intents[0]) && time.Since(begin) < patience; {
		w.kugetsu("tick")
	}
	var errs []error
	entries, err := w.q.Settled()
	live, liveErr := w.q.Live(queue.Dev)
	for _, e := range append(entries, live...) {
		w.ids, w.paid = append(w.ids, e.ID), append(w.paid, 0)
		if it, err := w.q.Load(e); err != nil || !strings.Contains(it.Message, "failed: test") {
			errs = append(errs, err, fmt.Errorf("%s is not about the check", e.ID))
		}
	}
	told, globErr := filepath.Glob(filepath.Join(w.q.Events.New, "ci_failed.*"))
	if len(w.ids) != 1 || len(told) != 1 || len(intents) != 1 {
		errs = append(errs, fmt.Errorf("%d items, %d events, %d intents", len(w.ids), len(told), len(intents)))
	}
	for _, file := range intents {
		if !published(file) {
			errs = append(errs, fmt.Errorf("%s does not say that its item is published", file))
		}
	}
	return errors.Join(append(errs, err, liveErr, globErr, intentErr, w.judge(completed))...)
}

// published says whether an intent has the mark that its item is published.
func published(intent string) bool {
	data, err := os.ReadFile(intent)
	return err == nil && !strings.Contains(string(data), `"published":null`)
}
