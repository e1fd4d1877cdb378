package screen

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"kugetsu/contrib/internal/rig"
)

// ticks is the CPU time that a process used, in hundredths of a second, as proc(5) tells it: utime and stime.
func ticks(t *testing.T, pid string) int {
	t.Helper()
	stat, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(after) // from the third on
	user, err := strconv.Atoi(fields[14-3])
	if err != nil {
		t.Fatal(err)
	}
	system, err := strconv.Atoi(fields[15-3])
	if err != nil {
		t.Fatal(err)
	}
	return user + system
}

// TestWatchCostsLittle: agents come and go, and then all is quiet. CPU time is compared and not how long anything takes: a busy
// machine changes it little, and never makes a quiet screen read more.
func TestWatchCostsLittle(t *testing.T) {
	if testing.Short() {
		t.Skip("it watches a quiet screen for a minute: not with -short")
	}
	t.Parallel()
	p := open(t, 100, 40)
	repo := filepath.Join(p.dir, "repo")
	for _, args := range [][]string{{"init", "-q", "-b", "main", repo},
		{"-C", repo, "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-q", "--allow-empty", "-m", "first"}} {
		if out, err := exec.Command("git", args...).CombinedOutput(); err != nil {
			t.Fatalf("git %q: %v\n%s", args, err, out)
		}
	}
	text, settings := p.watching()
	if err := os.WriteFile(filepath.Join(p.state, "repos.json"), []byte(fmt.Sprintf(`{"github.com/you/shop": %q}`, repo)), 0o600); err != nil {
		t.Fatal(err)
	}
	pid := p.pid()
	begin, used := time.Now(), ticks(t, pid)
	for n := range 6 {
		p.kugetsu("delegate", fmt.Sprintf("you/shop#%d", n+1), "come and go")
	}
	p.kugetsu("tick", "--drain")
	p.shows("DONE")
	p.shows("0 of 3 slots occupied, 0 waiting")
	t.Logf("while six agents came and went: %.2f %% of a CPU in %s", float64(ticks(t, pid)-used)/time.Since(begin).Seconds(), time.Since(begin).Round(time.Second))

	begin, used = time.Now(), ticks(t, pid)
	rig.Until(t, "a quiet minute", func() bool { return time.Since(begin) >= time.Minute })
	share := float64(ticks(t, pid)-used) / time.Since(begin).Seconds() // hundredths of a second in a second: per cent
	t.Logf("in a quiet minute: %.2f %% of a CPU", share)
	if share >= 1 {
		t.Errorf("a quiet screen takes %.2f %% of a CPU", share)
	}
	p.key("q")
	p.left(text, settings)
}
