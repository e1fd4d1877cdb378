package slots

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"kugetsu/queue/outcome"
)

// A file that is changed after the tick had looked at it, and before the run reads it, costs the item nothing.
func TestRunThatMeetsABadEnvFileIsFreeOfCharge(t *testing.T) {
	d := newDir(t)
	must(t, d.ClaimRun(someRun))
	log, err := openLog(d.LogPath(someRun), LogCap)
	must(t, err)
	path := filepath.Join(string(d), "dev.env")
	must(t, os.WriteFile(path, []byte("A='b\n"), 0o600))
	for name, read := range map[string]func() error{
		"an env file": func() error { _, err := WithFiles(nil, path); return err },
		"a prompt":    func() error { _, err := readPrompt(string(d)); return err },
	} {
		r := &Runner{home: d, name: someRun, log: log, task: &Task{}}
		if err := read(); !r.notStarted(context.Background(), err) || r.result.Outcome != outcome.Void {
			t.Errorf("%s: %q, %v", name, r.result.Outcome, err)
		}
	}
}
