package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/outcome"
)

// commands are the commands that change something, beside tick, with the world that they begin in and what must hold afterwards.
var commands = []struct {
	name  string
	setup func(w *world) (args []string)
	after func(w *world, code int, out string) error // before any tick
	ends  map[queue.State]bool
	codes []int // beside 0 and 75
}{
	{
		name:  "delegate",
		setup: func(*world) []string { return delegate },
		after: delegated, ends: completed,
		codes: []int{77, 78}, // it cannot tell whether the state folder is ours
	},
	{
		name:  "delegate --from",
		setup: manyLines,
		after: delegatedMany, ends: completed,
		codes: []int{1, 77, 78}, // 1: the lines cannot be read
	},
	{
		name:  "start",
		setup: func(w *world) []string { return []string{"start", "you/project#1", "work"} },
		after: started, ends: completed,
		codes: []int{77, 78},
	},
	{
		name: "queue cancel",
		setup: func(w *world) []string {
			_, it := w.item(1)
			return []string{"queue", "cancel", it.ID}
		},
		after: stands(queue.Errored),
		ends:  map[queue.State]bool{queue.Completed: true, queue.Errored: true}, // as if it had not been asked for
		codes: []int{77, 78},
	},
	{
		name: "queue edit",
		setup: func(w *world) []string {
			_, one := w.item(1)
			_, two := w.item(2)
			return []string{"queue", "edit", "--message", "better", "--priority", "7", "--after", one.ID, two.ID}
		},
		after: edited, ends: completed,
		codes: []int{77, 78},
	},
	{
		name: "queue retry",
		setup: func(w *world) []string {
			e, it := w.item(1)
			w.must(w.q.Cancel(e, it))
			_, err := w.q.File(e)
			w.must(err)
			return []string{"queue", "retry", it.ID}
		},
		after: stands(queue.Pending),
		ends:  map[queue.State]bool{queue.Completed: true, queue.Errored: true},
		codes: []int{77, 78},
	},
	{
		name: "queue clear",
		setup: func(w *world) []string {
			for n := range 2 {
				e, it := w.inSlot("1", n+1, "end.ok.0", true)
				w.must(w.q.Settle(e, it, queue.Result{Run: queue.Run{Run: 1, Outcome: outcome.OK, EndedAt: time.Now()}}, queue.Policy{MaxAttempts: 3}))
				_, err := w.q.File(e)
				w.must(err)
				w.must(w.home.Empty("1"))
			}
			w.ids, w.paid = nil, nil // they may go
			return clear
		},
		after: cleared,
		codes: []int{77, 78},
	},
}

var delegate = []string{"delegate", "you/project#1", "work"}

var clear = []string{"queue", "clear", "--older-than", "0"}

// delegated checks what delegate left: nothing, or a whole item. An item whose id it printed is there.
func delegated(w *world, code int, out string) error {
	live, err := w.q.Live(queue.Dev)
	if err != nil {
		return err
	}
	if len(live) > 1 {
		return fmt.Errorf("%d items from one delegate", len(live))
	}
	for _, e := range live {
		if _, err := w.q.Load(e); err != nil {
			return fmt.Errorf("a torn item: %w", err)
		}
		w.ids, w.paid = append(w.ids, e.ID), append(w.paid, 0)
	}
	id, _, _ := strings.Cut(out, "\n")
	if queue.IsID(id) && (len(live) == 0 || live[0].ID != id) {
		return fmt.Errorf("%s was printed and is not there", id)
	}
	if code == 0 && len(live) == 0 {
		return fmt.Errorf("exit code 0 and no item: %s", out)
	}
	return nil
}

// fromLines is how many lines delegate --from gets: enough that it syncs the disk once for all.
const fromLines = 9

// manyLines writes a file for delegate --from. Each line waits for the one before.
func manyLines(w *world) []string {
	path := filepath.Join(w.dir, "tasks.jsonl")
	var lines strings.Builder
	for n := range fromLines {
		after := ""
		if n > 0 {
			after = fmt.Sprintf(`"you/project#%d"`, n)
		}
		fmt.Fprintf(&lines, `{"issue_ref": "you/project#%d", "message": "work", "after": [%s]}`+"\n", n+1, after)
	}
	w.must(os.WriteFile(path, []byte(lines.String()), 0o600))
	return []string{"delegate", "--from", path}
}

// delegatedMany checks what delegate --from left: whole items of the first lines, in their order, and among these every item whose
// id it printed. Only two of them run afterwards, which shows that they can run.
func delegatedMany(w *world, code int, out string) error {
	live, err := w.q.Live(queue.Dev)
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for n, e := range live {
		it, err := w.q.Load(e)
		if err != nil {
			return fmt.Errorf("a torn item: %w", err)
		}
		if want := fmt.Sprintf("github.com/you/project#%d", n+1); it.IssueRef != want {
			return fmt.Errorf("item %d of %d is that of %s, not of %s: the lines before it are not enqueued", n+1, len(live), it.IssueRef, want)
		}
		there[e.ID] = true
		if n < 2 {
			w.ids, w.paid = append(w.ids, e.ID), append(w.paid, 0)
			continue
		}
		w.must(os.Remove(e.Path))
	}
	printed := 0
	for line := range strings.Lines(out) {
		if id := strings.TrimSpace(line); queue.IsID(id) {
			if printed++; !there[id] {
				return fmt.Errorf("%s was printed and is not there", id)
			}
		}
	}
	if code == 0 && (len(live) != fromLines || printed != fromLines) {
		return fmt.Errorf("exit code 0, %d items and %d ids: %s", len(live), printed, out)
	}
	return nil
}

