package queue

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"kugetsu/queue/outcome"
)

// golden is part of a state folder that a released version wrote: items in every state, sessions, holds, events, settings.
// The files are never made anew. What reads them must go on reading them, and write them back byte for byte.
const golden = "testdata/golden"

func TestItemsOfAReleasedVersionAreReadAndWrittenByteForByte(t *testing.T) {
	q := newQueue(t, time.Now)
	var states []State
	var outcomes []outcome.Outcome
	for _, dir := range []string{"items", "finished"} {
		entries, err := list(filepath.Join(golden, "queue", dir))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			it, err := q.Load(e)
			if err != nil {
				t.Errorf("%s is not read: %v", e.ID, err)
				continue
			}
			states = append(states, it.State)
			for _, r := range it.History {
				outcomes = append(outcomes, r.Outcome)
			}
			want, err := os.ReadFile(e.Path)
			if err != nil {
				t.Fatal(err)
			}
			e.Path = filepath.Join(q.dir(Dev), filepath.Base(e.Path))
			if err := q.save(e, it); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(e.Path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s was\n%sand is written as\n%s", e.ID, want, got)
			}
		}
	}
	for _, s := range States {
		if !slices.Contains(states, s) {
			t.Errorf("no item is %s", s)
		}
	}
	for _, o := range []outcome.Outcome{outcome.OK, outcome.Failed, outcome.Denied, outcome.StartFailed, outcome.Timeout, outcome.UsageLimit, outcome.Auth, outcome.Outage, outcome.Lost, outcome.Void} {
		if !slices.Contains(outcomes, o) {
			t.Errorf("no run ended as %s", o)
		}
	}
}
