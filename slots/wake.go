package slots

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"

	"kugetsu/slots/proc"
)

// The end of a run needs a pass that begins after it, which need not be its own: where runs end faster than passes are done, one pass
// settles many. A tick that waits for tick.lock keeps tick.next locked meanwhile, and a runner that finds tick.next locked starts no
// tick. The order is the point:
//
//   - A runner records its end and closes its lease before it looks at tick.next.
//   - A tick unlocks tick.next before it looks at anything.
//
// So when a runner sees the lock, that tick's look is yet to come, and finds the end and the free slot. Where the tick is killed
// instead, the next one finds them, as it does where a runner is killed before it has started its tick.
//
// The lock is one of fcntl(2). It can be seen without being taken: a runner that took it, for an instant, would itself look like a tick
// that waits. And no child inherits it. Several ticks may wait at once; one of them has the lock.

// AnnouncePass says, until withdraw is called or the process ends, that a pass is to come. The caller waits for tick.lock.
func (d Dir) AnnouncePass() (withdraw func() error, err error) {
	f, err := os.OpenFile(d.nextPass(), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.FcntlFlock(f.Fd(), unix.F_SETLK, wholeFile())
	if err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EACCES) { // those two: another tick waits, too
		return nil, errors.Join(&fs.PathError{Op: "lock", Path: d.nextPass(), Err: err}, f.Close())
	}
	return f.Close, nil
}

// passAnnounced says whether a pass is to come that sees all that is on disk now. After an error that is not known.
func (d Dir) passAnnounced() (bool, error) {
	f, err := os.OpenFile(d.nextPass(), os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	lock := wholeFile()
	if err := unix.FcntlFlock(f.Fd(), unix.F_GETLK, lock); err != nil {
		return false, errors.Join(&fs.PathError{Op: "look for a lock", Path: d.nextPass(), Err: err}, f.Close())
	}
	return lock.Type != unix.F_UNLCK, f.Close()
}

func (d Dir) nextPass() string { return filepath.Join(string(d), "tick.next") }

func wholeFile() *unix.Flock_t { return &unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart} }

// wakeQueue sees to it that a pass settles this run and refills its slot: it starts a tick, where none waits that will see this
// run's end. The tick runs in a session of its own, and waits for tick.lock in case a pass is under way that is past this slot already.
// cron is only the safety net.
func (d Dir) wakeQueue() error {
	announced, err := d.passAnnounced()
	if announced {
		return err
	}
	if startErr := d.startTick(); startErr != nil {
		return fmt.Errorf("tick: %w", errors.Join(startErr, err))
	}
	return err
}

func (d Dir) startTick() error {
	self, err := proc.Self()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, "tick", "--wait")
	cmd.Dir = string(d)
	cmd.Env = without(os.Environ(), proc.Mark)
	out, logErr := d.OpenTickLog()
	if logErr == nil { // without the log its output is lost, but the slot is refilled all the same
		defer out.Close()
		cmd.Stdout, cmd.Stderr = out, out
	}
	cmd.SysProcAttr = proc.Detach()
	if err := cmd.Start(); err != nil {
		return errors.Join(err, logErr)
	}
	return errors.Join(logErr, cmd.Process.Release())
}
