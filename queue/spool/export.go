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

// Export makes or replaces a file outside of the state folder, which a person named, as Write does it: a reader sees the old file
// or the new one, whole. Unlike a state file, it is made with the mode of any new file, and one that is there keeps its mode: others
// may be meant to read it. Of a symbolic link, the file that it leads to is replaced. Anything but a regular file is refused, and a file
// in one of the folders that are kugetsu's own, wherever a link leads: it would replace a state file. A file system that does not answer
// is given up on.
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

// Exported is when a file outside of the state folder was written; the zero time where there is none.
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
	if err != nil { // it may be set later, where the call was given up on
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

// sweepExport removes the temp files of the same file that a crash left. The folder is not ours, so no other is touched; and a
// failure leaves them for the next time.
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
