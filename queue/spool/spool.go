// Package spool makes every change of the state folder, and reads every file in it.
//
// Nothing else in kugetsu creates, replaces, renames or removes a state file, so the rules below hold everywhere:
//
//   - A file's content changes only as a whole: temp file, fsync, rename, fsync of the folder. Without the last
//     step a power cut on ext4, xfs and btrfs takes back a rename that had already been reported as done.
//   - A new file is published with link(2), which cannot overwrite another.
//   - A file is read only if it is a regular file of at most MaxFile bytes. It is opened so that a FIFO cannot hang
//     kugetsu and a symbolic link is not followed. A file that the user writes may be a link: see ReadUser.
//   - Only ENOENT means absent. Any other error means unknown, and unknown is never taken for absent.
//
// A crash can leave temp files (never a half-written file under a real name); Sweep removes them by age.
package spool

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/natefinch/atomic"
	"golang.org/x/sys/unix"

	"kugetsu/queue/fault"
	"kugetsu/queue/pattern"
)

// MaxFile is the size in bytes above which a state file is not read. It must be above the largest file that is
// written: an item, which package queue keeps below it.
const MaxFile = 1 << 20

// ErrBad is wrapped by the error of Read where the path leads to something that kugetsu never writes there: a FIFO, a
// symbolic link, a folder, a file that is too large. The caller may quarantine it.
var ErrBad = errors.New("not a state file")

// ErrNewer is wrapped by the error for a file of a version that this code does not know. Such a file is neither quarantined
// nor written.
var ErrNewer = errors.New("written by a newer kugetsu")

// Error is a failed operation on the state folder. It asks for exit code 75: the cause may pass, as a full disk does.
type Error struct {
	Op, Path string
	Err      error
}

func (e *Error) Error() string { return fmt.Sprintf("%s %s: %v", e.Op, e.Path, cause(e.Err)) }

func (e *Error) Unwrap() error { return e.Err }

// ExitCode is fault.Temp: nothing was lost, the next tick may succeed.
func (e *Error) ExitCode() int { return fault.Temp }

func wrap(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Op: op, Path: path, Err: err}
}

// cause returns the error inside of an os error, whose path the caller prints itself.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	var le *os.LinkError
	if errors.As(err, &le) {
		return le.Err
	}
	return err
}

// Read returns the content of a state file. The error wraps fs.ErrNotExist where there is none, and ErrBad where the path
// leads to something else.
func Read(path string) ([]byte, error) { return ReadUpTo(path, MaxFile) }

// ReadUpTo is Read for a file that may have up to so many bytes.
func ReadUpTo(path string, most int64) ([]byte, error) {
	f, err := open(path, os.O_RDONLY)
	if err != nil {
		return nil, wrap("read", path, err)
	}
	defer f.Close()
	data, err := readAll(f, most)
	return data, wrap("read", path, err)
}

// Open opens a file of the state folder, with the flags of os.OpenFile. The error is as that of Read.
func Open(path string, flags int) (*os.File, error) {
	f, err := open(path, flags)
	return f, wrap("open", path, err)
}

