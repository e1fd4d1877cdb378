package slots

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"kugetsu/queue/spool"
)

func TestIntentIsNeverOverwritten(t *testing.T) {
	d := newDir(t)
	first := Intent{Item: someItem, Run: 3, Session: "github.com+you+project@7", Boot: "b", File: "50-" + someItem + ".json"}
	must(t, d.WriteIntent("1", first))
	if err := d.WriteIntent("1", Intent{Item: someItem, Run: 4, Session: PMSession}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("%v", err)
	}
	first.V = 1
	if in, err := d.ReadIntent("1"); err != nil || in == nil || *in != first {
		t.Errorf("%+v, %v", in, err)
	}
	for range 2 {
		must(t, d.Empty("1"))
		if in, err := d.ReadIntent("1"); err != nil || in != nil {
			t.Errorf("%+v, %v", in, err)
		}
	}
}

func TestFileThatIsNoIntentIsBadAndNotEmpty(t *testing.T) {
	good := `{"v":1,"item":"` + someItem + `","run":1,"session":"pm-agent"}`
	for _, data := range []string{
		"", "null", "{", good + good,
		strings.Replace(good, `"v":1`, `"v":0`, 1),
		strings.Replace(good, `"session"`, "\"\xff\":\"\",\"session\"", 1),
		strings.Replace(good, `"run":1`, `"run":0`, 1),
		strings.Replace(good, `"run":1`, `"run":-1`, 1),
		strings.Replace(good, someItem, "../../"+someItem, 1),
		strings.Replace(good, someItem, "", 1),
		strings.Replace(good, "pm-agent", "../pm-agent", 1),
		strings.Replace(good, "pm-agent", "", 1),
		strings.Replace(good, "pm-agent", strings.Repeat("x", 221), 1),
	} {
		d := newDir(t)
		must(t, os.WriteFile(d.IntentPath("1"), []byte(data), 0o600))
		if in, err := d.ReadIntent("1"); !errors.Is(err, spool.ErrBad) {
			t.Errorf("%q: %+v, %v", data, in, err)
		}
	}
	d := newDir(t)
	must(t, unix.Mkfifo(d.IntentPath("1"), 0o600))
	if in, err := d.ReadIntent("1"); !errors.Is(err, spool.ErrBad) {
		t.Errorf("%+v, %v", in, err)
	}
}

func TestFilesOfANewerKugetsuAreNotJudged(t *testing.T) {
	d := newDir(t)
	newer := []byte(`{"v":3,"session":["pm-agent"],"worktree_path":{}}`)
	must(t, os.WriteFile(d.IntentPath("1"), newer, 0o600))
	if in, err := d.ReadIntent("1"); !errors.Is(err, spool.ErrNewer) || errors.Is(err, spool.ErrBad) {
		t.Errorf("%+v, %v", in, err)
	}
	must(t, os.WriteFile(d.session(PMSession).Path, newer, 0o600))
	if s, err := d.ReadSession(PMSession); !errors.Is(err, spool.ErrNewer) || errors.Is(err, spool.ErrBad) {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestSessionIsReadUnderItsOwnNameAlone(t *testing.T) {
	const name = "github.com+you+project@7"
	for _, c := range []struct {
		ref, worktree, name string
		good                bool
	}{
		{"github.com/you/project#7", "/x/worktrees/" + name, name, true},
		{"GitHub.com/You/Project#7", "/moved/" + name, name, true},
		{"", "/x/worktrees/pm-agent", PMSession, true},
		{"localhost/you/project#7", "/x/localhost+you+project@7", "localhost+you+project@7", true},
		{"github.com/you/project#8", "/x/worktrees/" + name, name, false},
		{"github.com/you/project#7", "/x/worktrees/github.com+you+project@8", name, false},
		{"github.com/you/project#7", "", name, false},
		{"", "/x/worktrees/" + name, name, false},
		{"github.com/you/project#7", "/x/worktrees/pm-agent", PMSession, false},
		{"../../x#7", "/x/worktrees/" + name, name, false},
	} {
		d := newDir(t)
		must(t, d.WriteSession(c.name, &Session{IssueRef: c.ref, Worktree: c.worktree}))
		s, err := d.ReadSession(c.name)
		if good := err == nil && s != nil; good != c.good || !good && !errors.Is(err, spool.ErrBad) {
			t.Errorf("%s of %q in %q: %+v, %v", c.name, c.ref, c.worktree, s, err)
		}
	}
}

func TestSlotsWithAFileAreNamedOnceInOrder(t *testing.T) {
	d := newDir(t)
	for _, name := range []string{
		"10.lock", "10.json", "2.json", "1.lock", "pm.lock", "1.json", "9999.lock", "0.lock", "01.lock", "10000.json",
		"-1.json", "x.json", "1.json4711", ".1.json.tmp1", "pm", "1", "2.lock.bak",
	} {
		must(t, os.WriteFile(filepath.Join(d.slots(), name), nil, 0o600))
	}
	names, err := d.Names()
	if want := []string{"1", "2", "10", "9999", "pm"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("%v, not %v, %v", names, want, err)
	}
}

func TestSessionIsReadBackAndAStrangeOneIsBad(t *testing.T) {
	d := newDir(t)
	name := "github.com+you+project@7"
	if s, err := d.ReadSession(name); err != nil || s != nil {
		t.Errorf("%+v, %v", s, err)
	}
	must(t, d.WriteSession(name, &Session{Type: "forked", IssueRef: "github.com/you/project#7", Worktree: d.Worktree(name)}))
	if s, err := d.ReadSession(name); err != nil || s == nil || s.IssueRef != "github.com/you/project#7" {
		t.Errorf("%+v, %v", s, err)
	}
	for _, data := range []string{"", "null", "{", `{"v":0}`, `{"v":1}{}`} {
		must(t, os.WriteFile(d.session(name).Path, []byte(data), 0o600))
		if s, err := d.ReadSession(name); !errors.Is(err, spool.ErrBad) {
			t.Errorf("%q: %+v, %v", data, s, err)
		}
	}
	for _, name := range []string{"", "..", "../x", "a/b", "A", "-x", ".x", "a\nb", "a#1", strings.Repeat("x", 221)} {
		if s, err := d.ReadSession(name); err == nil {
			t.Errorf("%q is a session: %+v", name, s)
		}
	}
	must(t, os.WriteFile(filepath.Join(d.sessions(), name+".lock"), nil, 0o600))
	must(t, os.WriteFile(filepath.Join(d.sessions(), name+".json4711"), nil, 0o600))
	if names, err := d.Sessions(); err != nil || !slices.Equal(names, []string{name}) {
		t.Errorf("%v, %v", names, err)
	}
}
