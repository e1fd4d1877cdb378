package session

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

// inspectLimit limits the inspection of all worktrees: a list with gaps is better than none.
const inspectLimit = 5 * time.Second

// Inspected is the result for one session's worktree. A field is nil if its value could not be found out in time.
type Inspected struct {
	Holding *worktree.Holding
	Size    *int64 // bytes on disk, of the worktree alone: the clone is shared
	Err     error  // why Holding is nil
}

// Inspect inspects the worktrees of sessions, several at once and without a lock, so the result may be outdated when it is shown. With a
// bad configuration only the sizes are found.
func (k *Keeper) Inspect(ctx context.Context, sessions map[string]*slots.Session) map[string]Inspected {
	ctx, cancel := context.WithTimeout(ctx, inspectLimit)
	defer cancel()
	seen := map[string]Inspected{}
	var mu sync.Mutex
	var all sync.WaitGroup
	atOnce := make(chan struct{}, 2*runtime.NumCPU()) // git waits for the disk half of the time
	for name, s := range sessions {
		all.Go(func() {
			atOnce <- struct{}{}
			defer func() { <-atOnce }()
			one := k.inspect(ctx, name, s)
			mu.Lock()
			defer mu.Unlock()
			seen[name] = one
		})
	}
	all.Wait()
	return seen
}

func (k *Keeper) inspect(ctx context.Context, name string, s *slots.Session) (one Inspected) {
	if size, err := diskUse(ctx, s.Worktree); err == nil {
		one.Size = &size
	}
	ref, err := issueref.FromSession(name)
	if err != nil {
		return one // the PM agent's worktree is a plain folder
	}
	p, err := k.at(ctx, ref, nil)
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

// diskUse is the disk space that a folder takes, in bytes.
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