// started checks what start left: nothing, or an item, which may have ended by now.
func started(w *world, code int, out string) error {
	dirs := []string{w.q.Items, w.q.Finished}
	for _, dir := range dirs { // from the first folder that an item is in to the last: so it cannot slip past
		files, err := filepath.Glob(filepath.Join(dir, "*.json"))
		if err != nil {
			return err
		}
		for _, file := range files {
			_, id, _ := strings.Cut(strings.TrimSuffix(filepath.Base(file), ".json"), "-")
			if len(w.ids) == 0 {
				w.ids, w.paid = append(w.ids, id), append(w.paid, 0)
			}
			if w.ids[0] != id {
				return fmt.Errorf("two items from one start: %s, %s", w.ids[0], id)
			}
		}
	}
	if code == 0 && len(w.ids) == 0 {
		return fmt.Errorf("exit code 0 and no item: %s", out)
	}
	return nil
}

// stands says that the item must be in a state if the command succeeded.
func stands(want queue.State) func(*world, int, string) error {
	return func(w *world, code int, out string) error {
		_, it, err := load(w, w.ids[0])
		if err == nil && code == 0 && it.State != want {
			err = fmt.Errorf("exit code 0, and the item is %s: %s", it.State, out)
		}
		return err
	}
}

// edited says that the item waits and is whole, with the old words or with the new ones. If the command succeeded, they are the new
// ones.
func edited(w *world, code int, out string) error {
	e, it, err := load(w, w.ids[1])
	if err != nil {
		return err
	}
	fresh := it.Message == "better" && slices.Equal(it.After, w.ids[:1])
	stale := it.Message == "work" && len(it.After) == 0
	switch {
	case it.State != queue.Pending || !fresh && !stale || stale && e.Priority == 7:
		err = fmt.Errorf("half an edit: %02d %s %q %v", e.Priority, it.State, it.Message, it.After)
	case code == 0 && (stale || e.Priority != 7):
		err = fmt.Errorf("exit code 0, and the item is as it was: %s", out)
	}
	return err
}

// cleared says that every finished item is whole or gone, and that a second clear leaves nothing behind.
func cleared(w *world, _ int, _ string) error {
	left, err := w.q.Settled()
	if err != nil {
		return err
	}
	for _, e := range left {
		if _, err := w.q.Load(e); err != nil {
			return err
		}
	}
	if code, out := w.kugetsu(clear...); code != 0 {
		return fmt.Errorf("the second clear: exit code %d: %s", code, out)
	}
	for _, dir := range []string{w.q.Finished, filepath.Join(string(w.home), "runs")} {
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			return fmt.Errorf("left in %s: %v %w", dir, left, err)
		}
	}
	return nil
}

// TestCommandsAreKilledAtEverySystemCall, and they also meet every error there. What they do is done whole or not at all, exit code
// 0 means that it is done, and plain ticks repair what they leave.
func TestCommandsAreKilledAtEverySystemCall(t *testing.T) {
	needStrace(t)
	for _, c := range commands {
		w := newWorld(t)
		list := points(t, w, c.setup(w)...)
		w.must(w.settle()) // start has left a run
		w.close()
		try := func(w *world, inject []string, look func(code int, out string) error) error {
			w.unpaid, w.unseen = 1, 1 // a runner may be broken with the command that starts it
			args := append(append(inject, filepath.Join(bin, "kugetsu")), c.setup(w)...)
			code, out := w.exec("strace", args...)
			if err := look(code, out); err != nil {
				return err
			}
			if err := c.after(w, code, out); err != nil {
				return err
			}
			if err := w.settle(); err != nil {
				return err
			}
			return w.judge(c.ends)
		}
		sweep(t, killed, c.name, "signal=KILL", sample(list, 10), func(w *world, inject []string) error {
			return try(w, inject, func(code int, out string) error {
				// How many threads the runtime starts differs from run to run, so the last of them may not be met again.
				thread := slices.ContainsFunc(inject, func(arg string) bool { return strings.HasPrefix(arg, "inject=clone") })
				if code != 137 && code != -1 && !thread {
					return fmt.Errorf("it was not killed: exit code %d: %s", code, out)
				}
				return nil
			})
		})
		failed(t, c.name, list, 12, func(w *world, inject []string) error {
			return try(w, inject, func(code int, out string) error { return oneLine(code, out, append(c.codes, 0, 75)...) })
		})
	}
}
