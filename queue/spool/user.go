package spool

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"syscall"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// ErrUnusable is wrapped by the error of ReadUser where the user must correct the file.
var ErrUnusable = errors.New("it cannot be used")

// unusable is an ErrUnusable whose text is the reason alone.
type unusable struct{ error }

func (unusable) Is(target error) bool { return target == ErrUnusable }

func refuse(path, format string, args ...any) error {
	return wrap("read", path, unusable{fmt.Errorf(format, args...)})
}

// ReadUser returns the content of a file that the user writes: config, env files, prompts, repos.json. Such a file may be a link,
// as dotfiles and mounted secrets are, to a regular file that belongs to the user or to root. A file that all users may write to is
// refused, since its text ends up in the environment of programs. The error wraps fs.ErrNotExist if there is no file. It does not
// if a link leads to none: settings that are not mounted yet must not count as settings that were left out.
func ReadUser(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a FIFO must not hang us
	if errors.Is(err, fs.ErrNotExist) {
		if to, linkErr := os.Readlink(path); linkErr == nil {
			return nil, refuse(path, "it is a link to %s, which is not there", to)
		}
	}
	switch {
	case errors.Is(err, syscall.ELOOP):
		return nil, refuse(path, "it is a link to itself")
	case errors.Is(err, syscall.ENXIO):
		return nil, refuse(path, "it is a socket")
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.ENOTDIR): // this does not pass by itself
		return nil, refuse(path, "%w", cause(err))
	case err != nil:
		return nil, wrap("read", path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, wrap("read", path, err)
	}
	if err := trusted(info); err != nil {
		return nil, refuse(path, "%w", err)
	}
	data, err := readAll(f, MaxFile)
	if errors.Is(err, ErrBad) {
		return nil, refuse(path, "it is larger than %d bytes", MaxFile)
	}
	return data, wrap("read", path, err)
}

// trusted refuses a file that another user may have written.
func trusted(info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return errors.New("it is not a regular file")
	}
	if uid, ok := Owner(info); ok && uid != os.Geteuid() && uid != 0 {
		return fmt.Errorf("it belongs to uid %d, neither to uid %d nor to root", uid, os.Geteuid())
	}
	if info.Mode().Perm()&0o002 != 0 {
		return fmt.Errorf("all users may write to it (mode %04o)", info.Mode().Perm())
	}
	return nil
}

// Owner is the user that a file belongs to; false where the system does not say.
func Owner(info fs.FileInfo) (uid int, ok bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(stat.Uid), true
}

var bom = []byte("\ufeff")

// ReadUserText is ReadUser for a file that must be text. It drops a byte order mark at the beginning, which some editors
// leave.
func ReadUserText(path string) ([]byte, error) {
	data, err := ReadUser(path)
	if err != nil {
		return nil, err
	}
	data = bytes.TrimPrefix(data, bom)
	for n, line := range bytes.Split(data, []byte("\n")) {
		switch {
		case !utf8.Valid(line):
			return nil, refuse(path, "line %d is not UTF-8", n+1)
		case bytes.IndexByte(line, 0) >= 0:
			return nil, refuse(path, "line %d holds a NUL byte", n+1)
		}
	}
	return data, nil
}

// ReadUserJSON reads such a file into v. An error about its JSON names the line.
func ReadUserJSON(path string, v any) error {
	data, err := ReadUserText(path)
	if err != nil {
		return err
	}
	if err = json.Unmarshal(data, v); err == nil {
		return nil
	}
	offset := int64(len(data))
	var syntax *json.SyntaxError
	var other *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset
	case errors.As(err, &other):
		offset = other.Offset
		err = fmt.Errorf("want %s, found: %s", kindOf(other.Type), other.Value)
	}
	line := 1 + bytes.Count(data[:min(max(offset-1, 0), int64(len(data)))], []byte("\n"))
	return refuse(path, "line %d: %w", line, err)
}

// kindOf names a type as JSON knows it.
func kindOf(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Map, reflect.Struct:
		return "an object"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	}
	return "a " + t.Kind().String()
}
