package proc

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func shell(script string, most int) Child {
	return Child{Path: "/bin/sh", Args: []string{"sh", "-c", script}, Env: os.Environ(), Most: most}
}

func TestChildOutputIsStdoutAlone(t *testing.T) {
	c := shell("cat; echo no >&2; echo $0", 100)
	c.Stdin = strings.NewReader("in ")
	if out, err := c.Output(t.Context()); out != "in sh\n" || err != nil {
		t.Errorf("%q, %v", out, err)
	}
	if out, err := shell("echo hello", 0).Output(t.Context()); out != "" || err != nil {
		t.Errorf("%q, %v", out, err)
	}
}

func TestChildThatFailsSaysItsLastWordsWithoutControlCharacters(t *testing.T) {
	_, err := shell(`head -c 1000 /dev/zero | tr '\0' x >&2; printf ' \033[31mno' >&2; exit 3`, 100).Output(t.Context())
	var f *Failure
	if !errors.As(err, &f) || len(f.Said) > 2*maxSaid || !strings.HasSuffix(f.Said, "no") || strings.Contains(f.Said, "\033") || !strings.HasPrefix(err.Error(), "exit status 3: ") {
		t.Errorf("%v", err)
	}
	if _, err := (Child{Path: "/no/such/program", Args: []string{"x"}}).Output(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestChildThatPrintsTooMuchFails(t *testing.T) {
	if out, err := shell("printf 12345", 4).Output(t.Context()); !errors.Is(err, ErrOutput) || len(out) > 4 {
		t.Errorf("%q, %v", out, err)
	}
	if out, err := shell("printf 1234", 4).Output(t.Context()); err != nil || out != "1234" {
		t.Errorf("%q, %v", out, err)
	}
}

func TestChildEndsWithItsWholeGroup(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	gave := errors.New("the time is over")
	done := make(chan error)
	go func() {
		_, err := shell("sh -c 'echo begun >"+fifo+"; exec sleep 1000' & wait", 100).Output(ctx)
		done <- err
	}()
	r, err := os.Open(fifo) // until the second shell is there
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	begin := time.Now()
	cancel(gave)
	if err := <-done; !errors.Is(err, gave) || time.Since(begin) > childDelay {
		t.Errorf("%v after %s", err, time.Since(begin)) // with a process left it takes the delay
	}
}

func TestChildThatLeavesAProcessIsNotWaitedForAndHasNotFailed(t *testing.T) {
	out, err := shell("echo done; sleep 3 &", 100).Output(t.Context())
	if out != "done\n" || err != nil {
		t.Errorf("%q, %v", out, err)
	}
}

func TestChildKeepsTheEndOfStderr(t *testing.T) {
	var all string
	last := ending{most: maxSaid}
	for n := range 500 {
		part := strings.Repeat(strconv.Itoa(n), n%7)
		all += part
		if wrote, err := last.Write([]byte(part)); err != nil || wrote != len(part) {
			t.Fatal(wrote, err)
		}
		if want := all[max(0, len(all)-maxSaid):]; string(last.data) != want {
			t.Fatalf("%q is kept, not %q", last.data, want)
		}
	}
}
