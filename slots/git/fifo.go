package git

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const (
	// fifoAfter is how long git runs before FIFOs are looked for: most calls end in milliseconds.
	fifoAfter = 2 * time.Second
	// fifoEvery is the pause between two rounds: git may open the next one at any time.
	fifoEvery = 200 * time.Millisecond
	// fifoAgain is the time after which the folders are searched again.
	fifoAgain = 10 * time.Second
)

// freeReaders frees a git that opens a FIFO for reading. Git opens .gitignore, .gitattributes, references and other files of its own
// by name, of whatever type they are, and open(2) of a FIFO waits for a writer for ever. So if git takes long, each FIFO in the folders
// that git reads is opened for writing and closed at once: git reads an empty file.
//
// The FIFOs stay: they are the agent's. A FIFO without a reader is not touched (ENXIO).
func (g *Runner) freeReaders(folders []string) (stop func()) {
	if len(folders) == 0 {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		wait := time.NewTimer(fifoAfter)
		defer wait.Stop()
		var found []string
		var searched time.Time
		said := map[string]bool{}
		for {
			select {
			case <-done:
				return
			case <-wait.C:
			}
			if time.Since(searched) > fifoAgain {
				found, searched = fifos(folders, done), time.Now()
			}
			for _, path := range found {
				fd, err := syscall.Open(path, syscall.O_WRONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC|syscall.O_NOFOLLOW, 0)
				if err != nil {
					continue // no reader, or it is gone
				}
				_ = syscall.Close(fd)
				if !said[path] {
					said[path] = true
					g.Say("%s is a FIFO: git takes it for an empty file", Clean(path))
				}
			}
			wait.Reset(fifoEvery)
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

// fifos finds the FIFOs below some folders. Links are not followed: git opens few of its files through one.
func fifos(folders []string, done <-chan struct{}) (found []string) {
	for _, folder := range folders {
		_ = filepath.WalkDir(folder, func(path string, d os.DirEntry, err error) error {
			select {
			case <-done:
				return fs.SkipAll
			default:
			}
			if err != nil {
				return fs.SkipDir // git cannot list it either
			}
			if d.Type()&fs.ModeNamedPipe != 0 {
				found = append(found, path)
			}
			return nil
		})
	}
	return found
}
