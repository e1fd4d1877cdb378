package doctor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kugetsu/slots"
	"kugetsu/tick"
	"kugetsu/tick/settings"
)

func TestFilesForOthersHaveAFolderThatIsOurs(t *testing.T) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	for name, mode := range map[string]os.FileMode{"own": 0o755, "open": 0o777, "sticky": 0o777 | os.ModeSticky, "folder.prom": 0o755} {
		must(os.Mkdir(in(name), 0o755))
		must(os.Chmod(in(name), mode))
	}
	must(os.WriteFile(in("file"), nil, 0o600))
	must(os.Symlink(in("own/real.prom"), in("link.prom")))
	must(os.WriteFile(in("own/real.prom"), nil, 0o600))
	for _, c := range []struct{ path, want string }{
		{"", ""},
		{in("own/kugetsu.prom"), ""},
		{in("link.prom"), ""},
		{in("state/kugetsu.prom"), "where kugetsu keeps its own files"},
		{in("own/kugetsu.txt"), "does not end in .prom"},
		{in("missing/kugetsu.prom"), "the folder " + in("missing") + " is not there"},
		{in("file/kugetsu.prom"), "is not a folder"},
		{in("folder.prom"), "is no regular file"},
		{in("open/kugetsu.prom"), "others may write to " + in("open") + " (mode 0777), and could put a link"},
		{in("sticky/kugetsu.prom"), "others may write to " + in("sticky") + ", and could put a link"},
		{"/proc/kugetsu.prom", "you may not write into /proc"},
	} {
		x := &Exam{check: "exports", Tick: &tick.Tick{Home: slots.Dir(in("state")), Settings: &settings.Settings{MetricsFile: c.path}}}
		if strings.HasPrefix(c.path, "/proc") && os.Geteuid() == 0 {
			continue // root may, as far as the system says
		}
		x.exports()
		var all []string
		for _, f := range x.listed {
			if f.Level != Warn || f.Remedy == "" {
				t.Errorf("%+v", f)
			}
			all = append(all, f.What)
		}
		if got := strings.Join(all, "\n"); (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, not %q", c.path, got, c.want)
		}
	}
}
