package slurm

import (
	"strings"
	"testing"

	"kugetsu/contrib/internal/cluster"
)

// TestAccountingKnowsHowAJobEndedThatTheControllerForgot: no tick comes for so long that the controller does not know the jobs any more.
func TestAccountingKnowsHowAJobEndedThatTheControllerForgot(t *testing.T) {
	t.Parallel()
	if why := cluster.MissingAccounts(); why != "" {
		t.Skip(why)
	}
	c := upBy(t, cluster.StartAccounted)
	w := newWorld(t, c)
	w.kugetsu(0, "init")
	if out := w.kugetsu(0, "doctor", "-v"); !strings.Contains(out, "the cluster has accounting") {
		t.Errorf("doctor does not know of the accounting:\n%s", out)
	}
	// One job works, one is done before a tick looks, and one waits.
	works, done := w.delegate(1, w.waitFor("go")), w.delegate(2, "true")
	w.kugetsu(0, "tick")
	w.until("both agents began", func() bool { return len(w.began(works)) == 1 && len(w.began(done)) == 1 })
	node := w.began(works)[0]
	w.env = append(w.env, "SLURM_ARGS=--begin=now+1hour")
	waits := w.delegate(3, "true")
	w.kugetsu(0, "tick")
	w.env = w.env[:len(w.env)-1]
	jobs := map[string]string{}
	for _, id := range []string{works, waits} {
		for _, job := range w.jobs("%i|%j") {
			if number, name, _ := strings.Cut(job, "|"); strings.Contains(name, id) {
				jobs[id] = number
			}
		}
		_, err := c.Slurm("scancel", jobs[id])
		must(t, err)
	}
	w.until("the controller knows none of the jobs", func() bool { return len(w.jobs("%i")) == 0 })

	w.touch("go") // for the next run
	for id, want := range map[string]struct{ outcome, why string }{
		works: {"lost", "Slurm ended its job " + jobs[works] + " on " + node + ": CANCELLED"},
		waits: {"void", "Slurm ended its job " + jobs[waits] + ": CANCELLED"},
	} {
		it := w.completed(id, want.outcome)
		if !strings.Contains(it.History[0].Summary, want.why) {
			t.Errorf("the history does not say %q: %+v", want.why, it.History)
		}
	}
	w.completed(done)
}