func open(path string, flags int) (*os.File, error) {
	f, err := os.OpenFile(path, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	switch {
	case errors.Is(err, syscall.ELOOP):
		return nil, fmt.Errorf("%w: a symbolic link", ErrBad)
	case errors.Is(err, syscall.EISDIR):
		return nil, fmt.Errorf("%w: a folder", ErrBad)
	case errors.Is(err, syscall.ENXIO) && flags&os.O_WRONLY == 0:
		return nil, fmt.Errorf("%w: a socket", ErrBad)
	case errors.Is(err, syscall.ENXIO): // or a FIFO without a reader
		return nil, fmt.Errorf("%w: not a regular file", ErrBad)
	case err != nil:
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%w: not a regular file", ErrBad)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// readAll reads a file up to a size.
func readAll(f *os.File, most int64) ([]byte, error) {
	var b bytes.Buffer
	if info, err := f.Stat(); err == nil && info.Size() <= most {
		b.Grow(int(info.Size()) + bytes.MinRead) // ReadFrom grows a buffer that has less room than this left
	}
	_, err := b.ReadFrom(io.LimitReader(f, most+1))
	data := b.Bytes()
	if err == nil && int64(len(data)) > most {
		return nil, fmt.Errorf("%w: larger than %d bytes", ErrBad, most)
	}
	return data, err
}

// ReadJSON reads a state file into v. The error is that of Read, or wraps ErrBad where the content is not JSON of that form.
func ReadJSON(path string, v any) error {
	data, err := Read(path)
	if err != nil {
		return err
	}
	return wrap("read", path, Decode(data, v))
}

// Decode reads the JSON of a state file into v. The error wraps ErrBad where the data is not JSON, or not UTF-8: the json
// package would replace such bytes in silence.
func Decode(data []byte, v any) error {
	if !utf8.Valid(data) {
		return fmt.Errorf("%w: not UTF-8", ErrBad)
	}
	if err := json.Unmarshal(data, v); err != nil { // not a Decoder: that takes trailing garbage
		return fmt.Errorf("%w: %w", ErrBad, err)
	}
	return nil
}

// DecodeVersion is Decode for data with a version, from 1 to version. The error wraps ErrNewer for a higher version, whatever else
// is in the data, and ErrBad for data without one. field points to the field of v that has the version, and may be nil. With field,
// data of a known version is decoded only once.
func DecodeVersion(data []byte, version int, v any, field *int) error {
	err := Decode(data, v)
	if err == nil && field != nil && *field >= 1 && *field <= version {
		return nil
	}
	var head struct {
		V int `json:"v"`
	}
	if err := json.Unmarshal(data, &head); err == nil && head.V > version {
		return fmt.Errorf("version %d: %w", head.V, ErrNewer)
	}
	if err == nil && head.V < 1 {
		err = fmt.Errorf("%w: version %d", ErrBad, head.V)
	}
	return err
}

// Write makes or replaces a file, durably: once it returns nil the new content survives a power cut. After an error the file
// is the old one or the new one, never a mixture.
func Write(path string, data []byte) error {
	if err := replace(path, data, true); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// WriteSoon is Write without durability: a power cut may leave the old content, or an empty file. It is for files that only inform
// and decide nothing. It saves two waits for the disk.
func WriteSoon(path string, data []byte) error { return replace(path, data, false) }

// replace does not use atomic.WriteFile, whose errors do not unwrap to an errno. With these errors a run that meets a full disk
// would count as an attempt.
func replace(path string, data []byte, durable bool) error {
	tmp, err := writeTemp(path, data, durable)
	if err != nil {
		return err
	}
	if err := atomic.ReplaceFile(tmp, path); err != nil {
		return errors.Join(wrap("rename", path, err), os.Remove(tmp))
	}
	return nil
}

// writeTemp writes a temp file beside path.
func writeTemp(path string, data []byte, durable bool) (name string, err error) {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".tmp*")
	if err != nil {
		return "", wrap("create", path, err)
	}
	if _, err = tmp.Write(data); err == nil && durable {
		err = tmp.Sync()
	}
	if closeErr := tmp.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return "", errors.Join(wrap("write", path, err), os.Remove(tmp.Name()))
	}
	return tmp.Name(), nil
}

// Publish makes a new file, durably, and never overwrites one: the error wraps fs.ErrExist where the name is in use.
func Publish(path string, data []byte) error {
	tmp, err := writeTemp(path, data, true)
	if err != nil {
		return err
	}
	defer os.Remove(tmp) // its error does not matter: the file is published, and Sweep removes what is left
	if err := os.Link(tmp, path); err != nil {
		return wrap("create", path, err)
	}
	return SyncDir(filepath.Dir(path))
}

// Create makes an empty file, durably. The error wraps fs.ErrExist where the name is in use.
func Create(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return wrap("create", path, err)
	}
	if err := f.Close(); err != nil {
		return wrap("create", path, err)
	}
	return SyncDir(filepath.Dir(path))
}

// Append adds a line to the end of a file, durably, and makes the file if it is missing. Only one process at a time may append. A
// crash may leave a part of the line. The next call then begins a new line, and a reader must leave out a line that is not whole.
func Append(path string, line []byte) (err error) {
	f, err := open(path, os.O_RDWR|os.O_APPEND|os.O_CREATE)
	if err != nil {
		return wrap("append", path, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return wrap("append", path, err)
	}
	if size := info.Size(); size > 0 {
		end := []byte{0}
		if _, err := f.ReadAt(end, size-1); err != nil {
			return wrap("append", path, err)
		}
		if end[0] != '\n' {
			line = append([]byte{'\n'}, line...)
		}
	}
	if _, err = f.Write(line); err == nil {
		err = f.Sync()
	}
	if err != nil || info.Size() > 0 {
		return wrap("append", path, err)
	}
	return SyncDir(filepath.Dir(path))
}

// Rename moves a file, durably, and replaces any file of the new name.
func Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return wrap("rename", from, err)
	}
	// The new name is synced first: a power cut between the two syncs may leave both names or the new one, but never neither.
	if err := SyncDir(filepath.Dir(to)); err != nil {
		return err
	}
	if filepath.Dir(from) == filepath.Dir(to) {
		return nil
	}
	return SyncDir(filepath.Dir(from))
}

