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
		// System calls only: the runtime's other threads are not in the child. The loop is bounded, so that the child does
		// not outlive a test that failed.
		for range 1 << 18 {
			if pid, _, _ := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0); pid != 0 {
				break
			}
			_, _, _ = unix.RawSyscall(unix.SYS_SETSID, 0, 0, 0)
		}
		_, _, _ = unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
}

// none accepts no process as the runner of another run.
func none(int, string, string) bool { return false }

// Kill ends a chain of processes that fork and exit faster than all processes can be listed, also where each is a new program.
func TestKillHitsWhatForksAndEndsOnAndOn(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := BecomeSubreaper(); err != nil { // the links are reaped here: otherwise the pids would run out
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
		for i := range 1500 { // a large environment makes an execve slow
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
		err = errors.Join(theirs.Close(), Kill(ctx, Run{Name: run}, nil))
		close(stop)
		reaper.Wait()
		if err != nil {
			t.Fatal(err)
		}
		if err := alive.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := alive.Read(make([]byte, 1)); !errors.Is(err, io.EOF) { // no process has the other end open
			t.Fatalf("%s lives: %v", first.Path, errors.Join(err, Kill(ctx, Run{Name: run}, nil)))
		}
		alive.Close()
	}
}

// The process that ends a run's leftovers may belong to that run: an agent's shell may call kugetsu. It is among the newest
// processes, and so are its threads.
func TestKillSparesWhoCalls(t *testing.T) {
	if run := os.Getenv("TEST_SPARE"); run != "" {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		for range 50 {
			born := make(chan struct{})
			go func() { runtime.LockOSThread(); close(born) }() // one more thread, for a while
			<-born
			if err := Kill(ctx, Run{Name: run}, nil); err != nil {
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

// A process whose first thread has ended lives as long as its other threads.
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
	if _, err := End(ctx, func() ([]Process, error) { return Below(ctx, "none", none) }, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(stat); err == nil {
		t.Error("the process is left")
	}
}

// Below finds a chain of processes that fork and exit at some time, and does not take it for gone before.
func TestBelowMissesNothingThatForksAndEnds(t *testing.T) {
	if err := BecomeSubreaper(); err != nil {
		t.Fatal(err)
	}
	hop := filepath.Join(t.TempDir(), "hop")
	script := fmt.Sprintf("#!/bin/sh\ntest $1 -gt 0 && %s $(($1 - 1)) &\n", hop)
	if err := os.WriteFile(hop, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for range 20 {
		cmd := exec.Command(hop, "2000")
		cmd.SysProcAttr = Detach()
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		if _, err := End(ctx, func() ([]Process, error) { return Below(ctx, "none", none) }, 0); err != nil {
			t.Fatal(err)
		}
		Reap()
		if left, known := children(); len(left) > 0 || !known {
			t.Fatalf("process %v was overlooked", left)
		}
	}
}

// refuses is a process that may not be signalled.
type refuses struct{ signals *[]os.Signal }

func (r refuses) Signal(sig os.Signal) error { *r.signals = append(*r.signals, sig); return unix.EPERM }
func (r refuses) Release() error             { return nil }

// A process that may not be signalled gets the grace to end by itself, is reported, and is not waited for.
func TestEndTellsOfWhatMayNotBeSignalled(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for _, grace := range []time.Duration{0, 50 * time.Millisecond} {
		var signals []os.Signal
		begin := time.Now()
		left, err := End(ctx, func() ([]Process, error) { return []Process{{os.Getpid(), refuses{&signals}}}, nil }, grace)
		if err != nil || len(left) != 1 || left[0] != (Left{os.Getpid(), os.Getuid()}) {
			t.Errorf("%v, %v", left, err)
		}
		if took := time.Since(begin); took < grace || signals[len(signals)-1] != unix.SIGKILL || grace > 0 && signals[0] != unix.SIGTERM {
			t.Errorf("grace %s: %v in %s", grace, signals, took)
		}
		gone := false
		if left, err := End(ctx, func() ([]Process, error) {
			defer func() { gone = true }()
			if gone {
				return nil, nil
			}
			return []Process{{os.Getpid(), refuses{&signals}}}, nil
		}, time.Minute); err != nil || len(left) > 0 {
			t.Errorf("it ended within the grace: %v, %v", left, err)
		}
	}
}

// An orphan may get the pid that the agent had. While that pid is watched it is not reaped here; after that it is reaped like
// any other, and no loop spins.
func TestBelowReapsWhatHasTheAgentsPid(t *testing.T) {
	cmd := exec.Command("true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	Watch(pid)
	defer Watched()
	for _, zombie := parent(pid); !zombie; _, zombie = parent(pid) {
		runtime.Gosched()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if found, err := Below(ctx, "none", none); err == nil || len(found) > 0 {
		t.Errorf("Below returned before the agent was waited for: %v", found)
	}
	Watched()
	if found, err := Below(context.Background(), "none", none); err != nil || len(found) > 0 {
		t.Errorf("%v, %v", found, err)
	}
	if ppid, _ := parent(pid); ppid >= 0 {
		t.Error("the orphan was not reaped")
	}
}

// A birth tells a process from others of its pid, and from one that is gone.
func TestBirthIsOfOneProcess(t *testing.T) {
	cmd := exec.Command("cat")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	born := Birth(pid)
	if born == "" || born != Birth(pid) || born == Birth(os.Getpid()) {
		t.Errorf("birth %q, then %q; that of this process is %q", born, Birth(pid), Birth(os.Getpid()))
	}
	if Stopped(pid) || !Tell(pid, func() bool { return Birth(pid) == born }, unix.SIGSTOP) {
		t.Error("the process is stopped already, or cannot be stopped")
	}
	for begin := time.Now(); !Stopped(pid) && time.Since(begin) < 2*time.Minute; {
		runtime.Gosched()
	}
	if !Stopped(pid) || Birth(pid) != born {
		t.Error("the process is not stopped, or its birth has changed")
	}
	if Tell(pid, func() bool { return Birth(pid) == "another" }, unix.SIGCONT) {
		t.Error("a process with another birth got the signal")
	}
	if !Tell(pid, func() bool { return Birth(pid) == born }, unix.SIGCONT) {
		t.Error("the process did not get the signal")
	}
	if err := stdin.Close(); err != nil {
		t.Fatal(err)
	}
	for begin := time.Now(); Birth(pid) != "" && time.Since(begin) < 2*time.Minute; { // a zombie is none
		runtime.Gosched()
	}
	if Birth(pid) != "" {
		t.Error("a zombie has a birth")
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
}
