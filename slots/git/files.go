package git

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Absent says that a file is not there. Any other error says only that the file could not be inspected, and never counts as
// absent: a file that cannot be inspected may be work.
func Absent(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) }

func IsDir(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.IsDir()
}

// PlainWay says whether the folders above a file are folders, as far as they are there.
func PlainWay(dir, name string) (bool, error) {
	for n, b := range []byte(name) {
		if b != '/' {
			continue
		}
		info, err := os.Lstat(filepath.Join(dir, name[:n]))
		if Absent(err) {
			return true, nil
		}
		if err != nil || !info.IsDir() {
			return false, err
		}
	}
	return true, nil
}

// WriteWhole writes a small file so that it is there whole or not at all, whenever the process is killed. It does not wait for the
// disk. It first removes whatever an agent put in the place of the temporary file. A FIFO there would make this process hang under
// the repository's lock. A second name (a hard link) of another file there would make the write empty that file.
func WriteWhole(file, text string) error {
	if err := os.Remove(file + ".new"); err != nil && !Absent(err) {
		return err
	}
	f, err := os.OpenFile(file+".new", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// Same says whether two paths name one directory. A path that leads nowhere is not the same.
func Same(a, b string) (bool, error) {
	x, errA := os.Stat(a)
	y, errB := os.Stat(b)
	for _, err := range []error{errA, errB} {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, &Error{Op: "prepare", Err: err}
		}
	}
	return errA == nil && errB == nil && os.SameFile(x, y), nil
}

// Rel is path as seen from dir.
func Rel(dir, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(dir, path)
}

func OneLine(b []byte) string { return strings.TrimRight(string(b), "\r\n") }

// ErrNotRegular is the error for a FIFO, a folder or a device in the place of a file of git's.
var ErrNotRegular = errors.New("not a regular file")

// OpenRegular opens a file of git's that an agent may have replaced: a FIFO must not hang us, and no link is followed.
func OpenRegular(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is %w", path, ErrNotRegular)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// readStart reads the first bytes of such a file.
func readStart(path string, most int64) ([]byte, error) {
	f, err := OpenRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most))
}

// ReadEnd reads the last bytes of such a file: the logs of git grow, and an agent may make one of any size.
func ReadEnd(path string, most int64) ([]byte, error) {
	f, err := OpenRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > most {
		if _, err := f.Seek(-most, io.SeekEnd); err != nil {
			return nil, err
		}
	}
	return io.ReadAll(io.LimitReader(f, most))
}

// ReadSmall reads such a file. It is an error if the file has more than so many bytes.
func ReadSmall(path string, most int64) ([]byte, error) {
	b, err := readStart(path, most+1)
	if err == nil && int64(len(b)) > most {
		err = fmt.Errorf("%s has more than %d bytes: %w", path, most, ErrTooLong)
	}
	return b, err
}
