package slots

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestLockIsHeldOnceAndFreeAfterClose(t *testing.T) {
	path := filepath.Join(t.TempDir(), "1.lock")
	for range 2 {
		lock, err := TryLock(path)
		must(t, err)
		for name, try := range map[string]func(string) (*Lock, error){"at once": TryLock, "patiently": TryLockPatiently} {
			if _, err := try(path); !errors.Is(err, ErrBusy) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if held, err := Locked(path); err != nil || !held {
			t.Errorf("held: %t, %v", held, err)
		}
		must(t, lock.Close())
		if held, err := Locked(path); err != nil || held {
			t.Errorf("held: %t, %v", held, err)
		}
	}
}

func TestLockThatWasPassedOnIsHeldUntilTheLastHolderIsGone(t *testing.T) {
	for _, c := range []struct {
		name, script string
		end          func(*exec.Cmd, io.Closer) error
	}{
		{"a child that ends", "echo up; cat", func(_ *exec.Cmd, stdin io.Closer) error { return stdin.Close() }},
		{"a child that is killed", "echo up; exec cat", func(cmd *exec.Cmd, _ io.Closer) error { return cmd.Process.Kill() }},
		// The shell is gone at once; what it left behind has the lock.
		{"a grandchild", "exec 5<&0; (echo up; cat <&5) & exit", func(_ *exec.Cmd, stdin io.Closer) error { return stdin.Close() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "1.lock")
			lock, err := TryLock(path)
			must(t, err)
			cmd := exec.Command("sh", "-c", c.script)
			cmd.ExtraFiles = []*os.File{lock.File()}
			stdin, err := cmd.StdinPipe()
			must(t, err)
			r, w, err := os.Pipe()
			must(t, err)
			defer r.Close()
			cmd.Stdout = w
			must(t, cmd.Start())
			must(t, w.Close())
			out := bufio.NewReader(r)
			if _, err := out.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			must(t, lock.Close())

			if _, err := TryLock(path); !errors.Is(err, ErrBusy) {
				t.Errorf("its holder lives: %v", err)
			}
			if held, err := Locked(path); err != nil || !held {
				t.Errorf("its holder lives: held %t, %v", held, err)
			}
			must(t, c.end(cmd, stdin))
			_, _ = io.Copy(io.Discard, out) // until the last process that had our pipe is gone
			_ = cmd.Wait()                  // killed, perhaps
			free, err := TryLockPatiently(path)
			must(t, err)
			must(t, free.Close())
		})
	}
}

func TestOnlookersDoNotFoolEachOther(t *testing.T) {
	path := filepath.Join(t.TempDir(), "1.lock")
	lock, err := TryLock(path)
	must(t, err)
	must(t, lock.Close())
	var lookers sync.WaitGroup
	for range 8 {
		lookers.Go(func() {
			for range 500 {
				if held, err := Locked(path); err != nil || held {
					t.Errorf("held by nobody but onlookers: %t, %v", held, err)
					return
				}
			}
		})
	}
	lookers.Wait()
}

func TestOnlookerDoesNotMakeASlotLookTaken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "1.lock")
	looker, err := try(path, unix.LOCK_SH)
	must(t, err)
	if _, err := TryLock(path); !errors.Is(err, ErrBusy) {
		t.Fatal(err)
	}
	got := make(chan error)
	go func() {
		lock, err := TryLockPatiently(path)
		if err == nil {
			err = lock.Close()
		}
		got <- err
	}()
	must(t, looker.Close())
	if err := <-got; err != nil {
		t.Error(err)
	}
}

func TestLookingMakesNoLockFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "1.lock")
	if held, err := Locked(path); err != nil || held {
		t.Errorf("%t, %v", held, err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestLockThatCannotBeTriedIsNeitherHeldNorFree(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	must(t, os.WriteFile(file, nil, 0o600))
	must(t, os.Symlink(file, filepath.Join(dir, "link")))
	must(t, os.Mkdir(filepath.Join(dir, "folder"), 0o700))
	for _, path := range []string{filepath.Join(dir, "link"), filepath.Join(dir, "folder"), filepath.Join(file, "below"), filepath.Join(dir, "missing", "1.lock")} {
		if lock, err := TryLock(path); err == nil || errors.Is(err, ErrBusy) {
			t.Errorf("%s: %v, %v", path, lock, err)
		}
	}
	for _, path := range []string{filepath.Join(dir, "link"), filepath.Join(dir, "folder"), filepath.Join(file, "below")} {
		if held, err := Locked(path); err == nil {
			t.Errorf("%s: held %t", path, held)
		}
	}
}
