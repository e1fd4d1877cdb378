package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestNewestAreThoseOfAllThatWereWrittenLast(t *testing.T) {
	dir := t.TempDir()
	now := time.Now().Truncate(time.Second)
	const files = 5*atOnce + 7 // several read them together
	var names, want []string
	for n := range files {
		names = append(names, fmt.Sprintf("%04d", n))
		must(t, os.WriteFile(filepath.Join(dir, names[n]), nil, 0o600))
	}
	must(t, os.WriteFile(filepath.Join(dir, "foreign"), nil, 0o600))
	for _, equal := range []int{1, 3, files} { // so many files have the same time
		want = slices.Clone(names) // the order of the times is not that of the names
		rand.Shuffle(files, func(i, j int) { want[i], want[j] = want[j], want[i] })
		for n := 0; n < files; n += equal {
			group := want[n:min(n+equal, files)]
			slices.SortFunc(group, func(a, b string) int { return strings.Compare(b, a) }) // of equal times the greater name comes first
			for _, name := range group {
				must(t, os.Chtimes(filepath.Join(dir, name), now, now.Add(-time.Duration(n)*time.Minute)))
			}
		}
		for _, n := range []int{0, 1, 2, 5, 200, atOnce, files / 2, files, 2 * files} {
			asked := map[string]int{} // keep is called for one name at a time
			got, all, err := Newest(dir, n, func(name string) bool {
				asked[name]++
				return name != "foreign"
			})
			must(t, err)
			if all != files || !slices.Equal(got, want[:min(n, files)]) {
				t.Errorf("%d, %d of each time: %v of %d, want %v", n, equal, got, all, want[:min(n, files)])
			}
			if len(asked) != files+1 || asked[names[0]] != 1 {
				t.Errorf("keep was asked for %d names, %d times for the first", len(asked), asked[names[0]])
			}
		}
	}
}

func TestNewestLacksNoFileThatStaysWhileOthersComeAndGo(t *testing.T) {
	dir := t.TempDir()
	const stay = 3 * atOnce
	for n := range stay {
		must(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("stays%04d", n)), nil, 0o600))
	}
	begun, done, ended := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		for n := 0; ; n++ {
			if n == 1 {
				close(begun)
			}
			select {
			case <-done:
				ended <- nil
				return
			default:
			}
			path := filepath.Join(dir, fmt.Sprintf("goes%d", n%100))
			if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Rename(path, path+".renamed"), os.Remove(path+".renamed")); err != nil {
				if n == 0 {
					close(begun)
				}
				<-done
				ended <- err
				return
			}
		}
	}()
	<-begun
	for range 50 {
		got, all, err := Newest(dir, 2*stay, func(string) bool { return true })
		must(t, err)
		if all != len(got) {
			t.Errorf("%d of %d", len(got), all)
		}
		slices.Sort(got)
		if stayed := slices.DeleteFunc(got, func(name string) bool { return strings.HasPrefix(name, "goes") }); len(stayed) != stay || len(slices.Compact(stayed)) != stay {
			t.Fatalf("%d of %d files that stay", len(stayed), stay)
		}
	}
	close(done)
	must(t, <-ended)
}

func TestNewestOfWhatIsNotAFolderIsAnError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	for path, want := range map[string]error{file: syscall.ENOTDIR, file + "s": fs.ErrNotExist} {
		if _, _, err := Newest(path, 1, func(string) bool { return true }); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", path, err, want)
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
