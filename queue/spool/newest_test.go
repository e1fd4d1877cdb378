package spool

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestNewestAreThoseOfAllThatWereWrittenLast(t *testing.T) {
	dir := t.TempDir()
	now := time.Now().Truncate(time.Second)
	const files = 60
	var want []string // of files with equal times the greater name comes first
	for n := range files {
		want = append(want, fmt.Sprintf("%02d", files-n))
	}
	must(t, os.WriteFile(filepath.Join(dir, "foreign"), nil, 0o600))
	for _, equal := range []int{1, 3, files} { // so many files have the same time
		for n, name := range want {
			path := filepath.Join(dir, name)
			must(t, os.WriteFile(path, nil, 0o600))
			must(t, os.Chtimes(path, now, now.Add(-time.Duration(n/equal)*time.Minute)))
		}
		for _, n := range []int{0, 1, 2, 5, 29, 30, 31, files, 2 * files} {
			got, all, err := Newest(dir, n, func(name string) bool { return name != "foreign" })
			must(t, err)
			if all != files || !slices.Equal(got, want[:min(n, files)]) {
				t.Errorf("%d, %d of each time: %v of %d, want %v", n, equal, got, all, want[:min(n, files)])
			}
		}
	}
}

func TestSmallestNamesComeFirstHoweverManyAreAskedFor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfN(rapid.StringMatching(`[a-c]{1,3}`), 0, 100).Draw(t, "names")
		stop := rapid.IntRange(0, 101).Draw(t, "stop")
		want := slices.Sorted(slices.Values(names))
		var got []string
		for name := range Smallest(slices.Clone(names)) {
			if len(got) == stop {
				break
			}
			got = append(got, name)
		}
		if want = want[:min(stop, len(want))]; !slices.Equal(got, want) {
			t.Fatalf("%q, want %q", strings.Join(got, " "), strings.Join(want, " "))
		}
	})
}
