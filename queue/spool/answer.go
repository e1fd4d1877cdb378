package spool

import (
	"fmt"
	"sync"
	"time"
)

// answerMost bounds a call that uses a file outside of the state folder. If the file system of that file is mounted from a server
// that is gone, the call does not return, and no signal ends it.
var answerMost = 10 * time.Second

// unanswered are the paths at which a call has not returned.
var unanswered sync.Map

// Answered calls do, which uses the file at path outside of the state folder. If do does not return within a bounded time, Answered
// returns an error and leaves the call behind. Until that call returns, Answered refuses the same path at once, so hanging calls do
// not pile up. The process goes on with its other work. But if not even SIGKILL ends the call (a local file system that is frozen),
// the kernel keeps the process until the call returns.
func Answered(path string, do func() error) error {
	late := wrap("use", path, fmt.Errorf("its file system did not answer within %s: is it mounted, and its server there?", answerMost))
	if _, still := unanswered.LoadOrStore(path, true); still {
		return late
	}
	done := make(chan error, 1)
	go func() {
		err := do()
		unanswered.Delete(path)
		done <- err
	}()
	limit := time.NewTimer(answerMost)
	defer limit.Stop()
	select {
	case err := <-done:
		return err
	case <-limit.C:
		return late
	}
}
