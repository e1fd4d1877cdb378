package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"kugetsu/queue/fault"
)

// CheckRoot refuses a folder that another user could change under us: the state folder, and those of the queue, wherever a
// setting puts them. An item in it is run as this user. It must be a folder (a symbolic link to one will do) that belongs to
// the effective user and that no other may write to. One that is not there yet is fine. Setting is the name of what says
// where the folder is. The error asks for exit code 77.
func CheckRoot(dir, setting string) error {
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
		return fault.New(fault.Unsafe, "set "+setting+" to a folder of your own", "%s is not a folder", dir)
	}
	if uid, ok := Owner(info); ok && uid != os.Geteuid() {
		return fault.New(fault.Unsafe, "run kugetsu as the user the folder belongs to, or set "+setting,
			"%s belongs to uid %d, not to uid %d", dir, uid, os.Geteuid())
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fault.New(fault.Unsafe, "chmod 700 "+dir, "others may write to %s (mode %04o)", dir, info.Mode().Perm())
	}
	return nil
}

// Above says of each folder above dir why another user could put a folder of his own in the place of ours: he may write to it,
// and it is not sticky as /tmp is, or it belongs to him. Above a link that is both the folders above it and those above what
// it leads to.
func Above(dir string) (why []string) {
	paths := []string{dir}
	if real, err := filepath.EvalSymlinks(dir); err == nil && real != dir {
		paths = append(paths, real)
	}
	for _, path := range paths {
		for up := filepath.Dir(path); ; up = filepath.Dir(up) {
			if reason := exposed(up); reason != "" && !slices.Contains(why, reason) {
				why = append(why, reason)
			}
			if up == filepath.Dir(up) {
				break
			}
		}
	}
	return why
}

// exposed says why others may rename what is in a folder, or "". A link counts as what it leads to, and as its owner's.
func exposed(dir string) string {
	info, err := os.Stat(dir)
	link, linkErr := os.Lstat(dir)
	if err != nil || linkErr != nil {
		return "" // it is not there yet, or what uses it will say why not
	}
	for _, info := range []fs.FileInfo{link, info} {
		if uid, ok := Owner(info); ok && uid != os.Geteuid() && uid != 0 {
			return fmt.Sprintf("%s belongs to uid %d", dir, uid)
		}
	}
	if info.Mode().Perm()&0o022 != 0 && info.Mode()&os.ModeSticky == 0 {
		return fmt.Sprintf("others may write to %s (mode %04o)", dir, info.Mode().Perm())
	}
	return ""
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

// SameFolder says whether two paths lead to one folder. What cannot be looked at is another.
func SameFolder(a, b string) bool {
	x, errA := os.Stat(a)
	y, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(x, y)
}
