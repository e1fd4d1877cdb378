package settings

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzConfig: a config file is settings, or a bounded error that says which lines are wrong.
func FuzzConfig(f *testing.F) {
	for _, data := range []string{"MAX_ATTEMPTS=3\n", "# x\nA=b\n", "A=$(touch x)\n", "x\nx\nx\n", "A='b\n", "A=\"\\u\n", "\x00\xff\n", strings.Repeat("x\n", 1000),
		"PATH=~/bin\n", "=\n", "A=\x1b[2J\n"} {
		f.Add([]byte(data))
	}
	home := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(filepath.Join(home, "config"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		s := Open(home, true)
		if len(s.problems) > maxProblems+1 {
			t.Errorf("%d problems", len(s.problems))
		}
		for key, value := range s.file {
			if key == "" || !strings.Contains(string(data), key) {
				t.Errorf("%q=%q", key, value)
			}
		}
		// A value that only a shell would expand is always reported.
		if strings.Contains(string(data), "$(") && !strings.ContainsAny(string(data), "'#\\") && len(s.file) > 0 && strings.HasPrefix(string(data), "A=$(") && len(s.problems) == 0 {
			t.Errorf("%q was taken as %q", data, s.file)
		}
	})
}
