package spool

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// syncAll makes all that was written on the disks of some folders durable. done is false if the kernel cannot do that, or does not
// report its errors. Linux reports them since 5.8, for what was written after the folder was opened.
func syncAll(dirs map[string]*os.File) (done bool, err error) {
	if !reportsErrors() {
		return false, nil
	}
	synced := map[uint64]bool{}
	for dir, f := range dirs {
		var st unix.Stat_t
		if err := unix.Fstat(int(f.Fd()), &st); err != nil {
			return true, wrap("sync", dir, err)
		}
		if synced[st.Dev] {
			continue
		}
		err := unix.Syncfs(int(f.Fd()))
		if errors.Is(err, unix.ENOSYS) { // a sandbox without this call
			return false, nil
		}
		if err != nil {
			return true, wrap("sync", dir, err)
		}
		synced[st.Dev] = true
	}
	return true, nil
}

func reportsErrors() bool {
	var name unix.Utsname
	var major, minor int
	if err := unix.Uname(&name); err != nil {
		return false
	}
	_, err := fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &major, &minor)
	return err == nil && (major > 5 || major == 5 && minor >= 8)
}
