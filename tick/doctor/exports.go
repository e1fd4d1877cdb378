package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"kugetsu/queue/spool"
)

// exports checks the folders of the files that ticks write for others. A tick that cannot write one warns, and does its work.
func (x *Exam) exports() {
	for _, e := range []struct{ key, path string }{{"STATUS_PAGE", x.Tick.Settings.StatusPage}, {"METRICS_FILE", x.Tick.Settings.MetricsFile}} {
		if e.path == "" {
			continue
		}
		var whats []string
		err := spool.Answered(e.path, func() (err error) {
			if folder := spool.Within(e.path, x.Tick.Folders()...); folder != "" {
				return fmt.Errorf("%s leads into %s, where kugetsu keeps its own files", e.path, folder)
			}
			whats, err = exported(e.path)
			return err
		})
		remedy := "correct " + e.key + " in " + x.in("config")
		if err != nil {
			x.add(Warn, e.key+": "+err.Error(), remedy+", or see to its folder")
			continue // the file may be writable after all, if only its file system does not answer
		}
		for _, what := range whats {
			x.add(Warn, e.key+": "+what, "put it into a folder that you alone may write to, or chmod go-w there")
		}
		if e.key == "METRICS_FILE" && !strings.HasSuffix(e.path, ".prom") {
			x.add(Warn, e.key+": "+e.path+" does not end in .prom: node_exporter reads no other file", remedy)
		}
	}
}

// exported says why a file cannot be written. If it can be written, exported says how another user could make ticks write another file:
// by a link in its place, which is followed, or by another folder.
func exported(path string) (exposed []string, err error) {
	if to, err := filepath.EvalSymlinks(path); err == nil {
		path = to
	}
	dir := filepath.Dir(path)
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("the folder %s is not there", dir)
	case err != nil:
		return nil, err
	case !info.IsDir():
		return nil, fmt.Errorf("%s is not a folder", dir)
	}
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return nil, fmt.Errorf("you may not write into %s: %w", dir, err)
	}
	if file, err := os.Lstat(path); err == nil && !file.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is there and is no regular file", path)
	}
	for _, why := range spool.Above(path) {
		exposed = append(exposed, why+", and could put a link in the place of "+path)
	}
	if info.Mode()&os.ModeSticky != 0 && info.Mode().Perm()&0o022 != 0 {
		exposed = append(exposed, fmt.Sprintf("others may write to %s, and could put a link in the place of %s before it is there", dir, path))
	}
	return exposed, nil
}
