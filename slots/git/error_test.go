package git

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

func TestLockThatWillBeSweptIsToldFromOneThatMayStay(t *testing.T) {
	for stderr, want := range map[string]bool{
		"fatal: Unable to create '/x/packed-refs.lock': File exists.\n":                                 true,
		"error: cannot lock ref 'a': Unable to create '/x/refs/heads/a.lock': File exists.\nfatal: x\n": true,
		"error: could not lock config file /x/config: File exists\n":                                    true,
		"fatal: update_ref failed for ref 'a': cannot lock references\n":                                true,
		"fatal: Unable to create '/x/worktrees/y/index.lock': File exists.\n":                           false,
		"fatal: cannot lock ref 'HEAD': Unable to create '/x/worktrees/y/HEAD.lock': File exists.\n":    false,
		"fatal: could not create work tree dir '/x': File exists\n":                                     false,
	} {
		if saysLocked(stderr) != want {
			t.Errorf("%q: %t", stderr, !want)
		}
	}
}

func TestErrorOfAFullMachineIsToldFromOneOfTheItem(t *testing.T) {
	said := func(stderr string) error {
		return fmt.Errorf("prepare: %w", &Error{Op: "git fetch", Host: saysHost(stderr), Err: &exec.ExitError{}})
	}
	for _, c := range []struct {
		name string
		err  error
		want bool
	}{
		{"a full disk under a file of ours", &Error{Op: "prepare", Err: &fs.PathError{Op: "open", Path: "/x", Err: syscall.ENOSPC}}, true},
		{"no process for git", &Error{Op: "git fetch", Err: &fs.PathError{Op: "fork/exec", Path: "git", Err: syscall.EAGAIN}}, true},
		{"a full disk under git", said("error: unable to write file a.txt: No space left on device\nfatal: unable to checkout working tree\n"), true},
		{"a full disk, in git's own words", said("fatal: sha1 file '/x/index.lock' write error. Out of diskspace\n"), true},
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

func TestProgramThatIsMissingIsNamed(t *testing.T) {
	for stderr, want := range map[string]string{
		"git-lfs filter-process: 1: git-lfs: not found\nfatal: the remote end hung up unexpectedly\n":                                                                                                    "git-lfs filter-process: 1: git-lfs: not found; fatal: the remote end hung up unexpectedly",
		"git: 'credential-nope' is not a git command. See 'git --help'.\n\nThe most similar command is\n\tcredential-store\nfatal: could not read Username for 'https://x': terminal prompts disabled\n": "git: 'credential-nope' is not a git command. See 'git --help'.; fatal: could not read Username for 'https://x': terminal prompts disabled",
		"error: cannot run nossh: No such file or directory\nfatal: unable to fork\n":                                                                                                                    "error: cannot run nossh: No such file or directory; fatal: unable to fork",
		"x: line 1: foo: command not found\nfatal: Could not read from remote repository.\n":                                                                                                             "x: line 1: foo: command not found",
		"fatal: repository 'https://x/y' not found\n":                                                                                                                                                    "fatal: repository 'https://x/y' not found",
	} {
		last, permanent := diagnose(stderr)
		if last != want || !permanent {
			t.Errorf("%q: %q, %t", stderr, last, permanent)
		}
	}
	if last, permanent := diagnose("git: 'credential-nope' is not a git command.\nfatal: unable to access 'https://x/': Could not resolve host: x\n"); permanent {
		t.Errorf("%q is no reason to give up: the host may be back", last)
	}
}

func TestUnreadableFileIsLookedAtAgain(t *testing.T) {
	dir := t.TempDir()
	link, fifo, big := filepath.Join(dir, "link"), filepath.Join(dir, "fifo"), filepath.Join(dir, "big")
	if err := errors.Join(os.Symlink("big", link), syscall.Mkfifo(fifo, 0o600), os.WriteFile(big, make([]byte, 100), 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name      string
		err       error
		permanent bool
	}{
		{"no access", &fs.PathError{Op: "open", Path: "HEAD", Err: syscall.EACCES}, false},
		{"a bad disk", fmt.Errorf("look: %w", syscall.EIO), false},
		{"too many files", syscall.EMFILE, false},
		{"a link", func() error { _, err := ReadSmall(link, 10); return err }(), true},
		{"a fifo", func() error { _, err := ReadSmall(fifo, 10); return err }(), true},
		{"too large", func() error { _, err := ReadSmall(big, 10); return err }(), true},
	} {
		if test.err == nil {
			t.Errorf("%s could be read", test.name)
		} else if got := Unread("prepare", test.err).Permanent; got != test.permanent {
			t.Errorf("%s: permanent is %v: %v", test.name, got, test.err)
		}
	}
}

func TestLineThatIsShownSaysWhatWentWrong(t *testing.T) {
	for _, c := range []struct {
		stderr, last string
		permanent    bool
	}{
		{"ERROR: Repository not found.\r\nfatal: Could not read from remote repository.\n\nPlease make sure you have the correct access rights\nand the repository exists.\n", "ERROR: Repository not found.", true},
		{"git@github.com: Permission denied (publickey).\nfatal: Could not read from remote repository.\n\nPlease make sure you have the correct access rights\nand the repository exists.\n", "git@github.com: Permission denied (publickey).", true},
		{"Host key verification failed.\nfatal: Could not read from remote repository.\n", "Host key verification failed.", true},
		{"remote: Repository not found.\nfatal: repository 'https://github.com/a/b.git/' not found\n", "remote: Repository not found.", true},
		{"fatal: could not read Username for 'https://github.com': terminal prompts disabled\n", "fatal: could not read Username for 'https://github.com': terminal prompts disabled", true},
		{"remote: HTTP Basic: Access denied\nfatal: Authentication failed for 'https://u:p@gitlab.com/a/b/'\n", "remote: HTTP Basic: Access denied", true},
		{"fatal: unable to access 'https://u:p@h/a/': The requested URL returned error: 403\n", "fatal: unable to access 'https://h/a/': The requested URL returned error: 403", true},
		{"ssh: Could not resolve hostname github.com: Temporary failure in name resolution\nfatal: Could not read from remote repository.\n", "ssh: Could not resolve hostname github.com: Temporary failure in name resolution", false},
		{"fatal: unable to access 'https://h/a/': The requested URL returned error: 503\n", "fatal: unable to access 'https://h/a/': The requested URL returned error: 503", false},
		{"error: unable to create file a: Permission denied\nfatal: \x1b[31mred\x07\u202e\n", `fatal: \x1b[31mred\a\u202e`, false},
		{"Preparing worktree\nfatal: cannot lock ref 'x': Unable to create 'x.lock': File exists.\n\nAnother git process seems to be running in this repository, e.g.\nremove the file manually to continue.\n", "fatal: cannot lock ref 'x': Unable to create 'x.lock': File exists.", false},
		{"fatal: Could not read from remote repository.\n", "fatal: Could not read from remote repository.", false},
		{"", "", false},
	} {
		last, permanent := diagnose(c.stderr)
		if last != c.last || permanent != c.permanent {
			t.Errorf("diagnose(%q) = %q, %v", c.stderr, last, permanent)
		}
	}
	if e := (&Error{Op: "lock", Err: errors.New("a\nb")}); e.Error() != "lock: a b" {
		t.Error(e)
	}
}
