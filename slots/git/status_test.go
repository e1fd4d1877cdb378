package git

import (
	"strings"
	"testing"
)

// FuzzStatus: whatever git is said to have printed is read without harm, and no path is made up.
func FuzzStatus(f *testing.F) {
	for _, out := range []string{"# branch.oid (initial)\x00# branch.head main\x00", "1 .M N... 100644 100644 100644 a b a.txt\x00? new\x00! x\x00",
		"u UU N... 1 2 3 4 a b c d.txt\x00", "1\x001 \x00u \x00?\x00#\x00", "? a b\x00"} {
		f.Add(out)
	}
	f.Fuzz(func(t *testing.T, out string) {
		read := StatusReader{Each: func(e Entry) {
			if !strings.Contains(out, e.Path) || strings.Contains(e.Path, "\x00") {
				t.Errorf("%q in %q", e.Path, out)
			}
		}}
		for half := range 2 { // in one piece, and in two
			_, _ = read.Write([]byte(out)[:half*len(out)/2])
			_, _ = read.Write([]byte(out)[half*len(out)/2:])
			read.in.rest = nil
		}
	})
}
