package machine

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tree is a recorded /proc and /sys: path → text.
type tree map[string]string

func (files tree) record(t *testing.T) Machine {
	t.Helper()
	root := t.TempDir()
	for path, text := range files {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return Machine{Root: root}
}

// with is the tree with other files.
func (files tree) with(more tree) tree {
	all := tree{}
	for _, t := range []tree{files, more} {
		for path, text := range t {
			all[path] = text
		}
	}
	return all
}

// without is the tree without a file.
func (files tree) without(path string) tree {
	all := files.with(nil)
	delete(all, path)
	return all
}

const mib = 1 << 20

const meminfo = "MemTotal:        4000000 kB\nMemFree:          100000 kB\nMemAvailable:    3072000 kB\nBuffers: 1 kB\n" // 3000 MiB

const v1None = "9223372036854771712\n"

// group2 and group1 record one control group.
func group2(dir, limit, high, current, inactive string) tree {
	return tree{dir + "/cgroup.procs": "1\n", dir + "/memory.max": limit + "\n", dir + "/memory.high": high + "\n",
		dir + "/memory.current": current + "\n", dir + "/memory.stat": "anon 7\nfile 9\ninactive_file " + inactive + "\nactive_file 5\n"}
}

func group1(dir, limit, usage, inactive string) tree {
	return tree{dir + "/cgroup.procs": "1\n", dir + "/memory.limit_in_bytes": limit, dir + "/memory.usage_in_bytes": usage + "\n",
		dir + "/memory.stat": "inactive_file 1\ntotal_cache 3\ntotal_inactive_file " + inactive + "\n"}
}

const (
	mount2       = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
	mount1       = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n"
	mountHybrid  = "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
	mountOthers  = "23 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n34 31 0:31 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
	self2        = "0::/user.slice/user-1000.slice/kugetsu.scope\n"
	self1        = "5:cpu,cpuacct:/a\n4:hugetlb,memory:/jobs/one\n1:name=systemd:/init.scope\n"
	root2        = "/sys/fs/cgroup"
	user         = "/sys/fs/cgroup/user.slice"
	user1000     = user + "/user-1000.slice"
	scope        = user1000 + "/kugetsu.scope"
	root1        = "/sys/fs/cgroup/memory"
	container1   = "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
	elsewhere2   = "30 23 0:26 /lxc/box /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
	spaced2      = `30 23 0:26 / /sys/fs/c\040group rw - cgroup2 cgroup2 rw` + "\n"
	shadowed2    = "30 23 0:26 /../.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
	both2        = "50 23 0:26 /user.slice/user-1000.slice /mnt/part rw - cgroup2 cgroup2 rw\n" + mount2
	twoLinesSelf = "4:memory:/docker/abc\n0::/docker/abc\n"
)

func machineOf(self, mounts string, groups ...tree) tree {
	all := tree{"/proc/meminfo": meminfo, "/proc/self/cgroup": self, "/proc/self/mountinfo": mountOthers + mounts}
	for _, g := range groups {
		all = all.with(g)
	}
	return all
}

func TestAvailableIsTheLeastOfTheMachineAndOfEveryGroupAboveUs(t *testing.T) {
	v2 := func(scopeMax, scopeHigh, userMax string) tree {
		return machineOf(self2, mount2,
			tree{root2 + "/cgroup.procs": "1\n"}, // the root has no limit, and no files for one
			group2(user, "max", "max", "900000000", "5"),
			group2(user1000, userMax, "max", "524288000", "104857600"), // 500 MiB, 100 MiB of them to be had back
			group2(scope, scopeMax, scopeHigh, "104857600", "10485760"))
	}
	v1 := func(jobs, one string) tree {
		return machineOf(self1, mount1+mountHybrid,
			group1(root1, v1None, "900000000", "5"),
			group1(root1+"/jobs", jobs, "524288000", "104857600"),
			group1(root1+"/jobs/one", one, "104857600", "10485760"))
	}
	for _, c := range []struct {
		name string
		tree tree
		want int64
	}{
		{"no control groups in the kernel", machineOf("", "").without("/proc/self/cgroup"), 3000 * mib},
		{"no group has the memory controller", machineOf("3:cpu,cpuacct:/a\n1:name=memory:/b\n", ""), 3000 * mib},

		{"v2, no limit", v2("max", "max", "max"), 3000 * mib},
		{"v2, a limit of ours", v2("419430400", "max", "max"), (400 - 100 + 10) * mib},
		{"v2, a lower high", v2("419430400", "314572800", "max"), (300 - 100 + 10) * mib},
		{"v2, a high alone", v2("max", "314572800", "max"), (300 - 100 + 10) * mib},
		{"v2, a limit above ours", v2("max", "max", "629145600"), (600 - 500 + 100) * mib},
		{"v2, the tighter of two", v2("419430400", "max", "629145600"), 200 * mib},
		{"v2, used up", v2("1048576", "max", "max"), 0},
		{"v2, more than the machine has", v2("99999999999999", "max", "max"), 3000 * mib},
		{"v2, a limit of 0", v2("0", "max", "max"), 0},
		{"v2, the controller is not enabled in ours", v2("max", "max", "629145600").without(scope + "/memory.max").without(scope + "/memory.high"), 200 * mib},
		{"v2, in the root itself", machineOf("0::/\n", mount2, tree{root2 + "/cgroup.procs": "1\n"}), 3000 * mib},
		{"v2, mounted in a folder with a space", machineOf("0::/\n", spaced2, group2("/sys/fs/c group", "104857600", "max", "0", "0")), 100 * mib},
		{"v2, mounted twice, a part of it first", machineOf(self2, both2, tree{root2 + "/cgroup.procs": "1\n"}, tree{"/mnt/part/cgroup.procs": "1\n"},
			group2(user, "209715200", "max", "0", "0"), group2(user1000, "max", "max", "0", "0"), group2(scope, "max", "max", "0", "0")), 200 * mib},

		{"v1, no limit", v1(v1None, v1None), 3000 * mib},
		{"v1, no limit, so that the usage does not matter", v1(v1None, v1None).without(root1 + "/jobs/memory.usage_in_bytes"), 3000 * mib},
		{"v1, none with pages of 64 KiB", v1("9223372036854710272", v1None), 3000 * mib},
		{"v1, a limit of ours", v1(v1None, "419430400\n"), (400 - 100 + 10) * mib},
		{"v1, a limit above ours", v1("629145600\n", v1None), (600 - 500 + 100) * mib},

		{"hybrid: the memory is v1's", machineOf("4:memory:/jobs\n0::/jobs\n", mount1+mountHybrid, group1(root1, v1None, "1", "0"),
			group1(root1+"/jobs", "104857600\n", "0", "0"), group2("/sys/fs/cgroup/unified/jobs", "1048576", "max", "0", "0")), 100 * mib},
		{"hybrid: the memory is v2's", machineOf("4:cpu:/jobs\n0::/jobs\n", mountHybrid, tree{"/sys/fs/cgroup/unified/cgroup.procs": "1\n"},
			group2("/sys/fs/cgroup/unified/jobs", "104857600", "max", "0", "0")), 100 * mib},

		{"container, v2, a namespace of its own", machineOf("0::/\n", mount2, group2(root2, "104857600", "max", "10485760", "0")), 90 * mib},
		{"container, v1, the path below the mount's root", machineOf(twoLinesSelf, container1, group1(root1, "104857600\n", "10485760", "0")), 90 * mib},
		{"container, the path is not below the mount's root", machineOf(self2, elsewhere2, group2(root2, "104857600", "max", "10485760", "0")), 90 * mib},
		{"container, the path is none of those that are mounted", machineOf("0::/docker/abc\n", mount2, group2(root2, "104857600", "max", "10485760", "0")), 90 * mib},
		{"a root that only begins like the path", machineOf("4:memory:/docker/abcdef\n", container1, group1(root1, "104857600\n", "10485760", "0"),
			group1(root1+"/def", "0\n", "0", "0")), 90 * mib},
	} {
		got, err := c.tree.record(t).Available()
		if err != nil || got != c.want {
			t.Errorf("%s: %d MiB and %d, not %d MiB: %v", c.name, got/mib, got%mib, c.want/mib, err)
		}
	}
}

func TestMemoryThatCannotBeReadIsNeverPlenty(t *testing.T) {
	good := machineOf(self2, mount2, tree{root2 + "/cgroup.procs": "1\n"}, group2(user, "max", "max", "0", "0"),
		group2(user1000, "max", "max", "0", "0"), group2(scope, "419430400", "max", "104857600", "10485760"))
	if _, err := good.record(t).Available(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		tree tree
		want string
	}{
		{"no /proc", tree{}, "/proc/meminfo"},
		{"an old kernel's meminfo", good.with(tree{"/proc/meminfo": "MemTotal: 5 kB\nMemFree: 5 kB\n"}), "there is no MemAvailable:"},
		{"meminfo in words", good.with(tree{"/proc/meminfo": "MemAvailable: plenty kB\n"}), "is not an amount of memory"},
		{"meminfo below nothing", good.with(tree{"/proc/meminfo": "MemAvailable: -5 kB\n"}), "is not an amount of memory"},
		{"an amount that overflows", good.with(tree{"/proc/meminfo": "MemAvailable: 9223372036854775807 kB\n"}), "is not an amount of memory"},
		{"a cgroup file that is none", good.with(tree{"/proc/self/cgroup": "what\n"}), "is not understood"},
		{"no mountinfo", good.without("/proc/self/mountinfo"), "/proc/self/mountinfo"},
		{"mounted nowhere", good.with(tree{"/proc/self/mountinfo": mountOthers}), "is not mounted here"},
		{"v1, mounted nowhere", machineOf(self1, mountHybrid), "is not mounted here"},
		{"the mount is hidden", good.without(root2 + "/cgroup.procs"), "shows no control groups"},
		{"moved out of its namespace", good.with(tree{"/proc/self/cgroup": "0::/../other\n"}), "is not visible here"},
		{"v1, moved out of its namespace", machineOf("4:memory:/../other\n", mount1), "is not visible here"},
		{"a mount that shows what is above the namespace", good.with(tree{"/proc/self/mountinfo": shadowed2}), "is not mounted here"},
		{"no usage", good.without(scope + "/memory.current"), "memory.current"},
		{"no stat", good.without(scope + "/memory.stat"), "memory.stat"},
		{"a stat without the field", good.with(tree{scope + "/memory.stat": "anon 1\n"}), "there is no inactive_file"},
		{"a limit in words", good.with(tree{scope + "/memory.max": "much\n"}), "is not an amount of memory"},
		{"an empty limit", good.with(tree{scope + "/memory.max": ""}), "is not an amount of memory"},
		{"a limit below nothing", good.with(tree{scope + "/memory.high": "-1\n"}), "is not an amount of memory"},
		{"v1, no limit file", machineOf("4:memory:/\n", mount1, tree{root1 + "/cgroup.procs": "1\n"}), "memory.limit_in_bytes"},
	} {
		if got, err := c.tree.record(t).Available(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %d, %v, not an error with %q", c.name, got, err, c.want)
		}
	}
}

// A file that may not be read is another error than a missing file. Root may read every file, so here a folder stands in the file's
// place.
func TestUnreadableFileIsNotAMissingOne(t *testing.T) {
	for _, path := range []string{"/proc/meminfo", "/proc/self/cgroup", "/proc/self/mountinfo", scope + "/memory.max", scope + "/memory.high"} {
		files := machineOf(self2, mount2, tree{root2 + "/cgroup.procs": "1\n"}, group2(user, "max", "max", "0", "0"),
			group2(user1000, "max", "max", "0", "0"), group2(scope, "max", "max", "0", "0"))
		m := files.without(path).record(t)
		if err := os.MkdirAll(filepath.Join(m.Root, path), 0o700); err != nil {
			t.Fatal(err)
		}
		if got, err := m.Available(); err == nil {
			t.Errorf("%s: %d", path, got)
		}
	}
}

func TestFreeDiskOfAFolder(t *testing.T) {
	n, err := FreeDisk(t.TempDir())
	if err != nil || n <= 0 {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := FreeDisk(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%d, %v", n, err)
	}
	for _, c := range []struct {
		in   float64
		want int64
	}{{0, 0}, {4096, 4096}, {1e30, 1 << 62}} {
		if got := clamp(c.in); got != c.want {
			t.Errorf("%g: %d", c.in, got)
		}
	}
}

// A machine has the memory controller in only one of the two hierarchies, so the controller's files of both are read from a folder
// tree.
func TestTakenInAGroupOfItsOwnIsTheSameInBothHierarchies(t *testing.T) {
	const own2, own1 = scope + "/run", root1 + "/jobs/one/run"
	stat := "anon 100\nfile 90000000\nshmem 20000000\ntotal_cache 90000000\ntotal_shmem 20000000\n"
	v2 := machineOf(self2, mount2, tree{root2 + "/cgroup.procs": "1\n", "/proc/41/cgroup": strings.TrimSpace(self2) + "/run\n", "/proc/42/cgroup": strings.TrimSpace(self2) + "/run\n",
		own2 + "/cgroup.procs": "41\n42\n", own2 + "/memory.current": "300000000\n", own2 + "/memory.stat": stat})
	v1 := machineOf(self1, mount1+mountHybrid, tree{root1 + "/cgroup.procs": "1\n", "/proc/41/cgroup": "4:hugetlb,memory:/jobs/one/run\n0::/\n", "/proc/42/cgroup": "4:hugetlb,memory:/jobs/one/run\n0::/\n",
		own1 + "/cgroup.procs": "41\n42\n", own1 + "/memory.usage_in_bytes": "300000000\n", own1 + "/memory.stat": stat})
	single := tree{"/proc/41/smaps_rollup": "00-ff ---p 0 00:00 0 [rollup]\nRss: 9 kB\nPss: 1000 kB\n", "/proc/42/smaps_rollup": "00-ff ---p 0 00:00 0 [rollup]\nRss: 9 kB\nPss: 2000 kB\n"}
	const kernel, sum = 300000000 - (90000000 - 20000000), 3000 << 10
	for _, c := range []struct {
		name string
		tree tree
		want int64
	}{
		{"v2", v2, kernel},
		{"v1", v1, kernel},
		{"v2, without the controller", v2.without(own2 + "/memory.current"), sum},
		{"v2, another process is in it", v2.with(tree{own2 + "/cgroup.procs": "41\n42\n43\n"}), sum},
		{"v2, this process is in it", v2.with(tree{"/proc/self/cgroup": strings.TrimSpace(self2) + "/run\n"}), sum},
		{"v2, one is in another group", v2.with(tree{"/proc/42/cgroup": self2}), sum},
		{"v2, one has ended", v2.without("/proc/42/cgroup").with(tree{own2 + "/cgroup.procs": "41\n"}), kernel},
		{"v2, not mounted", v2.with(tree{"/proc/self/mountinfo": mountOthers}), sum},
		{"no control groups", v2.without("/proc/self/cgroup"), sum},
	} {
		if got, err := c.tree.with(single).record(t).Taken([]int{41, 42}); err != nil || got != c.want {
			t.Errorf("%s: %d, not %d: %v", c.name, got, c.want, err)
		}
	}
}

func TestProcessesThatTheKernelKilledAreCountedInBothHierarchies(t *testing.T) {
	for _, c := range []struct {
		name string
		tree tree
		want int64
		bad  bool
	}{
		{"v2", machineOf(self2, mount2, tree{root2 + "/cgroup.procs": "1\n", scope + "/cgroup.procs": "41\n", scope + "/memory.events": "low 0\noom 3\noom_kill 2\n"}), 2, false},
		{"v1", machineOf(self1, mount1, tree{root1 + "/cgroup.procs": "1\n", root1 + "/jobs/one/cgroup.procs": "41\n", root1 + "/jobs/one/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"}), 1, false},
		{"v2, without the controller", machineOf(self2, mount2, tree{root2 + "/cgroup.procs": "1\n", scope + "/cgroup.procs": "41\n"}), 0, false},
		{"no control groups", tree{}, 0, false},
		{"v1, a kernel that does not count", machineOf(self1, mount1, tree{root1 + "/cgroup.procs": "1\n", root1 + "/jobs/one/cgroup.procs": "41\n", root1 + "/jobs/one/memory.oom_control": "under_oom 0\n"}), 0, true},
	} {
		if got, err := c.tree.record(t).Killed(); got != c.want || (err != nil) != c.bad {
			t.Errorf("%s: %d, not %d: %v", c.name, got, c.want, err)
		}
	}
}
