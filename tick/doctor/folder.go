package doctor

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"kugetsu/queue/fault"
	"kugetsu/queue/spool"
	"kugetsu/slots"
	"kugetsu/slots/machine"
	"kugetsu/tick/settings"
)

const (
	// spaceLow is how many bytes should be free beyond MIN_FREE_DISK, for a worktree and a log. With less than spaceOut even the
	// small files of the queue soon do not fit, whatever MIN_FREE_DISK says.
	spaceLow = 1 << 30
	spaceOut = 100 << 20
	// inodesLow is the share of inodes that should be free: one in so many.
	inodesLow = 50
)

// Home checks the state folder itself, before any file in it is read. It returns false if no file in it can be trusted.
func Home(dir string, fix bool) ([]Finding, bool) {
	x := &Exam{Fix: fix, check: "home"}
	err := spool.CheckRoot(dir, "KUGETSU_DIR")
	info, statErr := os.Lstat(dir)
	if err == nil && errors.Is(statErr, fs.ErrNotExist) {
		x.repair(Error, dir+" is not there", "kugetsu init", func() error { return spool.MakeDirs(dir) })
		return x.listed, x.listed[0].Level == Fixed
	}
	if real, statErr := os.Stat(dir); err == nil && statErr == nil && real.Mode().Perm()&0o700 != 0o700 {
		x.chmod(Error, dir, "you yourself may not use", real.Mode().Perm(), 0o700)
		return x.listed, x.listed[0].Level == Fixed
	}
	if err == nil {
		return nil, true
	}
	if statErr == nil && info.IsDir() && owner(info) == os.Geteuid() {
		x.repair(Error, err.Error(), fault.HintOf(err), func() error { return spool.Chmod(dir, 0o700) })
	} else {
		x.add(Error, err.Error(), fault.HintOf(err))
	}
	return x.listed, x.listed[0].Level == Fixed
}

// Unreadable returns the finding for a config that cannot be read. Not even the place of the queue is known then.
func Unreadable(home string, err error) Finding {
	f := Finding{Level: Error, Check: "config", What: err.Error(), Remedy: fault.HintOf(err)}
	if info, statErr := os.Stat(filepath.Join(home, "config")); statErr == nil && owner(info) != os.Geteuid() {
		f.What = fmt.Sprintf("%s belongs to uid %d, not to uid %d: %v", filepath.Join(home, "config"), owner(info), os.Geteuid(), err)
		f.Remedy = chown(home)
	}
	return f
}

// chown returns the command that gives a folder and all its files to this user, as needed after a call with sudo.
func chown(home string) string { return fmt.Sprintf("sudo chown -R %d %s", os.Geteuid(), home) }

func owner(info fs.FileInfo) int {
	if uid, ok := spool.Owner(info); ok {
		return uid
	}
	return os.Geteuid()
}

// in returns a path in the state folder.
func (x *Exam) in(names ...string) string {
	return filepath.Join(append([]string{string(x.Tick.Home)}, names...)...)
}

// ours lists the folders that should exist, a parent before its children.
func (x *Exam) ours() []string {
	q := x.Tick.Queue
	all := append(x.Tick.Home.Folders(), x.in("env"), x.in("prompts"))
	all = append(all, q.Folders()...)
	return append(all, filepath.Dir(q.Events.New), q.Events.New, q.Events.Seen, q.Events.Undelivered)
}

// folders checks that all these folders exist and are folders.
func (x *Exam) folders() {
	for _, dir := range x.ours() {
		info, err := os.Stat(dir)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			x.repair(Warn, dir+" is missing", "kugetsu init", func() error { return spool.MakeDirs(dir) })
			x.last().at, x.last().err = dir, cmp.Or(x.last().err, err)
		case err != nil:
			x.unknown(err)
		case !info.IsDir():
			x.add(Error, dir+" is not a folder", "move it away: mv "+dir+" "+dir+".old")
			x.last().at = dir
		}
	}
}

// names checks that the path of a socket below the TMPDIR of a run is short enough. Browsers, gpg and tmux make sockets there.
func (x *Exam) names() {
	const runs = 99 // at once
	if over := len(x.Tick.Home.TmpLongest(runs)) + slots.SocketBelow - slots.SocketMax; over > 0 {
		x.add(Warn, fmt.Sprintf("the path of the state folder is %d bytes too long for the sockets of what agents use: Chromium, gpg, tmux", over),
			"set KUGETSU_DIR to a shorter path; a link to "+x.in()+" will do")
	}
}

