//go:build !linux

package doctor

import "golang.org/x/sys/unix"

// remoteFS returns "": the file systems of this system are not known.
func remoteFS(dir string) (string, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return "", err
	}
	switch name := unix.ByteSliceToString(st.Fstypename[:]); name {
	case "nfs", "smbfs", "webdav", "afpfs", "macfuse", "osxfuse":
		return name, nil
	}
	return "", nil
}
