package faults

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"kugetsu/slots"
)

// tell tells an obedient agent to exit.
func (w *world) tell(run string, code int) error {
	return os.WriteFile(w.record()+".tell."+run, fmt.Appendf(nil, "%d\n", code), 0o600)
}

// endMeanwhile makes a run end while a tick inspects it: the tick has come to the slot, and is stopped before it asks for the
// lease. A run that succeeded must not be run again.
func endMeanwhile(w *world, hold time.Duration) error {
	w.must(os.WriteFile(filepath.Join(w.dir, "agent"), []byte(obedient), 0o700))
	_, it := w.item(1)
	if code, out := w.kugetsu("tick"); code != 0 {
		return fmt.Errorf("exit code %d: %s", code, out)
	}
	run := slots.RunName(it.ID, 1)
	if err := await(func() error { _, err := os.Stat(w.record() + ".tell." + run); return err }); err != nil {
		return err
	}
	trace := filepath.Join(w.dir, "trace")
	tick := exec.Command("strace", "-o", trace, "-e", "trace=openat,flock",
		"-e", fmt.Sprintf("inject=flock:delay_enter=%d:when=2", hold.Microseconds()), filepath.Join(bin, "kugetsu"), "tick")
	tick.Env = w.env
	var out bytes.Buffer
	tick.Stdout, tick.Stderr = &out, &out
	w.must(tick.Start())
	err := await(func() error {
		data, err := os.ReadFile(trace)
		if err == nil && !bytes.Contains(data, []byte("slots/1.lock")) {
			err = fmt.Errorf("the tick does not look at the slot: %s", data)
		}
		return err
	})
	if err == nil {
		err = w.tell(run, 0)
	}
	if waitErr := tick.Wait(); err == nil {
		err = waitErr
	}
	if err != nil {
		return fmt.Errorf("%w: %s", err, &out)
	}
	err = await(func() error {
		_, now, err := load(w, it.ID)
		if err == nil && !now.State.Settled() && now.Runs == 1 {
			err = fmt.Errorf("it is %s", now.State)
		}
		it = now
		return err
	})
	if err == nil && it.Runs != 1 {
		err = fmt.Errorf("it ended well, and was run again")
	}
	if err != nil {
		return err
	}
	if err := w.settle(); err != nil {
		return err
	}
	return w.judge(completed)
}

// TestRunThatEndsWhileATickLooksIsNotRunAgain: the lease is probed before the marker is read.
func TestRunThatEndsWhileATickLooksIsNotRunAgain(t *testing.T) {
	needStrace(t)
	rounds := 2
	if *full {
		rounds = 20
	}
	try(t, storms, "a run ends while a tick looks at it", rounds, func(t *testing.T) {
		for range rounds {
			w := newWorld(t)
			if err := endMeanwhile(w, 300*time.Millisecond); err != nil {
				t.Error(err)
			}
			w.close()
		}
	})
}