// modes checks that no other user can write into the folders or read the files that may hold tokens.
func (x *Exam) modes() {
	for _, dir := range x.ours() {
		if info, err := os.Lstat(dir); err == nil && info.IsDir() && owner(info) == os.Geteuid() {
			switch mode := info.Mode().Perm(); {
			case mode&0o022 != 0:
				x.chmod(Error, dir, "others may write to", mode, 0o700)
			case mode&0o700 != 0o700:
				x.chmod(Error, dir, "you yourself may not use", mode, 0o700)
				x.last().at = dir
			case dir == string(x.Tick.Home) && mode&0o055 != 0:
				x.chmod(Warn, dir, "others may look into", mode, 0o700)
			}
		}
	}
	files, err := spool.List(x.in())
	if err != nil {
		x.unknown(err)
	}
	envs, err := spool.List(x.in("env"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		x.unknown(err)
	}
	for _, name := range envs {
		files = append(files, filepath.Join("env", name))
	}
	for _, name := range files {
		path := x.in(name)
		if to, err := os.Readlink(path); err == nil { // doctor changes no file that a link leads to
			if info, err := os.Stat(path); err == nil && owner(info) == os.Geteuid() && info.Mode().Perm()&0o077 != 0 && filepath.Dir(name) == "env" {
				x.add(Warn, fmt.Sprintf("others may use what %s is a link to (mode %04o)", path, info.Mode().Perm()), "chmod 600 "+to)
			}
			continue
		}
		if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() && owner(info) == os.Geteuid() && info.Mode().Perm()&0o077 != 0 {
			x.chmod(Warn, path, "others may use", info.Mode().Perm(), 0o600)
		}
	}
}

func (x *Exam) chmod(level Level, path, why string, is, want fs.FileMode) {
	x.repair(level, fmt.Sprintf("%s %s (mode %04o)", why, path, is), fmt.Sprintf("chmod %o %s", want, path),
		func() error { return spool.Chmod(path, want) })
}

// owner finds files of another user, as a call with sudo leaves them.
func (x *Exam) owner() {
	for _, dir := range x.ours() {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // missing, or unreadable, which writable finds
		}
		for _, e := range entries {
			if info, err := e.Info(); err == nil && owner(info) != os.Geteuid() {
				all := x.in()
				if !within(dir, all) {
					all = dir
				}
				x.add(Error, fmt.Sprintf("%s belongs to uid %d, not to uid %d", filepath.Join(dir, e.Name()), owner(info), os.Geteuid()), chown(all))
				x.last().at, x.last().err = all, unix.EACCES
				return // one is enough: the remedy covers all
			}
		}
	}
}

// parents finds the folders above in which another user could replace one of our folders by another one.
func (x *Exam) parents() {
	var told []string
	for _, dir := range []string{x.in(), x.Tick.Settings.QueueDir, x.Tick.Settings.QueueItemsDir} {
		if dir == "" {
			continue
		}
		for _, why := range spool.Above(dir) {
			if !slices.Contains(told, why) {
				told = append(told, why)
				x.add(Warn, why+", and could put another folder in the place of "+dir, "chmod go-w there, or put ours below a folder of your own")
			}
		}
	}
}

// files checks that the config, the env files and the prompts exist.
func (x *Exam) files() {
	for _, f := range Files(x.Shell["PATH"]) {
		there, err := spool.Exists(x.in(f.Name))
		if err != nil {
			x.unknown(err)
		} else if !there {
			x.repair(Warn, x.in(f.Name)+" is missing", "kugetsu init", func() error { return f.Make(x.Tick.Home) })
			x.last().err = cmp.Or[error](x.last().err, &fs.PathError{Op: "stat", Path: x.in(f.Name), Err: unix.ENOENT})
			if f.Name != "config" {
				continue
			}
			if x.last().Level == Fixed {
				if err := x.reload(); err != nil {
					x.unknown(err)
				}
				continue
			}
			x.last().explains = x.madeByInit
		}
	}
}

// madeByInit reports whether kugetsu init, the remedy of a missing config, removes a finding too. It makes all folders and
// files, and writes the PATH of the shell and an installed agent into the config.
func (x *Exam) madeByInit(f Finding) bool {
	switch f.Check {
	case "folders", "files":
		return f.Remedy == "kugetsu init"
	case "path":
		return true
	}
	return f.lacks != "" && (x.inShell(f.lacks) || f.Check == "agents" && firstAgent(x.Shell["PATH"]) != "")
}

// reload reads the config again, for the checks that follow.
func (x *Exam) reload() (err error) {
	x.Tick.Settings, x.Tick.Source, err = settings.Load(string(x.Tick.Home), true)
	return err
}

// writable checks that each folder takes a file durably, and that flock refuses a second lock there.
func (x *Exam) writable() {
	for _, dir := range x.ours() {
		err := spool.Probe(dir)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case errors.Is(err, spool.ErrNoLock):
			x.add(Error, err.Error(), "put the state folder on a local disk: KUGETSU_DIR")
		case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
			x.add(Error, err.Error(), "free disk space: kugetsu queue clear --older-than 1d")
		case err != nil:
			x.add(Error, err.Error(), "see that you may write there: ls -ld "+dir)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			x.last().at, x.last().err = dir, err
		}
	}
}

