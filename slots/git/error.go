package git

import (
	"cmp"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"

	"kugetsu/queue/pattern"
	"kugetsu/queue/terminal"
)

// Error says what failed in words that can be shown to a user. Use errors.As to get at it.
type Error struct {
	// Op is what was being done: "git fetch", or "prepare", "snapshot", "undo", "clone", "lock" where it is not git
	// that failed.
	Op string
	// Last is git's own last line that says something, or our reason: one line, no control characters, no
	// credentials of a URL. It is empty where git said nothing.
	Last string
	// Permanent says that a retry would meet the same: no access, no such repository, a folder in the way.
	Permanent bool
	// Host says that git printed one of hostErrors: see OfHost.
	Host bool
	// Silent says that git gave up on a remote that said nothing for minutes.
	Silent bool
	// Passing says that the remote could not be talked to, for a reason that may be gone in a moment.
	Passing bool
	// Unreachable says that the remote's host or the way to it is down: its name does not resolve, it does not answer, or
	// answers that it cannot. No task is to blame.
	Unreachable bool
	// Err is the cause: an *exec.ExitError, the end of the context, an I/O error.
	Err error
}

func (e *Error) Error() string {
	var exit *exec.ExitError
	text := e.Op + ": "
	switch {
	case e.Last == "":
		return text + Clean(e.Err.Error())
	case e.Err == nil || errors.As(e.Err, &exit):
		return text + e.Last
	}
	return text + Clean(e.Err.Error()) + ": " + e.Last
}

func (e *Error) Unwrap() error { return e.Err }

// Refuse is an error of ours that a retry would meet again.
func Refuse(op, format string, args ...any) *Error {
	return &Error{Op: op, Last: Clean(fmt.Sprintf(format, args...)), Permanent: true}
}

// hostErrors are the errors of a machine that is short of memory, disk or files, or whose disk fails. The item is not to
// blame. Git prints the same words for them.
var hostErrors = []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EIO, syscall.EMFILE, syscall.ENFILE,
	syscall.EAGAIN, syscall.ENOMEM, syscall.ENOLCK}

// OfHost says whether an error is the machine's, whatever the call was for.
func OfHost(err error) bool {
	var e *Error
	if errors.As(err, &e) && e.Host {
		return true
	}
	return slices.ContainsFunc(hostErrors, func(n syscall.Errno) bool { return errors.Is(err, n) })
}

// noRoom is what git prints, in place of the system's words, where a write of its index or of a pack wrote nothing.
const noRoom = "out of diskspace"

// saysHost finds the same errors in git's stderr. A line of the remote's is about the remote's own disk.
func saysHost(stderr string) bool {
	for line := range strings.Lines(strings.ToLower(stderr)) {
		if !strings.HasPrefix(line, "remote:") && (strings.Contains(line, noRoom) ||
			slices.ContainsFunc(hostErrors, func(n syscall.Errno) bool { return strings.Contains(line, strings.ToLower(n.Error())) })) {
			return true
		}
	}
	return false
}

// saysLocked says whether a lock file stopped git. The file belongs to a git that is at work, or to a git that was killed; sweep removes
// the latter. The lock files of a worktree (index.lock, HEAD.lock) do not count, since sweep may leave them.
func saysLocked(stderr string) bool {
	for line := range strings.Lines(strings.ToLower(stderr)) {
		if strings.Contains(line, "could not lock config file") && strings.Contains(line, syscall.EEXIST.Error()) {
			return true
		}
		if strings.HasSuffix(strings.TrimSpace(line), "cannot lock references") { // the lock of the tables in which a repository has them
			return true
		}
		name, _, locked := strings.Cut(line, ".lock': "+syscall.EEXIST.Error())
		if locked && !strings.HasSuffix(name, "/index") && !strings.HasSuffix(name, "/head") {
			return true
		}
	}
	return false
}

// ExitCode is git's exit status, or -1 where there is no status: git was not started, was killed, or was given up.
func ExitCode(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return -1
}

// Unread is the error for a file of git's that could not be read. An error of the system may pass, so a retry looks again.
// A file that is of another kind, or too large, stays so.
func Unread(op string, err error) *Error {
	var errno syscall.Errno
	passing := errors.As(err, &errno) && !slices.Contains([]syscall.Errno{syscall.ELOOP, syscall.ENXIO, syscall.ENOTDIR}, errno)
	return &Error{Op: op, Permanent: !passing, Err: err}
}

