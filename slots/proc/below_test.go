//go:build linux

package proc

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func init() {
	if len(os.Args) == 1 && os.Args[0] == "headless" {
		_, _, _ = unix.RawSyscall(unix.SYS_EXIT, 0, 0, 0) // of this thread, the first; the runtime has others
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
