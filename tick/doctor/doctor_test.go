package doctor

import (
	"io/fs"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestBriefSaysOfAHealthySetUpHowManyChecksThereWere(t *testing.T) {
	all := []Finding{{Level: OK, Check: "space", What: "9 MiB are free"}, {Level: OK, Check: "git"}, {Level: OK, Check: "remote", What: "it answers"}}
	if got := Brief(all, false); len(got) != 1 || got[0].Level != OK || got[0].What != "3 checks, and nothing to do" {
		t.Errorf("%+v", got)
	}
	if got := Brief(all, true); len(got) != 2 || got[0].What != "it answers" {
		t.Errorf("the answer to what was asked is not there: %+v", got)
	}
	fixed := []Finding{{Level: Fixed, Check: "modes", What: "x"}, {Level: OK, Check: "git"}}
	if got := Brief(fixed, false); len(got) != 2 || got[0].What != "x" {
		t.Errorf("%+v", got)
	}
}

func TestBriefCountsWhatItLeavesOut(t *testing.T) {
	var all []Finding
	for range 4 {
		all = append(all, Finding{Level: Warn, Check: "items", What: "a"})
	}
	if got := Brief(all, false); len(got) != 4 {
		t.Errorf("%+v", got)
	}
	all = append(all, Finding{Level: Error, Check: "items", What: "b"}, Finding{Level: Warn, Check: "items", What: "c"})
	got := Brief(all, false)
	if len(got) != 5 || got[3].What != "b" && got[4].What != "b" || !strings.HasPrefix(got[3].What+got[4].What, "2 more") && !strings.HasSuffix(got[3].What+got[4].What, "2 more of this kind") {
		t.Errorf("%+v", got)
	}
}

func TestFindingsThatExplainEachOtherDoNotBothVanish(t *testing.T) {
	gone := &fs.PathError{Op: "stat", Path: "/x/config", Err: syscall.ENOENT}
	all := []Finding{{Level: Warn, Check: "folders", at: "/x", err: gone}, {Level: Error, Check: "files", at: "/x/config", err: gone,
		explains: func(f Finding) bool { return f.Check == "folders" }}}
	explain(all)
	if got := Brief(all, false); len(got) != 1 || got[0].Level != Error {
		t.Errorf("%+v", got)
	}
}

func TestClockThatWasNeverSetIsAnError(t *testing.T) {
	for _, c := range []struct {
		now  time.Time
		want int
	}{{time.Unix(100, 0), 1}, {time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), 0}} {
		x := &Exam{Now: func() time.Time { return c.now }}
		if x.clock(); len(x.listed) != c.want {
			t.Errorf("%s: %+v", c.now, x.listed)
		}
	}
}

func TestTransportIsTheProgramOfAURL(t *testing.T) {
	for url, want := range map[string]string{
		"git@github.com:you/project.git": "ssh", "ssh://git@host/x": "ssh", "https://github.com/you/x.git": "git-remote-https",
		"http://host/x": "git-remote-http", "codecommit::eu-west-1://x": "git-remote-codecommit", "gcrypt::ssh://host/x": "git-remote-gcrypt",
		"/srv/git/x.git": "", "file:///srv/git/x": "", "git://host/x": "", "../x": "",
	} {
		if got := transport(url); got != want {
			t.Errorf("%s: %q, not %q", url, got, want)
		}
	}
}
