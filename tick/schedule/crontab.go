package schedule

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"kugetsu/queue/fault"
	"kugetsu/queue/pattern"
)

// assigned matches a line of a crontab that sets a variable for the lines below it.
var assigned = pattern.Lazy(`^[ \t]*(?:"([^"]+)"|'([^']+)'|([^\s='"#][^\s=]*))[ \t]*=[ \t]*(.*)$`)

// above returns the variables that a crontab sets for the lines after it. A carriage return belongs to a value, as in cron.
func above(text string) map[string]string {
	set := map[string]string{}
	for line := range strings.SplitSeq(text, "\n") {
		m := assigned().FindStringSubmatch(line)
		if m == nil {
			continue
		}
		value := strings.TrimRight(m[4], " \t")
		if n := len(value); n > 1 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
			value = value[1 : n-1]
		}
		set[m[1]+m[2]+m[3]] = value
	}
	return set
}

// like lists the shells that read a line as sh does; unlike lists those that read only plain words as sh does.
var like, unlike = []string{"sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "busybox"}, []string{"fish", "csh", "tcsh"}

// lineBelow returns the line for cron, for a place below the given text. If that text sets HOME or KUGETSU_DIR, the line sets
// them again: the tick would otherwise work on another state folder. Other variables stay in force, since settings of
// kugetsu may be among them.
func (c cron) lineBelow(text string) (string, error) {
	set := above(text)
	move := func(format string, args ...any) error {
		return fault.New(fault.Failed, "move that line below the others with crontab -e, or correct it; or use another scheduler, with --with", format, args...)
	}
	var names []string
	if home, ok := set["HOME"]; ok && home != c.Home {
		if info, err := os.Stat(home); err != nil || !info.IsDir() { // cron changes to HOME before it runs a line
			return "", move("the crontab sets HOME to %q, which is not a folder: cron would run nothing below that line", home)
		}
		names = append(names, "HOME="+quote(c.Home))
	}
	if _, ok := set["KUGETSU_DIR"]; ok || !c.Default {
		names = append(names, "KUGETSU_DIR="+quote(c.Dir))
	}
	command := quote(c.Binary) + " tick --scheduled"
	switch shell, ok := set["SHELL"]; {
	case !ok || slices.Contains(like, filepath.Base(shell)):
		command = strings.Join(append(names, command), " ")
	case !slices.Contains(unlike, filepath.Base(shell)):
		return "", move("the crontab sets SHELL to %q, a shell that kugetsu does not know", shell)
	case !plain().MatchString(c.Binary) || !plain().MatchString(c.Dir) || !plain().MatchString(c.Home):
		return "", move("the crontab sets SHELL to %q, which reads quotes differently from sh", shell)
	case len(names) > 0:
		command = "/usr/bin/env " + strings.Join(append(names, command), " ")
	}
	if shell, ok := set["SHELL"]; ok {
		if info, err := os.Stat(shell); err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
			return "", move("the crontab sets SHELL to %q, which is not a program: cron would run nothing below that line", shell)
		}
	}
	minute := "*"
	if c.Minutes > 1 {
		minute = fmt.Sprintf("*/%d", c.Minutes)
	}
	return minute + " * * * * " + command, nil
}
