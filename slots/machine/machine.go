// Package machine reads the capacity of the machine: how much memory and disk is free, and how much memory the runs have.
//
// A value that cannot be read is an error and never "plenty". On systems other than Linux memory is not known, and its error
// wraps errors.ErrUnsupported.
package machine

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"kugetsu/slots/proc"
)

// Machine is where /proc and /sys are read.
type Machine struct {
	Root string // the root folder; "" is the real one, another a recorded tree
}

// Available is how much memory could be taken now without swapping, in bytes. It is the least of the machine's MemAvailable and of
// the memory that is left below the limits of this process's control groups, up to the root.
func (m Machine) Available() (int64, error) {
	if m.Root == "" && runtime.GOOS != "linux" {
		return 0, fmt.Errorf("the memory of %s is not known: %w", runtime.GOOS, errors.ErrUnsupported)
	}
	kilobytes, err := m.field("/proc/meminfo", "MemAvailable:")
	if err != nil {
		return 0, err
	}
	least := kilobytes * 1024
	groups, err := m.groups()
	if err != nil {
		return 0, err
	}
	for _, g := range groups {
		left, err := g.left()
		if err != nil {
			return 0, err
		}
		least = min(least, left)
	}
	return least, nil
}

// unlimited is the memory that is left where there is no limit.
const unlimited = math.MaxInt64

func (m Machine) read(path string) ([]byte, error) { return os.ReadFile(filepath.Join(m.Root, path)) }

// number reads a file of one number. "max", or a number larger than any machine, is no limit.
func (m Machine) number(path string) (int64, error) {
	data, err := m.read(path)
	if err != nil {
		return 0, err
	}
	text := string(bytes.TrimSpace(data))
	if text == "max" {
		return unlimited, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%s: %.20q is not an amount of memory", path, text)
	}
	if n >= 1<<60 { // v1 writes the largest number of whole pages for "none"
		return unlimited, nil
	}
	return n, nil
}

// field reads the number behind a name in a file of lines "name number …".
func (m Machine) field(path, name string) (int64, error) {
	data, err := m.read(path)
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(data) {
		f := bytes.Fields(line)
		if len(f) < 2 || string(f[0]) != name {
			continue
		}
		n, err := strconv.ParseInt(string(f[1]), 10, 64)
		if err != nil || n < 0 || n > 1<<50 {
			return 0, fmt.Errorf("%s: %s %.20q is not an amount of memory", path, name, f[1])
		}
		return n, nil
	}
	return 0, fmt.Errorf("%s: there is no %s", path, name)
}

// Used is the memory that the processes of each run have taken from the available memory, in bytes, by the run's name. A value
// that cannot be read counts as 0, so that the whole share of the process stays reserved.
//
// It is the anonymous memory: resident minus shared in /proc/<pid>/statm. Pages of files are left out on purpose. The kernel can
// take them back, so it counts them as available while they are mapped; counted here, they would be reserved twice. Besides,
// each process that maps a file would count it again. The proportional size in smaps_rollup has the same fault, and costs a walk
// through all pages of a process.
func Used() (map[string]int64, error) {
	runs, err := proc.Runs()
	if err != nil {
		return nil, err
	}
	used := map[string]int64{}
	for run, pids := range runs {
		for _, pid := range pids {
			used[run] += Machine{}.anonymous(pid)
		}
	}
	return used, nil
}

func (m Machine) anonymous(pid int) int64 {
	data, err := m.read(filepath.Join("/proc", strconv.Itoa(pid), "statm"))
	if err != nil { // it ended
		return 0
	}
	f := bytes.Fields(data) // proc(5): size resident shared …, in pages
	if len(f) < 3 {
		return 0
	}
	resident, residentErr := strconv.ParseInt(string(f[1]), 10, 64)
	shared, sharedErr := strconv.ParseInt(string(f[2]), 10, 64)
	if residentErr != nil || sharedErr != nil {
		return 0
	}
	return max(resident-shared, 0) * int64(os.Getpagesize())
}

// FreeDisk is how much an unprivileged user may still write to the file system of a folder, in bytes. Quotas are not known.
func FreeDisk(dir string) (int64, error) {
	var s unix.Statfs_t
	for {
		err := unix.Statfs(dir, &s)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
		}
		return clamp(float64(s.Bavail) * float64(s.Bsize)), nil
	}
}

// clamp makes an int64 of a number that may be larger: some network file systems claim more than there is.
func clamp(n float64) int64 {
	if n >= 1<<62 {
		return 1 << 62
	}
	return int64(n)
}
