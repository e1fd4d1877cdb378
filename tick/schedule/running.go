package schedule

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// noCron returns a problem where no cron daemon runs, else "". In a container cron is often installed and not started. Where
// the processes of others are hidden it returns "". On macOS launchd starts cron when a crontab appears.
func noCron() string {
	if runtime.GOOS != "linux" {
		return ""
	}
	if _, err := os.ReadFile("/proc/1/comm"); err != nil {
		return ""
	}
	names, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(names) == 0 {
		return ""
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil { // the process ended meanwhile
			continue
		}
		stat := string(data)
		begin, end := strings.Index(stat, "("), strings.LastIndex(stat, ") ")
		if begin < 0 || end < begin {
			continue
		}
		// cron, crond, fcron, dcron; a zombie does not count
		if strings.Contains(stat[begin:end], "cron") && !strings.HasPrefix(stat[end+2:], "Z") {
			return ""
		}
	}
	for _, pattern := range []string{"/usr/lib/systemd/system-generators/systemd-crontab-generator", "/run/systemd/generator/cron-*.timer"} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 { // systemd-cron has no daemon; a constant pattern has no error
			return ""
		}
	}
	return "no cron runs here, so no tick comes: start it (as root: service cron start, or systemctl enable --now cron)"
}
