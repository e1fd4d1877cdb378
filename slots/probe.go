package slots

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"kugetsu/queue/pattern"
	"kugetsu/queue/spool"
	"kugetsu/slots/proc"
)

// A probe is a small job by which doctor learns what the nodes of a cluster have: three files of a name, in the state folder, that doctor
// makes and removes: what is asked, the answer, and a lock that doctor has.

// Question is what a probe asks.
type Question struct {
	Env      []string `json:"env"`      // of agents
	Programs []string `json:"programs"` // that a run needs
	Disk     string   `json:"disk"`     // SLURM_WORKDIR
}

// Answer is what a node says.
type Answer struct {
	Node    string    `json:"node"`
	At      time.Time `json:"at"`      // by the node's clock
	Locks   bool      `json:"locks"`   // the lock that doctor has is locked there, too
	LockErr string    `json:"lockerr"` // why that could not be tried
	Missing []string  `json:"missing"` // programs that are not there
	User    int       `json:"user"`
	DiskErr string    `json:"diskerr"` // why no worktree can be made in SLURM_WORKDIR
	Shared  bool      `json:"shared"`  // what doctor has put there is seen from the node: it is no disk of the node's own
}

var probeName = pattern.Lazy(`^probe\.[0-9a-z]{8,30}$`)

// ProbePath is the path of a file of a probe: ask, answer or lock.
func (d Dir) ProbePath(name, file string) string { return filepath.Join(string(d), name+"."+file) }

// WriteQuestion writes what a probe asks.
func (d Dir) WriteQuestion(name string, q Question) error {
	return spool.File[Question]{Path: d.ProbePath(name, "ask")}.WriteSoon(&q)
}

// ReadAnswer reads the answer of a probe; nil where there is none yet.
func (d Dir) ReadAnswer(name string) (*Answer, error) {
	return spool.File[Answer]{Path: d.ProbePath(name, "answer")}.Read()
}

// DropProbe removes the files of a probe.
func (d Dir) DropProbe(name string) error {
	return errors.Join(spool.Unlink(d.ProbePath(name, "ask")), spool.Unlink(d.ProbePath(name, "answer")), spool.Unlink(d.ProbePath(name, "lock")))
}

// diskMark is a file that doctor puts into SLURM_WORKDIR on its own machine, where there is such a folder.
func diskMark(disk, name string) string { return filepath.Join(disk, ".kugetsu-"+name) }

// MarkDisk puts it there. A folder that is not there is no error: login nodes may have none.
func MarkDisk(disk, name string) error {
	if there, err := spool.Exists(disk); err != nil || !there {
		return err
	}
	return os.WriteFile(diskMark(disk, name), nil, 0o600)
}

// UnmarkDisk removes it.
func UnmarkDisk(disk, name string) error {
	if err := os.Remove(diskMark(disk, name)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// tryDisk makes what a run makes on the disk of its node, and a file, and removes both.
func (d Dir) tryDisk(disk string) error {
	dir := filepath.Dir(d.scratchPath(disk, "session"))
	if err := makeScratch(dir); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".probe-*")
	if err == nil {
		_, err = f.WriteString("probe\n")
		err = errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	_ = os.Remove(dir) // not empty: a run has it
	return err
}

// answer answers a probe, on a node.
func (d Dir) answer(name string) error {
	q, err := spool.File[Question]{Path: d.ProbePath(name, "ask")}.Read()
	if err == nil && q == nil { // doctor waits no more
		err = fmt.Errorf("%s asks nothing", name)
	}
	if err != nil {
		return err
	}
	a := Answer{Node: os.Getenv("SLURMD_NODENAME"), At: time.Now().UTC(), User: os.Getuid()}
	lock, err := spool.TryLock(d.ProbePath(name, "lock"), unix.LOCK_EX)
	switch {
	case err == nil:
		_ = lock.Close()
	case errors.Is(err, ErrBusy):
		a.Locks = true
	default:
		a.LockErr = err.Error()
	}
	for _, program := range q.Programs {
		if _, err := proc.Program(program, q.Env, "/"); err != nil {
			a.Missing = append(a.Missing, program)
		}
	}
	if q.Disk != "" {
		if err := d.tryDisk(q.Disk); err != nil {
			a.DiskErr = err.Error()
		}
		if a.Shared, err = spool.Exists(diskMark(q.Disk, name)); err != nil && a.DiskErr == "" {
			a.DiskErr = err.Error()
		}
	}
	return spool.File[Answer]{Path: d.ProbePath(name, "answer")}.WriteSoon(&a)
}
