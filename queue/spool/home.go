package spool

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"kugetsu/queue/fault"
)

// CheckHome refuses a state folder that somebody else could change under us: it must be a folder (a symbolic link to
// one will do) that belongs to the effective user and that nobody else may write to. One that is not there yet is fine.
// The error asks for exit code 77.
func CheckHome(dir string) error {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if link, linkErr := os.Readlink(dir); linkErr == nil {
			return fault.New(fault.Unsafe, "make the folder, mode 700, or remove the link", "%s is a link to %s, which is not there", dir, link)
		}
		return nil
	}
	if err != nil {
		return wrap("stat", dir, err)
	}
	if !info.IsDir() {
		return fault.New(fault.Unsafe, "set KUGETSU_DIR to a folder of your own", "%s is not a folder", dir)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && int(stat.Uid) != os.Geteuid() {
		return fault.New(fault.Unsafe, "run kugetsu as the user the folder belongs to, or set KUGETSU_DIR",
			"%s belongs to uid %d, not to uid %d", dir, stat.Uid, os.Geteuid())
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fault.New(fault.Unsafe, "chmod 700 "+dir, "others may write to %s (mode %04o)", dir, info.Mode().Perm())
	}
	return nil
}

// MakeDirs makes the folders that are missing, mode 0700, durably: an item published in a folder whose own name a power
// cut takes back would be lost with it. A parent comes before its children.
func MakeDirs(dirs ...string) error {
	for _, dir := range dirs {
		there, err := Exists(dir)
		if err != nil {
			return err
		}
		if there {
			continue
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return wrap("mkdir", dir, err)
		}
		if err := SyncDir(filepath.Dir(dir)); err != nil {
			return err
		}
	}
	return nil
}
