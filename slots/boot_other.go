//go:build !linux

package slots

import "golang.org/x/sys/unix"

// BootID tells one start of the machine from another; "" where that is not known.
func BootID() string {
	id, err := unix.Sysctl("kern.bootsessionuuid")
	if err != nil {
		return ""
	}
	return id
}
