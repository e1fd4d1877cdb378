package spool

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestExportReplacesTheWholeFileAndKeepsItsMode(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "page.html")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(Export(path, []byte("one")))
	must(os.Chmod(path, 0o604))
	reader, err := os.Open(path)
	must(err)
	defer reader.Close()
	left, other := filepath.Join(dir, ".page.html.tmp17"), filepath.Join(dir, ".mail.tmp18")
	for _, name := range []string{left, other} {
		must(os.WriteFile(name, nil, 0o600))
		must(os.Chtimes(name, time.Now(), time.Now().Add(-2*TempAge)))
	}
	must(Export(path, []byte("two, and longer")))

	data, err := os.ReadFile(path)
	must(err)
	info, err := os.Stat(path)
	must(err)
	if string(data) != "two, and longer" || info.Mode().Perm() != 0o604 {
		t.Errorf("%q, mode %v", data, info.Mode())
	}
	old := make([]byte, 10)
	if n, _ := reader.Read(old); string(old[:n]) != "one" {
		t.Errorf("a process that has the old file open reads %q", old[:n])
	}
	names, err := List(dir)
	must(err)
	if want := []string{".mail.tmp18", "page.html"}; !slices.Equal(names, want) { // another program's file stays
		t.Errorf("%q", names)
	}
}

func TestExportMakesAFileAsAnyProgramDoes(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "any"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := Export(filepath.Join(dir, "page.html"), nil); err != nil {
		t.Fatal(err)
	}
	any, _ := os.Stat(filepath.Join(dir, "any"))
	page, err := os.Stat(filepath.Join(dir, "page.html"))
	if err != nil || page.Mode() != any.Mode() {
		t.Errorf("%v, %v", page.Mode(), err)
	}
}

func TestExportFollowsALinkAndRefusesWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(target, nil, 0o600), os.Symlink("target", link), Export(link, []byte("page"))); err != nil {
		t.Fatal(err)
	}
	if data, _ := os.ReadFile(target); string(data) != "page" {
		t.Errorf("%q", data)
	}
	if info, _ := os.Lstat(link); info.Mode().Type() != os.ModeSymlink {
		t.Error("the link was replaced")
	}
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, fifo, "/dev/null"} {
		if err := Export(path, nil); err == nil {
			t.Errorf("%s was replaced", path)
		}
	}
}
