package machine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// Taken is the memory that processes have together, in bytes. If the processes have a control group of their own, Taken is the kernel's
// count for the group, without the pages of files that the kernel can take back. A file in a tmpfs counts. Otherwise Taken is the sum
// of their proportional sizes: a page that n processes of the machine share counts as 1/n in each. Of a process of another user only
// the anonymous memory is known. A process that has ended counts as 0.
func (m Machine) Taken(pids []int) (int64, error) {
	if m.Root == "" && runtime.GOOS != "linux" {
		return 0, fmt.Errorf("the memory of processes on %s is not known: %w", runtime.GOOS, errors.ErrUnsupported)
	}
	if n, own := m.ofOwnGroup(pids); own {
		return n, nil
	}
	sum := int64(0)
	for _, pid := range pids {
		kilobytes, err := m.field(filepath.Join("/proc", strconv.Itoa(pid), "smaps_rollup"), "Pss:")
		if err != nil { // it ended, it is another user's, or the kernel is older than 4.14
			sum += m.anonymous(pid)
			continue
		}
		sum += kilobytes * 1024
	}
	return sum, nil
}

// ofOwnGroup is the memory of the control group that all these processes are in, and no others: a prefix such as systemd-run makes
// one. It is false where there is no such group, or where it cannot be read.
func (m Machine) ofOwnGroup(pids []int) (int64, bool) {
	ours, v1, err := m.groupOf("self")
	if err != nil || ours == "" || len(pids) == 0 {
		return 0, false
	}
	path := ""
	for _, pid := range pids {
		p, _, err := m.groupOf(strconv.Itoa(pid))
		switch {
		case err != nil && !errors.Is(err, os.ErrNotExist):
			return 0, false
		case p == "": // it ended
		case path == "":
			path = p
		case p != path:
			return 0, false
		}
	}
	if _, within := under(ours, path); path == "" || within { // this process is in it, or below it
		return 0, false
	}
	top, root, err := m.mounted(ours, v1)
	if err != nil {
		return 0, false
	}
	rel, below := under(path, root)
	if !below {
		return 0, false
	}
	dir := filepath.Join(top, rel)
	members, err := m.read(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return 0, false
	}
	for member := range strings.FieldsSeq(string(members)) {
		if pid, err := strconv.Atoi(member); err != nil || !slices.Contains(pids, pid) {
			return 0, false
		}
	}
	n, err := group{m, dir, v1}.taken()
	return n, err == nil
}

// taken is usage - pages of files. The pages of a tmpfs count as taken: the kernel lists them as pages of files, but cannot take
// them back.
func (g group) taken() (int64, error) {
	usage, file, shmem := "memory.current", "file", "shmem"
	if g.v1 {
		usage, file, shmem = "memory.usage_in_bytes", "total_cache", "total_shmem"
	}
	used, err := g.m.number(filepath.Join(g.dir, usage))
	if err != nil {
		return 0, err
	}
	files, err := g.m.field(filepath.Join(g.dir, "memory.stat"), file)
	if err != nil {
		return 0, err
	}
	temporary, err := g.m.field(filepath.Join(g.dir, "memory.stat"), shmem)
	if err != nil {
		return 0, err
	}
	return max(used-max(files-temporary, 0), 0), nil
}
