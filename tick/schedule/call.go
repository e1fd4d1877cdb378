package schedule

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// callLimit bounds one call of crontab, systemctl or launchctl.
const callLimit = 20 * time.Second

// callError is a call that failed. Said is its stderr, in English.
type callError struct {
	Call, Said string
	Err        error
}

func (e *callError) Error() string {
	if e.Said == "" {
		return fmt.Sprintf("%s: %v", e.Call, e.Err)
	}
	return fmt.Sprintf("%s: %s", e.Call, e.Said)
}

func (e *callError) Unwrap() error { return e.Err }

// call runs a command of a scheduler and returns its stdout.
func call(ctx context.Context, stdin string, argv ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	// LC_ALL=C: cron.read compares messages. NOHEADER: Debian's crontab -l prints a header, and crontab - would add it again.
	cmd.Env = append(os.Environ(), "LC_ALL=C", "CRONTAB_NOHEADER=Y", "SYSTEMD_PAGER=", "SYSTEMD_COLORS=0")
	if dir := runtimeDir(); dir != "" {
		cmd.Env = append(cmd.Env, "XDG_RUNTIME_DIR="+dir)
	}
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return stdout.String(), &callError{Call: strings.Join(argv, " "), Said: strings.TrimSpace(stderr.String()), Err: err}
	}
	return stdout.String(), nil
}

// missing reports whether a call failed because its program is not installed.
func missing(err error) bool {
	return errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist)
}

// runtimeDir returns the user's XDG_RUNTIME_DIR, "" where there is none. After su or sudo, and in cron, the variable is not set
// but the folder exists.
func runtimeDir() string {
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		return dir
	}
	dir := fmt.Sprintf("/run/user/%d", os.Getuid())
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return ""
	}
	return dir
}
