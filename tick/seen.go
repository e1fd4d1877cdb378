package tick

import (
	"context"
	"io/fs"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"kugetsu/queue/issueref"
	"kugetsu/slots"
	"kugetsu/slots/worktree"
)

// seeLimit bounds the look at all worktrees: a list of what can be known by then is better than none.
const seeLimit = 5 * time.Second

// Seen is what a look at a session's worktree found; nil is what was not found out in time, or at all.
type Seen struct {
	Holding *worktree.Holding
	Size    *int64 // bytes on the disk, of the worktree alone: the clone is shared
	Err     error  // why not
}

// See looks at the worktrees of sessions, several at once, without a lock: what is seen may be over by the time it is
// shown. Where the configuration is bad nothing is seen.
func (t *Tick) See(ctx context.Context, sessions map[string]*slots.Session) map[string]Seen {
	ctx, cancel := context.WithTimeout(ctx, seeLimit)
	defer cancel()
	seen := map[string]Seen{}
	var mu sync.Mutex
	var all sync.WaitGroup
	places := make(chan struct{}, 2*runtime.NumCPU()) // git waits for the disk half of the time
	for name, s := range sessions {
		all.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			one := t.see(ctx, name, s)
			mu.Lock()
			defer mu.Unlock()
			seen[name] = one
		})
	}
	all.Wait()
	return seen
}

func (t *Tick) see(ctx context.Context, name string, s *slots.Session) (one Seen) {
	if size, err := diskUse(ctx, s.Worktree); err == nil {
		one.Size = &size
	}
	ref, err := issueref.FromSession(name)
	if err != nil {
		return one // the PM agent's is a plain folder
	}
	p, err := t.at(ctx, ref, nil)
	switch {
	case err != nil:
		one.Err = err
	case p.Holding.Bad != nil:
		one.Err = p.Holding.Bad
	default:
		one.Holding = &p.Holding
	}
	return one
}

// diskUse is how much of the disk a folder takes.
func diskUse(ctx context.Context, dir string) (size int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); ok {
			size += int64(stat.Blocks) * 512
		}
		return nil
	})
	return size, err
}
