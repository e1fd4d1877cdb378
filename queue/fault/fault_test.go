package fault

import (
	"errors"
	"fmt"
	"io"
	"os/exec"
	"syscall"
	"testing"
)

func TestExitCodeIsOneOfOurs(t *testing.T) {
	other := exec.Command("sh", "-c", "exit 128").Run()
	for _, test := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{io.EOF, Failed},
		{syscall.ENOSPC, Temp},
		{New(Config, "", "bad"), Config},
		{fmt.Errorf("a: %w", New(NoSlot, "", "full")), NoSlot},
		{other, Failed}, // what git exited with means something else
		{fmt.Errorf("git: %w", other), Failed},
		{New(Temp, "", "git: %w", other), Temp},
		{errors.Join(other, New(Usage, "", "wrong")), Usage},
	} {
		if got := Code(test.err); got != test.want {
			t.Errorf("%v: %d, not %d", test.err, got, test.want)
		}
	}
}
