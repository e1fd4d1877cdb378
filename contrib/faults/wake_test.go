package faults

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"kugetsu/queue"
	"kugetsu/slots"
)

// TestTickIsKilledAsItWaits: a tick waits for tick.lock, and a run ends meanwhile. Its runner starts no tick where it sees that one
// waits. The tick that waits is killed, wherever it is. If it dies before the run ends, the runner starts a tick of its own, which settles
// the run. If it dies later, the next plain tick does. A tick that was not killed settles the run, whatever system call failed.
func TestTickIsKilledAsItWaits(t *testing.T) {
	needStrace(t)
	const name = "tick, as it waits while a run ends"
	w := newWorld(t)
	trace := filepath.Join(w.dir, "trace")
	code, out := w.waits([]string{"-y", "-o", trace})
	list := readPoints(t, trace)
	if code != 0 {
		t.Errorf("exit code %d: %s", code, out)
	}
	w.must(w.sawTheEnd(code))
	w.must(w.settle())
	w.close()
	if !slices.ContainsFunc(list, func(p point) bool { return p.call == "fcntl" }) {
		t.Error("the tick did not say that it waits")
	}
	sweep(t, killed, name, "signal=KILL", sample(list, 8), func(w *world, inject []string) error {
		code, _ := w.waits(inject)
		return errors.Join(w.sawTheEnd(code), w.settle(), w.judge(completed))
	})
	failed(t, name, list, 8, func(w *world, inject []string) error {
		code, out := w.waits(inject)
		return errors.Join(oneLine(code, out, 0, 75, 78), w.sawTheEnd(code), w.settle(), w.judge(completed))
	})
}

// waits runs a tick below strace that must wait for tick.lock, and a whole run while it waits, or after it died. It returns when
// the tick is gone.
func (w *world) waits(inject []string) (code int, out string) {
	lock, err := slots.TryLock(filepath.Join(string(w.home), "tick.lock"))
	w.must(err)
	tick := exec.Command("strace", append(inject, filepath.Join(bin, "kugetsu"), "tick", "--wait")...)
	tick.Env = w.env
	said, err := os.Create(filepath.Join(w.dir, "said"))
	w.must(err)
	defer said.Close()
	tick.Stdout, tick.Stderr = said, said
	text := func() string {
		data, err := os.ReadFile(said.Name())
		w.must(err)
		return string(data)
	}
	w.must(tick.Start())
	gone := make(chan error, 1)
	go func() { gone <- tick.Wait() }()
	var end error
	ended := false
	w.must(await(func() error {
		select {
		case end = <-gone:
			ended = true
		default:
		}
		if !ended && !w.tickWaits() && !strings.Contains(text(), "it could not be said that a tick waits") {
			return fmt.Errorf("the tick does not say that it waits: %s", text())
		}
		return nil
	}))
	w.unpaid, w.relied = 1, !ended
	w.runner([]string{"-o", os.DevNull, "-e", "trace=none"})
	w.must(lock.Close())
	if !ended {
		end = <-gone
	}
	var exit *exec.ExitError
	if end != nil && !errors.As(end, &exit) {
		w.t.Fatal(end)
	}
	return tick.ProcessState.ExitCode(), text()
}

// tickWaits says whether tick.next is locked.
func (w *world) tickWaits() bool {
	f, err := os.OpenFile(filepath.Join(string(w.home), "tick.next"), os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	return unix.FcntlFlock(f.Fd(), unix.F_GETLK, &lock) == nil && lock.Type != unix.F_UNLCK
}

// sawTheEnd says that the run which ended meanwhile is settled without another tick, unless its runner relied on a tick that was killed
// or failed since.
func (w *world) sawTheEnd(code int) error {
	if w.relied && code != 0 {
		return nil
	}
	return await(func() error {
		_, it, err := load(w, w.ids[0])
		if err == nil && it.State != queue.Completed {
			err = fmt.Errorf("no tick settled the run that ended while a tick waited: its item is %s", it.State)
		}
		return err
	})
}
