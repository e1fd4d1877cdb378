package proc

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// Self is the path by which this program was called. It may be a link: an upgrade changes the link and removes the file behind
// it. So a schedule names the link, and a runner that outlives the upgrade starts its tick through it. The path is found at the first
// call, and most commands need none. What lives long, or changes the working folder or PATH, calls it when it begins.
var Self = sync.OnceValues(func() (string, error) { return called(os.Args[0]) })

// called finds the path of a program's first argument. A name that leads to another program is ignored.
func called(name string) (string, error) {
	file, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("the path of this program is not known: %w", err)
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return file, nil
	}
	if path, err = filepath.Abs(path); err != nil {
		return file, nil
	}
	named, err := os.Stat(path)
	if err != nil {
		return file, nil
	}
	runs, err := os.Stat(file)
	if err == nil && !os.SameFile(named, runs) {
		return file, nil
	}
	return path, nil // if the file is gone, the name leads to its successor
}

// OfGoRun says whether go run built a program: it lies in the build's folder or in the cache, and go removes it.
func OfGoRun(path string) bool {
	for dir := filepath.Dir(path); dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if strings.HasPrefix(filepath.Base(dir), "go-build") {
			return true
		}
	}
	return false
}
