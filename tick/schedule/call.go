package schedule

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"kugetsu/slots/proc"
)

// callLimit bounds one call of crontab, systemctl or launchctl.
const callLimit = 20 * time.Second

// maxAnswer bounds the answer of a call, in bytes: a crontab may be long.
const maxAnswer = 4 << 20

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
	failed := func(err error, said string) error {
		return &callError{Call: strings.Join(argv, " "), Said: said, Err: err}
	}
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return "", failed(err, "")
	}
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	// LC_ALL=C: cron.read compares messages. NOHEADER: Debian's crontab -l prints a header, and crontab - would add it again.
	env := append(os.Environ(), "LC_ALL=C", "CRONTAB_NOHEADER=Y", "SYSTEMD_PAGER=", "SYSTEMD_COLORS=0")
	if dir := runtimeDir(); dir != "" {
		env = append(env, "XDG_RUNTIME_DIR="+dir)
	}
	out, err := proc.Child{Path: path, Args: argv, Env: env, Stdin: strings.NewReader(stdin), Most: maxAnswer}.Output(ctx)
	var failure *proc.Failure
	if errors.As(err, &failure) {
		return out, failed(failure.Err, failure.Said)
	}
	return out, err
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
