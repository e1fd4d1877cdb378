package faults

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/issueref"
	"kugetsu/slots"
)

// A power cut is a copy of the image while it is mounted. The copy has what the disk holds at that instant, without anything that
// was only in memory. To mount the copy replays its journal, as the next start of the machine does.

// writes is how many writes the disk has seen, and whether one is under way.
func (d *disk) writes() (seen string, busy bool) {
	stat, err := os.ReadFile(filepath.Join("/sys/block", d.loop(), "stat"))
	must(d.t, err)
	f := strings.Fields(string(stat))
	return f[4], f[8] != "0"
}

// powerCut takes the disk away from a world, and gives it back as it was at one instant. All processes are gone. What they did
// elsewhere after that instant did not happen.
func (w *world) powerCut(d *disk) {
	w.t.Helper()
	after := d.image + ".after"
	var record []byte
	for begin := time.Now(); ; {
		before, busy := d.writes()
		if !busy {
			must(w.t, command("cp", "--sparse=always", d.image, after))
			var err error
			if record, err = os.ReadFile(w.record()); err != nil && !errors.Is(err, fs.ErrNotExist) {
				w.t.Fatal(err)
			}
			if now, busy := d.writes(); now == before && !busy { // otherwise the copy is of several instants
				break
			}
		}
		if time.Since(begin) > patience {
			w.t.Fatal("the disk is never at rest")
		}
	}
	w.release()
	for _, run := range w.alive() {
		w.end(run)
	}
	// A tick that was under way may have started more processes.
	gone := make(chan struct{})
	go func() { d.unmount(); close(gone) }()
	for over := false; !over; {
		select {
		case <-gone:
			over = true
		case <-time.After(5 * time.Millisecond):
			runs, _ := os.ReadDir(filepath.Join(string(w.home), "runs"))
			for _, run := range runs {
				w.end(run.Name())
			}
		}
	}
	must(w.t, os.Rename(after, d.image))
	if d.format.name == btrfs.name { // btrfs would take the copy for an older version of a disk that it knows
		must(w.t, command("btrfs", "device", "scan", "--forget"))
	}
	must(w.t, d.mount())
	if record != nil {
		must(w.t, os.WriteFile(w.record(), record, 0o600))
	} else if err := os.Remove(w.record()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.t.Fatal(err)
	}
}

// torn lists the state files that are there and are not whole. A run's own report decides nothing, and may be torn.
func (w *world) torn() error {
	var errs []error
	err := filepath.WalkDir(string(w.home), func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || filepath.Ext(path) != ".json" || filepath.Base(path) == "result.json" {
			return err
		}
		data, err := os.ReadFile(path)
		if err == nil && !json.Valid(data) && string(data) != "{" { // crowd makes such a file
			errs = append(errs, fmt.Errorf("%s is torn: %q", path, data))
		}
		return err
	})
	return errors.Join(append(errs, err)...)
}

// restarted gives all processes from now on another boot id.
func (w *world) restarted() {
	id := filepath.Join(w.dir, "boot_id")
	must(w.t, os.WriteFile(id, []byte("00000000-1111-2222-3333-444444444444\n"), 0o644))
	w.before = []string{"unshare", "--mount", "sh", "-c", `mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"`, id}
	if out, err := exec.Command(w.before[0], append(w.before[1:], "true")...).CombinedOutput(); err != nil {
		skip(w.t.(*testing.T), disks, fmt.Sprintf("the boot id cannot be another one here: %v: %s", err, out))
	}
}

// foreign is another program's fsync on the same disk: it also writes files that kugetsu has not synced, names without content too.
func (d *disk) foreign() {
	f, err := os.Create(filepath.Join(d.at, "foreign"))
	must(d.t, err)
	_, err = f.WriteString("x")
	must(d.t, errors.Join(err, f.Sync(), f.Close()))
}

// rounds is how often a cut is tried.
func rounds(few, many int) int {
	if *full {
		return many
	}
	return few
}

