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

// CheckRoot refuses a state folder, or a folder of the queue, that another user could change: its items run as this user.
// The path must lead to a folder, directly or by a symbolic link. The folder must belong to the effective user, and no other
// user may write to it. A folder that is not there yet is fine. setting is the name of the setting that says where the
// folder is. The error asks for exit code 77.
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

// Above lists the folders above dir in which another user could replace dir by a folder of their own, and why. Such a folder belongs to
// another user; or another user may write to it, and it is not sticky as /tmp is. If dir is a link, the folders above the link and
// above its target are examined.
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

// exposed says why other users may rename what is in a folder; "" where they may not. For a link, both the owner of the link
// and the folder that it leads to matter.
func exposed(dir string) string {
	info, err := os.Stat(dir)
	link, linkErr := os.Lstat(dir)
	if err != nil || linkErr != nil {
		return "" // it is not there yet, or its next use reports the error
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

// MakeDirs makes the folders that are missing, mode 0700. It makes them durably: a power cut that takes back the name of a folder
// would also take the items in it. In dirs a parent comes before its children.
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

// SameFolder says whether two paths lead to one folder; false where either cannot be read.
func SameFolder(a, b string) bool {
	x, errA := os.Stat(a)
	y, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(x, y)
}
