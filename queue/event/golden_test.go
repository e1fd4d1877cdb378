package event

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// The files belong to the state folder that the test of package queue describes.
func TestEventsOfAReleasedVersionAreReadAndWrittenByteForByte(t *testing.T) {
	from := "../testdata/golden/notifications/new"
	old := Box{New: from}
	events, bad, err := old.List()
	if err != nil || bad > 0 || len(events) == 0 {
		t.Fatalf("%d events, %d files that are none: %v", len(events), bad, err)
	}
	for _, ev := range events {
		dir := t.TempDir()
		box := Box{New: dir, Now: func() time.Time { return ev.At }}
		if err := box.Put(ev); err != nil {
			t.Fatal(err)
		}
		want, errWant := os.ReadFile(filepath.Join(from, ev.Name+".json"))
		got, errGot := os.ReadFile(filepath.Join(dir, ev.Name+".json"))
		if errWant != nil || errGot != nil {
			t.Fatal(errWant, errGot)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s was\n%s\nand is written as\n%s", ev.Name, want, got)
		}
	}
}
