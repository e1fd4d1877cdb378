package spool

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestFolderIsProbedAndLeftAsItWas(t *testing.T) {
	dir := t.TempDir()
	must(t, Probe(dir))
	names, err := List(dir)
	must(t, err)
	if len(names) != 0 {
		t.Errorf("the probe left %v", names)
	}
	if err := Probe(filepath.Join(dir, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder that is missing: %v", err)
	}
}

func TestModeOfWhatALinkLeadsToStays(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	must(t, os.WriteFile(file, nil, 0o600))
	must(t, os.Chmod(file, 0o644)) // whatever the umask is
	must(t, os.Symlink(file, link))
	if err := Chmod(link, 0o600); !errors.Is(err, ErrBad) {
		t.Errorf("a link: %v", err)
	}
	info, err := os.Stat(file)
	must(t, err)
	if info.Mode().Perm() != 0o644 {
		t.Errorf("the file behind the link has mode %o", info.Mode().Perm())
	}
	must(t, Chmod(file, 0o600))
	if info, err = os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file itself has mode %v, %v", info.Mode(), err)
	}
}
