package schedule

import (
	"os"
	"path/filepath"
	"testing"
)

// A schedule that an older kugetsu named after a link is found and removed as well.
func TestFolderOfTwoNamesHasOneSchedule(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	byName, err := New(dir, nil, 5)
	if err != nil {
		t.Fatal(err)
	}
	byLink, err := New(link, nil, 5)
	if err != nil {
		t.Fatal(err)
	}
	if byName.Name != byLink.Name || byName.Former != "" || byLink.Former != named(link) || byLink.Dir != link {
		t.Errorf("%+v and %+v", byName, byLink)
	}
	if got := len(byLink.schedulers("")); got != 2*len(kinds()) {
		t.Errorf("%d schedulers are asked", got)
	}
	if got := len(byLink.schedulers(Cron)); got != 2*len(kinds())-1 {
		t.Errorf("%d schedulers are removed", got)
	}
}