// fileSystem finds file systems on which flock or rename are known to be unreliable.
func (x *Exam) fileSystem() {
	for _, dir := range []string{x.in(), x.Tick.Queue.Items} {
		name, err := remoteFS(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			x.unknown(fmt.Errorf("statfs %s: %w", dir, err))
		}
		switch {
		case name != "" && !x.Tick.Here():
			x.ok(fmt.Sprintf("%s is on %s, which the nodes of the cluster are to have, too", dir, name)) // slurm asks one
		case name != "":
			x.add(Warn, fmt.Sprintf("%s is on %s, where flock and rename may not hold between machines or at all", dir, name),
				"put the state folder on a local disk: KUGETSU_DIR")
		}
	}
}

// location checks that the folders of the queue are on one file system and belong to this state folder.
func (x *Exam) location() {
	if err := x.Owned(); err != nil {
		x.add(Error, err.Error(), fault.HintOf(err))
	}
	devices := map[uint64]string{}
	for _, dir := range x.Tick.Queue.Folders() {
		info, err := os.Stat(dir)
		if err != nil {
			continue
		}
		devices[device(info)] = dir
	}
	if len(devices) > 1 {
		dirs := make([]string, 0, len(devices))
		for _, dir := range devices {
			dirs = append(dirs, dir)
		}
		slices.Sort(dirs)
		x.add(Error, fmt.Sprintf("%s and %s are on two file systems: an item cannot be renamed from one to the other", dirs[0], dirs[1]),
			"set QUEUE_DIR alone, and have all of it there")
	}
}

// space checks the free bytes and inodes of the disk.
func (x *Exam) space() {
	var st unix.Statfs_t
	if err := unix.Statfs(x.in(), &st); err != nil {
		x.unknown(fmt.Errorf("statfs %s: %w", x.in(), err))
		return
	}
	free, err := machine.FreeDisk(x.in())
	if err != nil {
		x.unknown(err)
		return
	}
	least := int64(x.Tick.Settings.MinFreeDisk)
	what := fmt.Sprintf("%d MiB are free in %s", free>>20, x.in())
	const remedy = "free disk space: kugetsu queue clear --older-than 1d, kugetsu prune, or git gc in repos/"
	switch {
	case free < least:
		x.add(Error, fmt.Sprintf("%s, less than MIN_FREE_DISK, %d MiB: nothing is started", what, least>>20), remedy)
	case free < spaceOut:
		x.add(Error, what, remedy)
	case free < least+spaceLow:
		x.add(Warn, what, remedy)
	case st.Files > 0 && uint64(st.Ffree) < st.Files/inodesLow: // some file systems do not count inodes
		x.add(Warn, fmt.Sprintf("%d of %d inodes are free in %s", st.Ffree, st.Files, x.in()), remedy)
	default:
		x.ok(what)
	}
	if free < spaceOut || st.Files > 0 && st.Ffree == 0 {
		x.last().explains = func(f Finding) bool { return errors.Is(f.err, unix.ENOSPC) && x.sameDisk(f) }
	}
}

// sameDisk reports whether the file or folder of a finding is on the disk of the state folder. A finding without a file counts as
// being there.
func (x *Exam) sameDisk(f Finding) bool {
	for path := f.path(); path != ""; path = filepath.Dir(path) {
		info, err := os.Stat(path)
		if err != nil && path != filepath.Dir(path) {
			continue // not made yet, or removed meanwhile
		}
		home, homeErr := os.Stat(x.in())
		return err == nil && homeErr == nil && device(info) == device(home)
	}
	return true
}

func device(info fs.FileInfo) uint64 {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	return uint64(stat.Dev)
}

// memory checks that the available memory is enough for every agent that may still start. Running agents have their memory already.
func (x *Exam) memory() {
	if _, err := x.Tick.Machine.Taken(nil); x.Tick.Settings.MaxAgentMemory > 0 && err != nil {
		x.add(Warn, fmt.Sprintf("MAX_AGENT_MEMORY bounds nothing: %v", err), "set a limit with AGENT_PREFIX")
	}
	each := x.Tick.MemoryOf(x.Tick.Settings.Agent)
	if each == 0 {
		return // the check is off
	}
	available, err := x.Tick.Machine.Available()
	if errors.Is(err, errors.ErrUnsupported) {
		return
	}
	if err != nil {
		x.unknown(err)
		return
	}
	view, err := x.Tick.Until("")
	if err != nil {
		x.unknown(err)
		return
	}
	what := fmt.Sprintf("%d MiB are available", available>>20)
	if more := int64(view.Limit - view.Running); available/each < more {
		x.add(Warn, fmt.Sprintf("%s, enough for %d of the %d agents that may still be started", what, available/each, more),
			"lower MAX_CONCURRENT_AGENTS, or AGENT_MEMORY if they need less; a tick starts no more than fit")
		return
	}
	x.ok(what)
}

// Setup is a file that init makes.
type Setup struct{ Name, Text string }

// Make writes the file. An existing file stays as it is, which is no error.
func (f Setup) Make(home slots.Dir) error {
	path := filepath.Join(string(home), f.Name)
	if err := spool.MakeDirs(filepath.Dir(path)); err != nil {
		return err
	}
	if err := spool.Publish(path, []byte(f.Text)); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}
