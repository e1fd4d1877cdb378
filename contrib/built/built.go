// Package built builds the program under test, once for all packages, and gives the PATH that it is tried with.
package built

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	_ "kugetsu/tick/command" // the program is made of it: go test believes no cached result after a change there
)

// Raced says whether the test has the race detector.
func Raced() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// Program is the path of the program under test, which is called kugetsu. It has the race detector if the test has it, else it is
// static, as a release is: that starts in two thirds of the time, and a dynamic linker has system calls of its own. With -short it is
// as the tests are, whose packages need not be compiled again for it. It is linked without what a debugger needs.
var Program = sync.OnceValues(func() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	kind, flags, env := "static", []string(nil), append(os.Environ(), "CGO_ENABLED=0")
	if Raced() {
		kind, flags, env = "race", []string{"-race"}, os.Environ()
	}
	if testing.Short() && !Raced() {
		kind, env = "short", os.Environ()
	}
	// Each copy of the sources has its own folder. Go leaves a program alone that is up to date.
	dir := filepath.Join(cache, "kugetsu-rig", strings.ReplaceAll(strings.Trim(root, "/"), "/", "+"), kind)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	path := filepath.Join(dir, "kugetsu")
	cmd := exec.Command("go", slices.Concat([]string{"build"}, flags, []string{"-ldflags=-w", "-o", path, "kugetsu"})...)
	cmd.Env = env
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

// Install makes the program under test a file, for a world that has only its own files.
func Install(path string) error {
	program, err := Program()
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o755)
	}
	if err != nil {
		return err
	}
	from, err := os.Open(program)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	return errors.Join(err, to.Close())
}

// moduleRoot is the folder of go.mod, from the folder of a test.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	for ; err == nil && dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			_, err := os.Stat(filepath.Join(dir, "main.go")) // so that go test knows of it, as of what is imported above
			return dir, err
		}
	}
	return "", errors.Join(err, errors.New("no go.mod above the folder of the test"))
}
