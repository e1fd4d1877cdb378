package slots

import (
	"fmt"
	"io"
	"os"
	"sync"

	"kugetsu/queue/spool"
)

// LogCap is how large a run's log may grow, in bytes. Beyond that the older half is dropped. So an agent that floods its log
// neither fills the disk nor is stopped, and the last lines, which say how it ended, are kept.
const LogCap = 16 << 20

// logFile is the log of a run: the output of agent, git and hook, as it comes.
type logFile struct {
	mu   sync.Mutex
	file *os.File
	size int64
	cap  int64
}

// OpenLog opens a run's log for reading. The error wraps fs.ErrNotExist where there is none, and spool.ErrBad for another kind of
// file: the agent may have put it there.
func (d Dir) OpenLog(run string) (*os.File, error) {
	path := d.LogPath(run)
	if err := d.requireDir(run); err != nil {
		return nil, err
	}
	return spool.Open(path, os.O_RDONLY)
}

func openLog(path string, limit int64) (*logFile, error) {
	f, err := spool.Open(path, os.O_RDWR|os.O_CREATE|os.O_APPEND)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return &logFile{file: f, size: info.Size(), cap: limit}, nil
}

// Write never fails: a full disk must not stop the agent.
func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.size+int64(len(p)) > l.cap {
		l.trim()
	}
	n, _ := l.file.Write(p)
	l.size += int64(n)
	return len(p), nil
}

// trim keeps the newest half.
func (l *logFile) trim() {
	keep := min(l.size, l.cap/2)
	tail := make([]byte, keep)
	n, err := l.file.ReadAt(tail, l.size-keep)
	if err != nil && err != io.EOF {
		return
	}
	if l.file.Truncate(0) != nil {
		return
	}
	note := fmt.Sprintf("kugetsu: %d bytes of this log were dropped here\n", l.size-keep)
	l.size = 0
	for _, part := range [][]byte{[]byte(note), tail[:n]} {
		n, _ := l.file.Write(part)
		l.size += int64(n)
	}
}

// say writes a line of kugetsu's own.
func (l *logFile) say(format string, args ...any) {
	fmt.Fprintf(l, "kugetsu: "+format+"\n", args...)
}

func (l *logFile) Close() error { return l.file.Close() }
