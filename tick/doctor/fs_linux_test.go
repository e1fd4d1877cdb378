package doctor

import "testing"

// The numbers are those of the page statfs(2). A test cannot mount all of these file systems.
func TestFileSystemThatAnotherMachineServesIsKnownByItsNumber(t *testing.T) {
	for number, want := range map[uint32]string{
		0x6969: "nfs", 0xff534d42: "cifs", 0xfe534d42: "smb2", 0x01021997: "9p", 0x65735546: "fuse", 0x00c36400: "ceph",
		0xef53: "", 0x9123683e: "", 0x58465342: "", 0x01021994: "", 0x794c7630: "", // ext4, btrfs, xfs, tmpfs, overlayfs
	} {
		if got := remote[number]; got != want {
			t.Errorf("%#x is %q, want %q", number, got, want)
		}
	}
	if _, err := remoteFS("/no/such/folder"); err == nil {
		t.Error("a folder that is not there has a file system")
	}
}