// Remove removes a file, durably. A file that is gone already is no error.
func Remove(path string) error {
	if err := os.Remove(path); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return wrap("remove", path, err)
	}
	return SyncDir(filepath.Dir(path))
}

// Unlink is Remove without durability, for a file that does no harm when a power cut brings it back.
func Unlink(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return wrap("remove", path, err)
	}
	return nil
}

// RemoveAll removes a folder and all in it, durably. A folder that is gone already is no error.
func RemoveAll(path string) error {
	err := os.RemoveAll(path)
	if errors.Is(err, fs.ErrPermission) { // some programs make read-only folders, such as Go's module cache
		err = errors.Join(filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
			if d != nil && d.IsDir() {
				return os.Chmod(p, 0o700) // WalkDir calls this before it reads the folder
			}
			return err
		}), os.RemoveAll(path))
	}
	if err != nil {
		return wrap("remove", path, err)
	}
	return SyncDir(filepath.Dir(path))
}

// Mkdir makes a folder, durably. The error wraps fs.ErrExist where the name is in use: of several callers one succeeds.
func Mkdir(path string) error {
	if err := os.Mkdir(path, 0o700); err != nil {
		return wrap("mkdir", path, err)
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir makes the names in a folder durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return wrap("sync", dir, err)
	}
	err = d.Sync()
	if closeErr := d.Close(); err == nil {
		err = closeErr
	}
	return wrap("sync", dir, err)
}

// Touch sets the time of a file.
func Touch(path string, at time.Time) error { return wrap("touch", path, os.Chtimes(path, at, at)) }

// Changed is when a file was changed last.
func Changed(path string) (time.Time, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return time.Time{}, wrap("stat", path, err)
	}
	return info.ModTime(), nil
}

// Written returns the size of a file, and the time of its last change.
func Written(path string) (size int64, at time.Time, err error) {
	info, err := os.Lstat(path)
	if err != nil {
		return 0, at, wrap("stat", path, err)
	}
	return info.Size(), info.ModTime(), nil
}

// Exists says whether the name is in use. Only ENOENT means no; any other error is returned.
func Exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, wrap("stat", path, err)
}

// List returns the names in a folder, sorted. A missing folder is an error, not an empty one.
func List(dir string) ([]string, error) {
	return list(dir, 0)
}

// ListReal is List for a folder that kugetsu made. The error wraps ErrBad where something else is in its place, a symbolic
// link too.
func ListReal(dir string) ([]string, error) {
	names, err := list(dir, unix.O_NOFOLLOW)
	if errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP) {
		err = wrap("list", dir, fmt.Errorf("%w: not a folder", ErrBad))
	}
	return names, err
}

// Unsorted is List in any order.
func Unsorted(dir string) ([]string, error) { return names(dir, 0) }

func list(dir string, flags int) ([]string, error) {
	names, err := names(dir, flags)
	slices.Sort(names)
	return names, err
}

func names(dir string, flags int) ([]string, error) {
	d, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY|flags, 0) // a FIFO must not hang us
	if err != nil {
		return nil, wrap("list", dir, err)
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, wrap("list", dir, err)
	}
	return names, nil
}

// temp matches the names that writeTemp gives.
var temp = pattern.Lazy(`^\..+\.tmp\d+$`)

// IsTemp says whether a name is that of a temp file of Write or Publish.
func IsTemp(name string) bool { return temp().MatchString(name) }

// TempAge is how old a temp file must be before Sweep removes it. It must be well above the time that any process needs
// between creating a temp file and renaming it, on a slow disk too.
const TempAge = time.Hour

// Sweep removes the temp files that a crashed writer left in a folder. A file must be older than TempAge, and older than the
// last sweep: a clock that was set forward makes a file look old while it is being written.
func Sweep(dir string, now, last time.Time) error {
	names, err := List(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		if !IsTemp(name) {
			continue
		}
		path := filepath.Join(dir, name)
		info, err := os.Lstat(path)
		if err == nil && info.Mode().IsRegular() && now.Sub(info.ModTime()) > TempAge && info.ModTime().Before(last) {
			err = os.Remove(path)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, wrap("sweep", path, err))
		}
	}
	return errors.Join(errs...)
}
