package slots

import (
	"os"
	"path/filepath"

	"kugetsu/queue/spool"
)

// tickLogCap is how large tick.log may grow, in bytes, before a new one is begun. One older file is kept.
const tickLogCap = 1 << 20

// TickLog is the path of the log of ticks that run by themselves.
func (d Dir) TickLog() string { return filepath.Join(string(d), "tick.log") }

// OpenTickLog opens the log for appending.
func (d Dir) OpenTickLog() (*os.File, error) {
	path := d.TickLog()
	if info, err := os.Lstat(path); err == nil && info.Size() > tickLogCap {
		if err := spool.Rename(path, path+".old"); err != nil {
			return nil, err
		}
	}
	return spool.Open(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND)
}
