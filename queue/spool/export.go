package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/natefinch/atomic"
)

// Export makes or replaces a file outside of the state folder, at a path that a person named. As with Write, a reader sees the
// whole old file or the whole new one. Unlike a state file, a new file gets the mode of any new file. A file that is there keeps
// its mode, since others may be meant to read it. If the path is a symbolic link, Export replaces the file that the link leads to.
// It refuses anything but a regular file. It also refuses a file in own, the folders of kugetsu, wherever a link leads, since it
// would replace a state file there. A file system that does not answer is given up on: see Answered.
func Export(path string, data []byte, own ...string) error {
	return Answered(path, func() error { return export(path, data, own) })
}

// Within is the first of some folders in which a file lies, or would lie, by its real path; "" for none.
func Within(path string, folders ...string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	if to, err := filepath.EvalSymlinks(path); err == nil {
		path = to
	} else if to, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		path = filepath.Join(to, filepath.Base(path))
	}
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		for _, folder := range folders {
			if folder != "" && (SameFolder(dir, folder) || dir == filepath.Clean(folder)) {
				return folder
			}
		}
		if dir == filepath.Dir(dir) {
			return ""
		}
	}
}

// Exported is the time at which a file outside of the state folder was written; the zero time if there is none.
func Exported(path string) (at time.Time, err error) {
	err = Answered(path, func() error {
		info, err := os.Stat(path)
		if err == nil {
			at = info.ModTime()
		} else if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return wrap("stat", path, err)
	})
	if err != nil { // a call that was given up on may set at later
		return time.Time{}, err
	}
	return at, nil
}

func export(path string, data []byte, own []string) error {
	if folder := Within(path, own...); folder != "" {
		return wrap("write", path, fmt.Errorf("it lies in %s, where kugetsu keeps its own files", folder))
	}
	if to, err := filepath.EvalSymlinks(path); err == nil {
		path = to
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return wrap("write", path, err)
	case !info.Mode().IsRegular():
		return wrap("write", path, errors.New("it is there and is not a regular file"))
	}
	tmp, err := exportTemp(path, info, data)
	if err != nil {
		return err
	}
	if err := atomic.ReplaceFile(tmp, path); err != nil {
		return errors.Join(wrap("rename", path, err), os.Remove(tmp))
	}
	sweepExport(path)
	return SyncDir(filepath.Dir(path))
}

// exportTemp writes a temp file beside path, with the mode of the file that is there.
func exportTemp(path string, there fs.FileInfo, data []byte) (name string, err error) {
	name = filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s.tmp%d", filepath.Base(path), rand.Uint64()))
	tmp, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return "", wrap("create", path, err)
	}
	if there != nil {
		err = tmp.Chmod(there.Mode().Perm())
	}
	if err == nil {
		_, err = tmp.Write(data)
	}
	if err == nil {
		err = tmp.Sync()
	}
	if closeErr := tmp.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return "", errors.Join(wrap("write", path, err), os.Remove(name))
	}
	return name, nil
}

// sweepExport removes the temp files of the file at path that a crash left. It touches no other file, since the folder is not
// kugetsu's. If it fails, the next Export tries again.
func sweepExport(path string) {
	names, _ := List(filepath.Dir(path))
	for _, name := range names {
		if !IsTemp(name) || !strings.HasPrefix(name, "."+filepath.Base(path)+".tmp") {
			continue
		}
		left := filepath.Join(filepath.Dir(path), name)
		if info, err := os.Lstat(left); err == nil && info.Mode().IsRegular() && time.Since(info.ModTime()) > TempAge {
			_ = os.Remove(left)
		}
	}
}
