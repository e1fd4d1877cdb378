package spool

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestFileOfTheUsersMayBeALinkToOneThatCanBeTrusted(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	write := func(name string, mode fs.FileMode) string {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Dir(at(name)), 0o700), os.WriteFile(at(name), []byte("A=1\n"), 0o600), os.Chmod(at(name), mode)); err != nil {
			t.Fatal(err)
		}
		return at(name)
	}
	link := func(to, name string) string {
		t.Helper()
		if err := os.Symlink(to, at(name)); err != nil {
			t.Fatal(err)
		}
		return at(name)
	}
	write("..2026/token", 0o640)
	link("..2026", "..data") // as Kubernetes mounts a secret
	fifo := at("fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	write("secret", 0o600)
	write("all", 0o602)
	for _, c := range []struct{ path, why string }{
		{write("plain", 0o600), ""},
		{write("readable", 0o644), ""},
		{link("..data/token", "mounted"), ""},
		{link("secret", "dotfile"), ""},
		{link("dotfile", "twice"), ""},
		{link("/etc/passwd", "roots"), ""},
		{link("nowhere", "dangling"), "it is a link to nowhere, which is not there"},
		{link("loop", "loop"), "it is a link to itself"},
		{link("all", "toAll"), "all users may write to it (mode 0602)"},
		{at("all"), "all users may write to it (mode 0602)"},
		{fifo, "it is not a regular file"},
		{link("fifo", "toFifo"), "it is not a regular file"},
		{link("/dev/zero", "zero"), "it is not a regular file"},
		{dir, "it is not a regular file"},
		{at("plain/x"), "not a directory"},
	} {
		_, err := ReadUser(c.path)
		if (err != nil) != (c.why != "") || err != nil && (!errors.Is(err, ErrUnusable) || !strings.HasSuffix(err.Error(), ": "+c.why)) {
			t.Errorf("%s: %v, want %q", filepath.Base(c.path), err, c.why)
		}
	}
	if _, err := ReadUser(at("missing")); !errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrUnusable) {
		t.Errorf("a missing one: %v", err)
	}
	// A state file may not be a link.
	if _, err := Read(at("dotfile")); !errors.Is(err, ErrBad) {
		t.Errorf("a state file that is a link: %v", err)
	}
	if os.Geteuid() != 0 {
		t.Log("the file of another user's is not tried: only root can make one")
		return
	}
	if err := os.Chown(at("secret"), 12345, -1); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadUser(at("dotfile")); !errors.Is(err, ErrUnusable) || !strings.Contains(err.Error(), "it belongs to uid 12345") {
		t.Errorf("another user's: %v", err)
	}
}

func TestTextOfAFileOfTheUsersIsToldWithItsLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "repos.json")
	for _, c := range []struct{ text, why string }{
		{`{"a": "b"}`, ""},
		{"\ufeff{\"a\": \"b\"}\r\n", ""},
		{"{\n  \"a\": 5\n}", "line 2: want a string, found: number"},
		{"{\n  \"a\": \"b\",\n}", "line 3: invalid character"},
		{"{\n  \"a\": \"b\"\n", "line 2: unexpected end"},
		{"", "line 1: unexpected end"},
		{"[]", "line 1: want an object, found: array"},
		{"{\"a\":\n\"\xff\"}", "line 2 is not UTF-8"},
		{"{}\n\x00", "line 2 holds a NUL byte"},
	} {
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		var v map[string]string
		err := ReadUserJSON(path, &v)
		if (err != nil) != (c.why != "") || err != nil && (!errors.Is(err, ErrUnusable) || !strings.Contains(err.Error(), path+": "+c.why)) {
			t.Errorf("%q: %v, want %q", c.text, err, c.why)
		}
	}
}
