package slots

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kugetsu/queue/spool"
)

// golden is part of a state folder that a released version wrote: see package queue's test.
const golden = Dir("../queue/testdata/golden")

func TestFilesOfAReleasedVersionAreReadAndWrittenByteForByte(t *testing.T) {
	home := Dir(t.TempDir())
	if err := home.Make(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		dir, file string
		copy      func(name string) error
	}{
		{"sessions", ".json", func(name string) error {
			s, err := golden.ReadSession(name)
			if err != nil {
				return err
			}
			return home.WriteSession(name, s)
		}},
		{"slots", ".json", func(slot string) error {
			in, err := golden.ReadIntent(slot)
			if err != nil {
				return err
			}
			return home.WriteIntent(slot, *in)
		}},
		{"kept", ".json", func(session string) error {
			rec, err := golden.readKept(session)
			if err != nil {
				return err
			}
			return home.writeKept(session, rec)
		}},
		{"agents", ".json", func(preset string) error {
			known, err := golden.known(preset).Read()
			if err != nil {
				return err
			}
			return home.known(preset).Write(known)
		}},
		{"runs", "/result.json", func(run string) error {
			r, err := golden.ReadResult(run)
			if err != nil {
				return err
			}
			if err := home.ClaimRun(run); err != nil {
				return err
			}
			return home.writeResult(run, *r)
		}},
	} {
		files, err := spool.List(filepath.Join(string(golden), c.dir))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files: %v", c.dir, len(files), err)
		}
		for _, file := range files {
			name := strings.TrimSuffix(file, c.file)
			path := filepath.Join(c.dir, name+c.file)
			if err := c.copy(name); err != nil {
				t.Errorf("%s: %v", path, err)
				continue
			}
			want, got := read(t, filepath.Join(string(golden), path)), read(t, filepath.Join(string(home), path))
			if got != want {
				t.Errorf("%s was\n%s\nand is written as\n%s", path, want, got)
			}
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
