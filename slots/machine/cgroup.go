package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"kugetsu/queue/pattern"
)

// group is a control group whose memory may be limited.
type group struct {
	m   Machine
	dir string
	v1  bool
}

// left is limit - usage + the memory that the kernel can take back, in bytes. Of the last, only pages of files that were not used
// for a while count: if the kernel took back others, their users would slow down.
func (g group) left() (int64, error) {
	files, usage, reclaim := []string{"memory.max", "memory.high"}, "memory.current", "inactive_file"
	if g.v1 {
		files, usage, reclaim = []string{"memory.limit_in_bytes"}, "memory.usage_in_bytes", "total_inactive_file"
	}
	limit := int64(unlimited)
	for _, file := range files {
		n, err := g.m.number(filepath.Join(g.dir, file))
		if !g.v1 && errors.Is(err, fs.ErrNotExist) { // the root has no limit, nor a group without the controller
			continue
		}
		if err != nil {
			return 0, err
		}
		limit = min(limit, n)
	}
	if limit == unlimited {
		return limit, nil
	}
	used, err := g.m.number(filepath.Join(g.dir, usage))
	if err != nil {
		return 0, err
	}
	inactive, err := g.m.field(filepath.Join(g.dir, "memory.stat"), reclaim)
	if err != nil {
		return 0, err
	}
	return max(limit-used+min(inactive, used), 0), nil
}

// Killed is how many processes of this process's control group the kernel has killed for want of memory, those of groups below it too
// where the kernel counts them. It is 0 where that is not counted.
func (m Machine) Killed() (int64, error) {
	groups, err := m.groups()
	if err != nil || len(groups) == 0 {
		return 0, err
	}
	file := "memory.events"
	if groups[0].v1 {
		file = "memory.oom_control"
	}
	n, err := m.field(filepath.Join(groups[0].dir, file), "oom_kill")
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	return n, err
}

// groups lists the control groups that may limit the memory of this process, from its own up to the root, as far as they are
// mounted here.
//
// The memory controller is in one hierarchy only: v1 if a line of /proc/self/cgroup names it, else v2, whose line names
// no controller. Where there is neither, no group limits anything.
func (m Machine) groups() ([]group, error) {
	path, v1, err := m.groupOf("self")
	if err != nil || path == "" {
		return nil, err
	}
	top, root, err := m.mounted(path, v1)
	if err != nil {
		return nil, err
	}
	dir := top
	if rel, below := under(path, root); below {
		there, err := m.isGroup(filepath.Join(top, rel))
		if err != nil {
			return nil, err
		}
		if there {
			dir = filepath.Join(top, rel)
		}
	}
	// Otherwise this is a container that shows another path than it mounts. Then the mounted group is that of this process.
	if there, err := m.isGroup(top); err != nil {
		return nil, err
	} else if !there { // hidden under another mount
		return nil, fmt.Errorf("%s shows no control groups", top)
	}
	var groups []group
	for ; ; dir = filepath.Dir(dir) {
		groups = append(groups, group{m, dir, v1})
		if dir == top {
			return groups, nil
		}
	}
}

// groupOf is the path of a process's group in the hierarchy that has the memory controller, "" where there is none.
func (m Machine) groupOf(pid string) (path string, v1 bool, err error) {
	file := filepath.Join("/proc", pid, "cgroup")
	data, err := m.read(file)
	if errors.Is(err, fs.ErrNotExist) { // a kernel without control groups
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	for line := range strings.Lines(string(data)) { // id:controllers:path
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(f) != 3 {
			return "", false, fmt.Errorf("%s: %.60q is not understood", file, line)
		}
		switch {
		case hasWord(f[1], "memory"):
			return above(f[2], file, true)
		case f[0] == "0" && f[1] == "":
			path = f[2]
		}
	}
	return above(path, file, false)
}

// above refuses a path that leads out of the part that a container can see: the limits there cannot be known.
func above(path, file string, v1 bool) (string, bool, error) {
	if strings.HasPrefix(path, "/..") {
		return "", v1, fmt.Errorf("%s: the control group %s is not visible here", file, path)
	}
	return path, v1, nil
}

// mounted is where the hierarchy is mounted, and which of its groups is the root of the mount. Of several mounts it is the one that
// shows most of the groups above this process.
func (m Machine) mounted(path string, v1 bool) (point, root string, err error) {
	const file = "/proc/self/mountinfo"
	data, err := m.read(file)
	if err != nil {
		return "", "", err
	}
	fits := false
	for line := range strings.Lines(string(data)) {
		// id parent device root point options optional… - type source superoptions
		here, fileSystem, ok := strings.Cut(line, " - ")
		a, b := strings.Fields(here), strings.Fields(fileSystem)
		if !ok || len(a) < 6 || len(b) < 3 {
			continue
		}
		if v1 && (b[0] != "cgroup" || !hasWord(b[2], "memory")) || !v1 && b[0] != "cgroup2" {
			continue
		}
		r, p := unescape(a[3]), unescape(a[4])
		if strings.HasPrefix(r, "/..") {
			continue // it shows groups above this process, but not which of them has the process
		}
		_, below := under(path, r)
		if point == "" || below && (!fits || len(r) < len(root)) {
			point, root, fits = p, r, below
		}
	}
	if point == "" {
		return "", "", fmt.Errorf("%s: it is not known whether the control group %s limits memory: it is not mounted here", file, path)
	}
	return point, root, nil
}

// isGroup says whether a folder is a control group.
func (m Machine) isGroup(dir string) (bool, error) {
	_, err := os.Stat(filepath.Join(m.Root, dir, "cgroup.procs"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// under is a path as seen from a root. below is false for a path that is neither the root nor below it.
func under(path, root string) (rel string, below bool) {
	if root == "/" {
		return path, true
	}
	rel, below = strings.CutPrefix(path, root)
	return rel, below && (rel == "" || rel[0] == '/')
}

func hasWord(list, word string) bool {
	for w := range strings.SplitSeq(list, ",") {
		if w == word {
			return true
		}
	}
	return false
}

var octal = pattern.Lazy(`\\[0-7]{3}`)

// unescape decodes the spaces and backslashes in a field of mountinfo.
func unescape(s string) string {
	return octal().ReplaceAllStringFunc(s, func(e string) string {
		n, _ := strconv.ParseUint(e[1:], 8, 8)
		return string([]byte{byte(n)})
	})
}
