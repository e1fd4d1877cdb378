package schedule

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"kugetsu/queue/fault"
	"kugetsu/queue/pattern"
	"kugetsu/queue/spool"
)

// systemd is three units of the user's manager: the timer, the service that it starts, and a path unit that starts the same
// service when an item is enqueued.
type systemd struct{ Job }

// File is a file of a schedule.
type File struct{ Name, Text string }

// units returns the unit files.
func (s systemd) units() []File {
	service := `[Unit]
Description=kugetsu tick: settle what ended, fill the free slots
# Every enqueued item may start it, however many there are.
StartLimitIntervalSec=0

[Service]
Type=oneshot
# What is enqueued while a run's last act is a tick must not be left to the timer.
ExecStart=` + s.word(s.Binary) + ` tick --scheduled --wait
`
	if !s.Default {
		service += "Environment=" + s.word("KUGETSU_DIR="+s.Dir) + "\n"
	}
	service += `# The agents outlive the tick that started them. So nothing belongs here that is taken away when it ends: no PrivateTmp=,
# no RuntimeDirectory=.
KillMode=process
# Agents expect it as every shell has it.
IgnoreSIGPIPE=no
# Left undone for a passing reason, a full disk say: the next tick tries again, and what is wrong stands in the journal.
SuccessExitStatus=75
`
	timer := fmt.Sprintf(`[Unit]
Description=kugetsu tick every few minutes

[Timer]
OnCalendar=*:0/%d
AccuracySec=1s
# At once after the machine was off.
Persistent=true

[Install]
WantedBy=timers.target
`, s.Minutes)
	path := `[Unit]
Description=kugetsu tick when something is enqueued

[Path]
`
	for _, dir := range s.Watch {
		path += "PathChanged=" + s.path(dir) + "\n"
	}
	path += `
[Install]
WantedBy=paths.target
`
	return []File{{s.Name + ".service", service}, {s.Name + ".timer", timer}, {s.Name + ".path", path}}
}

// path writes a path as a unit file needs it: %h stands for the user's home folder, and each percent sign is doubled.
func (s systemd) path(path string) string {
	home := ""
	if rest, below := strings.CutPrefix(path, s.Home+"/"); below && s.Home != "" {
		home, path = "%h/", rest
	}
	return home + strings.ReplaceAll(path, "%", "%%")
}

// word writes a word of a command line or an assignment, quoted where that is needed.
func (s systemd) word(word string) string {
	word = s.path(word)
	if plain().MatchString(strings.TrimPrefix(word, "%h")) {
		return word
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(word) + `"`
}

// started returns the units to enable.
func (s systemd) started() []string { return []string{s.Name + ".timer", s.Name + ".path"} }

// dir returns the folder in which the user's manager looks for units. It ignores XDG_CONFIG_HOME: the manager has its own, not
// that of this shell.
func (s systemd) dir() (string, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fault.New(fault.Config, "set HOME", "there is no place for unit files: %w", err)
	}
	return filepath.Join(home, ".config", "systemd", "user"), nil
}

