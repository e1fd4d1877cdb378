package slots

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const otherRun = "q_01arz3ndektsv4rrffq69g5fav.2"

func TestSocketsOfUsualProgramsFitBelowTmpdir(t *testing.T) {
	top, err := os.MkdirTemp("/tmp", "k")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(top)) })
	longest := "/home/" + strings.Repeat("u", 32) + "/.kugetsu"
	d := Dir(filepath.Join(top, strings.Repeat("u", len(longest)-len(top)-1)))
	if len(d) != len(longest) {
		t.Fatalf("%s is not as long as %s", d, longest)
	}
	must(t, d.Make())
	must(t, d.ClaimRun(someRun))
	tmp, err := d.makeTmp(someRun)
	must(t, err)
	for _, path := range []string{
		".org.chromium.Chromium.XXXXXX/SingletonSocket",
		"tmp.XXXXXXXXXX/S.gpg-agent.browser",
		"tmp.XXXXXXXXXX/.gnupg/S.gpg-agent.extra",
		"tmux-4294967295/default",
		"vscode-ipc-01234567-89ab-cdef-0123-456789abcdef.sock",
		"dotnet-diagnostic-4194304-1234567890-socket",
		"pymp-xxxxxxxx/listener-xxxxxxxx",
		"ssh-XXXXXXXXXXXX/agent.4194304",
	} {
		path = filepath.Join(tmp, path)
		must(t, os.MkdirAll(filepath.Dir(path), 0o700))
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Errorf("%s, %d bytes: %v", path, len(path), err)
			continue
		}
		must(t, l.Close())
	}
	if n := len(d.TmpLongest(99)) + SocketBelow; n > SocketMax {
		t.Errorf("with 99 runs at once a path has %d bytes", n)
	}
}

func TestTmpdirIsOneForEachRunAndGoesWithIt(t *testing.T) {
	d := newDir(t)
	must(t, d.ClaimRun(someRun))
	must(t, d.ClaimRun(otherRun))
	one, err := d.makeTmp(someRun)
	must(t, err)
	two, err := d.makeTmp(otherRun)
	must(t, err)
	if one == two || filepath.Base(one) != "1" || filepath.Base(two) != "2" {
		t.Fatalf("%s, %s", one, two)
	}
	must(t, os.MkdirAll(filepath.Join(one, "mod", "cache"), 0o700))
	must(t, os.WriteFile(filepath.Join(one, "mod", "cache", "f"), nil, 0o400))
	must(t, os.Chmod(filepath.Join(one, "mod", "cache"), 0o500))
	must(t, os.WriteFile(filepath.Join(two, "f"), nil, 0o600))
	must(t, d.DropTmp(someRun))
	must(t, d.DropTmp(someRun)) // again
	if _, err := os.Lstat(one); err == nil {
		t.Error("it is left")
	}
	if _, err := os.Lstat(filepath.Join(two, "f")); err != nil {
		t.Error(err)
	}
	again, err := d.makeTmp(someRun)
	must(t, err)
	if again != one {
		t.Errorf("the number is not used again: %s", again)
	}
	must(t, d.DropRun(otherRun))
	if _, err := os.Lstat(two); err == nil {
		t.Error("what a run's folder names is left when the folder goes")
	}
}

func TestFolderInThePlaceOfATmpdirIsNotEmptied(t *testing.T) {
	d := newDir(t)
	must(t, d.ClaimRun(someRun))
	mine := filepath.Join(t.TempDir(), "mine")
	must(t, os.MkdirAll(mine, 0o700))
	for _, to := range []string{mine, "../../sessions", "../../t/../sessions", "../../t", "../../t/1/../../sessions", "../../t/0", "../../t/99999"} {
		must(t, os.Symlink(to, d.tmpLink(someRun)))
		must(t, d.DropTmp(someRun))
		for _, dir := range []string{mine, d.sessions(), d.tmps()} {
			if _, err := os.Lstat(dir); err != nil {
				t.Errorf("%s: %v", to, err)
			}
		}
		if _, err := os.Lstat(d.tmpLink(someRun)); err == nil {
			t.Errorf("%s: the link is left", to)
		}
	}
	must(t, os.Mkdir(d.tmpLink(someRun), 0o700)) // as an older kugetsu made it
	must(t, d.DropTmp(someRun))
	if _, err := os.Lstat(d.tmpLink(someRun)); err == nil {
		t.Error("a folder is left")
	}
	must(t, os.Remove(d.tmps()))
	must(t, os.Symlink(filepath.Dir(mine), d.tmps()))
	must(t, os.Mkdir(filepath.Join(filepath.Dir(mine), "1"), 0o700))
	must(t, os.Symlink("../../t/1", d.tmpLink(someRun)))
	if err := d.DropTmp(someRun); err == nil {
		t.Error("a link in the place of t/ was followed")
	}
	if _, err := os.Lstat(filepath.Join(filepath.Dir(mine), "1")); err != nil {
		t.Error(err)
	}
}

func TestTmpdirThatNoRunNamesIsSwept(t *testing.T) {
	d := newDir(t)
	must(t, d.ClaimRun(someRun))
	used, err := d.makeTmp(someRun)
	must(t, err)
	lost, young, foreign := filepath.Join(d.tmps(), "7"), filepath.Join(d.tmps(), "8"), filepath.Join(d.tmps(), "mine")
	now := time.Now()
	for _, dir := range []string{lost, young, foreign} {
		must(t, os.Mkdir(dir, 0o700))
	}
	for _, dir := range []string{lost, used, foreign} {
		must(t, os.Chtimes(dir, now.Add(-2*tmpAge), now.Add(-2*tmpAge)))
	}
	must(t, d.SweepTmp(now))
	for dir, want := range map[string]bool{used: true, lost: false, young: true, foreign: true} {
		if _, err := os.Lstat(dir); (err == nil) != want {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

// A run's temporary files are moved away in an instant, and deleted by a sweep: also what was made read-only, and never what a
// link in the place of the folder leads to.
func TestTemporaryFilesAreDeletedBySweep(t *testing.T) {
	d := newDir(t)
	must(t, d.ClaimRun(someRun))
	tmp, err := d.makeTmp(someRun)
	must(t, err)
	must(t, os.MkdirAll(filepath.Join(tmp, "cache", "module"), 0o700))
	must(t, os.WriteFile(filepath.Join(tmp, "cache", "module", "file"), nil, 0o400))
	must(t, os.Chmod(filepath.Join(tmp, "cache", "module"), 0o500))
	must(t, d.DropTmp(someRun))
	if left, err := os.ReadDir(d.gone()); err != nil || len(left) != 1 {
		t.Errorf("it was not moved away: %v, %v", left, err)
	}
	must(t, d.Sweep(t.Context()))
	if left, err := os.ReadDir(d.gone()); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	must(t, os.Remove(d.gone()))
	precious := t.TempDir()
	must(t, os.Symlink(precious, d.gone()))
	must(t, os.WriteFile(filepath.Join(precious, "file"), nil, 0o600))
	_, err = d.makeTmp(someRun)
	must(t, err)
	must(t, d.DropTmp(someRun))
	if err := d.Sweep(t.Context()); err == nil {
		t.Error("a link was followed")
	}
	if left, err := os.ReadDir(precious); err != nil || len(left) != 1 {
		t.Errorf("%v, %v", left, err)
	}
}
