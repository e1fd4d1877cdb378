package faults

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kugetsu/queue"
	"kugetsu/queue/outcome"
	"kugetsu/slots"
	"kugetsu/slots/proc"
)

// format is a kind of file system, in an image file.
type format struct {
	name    string
	size    int64
	mkfs    []string
	options string
}

// The formats. No change may become durable but by an fsync, so the intervals of the file systems themselves are long. The images
// are the smallest that mkfs makes without complaint.
var (
	ext4  = format{"ext4", 16 << 20, []string{"mkfs.ext4", "-q", "-F", "-m", "0"}, "loop,commit=300,errors=remount-ro"}
	xfs   = format{"xfs", 300 << 20, []string{"mkfs.xfs", "-q", "-f"}, "loop"}
	btrfs = format{"btrfs", 128 << 20, []string{"mkfs.btrfs", "-q", "-f"}, "loop,commit=300"}

	// fewInodes has enough blocks, and inodes for few files.
	fewInodes = format{ext4.name, ext4.size, append(slices.Clone(ext4.mkfs), "-N", "400"), ext4.options}

	formats = []format{ext4, xfs, btrfs}
)

// disk is a file system in an image file, mounted through a loop device.
type disk struct {
	t      testing.TB
	format format
	image  string
	at     string
}

// needDisks skips if no image may be mounted, and reports the formats that this machine cannot make.
func needDisks(t *testing.T, group string, f format) {
	t.Helper()
	if _, err := exec.LookPath(f.mkfs[0]); err != nil {
		skip(t, group, f.mkfs[0]+" is not installed")
	}
	dir := t.TempDir()
	d := &disk{t: t, format: f, image: filepath.Join(dir, "image"), at: filepath.Join(dir, "disk")}
	if err := errors.Join(os.Mkdir(d.at, 0o700), d.make(), d.mount()); err != nil {
		skip(t, group, fmt.Sprintf("no disk image with %s may be mounted here (it takes root, and a loop device): %s",
			f.name, strings.Join(strings.Fields(err.Error()), " ")))
	}
	d.unmount()
}

func (d *disk) make() error {
	file, err := os.OpenFile(d.image, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(file.Truncate(d.format.size), file.Close()); err != nil {
		return err
	}
	return command(append(slices.Clone(d.format.mkfs), d.image)...)
}

func (d *disk) mount() error {
	if err := command("mount", "-t", d.format.name, "-o", d.format.options, d.image, d.at); err != nil {
		return err
	}
	return os.Chmod(d.at, 0o700)
}

// unmount waits for the last process that still uses the disk, also one with a name space of its own.
func (d *disk) unmount() {
	for begin := time.Now(); ; <-time.After(5 * time.Millisecond) {
		err := syscall.Unmount(d.at, 0)
		gone := err == nil || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOENT) // it is not mounted
		if gone && d.loop() == "" {
			return
		}
		if time.Since(begin) > patience {
			d.t.Errorf("unmount %s: %v", d.at, err)
			return
		}
	}
}

// loop is the name of the disk's loop device, "" when it has none.
func (d *disk) loop() string {
	files, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, file := range files {
		if image, err := os.ReadFile(file); err == nil && strings.TrimSpace(string(image)) == d.image {
			return filepath.Base(filepath.Dir(filepath.Dir(file)))
		}
	}
	return ""
}

func (d *disk) remount(how string) { must(d.t, command("mount", "-o", "remount,"+how, d.at)) }

func must(t testing.TB, err error) {
	if err != nil {
		t.Helper()
		t.Fatal(err)
	}
}

