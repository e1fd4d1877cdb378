package proc

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// NotInPath is the error of a program that no folder of a PATH has.
type NotInPath struct{ Name, Path string }

func (e *NotInPath) Error() string { return fmt.Sprintf("%s is not in the PATH %q", e.Name, e.Path) }

// LookPath finds a program in the PATH of env; exec would search that of this process. Folders of PATH that are not absolute
// are passed over. A name with a slash is a path, relative to dir.
func LookPath(name string, env []string, dir string) (string, error) {
	if strings.Contains(name, "/") {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		return name, nil
	}
	path := ""
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, "PATH="); ok {
			path = v // the last one counts, as for exec
		}
	}
	for _, d := range filepath.SplitList(path) {
		file := filepath.Join(d, name)
		if info, err := os.Stat(file); filepath.IsAbs(d) && err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return file, nil
		}
	}
	return "", &NotInPath{name, path}
}

// Program is LookPath, and makes sure that this process may run what it found, also for a name that is a path.
func Program(name string, env []string, dir string) (string, error) {
	path, err := LookPath(name, env, dir)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(path)
	if err == nil && (!info.Mode().IsRegular() || unix.Access(path, unix.X_OK) != nil) {
		err = fmt.Errorf("%s is not a program", path)
	}
	return path, err
}

// AbsolutePath is a PATH without the folders that are not absolute: those depend on the working folder, which an agent may have
// filled.
func AbsolutePath(path string) string {
	dirs := slices.DeleteFunc(filepath.SplitList(path), func(d string) bool { return !filepath.IsAbs(d) })
	return strings.Join(dirs, string(filepath.ListSeparator))
}