// cutAfterDelegate: each time, an item whose id was printed is there and whole after the power was cut.
func cutAfterDelegate(t *testing.T, f format, n int) error {
	w, d := newDiskWorld(t, f)
	defer w.close()
	for i := range n {
		code, out := w.kugetsu("delegate", fmt.Sprintf("you/project#%d", i+1), "work")
		if code != 0 {
			return fmt.Errorf("exit code %d: %s", code, out)
		}
		w.ids, w.paid = append(w.ids, strings.TrimSpace(out)), append(w.paid, 0)
		w.powerCut(d)
		for _, id := range w.ids {
			if _, it, err := load(w, id); err != nil || it.State != queue.Pending {
				return fmt.Errorf("power cut %d: %s was printed: %w", i+1, id, err)
			}
		}
		if err := w.torn(); err != nil {
			return err
		}
	}
	w.ids, w.paid = w.ids[:min(n, 5)], w.paid[:min(n, 5)]
	items, err := w.q.Live(queue.Dev)
	w.must(err)
	for _, e := range items[len(w.ids):] { // the items that are left are enough to show that they run
		must(t, os.Remove(e.Path))
	}
	return w.healed(completed)
}

// cutAfterMany: the same holds for every item whose id delegate --from printed, although it waits for the disk only once for all.
func cutAfterMany(t *testing.T, f format) error {
	w, d := newDiskWorld(t, f)
	defer w.close()
	code, out := w.kugetsu(manyLines(w)...)
	if code != 0 {
		return fmt.Errorf("exit code %d: %s", code, out)
	}
	w.powerCut(d)
	return errors.Join(delegatedMany(w, code, out), w.torn(), w.healed(completed))
}

// cutWhileAgentsRun: an agent that has begun is on record as begun.
func cutWhileAgentsRun(t *testing.T, f format, withForeign bool) error {
	return errors.Join(cutInAWorktree(t, f, withForeign, false), cutInAWorktree(t, f, withForeign, true))
}

// cutInAWorktree is cutWhileAgentsRun with the repository on another disk, or with a clone of it on the same disk.
func cutInAWorktree(t *testing.T, f format, withForeign, clone bool) error {
	w, d := newDiskWorld(t, f)
	defer w.close()
	gate := w.gate()
	w.agentThen(waits)
	repo := filepath.Join(w.dir, "repo")
	must(t, os.WriteFile(filepath.Join(repo, "code"), []byte("whole\n"), 0o600))
	must(t, command("git", "-C", repo, "add", "code"))
	must(t, command("git", "-C", repo, "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-q", "-m", "code"))
	if clone { // the clone is on the same disk
		must(t, os.WriteFile(filepath.Join(d.at, "repos.json"), fmt.Appendf(nil, `{"github.com/you/project": "file://%s"}`, repo), 0o600))
	}
	for n := range limit + 1 {
		w.item(n + 1)
	}
	d.sync()
	if code, out := w.kugetsu("tick"); code != 0 {
		return fmt.Errorf("exit code %d: %s", code, out)
	}
	w.await("as many agents began as may", func() bool { return w.begun() == limit })
	if withForeign {
		d.foreign()
	}
	w.powerCut(d)
	if err := w.torn(); err != nil {
		return err
	}
	data, err := os.ReadFile(w.record())
	must(t, err)
	for _, id := range w.ids {
		_, it, err := load(w, id)
		if err != nil {
			return err
		}
		begun := strings.Contains(string(data), "begin "+id+".1")
		if begun && (it.State != queue.Notified || it.Runs != 1) {
			return fmt.Errorf("the agent of %s ran, and after the power cut it is %s, run %d", id, it.State, it.Runs)
		}
		if !begun {
			continue
		}
		ref, err := issueref.Parse(it.IssueRef, "")
		must(t, err)
		if text, err := os.ReadFile(filepath.Join(d.at, "worktrees", ref.Session(), "code")); string(text) != "whole\n" {
			return fmt.Errorf("an agent was let into a worktree of which a power cut leaves this: %q %v", text, err)
		}
	}
	w.restarted()
	w.unpaid = 1 // a restart of the machine is not the item's fault
	_, err = gate.WriteString(strings.Repeat("\n", 20))
	must(t, err)
	if err := w.healed(completed); err != nil {
		return err
	}
	for _, id := range w.ids {
		_, it, err := load(w, id)
		if err != nil {
			return err
		}
		if it.Attempts != 1 {
			return fmt.Errorf("%s has %d attempts after a power cut: %v", id, it.Attempts, it.History)
		}
	}
	return nil
}

