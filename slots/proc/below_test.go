//go:build linux

package proc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func init() {
	if len(os.Args) == 1 && os.Args[0] == "headless" {
		_, _, _ = unix.RawSyscall(unix.SYS_EXIT, 0, 0, 0) // of this thread, the first; the runtime has others
	}
	if len(os.Args) == 1 && os.Args[0] == "chain" {
		// Nothing but system calls: the runtime's other threads are not in the child. It has an end, some day: it must not
		// outlive a test that failed.
		for range 1 << 18 {
			if pid, _, _ := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0); pid != 0 {
				break
			}
			_, _, _ = unix.RawSyscall(unix.SYS_SETSID, 0, 0, 0)
		}
		_, _, _ = unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
}

// A run's leftover that forks and ends in less time than it takes to list all processes is hit all the same, and one that
// is a new program each time.
func TestKillHitsWhatForksAndEndsOnAndOn(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := BecomeSubreaper(); err != nil { // the links are buried here: there are not that many pids
		t.Fatal(err)
	}
	dir := t.TempDir()
	script := filepath.Join(dir, "chain")
	if err := os.WriteFile(script, []byte("#!/bin/sh\ntest -e "+dir+"/stop || \"$0\" &\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // whatever Kill has left
		if err := os.WriteFile(filepath.Join(dir, "stop"), nil, 0o600); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for n, first := range slices.Repeat([]*exec.Cmd{{Path: self, Args: []string{"chain"}}, {Path: script, Args: []string{script}}}, 5) {
		run := fmt.Sprintf("q_chain.%d.%d", os.Getpid(), n)
		alive, theirs, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		env := []string{Mark + "=" + run}
		for i := range 1500 { // which an execve takes its time to put in place
			env = append(env, fmt.Sprintf("V%d=", i))
		}
		cmd := &exec.Cmd{Path: first.Path, Args: first.Args, Env: env, ExtraFiles: []*os.File{theirs}}
		if err := cmd.Run(); err != nil { // the first link
			t.Fatal(err)
		}
		stop := make(chan struct{})
		var reaper sync.WaitGroup
		reaper.Go(func() {
			for {
				select {
				case <-stop:
					Reap()
					return
				case <-time.After(time.Millisecond):
					Reap()
				}
			}
		})
		err = errors.Join(theirs.Close(), Kill(ctx, Run{Name: run}, ""))
		close(stop)
		reaper.Wait()
		if err != nil {
			t.Fatal(err)
		}
		if err := alive.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := alive.Read(make([]byte, 1)); !errors.Is(err, io.EOF) { // nobody has the other end any more
			t.Fatalf("%s lives: %v", first.Path, errors.Join(err, Kill(ctx, Run{Name: run}, "")))
		}
		alive.Close()
	}
}

// Whoever ends what is left of a run may be of that run: its agent's shell that calls kugetsu. It is among the newest
// processes, and so are its threads.
func TestKillSparesWhoCalls(t *testing.T) {
	if run := os.Getenv("TEST_SPARE"); run != "" {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		for range 50 {
			born := make(chan struct{})
			go func() { runtime.LockOSThread(); close(born) }() // a thread more, for a while
			<-born
			if err := Kill(ctx, Run{Name: run}, ""); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	run := fmt.Sprintf("q_spare.%d", os.Getpid())
	cmd := exec.Command(self, "-test.run=^TestKillSparesWhoCalls$")
	cmd.Env = append(os.Environ(), Mark+"="+run, "TEST_SPARE="+run)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// A process whose first thread has ended lives as long as the others do.
func TestBelowSeesWhatHasLostItsFirstThread(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := &exec.Cmd{Path: self, Args: []string{"headless"}}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	stat := filepath.Join("/proc", strconv.Itoa(cmd.Process.Pid), "stat")
	for data := []byte{}; !bytes.Contains(data, []byte(") Z ")); {
		if data, err = os.ReadFile(stat); err != nil || ctx.Err() != nil {
			t.Fatal(err, ctx.Err())
		}
	}
	if err := End(ctx, func() ([]Process, error) { return Below("none", func(string, string) bool { return false }) }, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(stat); err == nil {
		t.Error("it is left")
	}
}

// What forks and ends on and on is met at some time, and until then it is not taken for gone.
func TestBelowMissesNothingThatForksAndEnds(t *testing.T) {
	if err := BecomeSubreaper(); err != nil {
		t.Fatal(err)
	}
	hop := filepath.Join(t.TempDir(), "hop")
	script := fmt.Sprintf("#!/bin/sh\ntest $1 -gt 0 && %s $(($1 - 1)) &\n", hop)
	if err := os.WriteFile(hop, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	none := func(string, string) bool { return false }
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for range 20 {
		cmd := exec.Command(hop, "2000")
		cmd.SysProcAttr = Detach()
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		if err := End(ctx, func() ([]Process, error) { return Below("none", none) }, 0); err != nil {
			t.Fatal(err)
		}
		Reap()
		if left, known := children(); len(left) > 0 || !known {
			t.Fatalf("process %v was overlooked", left)
		}
	}
}
