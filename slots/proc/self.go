package proc

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// self is asked for as the program begins: later another folder may be the working one, another PATH may be set, and the
// file that runs may have been removed by an upgrade.
var self, selfErr = called(os.Args[0])

// Self is the path of this program as it was called, which may be a link: an upgrade turns the link and removes the file
// behind it. So a schedule names the link, and a runner that outlives the upgrade starts its tick by it.
func Self() (string, error) { return self, selfErr }

// called finds the program that a first argument names. A name that leads to another program is not believed.
func called(name string) (string, error) {
	file, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("where am I: %w", err)
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
	return path, nil // where the file is gone already, the name leads to what came in its place
}

// OfGoRun says whether a program was built by go run: it lies in the build's folder or in the cache, and go removes it.
func OfGoRun(path string) bool {
	for dir := filepath.Dir(path); dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if strings.HasPrefix(filepath.Base(dir), "go-build") {
			return true
		}
	}
	return false
}