// cutAfterTheEnd: a run whose end is on record is not repeated, although the power is cut before a tick settles it.
func cutAfterTheEnd(t *testing.T, f format, withForeign bool) error {
	w, d := newDiskWorld(t, f)
	defer w.close()
	gate := w.gate()
	w.agentThen(waits)
	w.item(1)
	if code, out := w.kugetsu("tick"); code != 0 {
		return fmt.Errorf("exit code %d: %s", code, out)
	}
	w.await("the agent began", func() bool { return w.begun() == 1 })
	lock, err := slots.TryLockFor(filepath.Join(string(w.home), "tick.lock"), patience) // so no tick can settle it
	must(t, err)
	w.held = append(w.held, lock)
	_, err = gate.WriteString("\n")
	must(t, err)
	// The runner gives up its lease once the end is on record, and not before.
	w.await("the run is over", func() bool {
		held, err := slots.Locked(w.home.SlotLock("1"))
		must(t, err)
		return !held
	})
	if withForeign {
		d.foreign()
	}
	w.powerCut(d)
	if _, it, err := load(w, w.ids[0]); err != nil || it.State != queue.Notified {
		return fmt.Errorf("a tick settled it after all: %w", err)
	}
	if err := w.torn(); err != nil {
		return err
	}
	w.restarted()
	_, err = gate.WriteString("\n\n\n")
	must(t, err)
	return w.onlyOnce()
}

// cutAfterSettling: what `queue wait` said before the cut holds after it.
func cutAfterSettling(t *testing.T, f format, withForeign bool) error {
	w, d := newDiskWorld(t, f)
	defer w.close()
	_, it := w.item(1)
	w.kugetsu("tick")
	if code, out := w.kugetsu("queue", "wait", it.ID); code != 0 {
		return fmt.Errorf("wait exits %d: %s", code, out)
	}
	lock, err := slots.TryLockFor(filepath.Join(string(w.home), "tick.lock"), patience) // the tick that settled the item has ended
	must(t, err)
	must(t, lock.Close())
	if withForeign {
		d.foreign()
	}
	w.powerCut(d)
	_, now, err := load(w, it.ID)
	if err != nil {
		return err
	}
	if now.State != queue.Completed {
		return fmt.Errorf("wait had exited 0, and after the power cut the item is %s", now.State)
	}
	return errors.Join(w.torn(), w.onlyOnce())
}

func TestPowerIsCut(t *testing.T) {
	for _, f := range formats {
		t.Run(f.name, func(t *testing.T) {
			needDisks(t, disks, f)
			n := rounds(2, 50)
			try(t, disks, "power cut after delegate exited 0 ("+f.name+")", n, func(t *testing.T) {
				if err := cutAfterDelegate(t, f, n); err != nil {
					t.Error(err)
				}
			})
			try(t, disks, "power cut after delegate --from exited 0 ("+f.name+")", n, func(t *testing.T) {
				for range n {
					if err := cutAfterMany(t, f); err != nil {
						t.Error(err)
					}
				}
			})
			for name, one := range map[string]func(*testing.T, format, bool) error{
				"power cut while agents run":                    cutWhileAgentsRun,
				"power cut after the end of a run is on record": cutAfterTheEnd,
				"power cut after queue wait said completed":     cutAfterSettling,
			} {
				n := rounds(1, 20)
				try(t, disks, name+" ("+f.name+")", n, func(t *testing.T) {
					for i := range n { // every second time, another program's fsync comes before the cut
						if err := one(t, f, i%2 == 1); err != nil {
							t.Errorf("round %d: %v", i+1, err)
						}
					}
				})
			}
		})
	}
}