func (s systemd) works(ctx context.Context) error {
	if strings.ContainsAny(s.Binary, `"'\`) {
		return fault.New(fault.Failed, "move it to a plain path, or use --with cron", "systemd runs no program with a quote or a backslash in its path: %s", s.Binary)
	}
	return s.answers(ctx)
}

// answers returns nil where the user's manager answers.
func (s systemd) answers(ctx context.Context) error {
	_, err := call(ctx, "", "systemctl", "--user", "show", "--property=Version")
	if missing(err) {
		return fault.New(fault.Failed, "use --with cron", "%w", err)
	}
	if err != nil {
		return fault.New(fault.Failed, "log in as this user, not with su or sudo; without a login loginctl enable-linger "+s.User+" starts a user manager; or use --with cron",
			"no user manager of systemd answers: %w", err)
	}
	return nil
}

func (s systemd) install(ctx context.Context) error {
	if f, err := s.find(ctx); err == nil && f != nil && f.Current && f.Problem == "" {
		return nil
	}
	dir, err := s.dir()
	if err != nil {
		return err
	}
	if err := spool.MakeDirs(dir); err != nil {
		return err
	}
	for _, f := range s.units() {
		if err := spool.Write(filepath.Join(dir, f.Name), []byte(f.Text)); err != nil {
			return err
		}
	}
	// Not enable --now: a running timer would keep the old interval.
	for _, argv := range [][]string{{"daemon-reload"}, append([]string{"enable"}, s.started()...), append([]string{"restart"}, s.started()...)} {
		if _, err := call(ctx, "", append([]string{"systemctl", "--user"}, argv...)...); err != nil {
			return err
		}
	}
	return nil
}

// remove stops the timer and the path unit, not the service: a tick that is under way finishes. It deletes the files and links
// itself, which works without a manager too.
func (s systemd) remove(ctx context.Context) error {
	dir, err := s.dir()
	if err != nil {
		return err
	}
	paths := []string{filepath.Join(dir, "timers.target.wants", s.Name+".timer"), filepath.Join(dir, "paths.target.wants", s.Name+".path")}
	for _, f := range s.units() {
		paths = append(paths, filepath.Join(dir, f.Name))
	}
	there := false
	for _, path := range paths {
		exists, err := spool.Exists(path)
		if err != nil {
			return err
		}
		there = there || exists
	}
	if !there {
		return nil
	}
	err = s.answers(ctx)
	answers := err == nil
	if managed, statErr := spool.Exists(filepath.Join(runtimeDir(), "systemd", "private")); !answers && (managed || statErr != nil) {
		return errors.Join(err, statErr) // a manager runs, and would go on starting ticks
	}
	if answers {
		if _, err := call(ctx, "", append([]string{"systemctl", "--user", "stop"}, s.started()...)...); err != nil {
			return err
		}
	}
	for _, path := range paths {
		if err := spool.Unlink(path); err != nil {
			return err
		}
	}
	if !answers {
		return nil
	}
	_, err = call(ctx, "", "systemctl", "--user", "daemon-reload")
	return err
}

var systemdMinutes = pattern.Lazy(`(?m)^OnCalendar=\*:0/(\d+)$`)

var systemdProgram = pattern.Lazy(`(?m)^ExecStart=(.*) tick --scheduled --wait$`)

// unquote returns the path from which word made its argument.
func (s systemd) unquote(word string) string {
	word = strings.NewReplacer(`\\`, `\`, `\"`, `"`, `"`, "").Replace(word)
	if rest, below := strings.CutPrefix(word, "%h/"); below {
		word = s.Home + "/" + rest
	}
	return strings.ReplaceAll(word, "%%", "%")
}

func (s systemd) find(ctx context.Context) (*Found, error) {
	dir, err := s.dir()
	if err != nil {
		return nil, err
	}
	f := &Found{Kind: Systemd, Current: true}
	there := 0
	for _, unit := range s.units() {
		text, err := spool.Read(filepath.Join(dir, unit.Name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		there++
		f.Current = f.Current && string(text) == unit.Text
		if m := systemdProgram().FindSubmatch(text); m != nil {
			f.Program = []string{s.unquote(string(m[1]))}
		}
		if m := systemdMinutes().FindSubmatch(text); m != nil {
			f.Minutes, _ = strconv.Atoi(string(m[1])) // 0, not known, where the number is too large
		}
	}
	if there == 0 {
		return nil, nil
	}
	f.Current = f.Current && there == len(s.units())
	if err := s.answers(ctx); err != nil {
		f.Problem = err.Error()
	} else if _, err := call(ctx, "", append([]string{"systemctl", "--user", "is-active"}, s.started()...)...); err != nil {
		f.Problem = "the timer or the path unit is not active: kugetsu queue-daemon restart"
	}
	return f, nil
}

// Lingers reports whether the user's manager runs without a login. Where that is not known it returns true.
func Lingers(user string) bool {
	there, err := spool.Exists(filepath.Join("/var/lib/systemd/linger", user))
	return there || err != nil
}
