package slots

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestMarkersOfAClusterAreReadBackAsTheyWereWritten(t *testing.T) {
	for _, m := range []Marker{{Phase: Claimed, Job: "12", Token: "ab34"}, {Phase: Fenced, Was: Exit}, {Phase: Fenced, Was: Claimed}, {Phase: Fenced, Was: Started}} {
		if got, ok := parseMarker(m.name()); !ok || got != m {
			t.Errorf("%+v became %s, and that %+v", m, m.name(), got)
		}
	}
	for _, name := range []string{"claimed", "claimed.", "claimed.12", "claimed.x.ab", "claimed.12.a/b", "fenced", "fenced.", "fenced.end", "claimed.12.ab.cd", "claim.json", "fence.json"} {
		if m, ok := parseMarker(name); ok {
			t.Errorf("%q is taken for %+v", name, m)
		}
	}
}

func TestRunIsClaimedOnceWhateverStartsItsJobAgain(t *testing.T) {
	d := newDir(t)
	must(t, d.ClaimRun(someRun))
	var claimed atomic.Int64
	var all sync.WaitGroup
	for n := range 20 {
		all.Go(func() {
			err := d.moveMarker(someRun, Marker{Phase: Exit}, Marker{Phase: Claimed, Job: "7", Token: fmt.Sprintf("t%d", n)})
			switch {
			case err == nil:
				claimed.Add(1)
			case !errors.Is(err, fs.ErrNotExist):
				t.Error(err)
			}
		})
	}
	all.Wait()
	if claimed.Load() != 1 {
		t.Errorf("%d jobs claimed the run", claimed.Load())
	}
}

// As a network file system that repeats a request whose answer was lost.
func TestRenameThatWasDoneIsKnownByItsName(t *testing.T) {
	d := newDir(t)
	must(t, d.ClaimRun(someRun))
	to := Marker{Phase: Claimed, Job: "7", Token: "mine"}
	must(t, d.setMarker(someRun, Marker{Phase: Exit}, to))
	must(t, d.moveMarker(someRun, Marker{Phase: Exit}, to))
	if err := d.moveMarker(someRun, Marker{Phase: Exit}, Marker{Phase: Claimed, Job: "8", Token: "other"}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("another claim: %v", err)
	}
}

func TestFencedRunCanNeitherBeginNorEnd(t *testing.T) {
	claim := Marker{Phase: Claimed, Job: "7", Token: "t"}
	for _, c := range []struct {
		is   Marker
		then []Marker // what its job may try
		want Marker
	}{
		{Marker{Phase: Exit}, []Marker{claim}, Marker{Phase: Fenced, Was: Exit}},
		{claim, []Marker{{Phase: Started}, {Phase: Ended, Outcome: "ok"}}, Marker{Phase: Fenced, Was: Claimed}},
		{Marker{Phase: Started}, []Marker{{Phase: Ended, Outcome: "ok"}}, Marker{Phase: Fenced, Was: Started}},
	} {
		d := newDir(t)
		must(t, d.ClaimRun(someRun))
		if c.is.Phase != Exit {
			must(t, d.setMarker(someRun, Marker{Phase: Exit}, c.is))
		}
		for range 2 { // and again
			m, err := d.Fence(someRun)
			must(t, err)
			if m != c.want {
				t.Errorf("%s is fenced as %+v", c.is.name(), m)
			}
		}
		for _, to := range c.then {
			if err := d.moveMarker(someRun, c.is, to); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s was fenced, and became %s: %v", c.is.name(), to.name(), err)
			}
		}
	}
}

func TestRunThatEndedIsNotFenced(t *testing.T) {
	d := newDir(t)
	must(t, d.ClaimRun(someRun))
	end := Marker{Phase: Ended, Outcome: "ok"}
	must(t, d.setMarker(someRun, Marker{Phase: Exit}, end))
	if m, err := d.Fence(someRun); err != nil || m != end {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestRunWhoseFolderIsGoneIsFencedAsIfItWereClaimed(t *testing.T) {
	d := newDir(t)
	m, err := d.Fence(someRun)
	if err != nil || m != (Marker{Phase: Fenced, Was: Claimed}) {
		t.Errorf("%+v, %v", m, err)
	}
	if now, err := d.ReadMarker(someRun); err != nil || now != m {
		t.Errorf("on disk: %+v, %v", now, err)
	}
}

func TestRunnerOnAClusterLooksForTheFence(t *testing.T) {
	d := newDir(t)
	must(t, d.ClaimRun(someRun))
	log, err := openLog(d.LogPath(someRun), LogCap)
	must(t, err)
	marker := Marker{Phase: Claimed, Job: "7", Token: "t"}
	must(t, d.setMarker(someRun, Marker{Phase: Exit}, marker))
	r := &Runner{home: d, name: someRun, log: log, marker: marker, task: &Task{Session: "github.com+o+r@1"}, cluster: &onCluster{}}
	if r.fenced() {
		t.Error("it is fenced before it is")
	}
	must(t, r.writeSession(&Session{IssueRef: "github.com/o/r#1", Worktree: d.Worktree("github.com+o+r@1")}))
	_, err = d.Fence(someRun)
	must(t, err)
	if !r.fenced() {
		t.Error("the fence is not seen")
	}
	if err := r.writeSession(&Session{IssueRef: "github.com/o/r#1", Worktree: d.Worktree("github.com+o+r@1"), Branch: "late"}); !errors.Is(err, errFenced) {
		t.Errorf("the session is written: %v", err)
	}
	if s, err := d.ReadSession("github.com+o+r@1"); err != nil || s.Branch != "" {
		t.Errorf("%+v, %v", s, err)
	}
	must(t, os.RemoveAll(d.RunDir(someRun)))
	if !r.fenced() {
		t.Error("a run whose folder is gone goes on")
	}
	if (&Runner{home: d, name: someRun}).fenced() {
		t.Error("a runner of this machine is fenced")
	}
}

func TestAgeOfAFenceIsByAClockThatCannotBeSet(t *testing.T) {
	d := newDir(t)
	must(t, d.ClaimRun(someRun))
	must(t, d.WriteFence(someRun, Fence{At: time.Now().Add(-time.Hour), Why: "x", State: "NODE_FAIL"}))
	f, err := d.ReadFence(someRun)
	must(t, err)
	if age := f.Age(time.Now()); f.Boot != "" && (age < 0 || age > time.Minute) {
		t.Errorf("on the same machine it is %s old", age)
	}
	f.Boot = "another"
	if age := f.Age(time.Now()); age < 59*time.Minute {
		t.Errorf("on another machine it is %s old", age)
	}
	if f.State != "NODE_FAIL" || f.Why != "x" {
		t.Errorf("%+v", f)
	}
}

func TestJobsOfTwoStateFoldersHaveTwoNames(t *testing.T) {
	a, b := Dir(t.TempDir()), Dir(t.TempDir())
	link := Dir(filepath.Join(t.TempDir(), "link"))
	must(t, os.Symlink(string(a), string(link)))
	if a.JobName(someItem, 1) == b.JobName(someItem, 1) || a.JobName(someItem, 1) == a.JobName(someItem, 2) || a.JobName(someItem, 1) != link.JobName(someItem, 1) {
		t.Error(a.JobName(someItem, 1), b.JobName(someItem, 1), link.JobName(someItem, 1))
	}
	if name := a.JobName(someItem, 12); strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") != "" || !strings.HasSuffix(name, "-"+someItem+"-12") {
		t.Errorf("%q", name)
	}
}
