package e2e

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kugetsu/contrib/internal/rig"
)

// TestQuotaReserveIsLeftToAPerson: real agents are told in a run that 85 % of their window is used, and 20 % are to be kept. The run
// goes on to its end, nothing new of the agent starts, another agent's items do, and at the reset the agent's items start again.
func TestQuotaReserveIsLeftToAPerson(t *testing.T) {
	t.Parallel()
	for _, c := range clis[1:3] {
		t.Run(c.preset, func(t *testing.T) {
			t.Parallel()
			program, stub := binary(t, c.preset), newStub(t)
			env := c.home(t, stub)
			if c.limited != nil {
				env = c.limited(env)
			}
			w := newWorldOf(t, rig.Kugetsu(t), stub, c.preset, program, env)
			config := string(w.read(filepath.Join(w.state, "config")))
			writeFile(t, filepath.Join(w.state, "config"), []byte(config+"\nMAX_CONCURRENT_AGENTS=2\nAGENT_COMMAND='echo mine is done'\n"+
				"QUOTA_RESERVE=20\nAGENT_ARGS_"+strings.ToUpper(c.preset)+"='"+c.args("ok")+"'\n"))

			// The reset is far away, so that all below may take its time. Both are told in the first turn, and have two more to go. claude's
			// tool waits for what follows; codex lets a tool go on by itself after ten seconds, and the file of its thread is read four times a
			// minute.
			far, gate := time.Now().Add(3*time.Hour), filepath.Join(t.TempDir(), "gate")
			stub.tell(85, far)
			if c.preset == "codex" {
				writeFile(t, gate, nil)
			}
			told := w.delegate("you/project#1", "<<bash until test -e "+gate+"; do sleep 0.1; done>><<bash git commit -q --allow-empty -m went_on>><<say went on>>")
			w.tick()
			w.until("status says what is used", func() bool {
				return strings.Contains(w.kugetsu(0, "status"), "\n"+c.preset+" (dev) 5h 85 % until ")
			})
			waits := w.delegate("you/project#2", "<<say me too>>")
			other := strings.TrimSpace(w.kugetsu(0, "delegate", "--agent", "command", "you/project#3", "go on"))
			if report := w.tick("--json"); !strings.Contains(report, c.preset+" has used 85 % of its 5h, and QUOTA_RESERVE keeps 20 %, until ") {
				t.Errorf("the tick does not say why: %s", report)
			}
			w.kugetsu(0, "queue", "wait", other, "--timeout", patience.String())
			if it := w.item(told); c.preset == "claude" && it.State != "notified" {
				t.Errorf("the run that was told does not go on: %s", it)
			}
			writeFile(t, gate, nil)
			w.kugetsu(0, "queue", "wait", told, "--timeout", patience.String())
			if it := w.item(told); it.State != "completed" || it.Runs != 1 || it.History[0].Outcome != "ok" || it.History[0].Changes.Commits != 1 {
				t.Errorf("want one run, ok, with a commit: %s\n%s", it, w.logs())
			}
			w.tick()
			if it := w.item(waits); it.State != "pending" || it.Runs != 0 || it.Attempts != 0 {
				t.Fatalf("it was started within the reserve: %s\n%s", it, w.logs())
			}
			w.absent("holds", "*")

			// A person starts one all the same. It is told of a reset that is near: then the other starts by itself, as each tick tries.
			reset := time.Now().Add(10 * time.Second).Truncate(time.Second)
			stub.tell(86, reset)
			byHand := strings.TrimSpace(w.kugetsu(0, "start", "--now", "you/project#4", "<<say by hand>>"))
			w.kugetsu(0, "queue", "wait", byHand, "--timeout", patience.String())
			stub.tell(3, reset.Add(5*time.Hour))
			w.until("the agent starts again", func() bool { w.tick(); return w.item(waits).State == "completed" })
			it := w.item(waits)
			if it.Runs != 1 || it.Attempts != 1 || it.History[0].Outcome != "ok" || it.History[0].Started.Before(reset) {
				t.Errorf("want one run, ok, after %s: %s\n%s", reset, it, w.logs())
			}
			for _, id := range []string{told, byHand, waits, other} {
				if it := w.item(id); len(it.History) != 1 || it.History[0].Outcome != "ok" {
					t.Errorf("want one run, ok: %s", it)
				}
			}
		})
	}
}
