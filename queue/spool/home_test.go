package spool

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kugetsu/queue/fault"
)

func TestHomeMustBeSafelyOurs(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		name string
		make func(path string) error
		code int
	}{
		{"missing", func(string) error { return nil }, 0},
		{"missing with its parents", func(path string) error { return os.RemoveAll(filepath.Dir(path)) }, 0},
		{"private", folder(0o700), 0},
		{"readable for others", folder(0o755), 0},
		{"writable for the group", folder(0o770), fault.Unsafe},
		{"writable for all", folder(0o707), fault.Unsafe},
		{"sticky, and writable for all", folder(0o777 | os.ModeSticky), fault.Unsafe},
		{"a file", func(path string) error { return os.WriteFile(path, nil, 0o600) }, fault.Unsafe},
		{"a link to a private folder", link(0o700), 0},
		{"a link to a folder for all", link(0o777), fault.Unsafe},
		{"a link to nowhere", func(path string) error { return os.Symlink("/nowhere/at/all", path) }, fault.Unsafe},
	} {
		path := filepath.Join(dir, strings.ReplaceAll(c.name, " ", "_"), "state")
		must(t, os.MkdirAll(filepath.Dir(path), 0o700))
		must(t, c.make(path))
		err := CheckRoot(path, "KUGETSU_DIR")
		if fault.Code(err) != c.code {
			t.Errorf("%s: %v, exit code %d", c.name, err, fault.Code(err))
		}
		if c.code == fault.Unsafe && fault.HintOf(err) == "" {
			t.Errorf("%s: there is no hint", c.name)
		}
		if _, err := os.Stat(path); strings.HasPrefix(c.name, "missing") && err == nil {
			t.Errorf("%s: the folder was made, so --help would make one", c.name)
		}
	}
}

func folder(mode os.FileMode) func(string) error {
	return func(path string) error {
		if err := os.Mkdir(path, 0o700); err != nil {
			return err
		}
		return os.Chmod(path, mode) // Mkdir's mode is subject to the umask
	}
}

func link(mode os.FileMode) func(string) error {
	return func(path string) error {
		if err := folder(mode)(path + ".real"); err != nil {
			return err
		}
		return os.Symlink(path+".real", path)
	}
}

func TestFoldersAreMadeForTheirOwnerAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	must(t, MakeDirs(dir, filepath.Join(dir, "c")))
	must(t, MakeDirs(dir, filepath.Join(dir, "c")))
	for path := dir; len(path) > len(filepath.Dir(filepath.Dir(dir))); path = filepath.Dir(path) {
		info, err := os.Stat(path)
		must(t, err)
		if info.Mode().Perm() != 0o700 {
			t.Errorf("%s has the mode %o", path, info.Mode().Perm())
		}
	}
}

func TestParentThatOthersMayWriteToIsTold(t *testing.T) {
	top := t.TempDir()
	at := func(name string) string { return filepath.Join(top, name) }
	for name, mode := range map[string]os.FileMode{"mine": 0o755, "all": 0o777, "group": 0o775, "sticky": 0o777 | os.ModeSticky} {
		must(t, os.MkdirAll(at(name+"/a/b"), 0o700))
		must(t, os.Chmod(at(name), mode))
	}
	must(t, os.Symlink(at("all/a"), at("mine/link")))
	must(t, os.Symlink(at("mine/a"), at("all/link")))
	for _, c := range []struct{ dir, why string }{
		{"mine/a/b", ""},
		{"mine/not/there/yet", ""},
		{"all/a/b", "others may write to " + at("all") + " (mode 0777)"},
		{"all/not/there/yet", "others may write to " + at("all") + " (mode 0777)"},
		{"group/a", "others may write to " + at("group") + " (mode 0775)"},
		{"sticky/a/b", ""},
		{"mine/link/b", "others may write to " + at("all") + " (mode 0777)"},
		{"all/link", "others may write to " + at("all") + " (mode 0777)"},
	} {
		if got := strings.Join(Above(at(c.dir)), "; "); got != c.why {
			t.Errorf("%s: %q, want %q", c.dir, got, c.why)
		}
	}
	if os.Geteuid() != 0 {
		t.Log("the folder of another user's is not tried: only root can give one away")
		return
	}
	must(t, os.Lchown(at("sticky"), 12345, -1))
	if got := Above(at("sticky/a")); len(got) != 1 || got[0] != at("sticky")+" belongs to uid 12345" {
		t.Errorf("%v", got)
	}
}
