package settings

import (
	"os"
	"testing"
	"time"
)

// The file is part of a state folder that a released version wrote: see package queue's test.
func TestSettingsOfAReleasedVersionAreRead(t *testing.T) {
	data, err := os.ReadFile("../../queue/testdata/golden/config")
	if err != nil {
		t.Fatal(err)
	}
	got, source := read(t, string(data))
	if err := source.Err(got); err != nil {
		t.Fatal(err)
	}
	want := *defaults(t)
	want.MaxAgents, want.RetryDelay, want.ArgsClaude = 4, 90*time.Second, "--model 'x y'"
	if *got != want {
		t.Errorf("the settings are\n%+v, not\n%+v", *got, want)
	}
}
