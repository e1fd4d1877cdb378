// Command tree runs a program, and ends when every process has ended that the program started, those too that it left behind. So the
// times of tree, as its parent sees them, are the times of all. Where TREE_FIRST names a file, tree writes into it what the program
// alone took: nanoseconds of the processor, and on the wall.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"kugetsu/slots/proc"
)

func main() {
	if err := proc.BecomeSubreaper(); err != nil {
		fail(err)
	}
	cmd := exec.Command(os.Args[1], os.Args[2:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	begin := time.Now()
	err := cmd.Run()
	took := time.Since(begin)
	if path := os.Getenv("TREE_FIRST"); path != "" && cmd.ProcessState != nil {
		text := fmt.Sprintf("%d %d\n", cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime(), took)
		if err := errors.Join(os.WriteFile(path+".new", []byte(text), 0o600), os.Rename(path+".new", path)); err != nil {
			fail(err)
		}
	}
	for {
		if _, err := syscall.Wait4(-1, nil, 0, nil); errors.Is(err, syscall.ECHILD) {
			break
		}
	}
	if err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
