package slots

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"slices"
	"strings"

	"github.com/hashicorp/go-envparse"

	"kugetsu/queue/fault"
	"kugetsu/queue/spool"
	"kugetsu/slots/proc"
)

// Environ is the environment of runner, git, hook, agent and the runner's own tick. It is made, not inherited, so that
// it is the same whoever ran the first tick: cron, systemd, a terminal, or an agent. The base comes from the config
// file, the settings from the tick's environment.
func (d Dir) Environ(base map[string]string, settings []string) ([]string, error) {
	me, err := user.Current()
	if err != nil {
		// os/user hides why the password file could not be read. As a rule that passes.
		return nil, fault.New(fault.Temp, "where this user is not in the password file, set HOME and USER", "who am I: %w", err)
	}
	home := os.Getenv("HOME")
	if home == "" {
		home = me.HomeDir
	}
	env := []string{
		"HOME=" + home, "USER=" + me.Username, "LOGNAME=" + me.Username, "SHELL=/bin/sh",
		"PATH=" + first(base["PATH"], os.Getenv("PATH"), "/usr/local/bin:/usr/bin:/bin"),
		"LANG=" + first(base["LANG"], "C.UTF-8"),
		proc.Home + "=" + string(d),
	}
	for _, key := range []string{"SSH_AUTH_SOCK", "XDG_RUNTIME_DIR"} {
		if base[key] != "" {
			env = append(env, key+"="+base[key])
		}
	}
	return append(env, settings...), nil
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// WithFiles is env with what env files add, later wins.
func WithFiles(env []string, files ...string) ([]string, error) {
	for _, file := range files {
		vars, err := readEnv(file)
		if err != nil {
			return nil, err
		}
		env = with(env, vars...)
	}
	return env, nil
}

// with returns env with more added, of which a later value of a name wins.
func with(env []string, more ...string) []string {
	out := slices.Clone(env)
	for _, kv := range more {
		name, _, _ := strings.Cut(kv, "=")
		out = append(without(out, name), kv)
	}
	return out
}

// without returns env without a name.
func without(env []string, name string) []string {
	return slices.DeleteFunc(env, func(kv string) bool { return strings.HasPrefix(kv, name+"=") })
}

// readEnv reads an env file: KEY=value lines, nothing expanded. A missing file is empty. The error names the file and
// the line and never the text: it is a token as likely as not.
func readEnv(path string) ([]string, error) {
	data, err := spool.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	vars, err := envparse.Parse(bytes.NewReader(data))
	if err != nil {
		var pe *envparse.ParseError
		switch {
		case errors.As(err, &pe) && errors.Is(pe.Err, bufio.ErrTooLong):
			return nil, fmt.Errorf("%s: line %d is too long", path, pe.Line+1)
		case errors.As(err, &pe):
			return nil, fmt.Errorf("%s: line %d is not KEY=value", path, pe.Line)
		}
		return nil, fmt.Errorf("%s: not KEY=value lines", path)
	}
	var env []string
	for k, v := range vars {
		env = append(env, k+"="+v)
	}
	slices.Sort(env)
	return env, nil
}
