package slots

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"

	"kugetsu/queue/fault"
	"kugetsu/queue/spool"
	"kugetsu/slots/envfile"
	"kugetsu/slots/proc"
)

// Environ is the environment of runner, git, hook, agent and the runner's own tick. It is made and not inherited, so it is the
// same whether cron, systemd, a terminal or an agent ran the first tick. The base comes from the config file, the settings from
// the tick's environment.
func (d Dir) Environ(base map[string]string, settings []string) ([]string, error) {
	me, err := user.Current()
	if err != nil {
		// os/user hides why the password file could not be read. Mostly the reason passes.
		return nil, fault.New(fault.Temp, "where this user is not in the password file, set HOME and USER", "the current user cannot be looked up: %w", err)
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

// WithFiles is env with the variables of env files. Of two values the later one counts.
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

// with returns env with more added. Of two values of a name the later one counts.
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

// readEnv reads an env file; a missing one is empty. The error asks for exit code 78. It names the file and the line, and never
// the text, which may be a token.
func readEnv(path string) ([]string, error) {
	data, err := spool.ReadUser(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, badFile(err)
	}
	vars, bad := envfile.Parse(data)
	if len(bad) > 0 {
		return nil, badFile(fmt.Errorf("%s: %w", path, envfile.Error(bad)))
	}
	var env []string
	for _, v := range vars {
		env = with(env, v.Name+"="+v.Value)
	}
	slices.Sort(env)
	return env, nil
}

// badFile is the error for a file of the user's that cannot be used: a bad configuration, which is no attempt. A passing refusal
// of the system asks for exit code 75, as everywhere.
func badFile(err error) error {
	if errors.Is(err, spool.ErrUnusable) || errors.Is(err, envfile.ErrBad) {
		return fault.New(fault.Config, "correct it: nothing is started before that; a value in single quotes is taken as it stands", "bad configuration: %w", err)
	}
	return err
}

// CheckFiles reads the env files and prompts as a run does, so that a fault in one is told before a run fails by it. The error
// asks for exit code 78.
func (d Dir) CheckFiles() error {
	var errs []error
	for _, name := range []string{"default.env", "dev.env", "pm-agent.env"} {
		_, err := readEnv(d.EnvFile(name))
		errs = append(errs, err)
	}
	for _, name := range []string{"dev.md", "task.md", "pm.md"} {
		if _, err := readPrompt(d.PromptFile(name)); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// EnvFile is the path of an env file.
func (d Dir) EnvFile(name string) string { return filepath.Join(string(d), "env", name) }

// PromptFile is the path of a prompt.
func (d Dir) PromptFile(name string) string { return filepath.Join(string(d), "prompts", name) }