// TestPowerIsCutAtEverySystemCall: the next start finds what a command had done before the cut, and only that.
func TestPowerIsCutAtEverySystemCall(t *testing.T) {
	needStrace(t)
	needDisks(t, disks, ext4)
	cut := func(name string, list []point, one func(w *world, d *disk, inject []string) error) {
		began, passed := 0, 0
		for _, p := range list {
			t.Run(strings.ReplaceAll(name, " ", "_")+"/"+p.String(), func(t *testing.T) {
				began++
				w, d := newDiskWorld(t, ext4)
				if err := one(w, d, p.inject("signal=KILL")); err != nil {
					t.Error(err)
					return
				}
				passed++
			})
		}
		if began == len(list) { // -run may leave points out
			report(result{group: disks, name: name, points: len(list), passed: passed})
		}
	}
	w := newWorld(t)
	list := points(t, w, delegate...)
	w.close()
	cut("power cut before each system call of delegate", sample(list, 4), func(w *world, d *disk, inject []string) error {
		_, out := w.exec("strace", append(append(inject, filepath.Join(bin, "kugetsu")), delegate...)...)
		w.powerCut(d)
		return errors.Join(w.torn(), delegated(w, -1, out), w.healed(completed))
	})
	w = newWorld(t)
	list = points(t, w, manyLines(w)...)
	w.close()
	cut("power cut before each system call of delegate --from", sample(list, 4), func(w *world, d *disk, inject []string) error {
		_, out := w.exec("strace", append(append(inject, filepath.Join(bin, "kugetsu")), manyLines(w)...)...)
		w.powerCut(d)
		return errors.Join(w.torn(), delegatedMany(w, -1, out), w.healed(completed))
	})
	w = newWorld(t)
	w.crowd()
	list = points(t, w, "tick")
	w.close()
	cut("power cut before each system call of a tick", sample(list, 4), func(w *world, d *disk, inject []string) error {
		w.crowd() // the run that is alive dies with the power
		d.sync()
		w.exec("strace", append(inject, filepath.Join(bin, "kugetsu"), "tick")...)
		w.powerCut(d)
		w.unpaid, w.unseen = 1, 1 // the cut may meet the agents that were started at any instant
		return w.healed(completed)
	})
}

// TestPowerCutNoticesWhatIsNotOnTheDisk makes the cuts with a kugetsu that does not wait for the disk.
func TestPowerCutNoticesWhatIsNotOnTheDisk(t *testing.T) {
	needDisks(t, broken, ext4)
	const ended = "return spool.Rename(filepath.Join(dir, from.name()), filepath.Join(dir, to.name()))"
	mustNotice(t,
		wrongWay{"a folder is not synced after a name in it changed", "queue/spool/spool.go", []string{"err = d.Sync()", "err = d.Chmod(0o700)"},
			"file does not exist", func(t *testing.T) error { return cutAfterDelegate(t, ext4, 1) }},
		wrongWay{"the items of delegate --from are not synced", "queue/publish.go", []string{"syncErr := batch.Sync()", "syncErr := error(nil)"},
			"a torn item", func(t *testing.T) error { return cutAfterMany(t, ext4) }},
		wrongWay{"the end of a run is not synced", "slots/run.go",
			[]string{ended, "return os.Rename(filepath.Join(dir, from.name()), filepath.Join(dir, to.name()))"},
			"but its agent started 2 times", func(t *testing.T) error { return cutAfterTheEnd(t, ext4, false) }},
		wrongWay{"an agent is let into a worktree that is not on the disk", "slots/worktree/prepare.go",
			[]string{"range []string{s.Path, r.common}", "range []string(nil)"},
			"a power cut leaves this", func(t *testing.T) error { return cutInAWorktree(t, ext4, true, false) }},
		wrongWay{"the end of a run is a file that takes room", "slots/run.go", []string{ended,
			`if err := spool.Write(filepath.Join(dir, to.name()), make([]byte, 1<<16)); err != nil {
				return err
			}
			return spool.Remove(filepath.Join(dir, from.name()))`},
			"the run ended, and its marker is", func(t *testing.T) error { return fullAtTheEnd(t, ext4) }},
	)
}
