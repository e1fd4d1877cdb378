package git

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Where the clock is set forward, a private git directory that was just made looks like one of a dead process.
func TestPrivateDirectoryThatLooksOldIsMadeAgain(t *testing.T) {
	defer func(before time.Duration) { privateAge = before }(privateAge)
	privateAge = -time.Hour
	g := &Runner{Own: t.TempDir()}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 200 {
				p := &Private{Runner: g}
				if err := p.make(); err != nil {
					t.Error(err)
					return
				}
				if _, err := os.Stat(filepath.Join(p.Dir, "info")); err != nil {
					t.Error(err)
				}
				if err := p.close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}
