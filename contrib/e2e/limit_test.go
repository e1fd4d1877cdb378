package e2e

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kugetsu/contrib/internal/rig"
)

// TestUsageLimitIsSatOut: real agents meet a limit that is lifted after two hours. It costs no attempt and no slot, other
// agents' items go on, and when the time has come the same conversation does.
func TestUsageLimitIsSatOut(t *testing.T) {
	t.Parallel()
	for _, c := range clis[:3] {
		t.Run(c.preset, func(t *testing.T) {
			if isSlow(c.preset) {
				needFull(t, "TestPresets tells of its limit")
			}
			t.Parallel()
			program, stub := binary(t, c.preset), newStub(t)
			env := c.home(t, stub)
			if c.limited != nil {
				env = c.limited(env)
			}
			w := newWorldOf(t, rig.Kugetsu(t), stub, c.preset, program, env)
			config := string(w.read(filepath.Join(w.state, "config")))
			model := func(name string) { // the runs' own ticks read it too, and none is under way that read what was there before
				w.until("nothing of kugetsu's runs", func() bool { return len(processes("KUGETSU_DIR="+w.state)) == 0 })
				writeFile(t, filepath.Join(w.state, "config"), []byte(config+"\nMAX_CONCURRENT_AGENTS=1\nAGENT_COMMAND='echo mine is done'\n"+
					"AGENT_ARGS='"+c.args(name)+"'\n"))
			}
			model("ok")
			first := w.delegate("you/project#1", "<<say begun>>")
			w.kugetsu(0, "tick", "--drain")
			before := w.session(1)

			model("e429")
			limited := w.delegate("you/project#1", "<<bash git commit -q --allow-empty -m went_on>><<say went on>>")
			behind := w.delegate("you/project#2", "<<say me too>>")
			other := strings.TrimSpace(w.kugetsu(0, "delegate", "--agent", "command", "you/project#3", "go on"))
			begin := time.Now()
			w.tick()
			w.kugetsu(0, "queue", "wait", other, "--timeout", patience.String())
			it := w.item(limited)
			if it.State != "pending" || it.Attempts != 0 || it.Runs != 1 || it.History[0].Outcome != "usage_limit" {
				t.Fatalf("want it pending, with no attempt counted, after one run: %s\n%s", it, w.logs())
			}
			if it := w.item(behind); it.State != "pending" || it.Runs != 0 {
				t.Errorf("another item of the agent was started: %s", it)
			}
			w.until("the slot is free, and status says who waits for what", func() bool { // a slot is emptied after its item is settled
				status := w.kugetsu(0, "status")
				return strings.Contains(status, "\n0 of 1 slots occupied, 2 waiting\n") && strings.Count(status, c.preset+" is on hold until ") >= 3 // two items, and the hold itself
			})
			holdFile := filepath.Join(w.state, "holds", c.preset+".json")
			var hold map[string]any
			w.decode(string(w.read(holdFile)), &hold)
			until, err := time.Parse(time.RFC3339, hold["until"].(string))
			if err != nil || until.Before(begin.Add(limitLength-time.Minute)) || until.After(time.Now().Add(limitLength)) {
				t.Errorf("held until %s, %v; it was told two hours at %s", until, err, begin)
			}
			if events := w.kugetsu(0, "notify", "list", "--json"); strings.Count(events, `"agent_held"`) != 1 {
				t.Errorf("not told once: %s", events)
			}

			// Two hours later.
			model("ok")
			hold["until"] = time.Now().UTC().Format(time.RFC3339)
			data, err := json.Marshal(hold)
			if err != nil {
				t.Fatal(err)
			}
			writeFile(t, holdFile, data)
			w.kugetsu(0, "tick", "--drain")
			w.absent("holds", "*.json")
			for id, runs := range map[string]int{first: 1, limited: 2, behind: 1} {
				if it := w.item(id); it.State != "completed" || it.Attempts != 1 || it.Runs != runs {
					t.Errorf("want it completed, with one attempt counted, after %d runs: %s\n%s", runs, it, w.logs())
				}
			}
			after := w.session(1)
			if before.Conversation == "" || after.Conversation != before.Conversation || after.Worktree != before.Worktree {
				t.Errorf("issue 1 was not continued: %+v, then %+v", before, after)
			}
			if got := w.git(after.Worktree, "log", "-1", "--format=%s"); got != "went_on" {
				t.Errorf("the last commit is %q", got)
			}
			(&bench{t: t, cli: c, stub: sentTo(stub, "went on")}).sent(turn{"user", "<<say begun>>"}, turn{"assistant", "begun"}, turn{"user", "<<say went on>>"})
		})
	}
}

// TestLimitOfAModelLeavesTheOthers: claude says in a field of its own that the limit is that of one family of models. An item with
// another model goes on, one without a model waits.
func TestLimitOfAModelLeavesTheOthers(t *testing.T) {
	t.Parallel()
	c := clis[1]
	program, stub := binary(t, c.preset), newStub(t)
	w := newWorldOf(t, rig.Kugetsu(t), stub, c.preset, program, c.limited(c.home(t, stub))).with("MAX_CONCURRENT_AGENTS=1")
	ask := func(issue, model string) string {
		return strings.TrimSpace(w.kugetsu(0, "delegate", "--model", model, issue, "<<say done>>"))
	}
	limited := ask("you/project#1", limitedModel)
	w.tick()
	w.until("the model is on hold", func() bool {
		return strings.Contains(w.kugetsu(0, "status"), "claude (opus) is on hold until ")
	})
	unnamed, other := w.delegate("you/project#2", "<<say done>>"), ask("you/project#3", otherModel)
	w.until("the other model's item is done", func() bool { w.tick(); return w.item(other).State == "completed" })
	for _, id := range []string{limited, unnamed} {
		if it := w.item(id); it.State != "pending" || it.Attempts != 0 {
			t.Errorf("want it pending, with no attempt counted: %s\n%s", it, w.logs())
		}
	}
	if it := w.item(limited); it.Runs != 1 || it.History[0].Outcome != "usage_limit" {
		t.Errorf("want one run, at a limit: %s", it)
	}
}

// sentTo is a model that was asked nothing after the last request whose user's turn holds a text.
func sentTo(s *stub, text string) *stub {
	seen := &stub{}
	requests := s.Requests()
	for n, q := range requests {
		if strings.Contains(lastUser(q), text) {
			seen.requests = requests[:n+1]
		}
	}
	return seen
}
