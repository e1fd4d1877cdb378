package slots

import (
	"errors"
	"fmt"
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
}

// Answer is what a node says.
type Answer struct {
	Node    string    `json:"node"`
	At      time.Time `json:"at"`      // by the node's clock
	Locks   bool      `json:"locks"`   // the lock that doctor has is locked there, too
	LockErr string    `json:"lockerr"` // why that could not be tried
	Missing []string  `json:"missing"` // programs that are not there
	User    int       `json:"user"`
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
	return spool.File[Answer]{Path: d.ProbePath(name, "answer")}.WriteSoon(&a)
}
