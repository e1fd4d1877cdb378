package slots_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// asked is an item of the test below, as it was enqueued.
type asked struct {
	id       string
	priority int
	after    []int // of those enqueued before it
	fails    bool
	ended    string // as what, by the model
}

// With one slot, real processes start in the order of priority and age, of those that may: the end of each starts the
// next.
func TestAgentsRunInOrderOfPriorityAndAge(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "MAX_CONCURRENT_AGENTS=1", "MAX_ATTEMPTS=1")
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var file strings.Builder
	items := make([]*asked, 16)
	for n := range items {
		it := &asked{priority: random.IntN(4), fails: random.IntN(5) == 0, ended: "pending"}
		line := map[string]any{"issue_ref": fmt.Sprintf("you/project#%d", n+1), "message": "linger", "priority": it.priority}
		if it.fails {
			line["message"] = "fail"
		}
		var after []string
		for k := range n {
			if random.IntN(2*n) == 0 {
				it.after, after = append(it.after, k), append(after, fmt.Sprintf("you/project#%d", k+1))
			}
		}
		line["after"] = after
		data, err := json.Marshal(line)
		if err != nil {
			t.Fatal(err)
		}
		file.Write(append(data, '\n'))
		items[n] = it
	}
	path := filepath.Join(w.seen, "items.jsonl")
	if err := os.WriteFile(path, []byte(file.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errOut := w.kugetsu("delegate", "--from", path)
	if code != 0 {
		t.Fatalf("delegate: exit code %d: %s", code, errOut)
	}
	ids := strings.Fields(out)
	for n, it := range items {
		it.id = ids[n]
	}

	var want []string
	byOrder := slices.Clone(items)
	slices.SortStableFunc(byOrder, func(a, b *asked) int { return a.priority - b.priority })
	state := func(it *asked, state string) bool {
		return slices.ContainsFunc(it.after, func(k int) bool { return items[k].ended == state })
	}
	for left := len(items); left > 0; {
		for _, it := range items { // each after those it waits for
			if it.ended == "pending" && state(it, "error") {
				it.ended = "error"
				left--
			}
		}
		for _, it := range byOrder {
			if it.ended == "pending" && !state(it, "pending") && !state(it, "error") {
				if it.ended = "completed"; it.fails {
					it.ended = "error"
				}
				want = append(want, it.id)
				left--
				break
			}
		}
	}

	if code, _, errOut := w.kugetsu("tick"); code != 0 {
		t.Fatalf("tick: exit code %d: %s", code, errOut)
	}
	w.kugetsu("queue", "wait", "--all") // 1 where one fails
	if got := w.lines("begun"); !slices.Equal(got, want) {
		t.Errorf("started\n%v, not\n%v\n%s", got, want, file.String())
	}
	_, out, _ = w.kugetsu("queue", "list", "--all", "--json")
	var list []item
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatal(err)
	}
	ended := map[string]string{}
	for _, it := range list {
		ended[it.ID] = it.State
	}
	for _, it := range items {
		if ended[it.id] != it.ended {
			t.Errorf("%s is %s, not %s\n%s", it.id, ended[it.id], it.ended, file.String())
		}
	}
}

// Two intakes at once, and many: one enqueues, the others find that.
func TestIntakesAtOnceEnqueueAnIssueOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const issues, intakes = 3, 12
	got := make([]string, issues*intakes)
	var all sync.WaitGroup
	for n := range got {
		all.Go(func() {
			args := []string{"delegate", "--unless-queued", fmt.Sprintf("you/project#%d", n%issues+1), fmt.Sprintf("work %d", n)}
			if n%4 == 0 { // and places change meanwhile
				w.kugetsu("queue", "priority", args[2], fmt.Sprint(n))
			}
			code, out, errOut := w.kugetsu(args...)
			if code != 0 {
				t.Errorf("%v: exit code %d: %s", args, code, errOut)
			}
			got[n] = out
		})
	}
	all.Wait()
	for n := range got {
		if got[n] != got[n%issues] || !strings.HasPrefix(got[n], "q_") {
			t.Errorf("intake %d for issue %d printed %q, another %q", n, n%issues+1, got[n], got[n%issues])
		}
	}
	if live := w.glob("queue/items/*.json"); len(live) != issues {
		t.Errorf("%d items: %v", len(live), live)
	}
}

// A tick that ends a chain of items which wait in vain is killed again and again, at any instant: each ends, is filed, and
// is told of under one name.
func TestKilledTickFailsAChainAllTheSame(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "MAX_ATTEMPTS=1")
	w.delegate(1, "fail")
	w.kugetsu("tick", "--drain")
	const many = 25
	var file strings.Builder
	for n := 2; n < many+2; n++ {
		fmt.Fprintf(&file, `{"issue_ref": "you/project#%d", "message": "m", "after": ["you/project#%d"]}`+"\n", n, n-1)
	}
	from := w.command("delegate", "--from", "-")
	from.Stdin = strings.NewReader(file.String())
	out, err := from.Output()
	if err != nil {
		t.Fatal(err)
	}
	kills := 0
	for begin := time.Now(); len(w.glob("queue/items/*.json")) > 0 && time.Since(begin) < patience; kills++ {
		tick := w.command("tick")
		if err := tick.Start(); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Duration(5+rand.IntN(30)) * time.Millisecond)
		_ = tick.Process.Kill()
		_ = tick.Wait() // of the signal, mostly
	}
	t.Logf("%d kills", kills)
	for _, id := range strings.Fields(string(out)) {
		it := w.item(id)
		if it.State != "error" || it.Runs != 0 || !strings.HasPrefix(*it.Error, "dependency: ") {
			t.Errorf("%s", it)
		}
		if told := w.glob("notifications/new/" + id + ".*task_error*.json"); len(told) != 1 {
			t.Errorf("%s was told of as %v", id, told)
		}
	}
	if n := len(w.glob("queue/finished/*.json")); n != many+1 {
		t.Errorf("%d items are filed", n)
	}
	w.nothingLeft()
}
