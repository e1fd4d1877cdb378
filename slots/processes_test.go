package slots

import (
	"os"
	"path/filepath"
	"testing"
)

// A copy of a state folder has the same runs. A process that names a folder which is no such copy is not left alone for that.
func TestProcessesOfACopiedFolderAreToldFromOurs(t *testing.T) {
	d, copied, left := newDir(t), newDir(t), newDir(t)
	must(t, d.ClaimRun(someRun))
	must(t, copied.ClaimRun(someRun))
	must(t, os.MkdirAll(filepath.Join(left.tmps(), "1"), 0o700)) // by an agent whose folder was moved away from there
	link := filepath.Join(t.TempDir(), "link")
	must(t, os.Symlink(string(d), link))
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	elsewhere := d.Processes(someRun).Elsewhere
	for home, want := range map[string]bool{
		string(d): false, link: false, string(copied): true, string(left): false, file: false, "/dev/null": false,
		filepath.Join(string(d), "none"): false, "relative": false, "": false,
	} {
		if elsewhere(home) != want {
			t.Errorf("%q: %t", home, !want)
		}
	}
}
