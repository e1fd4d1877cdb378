package slots

import (
	"errors"
	"fmt"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"

	"kugetsu/queue/fault"
	"kugetsu/queue/spool"
	"kugetsu/slots/proc"
)

// The descriptors that a runner inherits: its lease and its gate. The agent and git inherit the lease under the same numbers.
const (
	fdSlot    = 3
	fdSession = 4
	fdGate    = 5
)

// Launch forks the runner of a run: in a session of its own, with its output in the run's log. It inherits only the lease and the
// gate, and does nothing until a task is sent. The caller keeps its own descriptors of the locks and of the gate, and closes
// them.
func (d Dir) Launch(run string, slot, session *Lock, env []string) (pid int, gate *Gate, err error) {
	self, err := proc.Self()
	if err != nil {
		return 0, nil, fmt.Errorf("launch %s: %w", run, err)
	}
	log, err := spool.Open(d.LogPath(run), os.O_WRONLY|os.O_CREATE|os.O_APPEND)
	if err != nil {
		return 0, nil, err
	}
	defer log.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return 0, nil, fmt.Errorf("launch %s: %w", run, err)
	}
	defer r.Close()
	cmd := exec.Command(self, "run", run)
	cmd.Dir = string(d)
	cmd.Env = with(env, proc.Mark+"="+run)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{slot.File(), session.File(), r}
	cmd.SysProcAttr = proc.Detach()
	if err := cmd.Start(); err != nil {
		return 0, nil, fmt.Errorf("launch %s: %w", run, errors.Join(err, w.Close()))
	}
	pid = cmd.Process.Pid
	// The runner is not waited for: the tick exits, and the lease tells when the runner is gone.
	if err := cmd.Process.Release(); err != nil {
		return pid, &Gate{w}, fmt.Errorf("launch %s: %w", run, err)
	}
	return pid, &Gate{w}, nil
}

// inherited are the descriptors that Launch gave to this process. Processes that this one starts do not inherit them, unless they
// are passed on.
func inherited() (slot, session, gate *os.File, err error) {
	for _, fd := range []int{fdSlot, fdSession, fdGate} {
		var stat unix.Stat_t
		err := unix.Fstat(fd, &stat)
		if err != nil && !errors.Is(err, unix.EBADF) {
			return nil, nil, nil, fmt.Errorf("lease: %w", err)
		}
		if err != nil {
			return nil, nil, nil, fault.New(fault.Usage, "kugetsu tick starts it", "run is not for use by hand: there is no lease")
		}
		unix.CloseOnExec(fd)
	}
	if err := unix.SetNonblock(fdGate, true); err != nil { // else it could not be read with a deadline
		return nil, nil, nil, fmt.Errorf("gate: %w", err)
	}
	return os.NewFile(fdSlot, "slot"), os.NewFile(fdSession, "session"), os.NewFile(fdGate, "gate"), nil
}
