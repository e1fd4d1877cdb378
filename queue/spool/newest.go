package spool

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Newest lists the n names in a folder whose files were written last, the newest first, and says how many there are. It
// counts the names that keep accepts, which is called for one name at a time. It opens no file, but asks for the time of each: that is
// most of what it takes, so all processors ask. No other order of the names tells the newest: an old item may be settled last.
func Newest(dir string, n int, keep func(name string) bool) (newest []string, all int, err error) {
	d, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, 0, wrap("list", dir, err)
	}
	defer d.Close()
	l := listing{dir: dir, d: d, fd: int(d.Fd()), keep: keep}
	parts := make([]part, min(runtime.GOMAXPROCS(0), mostAsking))
	var asking sync.WaitGroup
	for i := range parts {
		asking.Go(func() { parts[i].err = parts[i].ask(&l, n) })
	}
	asking.Wait()
	var whole part
	for _, p := range parts {
		if p.err != nil {
			return nil, 0, p.err
		}
		whole.first, all = append(whole.first, p.first...), all+p.all
	}
	whole.keepNewest(n)
	for _, f := range whole.first {
		newest = append(newest, f.name)
	}
	return newest, all, nil
}

const (
	mostAsking = 8   // more than so many ask no faster: the names are read one after the other
	atOnce     = 256 // so many names are read before their times are asked for
)

// listing is a folder that several read together.
type listing struct {
	dir  string
	mu   sync.Mutex
	d    *os.File
	fd   int
	keep func(name string) bool
}

// next reads more names, and returns those that keep accepts. The error is io.EOF where there are no more.
func (l *listing) next() ([]string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	names, err := l.d.Readdirnames(atOnce)
	return slices.DeleteFunc(names, func(name string) bool { return !l.keep(name) }), err
}

type written struct {
	name string
	at   time.Time
}

// part is what one has seen of a listing.
type part struct {
	first []written // the n newest of the files that were seen, and up to n more files that were not compared with these yet
	all   int       // how many were seen
	err   error
}

func (p *part) keepNewest(n int) {
	slices.SortFunc(p.first, func(a, b written) int {
		return cmp.Or(b.at.Compare(a.at), cmp.Compare(b.name, a.name)) // equal times: the younger id
	})
	p.first = p.first[:min(n, len(p.first))]
}

// ask asks for the times of the files that it gets of a listing, until there are no more.
func (p *part) ask(l *listing, n int) error {
	var bound time.Time // no file that is older than this belongs to the n newest
	for {
		names, err := l.next()
		for _, name := range names {
			var st unix.Stat_t
			err := unix.Fstatat(l.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
			for errors.Is(err, unix.EINTR) {
				err = unix.Fstatat(l.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
			}
			if errors.Is(err, fs.ErrNotExist) { // removed or renamed meanwhile
				continue
			}
			if err != nil {
				return wrap("stat", l.dir+"/"+name, err)
			}
			p.all++
			if one := (written{name, time.Unix(st.Mtim.Unix())}); !one.at.Before(bound) {
				p.first = append(p.first, one)
			}
			if n > 0 && len(p.first) == 2*n {
				p.keepNewest(n)
				bound = p.first[n-1].at
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return wrap("list", l.dir, err)
		}
	}
}

// Each calls do for each number below n, on all processors and in any order: to read many files.
func Each(n int, do func(i int)) {
	var next atomic.Int64
	var reading sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), n) {
		reading.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	reading.Wait()
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