// permanentTexts are the words of git (in the C locale), its transports and the big hosts for errors that a second try does not help.
// Git's exit status does not tell them apart: it is always 128. Errors that may pass are not in the list: names that do not resolve,
// refused connections, timeouts, 5xx and 429, a full disk.
var permanentTexts = []string{
	"repository not found",                               // GitHub, both transports
	"project you were looking for could not be found",    // GitLab
	"does not appear to be a git repository",             // a path, ssh
	"not a git repository",                               //
	"fatal: repository '",                                // "repository 'https://…' not found" after a 404
	"access denied or repository not exported",           // git daemon
	"permission denied (",                                // ssh: (publickey,…). Without the bracket the line is about a file
	"host key verification failed",                       //
	"authentication failed",                              //
	"access denied",                                      //
	"could not read username", "could not read password", // no credentials, and no terminal
	"returned error: 401", "returned error: 403",
	"dubious ownership",
	"fatal: transport '", // transport 'ext' not allowed
	"unable to find remote helper",
	"already checked out at", "already used by worktree at",
	"exists; cannot create", // a branch `fix` where `fix/issue-7` is wanted
	"cannot determine remote head", "multiple remote head branches",
	"strange hostname", "strange pathname",
}

// unreachableTexts are the words of git, its transports and the C library where a host, or the way to it, is down.
var unreachableTexts = []string{
	"could not resolve", "couldn't resolve", "name resolution", "name or service not known", "no address associated",
	"nodename nor servname", "unable to look up",
	"connection refused", "connection timed out", "connection reset", "operation timed out", "failed to connect to",
	"couldn't connect to", "could not connect to", "unable to connect to", "timed out after",
	tooSlow, "no route to host", "network is unreachable", "network is down", "host is down",
	"connection closed by remote host", "connection closed by ", "empty reply from server",
	"ssl_error_syscall", "tls connection was non-properly terminated", "gnutls recv error",
	"returned error: 408", "returned error: 429",
}

// tooSlow is what git says of a remote that said nothing for as long as http.lowSpeedTime allows.
const tooSlow = "operation too slow"

// serverError is what git says of a server that answers with 500 and above.
var serverError = pattern.Lazy(`returned error: 5\d\d`)

// SaysUnreachable says whether git could not talk to the remote's host. A line that the remote itself printed proves the
// opposite.
func SaysUnreachable(stderr string) bool {
	for line := range strings.Lines(strings.ToLower(stderr)) {
		if !strings.HasPrefix(line, "remote:") && (serverError().MatchString(line) ||
			slices.ContainsFunc(unreachableTexts, func(text string) bool { return strings.Contains(line, text) })) {
			return true
		}
	}
	return false
}

// boilerplate are last lines that say nothing: the reason stands above them.
var boilerplate = []string{
	"fatal: could not read from remote repository",
	"please make sure you have the correct access rights",
	"and the repository exists",
	"hint:",
	"use '--' to separate paths from revisions",
	"'git <command>",
	"to add an exception for this directory",
	"git config --global --add safe.directory",
}

// notThere matches the line that a shell, or git, prints where a program is not installed: a filter, a credential or remote
// helper, an ssh.
var notThere = pattern.Lazy(`: \d+: .+: not found$|: command not found$|^error: cannot run .+: No such file or directory$|^git: '.+' is not a git command`)

// diagnose finds the line to show in git's stderr, and whether the error is permanent. A program that is missing is named
// first: git's last line is only the consequence.
func diagnose(stderr string) (last string, permanent bool) {
	last, permanent = lastSaid(stderr)
	for line := range strings.Lines(stderr) {
		line = Clean(line)
		if !notThere().MatchString(line) || strings.HasPrefix(line, "remote:") {
			continue
		}
		if line != last {
			last = Clean(line + "; " + last)
		}
		return last, permanent || !SaysUnreachable(stderr)
	}
	return last, permanent
}

func lastSaid(stderr string) (last string, permanent bool) {
	has := func(texts []string, line string, test func(string, string) bool) bool {
		line = strings.ToLower(line)
		return slices.ContainsFunc(texts, func(t string) bool { return test(line, t) })
	}
	var any, said, failed string // each is the last line of its kind, and the kinds are in order: the last says most
	for _, line := range strings.FieldsFunc(stderr, func(r rune) bool { return r == '\n' || r == '\r' }) {
		line = Clean(line)
		switch {
		case line == "":
			continue
		case has(boilerplate, line, strings.HasPrefix):
			any = line
			continue
		case has(permanentTexts, line, strings.Contains):
			return line, true // the first of these is the reason, what follows only its consequence
		case has([]string{"fatal: ", "error: "}, line, strings.HasPrefix):
			failed = line
		}
		said = line
	}
	return cmp.Or(failed, said, any), false
}

var userinfo = pattern.Lazy(`://[^/@\s']+@`)

var lines = strings.NewReplacer("\n", " ", "\t", " ", "\r", " ")

// Clean makes text fit for one line of a terminal or a log: terminal.Line, with spaces between its lines, and without credentials in
// URLs.
func Clean(text string) string {
	return terminal.Line(WithoutSecret(strings.TrimSpace(lines.Replace(text))), 500)
}

// WithoutSecret is a URL without the name and the password in it: a token may change every day.
func WithoutSecret(url string) string { return userinfo().ReplaceAllString(url, "://") }
