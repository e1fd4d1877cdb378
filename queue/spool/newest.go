package spool

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Newest lists the n names in a folder whose files were written last, the newest first, and says how many names there are. It
// counts the names that keep accepts, and opens no file: a folder of ten thousand costs a few milliseconds.
func Newest(dir string, n int, keep func(name string) bool) (newest []string, all int, err error) {
	d, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, 0, wrap("list", dir, err)
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, 0, wrap("list", dir, err)
	}
	type written struct {
		name string
		at   time.Time
	}
	newestFirst := func(a, b written) int {
		return cmp.Or(b.at.Compare(a.at), cmp.Compare(b.name, a.name)) // equal times: the younger id
	}
	// first has the n newest of the files that were seen, and up to n more files that were not compared with these yet.
	var first []written
	keepNewest := func() {
		slices.SortFunc(first, newestFirst)
		first = first[:min(n, len(first))]
	}
	var bound time.Time // no file that is older than this belongs to the n newest
	at := int(d.Fd())
	for _, name := range names {
		if !keep(name) {
			continue
		}
		var st unix.Stat_t
		err := unix.Fstatat(at, name, &st, unix.AT_SYMLINK_NOFOLLOW)
		for errors.Is(err, unix.EINTR) {
			err = unix.Fstatat(at, name, &st, unix.AT_SYMLINK_NOFOLLOW)
		}
		if errors.Is(err, fs.ErrNotExist) { // removed or renamed meanwhile
			continue
		}
		if err != nil {
			return nil, 0, wrap("stat", dir+"/"+name, err)
		}
		all++
		if one := (written{name, time.Unix(st.Mtim.Unix())}); !one.at.Before(bound) {
			first = append(first, one)
		}
		if n > 0 && len(first) == 2*n {
			keepNewest()
			bound = first[n-1].at
		}
	}
	keepNewest()
	for _, f := range first {
		newest = append(newest, f.name)
	}
	return newest, all, nil
}

// Any says whether a folder has a name that want accepts. It reads no further than the first of them.
func Any(dir string, want func(name string) bool) (bool, error) {
	d, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return false, wrap("list", dir, err)
	}
	defer d.Close()
	for {
		names, err := d.Readdirnames(64)
		if slices.ContainsFunc(names, want) {
			return true, nil
		}
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, wrap("list", dir, err)
		}
	}
}
