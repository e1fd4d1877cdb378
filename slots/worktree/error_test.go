package worktree

import (
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"syscall"
	"testing"
)

func TestALockThatWillBeSweptIsToldFromOneThatMayStay(t *testing.T) {
	for stderr, want := range map[string]bool{
		"fatal: Unable to create '/x/packed-refs.lock': File exists.\n":                                 true,
		"error: cannot lock ref 'a': Unable to create '/x/refs/heads/a.lock': File exists.\nfatal: x\n": true,
		"error: could not lock config file /x/config: File exists\n":                                    true,
		"fatal: Unable to create '/x/worktrees/y/index.lock': File exists.\n":                           false,
		"fatal: cannot lock ref 'HEAD': Unable to create '/x/worktrees/y/HEAD.lock': File exists.\n":    false,
		"fatal: could not create work tree dir '/x': File exists\n":                                     false,
	} {
		if saysLocked(stderr) != want {
			t.Errorf("%q: %t", stderr, !want)
		}
	}
}

func TestWhatAMachineWithoutRoomSaysIsToldFromWhatIsWrongWithTheItem(t *testing.T) {
	said := func(stderr string) error {
		return fmt.Errorf("prepare: %w", &Error{Op: "git fetch", host: saysHost(stderr), Err: &exec.ExitError{}})
	}
	for _, c := range []struct {
		name string
		err  error
		want bool
	}{
		{"a full disk under a file of ours", &Error{Op: "prepare", Err: &fs.PathError{Op: "open", Path: "/x", Err: syscall.ENOSPC}}, true},
		{"no process for git", &Error{Op: "git fetch", Err: &fs.PathError{Op: "fork/exec", Path: "git", Err: syscall.EAGAIN}}, true},
		{"a full disk under git", said("error: unable to write file a.txt: No space left on device\nfatal: unable to checkout working tree\n"), true},
		{"a quota", said("fatal: write error: Disk quota exceeded\n"), true},
		{"no process for git's own child", said("error: cannot fork() for index-pack: Resource temporarily unavailable\n"), true},
		{"the remote's disk", said("remote: fatal: No space left on device\nfatal: the remote end hung up unexpectedly\n"), false},
		{"no access", said("fatal: Authentication failed for 'https://example.org/x'\n"), false},
		{"a file that may not be read", &Error{Op: "prepare", Err: &fs.PathError{Op: "open", Path: "/x", Err: syscall.EACCES}}, false},
		{"a program that is not there", &fs.PathError{Op: "fork/exec", Path: "/x", Err: syscall.ENOENT}, false},
		{"a hook", errors.New("WORKTREE_HOOK: exit status 1"), false},
	} {
		if got := OfHost(c.err); got != c.want {
			t.Errorf("%s: %t (%v)", c.name, got, c.err)
		}
	}
}