// command runs a command; its error holds what it printed.
func command(args ...string) error {
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// newDiskWorld is a world whose state folder is a disk. An item is tried as often as needed: how soon an item ends in an error is
// not the question here.
func newDiskWorld(t testing.TB, f format) (*world, *disk) {
	d := &disk{t: t, format: f}
	w := newWorldOn(t, func(state string) func() {
		d.image, d.at = state+".image", state
		must(t, d.make())
		must(t, d.mount())
		return d.unmount
	})
	t.Cleanup(w.close)
	w.env = append(w.env, "MAX_ATTEMPTS=1000")
	d.sync() // everything that the world was made with counts as there for long
	return w, d
}

// sync writes all changes to the disk.
func (d *disk) sync() {
	dir, err := os.Open(d.at)
	must(d.t, err)
	must(d.t, errors.Join(unix.Syncfs(int(dir.Fd())), dir.Close()))
}

func (d *disk) filler() string { return filepath.Join(d.at, "filler") }

// fill takes all of the disk, to the last block or inode.
func (d *disk) fill() {
	if slices.Contains(d.format.mkfs, "-N") {
		must(d.t, os.MkdirAll(d.filler(), 0o700))
		there, err := os.ReadDir(d.filler())
		must(d.t, err)
		for n := len(there); ; n++ {
			err := os.WriteFile(filepath.Join(d.filler(), fmt.Sprint(n)), nil, 0o600)
			if errors.Is(err, syscall.ENOSPC) {
				return
			}
			must(d.t, err)
		}
	}
	f, err := os.OpenFile(d.filler(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	must(d.t, err)
	defer f.Close()
	for wrote := true; wrote; { // blocks that were reserved for changes in memory are free again once these are written
		wrote = false
		for size := 1 << 20; size > 0; size /= 4 {
			for data := make([]byte, size); err == nil; {
				n := 0
				n, err = f.Write(data)
				wrote = wrote || n > 0
			}
			if !errors.Is(err, syscall.ENOSPC) {
				d.t.Fatal(err)
			}
			err = nil
		}
		must(d.t, f.Sync())
	}
}

// leave frees n blocks or inodes of a disk that was filled.
func (d *disk) leave(n int) {
	if n == 0 {
		return
	}
	if names, err := os.ReadDir(d.filler()); err == nil {
		for _, name := range names[:n] {
			must(d.t, os.Remove(filepath.Join(d.filler(), name.Name())))
		}
		return
	}
	f, err := os.OpenFile(d.filler(), os.O_WRONLY, 0)
	must(d.t, err)
	info, err := f.Stat()
	must(d.t, err)
	var stat syscall.Statfs_t
	must(d.t, syscall.Statfs(d.at, &stat))
	must(d.t, errors.Join(f.Truncate(info.Size()/stat.Bsize*stat.Bsize-int64(n)*stat.Bsize), f.Sync(), f.Close()))
}

// free empties the disk again.
func (d *disk) free() { must(d.t, os.RemoveAll(d.filler())) }

// idle waits until no process of a run is left.
func (w *world) idle() {
	w.t.Helper()
	w.await("no run is left", func() bool { return len(w.alive()) == 0 })
}

// alive lists the runs of which a process is left.
func (w *world) alive() (names []string) {
	runs, err := os.ReadDir(filepath.Join(string(w.home), "runs"))
	w.must(err)
	for _, run := range runs {
		left, err := proc.Marked(proc.Run{Name: run.Name()})
		w.must(err)
		if len(left) > 0 {
			names = append(names, run.Name())
		}
	}
	return names
}

// healed checks whether plain ticks bring the world to rest with every promise kept. A run that could not be prepared counts as an
// attempt although no agent was started, which is intended.
func (w *world) healed(mayEnd map[queue.State]bool) error {
	if err := w.settle(); err != nil {
		return err
	}
	return w.judge(mayEnd)
}

func counted(it *queue.Item) map[outcome.Outcome]int {
	count := map[outcome.Outcome]int{}
	for _, r := range it.History {
		count[r.Outcome]++
	}
	return count
}

// enqueued checks what a delegate left that met a full or a read-only disk.
func (w *world) enqueued(code int, out string, codes ...int) error {
	if err := oneLine(code, out, codes...); err != nil {
		return err
	}
	live, err := w.q.Live(queue.Dev)
	if err != nil {
		return err
	}
	if left, _ := filepath.Glob(filepath.Join(w.q.Items, "*.json")); len(left) != len(live) || len(live) > 1 || code == 0 && len(live) == 0 {
		return fmt.Errorf("exit code %d, and %d items in %d files: %s", code, len(live), len(left), out)
	}
	for _, e := range live {
		if _, err := w.q.Load(e); err != nil {
			return fmt.Errorf("a torn item: %w", err)
		}
		w.ids, w.paid = append(w.ids, e.ID), append(w.paid, 0)
	}
	return nil
}

// again delegates once more, after the disk works again.
func (w *world) again() error {
	code, out := w.kugetsu("delegate", "you/project#2", "work")
	if code != 0 {
		return fmt.Errorf("the disk is well, and delegate exits %d: %s", code, out)
	}
	w.ids, w.paid = append(w.ids, strings.TrimSpace(out)), append(w.paid, 0)
	return w.healed(completed)
}

// upTo is how much is left on the disk when the command begins: every number up to one that is enough, or only some.
func upTo(enough int, some ...int) []int {
	if !*full {
		return some
	}
	some = nil
	for n := range enough {
		some = append(some, n)
	}
	return some
}

// TestFullDisk: a command that needs room says so and does nothing, no file is torn or lost, and all goes on when there is room.
func TestFullDisk(t *testing.T) {
	for _, kind := range []struct {
		format
		what           string
		delegate, tick []int // that many are left
	}{
		{ext4, "blocks", upTo(8, 0, 1, 4), upTo(40, 0, 1, 10)},
		{fewInodes, "inodes", upTo(5, 0, 1), upTo(40, 0, 5)},
	} {
		t.Run(kind.what, func(t *testing.T) {
			needDisks(t, disks, kind.format)
			try(t, disks, "the disk has no "+kind.what+" left, or few, as delegate enqueues", len(kind.delegate), func(t *testing.T) {
				for _, n := range kind.delegate {
					w, d := newDiskWorld(t, kind.format)
					d.fill()
					d.leave(n)
					code, out := w.kugetsu(delegate...)
					err := w.enqueued(code, out, 0, 75)
					if n == 0 && code != 75 {
						err = errors.Join(err, fmt.Errorf("exit code %d, without any room: %s", code, out))
					}
					d.free()
					if err = errors.Join(err, w.again()); err != nil {
						t.Errorf("%d %s left: %v", n, kind.what, err)
					}
					w.close()
				}
			})
			try(t, disks, "the disk has no "+kind.what+" left, or few, as a tick dispatches", len(kind.tick), func(t *testing.T) {
				for _, n := range kind.tick {
					w, d := newDiskWorld(t, kind.format)
					finish := w.crowd()
					if n > 0 { // each tick gives a lease without a runner a second
						finish()
					}
					d.fill()
					d.leave(n)
					code, out := w.kugetsu("tick")
					err := oneLine(code, out, 0, 75)
					if n == 0 && (code != 75 || w.begun() > 0) {
						err = errors.Join(err, fmt.Errorf("exit code %d, %d agents started, without any room: %s", code, w.begun(), out))
					}
					finish()
					code, out = w.kugetsu("tick") // while it is still full
					err = errors.Join(err, oneLine(code, out, 0, 75))
					d.free()
					if err = errors.Join(err, w.healed(completed)); err != nil {
						t.Errorf("%d %s left: %v", n, kind.what, err)
					}
					w.close()
				}
			})
		})
	}
	for _, f := range append(slices.Clone(formats), fewInodes) {
		what := "blocks (" + f.name + ")"
		if f.size == fewInodes.size && len(f.mkfs) == len(fewInodes.mkfs) {
			what = "inodes"
		}
		t.Run(strings.ReplaceAll(what, " ", "_"), func(t *testing.T) {
			needDisks(t, disks, f)
			try(t, disks, "the disk has no "+what+" left as the agent ends", 1, func(t *testing.T) {
				if err := fullAtTheEnd(t, f); err != nil {
					t.Error(err)
				}
			})
		})
	}
	t.Run("work", func(t *testing.T) {
		needDisks(t, disks, ext4)
		try(t, disks, "the agent leaves uncommitted work and fills the disk", 1, workOnAFullDisk)
	})
}

// fullAtTheEnd: the agent succeeds on a disk without room. Its run is not repeated, since the record of its end takes no room.
func fullAtTheEnd(t *testing.T, f format) error {
	w, d := newDiskWorld(t, f)
	defer w.close()
	gate := w.gate()
	w.agentThen(waits)
	_, it := w.item(1)
	if code, out := w.kugetsu("tick"); code != 0 {
		return fmt.Errorf("exit code %d: %s", code, out)
	}
	run := slots.RunName(it.ID, 1)
	w.await("the agent is on record as started", func() bool {
		m, err := w.home.ReadMarker(run)
		return err == nil && m.Phase == slots.Started && w.begun() == 1
	})
	d.fill()
	_, err := gate.WriteString("\n")
	w.must(err)
	w.idle()
	if m, err := w.home.ReadMarker(run); err != nil || m.Phase != slots.Ended || m.Outcome != "ok" {
		return fmt.Errorf("the run ended, and its marker is %+v: %v", m, err)
	}
	for range 3 {
		d.fill() // a run's temporary files are gone, and so their blocks are free
		code, out := w.kugetsu("tick")
		err = errors.Join(err, oneLine(code, out, 0, 75))
	}
	d.free()
	return errors.Join(err, w.onlyOnce())
}

// onlyOnce checks that the world's one item is completed after one run.
func (w *world) onlyOnce() error {
	err := w.healed(completed)
	for _, id := range w.ids {
		_, it, loadErr := load(w, id)
		if err = errors.Join(err, loadErr); loadErr == nil && (it.Runs != 1 || counted(it)[outcome.OK] != 1) {
			err = errors.Join(err, fmt.Errorf("%s: %d runs, %v", id, it.Runs, counted(it)))
		}
	}
	return err
}

// workOnAFullDisk: the agent itself takes the last block and leaves uncommitted work. The work is still there when the next agent
// works in the worktree.
func workOnAFullDisk(t *testing.T) {
	w, d := newDiskWorld(t, ext4)
	w.agentThen(`test -e work && exit 0
echo "only here" >work
while echo more >>"$KUGETSU_DIR/filler"; do
	cat /dev/zero >>"$KUGETSU_DIR/filler"
	sync -f "$KUGETSU_DIR"
done 2>/dev/null
echo more >"$KUGETSU_DIR/more" && echo "there is room left" >>"$REC"
exit 0
`)
	w.item(1)
	if code, out := w.kugetsu("tick"); code != 0 {
		t.Errorf("exit code %d: %s", code, out)
	}
	w.await("the agent began", func() bool { return w.begun() == 1 })
	w.idle()
	code, out := w.kugetsu("tick")
	if err := oneLine(code, out, 0, 75); err != nil {
		t.Error(err)
	}
	d.free()
	if err := w.onlyOnce(); err != nil {
		t.Error(err)
	}
	w.item(1) // the next one on this issue
	if err := w.onlyOnce(); err != nil {
		t.Error(err)
	}
	refs, err := exec.Command("git", "-C", filepath.Join(w.dir, "repo"), "for-each-ref", "--format=%(refname)", "refs/kugetsu").Output()
	must(t, err)
	kept := false
	for ref := range strings.FieldsSeq(string(refs)) {
		text, err := exec.Command("git", "-C", filepath.Join(w.dir, "repo"), "show", ref+":work").Output()
		kept = kept || err == nil && string(text) == "only here\n"
	}
	if !kept {
		t.Errorf("the work is kept nowhere: %s", refs)
	}
}

// TestReadOnlyDisk: nothing is done while nothing can be recorded, and all goes on once it can be.
func TestReadOnlyDisk(t *testing.T) {
	needDisks(t, disks, ext4)
	try(t, disks, "the disk is read-only as delegate enqueues", 1, func(t *testing.T) {
		w, d := newDiskWorld(t, ext4)
		d.remount("ro")
		code, out := w.kugetsu(delegate...)
		err := w.enqueued(code, out, 75)
		d.remount("rw")
		if err := errors.Join(err, w.again()); err != nil {
			t.Error(err)
		}
	})
	try(t, disks, "the disk is read-only as a tick begins", 1, func(t *testing.T) {
		w, d := newDiskWorld(t, ext4)
		w.crowd()() // the run that is alive would keep the disk writable
		d.remount("ro")
		code, out := w.kugetsu("tick")
		err := oneLine(code, out, 75)
		if n := w.begun(); n > 0 {
			err = errors.Join(err, fmt.Errorf("%d agents started", n))
		}
		d.remount("rw")
		if err := errors.Join(err, w.healed(completed)); err != nil {
			t.Error(err)
		}
	})
	// A disk with open files cannot be made read-only by hand. The kernel does it when the disk fails.
	try(t, disks, "the disk fails and is read-only while agents run", 1, func(t *testing.T) {
		w, d := newDiskWorld(t, ext4)
		trigger := filepath.Join("/sys/fs/ext4", d.loop(), "trigger_fs_error")
		if _, err := os.Stat(trigger); err != nil {
			skip(t, disks, "this kernel cannot be made to find an error on a disk: "+err.Error())
		}
		gate := w.gate()
		w.agentThen(waits)
		for n := range limit + 1 {
			w.item(n + 1)
		}
		w.kugetsu("tick")
		w.await("as many agents began as may, and are on record", func() bool {
			marked, err := filepath.Glob(filepath.Join(string(w.home), "runs", "*", "started"))
			return err == nil && len(marked) == limit && w.begun() == limit
		})
		must(t, os.WriteFile(trigger, []byte("broken on purpose"), 0))
		_, err := gate.WriteString(strings.Repeat("\n", 4*limit))
		must(t, err)
		w.idle()
		code, out := w.kugetsu("tick")
		err = oneLine(code, out, 75)
		if n := w.begun(); n != limit {
			err = errors.Join(err, fmt.Errorf("%d agents ran on a disk that takes no record of it", n-limit))
		}
		d.unmount()
		must(t, d.mount())
		if err := errors.Join(err, w.healed(completed)); err != nil {
			t.Error(err)
		}
	})
}

// nobodyElse is a user without any process. The kernel counts the processes of a user, and not those of a world.
const nobodyElse = 64987

// idles says that no process of a user is left.
func idles(uid uint32) bool {
	left, _ := filepath.Glob("/proc/[0-9]*")
	return !slices.ContainsFunc(left, func(dir string) bool {
		info, err := os.Stat(dir)
		return err == nil && info.Sys().(*syscall.Stat_t).Uid == uid
	})
}

// TestFewProcessesAndFiles: if a process or a descriptor is refused, kugetsu leaves its work undone, or Go's own runtime ends it,
// which is the same as a kill. A run that it began may have to live with the same limits.
func TestFewProcessesAndFiles(t *testing.T) {
	if os.Geteuid() != 0 {
		skip(t, disks, "root is needed to become a user without any other process")
	}
	for _, tool := range []string{"setpriv", "prlimit"} {
		if _, err := exec.LookPath(tool); err != nil {
			skip(t, disks, tool+" is not installed")
		}
	}
	must(t, os.Chmod(bin, 0o711))
	become := []string{"setpriv", fmt.Sprintf("--reuid=%d", nobodyElse), fmt.Sprintf("--regid=%d", nobodyElse), "--clear-groups"}
	for _, kind := range []struct {
		name, limit string
		values      []int
	}{
		{"a tick and its agents may have few processes", "--nproc", upTo(30, 1, 7, 12, 16, 24)},
		{"a tick and its agents may have few open files", "--nofile", upTo(30, 3, 7, 9, 13, 16)},
	} {
		try(t, disks, kind.name, len(kind.values), func(t *testing.T) {
			for _, n := range kind.values {
				w := newWorld(t)
				t.Cleanup(w.close)
				w.await("what the world before left has ended", func() bool { return idles(nobodyElse) })
				w.env = append(w.env, "MAX_ATTEMPTS=1000", "USER=nobodyelse")
				w.crowd()()
				must(t, command("chown", "-R", fmt.Sprintf("%d:%d", nobodyElse, nobodyElse), w.dir))
				w.before = append(slices.Clone(become), "prlimit", fmt.Sprintf("%s=%d", kind.limit, n))
				code, out := w.kugetsu("tick")
				died := code == 2 // Go's runtime; or a signal, or the program could not be loaded
				w.before = become
				w.kugetsu("tick")
				err := w.healed(completed)
				if !died {
					err = errors.Join(err, oneLine(code, out, 0, 75, 78))
				}
				line, _, _ := strings.Cut(out, "\n")
				t.Logf("%s=%d: exit code %d: %s", kind.limit, n, code, line)
				if err != nil {
					t.Errorf("%s=%d: %v", kind.limit, n, err)
				}
				w.close()
			}
		})
	}
}
