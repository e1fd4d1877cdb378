// Package fault gives an error the exit code and the hint it deserves, at the place that knows them.
//
// main prints the error as one line, the hint as a second, and exits with the code; nothing else prints errors.
package fault

import (
	"errors"
	"fmt"
	"os/exec"
	"syscall"
)

// The exit codes of kugetsu: part of its interface, they never change their meaning.
const (
	Failed = 1  // the thing asked for was tried and failed
	NoSlot = 2  // start, continue: no free place for the agent right now
	Temp   = 75 // EX_TEMPFAIL: work left undone for a passing reason (full disk, lock busy, a file set aside)
	Unsafe = 77 // EX_NOPERM: the state folder is not safely ours
	Config = 78 // EX_CONFIG: bad configuration
	Usage  = 80 // wrong usage of the command line (kong's own code for it)
)

// Error is an error with an exit code and, where there is a remedy, a hint.
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

// Told marks an error that asks for an exit code and needs no words: they were printed before, or no reader is left.
func Told(err error) error { return told{err} }

// Untold is what of an error is to be printed, nil for nothing.
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

// Code is the exit code an error asks for: 0 for nil; where no error in its chain says otherwise Temp for what the system
// refused, which says nothing about what was asked for, and Failed for the rest.
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

// asked is the code that the first error in the tree asks for. What another program exited with is none: git's 128 means
// something else.
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
