// Package fault gives an error its exit code and its hint, at the place that knows them.
//
// main prints the error as one line and the hint as a second, and exits with the code. Nothing else prints errors.
package fault

import (
	"errors"
	"fmt"
	"os/exec"
	"syscall"
)

// The exit codes of kugetsu. They are part of its interface: their meaning never changes.
const (
	Failed = 1  // the command was tried and failed
	NoSlot = 2  // start, continue: no free slot
	Temp   = 75 // EX_TEMPFAIL: work is left undone for a passing reason (a full disk, a busy lock, a quarantined file)
	Unsafe = 77 // EX_NOPERM: other users may change the state folder
	Config = 78 // EX_CONFIG: bad configuration
	Usage  = 80 // wrong usage of the command line, as a reference that fits several: kong's own code
)

// Error is an error with an exit code and, where a user can do something about it, a hint.
type Error struct {
	Code int
	Hint string
	Err  error
}

func (e *Error) Error() string { return e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// ExitCode is the status main exits with.
func (e *Error) ExitCode() int { return e.Code }

// New makes an error; the format may wrap another with %w. An empty hint prints no hint line.
func New(code int, hint, format string, args ...any) error {
	return &Error{Code: code, Hint: hint, Err: fmt.Errorf(format, args...)}
}

type told struct{ error }

func (t told) Unwrap() error { return t.error }

// Told marks an error that sets the exit code and is not printed: it was printed before, or the output has no reader.
func Told(err error) error { return told{err} }

// Untold returns the part of an error that is not marked by Told; nil where nothing is left to print.
func Untold(err error) error {
	var t told
	if !errors.As(err, &t) {
		return err
	}
	switch wrapped := err.(type) {
	case told:
		return nil
	case interface{ Unwrap() []error }:
		var rest []error
		for _, one := range wrapped.Unwrap() {
			rest = append(rest, Untold(one))
		}
		return errors.Join(rest...)
	}
	return Untold(errors.Unwrap(err))
}

// Code is the exit code of an error: 0 for nil, else the first code in the error tree, else Temp for an errno, else Failed.
func Code(err error) int {
	if err == nil {
		return 0
	}
	if code, ok := asked(err); ok {
		return code
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return Temp
	}
	return Failed
}

// asked is the first code in the error tree. The exit status of another program does not count: git's 128 means something
// else.
func asked(err error) (int, bool) {
	if _, other := err.(*exec.ExitError); other || err == nil {
		return 0, false
	}
	if coded, ok := err.(interface{ ExitCode() int }); ok {
		return coded.ExitCode(), true
	}
	switch wrapped := err.(type) {
	case interface{ Unwrap() error }:
		return asked(wrapped.Unwrap())
	case interface{ Unwrap() []error }:
		for _, one := range wrapped.Unwrap() {
			if code, ok := asked(one); ok {
				return code, true
			}
		}
	}
	return 0, false
}

// HintOf is the hint of the outermost error in the chain that has one.
func HintOf(err error) string {
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			return ""
		}
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Err
	}
	return ""
}
