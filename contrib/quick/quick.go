// Package quick saves the tests the time that a disk takes, and git. It imports nothing of kugetsu, so that the tests of every package may use it.
package quick

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"testing/fstest"
)

// memory is where Linux has a file system in memory. needed is what must be free there, in bytes: several times what the tests use.
const (
	memory = "/dev/shm"
	needed = 1 << 30
)

// InMemory runs the tests of a package, with -short with their temporary files in memory, where there is room and programs may run: on
// a disk, the thousands of files that are made, synced and deleted cost as much as the rest. The other tests keep to the disk. A TMPDIR
// has the last word.
type InMemory struct{ *testing.M }

// Run is what a TestMain exits with.
func (m InMemory) Run() int {
	flag.Parse()
	var fs syscall.Statfs_t
	if !testing.Short() || os.Getenv("TMPDIR") != "" || syscall.Statfs(memory, &fs) != nil || fs.Bavail*uint64(fs.Bsize) < needed {
		return m.M.Run()
	}
	dir, err := os.MkdirTemp(memory, "kugetsu-test-*")
	if err != nil { // not for this user
		return m.M.Run()
	}
	defer func() {
		if err := os.RemoveAll(dir); err != nil { // a process of a test goes on
			fmt.Fprintln(os.Stderr, err)
		}
	}()
	program := filepath.Join(dir, "program")
	err = os.WriteFile(program, []byte("#!/bin/sh\n"), 0o700)
	if err == nil && exec.Command(program).Run() == nil { // in a container the file system may be mounted without
		err = os.Setenv("TMPDIR", dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.M.Run()
}

// Read takes a folder into memory, so that many tests get copies (os.CopyFS) of a repository that git made once. It has no links.
func Read(dir string) (fs.FS, error) {
	files := fstest.MapFS{}
	return files, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		file := &fstest.MapFile{Mode: info.Mode()}
		if !d.IsDir() {
			file.Data, err = os.ReadFile(path)
		}
		name, _ := filepath.Rel(dir, path) // path is below it
		files[filepath.ToSlash(name)] = file
		return err
	})
}
